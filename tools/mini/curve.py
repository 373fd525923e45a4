"""Draws what a run recorded of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SIZE, _LEFT, _BOTTOM, _TOP, _RIGHT = (720, 400), 56, 44, 34, 20
_LINES = {
    "names and places": ("names_miou", (40, 90, 160)),
    "names alone": ("things_miou", (200, 80, 40)),
    "colour name phrases": ("phrases_miou", (60, 140, 70)),
    "worst leak": ("leak_max", (150, 150, 150)),
}


def draw_curve(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Writes a PNG of mean IoUs and the worst leak over minutes of training.

    Args:
        history: records with ``seconds`` and the figures' summaries, in order of time.
        path: the picture.
    """
    image = Image.new("RGB", _SIZE, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=13)
    width, height = _SIZE[0] - _LEFT - _RIGHT, _SIZE[1] - _TOP - _BOTTOM
    longest = max(record["seconds"] for record in history) / 60

    def place(minutes: float, value: float) -> tuple[float, float]:
        return _LEFT + width * minutes / longest, _TOP + height * (1 - value)

    for k in range(0, 11, 2):
        (x, y), (end, _) = place(0, k / 10), place(longest, k / 10)
        draw.line([(x, y), (end, y)], fill=(225, 225, 225))
        draw.text((x - 8, y), f"{k / 10:.1f}", fill="black", font=font, anchor="rm")
    for minutes in range(0, int(longest) + 1, 10):
        x, y = place(minutes, 0)
        draw.text((x, y + 8), str(minutes), fill="black", font=font, anchor="mt")
    draw.text((_LEFT + width / 2, _SIZE[1] - 6), "minutes on one core", "black", font, "mb")
    at = _LEFT
    for title, (key, colour) in _LINES.items():
        points = [place(record["seconds"] / 60, record[key]) for record in history]
        draw.line(points, fill=colour, width=2)
        for x, y in points:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        draw.text((at, 8), title, fill=colour, font=font)
        at += draw.textlength(title, font=font) + 24
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
