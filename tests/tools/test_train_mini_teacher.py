"""Training of the mini teacher: batches, losses, figures and carrying on, at toy size."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dff.data.generated.materials import colour_names
from dff.data.generated.objects import PART_NAMES, object_names
from dff.data.generated.pictures import FIRST_SLOT
from dff.data.generated.shards import read_shard, write_shard
from dff.teachers.mini import MiniConfig
from dff.teachers.mini_vocabulary import Vocabulary

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from mini.batches import BACKGROUND, TABLE, Batches  # noqa: E402
from mini.figures import leak_markdown, measure  # noqa: E402
from mini.losses import Prompts, Targets, class_weights, losses  # noqa: E402
from mini.training import Run, learning_rate  # noqa: E402

WORDS = Vocabulary(object_names(), colour_names())
TINY = MiniConfig(widths=(8, 8, 16, 16), blocks=(0, 0, 0, 0), lateral=16, stem=8)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    path = tmp_path_factory.mktemp("pictures") / "shard.npz"
    write_shard(path, 8, seed=3, views=2, size=64)
    return read_shard(path)


def test_labels_are_what_the_buffers_show_at_the_cells_centres(shard) -> None:
    torch.set_num_threads(1)  # with more, sums are not in the same order twice
    planes, names = shard
    batch = Batches([planes], [names], seed=0).draw(8, 64, plain=True)
    assert batch.image.shape == (8, 3, 64, 64)
    assert 0 <= batch.image.min() <= batch.image.max() <= 1
    for b in range(8):
        for i in range(16):
            slot = int(planes[b, 0, 4 * i + 2, 4 * 5 + 2])
            thing = (slot - FIRST_SLOT) // len(PART_NAMES)
            wanted = (BACKGROUND, TABLE)[slot] if slot < FIRST_SLOT else int(names[b, thing])
            assert int(batch.name[b, i, 5]) == wanted
            assert int(batch.thing[b, i, 5]) == (thing + 1 if slot >= FIRST_SLOT else 0)


def test_batches_repeat_with_their_seed_and_differ_in_paint(shard) -> None:
    planes, names = shard
    first = Batches([planes], [names], seed=1).draw(4, 32)
    again = Batches([planes], [names], seed=1).draw(4, 32)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.name, again.name)
    source = Batches([planes], [names], seed=2)
    assert not torch.equal(
        source.draw(8, 64, plain=True).image, source.draw(8, 64, plain=True).image
    )


def test_every_thing_gets_the_same_share_of_the_loss() -> None:
    frequency = torch.tensor([0.02, 0.08, 0.1, 0.6, 0.2])
    mass = class_weights(frequency) * frequency
    assert mass.sum() == pytest.approx(1.0)
    torch.testing.assert_close(mass[:3], mass[:1].expand(3))
    torch.testing.assert_close(mass[3:], torch.stack([3 * mass[0], 1.5 * mass[0]]))


def test_right_features_have_a_lower_loss_than_wrong_ones() -> None:
    run = Run(WORDS, TINY, seed=0)
    names = torch.tensor([0, 1, 5, TABLE, BACKGROUND, 3])
    colours = torch.tensor([0, 2, 2, 9, -1, -1])
    prompts = Prompts.of(WORDS)
    with torch.no_grad():
        shown = run.text(prompts.classes)[names] * 0.65
        shown[:4] += 0.65 * run.text(prompts.colours)[colours[:4]]
        shown += 0.3 * run.text(prompts.canonical)[:1]
        right = 16 * F.normalize(shown, dim=1)
        wrong = right.roll(1, 0)
        low = losses(right, Targets(names, colours), run.text, prompts, 16.0, 6)
        high = losses(wrong, Targets(names, colours), run.text, prompts, 16.0, 6)
    assert low["length"] == pytest.approx(0.0, abs=1e-6)
    # A fresh text encoder has yet to learn that a phrase needs both of its words.
    for key in ("name", "colour", "phrase", "name_leak", "colour_leak"):
        assert low[key] < high[key], key
    # No pixel with a colour to name is no reason to fail.
    none = losses(right, Targets(names, colours.clamp(max=-1)), run.text, prompts, 16.0, 6)
    assert all(bool(torch.isfinite(value)) for value in none.values())


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(part, step=10_000, highest=1.0) for part in (0.0, 0.5, 1.0, 1.2)]
    assert rates == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=1e-5)
    assert learning_rate(0.0, step=0, highest=1.0) == pytest.approx(1 / 200, abs=1e-5)


def test_training_learns_and_carries_on_where_it_stopped(shard, tmp_path: Path) -> None:
    planes, names = shard
    batch = Batches([planes], [names], seed=0).draw(8, 64, plain=True)
    run = Run(WORDS, TINY, seed=0)
    before = None
    for _ in range(25):
        run.teach(batch, 3e-3)
        before = before or dict(run.terms)
    assert run.terms["name"] < before["name"]
    run.save(tmp_path / "state.pt")
    other = Run(WORDS, TINY, seed=9)
    other.load(tmp_path / "state.pt")
    for one in (run, other):
        torch.manual_seed(5)
        one.teach(batch, 1e-3)
    assert other.step == run.step == 26
    for a, b in zip(run.encoder.parameters(), other.encoder.parameters(), strict=True):
        assert torch.equal(a, b)


def test_figures_of_perfect_features_are_perfect(shard) -> None:
    planes, names = shard
    run = Run(WORDS, TINY, seed=0)
    teacher = run.teacher()
    batch = Batches([planes], [names], seed=0).draw(8, 64, plain=True)
    shown = teacher.encode_text([*WORDS.names, *WORDS.places])[batch.name]
    tints = teacher.encode_text(WORDS.colours)[batch.colour.clamp(min=0)]
    # With half as much of the canonical words, as a trained encoder gives to everything.
    shown = shown + tints * (batch.colour >= 0)[..., None] + 0.5 * teacher.encode_text(["object"])
    figures = measure([batch], [F.normalize(shown, dim=-1)], teacher, WORDS)
    present = torch.unique(batch.name).tolist()
    labels = [*WORDS.names, *WORDS.places]
    assert all(figures.name_iou[labels[k]] == 1.0 for k in present)
    assert figures.colour_accuracy == 1.0
    assert figures.leak.max() == pytest.approx(1.0)
    assert figures.leak[~np.eye(len(WORDS.names), dtype=bool)].max() == 0.0
    table = leak_markdown(figures, WORDS.names).splitlines()
    assert len(table) == 2 + len(WORDS.names)
    assert {row.count("|") for row in table} == {len(WORDS.names) + 3}
