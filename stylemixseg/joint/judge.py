"""A judge of pixels learnt over many images of one generator, without labels. Ours, not the paper's.

One set of style latents serves all queries, so an entry of the style summary tensor means the same in every image. The
paper's rules look at one image at a time and cannot use that. The judge here adds up what repeats over many images:

* a small network (`network.py`) gives each pixel its log-odds of foreground, from its centred row of X_s and, for
  aligned images, its place;
* a location prior (`place.py`) is added, for aligned images only;
* half of the result is averaged inside small clusters of the image itself, because pixels that vary together belong
  together (section 3.2), whatever the network thinks of a single one;
* the outline is moved outwards by a fixed share of the image's side, because references that people made draw outlines
  a little outside of the hair, and then to the nearest edges of the query image by a guided filter (`sharpening.py`).
  The share and the filter are all that was chosen here with a reference, on development images.

`selftraining.py` fits it; `data_scripts/fit_judge.py` fitted those for faces that come with the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter, grey_dilation

from stylemixseg._util.checks import check_int, check_real
from stylemixseg.generators.base import Generator
from stylemixseg.joint.base import NoJudgeError
from stylemixseg.joint.files import read_fitted, write_fitted
from stylemixseg.joint.network import PixelNetwork
from stylemixseg.joint.place import resized
from stylemixseg.settings import SegmenterConfig
from stylemixseg.summary import StyleSummary, as_summary

WEIGHTS_FILE = Path(__file__).parents[1] / "models" / "weights" / "faces_judge.safetensors"
JUDGED_AT = 256  # px: a judge sees no more in a larger X_s, and the outline is drawn at 512 px from its log-odds
FITS = ("segments", "outline", "edges", "outline_alone")  # what a file keeps of a judge besides its arrays
_LIMIT = 6.0  # of a network's log-odds, so that one pixel cannot outweigh its place and its neighbours
_SMOOTHING = 1 / 128  # of the side: of the log-odds that are not averaged in clusters
_OUTLINE_SIDE = 512  # px, at which the outline is moved
_RESTARTS = 3  # of K-means: a poor minimum among 16 clusters changes little


@dataclass(frozen=True, eq=False)
class StyleJudge:
    """Log-odds of foreground for every pixel.

    Attributes:
        network: its score for one pixel.
        prior: (64, 64) float32 log-odds by place, or None where images are not aligned.
        segments: clusters of the image inside which scores are averaged; 0: none.
        outline: how far the outline moves outwards, as a share of the side, 0..0.05.
        edges: radius, as a share of the side, within which the outline then moves to the query image's edges, 0..0.25;
            0: it does not. `segmenter.probability_of` does it, since a judge does not see the query image.
        outline_alone: how far the outline moves outwards where there are no edges to go to: see `without_edges`.
    """

    network: PixelNetwork
    prior: np.ndarray | None = None
    segments: int = 0
    outline: float = 0.0
    edges: float = 0.0
    outline_alone: float = 0.0
    name: ClassVar[str] = "joint"

    def __post_init__(self) -> None:
        check_int("segments", self.segments, 0)
        check_real("outline", self.outline, 0, 0.05)
        check_real("outline_alone", self.outline_alone, 0, 0.05)
        check_real("edges", self.edges, 0, 0.25)

    def without_edges(self) -> StyleJudge:
        """The same judge for where the query image is not at hand, or where its edges are not those that count."""
        return replace(self, outline=self.outline_alone, edges=0.0) if self.edges else self

    @property
    def entries(self) -> int:
        """Of a row of X_s that it judges, 3n."""
        return self.network.entries

    def score(self, summary: np.ndarray | StyleSummary) -> np.ndarray:
        """Log-odds (h', w') float32 of foreground; above 0 is foreground.

        The size is that of X_s, or with an outline at least 512 px along the shorter side.

        Raises:
            ValueError: X_s of another number of styles.
        """
        summary = as_summary(summary)
        found = self.before_outline(summary, clusters_of(summary, self.segments) if self.segments else None)
        return moved_outline(found, self.outline) if self.outline else found

    def before_outline(self, summary: StyleSummary, clusters: np.ndarray | None) -> np.ndarray:
        """Log-odds (h, w) float32 without the outline's move, with the image's clusters (h, w) int, if any.

        Raises:
            ValueError: X_s of another number of styles.
        """
        return self.combined(self.of_pixels(summary), clusters)

    def combined(self, found: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
        """What `of_pixels` gave (h, w), with the prior, and half of it averaged inside clusters (h, w) int, if any."""
        if self.prior is not None:
            found = found + resized(self.prior, (found.shape[0], found.shape[1]))
        if clusters is None:
            return found
        smooth = gaussian_filter(found, _SMOOTHING * min(found.shape))
        mixed: np.ndarray = (averaged_inside(found, clusters) + smooth) / 2
        return mixed

    def of_pixels(self, summary: StyleSummary) -> np.ndarray:
        """The network's log-odds (h, w) float32 alone, within -6..6.

        Raises:
            ValueError: X_s of another number of styles.
        """
        return self.network.scores(summary)[..., 0].clip(-_LIMIT, _LIMIT)


def clusters_of(summary: StyleSummary, segments: int) -> np.ndarray:
    """Small clusters of one image, (h, w) int, inside which scores are averaged."""
    return summary.cluster(segments, restarts=_RESTARTS).labels


def averaged_inside(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Every pixel gets the mean (h, w) float32 of the values (h, w) in its cluster, clusters (h, w) int from 0 up."""
    flat = clusters.ravel()
    mean = np.bincount(flat, values.ravel()) / np.maximum(np.bincount(flat), 1)
    return mean.astype(np.float32)[clusters]


