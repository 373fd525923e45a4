"""Work shared between processes: the same as that of one, and no process waits for a dead one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dff.data.sharding import Ranks, check_shared, choose_device, current_ranks, launched_ranks
from dff.errors import DffError

sys.path.insert(0, str(Path(__file__).parent))

from feature_support import WideTeacher, cache, files, write_images

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run_two(folder: Path, behaviour: str, pca: int = 0) -> tuple[list[dict], str]:
    """Two processes over gloo; what they report and print."""
    write_images(folder / "images", 8)
    script = Path(__file__).with_name("feature_rank.py")
    done = subprocess.run(
        [*TORCHRUN, str(script), str(folder), behaviour, str(pca)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    reports = [folder / f"rank{rank}.json" for rank in (0, 1)]
    return [json.loads(p.read_text()) for p in reports if p.exists()], done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("pca", [0, 4])
def test_two_ranks_make_the_same_files_as_one_process(tmp_path, pca):
    reports, printed = run_two(tmp_path / "two", "works", pca)
    assert [report["encoded"] for report in reports] == [4, 4]
    assert [(report["rank"], report["count"]) for report in reports] == [(0, 2), (1, 2)]
    one = WideTeacher()
    images = sorted((tmp_path / "two" / "images").iterdir())
    maps = cache(tmp_path / "one", one, pca=pca or None).ensure(images, progress=False)
    sums = [float(maps.map(i).astype("f8").sum()) for i in range(8)]
    assert [report["sums"] for report in reports] == [sums, sums]
    made = {
        name: {p.relative_to(tmp_path / name): p.read_bytes() for p in files(tmp_path / name)}
        for name in ("one", "two")
    }
    assert made["one"] == made["two"]
    assert len(made["one"]) == (9 if pca else 8)
    # One voice, and it says what its bar counts.
    assert printed.count("8 to encode") == 1
    assert printed.count("shared by 2 processes") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("fails", "rank 1 of 2 failed: out of memory, as it were"),
        ("differs", "see different images"),
        ("apart", "do not see the same folder"),
    ],
)
def test_a_rank_that_cannot_ends_all_with_one_line(tmp_path, behaviour, says):
    reports, _ = run_two(tmp_path, behaviour)
    assert says in reports[0]["error"]
    assert "\n" not in reports[0]["error"]
    if behaviour == "fails":
        # What the other one had finished is kept, and found by the next run.
        teacher = WideTeacher()
        cache(tmp_path, teacher).ensure(sorted((tmp_path / "images").iterdir()), progress=False)
        assert teacher.encoded == 4
    else:
        assert says in reports[1]["error"]
        assert [report["encoded"] for report in reports] == [0, 0]


WITHOUT_LAUNCHER = """
import os, sys
from pathlib import Path
from torch import distributed
folder, rank = Path(sys.argv[1]), int(sys.argv[2])
sys.path.insert(0, sys.argv[3])
meeting = (folder / "meeting").as_uri()
distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
os.environ["RANK"] = str(rank)
from feature_rank import main
main(folder, "dies", None)
"""


@pytest.mark.slow
def test_a_rank_that_is_killed_is_noticed_by_the_other(tmp_path):
    # Without the launcher, which would end the other one itself.
    write_images(tmp_path / "images", 8)
    here = str(Path(__file__).parent)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", WITHOUT_LAUNCHER, str(tmp_path), str(rank), here],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for rank in (0, 1)
    ]
    try:
        assert both[1].wait(timeout=120) == -signal.SIGKILL
        both[0].wait(timeout=60)
    finally:
        for process in both:
            process.kill()
    report = json.loads((tmp_path / "rank0.json").read_text())
    assert "another process of this run is gone" in report["error"]
    # Four of its own, two of the other's before it died.
    assert len(files(tmp_path, "*.fmap")) == 6


def test_one_process_alone_needs_no_group(tmp_path, monkeypatch):
    with current_ranks() as ranks:
        assert (ranks.rank, ranks.count, ranks.first) == (0, 1, True)
        assert ranks.share(lambda: 5) == [5]
        assert ranks.once(lambda: "a") == "a"
        check_shared(tmp_path / "not there", ranks)
    assert not (tmp_path / "not there").exists()
    # Variables that some other launcher left behind start nothing.
    monkeypatch.setenv("WORLD_SIZE", "4")
    with launched_ranks() as rank:
        assert rank == 0
        assert not torch.distributed.is_initialized()


def test_what_fails_alone_is_raised_as_it_is():
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Ranks().share(fail)


def test_devices_are_found_or_refused_in_one_line(monkeypatch):
    assert choose_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    for wrong in ("gpu", "meta", "", "cuda:99"):
        with pytest.raises(DffError, match="cannot compute on --device") as caught:
            choose_device(wrong)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [choose_device("auto", rank).index for rank in range(3)] == [0, 1, 0]
