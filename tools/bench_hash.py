"""The hash encoding on a CPU: pure torch, the compiled C kernel and Numba, as ratios in one run.

    uv run --with numba python tools/bench_hash.py --json hash.json

Prints, for the grids that training uses and both numbers of threads, the time of values (forward)
and of the table gradient (backward) of each, divided into that of `interpolate_torch`; and what the
first use of each costs. Times are lower quartiles, of processor time with one thread and of wall
time with more. Without numba its column is left out.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from dff.fields.compiled_kernel import SOURCES, build
from dff.fields.hash_encoding import GridShape, interpolate_torch
from dff.fields.hash_encoding_cpu import interpolate_cpu

GRIDS = {
    # name: shape, rays, samples on each
    "radiance": (GridShape.geometric(8, 16, 1024, 17, 4), 1024, 24),
    "proposal": (GridShape.geometric(4, 16, 128, 15, 2), 1024, 64),
    "features": (GridShape.geometric(6, 16, 256, 16, 8), 1024, 4),
}


@dataclass
class Settings:
    """Compare the implementations of the hash encoding."""

    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads to measure with."""
    repeats: int = 20
    """Times that each is run."""
    numba: bool = True
    """Also Numba, where it is installed."""
    first_use: bool = True
    """Also what building and compiling take."""
    json: Path | None = None
    """Where to write the figures."""


