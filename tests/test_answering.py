"""Clicks, patches and words in a trained scene become selections; what cannot is one line."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from dff.answering import answer, answer_texts, voxel_of
from dff.errors import DffError
from dff.evaluate.masks import intersection_over_union
from dff.query.shown import Click, ClickQuery, Patch, PatchQuery, Spot
from dff.query.text import TextQuery
from dff.refinement import Refinement
from dff.selection.selection import Selection


def pixel_of(labels: np.ndarray, label: int) -> tuple[float, float]:
    """x, y of the pixel of a label that is nearest to the middle of its pixels."""
    ys, xs = np.nonzero(labels == label)
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return float(xs[nearest]) + 0.5, float(ys[nearest]) + 0.5


def box_of(labels: np.ndarray, label: int) -> tuple[float, float, float, float]:
    ys, xs = np.nonzero(labels == label)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def iou(scene, selection: Selection, truth, label: int) -> float:
    """Over all views, pixels pooled."""
    masks, targets = [], []
    for view in scene.views():
        mask = scene.render(view.camera, selection=selection)["mask"][..., 0] >= 0.5
        masks.append(mask)
        targets.append(torch.from_numpy(truth(view.name) == label))
    return intersection_over_union(torch.stack(masks), torch.stack(targets))


@pytest.mark.parametrize("label", [2, 3])
def test_one_click_selects_the_ball_in_every_view(scene, truth, label):
    x, y = pixel_of(truth("IMG_04"), label)
    selection = answer(scene, ClickQuery((Click("IMG_04", x, y),)))
    assert iou(scene, selection, truth, label) > 0.7
    assert "by colour" in selection.made_by[0]


def test_one_patch_selects_the_ball(scene, truth):
    patch = Patch("IMG_04", box_of(truth("IMG_04"), 2))
    assert iou(scene, answer(scene, PatchQuery((patch,))), truth, 2) > 0.6


def test_a_picture_from_outside_selects_what_looks_like_it(scene, truth, tmp_path):
    Image.new("RGB", (40, 40), (204, 26, 26)).save(tmp_path / "red.png")
    selection = answer(scene, PatchQuery((Patch(str(tmp_path / "red.png")),)))
    assert iou(scene, selection, truth, 2) > 0.5
    assert iou(scene, selection, truth, 3) < 0.05


def test_a_painted_mask_selects_what_it_covers(scene, truth, tmp_path):
    labels = truth("IMG_04")
    path = tmp_path / "red.png"
    Image.fromarray(((labels == 2) * 255).astype(np.uint8)).save(path)
    selection = answer(scene, PatchQuery((Patch("IMG_04", mask=str(path)),)))
    assert iou(scene, selection, truth, 2) > 0.6


def test_a_rendered_view_is_a_picture_too(scene, truth, tmp_path):
    view = scene.views(names=["IMG_04"])[0]
    picture = (scene.render(view.camera)["rgb"] * 255).byte().numpy()
    Image.fromarray(picture).save(tmp_path / "view.png")
    patch = Patch(str(tmp_path / "view.png"), box_of(truth("IMG_04"), 2))
    assert iou(scene, answer(scene, PatchQuery((patch,))), truth, 2) > 0.5


def test_several_texts_in_one_pass_are_what_each_gives_alone(scene):
    queries = [
        TextQuery(("red",), ("green", "table", "sky")),
        TextQuery(("green",), ("red", "table", "sky"), threshold="top5%"),
        TextQuery(("red",)),
    ]
    for query, found in zip(queries, answer_texts(scene, queries), strict=True):
        alone = answer(scene, query)
        assert torch.allclose(found.values, alone.values)
        assert found.made_by == alone.made_by


def test_a_share_of_the_surface_can_be_asked_for(scene):
    found = answer(scene, TextQuery(("red",), ("green", "table"), threshold="top3%"))
    rays = scene.surface.rays
    assert found.exact is not None
    reached = found.scores >= found.exact.threshold
    assert 0.03 <= float(rays[reached].sum() / rays.sum()) < 0.05


def test_words_select_the_same_ball(scene, truth):
    selection = answer(scene, TextQuery(("red",), ("green", "table", "sky")))
    assert iou(scene, selection, truth, 2) > 0.7


def test_a_negative_click_takes_its_look_away(scene, truth):
    labels = truth("IMG_04")
    red, green = (Click("IMG_04", *pixel_of(labels, label)) for label in (2, 3))
    both = answer(scene, ClickQuery((red, green)))
    assert iou(scene, both, truth, 3) > 0.3
    without = answer(scene, ClickQuery((red,), (green,), connected=False, threshold=0.3))
    assert iou(scene, without, truth, 3) < 0.05


def test_the_same_click_twice_changes_nothing(scene, truth):
    click = Click("IMG_04", *pixel_of(truth("IMG_04"), 2))
    once, twice = (answer(scene, ClickQuery((click,) * count)) for count in (1, 2))
    assert torch.equal(once.values, twice.values)


def test_what_cannot_be_answered_is_one_line(scene, truth, tmp_path):
    sky = np.argwhere(truth("IMG_04") == 0)[0]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name, size, colour in (("small.png", (5, 5), 255), ("black.png", (24, 18), 0)):
        Image.new("L", size, colour).save(tmp_path / name)
    inside = Click("IMG_04", *pixel_of(truth("IMG_04"), 2))
    close = dataclasses.replace(inside, x=inside.x + 1e-4)
    for query, says in (
        (ClickQuery((Click("IMG_99", 1, 1),)), "no image is called 'IMG_99'"),
        (ClickQuery((Click("IMG_04", 24, 1),)), "outside of the image: it is 24x18"),
        (ClickQuery((Click("IMG_04", -1, 1),)), "outside of the image"),
        (ClickQuery((inside,), (close,)), "on the same spot"),
        (PatchQuery((Patch("IMG_04", (0, 0, 25, 4)),)), "beyond the image: it is 24x18"),
        (PatchQuery((Patch("IMG_04", mask=str(tmp_path / "small.png")),)), "have to be the same"),
        (PatchQuery((Patch("IMG_04", mask=str(tmp_path / "black.png")),)), "is all black"),
        (PatchQuery((Patch("IMG_04", mask=str(tmp_path / "none.png")),)), "no such mask"),
        (PatchQuery((Patch("IMG_99"),)), "neither an image of the capture nor a file"),
        (PatchQuery((Patch(str(tmp_path / "broken.png")),)), "cannot read image"),
        (ClickQuery((inside,), teacher="mini"), "not distilled from teacher 'mini'"),
    ):
        with pytest.raises(DffError, match=says) as raised:
            answer(scene, query)
        assert "\n" not in str(raised.value)
    assert sky is not None


def test_a_selection_is_kept_and_comes_back_bit_for_bit(scene, truth, tmp_path):
    click = Click("IMG_04", *pixel_of(truth("IMG_04"), 2))
    made = answer(scene, ClickQuery((click,)))
    made.save(tmp_path / "red.npz", scene.fingerprint)
    back = scene.load_selection(tmp_path / "red.npz")
    assert torch.equal(back.values, made.values)
    assert back.made_by == made.made_by
    camera = scene.views("eval")[0].camera
    one, other = (scene.render(camera, selection=each)["mask"] for each in (made, back))
    assert torch.equal(one, other)


def test_files_that_are_no_selection_of_this_scene_are_one_line(scene, truth, tmp_path):
    click = Click("IMG_04", *pixel_of(truth("IMG_04"), 2))
    made = answer(scene, ClickQuery((click,)))
    made.save(tmp_path / "other.npz", "another checkpoint")
    made.save(tmp_path / "cut.npz", scene.fingerprint)
    content = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    for name, says in (
        ("none.npz", "no such selection"),
        ("other.npz", "another checkpoint"),
        ("cut.npz", "damaged"),
        ("foreign.npz", "damaged or no selection"),
    ):
        with pytest.raises(DffError, match=says) as raised:
            scene.load_selection(tmp_path / name)
        assert "\n" not in str(raised.value)
    with pytest.raises(DffError, match=r"ends in \.npz"):
        made.save(tmp_path / "red.pt", scene.fingerprint)


def test_refinements_act_in_the_order_they_are_listed(scene, truth, tmp_path):
    labels = truth("IMG_04")
    red, green = (Click("IMG_04", *pixel_of(labels, label)) for label in (2, 3))
    first, second = (answer(scene, ClickQuery((click,))) for click in (red, green))
    second.save(tmp_path / "green.npz", scene.fingerprint)
    both = Refinement(add=(tmp_path / "green.npz",)).apply(scene, first)
    assert torch.equal(both.values, torch.maximum(first.values, second.values))
    alone = Refinement(subtract=(tmp_path / "green.npz",)).apply(scene, both)
    assert torch.equal(alone.values, torch.minimum(both.values, 1 - second.values))
    larger = Refinement(grow=0.1).apply(scene, first)
    assert larger.count > first.count
    assert larger.exact is None
    smaller = Refinement(keep_largest=1).apply(scene, first)
    assert smaller.exact is first.exact
    assert Refinement().apply(scene, first) is first
    assert "grown by 0.1" in larger.made_by[-1]


def test_a_point_in_space_is_a_click_where_there_is_a_surface(scene, truth):
    x, y = pixel_of(truth("IMG_04"), 2)
    click = Click("IMG_04", x, y)
    point, _ = scene.surface_at(scene.views(names=["IMG_04"])[0].camera, x, y)
    spot = Spot(*point.tolist())
    by_spot, by_click = (answer(scene, ClickQuery((where,))) for where in (spot, click))
    assert torch.equal(by_spot.values, by_click.values)
    for away in (Spot(0.0, 0.0, 5.0), Spot(1e300, 0.0, 5.0)):
        with pytest.raises(DffError, match="is on no surface of this scene"):
            answer(scene, ClickQuery((away,)))


def test_the_component_that_is_clicked_is_kept(scene, truth):
    labels = truth("IMG_04")
    balls = answer(scene, TextQuery(("red", "green"), ("table", "sky")))
    x, y = pixel_of(labels, 2)
    kept = Refinement(keep_clicked=(f"IMG_04:{x},{y}",)).apply(scene, balls)
    # All of the connected voxels around the click, and no others: how much of the ball that is,
    # its surface decides.
    selected = balls.values >= 0.5
    around = balls.grid.components(selected)
    clicked = around[voxel_of(scene, Click("IMG_04", x, y))]
    assert torch.equal(kept.values, balls.values * (selected & (around == clicked)))
    shown = [scene.render(v.camera, selection=kept)["mask"][..., 0] >= 0.5 for v in scene.views()]
    ball = [torch.from_numpy(truth(v.name) == 2) for v in scene.views()]
    pixels = sum(int(mask.sum()) for mask in shown)
    of_the_ball = sum(int((mask & one).sum()) for mask, one in zip(shown, ball, strict=True))
    assert of_the_ball > 0.9 * pixels > 0
    assert iou(scene, kept, truth, 3) == 0
    assert kept.exact is balls.exact
    table = Refinement(keep_clicked=("IMG_04:{},{}".format(*pixel_of(labels, 1)),))
    with pytest.raises(DffError, match="nothing is selected at IMG_04"):
        table.apply(scene, balls)


def test_exactly_asks_the_field_in_all_that_is_selected(scene, truth, tmp_path):
    found = answer(scene, TextQuery(("red",), ("green", "table", "sky")))
    firm = found.exactly().settled & (found.values >= 0.5)
    assert torch.equal(firm, found.firm if found.firm is not None else torch.zeros_like(firm))
    made = dataclasses.replace(found, firm=None)
    exact = made.exactly()
    assert not exact.settled[made.values >= 0.5].any()
    assert torch.equal(exact.settled[made.values < 0.5], made.settled[made.values < 0.5])
    camera = scene.views(names=["IMG_04"])[0].camera
    outputs = scene.render(camera, selection=exact, hidden=True)
    # Where something is selected the mask is what the field says of the pixel's own features.
    scorer = exact.exact.on(scene.model.feature_field)
    asked = scorer.mask(outputs["hidden_features"].to(scene.model.device))[..., None].cpu()
    assert torch.equal(outputs["mask"], torch.minimum(outputs["mask"], asked))
    assert iou(scene, exact, truth, 2) > 0.7
    exact.save(tmp_path / "exact.npz", scene.fingerprint)
    assert torch.equal(scene.load_selection(tmp_path / "exact.npz").settled, exact.settled)
    with pytest.raises(DffError, match="still what a query gave"):
        Refinement(grow=0.1).apply(scene, made).exactly()
