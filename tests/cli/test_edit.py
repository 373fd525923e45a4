"""``dff edit`` as a command: what is wrong is one line, and nothing is served."""

from __future__ import annotations

import pytest

from dff.cli import main


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
