"""Label files: one name a line, ``#`` begins a comment line."""

from __future__ import annotations

from pathlib import Path

from dff.errors import DffError

LONGEST = 100
LARGEST = 1 << 20


def read_labels(path: Path) -> tuple[str, ...]:
    """Names in the order of the file, each once.

    Names that differ only in case or in the spaces between words are one; the first spelling stays.

    Args:
        path: a text file in UTF-8, at most 1 MiB, with lines of at most 100 characters.

    Raises:
        DffError: the file is missing, no such text file, or names nothing.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise DffError(f"cannot read label file {path}: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or len(content) > LARGEST:
        raise DffError(f"label file {path} is no list of names: write one name a line, in UTF-8")
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name = " ".join(line.split())
        if not name or name.startswith("#"):
            continue
        if len(name) > LONGEST:
            raise DffError(
                f"label file {path}, line {number}: a name has at most {LONGEST} characters, "
                f"not {len(name)}: write one name a line"
            )
        found.setdefault(name.casefold(), name)
    if not found:
        raise DffError(f"label file {path} names nothing: write one name a line")
    return tuple(found.values())
