"""A repainting on disk: a small safetensors file that says what it is and where it belongs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from dff.edits.compiled import Paint
from dff.errors import DffError
from dff.fields.hash_encoding import GridShape
from dff.fields.radiance_field import RadianceField
from dff.files import atomic_write
from dff.repaint.paint import FieldPaint

VERSION = 1
KIND = "repainting"
# Documents come from anywhere: no file of ours is near this size.
MAX_BYTES = 64 << 20
MAX_LEVELS, MAX_RESOLUTION, MAX_LOG2 = 16, 4096, 20


def paint_facts(paint: FieldPaint) -> dict[str, Any]:
    """What is needed besides its tensors to build a paint again."""
    texture = None
    if paint.texture is not None:
        shape = paint.texture.shape
        texture = {"resolutions": list(shape.resolutions), "log2": shape.log2_table_size}
    return {"low": paint.low.tolist(), "high": paint.high.tolist(), "texture": texture}


def save_paint(paint: FieldPaint, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a repainting, atomically; the same paint and facts give the same bytes.

    Args:
        paint: what was trained.
        path: the file.
        facts: at least ``checkpoint``, the fingerprint of the scene's; all of it plain data.

    Raises:
        DffError: the file cannot be written.
    """
    told = {"kind": KIND, "version": VERSION, **facts, **paint_facts(paint)}
    write_tensors(path, paint.state_dict(), told)


def load_paint(path: Path, fingerprint: str, field: RadianceField) -> Paint:
    """Read a repainting of a scene.

    Args:
        path: the file.
        fingerprint: of the scene's checkpoint.
        field: of that scene; its device is where the paint goes.

    Raises:
        DffError: the file is missing, damaged, of a later version or of another checkpoint, or its
            tensors do not fit.
    """
    facts, tensors = read_tensors(path, MAX_BYTES)
    if facts.get("kind") != KIND:
        raise DffError(f"{path} is no repainting: dff repaint writes one")
    if facts.get("version") != VERSION:
        raise DffError(f"{path} has version {facts.get('version')!r}: update dff to read it")
    if facts.get("checkpoint") != fingerprint:
        raise DffError(
            f"{path} was painted on another checkpoint: run dff repaint again on this one"
        )
    try:
        low, high = (_corner(facts[name]) for name in ("low", "high"))
        if not all(a < b for a, b in zip(low, high, strict=True)):
            raise ValueError("an empty box")
        paint = FieldPaint(field, low, high, _grid(facts["texture"]))
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise ValueError("NaN or infinity")
        paint.load_state_dict(tensors, strict=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DffError(f"{path} is damaged, or does not fit this scene: repaint again") from error
    return paint.requires_grad_(False).eval()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and what is told about them, atomically and always with the same bytes."""
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # One key: safetensors does not keep the order of several.
    data = save(whole, {"dff": json.dumps(facts, sort_keys=True)})
    with atomic_write(path) as stream:
        stream.write(data)


def read_tensors(path: Path, limit: int | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write_tensors` wrote: facts, and tensors on the CPU.

    Args:
        path: the file.
        limit: bytes that it may have; None: any number.

    Raises:
        DffError: the file is missing, too large, damaged, or none of ours.
    """
    if not path.is_file():
        raise DffError(f"no such repainting: {path} (dff repaint writes one)")
    try:
        if limit is not None and path.stat().st_size > limit:
            raise DffError(f"{path} is larger than any repainting: dff repaint writes small files")
        data = path.read_bytes()
        tensors = load(data)
        # safetensors gives what is told about the tensors for a path only, so not for these bytes.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header.get("__metadata__", {}).get("dff", "{}"))
        if not isinstance(facts, dict):
            raise ValueError("no facts")
    except (SafetensorError, OSError, ValueError, AttributeError, RecursionError) as error:
        raise DffError(f"{path} is damaged or no repainting: run dff repaint again") from error
    return facts, tensors


def _corner(value: object) -> list[float]:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("not a corner")
    corner = [float(each) for each in value]
    if not all(abs(each) < 1e9 for each in corner):
        raise ValueError("out of range")
    return corner


def _grid(value: object) -> GridShape | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise TypeError("not a grid")
    resolutions, log2 = value["resolutions"], value["log2"]
    whole = [*resolutions, log2]
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in whole):
        raise TypeError("not whole numbers")
    if not 1 <= len(resolutions) <= MAX_LEVELS or not 1 <= log2 <= MAX_LOG2:
        raise ValueError("out of range")
    if not all(1 <= each <= MAX_RESOLUTION for each in resolutions):
        raise ValueError("out of range")
    return GridShape(tuple(resolutions), log2, 3)
