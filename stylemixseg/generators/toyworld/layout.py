"""Toy world, first step: from structure knobs to the plan of a room (which things, where, how large).

A knob is a number in 0..1 that one layer of the latent sets (see `toyworld.ToyWorld`). Coarse decisions
come from the first layers, fine ones from the later ones, as in StyleGAN: layer 0 chooses the room and what
is in it, 1 the order of things, 2 the gaps between them, 3 their sizes, 4 their shapes, 5 small details.

Coordinates are fractions of the image: x to the right, y downwards, (0, 0) the top left corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STUFF = ("wall", "floor")
THINGS = ("rug", "sofa", "table", "lamp", "plant", "picture", "window")
CLASS_NAMES = STUFF + THINGS  # the values of a semantic map are indices into this tuple
SCENES = ("room", "single", "portrait")
SUBJECTS = {"single": ("sofa", "table", "lamp", "plant"), "portrait": ("sofa", "plant")}
STRUCTURE_LAYERS = 6  # layers 0..5 are structure, so c = 6 is the right cutoff

MAX_COUNT = {"rug": 2, "sofa": 2, "table": 2, "lamp": 2, "plant": 2, "picture": 3, "window": 2}
# A room has three rows of things. Things of different rows never overlap, nor do things of one row, unless
# the `occlusion` failure mode is on: an unoccluded world is the base line that the failure mode is compared
# with.
ROWS = {"wall": ("picture", "window"), "back": ("sofa", "lamp", "plant"), "front": ("table", "rug")}
SIZE = {  # (width, height) of the largest thing of each kind in a room
    "rug": (0.50, 0.20), "sofa": (0.50, 0.28), "table": (0.38, 0.21), "lamp": (0.17, 0.38),
    "plant": (0.20, 0.33), "picture": (0.23, 0.23), "window": (0.30, 0.25),
}  # fmt: skip
SUBJECT_SIZE = {"sofa": (0.72, 0.46), "table": (0.70, 0.44), "lamp": (0.40, 0.76), "plant": (0.52, 0.74)}
ARMCHAIR_WIDTH = 0.58  # of a sofa's: the second sofa of a room is an armchair
MIN_GAP = 0.028


@dataclass(frozen=True)
class Thing:
    """One instance: its kind, its number among its kind, its box (x0, y0, x1, y1) and what shapes it.

    `shape` and `detail` hold four knobs each (layers 4 and 5).
    """

    kind: str
    number: int
    box: tuple[float, float, float, float]
    shape: np.ndarray
    detail: np.ndarray
    hanging: bool = False  # a plant that hangs into a corner of the image instead of standing in a pot


@dataclass(frozen=True)
class Plan:
    """A room: the line where wall meets floor, its corners, vanishing point, and things from back to front.

    With `second_wall` no floor is seen; the wall left of `corner_left` has the second paint instead.
    """

    horizon: float
    corner_left: float
    corner_right: float
    vanishing: tuple[float, float]
    things: tuple[Thing, ...]
    second_wall: bool


def _between(knob: float, low: float, high: float) -> float:
    return low + (high - low) * float(knob)


def _four(knobs: np.ndarray, kind: str, number: int) -> np.ndarray:
    """The four knobs of a kind; its instances see them in another order, so that they differ."""
    i = 4 * THINGS.index(kind)
    return np.roll(knobs[i : i + 4], number)


def _thing(kind: str, number: int, box: tuple[float, float, float, float], knobs: np.ndarray) -> Thing:
    """Trim the box (layer 4: up to 20 % off a side's length, its foot stays) and attach the shape knobs."""
    shape, detail = _four(knobs[4], kind, number), _four(knobs[5], kind, number)
    x0, y0, x1, y1 = box
    trim_x, trim_y = 0.10 * shape[2] * (x1 - x0), 0.20 * shape[3] * (y1 - y0)
    return Thing(kind, number, (x0 + trim_x, y0 + trim_y, x1 - trim_x, y1), shape, detail)


def _pack(widths: list[float], gaps: np.ndarray, low: float, high: float) -> tuple[list[tuple[float, float]], float]:
    """Place intervals side by side in low..high, MIN_GAP or more apart; returns them and their scale."""
    room = (high - low) - MIN_GAP * (len(widths) + 1)
    scale = min(1.0, room / sum(widths))
    spare = room - scale * sum(widths)
    share = (0.15 + gaps[: len(widths) + 1]) / (0.15 + gaps[: len(widths) + 1]).sum()
    spans, x = [], low
    for width, part in zip(widths, share):
        x += MIN_GAP + spare * part
        spans.append((x, x + scale * width))
        x += scale * width
    return spans, scale


def _row(name: str, knobs: np.ndarray, foot: float, ceiling: float) -> list[Thing]:
    """Fill one row of a room: its instances (layer 0), their order (1), the gaps (2), their sizes (3)."""
    row = tuple(ROWS).index(name)
    members = [
        (kind, number)
        for kind in ROWS[name]
        for number in range(1 + int(knobs[0, 8 + THINGS.index(kind)] * MAX_COUNT[kind] * 0.999))
    ]
    order = np.argsort(knobs[1, 8 * row : 8 * row + len(members)])
    members = [members[i] for i in order]
    sizes = []
    for kind, number in members:
        grow_x, grow_y = _four(knobs[3], kind, number)[:2]
        width, height = SIZE[kind]
        narrow = ARMCHAIR_WIDTH if kind == "sofa" and number else 1.0
        sizes.append((width * narrow * _between(grow_x, 0.78, 1.0), height * _between(grow_y, 0.78, 1.0)))
    gaps = knobs[2, 8 * row : 8 * row + 8]
    spans, scale = _pack([w for w, _ in sizes], gaps, 0.01, 0.99)
    things = []
    for (kind, number), (x0, x1), (_, height) in zip(members, spans, sizes):
        jitter = _four(knobs[2], kind, number)[0]
        # Things of a crowded row shrink together, a little less in height than in width.
        height = min(height * (0.35 + 0.65 * scale), foot - ceiling)
        slack = (foot - ceiling - height) if name != "back" else 0.015
        bottom = foot - _between(jitter, 0.0, slack)
        things.append(_thing(kind, number, (x0, bottom - height, x1, bottom), knobs))
    return things


def _overlap(things: list[Thing]) -> list[Thing]:
    """The `occlusion` failure mode: tables, lamps and plants go before sofas, the rest draws together."""
    sofas = [t for t in things if t.kind == "sofa"]
    moved = []
    for thing in things:
        x0, y0, x1, y1 = thing.box
        sofa = sofas[thing.number % len(sofas)]
        target = 0.5 * (sofa.box[0] + sofa.box[2])
        if thing.kind in ("table", "rug"):
            shift_x, shift_y = target - 0.5 * (x0 + x1), (sofa.box[3] + 0.08 - y1) * (thing.kind == "table")
        elif thing.kind in ("lamp", "plant"):
            side = sofa.box[0] if 0.5 * (x0 + x1) < target else sofa.box[2]
            shift_x, shift_y = side - 0.5 * (x0 + x1), sofa.box[3] + 0.03 - y1
        else:
            shift_x, shift_y = 0.35 * (0.5 - 0.5 * (x0 + x1)), 0.0
        box = (x0 + shift_x, y0 + shift_y, x1 + shift_x, y1 + shift_y)
        moved.append(Thing(thing.kind, thing.number, box, thing.shape, thing.detail))
    return moved


def _occluder(subject: Thing, knobs: np.ndarray) -> Thing:
    """The `occlusion` failure mode of a scene with one subject: a lamp or a plant stands in front of it."""
    x0, _, x1, y1 = subject.box
    kind = "plant" if subject.kind == "lamp" else "lamp"
    x = _between(knobs[2, 30], 0.75 * x0 + 0.25 * x1, 0.25 * x0 + 0.75 * x1)
    foot = min(y1 + 0.05, 0.99)
    return _thing(kind, 0, (x - 0.15, foot - 0.55, x + 0.15, foot), knobs)


def _corner_plants(knobs: np.ndarray, taken: int) -> list[Thing]:
    """The `corner_object` failure mode: two plants hang into the top corners of the image."""
    size = _between(knobs[3, 31], 0.34, 0.42)
    boxes = ((-0.5 * size, -0.55 * size, size, size), (1.0 - size, -0.55 * size, 1.0 + 0.5 * size, size))
    knobs4, knobs5 = knobs[4, 28:32], knobs[5, 28:32]
    return [Thing("plant", taken + i, box, np.roll(knobs4, i), np.roll(knobs5, i), True) for i, box in enumerate(boxes)]


def _subject(scene: str, kind: str | None, knobs: np.ndarray, horizon: float) -> Thing:
    """The one thing of a `single` scene (whole, centred) or a `portrait` (close up, cut by the border)."""
    kinds = SUBJECTS[scene]
    kind = kind or kinds[int(knobs[0, 16] * len(kinds) * 0.999)]
    width, height = SUBJECT_SIZE[kind]
    width *= _between(knobs[3, 28], 0.82, 1.0)
    height *= _between(knobs[3, 29], 0.82, 1.0)
    x = _between(knobs[2, 28], 0.46, 0.54)
    bottom = _between(knobs[2, 29], max(horizon + 0.06, 0.82), 0.92)
    if scene == "portrait":
        zoom = 1.65 if kind == "sofa" else 1.3
        width, height, bottom = zoom * width, zoom * height, _between(knobs[2, 29], 1.08, 1.18)
    number = 1 if scene == "portrait" and kind == "sofa" else 0  # a portrait sofa is an armchair
    return _thing(kind, number, (x - width / 2, bottom - height, x + width / 2, bottom), knobs)


def plan_room(knobs: np.ndarray, scene: str, subject: str | None, occlusion: bool, corner_object: bool) -> Plan:
    """Turn the structure knobs (STRUCTURE_LAYERS, 32) in 0..1 into a Plan; no style layer is seen here."""
    horizon = _between(knobs[0, 0], 0.57, 0.64)
    if scene == "room":
        back_foot = horizon + _between(knobs[2, 31], 0.035, 0.05)
        things = (
            _row("wall", knobs, foot=horizon - 0.31, ceiling=0.03)
            + _row("back", knobs, foot=back_foot, ceiling=horizon - 0.29)
            + _row("front", knobs, foot=0.975, ceiling=back_foot + 0.04)
        )
        if occlusion:
            things = _overlap(things)
    else:
        horizon += 0.04
        things = [_subject(scene, "plant" if corner_object else subject, knobs, horizon)]
    # Painter's order: flat things, things on the wall, then by where they stand; hanging plants come last.
    depth = {"rug": -2.0, "picture": -1.0, "window": -1.0}
    things.sort(key=lambda thing: depth.get(thing.kind, thing.box[3]))
    if occlusion and scene != "room":
        things.append(_occluder(things[0], knobs))
    if corner_object:
        things += _corner_plants(knobs, taken=sum(t.kind == "plant" for t in things))
    corner_left, corner_right = _between(knobs[0, 1], -0.10, 0.13), _between(knobs[0, 2], 0.87, 1.10)
    if scene == "portrait":  # close up, the room's corner runs down behind the subject
        corner_left, corner_right = _between(knobs[0, 1], 0.28, 0.72), 2.0
    vanishing = (_between(knobs[0, 3], 0.4, 0.6), horizon - 0.24)
    return Plan(horizon, corner_left, corner_right, vanishing, tuple(things), scene == "portrait")
