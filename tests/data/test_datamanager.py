"""Ray batches: each ray's features are the teacher's at its own pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

from dff.checkpoint import TeacherRecord
from dff.data.datamanager import DFFDataManagerConfig
from dff.data.images import load_image


@pytest.fixture
def manager(capture, tmp_path, colour_teacher):
    return DFFDataManagerConfig(
        data=capture,
        dataparser=NerfstudioDataParserConfig(),
        teachers=("colour",),
        feature_cache=tmp_path / "cache",
        train_num_rays_per_batch=512,
    ).setup(device="cpu", test_mode="val")


def test_features_and_colours_are_those_of_the_rays_pixel(manager, colour_teacher):
    bundle, batch = manager.next_train(0)
    assert len(bundle) == 512
    photos = [load_image(path) for path in manager.train_dataset.image_filenames]
    maps = [colour_teacher.encode_image(photo).double() for photo in photos]
    for ray in range(0, 512, 7):
        image, row, column = batch["indices"][ray].tolist()
        torch.testing.assert_close(batch["image"][ray], photos[image][row, column])
        # Bilinear at the pixel's centre, by hand: a cell's value sits at its centre.
        features = maps[image]
        h, w = features.shape[:2]
        y, x = (row + 0.5) * h / 18 - 0.5, (column + 0.5) * w / 24 - 0.5
        expected = torch.zeros(5, dtype=torch.float64)
        for i in (int(np.floor(y)), int(np.floor(y)) + 1):
            for j in (int(np.floor(x)), int(np.floor(x)) + 1):
                share = (1 - abs(y - i)) * (1 - abs(x - j))
                expected += share * features[min(max(i, 0), h - 1), min(max(j, 0), w - 1)]
        found = batch["features"]["colour"][ray].double()
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)  # maps are kept in fp16


def test_rays_go_through_their_pixels_centres(manager):
    bundle, batch = manager.next_train(0)
    cameras = manager.train_dataset.cameras
    for ray in range(0, 512, 31):
        image, row, column = batch["indices"][ray].tolist()
        pose = cameras.camera_to_worlds[image]
        local = torch.tensor([(column + 0.5 - 12) / 26, -(row + 0.5 - 9) / 26, -1.0])
        direction = torch.nn.functional.normalize(pose[:, :3] @ local, dim=0)
        torch.testing.assert_close(bundle.directions[ray], direction)
        torch.testing.assert_close(bundle.origins[ray], pose[:, 3])


def test_the_model_is_told_which_teacher_and_which_cameras(manager):
    metadata = manager.train_dataset.metadata
    assert metadata["teachers"] == (TeacherRecord("colour", 5, "c0"),)
    assert len(metadata["cameras"]) == len(manager.train_dataset) == 11


def test_a_second_run_encodes_nothing_anew(manager, capture, tmp_path, colour_teacher, monkeypatch):
    def refuse(self, image):
        raise AssertionError("encoded again")

    monkeypatch.setattr(type(colour_teacher), "encode_image", refuse)
    again = DFFDataManagerConfig(
        data=capture,
        dataparser=NerfstudioDataParserConfig(),
        teachers=("colour",),
        feature_cache=tmp_path / "cache",
    ).setup(device="cpu", test_mode="val")
    assert set(again.features) == {"colour"}


def test_without_a_teacher_there_are_no_features(capture, tmp_path):
    manager = DFFDataManagerConfig(data=capture, dataparser=NerfstudioDataParserConfig()).setup(
        device="cpu", test_mode="val"
    )
    _, batch = manager.next_train(0)
    assert "features" not in batch
    assert "teachers" not in manager.train_dataset.metadata
