"""The Triton MLP against torch in float64: interpreted on a CPU, and run where CUDA is."""

from __future__ import annotations

import copy
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dff.fields import blocks
from dff.fields.blocks import mlp

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def run_script(name: str, *arguments: str, interpreted: bool) -> list[str]:
    """Lines that a script beside this file prints, in a process of its own."""
    environment = {**os.environ, "TRITON_INTERPRET": "1" if interpreted else "0"}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(name)), *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


CHECKS = [
    "values_and_gradients_are_torchs",
    "few_programs_take_several_blocks_each",
    "the_same_input_gives_the_same_bits",
    "any_shape_and_stride",
    "only_the_gradients_that_are_asked_for",
    "nan_stays_with_its_point",
    "what_the_kernels_cannot_do_torch_does",
    "the_check_at_the_start_tells_right_from_wrong",
]


@pytest.mark.slow
def test_interpreted_kernels_give_the_references_values_and_gradients():
    assert run_script("triton_mlp_check.py", "cpu", interpreted=True) == CHECKS


@needs_cuda
def test_compiled_kernels_do_too():
    assert run_script("triton_mlp_check.py", "cuda", interpreted=False) == CHECKS


@pytest.mark.slow
def test_kernels_compile_for_every_generation_and_fit_its_shared_memory():
    """Needs no device: Triton brings its own compiler."""
    pytest.importorskip("triton.backends.nvidia")
    lines = run_script("triton_mlp_compile.py", interpreted=False)
    assert len(lines) == 2 * (3 + 3 + 4)  # kernels, networks of each generation
    available = {"sm_75": 64, "sm_80": 163, "sm_89": 99}  # KiB for a program
    for line in lines:
        generation, *_, shared = line.split(":")
        assert int(shared) <= available[generation] * 1024, line


@needs_cuda
def test_the_device_here_is_found_usable():
    blocks.triton_is_usable.cache_clear()
    assert blocks.triton_is_usable()


def test_old_devices_take_three_layers_and_none_wider_ones(monkeypatch):
    from dff.fields.mlp_triton import Network

    device = torch.device("cuda", 0)
    for capability, deepest in (((7, 5), 3), ((8, 0), 4), ((9, 0), 4)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, known=capability: known)
        taken = [depth for depth in range(6) if Network(depth, 64, 64, 64).fits(device)]
        assert taken == list(range(1, deepest + 1))
        for sizes in ((65, 64, 64), (64, 65, 64), (64, 64, 65)):
            assert not Network(2, *sizes).fits(device)


def test_parameters_of_torch_and_of_triton_are_interchangeable():
    from dff.fields.mlp_triton import TritonMLP

    ours, theirs = mlp(6, 8, 5, 2, "triton"), mlp(6, 8, 5, 2, "torch")
    assert isinstance(ours, TritonMLP)
    assert not isinstance(theirs, TritonMLP)
    theirs.load_state_dict(ours.state_dict())
    mlp(6, 8, 5, 2, "cpu").load_state_dict(ours.state_dict())
    inputs = torch.randn(20, 6)  # off the GPU by the CPU kernel, or torch
    torch.testing.assert_close(ours(inputs), theirs(inputs))
    torch.testing.assert_close(copy.deepcopy(ours)(inputs), ours(inputs))
