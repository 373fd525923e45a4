"""Generated scenes: what lies on disk, checked against closed forms and brute force."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dff.data.generated.cameras import Camera
from dff.data.generated.description import describe_scene
from dff.data.generated.raycast import Geometry, RayCaster, merge
from dff.data.generated.render import class_names, render_views, room, table
from dff.data.generated.scene import is_written, load_truth, plan_scene, write_scene
from dff.errors import DffError

SMALL = {"num_objects": 4, "num_train": 3, "num_eval": 1, "width": 48, "height": 36}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("generated") / "scene"
    write_scene(path, 5, **SMALL)
    return path


def _bytes(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_same_seed_same_bytes_other_seed_other_pictures(scene: Path, tmp_path: Path) -> None:
    write_scene(tmp_path / "again", 5, **SMALL)
    assert _bytes(scene) == _bytes(tmp_path / "again")
    write_scene(tmp_path / "other", 6, **SMALL)
    other = _bytes(tmp_path / "other")
    assert other["images/frame_0000.png"] != _bytes(scene)["images/frame_0000.png"]


def test_depth_of_the_table_is_that_of_its_plane(scene: Path) -> None:
    truth = load_truth(scene)
    checked = 0
    for frame, camera in enumerate(truth.cameras):
        origin, directions = camera.rays()
        distance = -origin[2] / directions[:, 2]
        points = origin + distance[:, None] * directions
        # The slab's sides belong to the table as well, but not to the plane z = 0.
        top = np.abs(points[:, :2]).max(1) < truth.description.table_half - 1e-3
        semantics, _ = truth.masks(frame)
        seen = (semantics.ravel() == 1) & top & (distance > 0)
        checked += seen.sum()
        np.testing.assert_allclose(truth.depth(frame).ravel()[seen], distance[seen], rtol=2e-6)
    assert checked > 500


def test_first_hits_on_a_sphere_agree_with_the_closed_form() -> None:
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=5, radius=1.0)
    faces = np.asarray(ball.faces, np.int64)
    geometry = Geometry(
        vertices=np.asarray(ball.vertices),
        normals=np.asarray(ball.vertices),
        local=np.asarray(ball.vertices),
        faces=faces,
        face_owner=np.zeros(len(faces), np.int64),
        face_part=np.zeros(len(faces), np.int64),
    )
    rng = np.random.default_rng(0)
    origin = np.array([0.3, -4.0, 0.8])
    directions = rng.normal(size=(2000, 3)) * 0.15 - origin
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    b = directions @ origin
    root = b**2 - origin @ origin + 1.0
    clear = root > 0.05
    expected = -b[clear] - np.sqrt(root[clear])
    hits = RayCaster(geometry).first_hits(np.tile(origin, (2000, 1)), directions)
    assert (hits.face[clear] >= 0).all()
    # The facets lie up to 1 - cos(half an edge) inside the sphere; slanted rays see more of it.
    np.testing.assert_allclose(hits.distance[clear], expected, atol=3e-3)
    assert (hits.distance[clear] >= expected - 1e-9).all()
    assert np.isinf(hits.distance[root < -0.05]).all()


def _brute_force(geometry: Geometry, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Index of the first face on each ray, by solving for every triangle in float64."""
    a, b, c = (geometry.vertices[geometry.faces[:, k]] for k in range(3))
    nearest = np.full(len(directions), -1)
    for k, d in enumerate(directions):
        # origin + t d = a + u (b - a) + v (c - a), by Cramer's rule.
        e1, e2, s = b - a, c - a, origin - a
        det = np.einsum("ij,ij->i", np.cross(e1, e2), np.broadcast_to(-d, e1.shape))
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.einsum("ij,ij->i", np.cross(e1, e2), s) / det
            u = np.einsum("ij,ij->i", np.cross(s, e2), np.broadcast_to(-d, e1.shape)) / det
            v = np.einsum("ij,ij->i", np.cross(e1, s), np.broadcast_to(-d, e1.shape)) / det
        hit = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (t > 1e-6)
        if hit.any():
            nearest[k] = np.flatnonzero(hit)[t[hit].argmin()]
    return nearest


def test_masks_agree_with_brute_force() -> None:
    description = describe_scene(2, num_objects=4, detail=16)
    big = plan_scene(Path(), load_settings(width=48, height=36)).cameras[1]
    camera = Camera(big.pose, big.focal / 3, 16, 12)
    view = next(render_views(description, [camera], samples=1))
    parts = [room(description), table(description)]
    geometry = merge(parts + [thing.geometry() for thing in description.objects])
    origin, directions = camera.rays()
    face = _brute_force(geometry, origin, directions)
    owner = geometry.face_owner[face]
    assert (face >= 0).all()
    # A ray that grazes an edge may go either way.
    assert (np.maximum(owner, 0) == view.instances.ravel()).mean() > 0.99
    names = {t.instance: t.name for t in description.objects} | {-1: "background", 0: "table"}
    wanted = np.array([class_names().index(names[int(o)]) for o in owner])
    assert (wanted == view.semantics.ravel()).mean() > 0.99
    assert len(set(owner.tolist())) >= 4


