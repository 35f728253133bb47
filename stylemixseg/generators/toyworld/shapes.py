"""Toy world, second step: draw a Plan into a Canvas, a stack of maps that no style layer influences.

Each part of a thing is a signed distance function (negative inside). Its coverage of a pixel, 0..1, comes
from the distance at the pixel centre, which gives smooth edges; the pixel belongs to the part where the
distance is negative, which gives the exact masks. What a style layer may change (paint, light, texture
phase) is applied later, in `paint`, to the maps that stand here. So one structure under twenty
styles is drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from stylemixseg.generators.toyworld.layout import CLASS_NAMES, STUFF, Plan, Thing

# Per-pixel maps that stand before the paint weights, all blended at edges like colours.
MAPS = (
    "normal_x", "normal_y",  # which way the surface faces, for shading, -1..1
    "gloss",  # how strongly it reflects a highlight, 0..1
    "grain",  # fixed pattern (planks, fabric), -1..1
    "wave", "phase",  # amplitude and coordinate of a wavy pattern whose phase is a matter of style
    "shadow_left", "shadow_right",  # darkness where light comes from the right, from the left, 0..1
)  # fmt: skip
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Canvas:
    """The drawing of one structure.

    Attributes:
        maps: (len(MAPS) + slots, R, R) float32, MAPS and then one paint weight per slot. A slot is what is painted as
            one: slot 0 is the wall, 1 the floor, then there is one for each thing. Weights hold coverage times tone
            (how light the part is within its thing), so paints times weights is the picture before light and texture.
        local: (2, R, R) float32, place within the frontmost part, -1..1 along x and y, for highlights.
        glow: (R, R) float32, light of the lamps.
        semantic, instance: (R, R) int32, the exact masks.
    """

    def __init__(self, resolution: int, slots: int):
        self.resolution = resolution
        self.maps = np.zeros((len(MAPS) + slots, resolution, resolution), np.float32)
        self.local = np.zeros((2, resolution, resolution), np.float32)
        self.glow = np.zeros((resolution, resolution), np.float32)
        self.semantic = np.zeros((resolution, resolution), np.int32)
        self.instance = np.zeros((resolution, resolution), np.int32)
        self.centres = ((np.arange(resolution) + 0.5) / resolution).astype(np.float32)
        self.slot, self.label, self.number = 0, 0, 0

    def begin(self, slot: int, label: int, number: int) -> None:
        """All parts drawn from here on belong to this paint slot, class and instance (0 = stuff)."""
        self.slot, self.label, self.number = slot, label, number

    def window(self, box: tuple[float, float, float, float]) -> tuple[slice, slice] | None:
        """Rows and columns of the pixels that the box (x0, y0, x1, y1) can touch; None if there are none."""
        r = self.resolution
        x0, y0 = (max(0, math.floor(v * r) - 1) for v in box[:2])
        x1, y1 = (min(r, math.ceil(v * r) + 1) for v in box[2:])
        return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None

    def part(
        self,
        distance: Distance,
        box: tuple[float, float, float, float],
        tone: float | np.ndarray = 1.0,
        bulge: float = 0.5,
        gloss: float = 0.1,
        grain: Callable[[np.ndarray, np.ndarray], np.ndarray] | float = 0.0,
        wave: tuple[float, float, float] = (0.0, 0.0, 0.0),
        facing: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Lay one part over what is there.

        `bulge` rounds its shading, `facing` turns it; `wave` = (amplitude, cycles along x, cycles along y).
        """
        window = self.window(box)
        if window is None:
            return
        rows, columns = window
        x, y = self.centres[columns][None, :], self.centres[rows][:, None]
        d = distance(x, y)
        cover = np.clip(0.5 - d * self.resolution, 0.0, 1.0)
        inside = d < 0
        self.semantic[rows, columns][inside] = self.label
        self.instance[rows, columns][inside] = self.number

        local_x = (x - 0.5 * (box[0] + box[2])) / (0.5 * (box[2] - box[0])) + 0.0 * y
        local_y = (y - 0.5 * (box[1] + box[3])) / (0.5 * (box[3] - box[1])) + 0.0 * x
        self.local[:, rows, columns][:, inside] = local_x[inside], local_y[inside]
        values = (
            facing[0] + bulge * local_x, facing[1] + bulge * local_y, gloss,
            grain(x, y) if callable(grain) else grain, wave[0], wave[1] * x + wave[2] * y, 0.0, 0.0,
        )  # fmt: skip
        target = self.maps[: len(MAPS) + self.slot + 1, rows, columns]  # later slots hold nothing yet
        target *= 1.0 - cover
        target[-1] += cover * tone
        for i, value in enumerate(values):
            if np.ndim(value) or value:
                target[i] += cover * value

    def shadow(self, x: float, y: float, width: float, height: float) -> None:
        """Soft shadows on the floor around the foot (x, y) of a thing, one for light from each side."""
        for name, shift in (("shadow_left", -0.45), ("shadow_right", 0.45)):
            cx = x + shift * width
            window = self.window((cx - 1.6 * width, y - 2 * height, cx + 1.6 * width, y + 2 * height))
            if window is None:
                continue
            rows, columns = window
            u = (self.centres[columns][None, :] - cx) / (0.75 * width)
            v = (self.centres[rows][:, None] - y) / height
            soft = np.exp(-((u * u + v * v) ** 1.5))
            on_floor = self.semantic[rows, columns] == 1
            target = self.maps[MAPS.index(name), rows, columns]
            np.maximum(target, soft * on_floor, out=target)

    def light_up(self, x: float, y: float, radius: float) -> None:
        """Glow of a lamp: added to whatever it falls on, in proportion to a style knob."""
        u, v = self.centres[None, :] - x, self.centres[:, None] - y
        self.glow += np.exp(-(u * u + v * v) / (radius * radius))


