"""One mask per object, section 3.3: the method inside the boxes of a detector, and the masks put back.

In a scene there is no one foreground, and one clustering of the whole image spends its few clusters on the largest
things. Inside a tight box there is one object before its surroundings again: two clusters suffice, and the box's
corners say which of them is the background (sections 3.2 and 4.1). The style-mixed images are those of the whole image,
made once; a crop of X_s is the X_s of a crop.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from stylemixseg._util.checks import check_image, check_int, check_real
from stylemixseg.foreground import foreground_clusters
from stylemixseg.generators.base import Generator
from stylemixseg.mixing import query_image
from stylemixseg.objects.detection.base import Detection, Detector, shared_areas
from stylemixseg.objects.detection.filtering import DetectionFilter, NoDetectionWarning, advice
from stylemixseg.objects.detection.phrases import parse_phrases
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import BOX_CONFIG, MARGIN, SegmenterConfig
from stylemixseg.summary import StyleSummary

NESTED = 0.9  # share of a box inside one of twice its area or more, from which it lies in it
MIN_SIDE = 4  # pixels of a crop's shorter side; below, its corners are the object


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """One object; all sizes in the image's pixels.

    Attributes:
        number: its value in the instance map, from 1 on.
        detection: the box, clipped to the image, its phrase and score.
        rows, columns: the crop that was clustered: the box in whole pixels, with its margin.
        clusters: cluster map of the crop (h, w) int32, largest first.
        foreground: (k,) bool, which clusters the rule took.
        mask: (h, w) bool, the object in its crop, before overlaps are settled.
        cut: sides on which the crop ends at the image's border, of "top", "bottom", "left", "right": the object may go
            on there, and its corners may show it.
        note: what is odd about the mask (empty, full), or "".
    """

    number: int
    detection: Detection
    rows: slice
    columns: slice
    clusters: np.ndarray
    foreground: np.ndarray
    mask: np.ndarray
    cut: tuple[str, ...]
    note: str


@dataclass(frozen=True, eq=False)
class ObjectSegmentation:
    """The objects of one image of (H, W) pixels.

    Where masks overlap, a pixel goes to the box that lies inside more of the others (eyes inside hair, a cushion inside
    a sofa); among these to the more confident, and of equal ones to the smaller: small things lie on large ones.

    Attributes:
        image: the query X_0, (H, W, 3) uint8.
        phrases: what was asked for; `semantic` counts them from 1 on.
        semantic: (H, W) int32, 0 where no object is.
        instance: (H, W) int32, 0 where no object is, else an object's number.
        objects: one an object, the most confident first.
        skipped: boxes that gave no mask, each with the reason.
        seconds: wall time of each step.
    """

    image: np.ndarray
    phrases: tuple[str, ...]
    semantic: np.ndarray
    instance: np.ndarray
    objects: tuple[ObjectMask, ...]
    skipped: tuple[tuple[Detection, str], ...]
    seconds: dict[str, float]

    def visible(self, number: int) -> np.ndarray:
        """Mask (H, W) bool of one object after overlaps are settled."""
        return self.instance == check_int("number", number, 1, len(self.objects))


class ObjectSegmenter:
    """Segment the objects of a generator's images that a prompt names.

    Args:
        generator: anything with the generator protocol.
        detector: what finds the boxes.
        config: settings of the method; None for `BOX_CONFIG`, the paper's k and rule for boxes.
        keep: which boxes are kept; None for the defaults of `DetectionFilter`.
        margin: added to a box on each side, as a share of its width and height, in 0..1.

    Raises:
        TypeError, ValueError: a setting that does not fit; a judge of pixels, which knows whole images only.

    Examples:
        A room of the toy world, whose boxes are known. In other images a `ZeroShotDetector` finds them.

        >>> from stylemixseg import load_generator, seeded_z
        >>> from stylemixseg.objects.detection.known import KnownBoxes
        >>> generator = load_generator("toy-room")
        >>> ws = generator.mapping(seeded_z(3, generator.z_dim))
        >>> segmenter = ObjectSegmenter(generator, KnownBoxes.from_toy(generator.truth(ws)[0]))
        >>> found = segmenter(ws, "sofa, lamp")
        >>> found.phrases, found.instance.shape
        (('sofa', 'lamp'), (128, 128))
        >>> sorted({item.detection.label for item in found.objects})
        ['lamp', 'sofa']
    """

    def __init__(
        self,
        generator: Generator,
        detector: Detector,
        config: SegmenterConfig | None = None,
        *,
        keep: DetectionFilter | None = None,
        margin: float = MARGIN,
    ):
        self.config = config or BOX_CONFIG
        if self.config.judge is not None:
            raise ValueError("config must have no judge: it judges pixels of whole images, not of crops")
        self.segmenter = StyleMixSegmenter(generator, self.config)  # checks the settings, draws the styles
        self.detector, self.keep = detector, keep or DetectionFilter()
        self.margin = check_real("margin", margin, 0, 1)

    def __call__(
        self, ws: Tensor, prompt: str | Sequence[str], *, image: np.ndarray | None = None, progress: bool = False
    ) -> ObjectSegmentation:
        """Segment the objects of one image.

        Args:
            ws: w0 (1, num_ws, w_dim).
            prompt: a caption such as "sofa, coffee table, lamp" (see `parse_phrases`), or phrases.
            image: what the detector looks at in place of X_0, (R, R, 3) uint8 with R the generator's resolution: the
                photo, for an inverted one.
            progress: show a progress bar.

        Raises:
            ValueError: latents that do not fit, a prompt that names no object, an image of another size.

        Warns:
            NoDetectionWarning: of phrases without a box, with advice.
        """
        phrases = parse_phrases(prompt)
        self.segmenter.check_query(ws)
        started = time.perf_counter()
        query = query_image(self.segmenter.generator, ws)
        image = query if image is None else check_image("image", image)
        if image.shape != query.shape:
            raise ValueError(f"image must have the generator's size {query.shape}, got {image.shape}")
        found = self.detector(image, phrases)
        kept = self.keep(found, query.shape[:2])
        detected = time.perf_counter()
        if hint := advice(phrases, found, kept, self.keep.threshold):
            warnings.warn(hint, NoDetectionWarning, stacklevel=2)
        summary = self.segmenter.summary(ws, progress) if kept else None
        mixed = time.perf_counter()
        result = segment_boxes(summary, kept, phrases, query, self.config, self.margin)
        seconds = {"detection": detected - started, "summary": mixed - detected, **result.seconds}
        return replace(result, seconds=seconds)


def segment_boxes(
    summary: StyleSummary | None,
    detections: Sequence[Detection],
    phrases: Sequence[str],
    image: np.ndarray,
    config: SegmenterConfig = BOX_CONFIG,
    margin: float = MARGIN,
) -> ObjectSegmentation:
    """Cluster inside each box, choose the foreground there, and put the masks back into the image.

    Boxes are worked on one after the other, so memory grows with the masks only.

    Args:
        summary: X_s of the whole image, at its size or a whole fraction of it; None without boxes.
        detections: boxes inside the image, in its pixels (see `DetectionFilter`).
        phrases: the labels that may occur, in the order in which the semantic map counts them.
        image: the query X_0 (H, W, 3) uint8.
        config: k, rule, the settings of K-means, and the device on which it runs.
        margin: added to a box on each side, as a share of its width and height.
    """
    started = time.perf_counter()
    phrases = tuple(phrases)
    if unknown := [item.label for item in detections if item.label not in phrases]:
        raise ValueError(f"detections must have labels among the phrases {', '.join(phrases)}, got {unknown[0]!r}")
    height, width = image.shape[:2]
    summary = None if summary is None else summary.on(config.device)
    factor = height // summary.shape[0] if summary is not None else 1
    objects: list[ObjectMask] = []
    skipped: list[tuple[Detection, str]] = []
    for detection in sorted(detections, key=lambda item: (-item.score, item.area)):
        rows, columns = _crop(detection.box, (height // factor, width // factor), factor, margin)
        h, w = rows.stop - rows.start, columns.stop - columns.start
        if min(h, w) < MIN_SIDE or h * w < config.k:
            reason = f"its crop has {w} x {h} pixels, too few for {config.k} clusters and four corners"
            skipped.append((detection, reason))
            continue
        sides = {"top": rows.start == 0, "bottom": rows.stop == height // factor}
        sides |= {"left": columns.start == 0, "right": columns.stop == width // factor}
        cut = tuple(side for side, touches in sides.items() if touches)
        assert summary is not None  # there are boxes
        clusters = summary.crop(rows, columns).cluster(config.k, **config.kmeans_options).labels
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            foreground = foreground_clusters(clusters, config.k, config.rule)
        clusters = clusters.repeat(factor, 0).repeat(factor, 1)
        objects.append(
            ObjectMask(
                number=len(objects) + 1,
                detection=detection,
                rows=slice(rows.start * factor, rows.stop * factor),
                columns=slice(columns.start * factor, columns.stop * factor),
                clusters=clusters,
                foreground=foreground,
                mask=foreground[clusters],
                cut=cut,
                note=str(caught[0].message).split(":")[0] if caught else "",
            )
        )
    semantic, instance = np.zeros((2, height, width), np.int32)
    for item in reversed(_front_to_back(objects)):  # the frontmost is painted last
        semantic[item.rows, item.columns][item.mask] = phrases.index(item.detection.label) + 1
        instance[item.rows, item.columns][item.mask] = item.number
    seconds = {"masks": time.perf_counter() - started}
    return ObjectSegmentation(image, phrases, semantic, instance, tuple(objects), tuple(skipped), seconds)


def _front_to_back(objects: Sequence[ObjectMask]) -> list[ObjectMask]:
    """Which mask hides which; the objects come by confidence, then size."""
    boxes = np.array([item.detection.box for item in objects]).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)

    def depth(box: np.ndarray, area: float) -> int:
        """How many boxes a box lies in."""
        return int(((shared_areas(box, boxes) >= NESTED * area) & (areas >= 2 * area)).sum())

    return [item for _, item in sorted(zip(map(depth, boxes, areas), objects), key=lambda pair: -pair[0])]


def _crop(box: Sequence[float], size: tuple[int, int], factor: int, margin: float) -> tuple[slice, slice]:
    """Rows and columns of the pixels that a box touches in an image of `size` (h, w), `factor` times smaller."""
    x0, y0, x1, y1 = box
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    height, width = size
    return (
        slice(max(0, math.floor((y0 - dy) / factor)), min(height, math.ceil((y1 + dy) / factor))),
        slice(max(0, math.floor((x0 - dx) / factor)), min(width, math.ceil((x1 + dx) / factor))),
    )
