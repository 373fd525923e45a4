"""The library of compiled kernels: what builds it, and what becomes of a damaged one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dff.errors import DffError
from dff.fields import compiled_kernel
from dff.fields.compiled_kernel import SOURCES, build, find_compiler, is_whole, load_kernels

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler here")


@pytest.mark.parametrize("wanted", ["no-such-compiler -O2", "gcc 'unended"])
def test_a_compiler_of_cc_that_is_not_there_is_named(fresh, monkeypatch, capsys, wanted):
    monkeypatch.setenv("CC", wanted)
    assert load_kernels() is None
    said = capsys.readouterr().err
    assert f"CC is {wanted!r}" in said
    assert "name one in CC" not in said


@needs_compiler
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the compiler")
def test_cc_may_have_arguments(fresh, monkeypatch, tmp_path):
    compiler = find_compiler()
    assert compiler is not None
    # As `ccache gcc`: runs what its arguments say, of which it notes the second.
    wrapper = tmp_path / "wrap per"
    wrapper.write_text(f'#!/bin/sh\necho "$2" >"{tmp_path}/noted"\nexec "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    monkeypatch.setenv("CC", f"'{wrapper}' {compiler[0]} -O2")
    assert load_kernels() is not None
    assert (tmp_path / "noted").read_text(encoding="utf-8") == "-O2\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the compiler")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'x.c:1: error: no such luck' >&2; exit 1", "no such luck"),
        ("exit 3", "no reason"),
        ("exit 0", "no reason"),
    ],
)
def test_a_compiler_that_refuses_is_named(fresh, monkeypatch, tmp_path, capsys, script, reason):
    compiler = tmp_path / "refusing-cc"
    compiler.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert load_kernels() is None
    said = capsys.readouterr().err
    assert reason in said
    assert "refusing-cc" in said
    assert list(fresh.glob("*")) == []


@needs_compiler
def test_a_folder_that_cannot_be_written_leaves_torch(fresh, capsys):
    fresh.write_text("a file is in the way", encoding="utf-8")
    assert load_kernels() is None
    assert "cannot write" in capsys.readouterr().err


@needs_compiler
def test_a_damaged_library_is_built_again(fresh):
    path = compiled_kernel.library_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    assert load_kernels() is not None
    assert path.stat().st_size > 1000


LOADING = """
import sys
from dff.fields.compiled_kernel import load_kernels
sys.exit(load_kernels() is None)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("built") / "library.so"
    build(SOURCES, path)
    return path.read_bytes()


@needs_compiler
@pytest.mark.parametrize("size", [5_000, 20_000])
def test_a_library_that_was_cut_off_is_built_again_by_several_at_once(fresh, library, size):
    path = compiled_kernel.library_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(library[:size])
    # Other processes, as loading half a library would end this one.
    started = [subprocess.Popen([sys.executable, "-c", LOADING]) for _ in range(2)]
    assert [each.wait(120) for each in started] == [0, 0]
    assert is_whole(path)
    assert [each.name for each in fresh.iterdir()] == [path.name]


@needs_compiler
def test_only_a_library_as_it_was_built_is_whole(library, tmp_path):
    path = tmp_path / "library.so"
    assert not is_whole(path)
    path.write_bytes(library)
    assert is_whole(path)
    changed = bytearray(library)
    changed[len(library) // 2] ^= 1
    for damaged in (b"", library[:-1], library[:-32], library + b"\0", changed):
        path.write_bytes(damaged)
        assert not is_whole(path)


def test_a_damaged_library_in_a_folder_that_cannot_be_written_leaves_torch(
    fresh, monkeypatch, capsys
):
    path = compiled_kernel.library_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")

    def refused(target):
        raise DffError(f"cannot write {target}: Read-only file system")

    monkeypatch.setattr(compiled_kernel, "atomic_write", refused)
    monkeypatch.setattr(compiled_kernel, "open_library", None)  # not even tried
    assert load_kernels() is None
    assert capsys.readouterr().err.count("\n") == 1


@needs_compiler
def test_a_library_is_built_once_and_for_its_source_and_machine(fresh, monkeypatch, tmp_path):
    assert load_kernels() is not None
    path = compiled_kernel.library_path()
    written = path.stat().st_mtime_ns
    load_kernels.cache_clear()
    assert load_kernels() is not None
    assert path.stat().st_mtime_ns == written
    assert [each.name for each in fresh.iterdir()] == [path.name]
    for number, source in enumerate(SOURCES):
        other = tmp_path / source.name
        other.write_bytes(source.read_bytes() + b"\n")
        changed = (*SOURCES[:number], other, *SOURCES[number + 1 :])
        assert compiled_kernel.library_path(changed) != path
    monkeypatch.setattr(compiled_kernel, "machine", lambda: "another")
    assert compiled_kernel.library_path() != path


@needs_compiler
@pytest.mark.parametrize("tuning", [("-march=native",), ()])
def test_it_compiles_without_warnings_as_c11(tmp_path, tuning):
    compiler = find_compiler()
    assert compiler is not None
    sources = [str(source) for source in SOURCES if source.suffix == ".c"]
    command = [*compiler, "-O1", "-Wall", "-Wextra", "-Wno-psabi", "-std=gnu11", *tuning]
    done = subprocess.run(
        [*command, "-shared", "-fPIC", "-pthread", "-ldl", "-o", str(tmp_path / "a.so"), *sources],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
