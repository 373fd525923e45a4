"""Training on several processes: each has its own rays and their features, gradients are shared."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dff.errors import DffError
from dff.method import dff_method

sys.path.insert(0, str(Path(__file__).parent))

from distributed_gradients import RAYS, gradients, keep_what_is_given
from distributed_step import tiny_pipeline


def start_two(script: str, capture: Path, folder: Path) -> None:
    """Run a script of this folder as two processes, and wait for them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    path = Path(__file__).with_name(script)
    subprocess.run(
        [*command, "--standalone", str(path), str(capture), str(folder)],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
    )


def check_near(found: torch.Tensor | None, expected: torch.Tensor | None) -> None:
    """Within 1e-5 of the largest absolute value; None is no gradient at all."""
    if found is None or expected is None:
        assert found is expected
        return
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.slow
def test_feature_targets_are_shared_out_with_the_rays(shared_capture, tmp_path):
    start_two("distributed_step.py", shared_capture, tmp_path)
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["features_are_of_the_rays"]
    assert second["features_are_of_the_rays"]
    assert first["indices"] != second["indices"]
    assert first["loss"] != second["loss"]
    assert first["gradient"] == second["gradient"]
    assert any(first["gradient"])


def test_two_ranks_have_the_gradients_of_one_with_the_rays_of_both(shared_capture, tmp_path):
    pipeline = tiny_pipeline(shared_capture, tmp_path, RAYS, 0, 1)
    keep_what_is_given(pipeline, tmp_path)
    one = gradients(pipeline, tmp_path)
    start_two("distributed_gradients.py", shared_capture, tmp_path)
    two = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    model = dff_method.config.pipeline.model
    assert [model.distils_at(step) for step in one] == [True, False]
    for step, expected in one.items():
        trained = {name.split(".")[0] for name, each in expected.items() if each is not None}
        features = {"feature_field"} if model.distils_at(step) else set()
        assert trained == {"field", "proposal_networks"} | features
        for found in two:
            assert found[step].keys() == expected.keys()
            for name, gradient in found[step].items():
                check_near(gradient, expected[name])


@pytest.mark.parametrize("machines", [{"num_devices": 2}, {"num_machines": 2}])
def test_several_processes_without_cuda_are_refused_before_any_starts(machines):
    config = copy.deepcopy(dff_method.config)
    config.machine.device_type = "cpu"
    for name, value in machines.items():
        setattr(config.machine, name, value)
    with pytest.raises(DffError, match="CUDA alone") as raised:
        config.set_timestamp()
    assert "\n" not in str(raised.value)


def test_one_process_is_named_as_ever():
    config = copy.deepcopy(dff_method.config)
    config.machine.device_type = "cpu"
    config.set_timestamp()
    assert config.timestamp != "{timestamp}"