# Signed distance functions, in fractions of the image.


def rounded_box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Distance:
    """Axis-aligned box with corners of the given radius."""
    cx, cy, hx, hy = 0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.5 * (x1 - x0), 0.5 * (y1 - y0)
    radius = min(radius, hx, hy)

    def distance(x, y):
        qx, qy = np.abs(x - cx) - (hx - radius), np.abs(y - cy) - (hy - radius)
        outside = np.hypot(np.maximum(qx, 0.0), np.maximum(qy, 0.0))
        return outside + np.minimum(np.maximum(qx, qy), 0.0) - radius

    return distance


def ellipse(cx: float, cy: float, rx: float, ry: float, angle: float = 0.0) -> Distance:
    """Ellipse turned by `angle` radians; the distance is a first-order estimate, exact in sign."""
    cos, sin = math.cos(angle), math.sin(angle)

    def distance(x, y):
        u, v = x - cx, y - cy
        u, v = (cos * u + sin * v) / rx, (cos * v - sin * u) / ry
        length = np.sqrt(u * u + v * v) + 1e-6
        return length * (length - 1.0) / (np.hypot(u / rx, v / ry) + 1e-6)

    return distance


def polygon(*corners: tuple[float, float]) -> Distance:
    """Convex polygon, corners clockwise on the screen (y downwards)."""
    edges = []
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1]):
        nx, ny = by - ay, ax - bx  # outward normal of a clockwise polygon when y points down
        length = math.hypot(nx, ny)
        edges.append((nx / length, ny / length, (nx * ax + ny * ay) / length))

    def distance(x, y):
        return np.maximum.reduce([nx * x + ny * y - offset for nx, ny, offset in edges])

    return distance


def _box_part(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, radius: float = 0.0, **look) -> None:
    canvas.part(rounded_box(x0, y0, x1, y1, radius), (x0, y0, x1, y1), **look)


def _ellipse_part(canvas: Canvas, cx: float, cy: float, rx: float, ry: float, **look) -> None:
    canvas.part(ellipse(cx, cy, rx, ry), (cx - rx, cy - ry, cx + rx, cy + ry), **look)


def _polygon_part(canvas: Canvas, *corners: tuple[float, float], **look) -> None:
    xs, ys = [c[0] for c in corners], [c[1] for c in corners]
    canvas.part(polygon(*corners), (min(xs), min(ys), max(xs), max(ys)), **look)


# The room and the things. Tones stay within 0.7 to 1.15: a thing is one paint, lighter here and darker there.


