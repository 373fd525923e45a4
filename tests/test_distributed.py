"""Training on several processes: each has its own rays and their features, gradients are shared."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dff.errors import DffError
from dff.method import dff_method


@pytest.mark.slow
def test_feature_targets_are_shared_out_with_the_rays(shared_capture, tmp_path):
    script = Path(__file__).with_name("distributed_step.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, "--standalone", str(script), str(shared_capture), str(tmp_path)],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
    )
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["features_are_of_the_rays"]
    assert second["features_are_of_the_rays"]
    assert first["indices"] != second["indices"]
    assert first["loss"] != second["loss"]
    assert first["gradient"] == second["gradient"]
    assert any(first["gradient"])


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
