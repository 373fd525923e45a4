"""What a rule on hue and saturation can tell, without having learned anything: the measure that
every teacher has to beat on photos."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# Colour that a thing is first thought of in.
USUAL_COLOUR: dict[str, str] = {
    "apple": "red",
    "banana": "yellow",
    "pear": "green",
    "carrot": "orange",
    "donut": "brown",
    "mug": "white",
    "bowl": "white",
    "bottle": "green",
    "book": "blue",
    "box": "brown",
    "ball": "red",
    "duck": "yellow",
    "car": "red",
    "bear": "brown",
    "lamp": "white",
    "mushroom": "brown",
}

_STRONG, _LIT = 90, 51
# Middle and half width of the hues in degrees.
_HUES = {
    "red": (355.0, 25.0),
    "yellow": (60.0, 30.0),
    "orange": (28.0, 12.0),
    "green": (115.0, 40.0),
    "blue": (220.0, 25.0),
    "brown": (25.0, 20.0),
}


def colour_mask(photo: Image.Image, colour: str) -> np.ndarray:
    """(H, W) bool: where a photo is of that colour, by bounds on hue, saturation and value."""
    hsv = np.asarray(photo.convert("HSV"), dtype=np.float32)
    hue, saturation, value = hsv[..., 0] * 360 / 255, hsv[..., 1], hsv[..., 2]
    if colour == "white":
        return (saturation < 30) & (value > 190)
    strong = (saturation > _STRONG) & (value > _LIT)
    if colour in ("brown", "orange"):
        # The same hues, dark and light.
        strong &= (value < 150) == (colour == "brown")
    middle, half = _HUES[colour]
    return strong & (np.abs((hue - middle + 180) % 360 - 180) < half)


def hue_rule(photo: Tensor, names: tuple[str, ...]) -> Tensor:
    """Labels of an (H, W, 3) sRGB photo in [0, 1]: each thing where its usual colour is, the first
    name without one elsewhere; later names win.

    Args:
        photo: as above.
        names: what the labels count; one of them at least is not a thing.
    """
    pixels = Image.fromarray((photo * 255).round().clamp(0, 255).byte().numpy())
    other = next(i for i, name in enumerate(names) if name not in USUAL_COLOUR)
    result = np.full(photo.shape[:2], other)
    for i, name in enumerate(names):
        if name in USUAL_COLOUR:
            result[colour_mask(pixels, USUAL_COLOUR[name])] = i
    return torch.from_numpy(result)