def draw_room(canvas: Canvas, plan: Plan) -> None:
    """Back wall, side walls, skirting board and a plank floor in perspective; or two walls."""
    h, left, right, (vx, vy) = plan.horizon, plan.corner_left, plan.corner_right, plan.vanishing
    canvas.begin(0, CLASS_NAMES.index("wall"), 0)
    _box_part(canvas, -0.5, -0.5, 1.5, 1.5, bulge=0.2, gloss=0.02, wave=(0.5, 16.0, 0.0))

    if plan.second_wall:
        canvas.begin(1, CLASS_NAMES.index("wall"), 0)
        _box_part(canvas, -0.5, -0.5, left, 1.5, tone=1.15, bulge=0.1, gloss=0.02, wave=(0.4, 12.0, 0.0))
        return

    def along(corner: float, y: float) -> float:  # x on the line from the vanishing point through a room corner
        return vx + (corner - vx) * (y - vy) / (h - vy)

    for corner, edge, facing in ((left, -1.0, 0.5), (right, 2.0, -0.5)):
        corners = ((edge, -0.5), (corner, -0.5), (corner, 2.0), (edge, 2.0))
        clockwise = corners if edge < corner else ((corner, -0.5), (edge, -0.5), (edge, 2.0), (corner, 2.0))
        _polygon_part(canvas, *clockwise, tone=0.9, bulge=0.0, gloss=0.02, facing=(facing, 0.0))
    _box_part(canvas, left, h - 0.022, right, h + 0.01, tone=1.07, bulge=0.0, gloss=0.0)

    def planks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        row = (x - vx) / np.maximum(y - vy, 1e-3)
        plank = np.floor(row * 3.2)
        across = row * 3.2 - plank
        edge = 0.018 / np.maximum(y - vy, 1e-3)
        seam = np.clip(1.0 - np.minimum(across, 1.0 - across) / edge, 0.0, 1.0)
        shade = np.modf(np.abs(np.sin(plank * 12.9898)) * 43758.5)[0] - 0.5
        return 0.7 * shade - 0.8 * seam

    canvas.begin(1, CLASS_NAMES.index("floor"), 0)
    corners = ((left, h), (right, h), (along(right, 1.2), 1.2), (along(left, 1.2), 1.2))
    depth = np.clip((canvas.centres[:, None] - h) / (1.0 - h), 0.0, 1.0)
    box = (min(left, along(left, 1.2)), h, max(right, along(right, 1.2)), 1.2)
    window = canvas.window(box)
    if window is None:  # the floor begins below the image
        return
    rows, _ = window
    canvas.part(polygon(*corners), box, tone=0.95 + 0.06 * depth[rows], bulge=0.1, gloss=0.12, grain=planks)


def draw_rug(canvas: Canvas, thing: Thing) -> None:
    """Border, band and striped field, flat on the floor.

    Knobs: shape 0 oval or trapezoid, 1 how much the far edge is shorter; detail 0 number of stripes, 1 band's width.
    """
    x0, y0, x1, y1 = thing.box
    cx, cy, hx, hy = 0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.5 * (x1 - x0), 0.5 * (y1 - y0)
    stripes = 3 + int(4 * thing.detail[0])
    looks = (  # (size, tone, pattern): border, band, field
        (1.0, 0.94, 0.0), (0.9 - 0.06 * thing.detail[1], 1.06, 0.0), (0.74, 0.98, 1.0),
    )  # fmt: skip
    for size, tone, wave in looks:
        look = {"tone": tone, "bulge": 0.05, "gloss": 0.0, "wave": (wave, stripes / (2 * hx), 0.0)}
        if thing.shape[0] > 0.5:
            _ellipse_part(canvas, cx, cy, size * hx, size * hy, **look)
        else:
            inset = (0.10 + 0.16 * thing.shape[1]) * hx  # the far edge looks shorter
            top, bottom = cy - size * hy, cy + size * hy
            far, near = size * (hx - inset), size * hx
            corners = ((cx - far, top), (cx + far, top), (cx + near, bottom), (cx - near, bottom))
            _polygon_part(canvas, *corners, **look)


