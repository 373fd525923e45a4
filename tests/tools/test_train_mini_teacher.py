"""Training of the mini teacher: batches, losses, figures and carrying on, at toy size."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dff.data.generated.colours import colour_names
from dff.data.generated.finishes import material_names
from dff.data.generated.objects import PART_NAMES, object_names
from dff.data.generated.pictures import FIRST_SLOT
from dff.data.generated.shards import read_shard, write_shard
from dff.teachers.mini import MiniConfig
from dff.teachers.mini_vocabulary import Vocabulary

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from mini.batches import BACKGROUND, TABLE, UNKNOWN, Batches  # noqa: E402
from mini.crops import bends, close_crop, thing_boxes, wide_crop  # noqa: E402
from mini.figures import leak_markdown, measure  # noqa: E402
from mini.losses import Emphasis, Prompts, Targets, class_weights, losses  # noqa: E402
from mini.muon import Muon, evened  # noqa: E402
from mini.training import Run, learning_rate  # noqa: E402

WORDS = Vocabulary(object_names(), colour_names(), material_names())
TINY = MiniConfig(widths=(8, 8, 16, 16), blocks=(0, 0, 0, 0), lateral=16, stem=8)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    path = tmp_path_factory.mktemp("pictures") / "shard.npz"
    write_shard(path, 8, seed=3, views=2, size=64)
    return read_shard(path)


def test_labels_are_what_the_buffers_show_at_the_cells_centres(shard) -> None:
    torch.set_num_threads(1)  # with more, sums are not in the same order twice
    planes, names, _ = shard
    batch = Batches([shard], seed=0, variants=1).draw(8, 64, plain=True)
    assert batch.image.shape == (8, 3, 64, 64)
    assert 0 <= batch.image.min() <= batch.image.max() <= 1
    for b in range(8):
        for i in range(16):
            slot = int(planes[b, 0, 4 * i + 2, 4 * 5 + 2])
            thing = (slot - FIRST_SLOT) // len(PART_NAMES)
            wanted = (BACKGROUND, TABLE)[slot] if slot < FIRST_SLOT else int(names[b, thing])
            assert int(batch.name[b, i, 5]) == wanted
            assert int(batch.thing[b, i, 5]) == (thing + 1 if slot >= FIRST_SLOT else 0)
            body = slot >= FIRST_SLOT and (slot - FIRST_SLOT) % len(PART_NAMES) == 0
            assert (int(batch.material[b, i, 5]) == UNKNOWN) == (slot != 1 and not body)


def test_batches_repeat_with_their_seed_and_differ_in_paint(shard) -> None:
    first = Batches([shard], seed=1, variants=1).draw(4, 32)
    again = Batches([shard], seed=1, variants=1).draw(4, 32)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.name, again.name)
    source = Batches([shard], seed=2, variants=1)
    assert not torch.equal(
        source.draw(8, 64, plain=True).image, source.draw(8, 64, plain=True).image
    )


def test_boxes_hold_what_is_seen_of_each_thing(shard) -> None:
    planes, names, _ = shard
    slots = planes[:, 0]
    boxes = thing_boxes(slots)
    assert boxes.shape == (8, names.shape[1], 4)
    assert (boxes[names < 0] == -1).all()
    for picture, each in zip(slots, boxes, strict=True):
        # By every fourth pixel.
        thing = (picture[::4, ::4].astype(int) - FIRST_SLOT) // len(PART_NAMES)
        for k, box in enumerate(each):
            rows, columns = np.nonzero(thing == k)
            if len(rows):
                edges = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
                assert tuple(box) == tuple(4 * edge for edge in edges)
            else:
                assert (box == -1).all()


def test_crops_lie_in_the_picture_and_close_ones_show_a_thing() -> None:
    rng = np.random.default_rng(0)
    boxes = np.full((6, 4), -1)
    boxes[2] = [20, 100, 60, 180]
    for _ in range(300):
        for crop in (wide_crop(192, rng), close_crop(boxes, 192, rng)):
            top, left, side = crop
            assert min(top, left) >= 0
            assert max(top, left) + side <= 192
        assert 80 <= side <= 192
        # At most half of the thing is cut off along either axis.
        assert min(top + side, 60) - max(top, 20) >= 20
        assert min(left + side, 180) - max(left, 100) >= 40
    none = np.full((6, 4), -1)
    assert close_crop(none, 192, rng)[2] >= 0.7 * 192


def test_bent_pictures_and_their_labels_stay_together() -> None:
    assert torch.equal(bends(3, 0.0, np.random.default_rng(0)), torch.eye(2, 3).repeat(3, 1, 1))
    planes = np.zeros((8, 5, 96, 96), np.uint8)
    # The table on the left, the background on the right, lit alike and without a figure.
    planes[:, 0, :, :48], planes[:, 1] = 1, 120
    names, figures = np.full((8, 6), -1, np.int8), np.full((8, 7), -1, np.int8)
    batches = Batches([(planes, names, figures)], seed=0, variants=1)
    batch = batches.draw(8, 64, close=0.0, bent=1.0, photographed=0.0)
    slanted = 0
    for image, name in zip(batch.image, batch.name, strict=True):
        # At the cells' centres, away from the border between the two.
        seen = image[:, 2::4, 2::4]
        table = (name == TABLE).float()[None, None]
        inner = [F.max_pool2d(1 - side, 3, 1, 1)[0, 0] == 0 for side in (table, 1 - table)]
        for side in inner:
            assert side.any()
            assert seen[:, side].std(1).max() < 0.02
        slanted += int(len(set(table[0, 0].sum(1).tolist())) > 1)
    assert slanted >= 6


def test_every_thing_gets_the_same_share_of_the_loss() -> None:
    frequency = torch.tensor([0.02, 0.08, 0.1, 0.6, 0.2])
    mass = class_weights(frequency, (3.0, 1.5)) * frequency
    assert mass.sum() == pytest.approx(1.0)
    torch.testing.assert_close(mass[:3], mass[:1].expand(3))
    torch.testing.assert_close(mass[3:], torch.stack([3 * mass[0], 1.5 * mass[0]]))


def test_right_features_have_a_lower_loss_than_wrong_ones() -> None:
    run = Run(WORDS, TINY, seed=0)
    names = torch.tensor([0, 1, 5, TABLE, BACKGROUND, 3])
    colours = torch.tensor([0, 2, 2, 9, -1, -1])
    materials = torch.tensor([0, -1, 1, 2, -2, -1])
    prompts = Prompts.of(WORDS)
    with torch.no_grad():
        shown = run.text(prompts.classes)[names] * 0.65
        shown[:4] += 0.65 * run.text(prompts.colours)[colours[:4]]
        shown[[0, 2, 3]] += 0.5 * run.text(prompts.materials)[materials[[0, 2, 3]]]
        shown += 0.3 * run.text(prompts.canonical)[:1]
        right = 16 * F.normalize(shown, dim=1)
        wrong = right.roll(1, 0)
        target = Targets(names, colours, materials)
        low = losses(right, target, run.text, prompts, 16.0, 6, Emphasis())
        high = losses(wrong, target, run.text, prompts, 16.0, 6, Emphasis())
    assert low["length"] == pytest.approx(0.0, abs=1e-6)
    # A fresh text encoder has yet to learn that a phrase needs both of its words.
    for key in ("name", "colour", "material", "phrase", "name_leak", "colour_leak"):
        assert low[key] < high[key], key
    # No pixel with a colour or a material to name is no reason to fail.
    bare = Targets(names, colours.clamp(max=-1), materials.clamp(max=-2))
    none = losses(right, bare, run.text, prompts, 16.0, 6, Emphasis())
    assert all(bool(torch.isfinite(value)) for value in none.values())


def test_evened_matrices_keep_their_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((6, 20), (20, 6)):
        matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        result = evened(matrix, 5)
        values = (u.t() @ result @ v.t()).diagonal()
        assert 0.6 < values.min() <= values.max() < 1.3
        torch.testing.assert_close(u @ values.diag() @ v, result)


def test_muon_finds_the_least_squares_solution() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, truth = torch.randn(64, 5, generator=generator), torch.randn(3, 5, generator=generator)
    weight = torch.zeros(3, 5, requires_grad=True)
    optimiser = Muon([weight], lr=0.1, weight_decay=0.0)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        optimiser.zero_grad()
        (inputs @ (weight - truth).t()).square().mean().backward()
        optimiser.step()
    torch.testing.assert_close(weight.detach(), truth, atol=0.02, rtol=0)


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(part, step=10_000, highest=1.0) for part in (0.0, 0.5, 1.0, 1.2)]
    assert rates == pytest.approx([1.0, 0.5, 0.0, 0.0], abs=1e-5)
    assert learning_rate(0.0, step=0, highest=1.0) == pytest.approx(1 / 200, abs=1e-5)


def test_training_learns_and_carries_on_where_it_stopped(shard, tmp_path: Path) -> None:
    batch = Batches([shard], seed=0, variants=1).draw(8, 64, plain=True)
    run = Run(WORDS, TINY, seed=0)
    before = None
    for _ in range(25):
        run.teach(batch, 3e-3, Emphasis())
        before = before or dict(run.terms)
    assert run.terms["name"] < before["name"]
    run.save(tmp_path / "state.pt")
    other = Run(WORDS, TINY, seed=9)
    other.load(tmp_path / "state.pt")
    for one in (run, other):
        torch.manual_seed(5)
        one.teach(batch, 1e-3, Emphasis())
    assert other.step == run.step == 26
    for a, b in zip(run.encoder.parameters(), other.encoder.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_settled_teacher_lies_half_way_to_what_was_remembered(shard, tmp_path: Path) -> None:
    run = Run(WORDS, TINY, seed=0)
    before = run.teacher().encode_text(["apple"]), run.mean_encoder.head.weight.clone()
    with torch.no_grad():
        run.mean_encoder.head.weight += 2.0
    torch.testing.assert_close(run.settled_teacher()._encoder.head.weight, before[1] + 2.0)
    with torch.no_grad():
        run.mean_encoder.head.weight -= 2.0
    run.remember()
    with torch.no_grad():
        run.mean_encoder.head.weight += 2.0
    run.remember()
    run.save(tmp_path / "state.pt")
    other = Run(WORDS, TINY, seed=1)
    other.load(tmp_path / "state.pt")
    for settled in (run.settled_teacher(), other.settled_teacher()):
        torch.testing.assert_close(settled._encoder.head.weight, before[1] + 1.0)
        torch.testing.assert_close(settled.encode_text(["apple"]), before[0])
    torch.testing.assert_close(run.mean_encoder.head.weight, before[1] + 2.0)


def test_figures_of_perfect_features_are_perfect(shard) -> None:
    run = Run(WORDS, TINY, seed=0)
    teacher = run.teacher()
    batch = Batches([shard], seed=0, variants=1).draw(8, 64, plain=True)
    shown = teacher.encode_text([*WORDS.names, *WORDS.places])[batch.name]
    tints = teacher.encode_text(WORDS.colours)[batch.colour.clamp(min=0)]
    shown = shown + (
        teacher.encode_text(WORDS.materials)[batch.material.clamp(min=0)]
        * (batch.material >= 0)[..., None]
    )
    # With half as much of the canonical words, as a trained encoder gives to everything.
    shown = shown + tints * (batch.colour >= 0)[..., None] + 0.5 * teacher.encode_text(["object"])
    figures = measure([batch], [F.normalize(shown, dim=-1)], teacher, WORDS)
    present = torch.unique(batch.name).tolist()
    labels = [*WORDS.names, *WORDS.places]
    assert all(figures.name_iou[labels[k]] == 1.0 for k in present)
    assert figures.colour_accuracy == 1.0
    assert figures.material_accuracy == 1.0
    assert figures.leak.max() == pytest.approx(1.0)
    assert figures.leak[~np.eye(len(WORDS.names), dtype=bool)].max() == 0.0
    table = leak_markdown(figures, WORDS.names).splitlines()
    assert len(table) == 2 + len(WORDS.names)
    assert {row.count("|") for row in table} == {len(WORDS.names) + 3}
