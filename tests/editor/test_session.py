"""What is worked on: selections become steps, steps a document, and nothing is lost."""

from __future__ import annotations

import pytest
import torch

from dff.editor.asking import (
    ask_frame,
    ask_picture,
    ask_text,
    inside_rectangle,
    spot_at,
)
from dff.editor.painting import Look, Painter, Work, depth_colours, render_buffers, scales, split_at
from dff.editor.session import Session
from dff.edits.operations import Delete, Duplicate, Opacity, Replace, Transform
from dff.edits.recolours import HueShift, SetColor
from dff.edits.selections import FileSelection, MovedSelection, TextSelection
from dff.edits.storage import load_document, parse_document
from dff.errors import DffError
from dff.query.shown import Spot
from dff.query.text import TextQuery
from dff.refinement import Refinement

RED, GREEN = (0.5, 0.0, 0.35), (-0.5, 0.0, 0.35)


@pytest.fixture
def session(scene, tmp_path) -> Session:
    return Session(scene, tmp_path / "edits")


def ask(session: Session, *words: str) -> None:
    session.choose(ask_text(session.scene, TextQuery(words, ("table", "sky"))))


def balls_selected(session: Session) -> tuple[int, int]:
    """Selected voxels on the red and on the green ball, by the truth."""
    chosen = session.selection.grid.points[session.selection.values >= 0.5]
    scale = session.scene.pipeline.datamanager.train_dataparser_outputs.dataparser_scale
    return tuple(
        int(((chosen - world_of(session, place)).norm(dim=1) < 0.45 * scale).sum())
        for place in (RED, GREEN)
    )


def world_of(session: Session, place) -> torch.Tensor:
    """A point of the capture in the scene's own units."""
    parsed = session.scene.pipeline.datamanager.train_dataparser_outputs
    matrix, scale = parsed.dataparser_transform.float(), parsed.dataparser_scale
    return (matrix[:, :3] @ torch.tensor(place) + matrix[:, 3]) * scale


def test_words_select_and_become_a_step_that_a_person_can_read(session):
    ask(session, "red")
    red, green = balls_selected(session)
    assert red > 5 * max(green, 1)
    assert session.apply(HueShift(degrees=120)) == 0
    (step,) = session.document.steps
    assert step.selection == TextSelection(text=("red",), negative=("table", "sky"), softness=0.05)
    saved = session.save()
    assert load_document(saved) == session.document


def test_pictures_are_what_the_command_line_renders(session):
    """The editor and ``dff render`` go through the same functions."""
    ask(session, "red")
    session.apply(SetColor(color=(0.0, 0.0, 1.0)))
    path = session.save()
    scene = session.scene
    camera = scene.views("eval")[0].camera
    expected = scene.render(camera, scene.compile(load_document(path), path.parent))["rgb"]
    *_, shown = Painter(scene).pictures(camera, Look(), session.work)
    assert torch.equal(torch.from_numpy(shown), (expected.clamp(0, 1) * 255 + 0.5).to(torch.uint8))


def test_undo_and_redo_give_the_same_pixels_again(session):
    camera = session.scene.views("eval")[0].camera

    def picture() -> torch.Tensor:
        return session.scene.render(camera, session.work.edits)["rgb"]

    before = picture()
    ask(session, "red")
    session.apply(Delete())
    after = picture()
    assert not torch.equal(before, after)
    session.undo()
    assert torch.equal(picture(), before)
    session.redo()
    assert torch.equal(picture(), after)
    with pytest.raises(DffError, match="nothing to redo"):
        session.redo()