def numba_functions(features: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Values and table gradient by Numba: parallel over blocks of points, and over levels."""
    import numba

    jit = numba.njit(parallel=True, cache=True, error_model="numpy", boundscheck=False)
    inline = numba.njit(inline="always", error_model="numpy")
    block = 1024

    @inline
    def corner(positions, i, resolution, offset, dense, mask, c):  # pragma: no cover
        weight = np.float32(1.0)
        row = np.uint32(0)
        side = np.uint32(resolution + 1)
        stride = np.uint32(1)
        prime = np.uint32(1)
        for axis in range(3):
            x = min(max(positions[i, axis], np.float32(0.0)), np.float32(1.0))
            scaled = x * np.float32(resolution)
            cell = min(np.int32(scaled), np.int32(resolution - 1))
            part = scaled - np.float32(cell)
            bit = (c >> axis) & 1
            weight *= part if bit else np.float32(1.0) - part
            vertex = np.uint32(cell + bit)
            if dense:
                row += vertex * stride
                stride *= side
            else:
                row ^= vertex * prime
                prime = np.uint32(2654435761) if axis == 0 else np.uint32(805459861)
        return offset + np.int64(row if dense else row & mask), weight

    @jit
    def values(positions, table, offsets, resolutions, dense, mask, out):  # pragma: no cover
        points = len(positions)
        for task in numba.prange((points + block - 1) // block):
            for level in range(len(resolutions)):
                for i in range(task * block, min(task * block + block, points)):
                    for f in range(features):
                        out[i, level, f] = 0.0
                    for c in range(8):
                        row, weight = corner(
                            positions, i, resolutions[level], offsets[level], dense[level], mask, c
                        )
                        for f in range(features):
                            out[i, level, f] += weight * table[row, f]

    @jit
    def table_gradient(positions, gradient, offsets, resolutions, dense, mask, out):
        for level in numba.prange(len(resolutions)):
            for row in range(offsets[level], offsets[level + 1]):
                for f in range(features):
                    out[row, f] = 0.0
            for i in range(len(positions)):
                for c in range(8):
                    row, weight = corner(
                        positions, i, resolutions[level], offsets[level], dense[level], mask, c
                    )
                    for f in range(features):
                        out[row, f] += weight * gradient[i, level, f]

    return values, table_gradient


def interpolate_numba(shape: GridShape) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Values of (positions, table), and table gradient of (positions, upstream), as tensors."""
    values, table_gradient = numba_functions(shape.features)
    facts = (
        np.array(shape.offsets(), np.int64),
        np.array(shape.resolutions, np.int32),
        np.array([shape.is_dense(level) for level in range(shape.levels)]),
        np.uint32(shape.table_size - 1),
    )

    def forward(positions, table):
        out = np.empty((len(positions), shape.levels, shape.features), np.float32)
        values(positions.numpy(), table.numpy(), *facts, out)
        return torch.from_numpy(out).view(len(positions), -1)

    def backward(positions, upstream):
        out = np.empty((shape.offsets()[-1], shape.features), np.float32)
        gradient = upstream.numpy().reshape(len(positions), shape.levels, shape.features)
        table_gradient(positions.numpy(), gradient, *facts, out)
        return torch.from_numpy(out)

    return forward, backward


def rays(count: int, samples: int) -> torch.Tensor:
    """Samples along random rays, as training sees them: neighbours on a ray lie close together."""
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(count, 1, 3, generator=generator)
    direction = torch.randn(count, 1, 3, generator=generator) * 0.3
    along = torch.rand(count, samples, 1, generator=generator).sort(dim=1).values
    return (start + direction * along).reshape(-1, 3).contiguous()


def seconds(function: Callable[[], object], threads: int, repeats: int) -> float:
    """Lower quartile."""
    clock = time.process_time if threads == 1 else time.perf_counter
    function()
    found = []
    for _ in range(repeats):
        start = clock()
        function()
        found.append(clock() - start)
    return float(np.quantile(found, 0.25))


Ways = dict[str, tuple[Callable[[], torch.Tensor], Callable[[], torch.Tensor]]]


def compare(name: str, threads: int, numba: bool, repeats: int) -> dict[str, float]:
    """Seconds of torch and C, or of Numba, after checking that they agree."""
    shape, count, samples = GRIDS[name]
    positions = rays(count, samples)
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(shape.offsets()[-1], shape.features, generator=generator)
    upstream = torch.randn(len(positions), shape.out_dim, generator=generator)
    ways: Ways = {}
    for way, kernel in (("torch", interpolate_torch), ("c", interpolate_cpu)):
        leaf = table.clone().requires_grad_()
        result = kernel(positions, leaf, shape)

        def backward(result=result, leaf=leaf):
            return torch.autograd.grad(result, leaf, upstream, retain_graph=True)[0]

        ways[way] = (lambda kernel=kernel, leaf=leaf: kernel(positions, leaf, shape), backward)
    expected = [function().detach() for function in ways["torch"]]
    if numba:
        import numba as package

        package.set_num_threads(threads)
        forward, table_gradient = interpolate_numba(shape)
        ways = {
            "numba": (
                lambda: forward(positions, table),
                lambda: table_gradient(positions, upstream),
            )
        }
    figures = {}
    for which, part in enumerate(("forward", "backward")):
        for way, functions in ways.items():
            found = functions[which]().detach()
            torch.testing.assert_close(found, expected[which], rtol=1e-4, atol=1e-4)
            figures[f"{part}_{way}"] = seconds(functions[which], threads, repeats)
    return figures


def first_use(settings: Settings) -> dict[str, float]:
    """What it costs until the first values are there: building C, and Numba's own compiling."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build(SOURCES, Path(folder) / "kernel.so")
        figures["c_build"] = time.perf_counter() - start
        if settings.numba:
            script = (
                f"import time, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
                "import torch, bench_hash as b\n"
                "s = b.GRIDS['radiance'][0]; p = torch.rand(9, 3); t = time.perf_counter()\n"
                "f, g = b.interpolate_numba(s); y = f(p, torch.rand(s.offsets()[-1], 4))\n"
                "g(p, y); print(time.perf_counter() - t)"
            )
            environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
            for name in ("numba_first_process", "numba_later_process"):
                command = [sys.executable, "-c", script]
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=True
                )
                figures[name] = float(done.stdout.split()[-1])
    return figures


def report(name: str, figures: dict[str, float]) -> None:
    for part in ("forward", "backward"):
        base = figures[f"{part}_torch"]
        others = [way for way in ("c", "numba") if f"{part}_{way}" in figures]
        ratios = ", ".join(f"{way} {base / figures[f'{part}_{way}']:.1f}x" for way in others)
        print(f"{name} threads, {part}: torch {base * 1e3:.1f} ms; {ratios}", flush=True)


def main(settings: Settings) -> None:
    if settings.numba and importlib.util.find_spec("numba") is None:
        settings = dataclasses.replace(settings, numba=False)
        print("numba is not installed: compared without it")
    os.environ["NUMBA_NUM_THREADS"] = str(max(settings.threads))
    figures: dict[str, Any] = {}
    # Numba last: on the one machine where this was measured (2 cores), torch's own operations took
    # several times as long once it was imported. Why, and whether elsewhere, is not known.
    for numba in (False, True) if settings.numba else (False,):
        for threads in settings.threads:
            torch.set_num_threads(threads)
            for name in GRIDS:
                found = compare(name, threads, numba, settings.repeats)
                figures.setdefault(f"{name}_{threads}", {}).update(found)
    for name, found in figures.items():
        report(name.replace("_", ", "), found)
    if settings.first_use:
        figures["first_use_seconds"] = first_use(settings)
        for name, value in figures["first_use_seconds"].items():
            print(f"{name}: {value:.1f} s")
    if settings.json is not None:
        settings.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Settings))
