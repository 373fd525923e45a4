"""`dff schema`, and the copy of its result that is kept with the examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from dff.cli import main
from dff.edits.schema import schema_text

KEPT = Path(__file__).parents[2] / "configs" / "edit-document.schema.json"


def test_the_kept_schema_is_up_to_date():
    expected = schema_text()
    assert KEPT.read_text(encoding="utf-8") == expected, (
        f"run: dff schema --output {KEPT.relative_to(KEPT.parents[1])}"
    )


def test_it_is_printed_or_written(capsys, tmp_path):
    main(["schema"])
    assert capsys.readouterr().out == schema_text()
    main(["schema", "--output", str(tmp_path / "new" / "schema.json")])
    assert (tmp_path / "new" / "schema.json").read_text(encoding="utf-8") == schema_text()
    assert "schema.json" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_to_is_one_line(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        main(["schema", "--output", str(tmp_path / "file" / "schema.json")])
    assert capsys.readouterr().err.startswith("error: cannot write")
