"""Lifting features onto a surface: the sums by hand, and scenes that answer by what was lifted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dff.cli import main
from dff.errors import DffError
from dff.lifted_field import BareField, LiftedFeatures, LiftedField
from dff.lifted_scene import attach_lifted, folder_of, lift_teacher, load_lifted
from dff.lifting import add_rays, reduced
from dff.query.text import TextQuery
from dff.scene import Scene, load
from dff.selection.surface_grid import SurfaceGrid
from dff.training import train_scene

AABB = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])


@pytest.fixture(autouse=True)
def few_rays(monkeypatch):
    monkeypatch.setattr("dff.lifted_scene.LIFTED_RAYS", 3000)
    monkeypatch.setattr("dff.scene.BAKED_RAYS", 3000)


def grid_of(unit: torch.Tensor, resolution: int = 8) -> SurfaceGrid:
    world = unit * 2 - 1
    return SurfaceGrid.build(unit, world, torch.zeros(len(unit), 0), world * 0, resolution)


def unit_of(positions: torch.Tensor) -> torch.Tensor:
    return (positions + 1) / 2


def test_voxels_get_the_weighted_mean_of_what_rays_say():
    grid = grid_of(torch.tensor([[0.05, 0.05, 0.05], [0.95, 0.95, 0.95]]))
    total, weight = torch.zeros(2, 2), torch.zeros(2)
    near, far, nowhere = [-0.9] * 3, [0.9] * 3, [0.9, -0.9, 0.9]
    positions = torch.tensor([[near, far], [near, near], [near, nowhere]])
    weights = torch.tensor([[[0.5], [0.25]], [[0.5], [0.005]], [[0.25], [0.75]]])
    seen = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 4.0]])
    add_rays(total, weight, grid, unit_of, weights, positions, seen)
    # 0.005 is too little to count, and at `nowhere` no photo shows anything.
    assert weight.tolist() == [1.25, 0.25]
    torch.testing.assert_close(total, torch.tensor([[0.5, 1.5], [0.25, 0.0]]))


def test_few_numbers_keep_what_lies_in_few_directions():
    basis = torch.linalg.qr(torch.randn(20, 3))[0]
    features = torch.randn(50, 3) @ basis.T
    values, directions, kept = reduced(features, torch.ones(50), 3)
    assert values.shape == (50, 3)
    assert kept == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(values @ directions.T, features, rtol=1e-4, atol=1e-4)
    assert reduced(features, torch.ones(50), 20)[0] is features
    noisy = features + 0.5 * torch.randn(50, 20)
    values, directions, kept = reduced(noisy, torch.ones(50), 3)
    found = F.cosine_similarity(values @ directions.T, noisy, dim=1).mean()
    assert kept == pytest.approx(float(found), abs=1e-5)
    assert kept < 0.95


def test_between_voxels_features_are_those_of_the_grids_own_interpolation():
    generator = torch.Generator().manual_seed(1)
    unit = torch.rand(60, 3, generator=generator)
    grid = grid_of(unit)
    values = torch.randn(len(grid), 2, generator=generator)
    record = teacher_record(dim=2)
    field = LiftedField(
        BareField(AABB, contracted=False),
        grid,
        {"it": LiftedFeatures(record, values, torch.eye(2))},
    )
    asked = torch.rand(7, 40, 3, generator=generator) * 2 - 1
    found = field.hidden_at(asked)
    assert found.shape == (7, 40, 2)
    for column in range(2):
        expected = grid.sampled(values[:, column], unit_of(asked))
        torch.testing.assert_close(found[..., column], expected, rtol=1e-4, atol=1e-5)


def teacher_record(dim: int):
    from dff.checkpoint import TeacherRecord

    return TeacherRecord("it", dim, "f0")


@pytest.fixture
def own(trained, tmp_path) -> Path:
    """A copy of the trained scene, to lift onto."""
    shutil.copytree(trained.parent, tmp_path / "run")
    return tmp_path / "run" / "config.yml"


def overlap(scene: Scene, query: TextQuery, truth, label: int) -> float:
    """Mean IoU of a query's mask with the truth over the photos."""
    selection = scene.select(query)
    found = []
    for view in scene.views("all"):
        mask = scene.see(view.camera).mask(selection).numpy()
        wanted = truth(view.name) == label
        found.append((mask & wanted).sum() / max((mask | wanted).sum(), 1))
    return float(np.mean(found))


RED = TextQuery(("red",), ("green", "table", "sky"))


