"""Several processes for one piece of work: one voice, one line on failure, none left behind."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from dff.errors import DffError
from dff.local_jobs import run_jobs, stopped_in_order

SCRIPT = Path(__file__).with_name("local_job.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def start(behaviour: str, folder: Path, jobs: int = 2) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), behaviour, str(folder), str(jobs)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_each_process_gets_its_share_and_the_first_one_speaks(tmp_path):
    process = start("works", tmp_path)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0
    assert out == "rank 0 is at work\n"
    assert err == ""
    for rank in (0, 1):
        assert (tmp_path / f"rank{rank}").read_text() == f"{rank} of 2, 2 threads"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "status", "line"),
    [
        ("fails", 1, "error: mend this"),
        ("asked for nonsense", 2, "error: ask for something else"),
        ("breaks", 1, "error: process 2 of 2 failed: ValueError: ours to mend"),
        ("dies", 1, "error: process 2 of 2 was ended by SIGKILL, out of memory?"),
    ],
)
def test_a_process_that_fails_ends_all_with_one_line(tmp_path, behaviour, status, line):
    process = start(behaviour, tmp_path)
    begun = time.monotonic()
    _, err = process.communicate(timeout=240)
    assert process.returncode == status
    (said,) = err.splitlines()
    assert said.startswith(line)
    # The other one did not go on to its end, and cleaned up.
    assert time.monotonic() - begun < 100
    assert (tmp_path / "rank0.done").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_stop_when_told_to(tmp_path, number):
    process = start("waits", tmp_path)
    end = time.monotonic() + 120
    while not all((tmp_path / f"waiting{rank}").exists() for rank in (0, 1)):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert all((tmp_path / f"rank{rank}.done").exists() for rank in (0, 1))


@pytest.mark.parametrize("jobs", [0, -2, 10_000])
def test_a_number_of_processes_that_makes_no_sense_is_one_line(jobs):
    with pytest.raises(DffError, match="number of jobs"):
        run_jobs(functools.partial(print), jobs)


def test_under_torchrun_no_more_processes_are_started(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_torchelastic_launched", lambda: True)
    with pytest.raises(DffError, match="leave out --jobs"):
        run_jobs(functools.partial(print), 2)


def test_being_told_to_end_is_being_interrupted():
    before = signal.getsignal(signal.SIGTERM)

    def ended() -> None:
        with stopped_in_order():
            signal.raise_signal(signal.SIGTERM)
            raise AssertionError("not interrupted")

    with pytest.raises(KeyboardInterrupt):
        ended()
    assert signal.getsignal(signal.SIGTERM) is before


def frames_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dff.cli")


@pytest.mark.slow
def test_a_rendering_in_two_processes_is_that_of_one(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained.parent, run)
    steps = [{"selection": {"click": ["IMG_04:12,9"]}, "operation": {"type": "delete"}}]
    (tmp_path / "edits.yml").write_text(yaml.safe_dump({"version": 1, "steps": steps}))

    def render(name: str, module: tuple[str, ...], *more: str) -> str:
        """What it prints."""
        command = [sys.executable, "-m", *module, "render", "--load-config", run / "config.yml"]
        command += ["--edits", tmp_path / "edits.yml", "--side-by-side", "--depth"]
        command += ["--num-frames", "5", "--output-path", tmp_path / f"{name}.mp4", *more]
        done = subprocess.run(
            [str(part) for part in command],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    render("one", ("dff.cli",))
    assert render("two", ("dff.cli",), "--jobs", "2").count("5 frames in") == 1
    render("torchrun", TORCHRUN)
    for name in ("two", "torchrun"):
        assert frames_of(tmp_path / f"{name}_frames") == frames_of(tmp_path / "one_frames")
        video = (tmp_path / f"{name}.mp4").read_bytes()
        assert video == (tmp_path / "one.mp4").read_bytes()
