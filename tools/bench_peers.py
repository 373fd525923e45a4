"""LERF, F3RM and Feature Splatting beside dff, where they are installed and there is CUDA.

    uv run python tools/bench_peers.py --data SCENE --json peers.json

Each that is installed is trained by ``ns-train`` for as many rays as dff, on the same capture, and
gets a row: minutes, rays per second, held-out PSNR by ``ns-eval``, size of the checkpoint. Those
that are not are named in one line. Their own settings stay as they are, but for the number of steps
(Feature Splatting renders whole images: its rays are pixels).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from dff.data.images import image_size
from dff.errors import DffError
from dff.files import atomic_write
from dff.method import dff_method


@dataclass(frozen=True)
class Peer:
    """A method of ns-train.

    Attributes:
        name: for people.
        method: for ns-train.
        package: that brings it.
        rays: a step; None is an image's pixels.
    """

    name: str
    method: str
    package: str
    rays: int | None


# Rays a step as their own configurations have them.
PEERS = (
    Peer("LERF", "lerf-lite", "lerf", 4096),
    Peer("F3RM", "f3rm", "f3rm", 8192),
    Peer("Feature Splatting", "feature-splatting", "feature_splatting", None),
)
OWN = Peer("dff", "dff", "dff", dff_method.config.pipeline.datamanager.train_num_rays_per_batch)


@dataclass
class BenchPeers:
    """Train peers for the same number of rays."""

    data: Path
    """A capture in nerfstudio format."""
    work: Path = Path("outputs/peers")
    """Folder for their trainings."""
    json: Path | None = None
    """Where to write the figures."""
    rays: int = 5_000_000
    """Rays in all, for each."""


def installed(peers: Sequence[Peer]) -> list[Peer]:
    """Those that nerfstudio would find."""
    known = {point.name for point in entry_points(group="nerfstudio.method_configs")}
    packages = {
        point.value.split(".")[0] for point in entry_points(group="nerfstudio.method_configs")
    }
    return [p for p in peers if p.method in known or p.package in packages]


def pixels_of(data: Path) -> int:
    """Of the first image of a capture.

    Raises:
        DffError: it is none in nerfstudio format.
    """
    path = data / "transforms.json"
    try:
        frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DffError(f"cannot read {path}: give a capture in nerfstudio format") from error
    height, width = image_size(data / frames[0]["file_path"])
    return height * width


def steps_of(peer: Peer, rays: int, pixels: int) -> int:
    """How many steps of a method see so many rays; at least one."""
    return max(1, round(rays / (peer.rays or pixels)))


def train(bench: BenchPeers, peer: Peer) -> dict[str, Any]:
    """Train one, and score its held-out views.

    Raises:
        DffError: it stopped with an error.
    """
    steps = steps_of(peer, bench.rays, pixels_of(bench.data))
    folder = bench.work / peer.method
    start = time.perf_counter()
    run(
        [
            *(_command("ns-train"), peer.method, "--data", str(bench.data)),
            *("--output-dir", str(folder), "--timestamp", "run", "--vis", "tensorboard"),
            *("--max-num-iterations", str(steps), "--steps-per-save", str(steps)),
        ]
    )
    seconds = time.perf_counter() - start
    config = next(folder.rglob("config.yml"))
    output = folder / "eval.json"
    run([_command("ns-eval"), "--load-config", str(config), "--output-path", str(output)])
    results = json.loads(output.read_text(encoding="utf-8"))["results"]
    checkpoints = list(config.parent.rglob("*.ckpt"))
    return {
        "method": peer.name,
        "steps": steps,
        "rays": bench.rays,
        "minutes": seconds / 60,
        "rays_per_second": bench.rays / seconds,
        "psnr": results.get("psnr"),
        "ssim": results.get("ssim"),
        "checkpoint_bytes": sum(path.stat().st_size for path in checkpoints),
    }


def run(command: list[str]) -> None:
    """Run a command, its output going where ours goes.

    Raises:
        DffError: it failed.
    """
    result = subprocess.run(command, check=False)
    if result.returncode:
        raise DffError(f"{command[0]} {command[1]} stopped with status {result.returncode}")


def _command(name: str) -> str:
    """One of nerfstudio's commands, of this environment."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


def main(bench: BenchPeers) -> None:
    """Train those that are there."""
    console = Console()
    pixels_of(bench.data)
    there = installed(PEERS)
    missing = [peer.name for peer in PEERS if peer not in there]
    if missing:
        console.print(f"not installed: {', '.join(missing)}")
    if not torch.cuda.is_available():
        console.print("nothing to run: LERF, F3RM and Feature Splatting need CUDA")
        return
    if not there:
        console.print("nothing to run: install one of them beside dff")
        return
    rows = []
    for peer in (OWN, *there):
        try:
            rows.append(train(bench, peer))
        except DffError as error:
            rows.append({"method": peer.name, "failed": str(error)})
        if bench.json is not None:
            with atomic_write(bench.json) as stream:
                stream.write(f"{json.dumps(rows, indent=1)}\n".encode())
    table = Table(title=f"{bench.data.name}, {bench.rays:,} rays each")
    titles = ("method", "steps", "minutes", "rays_per_second", "psnr", "checkpoint_bytes", "failed")
    for title in titles:
        table.add_column(title.replace("_", " "))
    for row in rows:
        table.add_row(*(_text(row.get(title)) for title in titles))
    console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    try:
        main(tyro.cli(BenchPeers))
    except DffError as error:
        raise SystemExit(f"error: {error}") from error
