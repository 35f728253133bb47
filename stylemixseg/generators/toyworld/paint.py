"""Toy world, last step: paint and light a Canvas. All here is appearance, set by the style layers (6..11).

Paint is spread over layers 6 to 9 with falling weight, so a higher cutoff leaves less of it to the style:
at c = 6 all of it varies, at c = 8 about half, from c = 10 on only light, texture and exposure are left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stylemixseg.generators.toyworld.layout import CLASS_NAMES, STRUCTURE_LAYERS, Plan
from stylemixseg.generators.toyworld.shapes import MAPS, Canvas

PAINT_WEIGHTS = np.array([0.62, 0.55, 0.42, 0.37])  # of layers 6, 7, 8, 9; squares sum to 1
# Per class: mean and spread of the paint in Oklab (lightness L, green-red a, blue-yellow b). Walls and
# floors are pale and vary little in hue, things vary more, as in a furnished room; a portrait's second wall
# is bolder.
PALETTE = {
    "wall": ((0.86, 0.005, 0.015), (0.065, 0.028, 0.032)),
    "floor": ((0.71, 0.020, 0.045), (0.085, 0.022, 0.028)),
    "rug": ((0.60, 0.030, 0.010), (0.140, 0.080, 0.075)),
    "sofa": ((0.58, 0.000, 0.000), (0.130, 0.080, 0.080)),
    "table": ((0.47, 0.030, 0.040), (0.150, 0.070, 0.070)),
    "lamp": ((0.66, 0.010, 0.060), (0.150, 0.085, 0.080)),
    "plant": ((0.52, -0.080, 0.070), (0.130, 0.080, 0.070)),
    "picture": ((0.62, 0.020, 0.020), (0.150, 0.080, 0.080)),
    "second wall": ((0.64, 0.000, 0.015), (0.130, 0.070, 0.070)),
    "window": ((0.80, -0.020, -0.040), (0.110, 0.060, 0.065)),
}
FLOOR_FOLLOWS_WALL = 0.6  # correlation of their paints: a room is decorated as a whole
OKLAB_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


@dataclass(frozen=True)
class Style:
    """What one latent's style layers say: paints, light and texture of one image."""

    paints: np.ndarray  # (slots, 3) sRGB 0..1
    light: tuple[float, float]  # direction from which light comes, in the image plane
    contrast: float
    texture: float  # strength of the wave, and of the grain
    cycles: float
    phase: float
    shine: float
    exposure: float
    tint: np.ndarray  # (3,) colour of the light
    lamp: float  # brightness of the lamps' glow


def oklab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Oklab (..., 3) -> gamma-coded sRGB (..., 3), clipped to 0..1.

    Matrices of Ottosson, "A perceptual color space for image processing", 2020.
    """
    rgb = np.clip((lab @ OKLAB_TO_LMS.T) ** 3 @ LMS_TO_RGB.T, 0.0, 1.0)
    return np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)


def choose_style(
    normals: np.ndarray, knobs: np.ndarray, plan: Plan, shared_paint: tuple[str, str] | None, highlights: bool
) -> Style:
    """Read one image's style from its layers: `normals` (12, 32) about N(0, 1), `knobs` their quantiles."""
    dye = PAINT_WEIGHTS @ normals[STRUCTURE_LAYERS : STRUCTURE_LAYERS + len(PAINT_WEIGHTS)]  # (32,)
    dye = np.clip(dye, -2.2, 2.2)
    dyes = {kind: dye[3 * i : 3 * i + 3] for i, kind in enumerate((*CLASS_NAMES, "second wall"))}
    rho = FLOOR_FOLLOWS_WALL
    dyes["floor"] = rho * dyes["wall"] + np.sqrt(1.0 - rho**2) * dyes["floor"]
    lab = {kind: np.array(PALETTE[kind][0]) + np.array(PALETTE[kind][1]) * dyes[kind] for kind in dyes}
    if shared_paint is not None:
        lab[shared_paint[0]] = lab[shared_paint[1]]
    # Instances of a kind share its paint but for a little lightness, which varies with layer 8.
    rows = [lab["wall"], lab["second wall" if plan.second_wall else "floor"]]
    for thing in plan.things:
        lighter = 0.02 * float(np.tanh(normals[8, 30 + thing.number % 2])) if shared_paint is None else 0.0
        rows.append(lab[thing.kind] + np.array([lighter, 0.0, 0.0]))
    paints = oklab_to_srgb(np.clip(np.stack(rows), [0.12, -0.3, -0.3], [0.97, 0.3, 0.3]))
    warm = 0.05 * (2.0 * knobs[11, 1] - 1.0)
    return Style(
        paints=paints.astype(np.float32),
        light=(2.0 * knobs[10, 2] - 1.0, -(0.4 + 0.6 * knobs[10, 3])),
        contrast=0.16 + 0.14 * knobs[9, 31],
        texture=0.015 + 0.05 * knobs[10, 4],
        cycles=0.8 + 0.45 * knobs[10, 5],
        phase=knobs[10, 0],
        shine=(0.06 + 0.20 * knobs[10, 1]) if not highlights else (0.35 + 0.65 * knobs[10, 1]),
        exposure=0.90 + 0.18 * knobs[11, 0],
        tint=np.array([1.0 + warm, 1.0, 1.0 - warm], np.float32),
        lamp=0.16 * knobs[11, 2],
    )


def paint(canvas: Canvas, style: Style, highlights: bool) -> np.ndarray:
    """Image (3, R, R) float32 in 0..1 = paint x (light x texture x shadow) + highlight + glow."""
    maps, weights = dict(zip(MAPS, canvas.maps)), canvas.maps[len(MAPS) :]
    image = np.tensordot(style.paints.T, weights, axes=1)  # (3, slots) x (slots, R, R)
    (local_x, local_y), (light_x, light_y) = canvas.local, style.light
    shade = 1.0 + style.contrast * (light_x * maps["normal_x"] + light_y * maps["normal_y"])
    wave = maps["wave"] * np.sin(2.0 * np.pi * (style.cycles * maps["phase"] + style.phase))
    shade *= 1.0 + style.texture * (wave + 2.0 * maps["grain"])
    side = 0.5 + 0.5 * light_x  # 1: light from the right, shadow to the left
    shade *= 1.0 - 0.34 * (side * maps["shadow_left"] + (1.0 - side) * maps["shadow_right"])
    image *= (style.exposure * style.tint)[:, None, None] * shade
    if highlights:
        # Everything reflects one strong light: a spot on each surface, whiter or fainter with the light in
        # all of them at once, and a band across whatever stands in its way.
        away_x, away_y = local_x - 0.25 * light_x, local_y + 0.3
        x, y = canvas.centres[None, :], canvas.centres[:, None]
        band = np.exp(-((x + 0.5 * y - 0.75 - 0.55 * light_x) ** 2) / 0.02)
        spot = 1.8 * np.exp(-(away_x**2 + away_y**2) / 0.22) + 0.6 * band
        gloss: float | np.ndarray = 1.0
    else:
        away_x, away_y = local_x - 0.7 * light_x, local_y - 0.8 * light_y - 0.2
        spot = np.exp(-(away_x**2 + away_y**2) / 0.14)
        gloss = maps["gloss"]
    image += (1.0 - image) * np.clip(style.shine * gloss * spot, 0.0, 1.0)
    glow = style.lamp * canvas.glow
    image += np.array([1.0, 0.9, 0.65], np.float32)[:, None, None] * glow * (1.0 - image)
    return np.clip(image, 0.0, 1.0).astype(np.float32)
