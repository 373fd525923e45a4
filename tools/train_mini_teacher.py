"""Trains the shipped teacher `mini` from nothing: pictures, networks, figures.

    OMP_NUM_THREADS=1 uv run python tools/train_mini_teacher.py --minutes 55

Pictures are generated into the work folder first (kept for the next run), then one thread trains
until the minutes are over; the learning rate follows the clock, so that a slow machine ends with
settled weights as well. Interrupted and started again with the same folder, it carries on.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from mini.batches import Batch, Batches
from mini.figures import leak_markdown, measure, photo_figures
from mini.losses import Prompts, Targets, class_weights, losses

from dff.data.generated.materials import colour_names
from dff.data.generated.objects import object_names
from dff.data.generated.shards import read_shard, write_shard
from dff.teachers.mini import DEFAULT_WEIGHTS, MiniConfig, MiniTeacher
from dff.teachers.mini_network import ImageEncoder, TextEncoder
from dff.teachers.mini_vocabulary import Vocabulary

PIXELS = 8000
WEIGHTS = {
    "name": 1.0,
    "colour": 0.4,
    "phrase": 0.4,
    "name_leak": 0.6,
    "colour_leak": 0.25,
    "phrase_leak": 0.3,
    "length": 0.3,
}


@dataclass
class Options:
    """Settings of one run."""

    work: Path = Path("mini_work")
    """Folder of pictures, checkpoints and the record of the run."""
    out: Path = DEFAULT_WEIGHTS
    """Where the weights go."""
    minutes: float = 55.0
    """Time to train, pictures not counted."""
    pictures: int = 9000
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
    keep_every: float = 10.0
    """Minutes between checkpoints."""
    fruit: Path = Path("../shared/scenes/fruit")
    """Labelled photos to measure on, if they are there."""
    network: MiniConfig = field(default_factory=MiniConfig)
    """Shape of the networks."""


def vocabulary() -> Vocabulary:
    """The vocabulary that the generated pictures can teach."""
    return Vocabulary(object_names(), colour_names())


def main(options: Options) -> None:
    """Generates what is missing, trains, measures, writes."""
    torch.set_num_threads(1)
    held_out = options.work / "pics" / "held_out.npz"
    if not held_out.exists():
        print("generating held-out pictures")
        write_shard(held_out, 240, 777001, views=2)
    if options.evaluate_only:
        report(options, MiniTeacher.load(options.out), held_out)
        return
    shards = generate(options)
    train(options, shards, held_out)
    report(options, MiniTeacher.load(options.out), held_out)


def generate(options: Options, shard: int = 500) -> list[Path]:
    """Writes the shards of training pictures that are not there yet."""
    paths = []
    started, made = time.monotonic(), 0
    count = math.ceil(options.pictures / shard)
    for k in range(count):
        path = options.work / "pics" / f"train_{k:03d}.npz"
        if not path.exists():
            write_shard(path, shard, 1000 + k)
            made += 1
            left = (time.monotonic() - started) / made * (count - k - 1)
            print(f"pictures {(k + 1) * shard}/{count * shard}, {left / 60:.0f} min left", flush=True)
        paths.append(path)
    return paths


def start_text(words: Vocabulary, text: TextEncoder) -> None:
    """Words begin orthogonal, the canonical ones close to a direction of their own."""
    with torch.no_grad():
        first = words.number(words.canonical[0])
        shared = text.table[first].clone()
        for word in words.canonical:
            k = words.number(word)
            own = text.table[k] if k != first else torch.zeros_like(shared)
            text.table[k] = F.normalize(shared + 0.3 * own, dim=0)


def train(options: Options, shards: list[Path], held_out: Path) -> None:
    """Trains until the time is over, writing usable weights as it goes."""
    torch.manual_seed(options.seed)
    words, config = vocabulary(), options.network
    encoder = config.encoder().to(memory_format=torch.channels_last)
    text = TextEncoder(len(words.words), config.dim)
    start_text(words, text)
    decayed = [p for p in encoder.parameters() if p.ndim > 1]
    others = [p for p in encoder.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": 0.03, "factor": 1.0},
            {"params": others, "weight_decay": 0.0, "factor": 1.0},
            {"params": list(text.parameters()), "weight_decay": 0.0, "factor": 0.3},
        ],
        lr=options.rate,
        betas=(0.9, 0.98),
    )
    mean_encoder, mean_text = copy.deepcopy(encoder), copy.deepcopy(text)
    state_file = options.work / "state.pt"
    step, spent, history, frequency = 0, 0.0, [], torch.full((len(words.names) + 2,), 0.07)
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        encoder.load_state_dict(state["encoder"])
        text.load_state_dict(state["text"])
        mean_encoder.load_state_dict(state["mean_encoder"])
        mean_text.load_state_dict(state["mean_text"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent, frequency = state["step"], state["spent"], state["frequency"]
        history = json.loads(state["history"])
        print(f"carrying on at step {step}, {spent / 60:.1f} min in")

    known: set[Path] = set()
    planes, names = [], []

    def load() -> Batches:
        for path in [p for p in shards if p.exists() and p not in known]:
            a, b = read_shard(path)
            planes.append(a)
            names.append(b)
            known.add(path)
        return Batches(planes, names, options.seed + step)

    data = load()
    checks = held_out_batches(held_out)
    prompts = Prompts.of(words)
    budget, clock = options.minutes * 60, time.monotonic() - spent
    next_check, next_keep = spent + options.every * 60, spent + options.keep_every * 60
    totals: dict[str, float] = {}
    rng = np.random.default_rng(options.seed + 1 + step)
    print(f"{len(data)} pictures, {sum(p.numel() for p in encoder.parameters())} weights", flush=True)
    while (spent := time.monotonic() - clock) < budget:
        part = spent / budget
        warm = min(1.0, (step + 1) / 200)
        rate = options.rate * warm * (0.5 + 0.5 * math.cos(math.pi * part)) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        size = 96 if part < 0.5 else int(rng.choice([96, 128]))
        batch = data.draw(options.batch, size)
        z = encoder(batch.image.contiguous(memory_format=torch.channels_last))
        z = z.permute(0, 2, 3, 1).reshape(-1, config.dim)
        label = batch.name.flatten()
        share = torch.bincount(label, minlength=len(frequency)).float() / len(label)
        frequency = 0.99 * frequency + 0.01 * share
        # Drawing pixels by their class's weight is as good as weighting all of them, and cheaper.
        pick = torch.multinomial(class_weights(frequency)[label], PIXELS, replacement=True)
        target = Targets(label[pick], batch.colour.flatten()[pick], torch.ones(PIXELS))
        terms = losses(z[pick], target, text, prompts, config.logit_scale, PIXELS // 4)
        loss = sum(WEIGHTS[key] * value for key, value in terms.items())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 3.0)
        optimiser.step()
        decay = min(0.998, 1 - 1 / (step / 10 + 2))
        average(mean_encoder, encoder, decay)
        average(mean_text, text, decay)
        step += 1
        for key, value in terms.items():
            totals[key] = totals.get(key, 0.0) * 0.98 + 0.02 * value.item()
        if step % 100 == 0:
            terms_text = " ".join(f"{k} {v / (1 - 0.98**min(step, 10000)):.3f}" for k, v in totals.items())
            done = time.monotonic() - clock
            print(f"step {step} {done:.0f} s, {(budget - done) / 60:.0f} min left: {terms_text}", flush=True)
        if step % 1500 == 0:
            data = load()
        if spent >= next_check:
            teacher = MiniTeacher(copy.deepcopy(mean_encoder), copy.deepcopy(mean_text), words, config)
            figures = measure(checks, features_of(mean_encoder, checks), teacher, words)
            record = {"seconds": round(spent), "step": step, **figures.summary()}
            if options.fruit.exists():
                record |= photo_figures(teacher, options.fruit)
            history.append(record)
            print({k: round(v, 3) for k, v in record.items()}, flush=True)
            print({k: round(v, 2) for k, v in figures.name_iou.items()}, flush=True)
            (options.work / "history.json").write_text(json.dumps(history, indent=1))
            next_check = spent + options.every * 60
        if spent >= next_keep:
            MiniTeacher(copy.deepcopy(mean_encoder), copy.deepcopy(mean_text), words, config).save(options.out)
            state = {
                "encoder": encoder.state_dict(),
                "text": text.state_dict(),
                "mean_encoder": mean_encoder.state_dict(),
                "mean_text": mean_text.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "spent": spent,
                "frequency": frequency,
                "history": json.dumps(history),
            }
            torch.save(state, state_file.with_suffix(".part"))
            state_file.with_suffix(".part").replace(state_file)
            next_keep = spent + options.keep_every * 60
    MiniTeacher(mean_encoder, mean_text, words, config).save(options.out)
    print(f"{step} steps, {step * options.batch} samples, {spent:.0f} s")


@torch.no_grad()
def average(mean: torch.nn.Module, now: torch.nn.Module, decay: float) -> None:
    """Moves the running mean of the weights a step."""
    for a, b in zip(mean.state_dict().values(), now.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.lerp_(b, 1 - decay)


def held_out_batches(path: Path, size: int = 128) -> list[Batch]:
    """The held-out pictures, painted with a seed of their own."""
    planes, names = read_shard(path)
    data = Batches([planes], [names], 4242)
    return [data.draw(16, size, plain=True) for _ in range(len(planes) // 16)]


@torch.no_grad()
def features_of(encoder: ImageEncoder, batches: list[Batch]) -> list[torch.Tensor]:
    """Unit features (B, h, w, D) of batches at the size they have."""
    encoder.eval()
    return [F.normalize(encoder(b.image).permute(0, 2, 3, 1), dim=-1) for b in batches]


def report(options: Options, teacher: MiniTeacher, held_out: Path) -> None:
    """Prints and keeps the figures of finished weights."""
    batches = held_out_batches(held_out)
    figures = measure(batches, features_of(teacher._encoder, batches), teacher, teacher.vocabulary)
    record: dict[str, object] = {"config": asdict(options.network), **figures.summary()}
    if options.fruit.exists():
        record |= photo_figures(teacher, options.fruit)
    record["name_iou"] = figures.name_iou
    table = leak_markdown(figures, teacher.vocabulary.names)
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / "figures.json").write_text(json.dumps(record, indent=1))
    (options.work / "leak.md").write_text(table + "\n")
    print(json.dumps(record, indent=1))
    print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
