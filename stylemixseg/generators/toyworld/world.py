"""The toy world: a procedural generator of living rooms with the Generator protocol and exact masks.

It is a toy. It exists so that every step of the method can be run in milliseconds, checked against exact
truth, and made to fail on purpose. It was not learnt from photographs; results on it are never set beside
the paper's.

Twelve layers, as a StyleGAN2 of 128 px has (2 log2(128) - 2), so the cutoff c counts as there. Layers 0..5
place and shape things (`layout`, `shapes`), layers 6..11 paint and light them
(`paint`): c = 6 is the right cutoff. Below it structure moves between style-mixed images; far
above it too little varies.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from stylemixseg._util.checks import check_choice, check_int, check_real
from stylemixseg._util.tensors import fit_latents
from stylemixseg.generators.base import check_z
from stylemixseg.generators.toyworld.layout import (
    CLASS_NAMES,
    SCENES,
    STRUCTURE_LAYERS,
    STUFF,
    SUBJECTS,
    THINGS,
    Plan,
    plan_room,
)
from stylemixseg.generators.toyworld.paint import choose_style, paint
from stylemixseg.generators.toyworld.shapes import Canvas, draw

__all__ = ["CLASS_NAMES", "FAILURE_MODES", "STUFF", "THINGS", "ToyBox", "ToyFailures", "ToyTruth", "ToyWorld"]

DIM = 32
SOURCES = ("world.py", "layout.py", "shapes.py", "paint.py")


@dataclass(frozen=True)
class ToyFailures:
    """Ways to break the method on purpose, all off by default. Sections are the paper's.

    Attributes:
        shared_paint: two class names that are always painted alike, such as ("sofa", "wall"). Breaks the
            observation of section 3.2 that pixels of different segments vary differently: no clustering can
            tell the two apart (section 5, clustering failure b).
        highlights: strong highlights on every surface, which change with the light and all at once. Breaks
            the colour correlation within a segment (section 4.6, "Color space": highlights vary with the
            illumination of the scene, not with its objects), more so in RGB than in LAB.
        corner_object: plants hang into the two top corners; in the scenes `single` and `portrait` the
            subject is a plant as well, so it shares their clusters. Breaks the corner background assumption
            (sections 3.2 and 3.4: foreground failure).
        structure_leak: sizes, places and shapes follow the style layers a little. Breaks the style mixing
            property, that structure stays while style changes (section 5, clustering failure a).
        occlusion: things stand in front of one another. Breaks the assumption of section 3.3 that a box
            holds one object before its background.
    """

    shared_paint: tuple[str, str] | None = None
    highlights: bool = False
    corner_object: bool = False
    structure_leak: bool = False
    occlusion: bool = False

    def __post_init__(self) -> None:
        if self.shared_paint is not None:
            pair = tuple(self.shared_paint)
            if len(pair) != 2 or pair[0] == pair[1]:
                raise ValueError(f"shared_paint must be two different class names, got {self.shared_paint!r}")
            for name in pair:
                check_choice("shared_paint", name, CLASS_NAMES)
            object.__setattr__(self, "shared_paint", pair)
        for name in ("highlights", "corner_object", "structure_leak", "occlusion"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")


FAILURE_MODES: dict[str, ToyFailures] = {
    "shared_paint": ToyFailures(shared_paint=("sofa", "wall")),
    "highlights": ToyFailures(highlights=True),
    "corner_object": ToyFailures(corner_object=True),
    "structure_leak": ToyFailures(structure_leak=True),
    "occlusion": ToyFailures(occlusion=True),
}  # one switch at a time, for experiments that go through them


@dataclass(frozen=True)
class ToyBox:
    """Tight box of the visible pixels of one instance: x0 <= x < x1, y0 <= y < y1, in pixels."""

    x0: int
    y0: int
    x1: int
    y1: int
    label: str
    instance: int


@dataclass(frozen=True)
class ToyTruth:
    """Exact truth of one image.

    Attributes:
        semantic: (H, W) int32, indices into CLASS_NAMES. A pixel belongs to the frontmost part that holds
            its centre.
        instance: (H, W) int32, 0 for wall and floor, 1.. for things.
        boxes: one for each instance of which a pixel is visible, by instance number.
        foreground: (H, W) bool, every thing.
    """

    semantic: np.ndarray
    instance: np.ndarray
    boxes: tuple[ToyBox, ...]
    foreground: np.ndarray


class ToyWorld:
    """Procedural generator behind the Generator protocol.

    Args:
        scene: "room", several kinds of thing, one to three instances of each; "single", one whole thing in
            the middle; "portrait", one thing close up that reaches the bottom border and may fill the
            bottom corners.
        resolution: side R of the images in pixels, 16..2048. Pictures of one latent agree across resolutions.
        subject: the thing of a `single` ("sofa", "table", "lamp", "plant") or `portrait` ("sofa", "plant")
            scene; None lets the latent choose.
        failures: a ToyFailures; None for none.

    Raises:
        TypeError, ValueError: an argument that does not fit, named.
    """

    z_dim = DIM
    w_dim = DIM
    num_ws = 12
    class_names = CLASS_NAMES
    structure_layers = STRUCTURE_LAYERS

    def __init__(
        self,
        scene: str = "room",
        *,
        resolution: int = 128,
        subject: str | None = None,
        failures: ToyFailures | None = None,
    ):
        self.scene = check_choice("scene", scene, SCENES)
        self.resolution = check_int("resolution", resolution, 16, 2048)
        if subject is not None:
            if scene == "room":
                raise ValueError(f"subject must be None in scene 'room', which has many things, got {subject!r}")
            check_choice("subject", subject, SUBJECTS[scene])
        self.subject = subject
        if failures is not None and not isinstance(failures, ToyFailures):
            raise TypeError(f"failures must be a ToyFailures or None, got {type(failures).__name__}")
        self.failures = failures or ToyFailures()
        self.name = f"toy-{scene}"

        random = np.random.RandomState(20230618)
        self._layers = [
            (
                torch.from_numpy(random.randn(a, b) / np.sqrt(a)).float(),
                torch.from_numpy(0.3 * random.randn(b)).float(),
            )
            for a, b in ((DIM, 2 * DIM), (2 * DIM, DIM))
        ]
        # Each layer reads its latent through its own rotation, so no knob is an axis of w.
        self._rotations = np.stack([np.linalg.qr(random.randn(DIM, DIM))[0] for _ in range(self.num_ws)])
        sample = self._map(torch.from_numpy(random.randn(8192, DIM)).float())
        self.w_avg = sample.mean(0)
        centred = (sample - self.w_avg).double().numpy()
        self._whiten = np.linalg.inv(np.linalg.cholesky(centred.T @ centred / len(centred))).T
        self.digest = self._digest()

    def _digest(self) -> str:
        """SHA-256 over the source text of the toy world and this instance's parameters."""
        digest = hashlib.sha256()
        for source in SOURCES:
            digest.update(Path(__file__).with_name(source).read_bytes())
        digest.update(repr((self.scene, self.resolution, self.subject, asdict(self.failures))).encode())
        return digest.hexdigest()

    def _map(self, z: torch.Tensor) -> torch.Tensor:
        x = z.float() * torch.rsqrt(z.float().square().mean(1, keepdim=True) + 1e-8)  # (N, 32), as in StyleGAN2
        for weight, bias in self._layers:
            x = torch.nn.functional.leaky_relu(x @ weight.to(z.device) + bias.to(z.device), 0.4)
        return x

    def mapping(self, z: torch.Tensor, truncation: float = 1.0) -> torch.Tensor:
        """G_m: z (N, 32) -> ws (N, 12, 32), the same latent in every layer; psi = `truncation` in 0..1."""
        check_z(z, self.z_dim)
        truncation = check_real("truncation", truncation, 0.0, 1.0)
        w_avg = self.w_avg.to(z.device)
        w = w_avg + truncation * (self._map(z) - w_avg)
        return w[:, None].repeat(1, self.num_ws, 1)

    def _normals(self, ws: torch.Tensor) -> np.ndarray:
        """Latents (N, 12, 32) -> about N(0, 1) numbers (N, 12, 32), uncorrelated over the mapped latents."""
        ws = fit_latents("ws", ws, self)
        centred = ws.detach().double().numpy() - self.w_avg.double().numpy()
        normals = np.einsum("nld,lde->nle", centred @ self._whiten, self._rotations)
        if self.failures.structure_leak:
            normals[:, 2:STRUCTURE_LAYERS] += 0.6 * normals[:, STRUCTURE_LAYERS + 1 : STRUCTURE_LAYERS + 2]
        return np.round(normals, 9)  # so that equal latents give equal rooms whatever the batch they come in

    @staticmethod
    def _knobs(normals: np.ndarray) -> np.ndarray:
        """Quantiles 0..1 of normal numbers."""
        return torch.special.ndtr(torch.from_numpy(normals)).numpy()

    def _drawn(self, knobs: np.ndarray) -> tuple[Plan, Canvas]:
        """Plan and draw the structure of one image from its knobs (12, 32)."""
        plan = plan_room(
            knobs[:STRUCTURE_LAYERS],
            self.scene,
            self.subject,
            self.failures.occlusion,
            self.failures.corner_object,
        )
        return plan, draw(plan, self.resolution)

    def synthesis(self, ws: torch.Tensor) -> torch.Tensor:
        """G_s: ws (N, 12, 32) -> images (N, 3, R, R) float32 in [-1, 1]. Not differentiable.

        Rows that share their structure layers, as the style mixes of one query do, share one drawing.
        """
        normals = self._normals(ws)
        knobs = self._knobs(normals)
        images = np.empty((len(normals), 3, self.resolution, self.resolution), np.float32)
        structure = None
        for i in range(len(normals)):
            if structure is None or not np.array_equal(structure, knobs[i, :STRUCTURE_LAYERS]):
                structure = knobs[i, :STRUCTURE_LAYERS]
                plan, canvas = self._drawn(knobs[i])
            style = choose_style(normals[i], knobs[i], plan, self.failures.shared_paint, self.failures.highlights)
            images[i] = paint(canvas, style, self.failures.highlights)
        return torch.from_numpy(images).mul_(2.0).sub_(1.0).to(ws.device)

    def truth(self, ws: torch.Tensor) -> list[ToyTruth]:
        """Exact maps and boxes of `synthesis(ws)`, one ToyTruth an image."""
        truths = []
        for knobs in self._knobs(self._normals(ws)):
            plan, canvas = self._drawn(knobs)
            boxes = []
            for number, thing in enumerate(plan.things, start=1):
                rows, columns = np.nonzero(canvas.instance == number)
                if len(rows):
                    x0, y0, x1, y1 = map(int, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
                    boxes.append(ToyBox(x0, y0, x1, y1, thing.kind, number))
            truths.append(ToyTruth(canvas.semantic, canvas.instance, tuple(boxes), canvas.instance > 0))
        return truths
