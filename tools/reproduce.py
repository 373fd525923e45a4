"""The paper's claims, tested on generated scenes: a table and a plot each.

    uv run python tools/reproduce.py --work WORK

Under an hour on two cores: five scenes, nine small trainings each, everything seeded. What is
finished is kept in WORK, so an interrupted run goes on where it was. The tables go to
``assets/claims.md``, all figures to ``assets/claims.json``, the plots beside them.

With a GPU and the paper's teachers the same tool runs at full size; ``--full-size`` prints the
commands, those for real captures too.

What is measured, on held-out views: PSNR; mean IoU and mean boundary IoU over the scene's things,
each pixel being given the best of their names, table and background; and the same for one click and
one patch, taken from a training view. The second teacher here (``--second colours``) has learned
nothing: it is the colours of the photo, on a finer grid, without words; clicks go to it alone, or
to both, by the product of their likenesses.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import tyro
from reproduce_claims import as_markdown, claims, plot
from reproduce_variants import Change, second_teacher, variants, write_colour_maps
from rich.console import Console
from rich.progress import Progress

import dff
from dff.data.generated.scene import SceneTruth, write_scene
from dff.errors import DffError
from dff.evaluate.asked import CLICK, PATCH, Asked, ask_everything
from dff.evaluate.benchmarks.generated import read_generated
from dff.evaluate.chosen_views import views_of
from dff.evaluate.frame_scores import FrameScorer
from dff.evaluate.metrics_file import plain
from dff.evaluate.summary import summarise
from dff.files import atomic_write, plain_name
from dff.scene import Scene
from dff.teachers import TeacherOptions
from dff.trainer import DFFTrainerConfig
from dff.training import train_scene

# The trainings in which things are clicked and framed too.
SHOWN = ("default", "two teachers")

FULL_SIZE = """\
The same scenes at full size, on a GPU, with the paper's teacher and DINO as the second:
  uv run python tools/reproduce.py --work WORK --width 960 --height 720 --train-views 100 \\
      --eval-views 20 --iterations 15000 --rays 4096 --teachers lseg --second dino \\
      --teacher.lseg.checkpoint demo_e200.ckpt --teacher.dino.checkpoint dino_vits8.pth

A real capture, each claim by its own training; dff eval --compare sets two of them side by side:
  SAME="--data SCENE --max-num-iterations 15000"
  COMMON="$SAME --pipeline.teacher.lseg.checkpoint demo_e200.ckpt"
  (1, 7)  uv run ns-train dff $COMMON --pipeline.teachers lseg
  (2)     uv run ns-train dff $SAME --pipeline.model.train-features False
  (5)     uv run ns-train dff $COMMON --pipeline.teachers lseg \\
              --pipeline.model.feature-samples-per-ray None
  (6)     uv run ns-train dff $COMMON --pipeline.teachers lseg \\
              --pipeline.datamanager.feature-pca 16   # 32, 64
  (8)     uv run ns-train dff $COMMON --pipeline.teachers lseg,dino \\
              --pipeline.teacher.dino.checkpoint dino_vits8.pth
  uv run dff eval --load-config CONFIG --data LABELS --output OUT
  uv run dff eval --compare OUT_A OUT_B --output DIFFERENCE
(3) and (4) change the model itself, for which ns-train has no option: on generated scenes they are
among what the first command trains.
"""


@dataclass
class Reproduce:
    """Test the paper's claims."""

    work: Path = Path("outputs/reproduce")
    """Folder for scenes, trainings and figures."""
    output: Path = Path("assets")
    """Folder for tables and plots."""
    seeds: tuple[int, ...] = (31, 32, 33, 34, 35)
    """Of scenes and trainings."""
    iterations: int = 400
    """Training steps."""
    rays: int = 1024
    """Rays a step."""
    width: int = 128
    """Of the photos, in pixels."""
    height: int = 96
    """Of the photos, in pixels."""
    train_views: int = 30
    """Photos to train on."""
    eval_views: int = 6
    """Photos held out."""
    teachers: str = "mini"
    """The teacher."""
    second: str = "colours"
    """The second teacher: colours (made from the photos here), or a name such as dino."""
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    """Options of the teachers."""
    only: tuple[str, ...] = ()
    """Only these trainings."""
    full_size: bool = False
    """Print the commands for a GPU, and stop."""


def main(options: Reproduce) -> None:
    """Train what is not trained yet, measure, and write."""
    console = Console()
    if options.full_size:
        console.print(FULL_SIZE, highlight=False, markup=False, soft_wrap=True)
        return
    start = time.perf_counter()
    results: dict[int, dict[str, dict[str, float]]] = {}
    names = [*variants(), "two teachers"]
    unknown = [name for name in options.only if name not in names]
    if unknown:
        raise DffError(f"there is no training '{unknown[0]}': {', '.join(names)}")
    names = [name for name in names if name in (options.only or names)]
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(options.seeds) * len(names))
        for seed in options.seeds:
            folder = options.work / str(seed)
            progress.update(task, description=f"writing scene {seed}")
            truth = write_scene(
                folder / "scene",
                seed,
                num_train=options.train_views,
                num_eval=options.eval_views,
                width=options.width,
                height=options.height,
            )
            for name in names:
                progress.update(task, description=f"scene {seed}: {name}")
                found = figures_of(options, seed, name, truth)
                results.setdefault(seed, {})[name] = found
                progress.advance(task)
            check_same_colours(options, seed)
            write(options, results)
    for claim in claims():
        console.print(as_markdown(results, claim), highlight=False, markup=False, soft_wrap=True)
    minutes = (time.perf_counter() - start) / 60
    console.print(f"{minutes:.0f} minutes; tables, plots and claims.json in {options.output}")


