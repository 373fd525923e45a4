"""No work is lost: what an earlier run left, other documents, kept selections, uploads."""

from __future__ import annotations

import pytest
import torch

from dff.editor.alone import alone_in
from dff.editor.asking import ask_text
from dff.editor.panels.keep import names_files
from dff.editor.session import Session
from dff.editor.work_file import WouldReplaceError
from dff.edits.document import EditDocument
from dff.edits.operations import Delete, Duplicate, Opacity, Replace, Transform
from dff.edits.recolours import HueShift
from dff.edits.selections import FileSelection
from dff.edits.stack import EditStack
from dff.edits.storage import document_text, load_document
from dff.errors import DffError
from dff.query.text import TextQuery

DOCUMENT = b"version: 1\nsteps: []\n"


@pytest.fixture
def session(scene, tmp_path) -> Session:
    return Session(scene, tmp_path / "edits")


def ask(session: Session, *words: str) -> None:
    session.choose(ask_text(session.scene, TextQuery(words, ("table", "sky"))))


def begun(session: Session) -> Session:
    """With one step that is not saved."""
    ask(session, "red")
    session.apply(HueShift(degrees=90))
    return session


def again(session: Session) -> tuple[Session, list[str]]:
    """The editor after a crash, and what it tells."""
    said: list[str] = []
    return Session(session.scene, session.folder, notice=said.append), said


def offered(session: Session) -> EditStack:
    offer = session.recoverable()
    assert offer is not None
    return offer


def files(session: Session) -> set[str]:
    return {
        path.relative_to(session.folder).as_posix()
        for path in session.folder.rglob("*")
        if path.is_file()
    }


# -- work of an earlier run


def test_an_offer_that_nobody_answered_is_a_document_before_it_is_written_over(session):
    first = begun(session).document
    second, said = again(session)
    ask(second, "green")
    second.apply(Delete())
    second.apply(Delete())
    assert said == ["unsaved work of an earlier run is kept as edits-unsaved-1.yml"]
    assert load_document(session.folder / "edits-unsaved-1.yml") == first
    assert offered(second).document == first
    third, _ = again(session)
    assert offered(third).document == second.document
    third.open("edits-unsaved-1.yml")
    assert third.document == first


def test_recovered_work_follows_what_was_done_meanwhile(session):
    first = begun(session).document
    second, _ = again(session)
    ask(second, "green")
    second.apply(Delete())
    meanwhile = second.document
    second.recover(offered(second))
    assert second.document == first
    assert second.recoverable() is None
    assert second.documents() == ["edits.yml"]
    third, _ = again(session)
    third.recover(offered(third))
    found = []
    while third.stack.undoable is not None:
        third.undo()
        found.append(third.document)
    assert found == [meanwhile, EditDocument()]


def test_saving_puts_an_offer_aside_that_nobody_answered(session):
    first = begun(session).document
    second, said = again(session)
    second.save()
    assert load_document(session.folder / "edits-unsaved-1.yml") == first
    assert len(said) == 1
    assert offered(second).document == first
    second.recover(offered(second))
    assert second.document == first


@pytest.mark.parametrize("meanwhile", [False, True])
def test_what_is_thrown_away_is_the_offer_alone(session, meanwhile):
    begun(session)
    second, _ = again(session)
    if meanwhile:
        ask(second, "green")
        second.apply(Delete())
    second.forget_recoverable()
    assert second.recoverable() is None
    third, _ = again(session)
    offer = third.recoverable()
    assert (offer is not None) == meanwhile
    if offer is not None:
        assert offer.document == second.document
    assert "edits-unsaved-1.yml" not in third.documents()


def test_a_copy_that_somebody_worked_on_stays(session):
    begun(session)
    second, _ = again(session)
    begun(second)
    (session.folder / "edits-unsaved-1.yml").write_bytes(DOCUMENT)
    second.forget_recoverable()
    assert (session.folder / "edits-unsaved-1.yml").read_bytes() == DOCUMENT


