"""Masks of the capture's views: read back with Pillow and with COCO's own tools."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from dff.errors import DffError
from dff.selection.mask_formats import write_masks


def masks() -> list[tuple[str, torch.Tensor]]:
    random = torch.rand(13, 17) > 0.6
    box = torch.zeros(13, 17, dtype=torch.bool)
    box[2:7, 3:14] = True
    return [
        ("IMG_1.jpg", random),
        ("IMG_2.jpg", torch.zeros(9, 5, dtype=torch.bool)),
        ("IMG_3.png", box),
        ("IMG_4.png", torch.ones(4, 6, dtype=torch.bool)),
    ]


def test_pictures_hold_the_masks(tmp_path):
    given = masks()
    assert write_masks(iter(given), "apple", folder=tmp_path / "masks") == 3
    for name, mask in given:
        with Image.open((tmp_path / "masks" / name).with_suffix(".png")) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), mask.numpy() * 255)
    assert len(list((tmp_path / "masks").iterdir())) == 4


def test_coco_decodes_to_the_same_masks(tmp_path, capsys):
    given = masks()
    path = tmp_path / "deep" / "coco.json"
    write_masks(iter(given), "apple", coco=path)
    json.loads(path.read_text())
    coco = COCO(str(path))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["apple"]
    images = coco.loadImgs(coco.getImgIds())
    assert [image["file_name"] for image in images] == [name for name, _ in given]
    for image, (_, mask) in zip(images, given, strict=True):
        assert (image["height"], image["width"]) == tuple(mask.shape)
        found = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert len(found) == int(mask.any())
        for annotation in found:
            assert isinstance(annotation["segmentation"]["counts"], str)
            np.testing.assert_array_equal(coco.annToMask(annotation), mask.numpy())
            assert annotation["area"] == int(mask.sum())
            y, x = mask.nonzero().T
            extent = [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
            assert annotation["bbox"] == [float(side) for side in extent]
    assert len({a["id"] for a in coco.dataset["annotations"]}) == 3


def test_pictures_of_one_name_are_one_line(tmp_path):
    same = [("a/x.png", torch.ones(2, 2, dtype=torch.bool))] * 2
    with pytest.raises(DffError, match="two pictures are called 'x'"):
        write_masks(same, "apple", folder=tmp_path)


def test_another_suffix_is_one_line_and_nothing_is_rendered(tmp_path):
    def never():
        raise AssertionError("asked for a mask")
        yield

    with pytest.raises(DffError, match=r"\.json"):
        write_masks(never(), "apple", coco=tmp_path / "coco.txt")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for place in ({"folder": tmp_path / "file" / "m"}, {"coco": tmp_path / "file" / "c.json"}):
        with pytest.raises(DffError, match="cannot write"):
            write_masks(masks(), "apple", **place)
