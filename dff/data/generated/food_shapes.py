"""Shapes of things to eat; see `objects` for what a builder promises."""

from __future__ import annotations

import numpy as np

from dff.data.generated.shells import Shell, leaf_shell, stem_shell, tube, turn, turned


def apple(rng: np.random.Generator, detail: int) -> list[Shell]:
    t = np.linspace(np.pi, 0, detail)
    squash, taper = rng.uniform(0.84, 1.0), rng.uniform(0.1, 0.22)
    r = np.sin(t) * (1 + taper * np.cos(t))
    z = squash * np.cos(t)
    z -= rng.uniform(0.22, 0.38) * np.exp(-((r / 0.3) ** 2)) * (t < np.pi / 2)
    z += rng.uniform(0.08, 0.2) * np.exp(-((r / 0.25) ** 2)) * (t > np.pi / 2)
    profile = 0.42 * np.stack([r, z], 1)
    top = float(profile[-1, 1])
    shells = [turned(profile, detail, "body", rng.uniform(0.0, 0.035))]
    length = rng.uniform(0.16, 0.28)
    shells.append(stem_shell([0, 0, top - 0.02], length, rng.uniform(-0.1, 0.1), 0.026))
    if rng.random() < 0.4:
        shells.append(leaf_shell([0, 0, top + 0.06], rng.uniform(0.25, 0.4), rng.uniform(0, 6.28)))
    return shells


def pear(rng: np.random.Generator, detail: int) -> list[Shell]:
    t = np.linspace(0, 1, detail)
    neck = rng.uniform(0.34, 0.5)
    belly = np.sqrt(np.clip(1 - ((t - 0.33) / 0.33) ** 2, 0, 1)) * (t < 0.33)
    upper = neck + (1 - neck) * 0.5 * (1 + np.cos(np.pi * np.clip((t - 0.33) / 0.42, 0, 1)))
    cap = np.sqrt(np.clip(1 - np.clip((t - 0.8) / 0.2, 0, 1) ** 2, 0, 1))
    r = np.where(t < 0.33, belly, upper * cap)
    height = rng.uniform(1.08, 1.3)
    profile = np.stack([0.4 * r, height * t], 1)
    profile[0, 0] = profile[-1, 0] = 0.0
    shells = [turned(profile, detail, "body", rng.uniform(0, 0.02))]
    shells.append(
        stem_shell([0, 0, height - 0.02], rng.uniform(0.15, 0.3), rng.uniform(-0.15, 0.15), 0.02)
    )
    return shells