def test_clicks_add_up_and_say_what_is_not_meant(session):
    red, green = (Spot(*nearest(session, place)) for place in (RED, GREEN))
    with pytest.raises(DffError, match="at least one positive"):
        session.click(red, wanted=False)
    assert session.clicks == ()
    session.click(red, wanted=True)
    assert balls_selected(session)[0] > 0
    session.click(green, wanted=False)
    assert len(session.clicks) == 2
    counts = balls_selected(session)
    assert counts[0] > 5 * max(counts[1], 1)
    session.apply(Delete())
    written = session.document.steps[0].selection
    assert len(written.click) == len(written.click_negative) == 1
    # What is written means the same when it is read.
    again = session.scene.select(written.query())
    assert torch.equal(again.values, session.selection.values)


def nearest(session: Session, place) -> tuple[float, float, float]:
    """The voxel of the surface nearest to a point of the capture, seen from above."""
    high = world_of(session, (place[0], place[1], place[2] + 0.35))
    points = session.scene.surface.points
    return tuple(points[(points - high).norm(dim=1).argmin()].tolist())


def test_a_click_off_every_surface_is_refused_and_changes_nothing(session):
    ask(session, "red")
    before = session.choice
    with pytest.raises(DffError, match="on no surface"):
        # In the air above all things: far away a voxel of the background reaches very far.
        session.click(Spot(0.0, 0.0, 1.5), wanted=True)
    assert session.choice is before


def test_refined_selections_are_kept_as_files_and_mean_the_same(session):
    ask(session, "red")
    plain = session.selection.count
    session.refine(Refinement(grow=0.05))
    grown = session.selection
    assert grown.count > plain
    session.apply(Opacity(factor=0.5))
    written = session.document.steps[0].selection
    assert isinstance(written, FileSelection)
    kept = session.scene.load_selection(session.folder / written.file)
    assert torch.equal(kept.values, grown.values)
    session.refine(Refinement())
    assert session.selection.count == plain


def test_the_threshold_asks_the_same_again(session):
    ask(session, "red")
    counts = []
    for threshold in (0.2, 0.5, 0.9):
        session.set_threshold(threshold)
        counts.append(session.selection.count)
    assert counts == sorted(counts, reverse=True)
    session.apply(Delete())
    assert session.document.steps[0].selection.threshold == 0.9


def test_a_step_that_cannot_be_rendered_leaves_everything_as_it_was(session):
    ask(session, "red")
    session.apply(Delete())
    before = session.document
    with pytest.raises(DffError):
        session.change(
            lambda stack: stack.push(
                before.steps[0].model_copy(update={"selection": FileSelection(file="gone.npz")})
            )
        )
    assert session.document == before
    assert session.stack.undoable is not None
    assert session.stack.redoable is None


def test_what_a_step_brought_can_be_selected(session):
    ask(session, "red")
    index = session.apply(Duplicate(translate=(0.2, 0.0, 0.0)))
    place = session.place_of(index)
    session.select_brought(index)
    session.apply(Transform(translate=(0.0, 0.0, 0.3)))
    assert session.document.steps[1].selection == MovedSelection(step=1)
    moved = session.place_of(1)
    assert moved == pytest.approx((place[0], place[1], place[2] + 0.3), abs=1e-6)