def moved_outline(score: np.ndarray, outline: float) -> np.ndarray:
    """Log-odds whose outline lies further out by a share of the side: each pixel gets the largest value near it.

    Args:
        score: (h, w) float32; a smaller one than 512 px is enlarged first, so that the move can be fine.
        outline: share of the shorter side.
    """
    factor = max(1, _OUTLINE_SIDE // min(score.shape))
    large = resized(score, (factor * score.shape[0], factor * score.shape[1]))
    reach = outline * min(large.shape)
    offsets = np.arange(-int(reach), int(reach) + 1)
    disc = offsets[:, None] ** 2 + offsets[None] ** 2 <= reach**2
    dilated: np.ndarray = grey_dilation(large, footprint=disc)
    return dilated


def save_judges(
    path: Path,
    judges: Mapping[int, StyleJudge],
    generator: Generator,
    config: SegmenterConfig,
    record: Mapping[str, Any],
) -> None:
    """Write judges of one generator, one per number of styles n, and their provenance beside them as .json.

    Args:
        path: ends in .safetensors.
        judges: by n.
        generator: that they are for.
        config: the settings that they are for.
        record: how they were made, plain values.
    """
    tensors: dict[str, np.ndarray] = {}
    for n, judge in judges.items():
        network = judge.network
        named = {"of_row": network.of_row, "of_place": network.of_place, "bias": network.bias}
        for number, (weights, bias) in enumerate(network.later):
            named |= {f"later{number}": weights, f"later{number}_bias": bias}
        if judge.prior is not None:
            named["prior"] = judge.prior
        tensors |= {f"n{n}.{name}": np.asarray(value, np.float32) for name, value in named.items()}
    fits = {str(n): {name: getattr(judge, name) for name in FITS} for n, judge in judges.items()}
    write_fitted(path, tensors, generator, config, list(judges), {**record, "fits": fits})


def load_judge(generator: Generator, config: SegmenterConfig, path: str | Path = WEIGHTS_FILE) -> StyleJudge:
    """A judge that was fitted before, for exactly this generator, number of styles and settings.

    Args:
        generator: whose pixels it judges.
        config: settings of the method.
        path: the .safetensors file, its .json beside it.

    Raises:
        FileNotFoundError: no such file.
        NoJudgeError: fitted for something else; the message says for what.
        ValueError: the file is damaged or was changed.
    """
    about, found = read_fitted(path, generator, config)
    try:
        later = tuple((found[f"later{number}"], found[f"later{number}_bias"]) for number in range(2))
        network = PixelNetwork(found["of_row"], found["of_place"], found["bias"], later)
        judge = StyleJudge(network, found.get("prior"), **about["fits"][str(config.n)])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has no whole judge for n = {config.n}: {error!r}") from error
    if judge.entries != 3 * config.n:
        raise ValueError(
            f"the judge for n = {config.n} in {path} must read {3 * config.n} entries, got {judge.entries}"
        )
    return judge


def fitted_judge(generator: Generator, config: SegmenterConfig) -> StyleJudge | None:
    """The judge that comes with the package for a generator and the method's settings; None where there is none.

    Raises:
        ValueError: its file is damaged.
    """
    try:
        return load_judge(generator, config)
    except NoJudgeError:
        return None
