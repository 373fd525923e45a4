"""Trains the shipped teacher `mini` from nothing: pictures, networks, figures.

    OMP_NUM_THREADS=1 uv run python tools/train_mini_teacher.py --work WORK

Pictures are generated into the work folder first (10 minutes, and kept for the next run), then one
thread trains until the minutes are over; the learning rate follows the clock, so that a slow
machine ends with settled weights as well. Interrupted and started again with the same folder, it
carries on. With glibc, MALLOC_MMAP_THRESHOLD_=2000000000 MALLOC_TRIM_THRESHOLD_=4000000000 saves a
tenth of the time, which otherwise goes to giving memory back and asking for it again.

In the work folder: `history.json` and `curve.png`, what was measured on the way (on every other
held-out picture at 128 pixels, looked at once); `figures.json` and `leak.md`, the finished
teacher's figures (all held-out pictures at their own 192 pixels, looked at in two sizes and a
mirror, as it looks at photos).

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
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from mini.batches import Batch, Batches
from mini.curve import draw_curve
from mini.figures import Figures, leak_markdown, measure
from mini.losses import Emphasis
from mini.photos import false_selections, fruit_figures
from mini.training import Run, learning_rate

from dff.data.generated.colours import colour_names
from dff.data.generated.finishes import material_names
from dff.data.generated.objects import object_names
from dff.data.generated.painter import USUALLY_SHOWN
from dff.data.generated.shards import read_shard, write_shard
from dff.teachers.mini import DEFAULT_WEIGHTS, MiniConfig, MiniTeacher
from dff.teachers.mini_vocabulary import Vocabulary

SHARD, HELD_OUT = 500, 400
PICTURE_SIZE, CHECK_SIZE = 192, 128
HELD_OUT_SEED = 777001


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes:
        until: the share of the time at which it ends.
        sizes: of the pictures, in pixels.
        close: how often a picture is cropped close around a thing.
        shown_on: how often materials show, on things and on tables.
        emphasis: see there.
        bent: how often a picture is turned, stretched and sheared.
    """

    until: float
    sizes: tuple[int, ...]
    close: float
    shown_on: tuple[float, float] = USUALLY_SHOWN
    emphasis: Emphasis = field(default_factory=Emphasis)
    bent: float = 0.0


# Small pictures, close around one thing, teach shapes at half the price of whole ones; large ones
# then teach borders, neighbours and scale. Materials are shown more often at first, and pictures
# are bent once the network begins to know them by heart.
STAGES = (
    Stage(0.165, (64,), 0.9, (0.75, 0.75), Emphasis((3.0, 1.5), 0.0, 0.0)),
    Stage(0.33, (64, 96), 0.7, USUALLY_SHOWN, Emphasis((5.0, 2.5), 0.0, 0.0)),
    Stage(0.4, (64, 96), 0.7, USUALLY_SHOWN, Emphasis(apart=0.0)),
    Stage(0.5, (96,), 0.6, USUALLY_SHOWN, Emphasis(apart=0.0)),
    Stage(0.7, (96,), 0.6),
    Stage(0.74, (96, 128), 0.4, USUALLY_SHOWN, Emphasis(handicap=2.0)),
    Stage(math.inf, (96, 128), 0.4, USUALLY_SHOWN, Emphasis(handicap=2.0), 0.7),
)


@dataclass
class Options:
    """Settings of one run."""

    work: Path = Path("mini_work")
    """Folder of pictures, checkpoints and the record of the run."""
    out: Path = DEFAULT_WEIGHTS
    """Where the weights go."""
    minutes: float = 73.0
    """Time to train, pictures not counted."""
    pictures: int = 5000
    """Training pictures to generate."""
    batch: int = 32
    """Pictures in a step."""
    rate: float = 6e-3
    """Highest learning rate."""
    seed: int = 0
    """Seeds weights, paint and noise; pictures have seeds of their own."""
    evaluate_only: bool = False
    """Only measure the weights at --out."""
    every: float = 6.0
    """Minutes between measurements."""
    keep_every: float = 6.0
    """Minutes between checkpoints, each of which can already be used."""
    scenes: Path = Path("scenes")
    """Folder of real captures to measure on, if they are there: `fruit` with labels, `fox`."""
    network: MiniConfig = field(
        default_factory=lambda: MiniConfig(scales=(1.0, 0.5), mirrored=True)
    )
    """Shape of the networks, and how the finished teacher looks at a photo."""


