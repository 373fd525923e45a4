"""Speed, memory and size of every teacher's maps, and what compressing them loses, on this machine.

    uv run python tools/bench_teachers.py --random --json teachers.json
    uv run python tools/bench_teachers.py --teachers clip clip=ViT-L-14-336 --random
    uv run python tools/bench_teachers.py --teachers --photos SCENE/images

Each teacher runs in a process of its own, so that its peak memory is its own, on one image after
the other, on the CPU and on a GPU where there is one. Where weights are not at hand, ``--random``
measures a network of the same architecture that was not trained; the table says so. With photos,
the cosine of features to what is left of them after projection on K directions is measured too,
which means something for a trained teacher only. Leave the machine alone while it runs.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from own_process import in_process
from random_teachers import options_for, write_random_weights

from dff.data.feature_basis import Fidelity, fit_basis, project
from dff.data.feature_file import to_half
from dff.data.images import load_image
from dff.errors import DffError
from dff.teachers import get_teacher

HALF = 2  # bytes of a number in the cache
ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass
class Bench:
    """Measure teachers."""

    teachers: tuple[str, ...] = (
        "mini",
        "lseg",
        "clip=ViT-B-16",
        "clip=ViT-L-14-336",
        "dino=vit_small_patch8_224.dino",
        "dino=vit_small_patch14_reg4_dinov2.lvd142m",
        "dino=vit_small_patch16_dinov3.lvd1689m",
    )
    """Names, with the model after "=" where there is a choice."""
    random: bool = False
    """Where weights are not at hand, measure a network that was not trained."""
    size: tuple[int, int] = (605, 806)
    """Height and width of the image, which is noise, in pixels."""
    repeats: int = 3
    """Images that are timed, after one that is not."""
    threads: int = 1
    """Threads of torch."""
    devices: tuple[str, ...] = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    """Where to compute."""
    pca: int = 64
    """Directions for the size of a compressed map."""
    photos: Path | None = None
    """Folder of photos to measure the loss of compression on; none skips it."""
    photos_teacher: str = "mini"
    """Trained teacher for that."""
    photos_pca: tuple[int, ...] = (8, 16, 32, 48, 64)
    """Numbers of directions for that."""
    photos_count: int = 20
    """Photos for that, spread over the folder."""
    json: Path | None = None
    """Where to write the figures."""


@dataclass(frozen=True)
class Row:
    """What was measured of a teacher.

    Attributes:
        teacher: as it was asked for.
        device: where it ran.
        weights: "trained" or "random".
        grid: rows, columns and length of the features of its map.
        load_seconds: from the name to a teacher that is ready, imports included.
        seconds: per image, the median.
        cpu_seconds: of the processor per image, all threads together; on a machine that others use
            too this is the one to compare.
        peak_mb: largest resident memory of the process in 2^20 bytes.
        peak_gpu_mb: the same for the GPU's memory that torch held; 0 on a CPU.
        map_bytes, pca_bytes: of a map in half precision, whole and projected.
    """

    teacher: str
    device: str
    weights: str
    grid: tuple[int, int, int]
    load_seconds: float
    seconds: float
    cpu_seconds: float
    peak_mb: float
    peak_gpu_mb: float
    map_bytes: int
    pca_bytes: int


def measure(
    teacher: str, device: str, bench: Bench, checkpoint: Path | None = None
) -> Row | DffError:
    """Load a teacher and encode images with it; in a process of its own."""
    torch.set_num_threads(bench.threads)
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    try:
        name, options = options_for(teacher, checkpoint)
        network = get_teacher(name, device, options)
    except DffError as error:
        return error
    loaded = time.perf_counter() - start
    seconds, cpu_seconds = [], []
    image = torch.rand(*bench.size, 3, generator=torch.Generator().manual_seed(0))
    features = network.encode_image(image)
    for _ in range(bench.repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        features = network.encode_image(image)
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    rows, columns, dim = features.shape
    return Row(
        teacher=teacher,
        device=device,
        weights="trained" if checkpoint is None else "random",
        grid=(rows, columns, dim),
        load_seconds=loaded,
        seconds=statistics.median(seconds),
        cpu_seconds=statistics.median(cpu_seconds),
        peak_mb=peak_memory(),
        peak_gpu_mb=0.0 if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20,
        map_bytes=rows * columns * dim * HALF,
        pca_bytes=rows * columns * min(dim, bench.pca) * HALF,
    )


def peak_memory() -> float:
    """Largest resident memory of this process so far, in 2^20 bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Of this program alone; what getrusage says includes the one that started it.
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if "VmHWM" in lines:
            return int(lines["VmHWM"].split()[0]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def run(teacher: str, device: str, bench: Bench) -> Row | DffError:
    """Measure a teacher, not trained if that is allowed and has to be."""
    try:
        found = in_process(measure, teacher, device, bench)
        if isinstance(found, Row) or not bench.random:
            return found
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "random.pt"
            return in_process(write_random_weights, teacher, path) or in_process(
                measure, teacher, device, bench, path
            )
    except BrokenProcessPool:
        return DffError("the process was killed, probably for its memory")


def compression(teacher: str, images: Sequence[Path], counts: Sequence[int]) -> list[dict]:
    """Cosine of features to what the feature cache keeps of them, over many images.

    Returns:
        For each number of directions: the mean over cells, and the least.
    """
    name, options = options_for(teacher)
    network = get_teacher(name, "cpu", options)
    maps = [to_half(network.encode_image(load_image(path))) for path in images]
    figures = []
    for count in counts:
        basis = fit_basis(maps, min(count, network.dim))
        kept = sum((project(each, basis)[1] for each in maps), Fidelity())
        figures.append({"pca": count, "mean": kept.mean, "least": kept.least})
    return figures


def markdown(rows: Sequence[Row], pca: int) -> str:
    """A table."""
    lines = [
        "| teacher | weights | device | map | images/s | s/image | CPU s/image | load s | "
        f"peak MB | GPU MB | fp16 KB/image | PCA-{pca} KB/image |",
        "|" + "---|" * 12,
    ]
    for row in rows:
        gpu = f"{row.peak_gpu_mb:.0f}" if row.peak_gpu_mb else ""
        lines.append(
            f"| {row.teacher} | {row.weights} | {row.device} | {'x'.join(map(str, row.grid))} | "
            f"{1 / row.seconds:.3g} | {row.seconds:.3g} | {row.cpu_seconds:.3g} | "
            f"{row.load_seconds:.1f} | {row.peak_mb:.0f} | {gpu} | "
            f"{row.map_bytes / 1e3:.0f} | {row.pca_bytes / 1e3:.0f} |"
        )
    return "\n".join(lines)


def spread(folder: Path, count: int) -> list[Path]:
    """At most so many photos of a folder, evenly spread.

    Raises:
        DffError: there are none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in ENDINGS)
    if not found:
        raise DffError(f"{folder} holds no photos ({', '.join(ENDINGS)})")
    step = max(1.0, len(found) / count)
    return [found[int(i * step)] for i in range(min(count, len(found)))]


def main(bench: Bench) -> None:
    """Measure, print, and write."""
    rows, cosines = [], []
    for teacher in bench.teachers:
        for device in bench.devices:
            found = run(teacher, device, bench)
            if isinstance(found, Row):
                rows.append(found)
                print(markdown([found], bench.pca).splitlines()[-1], file=sys.stderr)
            else:
                print(f"{teacher} on {device}: {found}", file=sys.stderr)
    if rows:
        height, width = bench.size
        print(f"Image {height}x{width}, {bench.threads} thread(s), torch {torch.__version__}\n")
        print(markdown(rows, bench.pca))
    if bench.photos is not None:
        images = spread(bench.photos, bench.photos_count)
        torch.set_num_threads(bench.threads)
        cosines = compression(bench.photos_teacher, images, bench.photos_pca)
        print(f"\n{bench.photos_teacher}, {len(images)} photos of {bench.photos}\n")
        print("| K | mean cosine | least |\n|---|---|---|")
        for each in cosines:
            print(f"| {each['pca']} | {each['mean']:.4f} | {each['least']:.4f} |")
    if bench.json is not None:
        figures = {"teachers": [asdict(row) for row in rows], "compression": cosines}
        bench.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    try:
        main(tyro.cli(Bench, description=__doc__))
    except DffError as error:
        raise SystemExit(f"error: {error}") from error