def figures_of(options: Reproduce, seed: int, name: str, truth: SceneTruth) -> dict[str, float]:
    """Figures of one training; trained and measured where that is not done yet."""
    folder = options.work / str(seed)
    kept = folder / "figures" / f"{plain_name(name)}.json"
    key = _key(options)
    if kept.exists():
        content = json.loads(kept.read_text(encoding="utf-8"))
        if content["key"] == key:
            return content["figures"]
    if name.startswith("pca"):
        # As many coefficients as there are features: that is the default, and already there.
        whole = figures_of(options, seed, "default", truth)
        if int(name.split()[1]) >= whole["teacher/dim"]:
            return whole
    start = time.perf_counter()
    config = train(options, seed, name, truth)
    trained = time.perf_counter()
    found = measure(config, truth, SHOWN if name in SHOWN else (), name)
    found["seconds/training"] = trained - start
    found["seconds/measuring"] = time.perf_counter() - trained
    with atomic_write(kept) as stream:
        stream.write(json.dumps({"key": key, "figures": plain(found)}, indent=1).encode())
    return found


def train(options: Reproduce, seed: int, name: str, truth: SceneTruth) -> Path:
    """Train one variant of one scene."""
    folder = options.work / str(seed)
    if name == "two teachers":
        photos = [truth.path / each for each in truth.file_names]
        maps = folder / "colour_maps"
        if options.second == "colours":
            write_colour_maps(photos, maps)
        change: Change = second_teacher(options.second, maps)
    else:
        change = variants()[name]

    def configure(config: DFFTrainerConfig) -> None:
        config.pipeline.teachers = options.teachers
        config.pipeline.teacher = options.teacher
        config.pipeline.datamanager.train_num_rays_per_batch = options.rays
        config.pipeline.datamanager.feature_cache = options.work / "cache"
        change(config)

    return train_scene(
        truth.path,
        folder / f"{plain_name(name)}_{_key(options)[:8]}",
        iterations=options.iterations,
        seed=seed + 42,
        configure=configure,
    )


def measure(config: Path, truth: SceneTruth, shown: tuple[str, ...], name: str) -> dict[str, float]:
    """All figures of a trained scene."""
    scene = dff.load(config)
    ways = (CLICK, PATCH) if name in shown else ()
    found = look(scene, truth, ways)
    if name == "two teachers":
        both = look(scene, truth, ways, "product")
        found |= {f"product/{figure}": value for figure, value in both.items()}
    if scene.model.teacher_records:
        found["teacher/dim"] = float(scene.model.teacher_records[0].dim)
    return found


def look(
    scene: Scene, truth: SceneTruth, ways: tuple[str, ...], teacher: str | None = None
) -> dict[str, float]:
    """Figures on the held-out views, one teacher answering what is clicked and framed."""
    benchmark = read_generated(truth.path)
    views = views_of(scene, benchmark)
    asked = Asked()
    if scene.model.feature_field is not None:
        asked = ask_everything(scene, benchmark, views, ways, lambda what: None, teacher)
    scorer = FrameScorer(scene, asked, benchmark)
    frames = [scorer.score(views[image], image)[0] for image in benchmark.images]
    return dict(summarise(frames, asked.labels, benchmark.asked).figures)


def check_same_colours(options: Reproduce, seed: int) -> None:
    """Claim 2 is exact: with and without features the radiance field is bit for bit the same.

    Raises:
        DffError: it is not.
    """
    folder = options.work / str(seed)
    states = []
    for name in ("default", "no features"):
        place = folder / f"{plain_name(name)}_{_key(options)[:8]}"
        checkpoints = sorted(place.rglob("step-*.ckpt"))
        if not checkpoints:
            return
        state = torch.load(checkpoints[-1], map_location="cpu", weights_only=True)["pipeline"]
        states.append({k: v for k, v in state.items() if k.startswith("_model.field.")})
    same = states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name], states[1][name]) for name in states[0]
    )
    if not same and not torch.cuda.is_available():
        raise DffError(f"scene {seed}: training with features changed the radiance field")


def write(options: Reproduce, results: dict[int, dict[str, dict[str, float]]]) -> None:
    """Tables, figures and plots of what there is so far."""
    seeds = ", ".join(map(str, results))
    lines = [
        f"<!-- made by tools/reproduce.py, scenes {seeds}, {options.iterations} steps of "
        f"{options.rays} rays, {options.width}x{options.height} pixels, teacher "
        f"{options.teachers}, second {options.second} -->",
        "",
        *(as_markdown(results, claim) for claim in claims()),
    ]
    with atomic_write(options.output / "claims.md") as stream:
        stream.write("\n".join(lines).encode())
    settings = {k: v for k, v in vars(options).items() if k not in ("work", "output", "teacher")}
    content: dict[str, Any] = {"version": 1, "settings": plain(settings), "figures": plain(results)}
    with atomic_write(options.output / "claims.json") as stream:
        stream.write(f"{json.dumps(content, indent=1)}\n".encode())
    for claim in claims():
        plot(results, claim, options.output)


def _key(options: Reproduce) -> str:
    """Another one of anything that changes a figure gives another key."""
    left_out = ("work", "output", "seeds", "only", "full_size")
    facts = {name: str(value) for name, value in vars(options).items() if name not in left_out}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    try:
        main(tyro.cli(Reproduce))
    except DffError as error:
        raise SystemExit(f"error: {error}") from error