def test_a_scene_answers_by_what_was_lifted(own, colour_teacher, truth, tmp_path):
    before = load(own, device="cpu")
    distilled = overlap(before, RED, truth, 2)
    path, lifted = lift_teacher(before, colour_teacher, tmp_path / "cache")
    assert path == folder_of(before) / "colour.safetensors"
    assert lifted.values.shape == (len(before.surface), 5)
    assert lifted.met > 0.6  # the tiny scene is foggy: many voxels were met by one ray alone
    # The teacher's features are a function of colour, and the surface knows its colours.
    expected = colour_teacher._unit(before.surface.rgb)
    cosine = F.cosine_similarity(lifted.values @ lifted.weight.T, expected, dim=1)
    often = before.surface.rays >= 3
    assert float(cosine[often].mean()) > 0.97
    scene = load(own, device="cpu")
    assert isinstance(scene.model.feature_field, LiftedField)
    assert [record.name for record in scene.model.teacher_records] == ["colour"]
    assert scene.surface.fingerprint == before.surface.fingerprint
    assert distilled > 0.85
    assert overlap(scene, RED, truth, 2) > 0.75


def test_a_trained_teacher_stays_beside_a_lifted_one(own, colour_teacher, truth, tmp_path):
    from dff.teachers import get_teacher

    before = load(own, device="cpu")
    edges = get_teacher("edges", "cpu", before.pipeline.config.teacher)
    lift_teacher(before, edges, tmp_path / "cache")
    scene = load(own, device="cpu")
    assert [record.name for record in scene.model.teacher_records] == ["colour", "edges"]
    points = before.surface.points[:50]
    was, now = before.model.feature_field, scene.model.feature_field
    assert was is not None
    assert now is not None
    torch.testing.assert_close(now.features_at(points, "colour"), was.features_at(points, "colour"))
    torch.testing.assert_close(
        scene.baked("colour").features(torch.arange(9)),
        before.baked("colour").features(torch.arange(9)),
    )
    assert now.features_at(points, "edges").shape == (50, 7)
    selection = before.select(RED)
    selection.save(tmp_path / "red.npz", before.fingerprint)
    assert scene.load_selection(tmp_path / "red.npz").count == selection.count


def test_a_scene_without_features_gets_them_and_can_be_edited(
    shared_capture, small, colour_teacher, truth, tmp_path, capsys
):
    def configure(config):
        small(config)
        config.pipeline.model.train_features = False

    config = train_scene(shared_capture, tmp_path / "plain", iterations=200, configure=configure)
    with pytest.raises(DffError, match="trained without features: add a teacher by"):
        load(config, device="cpu").select(RED)
    command = ["features", "--lift", "--load-config", str(config), "--teacher", "colour"]
    main([*command, "--feature-cache", str(tmp_path / "cache")])
    assert "colour: 5 numbers on each of" in capsys.readouterr().out
    scene = load(config, device="cpu")
    assert overlap(scene, RED, truth, 2) > 0.6
    from dff.edits.document import EditDocument, EditStep
    from dff.edits.operations import Delete
    from dff.edits.selections import TextSelection

    chosen = TextSelection(text=("red",), negative=("green", "table", "sky"))
    edits = scene.compile(EditDocument(steps=(EditStep(selection=chosen, operation=Delete()),)))
    view = scene.views("all")[0]
    was, now = scene.render(view.camera)["rgb"], scene.render(view.camera, edits)["rgb"]
    ball = torch.from_numpy(truth(view.name) == 2)
    change = (was - now).abs().mean(dim=-1)
    assert float(change[ball].mean()) > 10 * float(change[~ball].mean())


def test_what_was_lifted_from_another_checkpoint_is_left_alone(own, colour_teacher, tmp_path):
    scene = load(own, device="cpu")
    path, _ = lift_teacher(scene, colour_teacher, tmp_path / "cache")
    with pytest.raises(DffError, match="another checkpoint: run `dff features --lift"):
        load_lifted(path, "of something else")
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"\x00" * 200):
        path.write_bytes(broken)
        said = []
        attach_lifted(scene, said.append)
        assert len(said) == 1
        assert "is damaged: run `dff features --lift" in said[0]
        assert not isinstance(scene.model.feature_field, LiftedField)


@pytest.mark.parametrize(
    "options",
    [
        ("--lift",),
        ("--load-config", "c.yml"),
        ("--lift", "--load-config", "c.yml", "--data", "d"),
        ("--lift", "--load-config", "c.yml", "--list"),
    ],
)
def test_options_that_make_no_sense_together(options, capsys):
    with pytest.raises(SystemExit):
        main(["features", *options])
    assert "error: --lift" in capsys.readouterr().err
