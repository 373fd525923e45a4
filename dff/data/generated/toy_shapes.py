"""Shapes of toys; see `objects` for what a builder promises."""

from __future__ import annotations

import numpy as np

from dff.data.generated.shells import Shell, block, ellipsoid, turn, turned


def ball(rng: np.random.Generator, detail: int) -> list[Shell]:
    shell = ellipsoid([0, 0, 0], [0.45, 0.45, 0.45], max(2 * detail, 40), "body")
    way = shell.vertices[shell.faces].mean(1)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    kind = rng.random()
    if kind < 0.06:
        return [shell]
    if kind < 0.28:
        # Seams along three great circles.
        half = np.abs(way).min(1) < rng.uniform(0.06, 0.1)
    elif kind < 0.56:
        # Patches around the corners of an icosahedron.
        half = (way @ _icosahedron().T).max(1) > np.cos(rng.uniform(0.34, 0.42))
    elif kind < 0.76:
        half = np.abs(way[:, 2]) < rng.uniform(0.15, 0.32)
    else:
        count = int(rng.choice([6, 8]))
        wedge = np.floor((np.arctan2(way[:, 1], way[:, 0]) / (2 * np.pi) + 0.5) * count - 1e-6)
        half = wedge.astype(int) % 2 == 1
    pieces = [
        Shell(shell.vertices, shell.faces[~half], "body"),
        Shell(shell.vertices, shell.faces[half], "panel"),
    ]
    tilt, roll = rng.uniform(-1.5, 1.5, 2)
    return [turn(turn(_used(piece), 0, tilt), 1, roll) for piece in pieces]


