"""Shapes, paint and layout of generated scenes and pictures."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import Delaunay

from dff.data.generated.colours import colour_names, contrasting, hsv_to_rgb, sample_colour
from dff.data.generated.decks import NameDeck
from dff.data.generated.description import describe_scene
from dff.data.generated.finishes import finish, material_names, material_of
from dff.data.generated.layout import arrange, footprint, outlines_touch
from dff.data.generated.materials import sample_look
from dff.data.generated.objects import PART_NAMES, make_object, object_names
from dff.data.generated.painter import Painter
from dff.data.generated.patterns import FIGURES, pattern_values, sample_pattern
from dff.data.generated.pictures import FIRST_SLOT, SLOTS, render_buffers
from dff.data.generated.rule import ROW_LENGTH, paint
from dff.data.generated.shards import read_shard, write_shard
from dff.errors import DffError


@pytest.mark.parametrize("name", object_names())
def test_a_thing_stands_on_the_table_and_is_about_its_size(name: str) -> None:
    for seed in range(4):
        mesh = make_object(name, np.random.default_rng(seed))
        assert mesh.vertices[:, 2].min() == pytest.approx(0.0, abs=1e-9)
        size = np.ptp(mesh.vertices, axis=0).max()
        assert 0.5 < size < 2.6
        assert mesh.parts[0] == "body"
        assert set(mesh.parts) <= set(PART_NAMES)
        assert mesh.faces.max() == len(mesh.vertices) - 1 or mesh.faces.max() < len(mesh.vertices)
        used = np.unique(mesh.faces)
        np.testing.assert_allclose(np.linalg.norm(mesh.normals[used], axis=1), 1.0, atol=1e-6)
        again = make_object(name, np.random.default_rng(seed))
        np.testing.assert_array_equal(mesh.vertices, again.vertices)


def test_unknown_things_and_colours_are_refused_with_the_known_ones() -> None:
    with pytest.raises(DffError, match=r"'violin'.*apple"):
        make_object("violin", np.random.default_rng(0))
    with pytest.raises(DffError, match=r"'mauve'.*purple"):
        sample_colour("mauve", np.random.default_rng(0))


def test_hsv_agrees_with_the_standard_library() -> None:
    rng = np.random.default_rng(0)
    for h, s, v in rng.random((50, 3)):
        assert hsv_to_rgb(360 * h, s, v) == pytest.approx(colorsys.hsv_to_rgb(h, s, v), abs=1e-9)
    assert hsv_to_rgb(-30, 0.5, 1) == pytest.approx(hsv_to_rgb(330, 0.5, 1))


def test_named_colours_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    samples = {
        name: np.array([sample_colour(name, rng) for _ in range(200)]) for name in colour_names()
    }
    for a in samples:
        for b in samples:
            if a < b:
                gap = np.linalg.norm(samples[a][:, None] - samples[b][None], axis=-1).min()
                assert gap > 0.01, (a, b)


def test_paint_follows_its_rule() -> None:
    row = np.zeros((3, ROW_LENGTH))
    row[:, :3], row[:, 3:6] = [0.2, 0.4, 0.6], [0.4, 0.2, 0.0]
    row[:, 6:10] = [1.0, 0.0, 0.5, 2.0]
    painted = paint(row, np.array([0.5, 0.75, 1.0]), np.zeros(3))
    np.testing.assert_allclose(painted, [[0.2, 0.4, 0.6], [0.4, 0.5, 0.6], [0.6, 0.6, 0.6]])


def test_outlines_touch_agrees_with_sampling() -> None:
    rng = np.random.default_rng(3)
    answers = []
    for _ in range(200):
        a = footprint(rng.normal(size=(8, 3)))
        b = footprint(rng.normal(size=(8, 3)) + [rng.uniform(0, 5), 0, 0])
        grid = np.stack(np.meshgrid(np.linspace(-4, 9, 260), np.linspace(-4, 4, 160)), -1)
        inside = (Delaunay(a).find_simplex(grid) >= 0) & (Delaunay(b).find_simplex(grid) >= 0)
        answers.append(bool(inside.any()))
        if inside.any():
            assert outlines_touch(a, b)
        elif inside.sum() == 0 and not outlines_touch(a, b, gap=0.1):
            assert not outlines_touch(a, b)
    assert 20 < sum(answers) < 180


def test_things_do_not_stand_in_each_other() -> None:
    for seed in range(6):
        outlines = [footprint(t.geometry().vertices) for t in describe_scene(seed, 10, 12).objects]
        for i, a in enumerate(outlines):
            for b in outlines[:i]:
                assert (Delaunay(a).find_simplex(b) < 0).all()
                assert (Delaunay(b).find_simplex(a) < 0).all()


def test_too_many_things_still_end(monkeypatch: pytest.MonkeyPatch) -> None:
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    places = arrange([square] * 12, np.random.default_rng(0), spread=0.5, tries=40)
    assert places.shape == (12, 2)


def test_pictures_keep_slots_names_and_ranges(tmp_path: Path) -> None:
    path = tmp_path / "shard.npz"
    write_shard(path, 3, seed=9, views=2, size=32)
    planes, names, figures = read_shard(path)
    assert figures.shape == (3, 1 + names.shape[1])
    np.testing.assert_array_equal(figures[:, 1:] >= 0, names >= 0)
    assert planes.shape == (3, 5, 32, 32)
    assert planes.dtype == np.uint8
    assert planes[:, 0].max() < SLOTS
    for picture, codes in zip(planes, names, strict=True):
        slots = np.unique(picture[0])
        things = (slots[slots >= FIRST_SLOT] - FIRST_SLOT) // len(PART_NAMES)
        assert (codes[things] >= 0).all()
    write_shard(tmp_path / "again.npz", 3, seed=9, views=2, size=32)
    np.testing.assert_array_equal(planes, read_shard(tmp_path / "again.npz")[0])


def test_every_name_is_dealt_equally_often() -> None:
    deck = NameDeck(np.random.default_rng(0))
    dealt = [name for _ in range(24) for name in deck.deal(5)]
    counts = [dealt.count(name) for name in object_names()]
    assert max(counts) - min(counts) <= 1


def test_painter_labels_match_the_paint_it_chose() -> None:
    rng = np.random.default_rng(0)
    painter = Painter(rng, variants=2)
    names = np.array([[0, 1, 2, -1, -1, -1]] * 64, np.int8)
    figures = np.array([[0, 0, 0, 0, -1, -1, -1]] * 64, np.int8)
    rows, labels, materials = painter.paint(names, figures)
    assert rows.shape == (64, SLOTS, ROW_LENGTH)
    assert (labels[:, 4:] == -1).all()
    assert (labels[:, 1:4] >= 0).all()
    assert (materials == -1).all()
    # Same-colour neighbours are common: that is what makes shape matter.
    assert (labels[:, 1] == labels[:, 2]).mean() > 0.15
    white = colour_names().index("white")
    body = rows[:, FIRST_SLOT, :3][labels[:, 1] == white]
    assert (body.min(1) > 0.8).all()


def test_only_what_shows_in_the_pattern_is_called_by_its_material() -> None:
    painter = Painter(np.random.default_rng(0), variants=2)
    names = np.array([[0, 1, 2, 3, 4, 5]] * 40, np.int8)
    for k, figure in enumerate(FIGURES):
        figures = np.full((40, 7), k, np.int8)
        _, _, materials = painter.paint(names, figures)
        shown = material_of(figure)
        wanted = {-1} if shown is None else {-1, material_names().index(shown)}
        if figure == "metal":
            # It was lit as metal: there is no painting it otherwise.
            assert set(np.unique(materials[:, 1:])) == wanted - {-1}
        else:
            assert set(np.unique(materials)) == wanted


@pytest.mark.parametrize("material", material_names())
def test_a_finish_keeps_the_colour_it_claims(material: str) -> None:
    rng = np.random.default_rng(2)
    assert [material_of(figure) for figure in FIGURES].count(material) == 1
    claimed = 0
    for _ in range(40):
        paint_of, colour = finish(material, "blue", rng)
        assert np.abs(np.subtract(paint_of.first, paint_of.second)).max() > 0 or material == "metal"
        if colour == "blue":
            claimed += 1
            red, _, blue = paint_of.first
            assert blue > red
    assert claimed > 3


def test_contrasting_colours_are_far_apart() -> None:
    rng = np.random.default_rng(0)
    for name in colour_names():
        colour = sample_colour(name, rng)
        assert np.linalg.norm(np.subtract(contrasting(colour, rng), colour)) >= 0.35


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("flat", [False, True])
def test_a_figure_varies_within_its_range_and_only_where_it_should(figure: str, flat: bool) -> None:
    rng = np.random.default_rng(4)
    pattern = sample_pattern(rng, flat, figure)
    points = rng.uniform(-1, 1, (4000, 3))
    for values in pattern_values(pattern, points):
        assert 0.0 <= values.min() < values.max() <= 1.0
        assert values.std() > 0.05
    if flat:
        lifted = points + [0, 0, 0.7]
        for a, b in zip(
            pattern_values(pattern, points), pattern_values(pattern, lifted), strict=True
        ):
            np.testing.assert_allclose(a, b)


def test_stripes_run_along_lines_and_checks_alternate() -> None:
    stripes = sample_pattern(np.random.default_rng(0), figure="stripes")
    way = stripes.figure_waves[0, :3]
    along = np.cross(way, [0.3, 0.5, 0.1])
    points = np.linspace(0, 2, 50)[:, None] * along
    values = pattern_values(stripes, points)[1]
    np.testing.assert_allclose(values, values[0])
    checks = sample_pattern(np.random.default_rng(0), flat=True, figure="checks")
    step = np.pi * checks.figure_waves[0, :3] / (checks.figure_waves[0, :3] ** 2).sum()
    corner = np.random.default_rng(1).uniform(-1, 1, (200, 3))
    here, next_to = (pattern_values(checks, corner + k * step)[1] for k in (0, 1))
    np.testing.assert_allclose(here + next_to, 1.0, atol=1e-9)


def test_unknown_figures_are_refused_with_the_known_ones() -> None:
    with pytest.raises(DffError, match=r"'paisley'.*stripes"):
        sample_pattern(np.random.default_rng(0), figure="paisley")


def test_a_look_has_the_colour_it_was_asked_for() -> None:
    rng = np.random.default_rng(1)
    for name in object_names():
        look = sample_look(name, rng, "blue")
        red, _, blue = look.part("body").first
        assert look.colour == "blue"
        assert blue > red
        assert look.part("no such part") == look.parts["body"]


def test_buffers_hold_light_where_things_are() -> None:
    buffers = render_buffers(["mug", "book"], np.random.default_rng(0), views=1, size=48)[0]
    on_things = buffers.planes[0] >= FIRST_SLOT
    assert on_things.mean() > 0.02
    assert buffers.planes[1][on_things].mean() > 10
