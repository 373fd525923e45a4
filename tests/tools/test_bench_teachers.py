"""The bench of teachers: what it measures, and what it says of what it cannot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dff.errors import DffError

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import bench_teachers  # noqa: E402
from bench_teachers import (  # noqa: E402
    Bench,
    Row,
    compression,
    main,
    markdown,
    measure,
    peak_memory,
    spread,
)
from random_teachers import options_for, write_random_weights  # noqa: E402


def photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(count):
        pixels = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return folder


def test_a_teacher_is_measured() -> None:
    bench = Bench(size=(60, 80), repeats=2, threads=torch.get_num_threads(), pca=10)
    row = measure("mini", "cpu", bench)
    assert isinstance(row, Row)
    rows, columns, dim = row.grid
    assert dim == 64
    assert rows / columns == pytest.approx(60 / 80)
    assert row.map_bytes == rows * columns * 64 * 2
    assert row.pca_bytes == rows * columns * 10 * 2
    assert 0 < row.seconds < 60
    assert row.cpu_seconds > 0
    assert row.weights == "trained"
    assert markdown([row], 10).count("\n") == 2
    assert len({line.count("|") for line in markdown([row], 10).splitlines()}) == 1
    assert f"{rows}x{columns}x64" in markdown([row], 10)


def test_what_cannot_be_measured_says_why(monkeypatch, capsys) -> None:
    assert isinstance(measure("minni", "cpu", Bench()), DffError)
    assert isinstance(measure("mini=large", "cpu", Bench()), DffError)
    monkeypatch.setattr(bench_teachers, "in_process", lambda function, *given: function(*given))
    main(Bench(teachers=("minni",), devices=("cpu",)))
    told = capsys.readouterr()
    assert "minni on cpu: there is no teacher 'minni'" in told.err
    assert told.out == ""


def test_models_are_chosen_by_name() -> None:
    name, options = options_for("clip=ViT-L-14-336", Path("w.pt"))
    assert (name, options.clip.model, options.checkpoint) == ("clip", "ViT-L-14-336", Path("w.pt"))
    name, options = options_for("dino=vit_base_patch14_dinov2.lvd142m")
    assert (name, options.dino.model) == ("dino", "vit_base_patch14_dinov2.lvd142m")
    assert options_for("lseg")[0] == "lseg"
    with pytest.raises(DffError, match="'lseg' has no models to choose from"):
        options_for("lseg=large")


def test_weights_that_are_not_trained_have_the_published_names(tmp_path) -> None:
    assert isinstance(write_random_weights("mini", tmp_path / "w.pt"), DffError)
    assert isinstance(write_random_weights("clip=ViT-B-61", tmp_path / "w.pt"), DffError)
    assert not (tmp_path / "w.pt").exists()


def test_peak_memory_grows_with_what_is_held_and_stays() -> None:
    before = peak_memory()
    held: list[np.ndarray] = []
    while peak_memory() < before + 64:
        held.append(np.ones(2**22))  # 32 MB
        assert len(held) < 64  # more than any earlier peak
    largest = peak_memory()
    held.clear()
    assert peak_memory() > largest - 1  # the kernel counts in batches


def test_photos_are_spread_over_a_folder(tmp_path) -> None:
    folder = photos(tmp_path / "photos", 7)
    (folder / "notes.txt").write_text("no photo")
    assert [path.stem for path in spread(folder, 3)] == ["00", "02", "04"]
    assert len(spread(folder, 100)) == 7
    with pytest.raises(DffError, match="holds no photos"):
        spread(tmp_path, 3)


def test_the_loss_of_compression_is_that_of_a_singular_value_decomposition(
    tmp_path, monkeypatch, colour_teacher
) -> None:
    monkeypatch.setattr(bench_teachers, "get_teacher", lambda *_: colour_teacher)
    images = spread(photos(tmp_path / "photos", 3), 3)
    figures = compression("colour", images, (1, 2, 5))
    pixels = [torch.from_numpy(np.array(Image.open(path)) / 255.0).float() for path in images]
    features = torch.cat([colour_teacher.encode_image(each).reshape(-1, 5) for each in pixels])
    _, _, right = np.linalg.svd(features.double().numpy(), full_matrices=False)
    for each in figures:
        basis = right[: each["pca"]]
        left = features.double().numpy() @ basis.T @ basis
        cosine = (features.numpy() * left).sum(1) / np.linalg.norm(left, axis=1)
        assert each["mean"] == pytest.approx(cosine.mean(), abs=1e-4)
        assert each["least"] == pytest.approx(cosine.min(), abs=1e-3)
    assert figures[0]["mean"] < figures[1]["mean"] < figures[2]["mean"] <= 1.0001


def test_figures_are_written(tmp_path, capsys) -> None:
    folder = photos(tmp_path / "photos", 2)
    main(
        Bench(
            teachers=(),
            photos=folder,
            photos_pca=(4, 64),
            threads=torch.get_num_threads(),
            json=tmp_path / "figures.json",
        )
    )
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [each["pca"] for each in figures["compression"]] == [4, 64]
    assert figures["compression"][1]["mean"] > 0.999
    assert "| 64 | 1.0000 |" in capsys.readouterr().out


@pytest.mark.slow
def test_each_teacher_runs_in_a_process_of_its_own_and_may_be_random(capsys) -> None:
    main(Bench(teachers=("mini", "clip=ViT-B-16"), random=True, repeats=1, devices=("cpu",)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("| mini | trained | cpu | 60x80x64 |")
    assert lines[-1].startswith("| clip=ViT-B-16 | random | cpu | 21x28x512 |")
