"""The bench of queries: that it asks what it says, and of what."""

from __future__ import annotations

import dataclasses
import itertools
import json
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dff.compiling import choose_threshold
from dff.errors import DffError
from dff.query.scores import QueryEmbedding
from dff.selection.islands import held_alone
from dff.selection.specks import without_specks

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import bench_query  # noqa: E402
from bench_query import (  # noqa: E402
    CHUNK,
    BenchQuery,
    ask_by_parts,
    ask_many,
    bare_copy,
    made_up,
    main,
    most_held,
    unbaked,
)
from made_up_surface import spheres  # noqa: E402

SMALL = BenchQuery(
    voxels=3000, resolution=48, hidden=12, dims=(20,), texts=5, repeats=1, unbaked_share=0.01
)


def brute_force(embeddings: np.ndarray, features: np.ndarray, scale: float) -> np.ndarray:
    """Relevancy of the first embedding against the others, in float64."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = unit @ (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).T
    odds = np.exp(scale * (cosines[:, :1] - cosines[:, 1:]))
    return (odds / (1 + odds)).min(axis=1)


def test_spheres_have_as_many_voxels_as_asked_for():
    places, numbers = spheres(3000, 48)
    assert len(places) == len(numbers) == 3000
    cell = (places * 48 - 0.5).round().long()
    assert len(torch.unique(cell, dim=0)) == 3000
    centres = torch.tensor(list(itertools.product((1 / 6, 1 / 2, 5 / 6), repeat=3)))
    off = (places - centres[numbers]).norm(dim=1) - 0.15
    assert off.abs().max() <= 3**0.5 / 2 / 48 + 1e-6  # half a voxel's diagonal
    with pytest.raises(DffError, match="at resolution 12 there are"):
        spheres(10_000, 12)


def test_a_query_is_asked_as_answers_are():
    scene = made_up(SMALL, 20)
    assert len(scene.grid) == SMALL.voxels
    parts, values = ask_by_parts(scene.grid, scene.baked, scene.query)
    asked = ["scores", "threshold", "mask", "without specks", "values"]
    assert list(parts) == [*asked, "what nothing else holds", "with it"]
    assert all(spent > 0 for spent in parts.values())
    features = (scene.grid.hidden.double() @ scene.baked.weight.double().T).numpy()
    words = scene.query.embeddings.double().numpy()
    scores = torch.from_numpy(brute_force(words, features, scene.query.scale)).float()
    above = scores >= choose_threshold(scores, scene.grid.rays)
    kept = without_specks(scene.grid, above)
    assert (values > 0).equal(kept | held_alone(scene.grid, kept))
    # What it asks for is there: the first sphere, and not all of them.
    _, numbers = spheres(SMALL.voxels, SMALL.resolution)
    order = torch.argsort(torch.argsort(voxel_numbers()))
    assert values[order[numbers == 0]].mean() > 0.9
    assert values.mean() < 0.9


def voxel_numbers() -> torch.Tensor:
    cell = (spheres(SMALL.voxels, SMALL.resolution)[0] * SMALL.resolution).long()
    return (cell[:, 0] * SMALL.resolution + cell[:, 1]) * SMALL.resolution + cell[:, 2]


def test_many_texts_have_the_scores_of_each_alone():
    scene = made_up(SMALL, 20)
    together = ask_many(scene)
    assert len(together) == len(scene.texts) == 5
    features = (scene.grid.hidden.double() @ scene.baked.weight.double().T).numpy()
    for text, scores in zip(scene.texts, together, strict=True):
        words = torch.cat([text[None], scene.query.negatives]).double().numpy()
        expected = brute_force(words, features, scene.query.scale)
        np.testing.assert_allclose(scores.numpy(), expected, atol=1e-4)


class Recorder:
    """A feature field that says nothing but is asked."""

    def features_at(self, positions, name):
        return torch.ones(*positions.shape[:-1], 2)


@pytest.mark.parametrize(("share", "blocks"), [(1.0, 4), (0.5, 2), (0.001, 1)])
def test_the_unbaked_way_asks_rays_once_and_scales_up(monkeypatch, share, blocks):
    rays = 3 * CHUNK + 100
    asked: list[torch.Tensor] = []

    def samples(chosen):
        asked.append(chosen)
        return torch.zeros(len(chosen), 2, 3)

    ticks = itertools.count()  # every look at the clock is a second later
    monkeypatch.setattr(bench_query.time, "perf_counter", lambda: float(next(ticks)))
    query = QueryEmbedding(torch.ones(1, 2), torch.ones(1, 2), 1.0, "pairwise")
    spent = unbaked(Recorder(), "any", query, samples, rays, share)
    assert len(asked) == 1 + blocks  # the first one to warm up
    timed = torch.cat(asked[1:])
    assert len(torch.unique(timed)) == len(timed)
    assert spent == pytest.approx(1e3 * blocks * rays / len(timed))
    if share == 1.0:
        assert timed.equal(torch.arange(rays))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux only")
def test_memory_that_is_held_is_seen():
    with most_held() as nothing:
        pass
    with most_held() as some:
        # Pages of its own: what the tests before freed cannot serve them.
        held = mmap.mmap(-1, 2**26)
        held.write(b"1" * len(held))
    assert some[0] - nothing[0] >= 0.9 * len(held)


def test_a_scene_is_baked_in_a_copy(tmp_path):
    run = tmp_path / "run"
    (run / "nerfstudio_models").mkdir(parents=True)
    for name in ("config.yml", "surface.safetensors", "nerfstudio_models/step-1.ckpt"):
        (run / name).write_text(name)
    for given in (run, run / "config.yml"):
        with bare_copy(given) as copy:
            kept = {str(path.relative_to(copy.parent)) for path in copy.parent.rglob("*.*")}
            assert kept == {"config.yml", "nerfstudio_models/step-1.ckpt"}
        assert not copy.exists()
    assert (run / "surface.safetensors").exists()
    with pytest.raises(DffError, match="no such configuration"), bare_copy(tmp_path):
        pass


def test_everything_is_measured_and_written(tmp_path, trained, monkeypatch, capsys):
    monkeypatch.setattr(bench_query, "in_process", lambda function, *given: function(*given))
    path = tmp_path / "figures.json"
    main(dataclasses.replace(SMALL, load_config=trained, text="red", json=path))
    figures = json.loads(path.read_text())
    assert figures["threads"] == torch.get_num_threads()
    rows = {(row["of"].split(",")[0], row["what"]): row for row in figures["rows"]}
    assert len(rows) == len(figures["rows"])
    run = next(of for of, what in rows if what == "bake")
    for of in ("3000 voxels", run):
        rays = "480x360" if of != run else f"{480 * 360}"
        view = rows[of, f"unbaked: every sample of {rays} rays"]["value"]
        query = rows[of, "a new query"]
        assert query["goal"] == 50
        assert query["unbaked"] == pytest.approx(view / query["value"])
    assert rows[run, "bake"]["goal"] == 20_000
    assert {what for of, what in rows if of == run} >= {
        "text 'red' in all",
        "click IMG_00:12,9 in all, first time",
    }
    assert rows["3000 voxels", "scores of 5 texts, for each"]["goal"] == 5
    assert rows["3000 voxels", "at most, 5 texts"]["unit"] == "MB"
    assert "a new query" in capsys.readouterr().out