def test_work_on_a_document_that_was_never_saved_is_found_again_after_opening_another(session):
    said: list[str] = []
    session.notice = said.append
    name = session.add_document("other.yml", DOCUMENT)
    kept = begun(session).document
    session.open(name)
    assert said == ["what was not saved of edits.yml is kept: open it to recover that"]
    assert session.documents() == ["edits.yml", "other.yml"]
    session.open("edits.yml")
    session.recover(offered(session))
    assert session.document == kept


def test_only_one_editor_works_in_a_folder(tmp_path):
    with alone_in(tmp_path / "edits"):
        with (
            pytest.raises(DffError, match=r"another dff edit is at work in .*edits: end that"),
            alone_in(tmp_path / "edits"),
        ):
            pass
        with alone_in(tmp_path / "others"):
            pass
    with alone_in(tmp_path / "edits"):
        pass


# -- saving


def test_another_document_is_written_over_only_when_that_is_asked_for(session):
    begun(session).save()
    kept = session.document
    session.open(session.add_document("edits.yml", DOCUMENT))
    with pytest.raises(WouldReplaceError, match=r"another document called edits\.yml: press Save"):
        session.save("edits.yml")
    assert load_document(session.folder / "edits.yml") == kept
    assert session.path.name == "edits-2.yml"
    session.save("new.yml")
    session.save("new.yml")
    session.save("edits.yml", replace=True)
    assert load_document(session.folder / "edits.yml") == EditDocument()


def test_what_another_program_wrote_is_not_written_over_unasked(session):
    path = begun(session).save()
    session.undo()
    path.write_bytes(DOCUMENT + b"# by hand\n")
    with pytest.raises(WouldReplaceError, match=r"another program changed edits\.yml"):
        session.save()
    assert path.read_bytes().endswith(b"by hand\n")
    session.save(replace=True)
    session.save()


def test_unsaved_work_on_the_document_that_is_written_over_is_put_aside(session):
    kept = begun(session).document
    session.open(session.add_document("other.yml", DOCUMENT))
    with pytest.raises(WouldReplaceError):
        session.save("edits.yml")
    session.save("edits.yml", replace=True)
    assert load_document(session.folder / "edits-unsaved-1.yml") == kept
    session.save()
    assert not list(session.folder.glob("*.autosave.*"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\0b.yml", r"a document is called NAME.yml or NAME.json, not 'a\\x00b.yml'"),
        ("x" * 300 + ".yml", "a document is called"),
        ("edits.yml.autosave.json", "hold unsaved work"),
        ("edits.yml.autosave.old-1.json", "hold unsaved work"),
    ],
)
def test_names_that_are_no_documents_are_refused_in_one_line(session, name, said):
    begun(session)
    before = files(session)
    for do in (session.save, session.open):
        with pytest.raises(DffError, match=said):
            do(name)
    assert files(session) == before
    assert session.documents() == ["edits.yml"]


# -- kept selections


def test_another_selection_under_a_used_name_changes_no_step(session):
    ask(session, "red")
    session.keep("x")
    first = session.selection.values
    by = FileSelection(file=session.kept.files["x"])
    session.apply(Replace(by=by))
    ask(session, "green")
    session.keep("x")
    assert session.kept.files["x"] != by.file
    kept = session.scene.load_selection(session.folder / by.file)
    assert torch.equal(kept.values, first)
    session.update(0, Replace(by=by, scale=0.5))
    session.apply(Replace(by=FileSelection(file=session.kept.files["x"])))
    kept = session.scene.load_selection(session.folder / session.kept.files["x"])
    assert torch.equal(kept.values, session.selection.values)


def test_deleting_a_kept_selection_blocks_no_undo(session):
    ask(session, "red")
    session.keep("x")
    session.apply(Replace(by=FileSelection(file=session.kept.files["x"])))
    session.change(lambda stack: stack.remove(0))
    session.drop_named("x")
    session.undo()
    session.undo()
    session.redo()
    assert len(session.document.steps) == 1


