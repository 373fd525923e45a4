"""``dff schema``: the JSON Schema of edit documents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Schema:
    """Write the JSON Schema of edit documents.

    Editors complete and check a document by it: begin a YAML document with the line
    ``# yaml-language-server: $schema=FILE``.
    """

    output: Path | None = None
    """The file to write; without it the schema is printed."""

    def run(self) -> None:
        """Write or print it."""
        from dff.edits.schema import schema_text
        from dff.files import atomic_write

        text = schema_text()
        if self.output is None:
            print(text, end="")
            return
        with atomic_write(self.output) as stream:
            stream.write(text.encode("utf-8"))
        print(f"schema in {self.output}")