def _icosahedron() -> np.ndarray:
    """(12, 3) unit vectors to the corners: the cyclic shifts of (0, +-1, +-golden ratio)."""
    golden = (1 + 5**0.5) / 2
    corners = [np.roll([0, a, b * golden], k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
    return np.array(corners) / np.hypot(1, golden)


def _used(shell: Shell) -> Shell:
    """Only the vertices that the faces name."""
    keep, faces = np.unique(shell.faces, return_inverse=True)
    return Shell(shell.vertices[keep], faces.reshape(-1, 3), shell.part)


def duck(rng: np.random.Generator, detail: int) -> list[Shell]:
    long, fat = rng.uniform(0.46, 0.54), rng.uniform(0.34, 0.4)
    body = ellipsoid([0, 0, 0.32], [long, fat, 0.32], detail, "body")
    # The rear of the body rises into a tail.
    x = body.vertices[:, 0]
    rise = np.where(x < 0, (x / long) ** 2 * rng.uniform(0.25, 0.4), 0.0)
    body = Shell(body.vertices + np.stack([-0.15 * rise, 0 * x, rise], 1), body.faces, "body")
    head = rng.uniform(0.24, 0.29)
    centre = np.array([0.22, 0, 0.55 + head])
    beak = ellipsoid(centre + [head * 1.05, 0, -0.04], [0.16, 0.11, 0.045], 12, "beak")
    shells = [body, ellipsoid(centre, [head] * 3, detail, "body"), beak]
    for side in (-1, 1):
        eye = centre + head * np.array([0.75, 0.5 * side, 0.38])
        shells.append(ellipsoid(eye, [0.045] * 3, 8, "eye"))
        wing = [-0.08, side * fat * 0.88, 0.4]
        shells.append(ellipsoid(wing, [0.26, 0.08, 0.15], 12, "body"))
    return shells


def car(rng: np.random.Generator, detail: int) -> list[Shell]:
    long, wide = rng.uniform(0.68, 0.85), rng.uniform(0.3, 0.38)
    wheel, clear = rng.uniform(0.15, 0.2), 0.1
    waist, roof = clear + rng.uniform(0.26, 0.34), rng.uniform(0.24, 0.34)
    front, back = rng.uniform(0.1, 0.35) * long, -rng.uniform(0.55, 0.95) * long
    cabin = _tapered(
        [back, -wide * 0.95, waist], [front, wide * 0.95, waist + roof], 0.16, "window"
    )
    inner = wide * 0.8
    top = block(
        [back + 0.15, -inner, waist + roof - 0.01],
        [front - 0.15, inner, waist + roof + 0.03],
        "body",
    )
    shells = [
        _tapered([-long, -wide, clear], [long, wide, waist], 0.05, "body"),
        cabin,
        top,
    ]
    profile = np.array([[0, -0.06], [wheel, -0.06], [wheel, 0.06], [wheel * 0.45, 0.06], [0, 0.05]])
    for x in (-0.6 * long, 0.62 * long):
        for side in (-1, 1):
            tyre = turn(turned(profile, max(12, detail), "wheel"), 0, -side * np.pi / 2)
            place = [x, side * (wide - 0.02), wheel]
            shells.append(Shell(tyre.vertices + place, tyre.faces, "wheel"))
    for side in (-1, 1):
        lamp = ellipsoid(
            [long - 0.01, side * wide * 0.65, waist - 0.1], [0.03, 0.07, 0.06], 10, "cap"
        )
        shells.append(lamp)
    return shells


def _tapered(low: list[float], high: list[float], inset: float, part: str) -> Shell:
    """A block whose top is shorter by ``inset`` at its front and back."""
    shell = block(low, high, part)
    rise = (shell.vertices[:, 2] - low[2]) / (high[2] - low[2])
    middle = (low[0] + high[0]) / 2
    x = shell.vertices[:, 0] - np.sign(shell.vertices[:, 0] - middle) * inset * rise * (
        np.abs(shell.vertices[:, 0] - middle) / ((high[0] - low[0]) / 2)
    )
    return Shell(np.column_stack([x, shell.vertices[:, 1:]]), shell.faces, part, creased=True)


def bear(rng: np.random.Generator, detail: int) -> list[Shell]:
    fat, head = rng.uniform(0.32, 0.4), rng.uniform(0.27, 0.33)
    top = 0.62 + head * 0.85
    shells = [
        ellipsoid([0, 0, 0.38], [fat * 0.92, fat, 0.4], detail, "body"),
        ellipsoid([fat * 0.3, 0, 0.37], [fat * 0.72, fat * 0.62, 0.28], detail, "belly"),
        ellipsoid([0.04, 0, top], [head * 0.92, head, head * 0.9], detail, "body"),
        ellipsoid(
            [0.04 + head * 0.75, 0, top - 0.07],
            [head * 0.45, head * 0.46, head * 0.36],
            14,
            "belly",
        ),
        ellipsoid([0.04 + head * 1.15, 0, top - 0.02], [0.05, 0.065, 0.045], 8, "eye"),
    ]
    spread = rng.uniform(0.25, 0.5)
    lift = rng.uniform(-0.4, 0.5)
    for side in (-1, 1):
        ear = [0.0, side * head * 0.78, top + head * 0.72]
        shells.append(ellipsoid(ear, [0.07, 0.12, 0.12], 12, "body"))
        shells.append(ellipsoid([0.045, ear[1], ear[2]], [0.05, 0.075, 0.075], 10, "belly"))
        eye = [0.04 + head * 0.78, side * head * 0.4, top + head * 0.28]
        shells.append(ellipsoid(eye, [0.045] * 3, 8, "eye"))
        leg = turn(ellipsoid([0.3, 0, 0], [0.34, 0.15, 0.15], 14, "body"), 2, side * spread)
        hip = np.array([0.08, side * fat * 0.45, 0.15])
        shells.append(Shell(leg.vertices + hip, leg.faces, "body"))
        sole = turn(ellipsoid([0.6, 0, 0.01], [0.05, 0.11, 0.12], 10, "belly"), 2, side * spread)
        shells.append(Shell(sole.vertices + hip, sole.faces, "belly"))
        arm = turn(ellipsoid([0, side * 0.22, 0], [0.11, 0.27, 0.11], 14, "body"), 0, side * lift)
        shoulder = np.array([0.06, side * fat * 0.7, 0.56])
        shells.append(Shell(arm.vertices + shoulder, arm.faces, "body"))
    return shells