def main(options: Options) -> None:
    """Generates what is missing, trains, measures, writes."""
    torch.set_num_threads(1)
    held_out = options.work / "pics" / "held_out.npz"
    if not held_out.exists():
        print("generating held-out pictures", flush=True)
        write_shard(held_out, HELD_OUT, HELD_OUT_SEED, views=2)
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
    run = Run(vocabulary(), options.network, options.seed)
    state = options.work / "state.pt"
    if state.exists():
        run.load(state)
        print(f"carrying on at step {run.step}, {run.spent / 60:.1f} min in", flush=True)
    data = Batches([read_shard(path) for path in shards], options.seed + run.step)
    # On the way: small pictures, half of them, looked at once.
    checks = held_out_batches(held_out, CHECK_SIZE)[::2]
    at_once = replace(options.network, scales=(1.0,), mirrored=False)
    rng = np.random.default_rng(options.seed + 1 + run.step)
    weights = sum(p.numel() for p in run.encoder.parameters())
    print(f"{len(data)} pictures, an encoder of {weights} weights", flush=True)
    budget, clock = 60 * options.minutes, time.monotonic() - run.spent
    next_check, next_keep = run.spent + 60 * options.every, run.spent + 60 * options.keep_every
    while run.spent < budget:
        part = run.spent / budget
        stage = next(s for s in STAGES if part < s.until)
        if stage.bent > 0:
            run.remember()
        size = int(rng.choice(stage.sizes))
        # The same work in every step: more pictures where they are small.
        count = round(options.batch * min(1.5, 96 / size))
        batch = data.draw(
            count,
            size,
            close=stage.close,
            bent=stage.bent,
            photographed=min(1.0, 0.2 + 2 * part),
            shown_on=stage.shown_on,
        )
        run.teach(batch, learning_rate(part, run.step, options.rate), stage.emphasis)
        run.seen += count
        run.spent = time.monotonic() - clock
        if run.step % 100 == 0:
            terms = " ".join(f"{key} {value:.3f}" for key, value in run.terms.items())
            left = (budget - run.spent) / 60
            print(f"step {run.step}, {left:.0f} min left: {terms}", flush=True)
        if run.step % 1500 == 0:
            data.refresh()
        if run.spent >= next_check:
            figures, photos = measure_all(run.teacher(at_once), checks, options.scenes)
            record = {
                "seconds": round(run.spent),
                "samples": run.seen,
                **figures.summary(),
                **photos,
            }
            run.history.append(record)
            (options.work / "history.json").write_text(json.dumps(run.history, indent=1))
            draw_curve(run.history, options.work / "curve.png")
            print({key: round(value, 3) for key, value in record.items()}, flush=True)
            next_check = run.spent + 60 * options.every
        if run.spent >= next_keep:
            run.teacher().save(options.out)
            run.save(state)
            next_keep = run.spent + 60 * options.keep_every
    run.settled_teacher().save(options.out)
    run.save(state)
    print(f"{run.step} steps, {run.seen} samples, {run.spent:.0f} s", flush=True)


def vocabulary() -> Vocabulary:
    """Every word that generated pictures can teach."""
    return Vocabulary(object_names(), colour_names(), material_names())


def held_out_batches(path: Path, size: int = PICTURE_SIZE) -> list[Batch]:
    """The held-out pictures, painted with a seed of their own."""
    shard = read_shard(path)
    data = Batches([shard], 4242)
    return [data.draw(16, size, plain=True) for _ in range(len(shard[0]) // 16)]


def measure_all(
    teacher: MiniTeacher, checks: list[Batch], scenes: Path
) -> tuple[Figures, dict[str, float]]:
    """Figures on held-out pictures, and on the labelled photos where they are there."""
    features = [teacher.encode_batch(batch.image) for batch in checks]
    figures = measure(checks, features, teacher, teacher.vocabulary)
    fruit = scenes / "fruit"
    return figures, fruit_figures(teacher, fruit) if (fruit / "labels").exists() else {}


def report(options: Options, held_out: Path) -> None:
    """Prints and keeps the figures of finished weights."""
    teacher = MiniTeacher.load(options.out)
    figures, photos = measure_all(teacher, held_out_batches(held_out), options.scenes)
    names = teacher.vocabulary.names
    fox = sorted((options.scenes / "fox" / "images").glob("*"))
    record = {
        **figures.summary(),
        **photos,
        "name_iou": figures.name_iou,
        "fox_share_selected_and_by_hue": false_selections(teacher, fox[::5], names),
        "fingerprint": teacher.fingerprint,
    }
    table = leak_markdown(figures, names)
    (options.work / "figures.json").write_text(json.dumps(record, indent=1))
    (options.work / "leak.md").write_text(table + "\n")
    print(json.dumps(record, indent=1))
    print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
