"""Work that was not saved is there again after a crash."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dff.edits import Autosave, Delete, EditDocument, EditStack, EditStep, TextSelection
from dff.edits.storage import load_document, save_document
from dff.errors import DffError


def document(*words: str) -> EditDocument:
    steps = [EditStep(selection=TextSelection(text=(w,)), operation=Delete()) for w in words]
    return EditDocument(steps=tuple(steps))


def put_later(path, than) -> None:
    """Files written within one tick of the clock are equally old."""
    moment = than.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(moment, moment))


def test_what_was_not_saved_is_recovered(tmp_path):
    path = tmp_path / "edits.yml"
    Autosave(path).save(document("apple"))
    assert Autosave(path).recover() == document("apple")
    assert [p.name for p in tmp_path.iterdir()] == ["edits.yml.autosave.json"]


def test_there_is_nothing_to_recover_without_work(tmp_path):
    autosave = Autosave(tmp_path / "edits.yml")
    assert autosave.recover() is None
    autosave.save(document())
    assert autosave.recover() is None
    autosave.save(document("apple"))
    autosave.discard()
    autosave.discard()
    assert autosave.recover() is None
    assert not list(tmp_path.iterdir())


def test_what_is_saved_or_older_is_not_offered(tmp_path):
    path = tmp_path / "edits.yml"
    save_document(document("apple"), path)
    autosave = Autosave(path)
    autosave.save(document("apple"))
    assert Autosave(path).recover() is None
    autosave.save(document("apple", "mug"))
    put_later(autosave.file, path)
    assert Autosave(path).recover() == document("apple", "mug")
    put_later(path, autosave.file)
    assert Autosave(path).recover() is None


def test_work_of_an_earlier_run_is_not_written_over_unasked(tmp_path):
    path, said = tmp_path / "edits.yml", []
    Autosave(path).save(document("first"))
    second = Autosave(path, said.append)
    second.save(document("second"))
    second.save(document("second", "more"))
    assert Autosave(path).recover() == document("second", "more")
    aside = tmp_path / "edits.yml.autosave.old-1.json"
    assert said == [
        "edits.yml.autosave.json was left by an earlier run: it was put aside as " + aside.name
    ]
    os.replace(aside, second.file)
    assert Autosave(path).recover() == document("first")


def test_recovered_work_is_written_on(tmp_path):
    path = tmp_path / "edits.yml"
    Autosave(path).save(document("first"))
    again = Autosave(path)
    assert again.recover() == document("first")
    again.save(document("first", "second"))
    assert [p.name for p in tmp_path.iterdir()] == [again.file.name]


def test_what_was_recovered_can_be_put_aside_as_a_document(tmp_path):
    autosave = Autosave(tmp_path / "edits.yml")
    asides = [autosave.put_aside(document(word)) for word in ("first", "second")]
    assert [aside.name for aside in asides] == ["edits-unsaved-1.yml", "edits-unsaved-2.yml"]
    assert [load_document(aside) for aside in asides] == [document("first"), document("second")]


def test_what_is_put_aside_of_such_a_copy_is_called_like_its_document(tmp_path):
    for called, wanted in (
        ("edits-unsaved-1", "edits-unsaved-1"),
        ("edits-unsaved-1-unsaved-3", "edits-unsaved-2"),
        ("my-unsaved-work", "my-unsaved-work-unsaved-1"),
    ):
        aside = Autosave(tmp_path / f"{called}.yml").put_aside(document(called))
        assert aside.name == f"{wanted}.yml"


def test_a_history_that_is_too_long_to_be_read_again_is_left_out(tmp_path):
    stack = EditStack(document(*(f"thing {n}" for n in range(900))))
    for _ in range(60):
        stack.toggle(0)
    autosave = Autosave(tmp_path / "edits.yml")
    autosave.save(stack)
    found = Autosave(tmp_path / "edits.yml").recover_history()
    assert found is not None
    assert found.document == stack.document
    assert found.undoable is None
    while stack.now > 30:
        stack.undo()
    stack.toggle(1)
    autosave.save(stack)
    found = Autosave(tmp_path / "edits.yml").recover_history()
    assert found is not None
    assert found.undoable == "switch off step 2"


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "foreign", "binary", "wrong step", "missing step"]
)
def test_a_damaged_autosave_is_put_aside_in_one_line(tmp_path, damage):
    path, said = tmp_path / "edits.yml", []
    autosave = Autosave(path, said.append)
    autosave.save(document("apple"))
    content = autosave.file.read_bytes()
    autosave.file.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "empty": b"",
            "foreign": b"[1, 2]",
            "binary": bytes(range(256)),
            "wrong step": content.replace(b"delete", b"delight"),
            "missing step": content.replace(b'"steps": [0]', b'"steps": [7]'),
        }[damage]
    )
    damaged = autosave.file.read_bytes()
    assert damaged != content
    assert autosave.recover() is None
    (aside,) = tmp_path.iterdir()
    assert aside.read_bytes() == damaged
    assert said == [f"{autosave.file.name} is damaged: it was put aside as {aside.name}"]
    autosave.save(document("apple"))
    assert autosave.recover() == document("apple")


@given(
    content=st.binary(max_size=80)
    | st.recursive(
        st.none() | st.integers() | st.sampled_from(["apple", "1"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.fixed_dictionaries(
                {"autosave": st.just(1)}, optional={"now": inner, "moments": inner, "steps": inner}
            )
        ),
        max_leaves=8,
    ).map(lambda data: json.dumps(data).encode())
)
def test_whatever_stands_there_recovering_raises_nothing(tmp_path, content):
    autosave = Autosave(tmp_path / "edits.yml", [].append)
    autosave.file.write_bytes(content)
    assert autosave.recover() is None
    for path in tmp_path.iterdir():
        path.unlink()


@given(data=st.data())
def test_the_history_comes_back(tmp_path, any_step, data):
    stack = EditStack()
    for step in data.draw(st.lists(any_step, min_size=1, max_size=5)):
        stack.push(step)
    for _ in range(data.draw(st.integers(0, stack.now - 1))):
        stack.undo()
    Autosave(tmp_path / "edits.yml", [].append).save(stack)
    again = Autosave(tmp_path / "edits.yml").recover_history()
    assert again is not None
    assert (again.moments, again.now) == (stack.moments, stack.now)
    Autosave(tmp_path / "edits.yml").discard()


def test_a_long_history_is_cut_and_its_steps_are_stored_once(tmp_path):
    stack = EditStack(document(*map(str, range(100))))
    for number in range(500):
        stack.move(number % 100, number * 7 % 100)
    for _ in range(60):
        stack.undo()
    autosave = Autosave(tmp_path / "edits.yml")
    autosave.save(stack)
    again = autosave.recover_history()
    assert again is not None
    assert again.document == stack.document
    assert len(again.moments) == 100
    assert again.undo() == stack.undo()
    assert again.redo() == stack.redo()
    assert len(json.loads(autosave.file.read_text())["steps"]) == 100


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DffError, match="cannot write"):
        Autosave(tmp_path / "file" / "edits.yml").save(document("apple"))


def work_until_killed(path, told) -> None:
    autosave, stack = Autosave(path), EditStack()
    number = 0
    while True:
        stack.push(document(f"thing {number}").steps[0])
        autosave.save(stack)
        told.send(number)
        number += 1


def test_a_killed_editor_loses_no_finished_action(tmp_path):
    fork = multiprocessing.get_context("fork")
    for run in range(3):
        path = tmp_path / f"edits-{run}.yml"
        heard, told = fork.Pipe(duplex=False)
        editor = fork.Process(target=work_until_killed, args=(path, told))
        editor.start()
        last = 0
        while last < 20 + run:
            last = heard.recv()
        editor.kill()
        editor.join()
        while heard.poll():
            last = heard.recv()
        found = Autosave(path).recover()
        assert found is not None
        words = [step.selection.text for step in found.steps]
        # One more may have been written than was told of.
        assert len(words) in (last + 1, last + 2)
        assert words == [(f"thing {number}",) for number in range(len(words))]
