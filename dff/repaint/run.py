"""A whole repainting: prepared, trained with previews and saves, left as an edit document."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dff.errors import DffError
from dff.pictures import to_bytes, write_png
from dff.repaint.canvas import Canvas
from dff.repaint.files import RepaintFiles, look_for
from dff.repaint.guide import Guide
from dff.repaint.paint import FieldPaint
from dff.repaint.settings import TrainingSettings
from dff.repaint.stored import save_paint, write_tensors
from dff.repaint.trainer import Training
from dff.repaint.views import PreparedView

PREVIEW_SIZE = 192


def repaint(
    canvas: Canvas,
    guide: Guide,
    prompt: str,
    output: Path,
    settings: TrainingSettings,
    overwrite: bool = False,
    on_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train a paint, or go on where an earlier run was stopped, and write it as an edit.

    What has been done is saved every few steps and when the run is interrupted.

    Args:
        canvas: what is painted.
        guide: says what to lower.
        prompt: what was asked for, kept in the files.
        output: see `RepaintFiles.of`.
        settings: how.
        overwrite: begin anew, whatever is there.
        on_step: told of each step's number and loss.

    Returns:
        The losses of the steps that this run did.

    Raises:
        DffError: the output is another repainting, or cannot be written; the loss is no number.
        KeyboardInterrupt: the user stopped it; everything is saved.
    """
    settings.validate()
    files = RepaintFiles.of(output)
    facts = _facts(canvas, guide, prompt, settings)
    if overwrite:
        for path in (files.resume, files.paint):
            path.unlink(missing_ok=True)
    found = look_for(files, facts, settings.steps)
    if found.step >= settings.steps and found.state is None:
        return []
    training = Training(canvas.new_paint(settings.texture, settings.seed), guide, settings)
    if found.state is not None:
        try:
            training.load_state(found.state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise DffError(f"{files.resume} is damaged: give --overwrite to begin anew") from error

    def save(done: int) -> None:
        told = {**facts, "steps_done": done}
        write_tensors(files.resume, training.state(), told)
        save_paint(training.paint, files.paint, told)

    canvas.selection.save(files.selection, canvas.scene.fingerprint)
    files.write_document(prompt)
    losses = _train(canvas, training, settings, found.step, save, files.previews, on_step)
    files.resume.unlink(missing_ok=True)
    return losses


def _facts(
    canvas: Canvas, guide: Guide, prompt: str, settings: TrainingSettings
) -> Mapping[str, Any]:
    """Everything that the result depends on."""
    kept = dataclasses.asdict(settings)
    for name in ("save_every", "preview_every"):
        del kept[name]
    return {
        "checkpoint": canvas.scene.fingerprint,
        "selection": canvas.digest,
        "prompt": prompt,
        "guide": dict(guide.facts),
        "settings": kept,
    }


def _train(
    canvas: Canvas,
    training: Training,
    settings: TrainingSettings,
    first: int,
    save: Callable[[int], None],
    previews: Path,
    on_step: Callable[[int, float], None] | None,
) -> list[float]:
    """The steps that are left."""
    losses: list[float] = []
    preview = _preview_of(canvas, settings)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]}"),
    )
    with Progress(*columns) as progress, stopped_between_steps() as stopped:
        bar = progress.add_task("Repainting", total=settings.steps, completed=first, loss="")
        for number in range(first, settings.steps):
            losses.append(training.step(number))
            done = number + 1
            progress.update(bar, completed=done, loss=f"{losses[-1]:.4f}")
            if preview is not None and _is_time(done, settings.preview_every, settings.steps):
                _write_preview(preview, training.paint, previews / f"{done:06d}.png")
            if on_step is not None:
                on_step(number, losses[-1])
            if _is_time(done, settings.save_every, settings.steps) or stopped.is_set():
                save(done)
            if stopped.is_set() and done < settings.steps:
                raise KeyboardInterrupt
    return losses


def _is_time(done: int, every: int, steps: int) -> bool:
    return every > 0 and (done % every == 0 or done == steps)


def _preview_of(canvas: Canvas, settings: TrainingSettings) -> PreparedView | None:
    """The view that previews show."""
    if settings.preview_every == 0:
        return None
    return canvas.random_views(PREVIEW_SIZE, settings.seed)(0)


@torch.no_grad()
def _write_preview(view: PreparedView, paint: FieldPaint, path: Path) -> None:
    write_png(path, to_bytes(torch.cat([view.picture, view.painted(paint)], dim=1)))


@contextmanager
def stopped_between_steps() -> Iterator[threading.Event]:
    """Ctrl-C sets the event instead of breaking off in the middle of a step; a second one breaks.

    Outside of the main thread, where signals cannot be handled, nothing changes.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.getsignal(signal.SIGINT)

    def handler(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    signal.signal(signal.SIGINT, handler)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