def test_named_selections_stay_and_combine(session, scene):
    ask(session, "red")
    assert session.keep("the red one") == "the_red_one"
    red = session.selection.values
    ask(session, "green")
    green = session.selection.values
    session.combine("the_red_one", "add")
    assert torch.equal(session.selection.values, torch.maximum(red, green))
    session.combine("the_red_one", "subtract")
    assert session.selection.count <= int((green >= 0.5).sum())
    session.kept.show("the_red_one", True, (1.0, 0.0, 0.0))
    (tinted,) = session.work.tinted
    assert torch.equal(tinted.selection.values, red)
    again = Session(scene, session.folder)
    assert list(again.kept.named) == ["the_red_one"]
    again.select_named("the_red_one")
    by = FileSelection(file="selections/the_red_one.npz")
    again.apply(Replace(by=by))
    with pytest.raises(DffError, match="step 1 uses"):
        again.drop_named("the_red_one")
    again.undo()
    again.apply(Delete())
    again.drop_named("the_red_one")
    assert not (session.folder / "selections" / "the_red_one.npz").exists()
    # The step has a copy of its own.
    assert again.save().exists()
    assert len(Session(scene, session.folder).document.steps) == 1


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda s: s.apply(Delete()), "nothing is selected"),
        (lambda s: s.refine(Refinement(grow=0.1)), "nothing is selected"),
        (lambda s: s.set_threshold(0.5), "nothing is selected"),
        (lambda s: s.keep("a"), "nothing is selected"),
        (lambda s: s.undo(), "nothing to undo"),
        (lambda s: s.open("none.yml"), "none.yml"),
        (lambda s: s.open("../edits.yml"), "a document is called"),
        (lambda s: s.save("edits.exe"), "a document is called"),
        (lambda s: s.select_named("x"), "no selection is called"),
        (lambda s: s.select_brought(3), "no step 4"),
        (lambda s: s.add_document("a.exe", b""), "no edit document"),
        (lambda s: s.add_document("a.yml", b"version: 9"), "version 9"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(session, do, said):
    with pytest.raises(DffError, match=said) as caught:
        do(session)
    assert "\n" not in str(caught.value)
    assert session.document.steps == ()


def test_an_empty_selection_is_no_step(session):
    ask(session, "red")
    session.set_threshold(1.0)
    if session.selection.count:
        pytest.skip("something scores exactly 1")
    with pytest.raises(DffError, match="selection is empty"):
        session.apply(Delete())


def test_unsaved_work_is_found_by_the_next_session(session, scene):
    ask(session, "red")
    session.apply(Delete())
    assert session.unsaved
    later = Session(scene, session.folder)
    assert later.document.steps == ()
    found = later.recoverable()
    later.recover(found)
    assert later.document == session.document
    later.undo()
    assert later.document.steps == ()
    later.redo()
    later.save()
    assert not later.unsaved
    assert Session(scene, session.folder).recoverable() is None
    assert Session(scene, session.folder).document == later.document


def test_uploaded_files_never_replace_others_and_stay_in_the_folder(session):
    first = session.add_file("../../cat.png", b"one", "pictures")
    again = session.add_file("cat.png", b"one", "pictures")
    other = session.add_file("cat.png", b"two", "pictures")
    assert first == again == "pictures/cat.png"
    assert other == "pictures/cat-2.png"
    assert (session.folder / other).read_bytes() == b"two"
    name = session.add_document("mine.yml", b"version: 1\nsteps: []\n")
    session.open(name)
    assert session.path.name == "mine.yml"


def test_a_picture_and_a_rectangle_select(session):
    scene = session.scene
    view = scene.views("train")[0]
    seen = render_buffers(scene, view.camera).seen
    ask(session, "red")
    mask = seen.mask(session.selection)
    ys, xs = mask.nonzero().unbind(dim=1)
    height, width = mask.shape
    low, high = (
        (int(xs.min()) / width, int(ys.min()) / height),
        (
            (int(xs.max()) + 1) / width,
            (int(ys.max()) + 1) / height,
        ),
    )
    inside = inside_rectangle(mask.shape, low, high)
    assert bool((inside & mask).sum() == mask.sum())
    session.choose(ask_frame(scene, seen, inside, None))
    counts = balls_selected(session)
    assert counts[0] > 5 * max(counts[1], 1)
    name = session.add_file("shot.png", view.path.read_bytes(), "pictures")
    session.choose(ask_picture(scene, session.folder, name, None))
    assert session.selection.count > 0
    assert session.described().patch == ("pictures/shot.png",)


def test_pointing_at_a_thing_that_was_moved_means_that_thing(session):
    scene = session.scene
    ask(session, "red")
    original = session.selection
    camera = scene.views("eval")[0].camera
    session.apply(Transform(translate=(0.0, 0.0, 0.25)))
    seen = render_buffers(scene, camera, session.work.edits).seen
    mask = seen.asked(original)[1][..., 0] >= 0.5
    before = render_buffers(scene, camera).seen.asked(original)[1][..., 0] >= 0.5
    rows = [float(each.nonzero()[:, 0].float().mean()) for each in (mask, before)]
    assert rows[0] < rows[1] - 1  # it went up
    middle = mask.nonzero().float().mean(dim=0)
    height, width = mask.shape
    spot = spot_at(seen, (float(middle[1]) + 0.5) / width, (float(middle[0]) + 0.5) / height)
    session.click(spot, wanted=True)
    shared = ((session.selection.values >= 0.5) & (original.values >= 0.5)).sum()
    assert int(shared) > 0.5 * session.selection.count


def test_every_output_has_the_size_asked_for_and_selections_show(session):
    scene = session.scene
    camera = scene.views("eval")[0].camera
    ask(session, "red")
    session.keep("red")
    session.kept.show("red", True)
    painter = Painter(scene)
    pictures = {}
    for output in ("colour", "depth", "features", "heatmap", "selection"):
        *_, pictures[output] = painter.pictures(camera, Look(output=output), session.work)
        assert pictures[output].shape == (18, 24, 3)
    assert len({picture.tobytes() for picture in pictures.values()}) == 5
    # Nothing else was rendered: what was there is looked at in other ways.
    assert len(painter._kept) == 1


def test_pictures_come_from_coarse_to_fine_and_stop_when_they_are_outdated(session):
    from dff.editor.latest import Outdated
    from dff.editor.lenses import eye_of

    camera = eye_of(session.scene.views("eval")[0].camera).camera(240)
    assert scales(camera) == sorted(scales(camera))
    assert scales(camera)[-1] == 1.0
    rays = int(camera.width) * int(camera.height)
    assert scales(camera)[0] ** 2 * rays <= 3_001
    pictures = Painter(session.scene).pictures(camera, Look(), Work(), lambda: True)
    with pytest.raises(Outdated):
        next(pictures)


def test_of_views_that_were_given_up_nothing_is_kept(session):
    from dff.editor.latest import Outdated

    painter = Painter(session.scene)
    ask(session, "red")
    session.apply(Delete())
    for view in session.scene.views("train")[:4]:

        def moved_on(camera=view.camera) -> bool:
            return painter._key(camera, None) in painter._kept  # the left side is done

        pictures = painter.pictures(view.camera, Look(compare=True), session.work, moved_on)
        with pytest.raises(Outdated):
            list(pictures)
        assert len(painter._kept) == 1


def test_before_and_after_meet_at_the_line():
    before, after = torch.zeros(4, 10, 3), torch.full((4, 10, 3), 0.5)
    picture = split_at(before, after, 0.3)
    assert picture[0, :, 0].tolist() == [0, 0, 0, 1, *[0.5] * 6]
    assert split_at(before, after, 0.0)[0, 1:].eq(0.5).all()
    assert split_at(before, after, 1.0)[0, :-1].eq(0.0).all()


def test_depth_goes_from_near_to_far_and_leaves_the_sky_black():
    depth = torch.linspace(1, 5, 60).view(6, 10, 1)
    there = torch.ones(6, 10, dtype=torch.bool)
    there[5] = False
    picture = depth_colours(depth, there)
    assert picture[5].eq(0).all()
    assert float(picture[0, 0, 0]) > float(picture[0, 0, 2])  # near: red
    assert float(picture[4, 9, 2]) > float(picture[4, 9, 0])  # far: blue
    assert depth_colours(depth, ~there & there).eq(0).all()


def test_a_document_with_a_fault_is_said_when_the_session_is_opened(scene, tmp_path):
    (tmp_path / "edits.yml").write_text("version: 1\nsteps: [{selection: {text: red}}]\n")
    with pytest.raises(DffError, match=r"edits\.yml.*operation"):
        Session(scene, tmp_path)
    with pytest.raises(DffError, match="version"):
        parse_document({"version": 2, "steps": []})
