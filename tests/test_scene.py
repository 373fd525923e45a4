"""A trained scene: its views, what it selects, what it renders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from nerfstudio.configs.method_configs import method_configs
from PIL import Image

from dff.data.images import load_image
from dff.edits.document import EditDocument
from dff.edits.storage import parse_document
from dff.errors import DffError
from dff.evaluate import intersection_over_union, psnr
from dff.fields.baked_density import BakedDensity
from dff.method import dff_method
from dff.query.shown import Click, ClickQuery
from dff.query.text import TextQuery
from dff.scene import View, load, read_config, tell_apart

RED = TextQuery(("red",), ("green", "table", "sky"))


def document(*steps: dict) -> EditDocument:
    return parse_document({"version": 1, "steps": list(steps)})


def step(operation: dict, text: str = "red", **more) -> dict:
    return {
        "selection": {"text": [text], "negative": ["table", "sky", "blue"], **more},
        "operation": operation,
    }


class TestViews:
    def test_every_image_is_in_one_split_under_its_own_name(self, scene):
        train, held_out = scene.views("train"), scene.views("eval")
        assert [view.name for view in scene.views()] == [f"IMG_{i:02d}" for i in range(12)]
        assert len(train) == 11
        assert {v.name for v in train}.isdisjoint(v.name for v in held_out)
        assert {view.split for view in train} == {"train"}
        assert all(view.path.stem == view.name for view in train)
        assert all(view.size == (18, 24) for view in train)

    def test_names_come_in_the_order_asked_for(self, scene):
        names = ["IMG_07", "IMG_00", "IMG_03"]
        assert [view.name for view in scene.views("eval", names)] == names

    def test_a_name_no_image_has_is_one_line(self, scene):
        with pytest.raises(DffError, match="'IMG_99'"):
            scene.views(names=["IMG_01", "IMG_99"])

    def test_where_to_sample_is_read_off_grids_and_the_picture_stays(self, scene, monkeypatch):
        (view,) = scene.views(names=["IMG_05"])
        photo = load_image(view.path)
        found = psnr(scene.render(view.camera)["rgb"], photo)
        (off_grid,) = scene.model.density_fns
        assert isinstance(off_grid, BakedDensity)
        monkeypatch.setattr(scene.model, "density_fns", [off_grid.field.density_fn])
        assert found > psnr(scene.render(view.camera)["rgb"], photo) - 0.3

    def test_a_view_looks_like_its_photo(self, scene):
        for name in ("IMG_00", "IMG_05"):
            (view,) = scene.views(names=[name])
            assert psnr(scene.render(view.camera)["rgb"], load_image(view.path)) > 15


class TestSelect:
    @pytest.mark.parametrize(("word", "label"), [("red", 2), ("green", 3)])
    def test_what_is_named_is_selected(self, scene, truth, word, label):
        others = tuple({"red", "green", "table", "sky"} - {word})
        selection = scene.select(TextQuery((word,), others))
        for name in ("IMG_00", "IMG_04"):
            (view,) = scene.views(names=[name])
            mask = scene.render(view.camera, selection=selection)["mask"][..., 0] >= 0.5
            assert intersection_over_union(mask, torch.from_numpy(truth(name) == label)) > 0.7

    def test_a_threshold_that_is_given_is_used(self, scene):
        query = TextQuery(("red",), ("table",), threshold=0.83)
        assert scene.select(query).exact.threshold == 0.83

    def test_a_chosen_threshold_is_never_below_even_odds(self, scene):
        assert 0.5 <= scene.select(RED).exact.threshold < 1.0
        assert scene.select(TextQuery(("blue",), ("table", "sky"))).exact.threshold >= 0.5

    def test_an_unknown_word_is_one_line(self, scene):
        with pytest.raises(DffError, match="unknown word 'banana'"):
            scene.select(TextQuery(("banana",)))


class TestEdits:
    def test_an_empty_document_and_one_that_is_switched_off_change_no_bit(self, scene):
        camera = scene.views("eval")[0].camera
        plain = scene.render(camera)["rgb"]
        off = {**step({"type": "delete"}), "enabled": False}
        for doc in (document(), document(off)):
            assert torch.equal(scene.render(camera, scene.compile(doc))["rgb"], plain)

    def test_deleting_the_red_ball_leaves_the_green_one(self, scene, truth):
        (view,) = scene.views(names=["IMG_03"])
        edits = scene.compile(document(step({"type": "delete"})))
        plain, edited = scene.render(view.camera)["rgb"], scene.render(view.camera, edits)["rgb"]
        labels = torch.from_numpy(truth("IMG_03"))

        def redness(image: torch.Tensor) -> float:
            ball = image[labels == 2]
            return float((ball[:, 0] - ball[:, 1]).mean())

        assert redness(plain) > 0.3
        assert redness(edited) < 0.15
        assert psnr(edited, plain, labels == 3) > 30

    def test_extracting_the_red_ball_leaves_only_it(self, scene, truth):
        (view,) = scene.views(names=["IMG_03"])
        edits = scene.compile(document(step({"type": "extract"})))
        opacity = scene.render(view.camera, edits)["accumulation"][..., 0]
        labels = torch.from_numpy(truth("IMG_03"))
        assert float(opacity[labels == 2].mean()) > 0.7
        assert float(opacity[labels == 3].mean()) < 0.1

    def test_recolouring_moves_no_surface(self, scene, truth):
        (view,) = scene.views(names=["IMG_03"])
        paint = {"type": "recolor", "function": "set", "color": "#0000ff", "gain": 1.2}
        plain = scene.render(view.camera)
        edited = scene.render(view.camera, scene.compile(document(step(paint))))
        ball = edited["rgb"][torch.from_numpy(truth("IMG_03")) == 2].mean(dim=0)
        assert ball[2] > 2 * ball[0]
        for key in ("depth", "expected_depth", "accumulation"):
            assert torch.equal(plain[key], edited[key])

    def test_a_step_that_selects_nothing_is_told_in_one_line_and_does_nothing(self, scene, capsys):
        (view,) = scene.views(names=["IMG_03"])
        empty = scene.compile(document(step({"type": "delete"}, text="red", threshold=1.0)))
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 1
        assert told[0].startswith("notice: step 1 selects nothing: 'red'")
        plain, edited = scene.render(view.camera), scene.render(view.camera, empty)
        for name, value in plain.items():
            assert torch.equal(value, edited[name]), name

    def test_what_is_clicked_shown_or_saved_is_deleted_too(self, scene, truth, tmp_path):
        (view,) = scene.views(names=["IMG_04"])
        labels = truth("IMG_04")
        ys, xs = np.nonzero(labels == 2)
        click = f"IMG_04:{xs.mean():g},{ys.mean():g}"
        box = f"{xs.min()},{ys.min()},{xs.max() + 1},{ys.max() + 1}"
        query = ClickQuery((Click.parse(click),))
        scene.select(query).save(tmp_path / "red.npz", scene.fingerprint)
        Image.fromarray(((labels == 2) * 255).astype(np.uint8)).save(tmp_path / "mask.png")
        plain = scene.render(view.camera)["rgb"]
        red = torch.from_numpy(labels == 2)
        green = torch.from_numpy(labels == 3)
        for selection in (
            {"click": click},
            {"patch": f"IMG_04:{box}"},
            {"patch": "IMG_04:mask.png"},
            {"file": "red.npz"},
        ):
            doc = parse_document(
                {"version": 1, "steps": [{"selection": selection, "operation": {"type": "delete"}}]}
            )
            after = scene.render(view.camera, scene.compile(doc, tmp_path))["rgb"]
            assert (after - plain)[red].abs().mean() > 0.15, selection
            assert (after - plain)[green].abs().mean() < 0.02, selection

    def test_a_document_reads_only_its_own_folder(self, scene, tmp_path):
        for selection in ({"file": "../red.npz"}, {"file": "/etc/passwd"}, {"patch": "../a.png"}):
            doc = parse_document(
                {"version": 1, "steps": [{"selection": selection, "operation": {"type": "delete"}}]}
            )
            with pytest.raises(DffError, match="not in its own folder"):
                scene.compile(doc, tmp_path)
            with pytest.raises(DffError, match="no folder of its own"):
                scene.compile(doc)

    def test_the_document_stays_as_it_is(self, scene):
        doc = document(step({"type": "delete"}))
        before = doc.model_dump()
        scene.compile(doc)
        assert doc.model_dump() == before


class TestRender:
    def test_the_pieces_it_renders_in_do_not_show(self, scene, monkeypatch):
        camera = scene.views("eval")[0].camera
        whole = scene.render(camera)
        monkeypatch.setattr(scene.model.config, "eval_num_rays_per_chunk", 50)
        done = []
        parts = scene.render(camera, on_rows=done.append)
        for name, value in whole.items():
            torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-4)
        assert done == sorted(done)
        assert done[-1] == 1.0

    def test_the_camera_stays_as_it_is(self, scene):
        camera = scene.views("eval")[0].camera
        before = camera.camera_to_worlds.clone(), int(camera.width)
        scene.render(camera)
        assert torch.equal(camera.camera_to_worlds, before[0])
        assert int(camera.width) == before[1]

    def test_the_model_stays_as_it_is(self, scene):
        before = {name: value.clone() for name, value in scene.model.state_dict().items()}
        edits = scene.compile(document(step({"type": "delete"})))
        scene.render(scene.views("eval")[0].camera, edits, scene.select(RED), hidden=True)
        after = scene.model.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


class TestLoad:
    def test_the_folder_is_as_good_as_the_file(self, trained):
        assert load(trained.parent, device="cpu").checkpoint == load(trained, "cpu").checkpoint

    def test_the_public_name_is_the_same_function(self):
        import dff

        assert dff.load is load
        assert dff.DffError is DffError
        with pytest.raises(AttributeError):
            _ = dff.nothing

    @pytest.mark.parametrize(
        "content",
        ["", "3", "{", "a: [", "!!python/object:no.such.Thing {}", "!!python/name:os.nothing ''"],
    )
    def test_a_file_that_is_no_configuration_is_one_line(self, tmp_path, content):
        path = tmp_path / "config.yml"
        path.write_text(content)
        with pytest.raises(DffError, match="config") as raised:
            read_config(path)
        assert "\n" not in str(raised.value)

    def test_a_file_that_is_no_text_is_one_line(self, tmp_path):
        path = tmp_path / "config.yml"
        path.write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(DffError):
            read_config(path)

    def test_a_configuration_of_another_method_is_one_line(self, tmp_path):
        path = tmp_path / "config.yml"
        path.write_text(yaml.dump(method_configs["splatfacto"]))
        with pytest.raises(DffError, match="not the configuration of a dff or nerfacto scene"):
            read_config(path)

    @pytest.mark.parametrize("last", ["pipeline", "  datamanager", "  model"])
    @pytest.mark.parametrize("method", ["dff", "nerfacto"])
    def test_a_configuration_that_was_cut_short_is_one_line(self, tmp_path, method, last):
        known = {"dff": dff_method.config, "nerfacto": method_configs["nerfacto"]}
        text = yaml.dump(known[method])
        path = tmp_path / "config.yml"
        path.write_text(text[: text.index(f"\n{last}:") + 1])
        with pytest.raises(DffError, match=r"was cut short|is not a nerfstudio") as raised:
            read_config(path)
        assert "\n" not in str(raised.value)

    def test_a_missing_configuration_is_one_line(self, tmp_path):
        with pytest.raises(DffError, match="no such configuration"):
            load(tmp_path / "config.yml")
        with pytest.raises(DffError, match="no such configuration"):
            load(tmp_path)


def test_images_of_one_stem_are_told_apart():
    paths = ["a/0001.png", "b/0001.png", "a/0002.png", "a/0003.png", "a/0003.jpg"]
    views = [View(Path(p).stem, Path("capture") / p, None, "train") for p in paths]
    names = [view.name for view in tell_apart(views)]
    assert names[:3] == ["a_0001", "b_0001", "0002"]
    assert len(set(names)) == len(paths)
