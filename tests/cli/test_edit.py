"""``dff edit`` as a command: what is wrong is one line, and nothing is served."""

from __future__ import annotations

import os

import pytest

import dff.editor.app
import dff.scene
from dff.cli import main
from dff.editor.alone import alone_in
from dff.edits.document import EditStep
from dff.edits.operations import Delete
from dff.edits.selections import TextSelection
from dff.errors import DffError


def refused(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["edit", *map(str, arguments)])
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    (line,) = [each for each in said.splitlines() if each.startswith("error: ")]
    assert "Traceback" not in said
    return line


def test_without_any_run(capsys, tmp_path):
    assert "no trained dff scene below" in refused(capsys, "--runs", tmp_path)


def test_a_run_that_is_not_there(capsys, tmp_path):
    assert "no such configuration" in refused(capsys, "--load-config", tmp_path / "config.yml")


@pytest.mark.parametrize(
    ("document", "said"),
    [("edits.txt", "a document is called"), ("../edits.yml", "a document is called")],
)
def test_a_document_of_no_name(capsys, trained, tmp_path, document, said):
    config = ("--load-config", trained, "--folder", tmp_path)
    assert said in refused(capsys, *config, "--document", document)


def test_a_document_with_a_fault(capsys, trained, tmp_path):
    (tmp_path / "edits.yml").write_text("version: 1\nsteps:\n  - {selection: {text: red}, op: 1}\n")
    line = refused(capsys, "--load-config", trained, "--folder", tmp_path)
    assert "edits.yml, line 3" in line


def test_an_address_that_is_not_ours(capsys, trained, tmp_path):
    config = ("--load-config", trained, "--folder", tmp_path)
    assert "cannot listen at 203.0.113.7:7007" in refused(capsys, *config, "--host", "203.0.113.7")


@pytest.mark.parametrize(
    "given", [("--document", "edits.txt"), ("--host", "203.0.113.7"), ("--port", "99999")]
)
def test_what_is_wrong_is_said_before_anything_is_loaded(capsys, monkeypatch, tmp_path, given):
    monkeypatch.setattr(dff.scene, "load", lambda *_: pytest.fail("a scene was loaded"))
    run = ("--load-config", tmp_path / "config.yml", "--folder", tmp_path)
    assert "document" in (line := refused(capsys, *run, *given)) or "cannot listen" in line


def test_beside_another_editor_nothing_is_loaded(capsys, monkeypatch, trained, tmp_path):
    monkeypatch.setattr(dff.scene, "load", lambda *_: pytest.fail("a scene was loaded"))
    with alone_in(tmp_path):
        line = refused(capsys, "--load-config", trained, "--folder", tmp_path)
    assert "another dff edit is at work" in line


def test_the_folder_is_locked_while_the_editor_runs(monkeypatch, trained, tmp_path):
    def beside(session, _host, _port, _ready) -> None:
        with pytest.raises(DffError, match="another dff edit"), alone_in(session.folder):
            pass

    monkeypatch.setattr(dff.editor.app, "run_editor", beside)
    main(["edit", "--load-config", str(trained), "--folder", str(tmp_path)])


def test_the_document_that_was_worked_on_last_is_opened(monkeypatch, trained, tmp_path):
    opened = []

    def editing(session, _host, _port, _ready) -> None:
        opened.append((session.path.name, session.recoverable() is not None))
        if len(opened) > 1:
            return
        for name in ("castle.yml", "tower.yml"):
            session.save(name)
            # As if written at another time.
            os.utime(tmp_path / name, (1e9, 1e9 + len(name)))
        session.open("castle.yml")
        session.change(lambda stack: stack.push(nothing_deleted()))

    monkeypatch.setattr(dff.editor.app, "run_editor", editing)
    config = ["edit", "--load-config", str(trained), "--folder", str(tmp_path)]
    main(config)
    main(config)
    main([*config, "--document", "tower.yml"])
    assert opened == [("edits.yml", False), ("castle.yml", True), ("tower.yml", False)]


def nothing_deleted() -> EditStep:
    return EditStep(enabled=False, selection=TextSelection(text=("red",)), operation=Delete())


def test_no_folder_is_made_beside_a_run_that_is_not_there(capsys, tmp_path):
    refused(capsys, "--load-config", tmp_path / "run" / "config.yml")
    assert not (tmp_path / "run").exists()


def test_a_port_that_is_taken_is_told(capsys, monkeypatch, trained, tmp_path):
    monkeypatch.setattr(
        dff.editor.app, "run_editor", lambda _session, _host, _port, ready: ready("http://x:7008")
    )
    main(["edit", "--load-config", str(trained), "--folder", str(tmp_path), "--port", "7007"])
    assert "notice: port 7007 is taken" in capsys.readouterr().err
    main(["edit", "--load-config", str(trained), "--folder", str(tmp_path), "--port", "7008"])
    assert "taken" not in capsys.readouterr().err
