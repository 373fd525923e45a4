"""Who may know whom, and what no file may hold: the design's rooms, kept by reading the source."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "dff").rglob("*.py"))
MAX_LINES = 400

# The rooms that are plain torch, and what else of ours each may import: only what lies below it.
BASE = {"errors", "files"}
PURE_ROOMS = {
    "rendering": BASE,
    "teachers": BASE,
    "fields": BASE | {"rendering"},
    "query": BASE | {"teachers"},
    "selection": BASE | {"teachers", "fields", "rendering", "query"},
    "edits": BASE | {"teachers", "fields", "rendering", "query", "selection"},
}
# Glue: it may know the model and the scene, but no windows, no command line and no pipelines.
QUIET_GLUE = ("repaint",)
SHELLS = {"cli", "editor"}

# Windows, command lines and nerfstudio's machinery; field components and cameras are fine.
FOREIGN_TO_PURE_ROOMS = (
    "viser",
    "tyro",
    "nerfstudio.configs",
    "nerfstudio.data",
    "nerfstudio.engine",
    "nerfstudio.exporter",
    "nerfstudio.models",
    "nerfstudio.pipelines",
    "nerfstudio.plugins",
    "nerfstudio.scripts",
    "nerfstudio.viewer",
)
ALLOWED_ALL_THE_SAME = ("nerfstudio.data.scene_box",)


class Import(NamedTuple):
    path: Path
    line: int
    module: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def room_of(path: Path) -> str:
    """First step below dff/: a folder's name or a module's."""
    return path.relative_to(ROOT / "dff").parts[0].removesuffix(".py")


def imports(path: Path) -> list[Import]:
    """Every import in a file, those inside functions too, as absolute module names."""
    found = []
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [Import(path, node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [Import(path, node.lineno, f"{base}.{alias.name}") for alias in node.names]
    return found


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


ALL_IMPORTS = [each for path in FILES for each in imports(path)]


def listed(problems: list) -> str:
    return "\n".join(str(problem) for problem in problems)


@pytest.mark.parametrize("room", PURE_ROOMS)
def test_a_pure_room_knows_only_what_lies_below_it(room):
    allowed = PURE_ROOMS[room] | {room}
    problems = [
        each
        for each in ALL_IMPORTS
        if room_of(each.path) == room
        and is_within(each.module, "dff")
        and (each.module.split(".") + [""])[1] not in allowed
    ]
    assert not problems, listed(problems)


@pytest.mark.parametrize("room", [*PURE_ROOMS, *QUIET_GLUE])
def test_a_pure_room_knows_no_windows_and_no_nerfstudio_machinery(room):
    problems = [
        each
        for each in ALL_IMPORTS
        if room_of(each.path) == room
        and any(is_within(each.module, foreign) for foreign in FOREIGN_TO_PURE_ROOMS)
        and not any(is_within(each.module, allowed) for allowed in ALLOWED_ALL_THE_SAME)
    ]
    assert not problems, listed(problems)


def test_only_shells_know_shells():
    problems = [
        each
        for each in ALL_IMPORTS
        if room_of(each.path) not in SHELLS
        and any(is_within(each.module, f"dff.{shell}") for shell in SHELLS)
    ]
    assert not problems, listed(problems)


def test_nothing_needs_open3d():
    problems = [each for each in ALL_IMPORTS if is_within(each.module, "open3d")]
    assert not problems, listed(problems)


def test_no_star_imports_and_no_code_from_text():
    problems = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            star = isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names)
            called = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("eval", "exec", "compile")
            )
            if star or called:
                problems.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not problems, listed(problems)


def test_no_device_is_written_into_the_code():
    problems = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value!r}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("cuda:")
    ]
    assert not problems, listed(problems)


def test_no_error_is_swallowed_in_silence():
    problems = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or all(isinstance(child, ast.Pass) for child in node.body))
    ]
    assert not problems, listed(problems)


@pytest.mark.parametrize("folder", ["dff", "tests", "tools"])
def test_files_stay_small(folder):
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    problems = [f"{name}: {count} lines" for name, count in lengths.items() if count > MAX_LINES]
    assert not problems, listed(problems)


def test_every_room_says_what_happens_in_it():
    silent = [
        str(path.relative_to(ROOT))
        for path in FILES
        if path.name == "__init__.py" and not ast.get_docstring(tree(path))
    ]
    assert not silent, listed(silent)
