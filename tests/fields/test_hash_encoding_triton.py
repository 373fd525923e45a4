"""The Triton kernels against the torch reference: interpreted on a CPU, compiled where CUDA is."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


def check(device: str, interpreted: bool) -> str:
    environment = {**os.environ, "TRITON_INTERPRET": "1" if interpreted else "0"}
    script = Path(__file__).with_name("triton_check.py")
    done = subprocess.run(
        [sys.executable, str(script), device], env=environment, capture_output=True, text=True
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr


@needs_triton
@pytest.mark.slow
def test_interpreted_kernels_give_the_references_values_and_gradients():
    assert check("cpu", interpreted=True) == "equal"


@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_compiled_kernels_do_too():
    assert check("cuda", interpreted=False) == "equal"
