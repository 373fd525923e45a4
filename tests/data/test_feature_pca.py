"""Coefficients instead of features in the cache: which basis, what is encoded, what is kept."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from dff.data import feature_run
from dff.data.feature_file import map_bytes
from dff.errors import DffError

sys.path.insert(0, str(Path(__file__).parent))

from feature_support import WideTeacher, cache, edit, files, write_images


@pytest.fixture
def images(tmp_path) -> list[Path]:
    return write_images(tmp_path / "images", 8)


def ensure(tmp_path: Path, images: list[Path], pca: int | None = 4, **more):
    """Maps, the number of images that were encoded for them, and what was printed."""
    teacher, printed = WideTeacher(**more), io.StringIO()
    console = Console(file=printed, width=300)
    maps = cache(tmp_path, teacher, pca=pca, console=console).ensure(images)
    return maps, teacher.encoded, printed.getvalue()


def test_maps_hold_the_coefficients_on_the_singular_vectors_of_all_features(tmp_path, images):
    full, _, _ = ensure(tmp_path / "other", images, pca=None)
    maps, encoded, printed = ensure(tmp_path, images)
    assert encoded == 8
    assert (maps.dim, tuple(maps.basis.shape)) == (4, (4, 12))
    features = torch.cat([torch.from_numpy(full.map(i).reshape(-1, 12)) for i in range(8)])
    vectors = torch.linalg.svd(features.double(), full_matrices=False).Vh[:4]
    # The same subspace: the projections onto both are one.
    basis = maps.basis.double()
    torch.testing.assert_close(basis.T @ basis, vectors.T @ vectors, rtol=0, atol=1e-5)
    cosines = []
    for index in range(8):
        original = torch.from_numpy(full.map(index).astype(np.float64))
        coefficients = torch.from_numpy(maps.map(index).astype(np.float64))
        torch.testing.assert_close(coefficients, original @ basis.T, rtol=0, atol=1e-3)
        cosines.append(torch.nn.functional.cosine_similarity(coefficients @ basis, original, -1))
    cosine = torch.stack(cosines)
    assert f"{cosine.mean():.4f} on average, {cosine.min():.4f} at least" in printed
    # Nothing stays but the coefficients and the basis.
    assert [path.stat().st_size for path in files(tmp_path, "*.fmap")] == [map_bytes((4, 6, 4))] * 8
    assert len(files(tmp_path)) == 9


def test_the_size_is_said_and_refused_with_what_the_basis_needs(tmp_path, images, monkeypatch):
    _, _, printed = ensure(tmp_path, images)
    assert (
        "8 to encode (9.7 kB, 1.2 kB an image; 12.8 kB more while the basis is fitted), 0 ready; "
        "4 coefficients of 12 features a cell" in printed
    )
    usage = shutil.disk_usage(tmp_path)._replace(free=15_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DffError, match=r"need 22\.5 kB"):
        ensure(tmp_path / "other", images)


def test_a_basis_that_keeps_little_is_warned_of(tmp_path, images):
    _, _, printed = ensure(tmp_path, images, pca=1)
    assert "warning: 1 coefficients of 12 features" in printed
    _, _, printed = ensure(tmp_path, images, pca=4)
    assert "warning" not in printed


def test_an_edited_an_added_and_a_renamed_image_keep_the_basis(tmp_path, images):
    before, _, _ = ensure(tmp_path, images)
    edit(images[3])
    after, encoded, _ = ensure(tmp_path, images)
    assert encoded == 1
    assert torch.equal(before.basis, after.basis)
    same = [np.array_equal(before.map(i), after.map(i)) for i in range(8)]
    assert same == [i != 3 for i in range(8)]
    more = write_images(tmp_path / "more", 3, (24, 16))
    images[0] = images[0].rename(images[0].with_name("renamed.png"))
    grown, encoded, _ = ensure(tmp_path, [*images, *more])
    assert encoded == 3
    assert torch.equal(before.basis, grown.basis)
    assert ensure(tmp_path, images)[1] == 0


def test_another_capture_gets_a_basis_of_its_own(tmp_path, images):
    before, _, _ = ensure(tmp_path, images)
    others = write_images(tmp_path / "others", 9, (24, 24))
    # Three of eight is less than half: a basis fitted to other pictures would not do.
    mixed, encoded, _ = ensure(tmp_path, [*images[:3], *others[:5]])
    assert encoded == 8
    assert not torch.equal(before.basis, mixed.basis)
    assert ensure(tmp_path, images)[1] == 0
    assert ensure(tmp_path, [*images[:3], *others[:5]])[1] == 0


def test_features_at_hand_are_projected_not_encoded(tmp_path, images):
    fresh, _, _ = ensure(tmp_path / "fresh", images)
    ensure(tmp_path, images[:6], pca=None)
    maps, encoded, printed = ensure(tmp_path, images)
    assert encoded == 2
    assert "2 to encode, 6 to project" in printed
    assert torch.equal(maps.basis, fresh.basis)
    for index in range(8):
        assert np.array_equal(maps.map(index), fresh.map(index))
    # The features were asked for once: they stay.
    assert ensure(tmp_path, images[:6], pca=None)[1] == 0


def test_no_more_features_are_kept_meanwhile_than_the_basis_is_fitted_to(
    tmp_path, images, monkeypatch
):
    monkeypatch.setattr(feature_run, "FITTED_IMAGES", 3)
    most, write = [], feature_run.write_map

    def watch(*arguments):
        most.append(len(files(tmp_path, "scratch/*.fmap")))
        return write(*arguments)

    monkeypatch.setattr(feature_run, "write_map", watch)
    _, encoded, _ = ensure(tmp_path, images)
    assert encoded == 8
    assert max(most) == 3
    assert files(tmp_path, "scratch/*") == []


@pytest.mark.parametrize("stop", [2, 5, 7])
def test_an_interrupted_run_is_carried_on(tmp_path, images, monkeypatch, stop):
    monkeypatch.setattr(feature_run, "FITTED_IMAGES", 4)
    fresh, _, _ = ensure(tmp_path / "fresh", images)
    with pytest.raises(KeyboardInterrupt):
        ensure(tmp_path, images, stop_after=stop)
    maps, encoded, _ = ensure(tmp_path, images)
    assert encoded == 8 - stop
    assert torch.equal(maps.basis, fresh.basis)
    assert files(tmp_path, "scratch/*") == []


def test_a_damaged_basis_or_map_is_made_anew(tmp_path, images):
    before, _, _ = ensure(tmp_path, images)
    (basis,) = files(tmp_path, "*.safetensors")
    files(tmp_path, "*.fmap")[0].write_bytes(b"")
    maps, encoded, _ = ensure(tmp_path, images)
    assert encoded == 1
    basis.write_bytes(basis.read_bytes()[:-1])
    maps, encoded, printed = ensure(tmp_path, images)
    assert "warning: the basis of 8 images is damaged; fitting it anew" in printed
    assert encoded == 8
    assert torch.equal(maps.basis, before.basis)


def test_more_coefficients_than_features_keep_the_features(tmp_path, images):
    for pca in (12, 100):
        maps, _, printed = ensure(tmp_path, images, pca=pca)
        assert maps.basis is None
        assert maps.dim == 12
        assert f"pca {pca} would drop none of 12 features" in printed
    with pytest.raises(DffError, match="at least 1, not 0"):
        ensure(tmp_path, images, pca=0)


ONE_OF_TWO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from feature_support import WideTeacher, cache
folder = Path(sys.argv[2])
teacher = WideTeacher()
(folder / f"ready{sys.argv[3]}").touch()
while not (folder / f"ready{1 - int(sys.argv[3])}").exists():
    pass
maps = cache(folder, teacher, pca=4).ensure(sorted((folder / "images").iterdir()))
print([maps.map(i).tobytes().hex() for i in range(len(maps))], maps.basis.tolist())
"""


@pytest.mark.slow
def test_two_processes_at_once_agree_on_the_basis_and_all_maps(tmp_path):
    images = write_images(tmp_path / "images", 24, (64, 64))
    here = str(Path(__file__).parent)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_OF_TWO, here, str(tmp_path), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    last = [process.communicate(timeout=240)[0].splitlines()[-1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert last[0] == last[1]
    assert len(files(tmp_path, "*.safetensors")) == 1
    assert len(files(tmp_path)) == 25
    assert ensure(tmp_path, images)[1] == 0


KILLED_WHILE_ENCODING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from feature_support import WideTeacher, cache
folder = Path(sys.argv[2])
teacher = WideTeacher()
teacher.killed_after = 5
cache(folder, teacher, pca=4).ensure(sorted((folder / "images").iterdir()))
"""


@pytest.mark.slow
def test_a_killed_process_is_carried_on(tmp_path, images):
    arguments = [str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_ENCODING, *arguments], check=False)
    assert done.returncode == -9
    _, encoded, _ = ensure(tmp_path, images)
    assert encoded == 3