def load_settings(**changes):
    from dff.data.generated.scene import SceneSettings

    return SceneSettings(**{"num_objects": 4, "num_train": 3, "num_eval": 1, **changes})


def test_poses_project_things_onto_their_masks(scene: Path) -> None:
    truth = load_truth(scene)
    for thing in truth.description.objects:
        others = [t.instance for t in truth.description.objects if t is not thing]
        alone = truth.description.without(*others)
        view = next(render_views(alone, truth.cameras[:1], samples=1))
        pixels = truth.cameras[0].project(thing.geometry().vertices)
        y, x = np.nonzero(view.instances == thing.instance)
        low, high = pixels.min(0), pixels.max(0)
        if low.min() < 0 or (high > [48, 36]).any():
            continue
        assert abs(x.min() - low[0]) < 1.5
        assert abs(x.max() + 1 - high[0]) < 1.5
        assert abs(y.min() - low[1]) < 1.5
        assert abs(y.max() + 1 - high[1]) < 1.5


def test_labels_name_what_the_masks_hold(scene: Path) -> None:
    labels = json.loads((scene / "labels.json").read_text())
    truth = load_truth(scene)
    for frame in range(4):
        semantics, instances = truth.masks(frame)
        for k in np.unique(instances[instances > 0]):
            thing = labels["instances"][str(k)]
            classes = {labels["classes"][str(c)] for c in np.unique(semantics[instances == k])}
            assert classes == {thing["name"]}
            assert thing["phrase"] == f"{thing['colour']} {thing['name']}"
    colours = [thing["colour"] for thing in labels["instances"].values()]
    assert len(colours) - len(set(colours)) >= 2


def test_taking_a_thing_away_changes_nothing_else(scene: Path) -> None:
    truth = load_truth(scene)
    before = next(render_views(truth.description, truth.cameras[:1], samples=1))
    target = int(np.bincount(before.instances[before.instances > 0]).argmax())
    after = next(render_views(truth.description.without(target), truth.cameras[:1], samples=1))
    gone = before.instances == target
    assert gone.any()
    assert not (after.instances == target).any()
    np.testing.assert_array_equal(before.depth[~gone], after.depth[~gone])
    assert (after.depth[gone] > before.depth[gone]).all()
    blue = next(
        render_views(truth.description.recoloured(target, "blue"), truth.cameras[:1], samples=1)
    )
    np.testing.assert_array_equal(before.image[~gone], blue.image[~gone])
    assert blue.image[gone][:, 2].mean() > blue.image[gone][:, 0].mean()


def test_interrupted_writing_leaves_no_scene_and_can_be_done_again(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scene(tmp_path, 5, **SMALL, progress=stop)
    assert not (tmp_path / "transforms.json").exists()
    with pytest.raises(DffError, match="generated scene"):
        load_truth(tmp_path)
    truth = write_scene(tmp_path, 5, **SMALL)
    assert is_written(tmp_path, truth.settings)
    stamp = (tmp_path / "images/frame_0000.png").stat().st_mtime_ns
    write_scene(tmp_path, 5, **SMALL)
    assert (tmp_path / "images/frame_0000.png").stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_objects": 0}, "1 to 16 things"),
        ({"num_objects": 99}, "1 to 16 things"),
        ({"num_train": 1}, "at least 2 training cameras"),
        ({"width": 2}, "too small"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(DffError, match=words):
        write_scene(tmp_path, 0, **{**SMALL, **changes})


def test_nerfstudio_reads_the_scene_with_our_split(scene: Path) -> None:
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

    truth = load_truth(scene)
    for split, held_out in (("train", False), ("val", True), ("test", True)):
        outputs = NerfstudioDataParserConfig(data=scene).setup().get_dataparser_outputs(split)
        names = [p.name for p in outputs.image_filenames]
        wanted = [
            Path(n).name
            for n, h in zip(truth.file_names, truth.held_out, strict=True)
            if h == held_out
        ]
        assert names == wanted
        assert int(outputs.cameras.width[0]) == 48
        assert Image.open(outputs.image_filenames[0]).size == (48, 36)
        # The parser turns and scales the world; distances between cameras keep their ratios.
        centres = outputs.cameras.camera_to_worlds[:, :, 3].numpy()
        if len(centres) > 2:
            mine = np.array(
                [
                    np.array(c.pose)[:3, 3]
                    for c, h in zip(truth.cameras, truth.held_out, strict=True)
                    if h == held_out
                ]
            )
            ratio = np.linalg.norm(centres[1:] - centres[:-1], axis=1) / np.linalg.norm(
                mine[1:] - mine[:-1], axis=1
            )
            np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