def test_a_file_that_a_document_names_itself_stays_as_it_is(session):
    ask(session, "red")
    session.keep("x")
    session.apply(Replace(by=FileSelection(file="selections/x.npz")))
    with pytest.raises(DffError, match="step 1 uses the selection 'x' as it is"):
        session.keep("x")
    session.change(lambda stack: stack.remove(0))
    for do in (session.drop_named, session.keep):
        with pytest.raises(DffError, match="Undo or Redo would bring back uses the selection 'x'"):
            do("x")
    session.undo()
    session.save()
    session.open(session.add_document("other.yml", DOCUMENT))
    for do in (session.drop_named, lambda name: (ask(session, "red"), session.keep(name))):
        with pytest.raises(DffError, match=r"a step of edits\.yml uses the selection 'x'"):
            do("x")


def test_what_a_step_brought_is_for_steps_alone(session):
    ask(session, "red")
    session.apply(Duplicate(translate=(0.2, 0.0, 0.0)))
    session.apply(Opacity(factor=0.5))
    with pytest.raises(DffError, match="step 2 brings nothing: transform"):
        session.select_brought(1)
    session.select_brought(0)
    with pytest.raises(DffError, match="what step 1 brought is selected for further steps alone"):
        session.keep("x")


def test_what_a_step_brought_is_followed_to_its_new_place(session):
    ask(session, "red")
    session.apply(Opacity(factor=0.5))
    session.apply(Transform(translate=(0.0, 0.0, 0.3)))
    session.select_brought(1)
    session.change(lambda stack: stack.remove(0))
    assert session.brought == 0
    session.undo()
    assert session.brought == 1
    session.undo()
    assert session.brought is None


# -- uploads


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version: 1\nsteps:\n  - {selection: {text: red}}\n", r"my edits\.yml.* operation"),
        (
            b"version: 1\nsteps:\n  - {selection: {file: a.npz}, operation: {type: delete}}\n",
            "no such file",
        ),
        (
            b"version: 1\nsteps:\n  - selection: {text: red}\n"
            b"    operation: {type: insert, scene: /other/config.yml}\n",
            "add --trust /other to the command and start it again",
        ),
    ],
)
def test_a_document_that_cannot_be_opened_is_not_kept(session, content, said):
    with pytest.raises(DffError, match=said):
        session.add_document("C:\\work\\my edits.yml", content)
    assert not session.documents()


def test_a_document_with_capitals_in_its_ending_can_be_opened(session):
    name = session.add_document("OK.YML", DOCUMENT)
    session.open(name)
    (session.folder / "Other.YAML").write_bytes(DOCUMENT)
    session.open("Other.YAML")
    assert session.documents() == ["OK.yml", "Other.YAML"]


def test_an_upload_does_not_take_the_name_of_unsaved_work(session):
    kept = begun(session).document
    assert session.add_document("edits.yml", DOCUMENT) == "edits-2.yml"
    assert offered(again(session)[0]).document == kept


def test_a_picture_that_cannot_be_read_is_not_kept(session):
    content = session.scene.views("train")[0].path.read_bytes()
    session.choose_picture("shot.png", content)
    before = session.choice
    for name in ("cat.png", "shot.png"):
        with pytest.raises(DffError):
            session.choose_picture(name, b"no picture")
    assert session.choice is before
    assert files(session) == {"pictures/shot.png"}
    session.choose_picture("shot.png", content)
    assert files(session) == {"pictures/shot.png"}


def test_a_download_says_what_else_is_needed(session):
    document = begun(session).document
    assert not names_files(document)
    ask(session, "red")
    session.keep("x")
    session.apply(Replace(by=FileSelection(file=session.kept.files["x"])))
    assert names_files(session.document)
    assert "selections/" in document_text(session.document, session.path)


def test_a_notice_is_told_once_as_long_as_it_holds(session, monkeypatch):
    told = []
    monkeypatch.setattr(session, "notice", told.append)
    monkeypatch.setattr("dff.document_sources.fill_hole", lambda selection, look: None)
    ask(session, "red")
    session.apply(Delete(fill=True))
    assert len(told) == 1
    assert "nothing around the hole" in told[0]
    session.apply(HueShift(degrees=10))
    session.undo()
    assert len(told) == 1
    session.undo()
    session.redo()
    assert len(told) == 2
