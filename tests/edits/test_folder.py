"""Which files a document may make us read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import dff.edits.folder
from dff.edits.folder import file_within, query_within, trusted_file
from dff.errors import DffError
from dff.query.shown import Patch, PatchQuery


@pytest.fixture
def folder(tmp_path) -> Path:
    """A document's folder with files in it, beside one with secrets."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.npz").write_text("key")
    (tmp_path / "own" / "deep").mkdir(parents=True)
    (tmp_path / "own" / "deep" / "mask.npz").write_text("mask")
    (tmp_path / "own-too").mkdir()
    (tmp_path / "own-too" / "x.npz").write_text("x")
    return tmp_path / "own"


def refusal(read, *arguments) -> str:
    with pytest.raises(DffError) as caught:
        read(*arguments)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_files_of_the_folder_are_found(folder):
    mask = folder / "deep" / "mask.npz"
    (folder / "link.npz").symlink_to(mask)
    for name in ("deep/mask.npz", "deep/../deep/mask.npz", str(mask), "link.npz", "./link.npz"):
        assert file_within(folder, name) == mask.resolve()


def test_a_folder_that_is_itself_a_link_is_followed(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert file_within(tmp_path / "link", "deep/mask.npz").read_text() == "mask"


@pytest.mark.parametrize(
    "name",
    ["../secret/key.npz", "deep/../../secret/key.npz", "/etc/passwd", "out.npz", "out/key.npz"]
    + ["../own-too/x.npz", "..", "../none.npz"],
)
def test_what_lies_elsewhere_is_refused(folder, name):
    (folder / "out.npz").symlink_to(folder.parent / "secret" / "key.npz")
    (folder / "out").symlink_to(folder.parent / "secret")
    assert "not in its own folder: put it there" in refusal(file_within, folder, name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.npz", "there is no such file"),
        ("deep", "a folder or a device, no file"),
        (".", "a folder or a device, no file"),
        ("pipe", "a folder or a device, no file"),
        ("a\0b", "no file: embedded null"),
        ("x" * 300, "File name too long"),
        ("x/" * 3000, "File name too long"),
        ("circle", "link"),
        ("\x1b[2J", "'\\x1b[2J'"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_no_file_is_refused(folder, name, says):
    os.mkfifo(folder / "pipe")
    (folder / "circle").symlink_to(folder / "circle")
    assert says in refusal(file_within, folder, name)


def test_sizes_are_bounded(folder, monkeypatch):
    np.savez_compressed(folder / "bomb.npz", zeros=np.zeros(100_000, dtype=np.uint8))
    assert (folder / "bomb.npz").stat().st_size < 1000
    monkeypatch.setattr(dff.edits.folder, "MAX_FILE_BYTES", 10_000)
    assert "too large" in refusal(file_within, folder, "bomb.npz")
    assert file_within(folder, "deep/mask.npz").read_text() == "mask"
    monkeypatch.setattr(dff.edits.folder, "MAX_FILE_BYTES", 3)
    assert "too large" in refusal(file_within, folder, "deep/mask.npz")


def test_a_document_without_a_folder_names_no_files(folder):
    assert "no folder of its own" in refusal(file_within, None, "a.npz")
    assert "no folder of its own" in refusal(file_within, None, str(folder / "deep" / "mask.npz"))


def test_scenes_are_read_from_trusted_folders_alone(folder, tmp_path):
    run = tmp_path / "runs" / "a b"
    run.mkdir(parents=True)
    config = run / "config.yml"
    config.write_text("")
    (folder / "config.yml").write_text("")
    said = refusal(trusted_file, folder, "../runs/a b/config.yml", ())
    assert f"add --trust '{run}'" in said
    assert "can run code" in said
    assert said.endswith("to the command and start it again")
    # Lying in the document's own folder makes nothing harmless.
    assert "--trust" in refusal(trusted_file, folder, "config.yml", ())
    assert "--trust" in refusal(trusted_file, folder, "config.yml", [run])
    for trusted in ([run], [tmp_path / "runs"], [tmp_path], [folder, run]):
        assert trusted_file(folder, "../runs/a b/config.yml", trusted) == config
        assert trusted_file(None, str(config), trusted) == config
    assert "no folder of its own" in refusal(trusted_file, None, "runs/config.yml", [tmp_path])


def test_links_out_of_a_trusted_folder_and_missing_scenes_are_refused(folder, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "config.yml").symlink_to(tmp_path / "secret" / "key.npz")
    assert "--trust" in refusal(trusted_file, folder, "../runs/config.yml", [runs])
    assert "no such file" in refusal(trusted_file, folder, "../runs/none.yml", [runs])
    assert "a folder or a device" in refusal(trusted_file, folder, "../runs", [runs])
    # Whether a file is there is not told of folders that nobody trusts.
    assert "--trust" in refusal(trusted_file, folder, "../secret/none.yml", [runs])


def test_patches_show_the_capture_or_files_of_the_folder(folder):
    (folder / "shown.png").write_text("")
    query = PatchQuery((Patch("IMG_1"), Patch("shown.png")), (Patch("IMG_2", mask="shown.png"),))
    found = query_within(folder, query, {"IMG_1", "IMG_2"})
    own = str(folder / "shown.png")
    assert found.positives == (Patch("IMG_1"), Patch(own))
    assert found.negatives == (Patch("IMG_2", mask=own),)
    wrong = PatchQuery((Patch("img_11"),))
    assert "did you mean 'IMG_1'?" in refusal(query_within, folder, wrong, {"IMG_1", "table"})
    outside = PatchQuery((Patch("../secret/key.npz"),))
    assert "not in its own folder" in refusal(query_within, folder, outside, {"IMG_1"})
