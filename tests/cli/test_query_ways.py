"""`dff query` by click, by picture and from a file: refined, exported, and every way to fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from pycocotools.coco import COCO

from dff.cli import main
from dff.evaluate import intersection_over_union


def arguments(*parts: object) -> list[str]:
    return [str(part) for part in parts]


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


class TestOtherWaysToAsk:
    """Clicks, patches, saved selections, refinements and formats, by the command line."""

    def test_a_click_is_kept_refined_and_written_in_every_format(
        self, trained, tmp_path, capsys, truth
    ):
        ys, xs = np.nonzero(truth("IMG_04") == 2)
        click = f"IMG_04:{xs.mean():g},{ys.mean():g}"
        common = ("query", "--load-config", trained, "--frames", "IMG_04", "IMG_08")
        first, second = tmp_path / "first", tmp_path / "second"
        saved = first / "red.npz"
        formats = ("--format", "points", "mesh-ply", "volume", "coco")
        main(arguments(*common, "--click", click, "--output-dir", first, "--save", saved, *formats))
        cloud = trimesh.load(first / "points.ply")
        assert f"selection of {len(cloud.vertices)} voxels" in capsys.readouterr().out
        assert len(trimesh.load(first / "mesh.ply").faces) > 10
        coco = COCO(str(first / "masks.json"))
        assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [
            "IMG_04.png",
            "IMG_08.png",
        ]
        for annotation in coco.loadAnns(coco.getAnnIds()):
            name = coco.loadImgs(annotation["image_id"])[0]["file_name"]
            assert np.array_equal(coco.annToMask(annotation) * 255, read(first / "masks" / name))
        main(arguments(*common, "--selection", saved, "--output-dir", second, "--keep-largest", 1))
        for name in ("IMG_04.png", "IMG_08.png"):
            before, after = read(first / "masks" / name), read(second / "masks" / name)
            assert np.array_equal(before, after)
            assert (
                intersection_over_union(
                    torch.from_numpy(after == 255), torch.from_numpy(truth(name[:6]) == 2)
                )
                > 0.6
            )

    def test_each_of_several_words_is_a_selection_of_its_own(self, trained, tmp_path, truth):
        out = tmp_path / "each"
        parts = ("--text", "red", "green", "--negative", "table", "--each")
        more = ("--frames", "IMG_04", "--output-dir", out, "--save", tmp_path / "it.npz")
        main(arguments("query", "--load-config", trained, *parts, *more, "--format", "points"))
        for word, label in (("red", 2), ("green", 3)):
            mask = torch.from_numpy(read(out / word / "masks" / "IMG_04.png") == 255)
            target = torch.from_numpy(truth("IMG_04") == label)
            assert intersection_over_union(mask, target) > 0.6
            assert (tmp_path / f"it_{word}.npz").exists()
            assert (out / word / "points.ply").exists()

    def test_an_inventory_lists_what_there_is(self, trained, tmp_path, capsys):
        main(arguments("query", "--load-config", trained, "--list", "--output-dir", tmp_path))
        assert len(json.loads((tmp_path / "things.json").read_text())["things"]) >= 3
        assert list((tmp_path / "pictures").glob("*.png"))

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            (("--click", "IMG_04"), "FRAME:x,y"),
            (("--click", "IMG_04:1,1", "--text", "red"), "one way at a time"),
            (("--click-negative", "IMG_04:1,1"), "at least one positive"),
            (("--patch", "IMG_04:4,4,4,8"), "no area"),
            (("--selection", "none.npz"), "no such selection"),
            (("--text", "red", "--labels", "none.txt"), "none.txt"),
            (("--text", "red", "--grow", "-1"), "0 or more"),
            (("--text", "red", "--save", "red.pt"), ".npz"),
        ],
    )
    def test_what_makes_no_sense_is_one_line(self, trained, tmp_path, capsys, more, says):
        with pytest.raises(SystemExit):
            main(arguments("query", "--load-config", trained, "--output-dir", tmp_path, *more))
        lines = capsys.readouterr().err.strip().splitlines()
        assert len([line for line in lines if line.startswith("error:")]) == 1
        assert says in lines[-1]
