"""Scenes that nerfstudio's nerfacto trained: the same pictures, and features lifted onto them."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from unittest import mock

import pytest
import torch
from nerfstudio.configs.method_configs import method_configs
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.field_components.encodings import HashEncoding
from nerfstudio.scripts.train import train_loop
from nerfstudio.utils.eval_utils import eval_setup
from torch import nn

from dff.edits.document import EditDocument, EditStep
from dff.edits.operations import Delete
from dff.edits.selections import TextSelection
from dff.errors import DffError
from dff.lifted_scene import lift_teacher
from dff.nerfacto import NerfactoScenePipeline, quicken
from dff.query.text import TextQuery
from dff.scene import load

LPIPS = "torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity"


@pytest.fixture
def without_lpips():
    """nerfacto builds a network for it whose weights it would download."""
    with mock.patch(LPIPS, return_value=nn.Identity()):
        yield


def train_nerfacto(capture: Path, folder: Path, iterations: int) -> Path:
    """A small nerfacto, trained by nerfstudio; its ``config.yml``."""
    config = copy.deepcopy(method_configs["nerfacto"])
    config.pipeline.datamanager = VanillaDataManagerConfig(
        dataparser=NerfstudioDataParserConfig(),
        data=capture,
        train_num_rays_per_batch=256,
        eval_num_rays_per_batch=64,
    )
    model = config.pipeline.model
    model.implementation = "torch"
    model.num_levels, model.log2_hashmap_size, model.max_res = 4, 12, 64
    # Without it the tiny scene is fog in front of its cameras, and has no surface to lift onto.
    model.features_per_level, model.use_gradient_scaling = 4, True
    model.num_proposal_samples_per_ray, model.num_nerf_samples_per_ray = (24, 16), 12
    small = {"hidden_dim": 16, "log2_hashmap_size": 11, "num_levels": 3, "max_res": 64}
    model.proposal_net_args_list = [small, dict(small)]
    model.camera_optimizer.mode, model.average_init_density = "off", 1.0
    config.data, config.output_dir = capture, folder
    config.experiment_name, config.timestamp, config.vis = "plain", "run", "tensorboard"
    config.machine.device_type, config.mixed_precision = "cpu", False
    config.max_num_iterations = config.steps_per_save = iterations
    config.steps_per_eval_batch = config.steps_per_eval_image = 0
    config.steps_per_eval_all_images = 10**9
    config.save_config()
    train_loop(0, 1, config)
    return config.get_base_dir() / "config.yml"


def test_nerfstudios_encoding_by_our_kernel_gives_its_own_values():
    encoding = HashEncoding(5, 4, 60, log2_hashmap_size=9, implementation="torch")
    positions = torch.rand(3, 50, 3)
    positions[0, 0] = torch.tensor([0.0, 1.0, 0.5])
    table = encoding.hash_table
    expected = encoding(positions)
    upstream = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad(expected, table, upstream)
    quicken(nn.Sequential(encoding))
    found = encoding(positions)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    (gradient,) = torch.autograd.grad(found, table, upstream)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_nerfacto_scene_looks_the_same_is_asked_and_edited(
    shared_capture, colour_teacher, truth, tmp_path, without_lpips, monkeypatch
):
    monkeypatch.setattr("dff.scene.BAKED_RAYS", 3000)
    monkeypatch.setattr("dff.lifted_scene.LIFTED_RAYS", 3000)
    config = train_nerfacto(shared_capture, tmp_path, 300)
    with monkeypatch.context() as patch:
        # nerfstudio 1.1.5 cannot read its own checkpoints under torch's present default.
        patch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))
        _, theirs, _, _ = eval_setup(config, test_mode="inference")
    scene = load(config, device="cpu")
    assert isinstance(scene.pipeline, NerfactoScenePipeline)
    view = scene.views("all")[3]
    expected = theirs.model.get_outputs_for_camera(view.camera)
    found = scene.render(view.camera)
    for name in ("rgb", "accumulation", "depth"):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-3)
    with pytest.raises(DffError, match=r"\(none\)"):
        scene.select(TextQuery(("red",)))
    lift_teacher(scene, colour_teacher, tmp_path / "cache")
    lifted = load(config, device="cpu")
    selection = lifted.select(TextQuery(("red",), ("green", "table", "sky")))
    ious = []
    for each in lifted.views("all"):
        mask, ball = lifted.see(each.camera).mask(selection).numpy(), truth(each.name) == 2
        ious.append((mask & ball).sum() / max((mask | ball).sum(), 1))
    assert sum(ious) / len(ious) > 0.6
    ball = truth(view.name) == 2
    chosen = TextSelection(text=("red",), negative=("green", "table", "sky"))
    edits = lifted.compile(EditDocument(steps=(EditStep(selection=chosen, operation=Delete()),)))
    change = (lifted.render(view.camera, edits)["rgb"] - found["rgb"]).abs().mean(dim=-1)
    inside = torch.from_numpy(ball)
    assert float(change[inside].mean()) > 20 * float(change[~inside].mean())


def test_a_scene_of_tiny_cuda_nn_says_what_it_needs(monkeypatch):
    monkeypatch.setattr("dff.nerfacto.tcnn_is_usable", lambda: False)
    state = {"_model.field.mlp_base.model.params": torch.zeros(3)}
    pipeline = NerfactoScenePipeline.__new__(NerfactoScenePipeline)
    with pytest.raises(DffError, match="tiny-cuda-nn"):
        pipeline.load_weights(state, 0)
