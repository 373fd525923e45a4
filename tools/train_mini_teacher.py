"""Trains the shipped teacher `mini` from nothing: pictures, networks, figures.

    OMP_NUM_THREADS=1 uv run python tools/train_mini_teacher.py --minutes 58

Pictures are generated into the work folder first (and kept for the next run), then one thread
trains until the minutes are over; the learning rate follows the clock, so that a slow machine ends
with settled weights as well. Interrupted and started again with the same folder, it carries on.
With glibc, MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=4000000000 saves a tenth of the
time, which otherwise goes to giving memory back and asking for it again.

`--evaluate-only` measures the weights at `--out`. "mIoU over names" is the argmax over all names,
table and background on held-out pictures (seeds of their own, neighbours that share colours),
pixels pooled; "over phrases" the argmax over the "colour name" phrases of the things in the
picture, table and background, averaged over (picture, phrase) pairs; a pixel "leaks" where a name
alone beats the canonical phrases on a thing of another name.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import tyro
from mini.batches import Batch, Batches
from mini.figures import Figures, leak_markdown, measure, photo_figures
from mini.training import Run, learning_rate

from dff.data.generated.materials import colour_names
from dff.data.generated.objects import object_names
from dff.data.generated.shards import read_shard, write_shard
from dff.teachers.mini import DEFAULT_WEIGHTS, MiniConfig, MiniTeacher
from dff.teachers.mini_vocabulary import Vocabulary

SHARD = 500
HELD_OUT_SEED = 777001


@dataclass
class Options:
    """Settings of one run."""

    work: Path = Path("mini_work")
    """Folder of pictures, checkpoints and the record of the run."""
    out: Path = DEFAULT_WEIGHTS
    """Where the weights go."""
    minutes: float = 58.0
    """Time to train, pictures not counted."""
    pictures: int = 7000
    """Training pictures to generate."""
    batch: int = 32
    """Pictures in a step."""
    rate: float = 2e-3
    """Highest learning rate."""
    seed: int = 0
    """Seeds weights, paint and noise; pictures have seeds of their own."""
    evaluate_only: bool = False
    """Only measure the weights at --out."""
    every: float = 4.0
    """Minutes between measurements."""
    keep_every: float = 8.0
    """Minutes between checkpoints, each of which can already be used."""
    fruit: Path = Path("../shared/scenes/fruit")
    """Labelled photos to measure on, if they are there."""
    network: MiniConfig = field(default_factory=MiniConfig)
    """Shape of the networks."""


def main(options: Options) -> None:
    """Generates what is missing, trains, measures, writes."""
    torch.set_num_threads(1)
    held_out = options.work / "pics" / "held_out.npz"
    if not held_out.exists():
        print("generating held-out pictures", flush=True)
        write_shard(held_out, 240, HELD_OUT_SEED, views=2)
    if not options.evaluate_only:
        shards = generate(options.work / "pics", options.pictures)
        train(options, shards, held_out)
    report(options, held_out)


def generate(folder: Path, pictures: int) -> list[Path]:
    """Writes the shards of training pictures that are not there yet; paths of all of them."""
    count = math.ceil(pictures / SHARD)
    paths = [folder / f"train_{k:03d}.npz" for k in range(count)]
    started = time.monotonic()
    missing = [(k, path) for k, path in enumerate(paths) if not path.exists()]
    for done, (k, path) in enumerate(missing, 1):
        write_shard(path, SHARD, 1000 + k)
        left = (time.monotonic() - started) / done * (len(missing) - done)
        print(f"pictures: shard {done}/{len(missing)}, {left / 60:.0f} min left", flush=True)
    return paths


def train(options: Options, shards: list[Path], held_out: Path) -> None:
    """Trains until the time is over, writing usable weights as it goes."""
    run = Run(Vocabulary(object_names(), colour_names()), options.network, options.seed)
    state = options.work / "state.pt"
    if state.exists():
        run.load(state)
        print(f"carrying on at step {run.step}, {run.spent / 60:.1f} min in", flush=True)
    planes, names = zip(*map(read_shard, shards), strict=True)
    data = Batches(planes, names, options.seed + run.step)
    checks = held_out_batches(held_out)
    rng = np.random.default_rng(options.seed + 1 + run.step)
    weights = sum(p.numel() for p in run.encoder.parameters())
    print(f"{len(data)} pictures, an encoder of {weights} weights", flush=True)
    budget, clock = 60 * options.minutes, time.monotonic() - run.spent
    next_check, next_keep = run.spent + 60 * options.every, run.spent + 60 * options.keep_every
    while run.spent < budget:
        part = run.spent / budget
        # Small pictures first; the larger ones of the second half show more of a shape.
        size = 96 if part < 0.5 else int(rng.choice([96, 128]))
        run.teach(data.draw(options.batch, size), learning_rate(part, run.step, options.rate))
        run.spent = time.monotonic() - clock
        if run.step % 100 == 0:
            terms = " ".join(f"{key} {value:.3f}" for key, value in run.terms.items())
            left = (budget - run.spent) / 60
            print(f"step {run.step}, {left:.0f} min left: {terms}", flush=True)
        if run.step % 1500 == 0:
            data.refresh()
        if run.spent >= next_check:
            figures, photos = measure_all(run.teacher(), checks, options.fruit)
            record = {"seconds": round(run.spent), "step": run.step, **figures.summary(), **photos}
            run.history.append(record)
            (options.work / "history.json").write_text(json.dumps(run.history, indent=1))
            print({key: round(value, 3) for key, value in record.items()}, flush=True)
            next_check = run.spent + 60 * options.every
        if run.spent >= next_keep:
            run.teacher().save(options.out)
            run.save(state)
            next_keep = run.spent + 60 * options.keep_every
    run.teacher().save(options.out)
    run.save(state)
    print(f"{run.step} steps, {run.step * options.batch} samples, {run.spent:.0f} s", flush=True)


def held_out_batches(path: Path, size: int = 128) -> list[Batch]:
    """The held-out pictures, painted with a seed of their own."""
    planes, names = read_shard(path)
    data = Batches([planes], [names], 4242)
    return [data.draw(16, size, plain=True) for _ in range(len(planes) // 16)]


def measure_all(
    teacher: MiniTeacher, checks: list[Batch], fruit: Path
) -> tuple[Figures, dict[str, float]]:
    """Figures on held-out pictures, and on the photos where they are there."""
    features = [teacher.encode_batch(batch.image) for batch in checks]
    figures = measure(checks, features, teacher, teacher.vocabulary)
    return figures, photo_figures(teacher, fruit) if (fruit / "labels").exists() else {}


def report(options: Options, held_out: Path) -> None:
    """Prints and keeps the figures of finished weights."""
    teacher = MiniTeacher.load(options.out)
    figures, photos = measure_all(teacher, held_out_batches(held_out), options.fruit)
    record = {
        **figures.summary(),
        **photos,
        "name_iou": figures.name_iou,
        "network": asdict(options.network),
        "fingerprint": teacher.fingerprint,
    }
    table = leak_markdown(figures, teacher.vocabulary.names)
    (options.work / "figures.json").write_text(json.dumps(record, indent=1))
    (options.work / "leak.md").write_text(table + "\n")
    print(json.dumps(record, indent=1))
    print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
