"""Shapes of wares: vessels, books, boxes, lamps; see `objects` for what a builder promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dff.data.generated.shells import Shell, block, tube, turn, turned


def mug(rng: np.random.Generator, detail: int) -> list[Shell]:
    height, radius = rng.uniform(0.8, 1.1), rng.uniform(0.36, 0.46)
    foot = radius * rng.uniform(0.8, 1.0)
    wall = 0.045
    t = np.linspace(0, 1, 8)
    outer = np.stack([foot + (radius - foot) * t, height * t], 1)
    bottom = np.array([[0, 0], [foot, 0]])
    inner = np.stack([radius - wall - (radius - foot) * t, height - (height - wall) * t], 1)
    floor = np.array([[foot - wall, wall], [0, wall]])
    rim = np.array([[radius, height], [radius - wall / 2, height + 0.02], [radius - wall, height]])
    a = np.linspace(-1.5, 1.5, 10)
    reach, tall = rng.uniform(0.24, 0.34), height * rng.uniform(0.28, 0.36)
    middle = height * rng.uniform(0.46, 0.58)
    path = np.stack(
        [radius - 0.05 + reach * np.cos(a), np.zeros_like(a), middle + tall * np.sin(a)], 1
    )
    thick = rng.uniform(0.045, 0.07)
    return [
        turned(outer, detail, "body"),
        turned(bottom, detail, "body"),
        turned(rim, detail, "body"),
        tube(path, np.full(10, thick), 8, "handle"),
        turned(inner, detail, "inside"),
        turned(floor, detail, "inside"),
    ]


def bowl(rng: np.random.Generator, detail: int) -> list[Shell]:
    radius, height = rng.uniform(0.6, 0.8), rng.uniform(0.36, 0.55)
    wall, power = 0.045, rng.uniform(0.45, 0.7)
    foot = radius * rng.uniform(0.35, 0.5)
    t = np.linspace(0, 1, 10)
    r = foot + (radius - foot) * t**power
    outer = np.stack([r, 0.05 + height * t], 1)
    stand = np.array([[0, 0], [foot, 0], [foot, 0.05]])
    inner = np.stack([(r - wall)[::-1], 0.05 + wall + (height - wall) * t[::-1]], 1)
    inner = np.concatenate([inner, [[0, 0.05 + wall]]])
    rim = np.array(
        [
            [radius, 0.05 + height],
            [radius - wall / 2, 0.07 + height],
            [radius - wall, 0.05 + height],
        ]
    )
    return [
        turned(outer, detail, "body"),
        turned(stand, detail, "body"),
        turned(rim, detail, "body"),
        turned(inner, detail, "inside"),
    ]


def bottle(rng: np.random.Generator, detail: int) -> list[Shell]:
    height, radius = rng.uniform(1.6, 2.1), rng.uniform(0.25, 0.34)
    neck, shoulder = radius * rng.uniform(0.3, 0.45), rng.uniform(0.5, 0.68)
    top = height * 0.93
    t = np.linspace(0, 1, 10)
    body_top = height * shoulder
    curve = np.stack(
        [
            neck + (radius - neck) * 0.5 * (1 + np.cos(np.pi * t)),
            body_top + (top - body_top) * 0.55 * t,
        ],
        1,
    )
    base = np.array([[0, 0], [radius * 0.92, 0], [radius, 0.05]])
    low, high = sorted(rng.uniform(0.12, 0.95, 2) * body_top)
    wall = lambda a, b: np.stack([np.full(4, radius), np.linspace(a, b, 4)], 1)  # noqa: E731
    shells = [
        turned(base, detail, "body"),
        turned(curve, detail, "body"),
        turned(np.array([curve[-1], [neck, top]]), detail, "body"),
    ]
    if high - low > 0.25 * body_top and rng.random() < 0.5:
        shells += [
            turned(wall(0.05, low), detail, "body"),
            turned(wall(low, high), detail, "label"),
            turned(wall(high, body_top), detail, "body"),
        ]
    else:
        shells.append(turned(wall(0.05, body_top), detail, "body"))
    wide = neck * rng.uniform(1.1, 1.35)
    cap = np.array([[neck, top - 0.06], [wide, top - 0.06], [wide, height]])
    lid = np.array([[wide, height], [0, height]])
    shells += [turned(cap, detail, "cap"), turned(lid, detail, "cap")]
    return shells


def book(rng: np.random.Generator, detail: int) -> list[Shell]:
    w, d = rng.uniform(1.2, 1.7), rng.uniform(0.85, 1.15)
    h = rng.uniform(0.18, 0.34)
    c = 0.03
    shells = [
        block([0, 0, 0], [w, d, c], "body"),
        block([0, 0, h - c], [w, d, h], "body"),
        block([0, 0, c], [w, c, h - c], "body"),
        block([c * 1.5, c, c], [w - c * 1.5, d - c * 1.5, h - c], "pages"),
    ]
    # Its title: a plate on the cover and, mostly, bands across the spine.
    if rng.random() < 0.85:
        left, right = w * rng.uniform(0.12, 0.25), w * rng.uniform(0.7, 0.88)
        near, far = d * rng.uniform(0.2, 0.4), d * rng.uniform(0.6, 0.85)
        shells.append(block([left, near, h - c], [right, far, h + 0.006], "label"))
    if rng.random() < 0.7:
        for at in (0.15, 0.8):
            shells.append(block([w * at, -0.006, c], [w * (at + 0.05), c, h - c], "label"))
    return shells


def box(rng: np.random.Generator, detail: int) -> list[Shell]:
    w, d = rng.uniform(0.6, 0.95), rng.uniform(0.6, 0.95)
    h = rng.uniform(0.6, 1.05)
    kind = rng.random()
    if kind < 0.35:
        return [*_open_top(w, d, h), *_flaps(w, d, h, rng)]
    shells = [block([0, 0, 0], [w, d, h], "body")]
    lift = 0.008
    if kind < 0.65:
        for size, axis in ((w, 0), (d, 1)):
            band, middle = rng.uniform(0.1, 0.18), size * rng.uniform(0.4, 0.6)
            low, high = np.array([-lift, -lift, 0.0]), np.array([w + lift, d + lift, h + lift])
            low[axis], high[axis] = middle - band / 2, middle + band / 2
            shells.append(block(low, high, "band"))
    elif kind < 0.92:
        shells.append(block([-0.04, -0.04, h * 0.78], [w + 0.04, d + 0.04, h + 0.03], "lid"))
    return shells


def _open_top(w: float, d: float, h: float) -> list[Shell]:
    """Four walls and a floor, another part within."""
    c = 0.03
    walls = [
        ([0, 0, 0], [w, c, h]),
        ([0, d - c, 0], [w, d, h]),
        ([0, c, 0], [c, d - c, h]),
        ([w - c, c, 0], [w, d - c, h]),
    ]
    linings = [
        ([c, c, c], [w - c, c * 1.2, h - 0.01]),
        ([c, d - c * 1.2, c], [w - c, d - c, h - 0.01]),
        ([c, c, c], [c * 1.2, d - c, h - 0.01]),
        ([w - c * 1.2, c, c], [w - c, d - c, h - 0.01]),
        ([c, c, 0], [w - c, d - c, c]),
    ]
    return [block(a, b, "body") for a, b in walls] + [block(a, b, "inside") for a, b in linings]


def _flaps(w: float, d: float, h: float, rng: np.random.Generator) -> list[Shell]:
    """The four leaves of an open carton, each hanging outwards at an angle of its own."""
    shells = []
    for side in range(4):
        long, reach = (w, d / 2) if side % 2 == 0 else (d, w / 2)
        flap = block([-long / 2, 0, -0.012], [long / 2, 0.9 * reach, 0.012], "body", cells=2)
        flap = turn(flap, 0, rng.uniform(-1.0, 0.9))
        moved = flap.vertices + [0, (d if side % 2 == 0 else w) / 2, h - 0.012]
        flap = turn(replace(flap, vertices=moved), 2, side * np.pi / 2)
        shells.append(replace(flap, vertices=flap.vertices + [w / 2, d / 2, 0]))
    return shells


def lamp(rng: np.random.Generator, detail: int) -> list[Shell]:
    height, foot = rng.uniform(1.1, 1.5), rng.uniform(0.26, 0.36)
    low, high = height * rng.uniform(0.48, 0.58), height
    wide, narrow = rng.uniform(0.42, 0.55), rng.uniform(0.2, 0.32)
    pole = rng.uniform(0.05, 0.09)
    base = np.array([[0, 0], [foot, 0], [foot, 0.07], [foot * 0.5, 0.13], [pole, 0.17]])
    if rng.random() < 0.4:
        # A belly like a vase's instead of a bare pole.
        s = np.linspace(0, 1, 9)
        swell = pole + (foot * 0.75 - pole) * np.sin(np.pi * s) ** 2
        stand = np.stack([swell, 0.17 + (low - 0.12) * s], 1)
    else:
        stand = np.array([[pole, 0.17], [pole, low + 0.1]])
    shade = np.array([[wide, low], [narrow, high]])
    lining = np.array([[narrow - 0.015, high], [wide - 0.015, low]])
    closed = np.array([[narrow, high], [0, high - 0.01]])
    return [
        turned(shade, detail, "body"),
        turned(closed, detail, "body"),
        turned(lining, detail, "inside"),
        turned(np.concatenate([base, stand]), detail, "stand"),
    ]
