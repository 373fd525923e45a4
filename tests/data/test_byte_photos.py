"""Photos kept as bytes: what training sees is what nerfstudio reads, to the last bit."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.data.dataparsers.blender_dataparser import BlenderDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from PIL import Image

from dff.data.byte_photos import BytePhotos, as_colours
from dff.data.datamanager import DFFDataManagerConfig


def batches(config, capture):
    """Two batches of one seed."""
    torch.manual_seed(3)
    random.seed(3)
    manager = config(data=capture, dataparser=NerfstudioDataParserConfig()).setup(device="cpu")
    return manager, [manager.next_train(step) for step in range(2)]


@pytest.mark.parametrize("channels", [3, 4])
def test_training_sees_the_same_as_with_nerfstudios_own_manager(capture, channels):
    if channels == 4:
        for path in sorted((capture / "images").iterdir()):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            alpha = np.random.default_rng(0).integers(0, 256, pixels.shape[:2], dtype=np.uint8)
            Image.fromarray(np.dstack([pixels, alpha])).save(path)
    ours, found = batches(DFFDataManagerConfig, capture)
    _, expected = batches(VanillaDataManagerConfig, capture)
    assert ours.train_image_dataloader.cached_collated_batch["image"].dtype == torch.uint8
    for (rays, batch), (same_rays, same) in zip(found, expected, strict=True):
        assert batch["image"].shape[-1] == channels
        assert torch.equal(batch["image"], same["image"])
        assert torch.equal(batch["indices"], same["indices"])
        torch.testing.assert_close(rays.directions, same_rays.directions)
    assert ours.train_dataset[0]["image"].dtype == torch.float32


def test_every_byte_is_nerfstudios_float():
    every = np.arange(256, dtype=np.uint8)
    expected = torch.from_numpy(every.astype(np.float32) / 255.0)
    assert torch.equal(as_colours(torch.from_numpy(every)), expected)
    assert torch.equal(as_colours(expected), expected)


def test_colours_blended_with_a_background_stay_floats(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 6, 8, 4), dtype=np.uint8)
    (tmp_path / "train").mkdir()
    frames = []
    for number, photo in enumerate(pixels):
        Image.fromarray(photo).save(tmp_path / "train" / f"r_{number}.png")
        pose = np.eye(4)
        pose[0, 3] = number
        frames.append({"file_path": f"./train/r_{number}", "transform_matrix": pose.tolist()})
    for split in ("train", "val", "test"):
        text = json.dumps({"camera_angle_x": 0.7, "frames": frames})
        (tmp_path / f"transforms_{split}.json").write_text(text)
    outputs = BlenderDataParserConfig(data=tmp_path).setup().get_dataparser_outputs("train")
    assert not BytePhotos.keeps_colours(InputDataset(outputs))
    config = DFFDataManagerConfig(data=tmp_path, dataparser=BlenderDataParserConfig())
    _, batch = config.setup(device="cpu").next_train(0)
    colour, alpha = pixels[..., :3] / 255.0, pixels[..., 3:] / 255.0
    expected = torch.from_numpy(colour * alpha + 1 - alpha)[batch["indices"].unbind(-1)]
    torch.testing.assert_close(batch["image"].double(), expected, atol=1e-6, rtol=0)