def draw_sofa(canvas: Canvas, thing: Thing) -> None:
    """Feet, back, cushions, seat, arms and throw pillows; the second of a room (number 1) is an armchair.

    Knobs: shape 0 width of the arms, 1 roundness of the back; detail 0 height of the arms, 1 two or three cushions,
    2 size of the pillows.
    """
    x0, y0, x1, y1 = thing.box
    w, h = x1 - x0, y1 - y0
    arm = (0.10 + 0.05 * thing.shape[0]) * w * (1.5 if thing.number else 1.0)
    round_ = (0.04 + 0.12 * thing.shape[1]) * h
    arm_top = y0 + (0.28 + 0.14 * thing.detail[0]) * h
    seat = y0 + 0.52 * h
    canvas.shadow(0.5 * (x0 + x1), y1, w, 0.16 * h)
    for foot in (x0 + 0.06 * w, x1 - 0.06 * w - 0.05 * w):
        _box_part(canvas, foot, y1 - 0.12 * h, foot + 0.05 * w, y1, tone=0.7)
    _box_part(canvas, x0 + 0.5 * arm, y0, x1 - 0.5 * arm, y1 - 0.2 * h, round_, tone=0.93, bulge=0.3)
    cushions = 1 if thing.number else 2 + (thing.detail[1] > 0.5)
    step = (w - 2 * arm) / cushions
    for i in range(cushions):
        a, b = x0 + arm + i * step, x0 + arm + (i + 1) * step
        _box_part(canvas, a, y0 + 0.07 * h, b, seat + 0.1 * h, 0.07 * h, tone=1.0, bulge=0.5, wave=(0.5, 20, 0))
    _box_part(canvas, x0 + 0.5 * arm, seat + 0.15 * h, x1 - 0.5 * arm, y1 - 0.07 * h, 0.03 * h, tone=0.86, bulge=0.1)
    for i in range(cushions):
        a, b = x0 + arm + i * step, x0 + arm + (i + 1) * step
        _box_part(canvas, a, seat, b, seat + 0.2 * h, 0.07 * h, tone=1.06, bulge=0.3, wave=(0.5, 20, 0))
    for a in (x0, x1 - arm):
        _box_part(canvas, a, arm_top, a + arm, y1 - 0.06 * h, 0.5 * arm, tone=0.96, bulge=0.7)
    size = (0.15 + 0.05 * thing.detail[2]) * h
    for cx in (x0 + arm + 0.8 * size, x1 - arm - 0.8 * size)[: 1 if thing.number else 2]:
        look = {"tone": 1.12, "bulge": 0.4, "wave": (0.8, 0.0, 26.0)}
        _box_part(canvas, cx - size, seat - 1.5 * size, cx + size, seat + 0.35 * size, 0.35 * size, **look)


def draw_table(canvas: Canvas, thing: Thing) -> None:
    """Four legs under a wooden top, seen from a little above.

    Knobs: shape 0 round or rectangular top, 1 its depth; detail 0 thickness of the legs, 1 their distance, 2 the grain.
    """
    x0, y0, x1, y1 = thing.box
    w, h, cx = x1 - x0, y1 - y0, 0.5 * (x0 + x1)
    depth = (0.22 + 0.06 * thing.shape[1]) * h  # half the depth of the top, as seen
    thick = 0.13 * h
    leg = (0.045 + 0.03 * thing.detail[0]) * w
    spread = (0.36 + 0.06 * thing.detail[1]) * w
    canvas.shadow(cx, y1 - 0.06 * h, 0.9 * w, 0.2 * h)
    for x in (cx - 0.6 * spread, cx + 0.6 * spread):
        _box_part(canvas, x - 0.8 * leg, y0 + depth, x + 0.8 * leg, y1 - 0.16 * h, tone=0.72, bulge=0.4)
    for x in (cx - spread, cx + spread):
        _box_part(canvas, x - leg, y0 + depth, x + leg, y1, tone=0.82, bulge=0.6)
    grain = _wood(thing.detail[2])
    if thing.shape[0] > 0.5:
        _ellipse_part(canvas, cx, y0 + depth + thick, 0.5 * w, depth, tone=0.84, bulge=0.5)
        _ellipse_part(canvas, cx, y0 + depth, 0.5 * w, depth, tone=1.06, bulge=0.1, gloss=0.5, grain=grain)
    else:
        inset = (0.05 + 0.09 * thing.shape[1]) * w
        front = y0 + 2 * depth
        _box_part(canvas, x0, front - 0.01, x1, front + thick, 0.0, tone=0.86, bulge=0.2)
        corners = ((x0 + inset, y0), (x1 - inset, y0), (x1, front), (x0, front))
        _polygon_part(canvas, *corners, tone=1.06, bulge=0.1, gloss=0.5, grain=grain)