def banana(rng: np.random.Generator, detail: int) -> list[Shell]:
    sweep = rng.uniform(1.35, 2.1)
    length = rng.uniform(1.5, 1.9)
    radius = length / sweep
    steps = max(14, detail)
    a = np.linspace(-0.5, 0.5, steps) * sweep
    # Straighter towards the stem, as bananas are.
    a = a * (1 - 0.12 * np.linspace(0, 1, steps))
    path = np.stack([radius * np.sin(a), radius * (1 - np.cos(a)), np.zeros(steps)], 1)
    u = np.linspace(0, 1, steps)
    fat = rng.uniform(0.17, 0.22)
    stem_from = rng.uniform(0.76, 0.86)
    body = np.clip(np.minimum((u + 0.03) / 0.2, (stem_from + 0.04 - u) / 0.2), 0, 1)
    r = fat * np.maximum(np.sin(0.5 * np.pi * body) ** 0.8, 0.3)
    ridges = rng.uniform(0.02, 0.07)
    tip, stem = round(0.05 * steps) + 1, round(stem_from * steps)
    sides = max(10, detail // 2)
    shells = [
        tube(path[tip - 1 : stem + 1], r[tip - 1 : stem + 1], sides, "body", ridges),
        tube(path[:tip], r[:tip] * 0.99, sides, "tip", ridges),
        tube(path[stem - 1 :], r[stem - 1 :] * 0.97, sides, "stem", ridges),
        tube(path[-2:] + [0.03, 0.01, 0], r[-2:] * 1.08, sides, "tip"),
    ]
    pose = rng.random()
    tilt = rng.uniform(-0.15, 0.5) if pose < 0.7 else rng.uniform(0.5, 1.5)
    return [turn(shell, 0, tilt) for shell in shells]


def carrot(rng: np.random.Generator, detail: int) -> list[Shell]:
    length, fat = rng.uniform(1.15, 1.5), rng.uniform(0.2, 0.28)
    t = np.linspace(0, 1, 14)
    r = fat * (0.08 + 0.92 * t ** rng.uniform(0.7, 1.0)) * (1 + 0.03 * np.sin(37 * t))
    r[-1] *= 0.75
    bend = rng.uniform(-0.12, 0.12)
    path = np.stack([length * (t - 1), bend * (1 - t) ** 2, np.zeros_like(t)], 1)
    shells = [tube(path, r, max(10, detail // 2), "body")]
    for _ in range(int(rng.integers(6, 11))):
        reach = rng.uniform(0.35, 0.7)
        yaw, pitch = rng.uniform(-0.6, 0.6), rng.uniform(-0.15, 0.7)
        direction = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw), np.sin(pitch)])
        s = np.linspace(0, 1, 5)[:, None]
        leaf = np.array([-0.03, 0, 0]) + s * reach * direction + s**2 * np.array([0, 0, -0.08])
        shells.append(tube(leaf, np.array([0.03, 0.035, 0.065, 0.075, 0.02]), 6, "leaf"))
    # Lies on its side: the leaves may touch the table, but not pass through it.
    lowered = [
        Shell(
            np.column_stack([x.vertices[:, :2], np.maximum(x.vertices[:, 2], -fat)]),
            x.faces,
            x.part,
        )
        for x in shells
    ]
    return lowered


def donut(rng: np.random.Generator, detail: int) -> list[Shell]:
    major, minor = rng.uniform(0.32, 0.4), rng.uniform(0.15, 0.2)
    flat = rng.uniform(0.8, 1.0)
    sides = max(12, detail * 2 // 3)

    def ring(start: float, stop: float, swell: float, part: str) -> Shell:
        phi = np.linspace(start, stop, sides)
        profile = np.stack(
            [major + swell * minor * np.cos(phi), flat * swell * minor * np.sin(phi)], 1
        )
        return turned(profile, detail * 3 // 2, part)

    drip = rng.uniform(-0.35, 0.15)
    return [
        ring(drip, np.pi - drip, 1.04, "body"),
        ring(np.pi - drip - 0.05, 2 * np.pi + drip + 0.05, 1.0, "dough"),
    ]


def mushroom(rng: np.random.Generator, detail: int) -> list[Shell]:
    wide, tall = rng.uniform(0.42, 0.58), rng.uniform(0.26, 0.42)
    foot, height = wide * rng.uniform(0.32, 0.45), rng.uniform(0.4, 0.65)
    t = np.linspace(0, np.pi / 2, max(8, detail // 2))
    dome = np.stack([wide * np.cos(t), height + tall * np.sin(t) ** 0.9], 1)
    rim = np.array([[wide * 0.93, height - 0.06], [wide, height - 0.02], [wide, height]])
    gills = np.array([[foot * 0.75, height + 0.02], [wide * 0.93, height - 0.06]])
    s = np.linspace(0, 1, 7)
    belly = foot * (1 - 0.25 * s + 0.25 * np.exp(-((s / 0.25) ** 2)))
    stalk = np.stack([belly, (height + 0.02) * s], 1)
    stalk = np.concatenate([[[0.0, 0.0]], stalk])
    return [
        turned(np.concatenate([rim, dome[1:]]), detail, "body"),
        turned(gills, detail, "stalk"),
        turned(stalk, detail, "stalk"),
    ]