def _wood(knob: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Wood grain: wavy lines along x."""
    return lambda x, y: 0.5 * np.sin(260.0 * y + 3.0 * np.sin((14.0 + 10.0 * knob) * x))


def draw_lamp(canvas: Canvas, thing: Thing) -> None:
    """Foot, pole and a shade that glows.

    Knobs: shape 0 height of the shade, 1 width of its top; detail 0 thickness of the pole, 1 width of the foot.
    """
    x0, y0, x1, y1 = thing.box
    w, h, cx = x1 - x0, y1 - y0, 0.5 * (x0 + x1)
    shade = (0.36 + 0.12 * thing.shape[0]) * h
    top = (0.22 + 0.26 * thing.shape[1]) * w
    pole = (0.07 + 0.03 * thing.detail[0]) * w
    canvas.shadow(cx, y1 - 0.02 * h, 0.8 * w, 0.05 * h)
    _ellipse_part(canvas, cx, y1 - 0.045 * h, (0.3 + 0.08 * thing.detail[1]) * w, 0.045 * h, tone=0.8, gloss=0.4)
    _box_part(canvas, cx - pole, y0 + 0.5 * shade, cx + pole, y1 - 0.04 * h, tone=0.82, bulge=0.7, gloss=0.5)
    corners = ((cx - top, y0), (cx + top, y0), (cx + 0.5 * w, y0 + shade), (cx - 0.5 * w, y0 + shade))
    _polygon_part(canvas, *corners, tone=1.08, bulge=0.45, gloss=0.05, wave=(0.4, 40.0, 0.0))
    canvas.light_up(cx, y0 + 0.7 * shade, 0.55 * h)


def draw_plant(canvas: Canvas, thing: Thing) -> None:
    """A fan of leaves over a pot, or, where it is `hanging`, leaves in all directions out of a corner of the image.

    Knobs: shape 0 height of the pot, 1 width of its base; detail 0 number of leaves, 1 how far they spread, 2 their
    width.
    """
    x0, y0, x1, y1 = thing.box
    w, h, cx = x1 - x0, y1 - y0, 0.5 * (x0 + x1)
    if thing.hanging:  # leaves fan out from a corner of the image
        _ellipse_part(canvas, cx, 0.5 * (y0 + y1), 0.5 * w, 0.5 * h, tone=0.9, bulge=0.5)
        root, foot, reach, angles = cx, 0.5 * (y0 + y1), 0.62 * h, np.linspace(0.0, 2.0 * math.pi, 16)
    else:
        pot = (0.30 + 0.08 * thing.shape[0]) * h
        rim, base = 0.30 * w, (0.16 + 0.10 * thing.shape[1]) * w
        canvas.shadow(cx, y1 - 0.01 * h, 0.75 * w, 0.06 * h)
        root, foot, reach = cx, y1 - 0.95 * pot, h - 0.95 * pot
        angles = np.linspace(-1.0, 1.0, 7 + 2 * int(2 * thing.detail[0])) * (1.15 + 0.3 * thing.detail[1])
        _ellipse_part(canvas, cx, foot - 0.34 * reach, 0.30 * w, 0.40 * reach, tone=0.88, bulge=0.3)
    leaf = (0.13 + 0.04 * thing.detail[2]) * min(w, 0.9 * reach)
    for i, angle in enumerate(angles):
        dx, dy = math.sin(angle), -math.cos(angle)
        # A leaf must stay in the box: it ends at the box's side or at its reach, whichever comes first.
        length = (
            min(reach - leaf * abs(dx), (0.5 * w - leaf * abs(dy)) / max(abs(dx), 1e-6)) if not thing.hanging else reach
        )
        half, mx, my = 0.5 * length, root + 0.5 * length * dx, foot + 0.5 * length * dy
        ex = math.hypot(half * dx, leaf * dy)
        ey = math.hypot(half * dy, leaf * dx)
        turned = ellipse(mx, my, leaf, half, angle)
        tone = (0.94, 1.08)[i % 2]
        canvas.part(turned, (mx - ex, my - ey, mx + ex, my + ey), tone=tone, bulge=0.4, gloss=0.15)
    if not thing.hanging:
        corners = ((cx - rim, y1 - pot), (cx + rim, y1 - pot), (cx + base, y1), (cx - base, y1))
        _polygon_part(canvas, *corners, tone=0.84, bulge=0.6, gloss=0.4)
        rim_box = (cx - 1.1 * rim, y1 - pot, cx + 1.1 * rim, y1 - 0.8 * pot)
        _box_part(canvas, *rim_box, 0.02 * h, tone=0.92, bulge=0.5, gloss=0.4)


def draw_picture(canvas: Canvas, thing: Thing) -> None:
    """A frame around a landscape with a sun and a hill.

    Knobs: shape 0 height of the hill, 1 place of its peak; detail 0 width of the frame, 1 place of the sun.
    """
    x0, y0, x1, y1 = thing.box
    frame = (0.06 + 0.05 * thing.detail[0]) * (x1 - x0)
    _box_part(canvas, x0, y0, x1, y1, tone=0.8, bulge=0.15, gloss=0.2)
    a, b, c, d = x0 + frame, y0 + frame, x1 - frame, y1 - frame
    _box_part(canvas, a, b, c, d, tone=1.05, bulge=0.1, gloss=0.25)
    w, h = c - a, d - b
    sun, hill = 0.25 + 0.5 * thing.detail[1], 0.45 + 0.25 * thing.shape[0]
    _ellipse_part(canvas, a + sun * w, b + 0.28 * h, 0.13 * w, 0.13 * w, tone=1.15, gloss=0.2)
    peak = a + (0.3 + 0.4 * thing.shape[1]) * w
    _polygon_part(canvas, (peak, b + hill * h), (c, d), (a, d), tone=0.88, bulge=0.2, gloss=0.2)


def draw_window(canvas: Canvas, thing: Thing) -> None:
    """Panes in a frame, over a sill.

    Knobs: shape 0 two or three columns of panes, 1 one or two rows; detail 0 width of the bars.
    """
    x0, y0, x1, y1 = thing.box
    w, h = x1 - x0, y1 - y0
    bar = (0.045 + 0.025 * thing.detail[0]) * w
    sill = y1 - 0.07 * h
    _box_part(canvas, x0 + 0.03 * w, y0, x1 - 0.03 * w, sill, tone=0.84, bulge=0.1, gloss=0.1)
    columns, rows = 2 + int(1.999 * thing.shape[0]), 1 + int(1.999 * thing.shape[1])
    left, right, top, bottom = x0 + 0.03 * w + bar, x1 - 0.03 * w, y0 + bar, sill
    dx, dy = (right - left) / columns, (bottom - top) / rows
    for i in range(columns):
        for j in range(rows):
            a, b = left + i * dx, top + j * dy
            _box_part(canvas, a, b, a + dx - bar, b + dy - bar, tone=1.06, bulge=0.25, gloss=0.6)
    _box_part(canvas, x0, sill, x1, y1, tone=0.9, bulge=0.1)


DRAW = {
    "rug": draw_rug, "sofa": draw_sofa, "table": draw_table, "lamp": draw_lamp,
    "plant": draw_plant, "picture": draw_picture, "window": draw_window,
}  # fmt: skip


def draw(plan: Plan, resolution: int) -> Canvas:
    """Draw a Plan at `resolution` pixels a side; `plan.things[i]` has slot i + 2 and instance i + 1."""
    canvas = Canvas(resolution, slots=len(STUFF) + len(plan.things))
    draw_room(canvas, plan)
    for i, thing in enumerate(plan.things):
        canvas.begin(len(STUFF) + i, CLASS_NAMES.index(thing.kind), i + 1)
        DRAW[thing.kind](canvas, thing)
    return canvas
