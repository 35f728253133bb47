"""The style summary tensor X_s, section 3.2: the colours of one pixel under n styles, side by side.

X_s (H, W, 3n) concatenates the style-mixed images at each pixel. Pixels of one semantic segment change colour
together when the style changes, so their 3n numbers agree; K-means finds the groups.

`summary_from_images` gives the tensor itself, as an array. At 1024 px and n = 50 that is 0.63 GB, so the method keeps a
`StyleSummary` in its place: on the CPU a `StyleStack`, which holds the images as bytes and computes the colours of
those pixels that are asked for (memory traffic is what a CPU waits for), on a GPU `SummaryColumns`, X_s itself, which
does not leave the device until it has become clusters. All are clustered and projected by the same two methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_choice
from stylemixseg._util.tensors import check_device
from stylemixseg.clustering import PIXELS_AT_ONCE, ArrayPixels, HostPixels, KMeansResult, device_distances, kmeans
from stylemixseg.colors import COLOR_SPACES, planar_colors
from stylemixseg.generators.base import Generator
from stylemixseg.mixing import byte_levels, check_resolution, iter_mixed_images, iter_style_mixes
from stylemixseg.settings import MixPlan

_AT_HAND = 1 << 26  # bytes of colours that are kept for whoever looks at them several times: n = 8 at 256 px has 6 MB
_MOVED_AT_ONCE = 1 << 16  # pixels moved to a device: of n = 50 images 40 MB


class StyleSummary(ABC):
    """X_s, or what stands for it, where it is kept.

    Attributes:
        shape: (H, W, 3n), that of X_s.
    """

    shape: tuple[int, int, int]

    @abstractmethod
    def rows(self, which: slice | np.ndarray) -> np.ndarray | Tensor:
        """Rows (P, 3n) float32 of X_s as (H W, 3n), by a slice of row numbers or an array of them (P)."""

    @abstractmethod
    def squared_distances(self, centroids: np.ndarray) -> np.ndarray:
        """Squared Euclidean distances (H W, k) float32 of all pixels to centroids (k, 3n)."""

    @abstractmethod
    def _product(self, weights: np.ndarray) -> np.ndarray:
        """Every pixel's row times weights (3n, ...) float32: (H W, ...) float32."""

    @abstractmethod
    def crop(self, rows: slice, columns: slice) -> StyleSummary:
        """X_s of a rectangle of the pixels, copied: what style mixing the cropped query would give."""

    @abstractmethod
    def on(self, device: str | torch.device) -> StyleSummary:
        """The same where it is to be clustered: on the CPU as it is, on another device as columns.

        Raises:
            ValueError: a device that is not there.
        """

    def cluster(self, k: int, **options: int) -> KMeansResult:
        """K-means over the pixels, equation 2; options as `clustering.kmeans`."""
        return kmeans(self, k, **options)

    def at_hand(self) -> StyleSummary:
        """The same, its colours computed once and kept where that takes little memory: for whoever looks often."""
        return self

    def project(self, weights: np.ndarray) -> np.ndarray:
        """Every pixel's row times weights: a linear function of X_s, such as a discriminant's log-odds.

        Args:
            weights: (3n,) or (3n, m) float32.

        Returns:
            (H, W) or (H, W, m) float32.

        Raises:
            ValueError: X_s of another number of entries.
        """
        height, width, entries = self.shape
        if len(weights) != entries:
            raise ValueError(f"summary must have {len(weights)} entries a pixel (3n), got {entries}")
        return self._product(np.asarray(weights, np.float32)).reshape(height, width, *np.shape(weights)[1:])


class _HostSummary(HostPixels, StyleSummary):
    """X_s in the memory of the CPU."""

    def on(self, device: str | torch.device) -> StyleSummary:
        return self if check_device("device", device) == "cpu" else SummaryColumns.of(self, device)

    def _product(self, weights: np.ndarray) -> np.ndarray:
        starts = range(0, self.shape[0] * self.shape[1], PIXELS_AT_ONCE)
        return np.concatenate([self.rows(slice(start, start + PIXELS_AT_ONCE)) @ weights for start in starts])


class SummaryArray(ArrayPixels, _HostSummary):
    """X_s as an array that is at hand, (H, W, 3n) float32.

    Raises:
        ValueError: not such an array, or one that holds NaN or infinity.
    """

    def crop(self, rows: slice, columns: slice) -> SummaryArray:
        """X_s of a rectangle of the pixels, copied."""
        return SummaryArray(self.points.reshape(self.shape)[rows, columns].copy())


class StyleStack(_HostSummary):
    """X_s of n images, its colours computed where they are looked at.

    Args:
        images: (n, 3, H, W) uint8, of any strides; not copied where rows of pixels can be joined without.
        color_space: "lab" or "rgb".

    Raises:
        ValueError: images of another shape or type, an unknown colour space.
    """

    def __init__(self, images: np.ndarray, color_space: str = "lab"):
        check_choice("color_space", color_space, COLOR_SPACES)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or images.size == 0:
            raise ValueError(f"images must be (n, 3, H, W) uint8, got {images.shape} {images.dtype}")
        n, _, height, width = images.shape
        self.images = images.reshape(n, 3, height * width)
        self.color_space = color_space
        self.shape = (height, width, 3 * n)

    @property
    def _planes(self) -> np.ndarray:
        """The images (n, 3, H, W) uint8."""
        return self.images.reshape(*self.images.shape[:2], *self.shape[:2])

    def rows(self, which: slice | np.ndarray) -> np.ndarray:
        """Rows (P, 3n) float32 of X_s as (H W, 3n), by a slice of row numbers or an array of them (P)."""
        colors = planar_colors(self.images[:, :, which], self.color_space)  # (n, 3, P)
        return colors.reshape(self.shape[2], -1).T

    def crop(self, rows: slice, columns: slice) -> StyleStack:
        """X_s of a rectangle of the pixels, copied: what style mixing the cropped query would give."""
        return StyleStack(self._planes[:, :, rows, columns], self.color_space)

    def in_color_space(self, color_space: str) -> StyleStack:
        """The same images in another colour space; nothing is computed or copied."""
        return StyleStack(self._planes, color_space)

    def at_hand(self) -> StyleSummary:
        """X_s as an array where it is small, else these images."""
        height, width, entries = self.shape
        return SummaryArray(self.tensor()) if 4 * height * width * entries <= _AT_HAND else self

    def first(self, n: int) -> StyleStack:
        """X_s of the first n images alone; nothing is copied."""
        return StyleStack(self._planes[:n], self.color_space)

    def chosen(self, which: np.ndarray) -> StyleStack:
        """X_s of some of the images, by an array of their numbers, copied."""
        return StyleStack(self._planes[which], self.color_space)

    def tensor(self) -> np.ndarray:
        """X_s itself, (H, W, 3n) float32."""
        summary = np.empty(self.shape, np.float32)
        rows = summary.reshape(-1, self.shape[2])
        for start in range(0, len(rows), PIXELS_AT_ONCE):
            block = slice(start, start + PIXELS_AT_ONCE)
            rows[block] = self.rows(block)
        return summary


class SummaryColumns(StyleSummary):
    """X_s on a device, one row per dimension. Everything here runs on a CPU too, which is how it is tested.

    Args:
        columns: (3n, H W) float32.
        size: (H, W) of the image.
    """

    def __init__(self, columns: Tensor, size: tuple[int, int]):
        self.columns, self.size = columns, size
        self.shape = (*size, len(columns))

    @classmethod
    def of(cls, summary: StyleSummary, device: str | torch.device) -> SummaryColumns:
        """X_s that is in the memory of the CPU, copied to a device."""
        device = check_device("device", device)
        height, width, entries = summary.shape
        columns = torch.empty(entries, height * width, device=device)
        for start in range(0, height * width, _MOVED_AT_ONCE):
            block = slice(start, start + _MOVED_AT_ONCE)
            columns[:, block] = torch.from_numpy(np.ascontiguousarray(summary.rows(block))).to(device).T
        return cls(columns, (height, width))

    def rows(self, which: slice | np.ndarray) -> Tensor:
        """Rows (P, 3n) float32 on the device, by a slice of row numbers or an array of them (P)."""
        if isinstance(which, slice):
            return self.columns[:, which].T
        return self.columns[:, torch.from_numpy(which).long().to(self.columns.device)].T

    def squared_distances(self, centroids: np.ndarray) -> np.ndarray:
        """Squared Euclidean distances (H W, k) float32 of all pixels to centroids (k, 3n)."""
        placed = self.columns.new_tensor(centroids)
        distances = device_distances(placed, self.columns, self.columns.square().sum(0))  # (k, H W)
        return np.ascontiguousarray(distances.T.cpu().numpy())

    def _product(self, weights: np.ndarray) -> np.ndarray:
        placed = self.columns.new_tensor(weights)
        return (self.columns.T @ placed).cpu().numpy()

    def crop(self, rows: slice, columns: slice) -> SummaryColumns:
        """X_s of a rectangle of the pixels, copied."""
        cut = self.columns.reshape(-1, *self.size)[:, rows, columns]
        return SummaryColumns(cut.flatten(1), (cut.shape[1], cut.shape[2]))

    def on(self, device: str | torch.device) -> SummaryColumns:
        """The same on a device."""
        return SummaryColumns(self.columns.to(check_device("device", device)), self.size)


def as_summary(summary: np.ndarray | StyleSummary) -> StyleSummary:
    """X_s as an array (H, W, 3n) float32, or what stands for it already.

    Raises:
        ValueError: neither, or an array with NaN.
    """
    return summary if isinstance(summary, StyleSummary) else SummaryArray(summary)


def style_summary(
    generator: Generator,
    w0: Tensor,
    styles: Tensor,
    plan: MixPlan,
    *,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> StyleSummary:
    """X_s of one query, where it is to be clustered; the images come a batch at a time.

    Args:
        generator: anything with the generator protocol.
        w0: structure latent (1, num_ws, w_dim).
        styles: style latents (n, num_ws, w_dim).
        plan: cutoff, side, colour space, batch size, and whether X_0 itself is appended.
        device: "cpu" for a `StyleStack` (at 1024 px and n = 50 0.16 GB), else `SummaryColumns` (0.63 GB).
        progress: show a progress bar.

    Raises:
        TypeError, ValueError: latents or a plan that do not fit the generator, a device that is not there.
    """
    device = check_device("device", device)
    if device != "cpu":
        return summary_columns(generator, w0, styles, plan, device=device, progress=progress)
    side = check_resolution(plan.resolution, generator.resolution)
    images = np.empty((len(styles) + plan.include_query, 3, side, side), np.uint8)
    batches = iter_style_mixes(generator, w0, styles, plan, progress=progress)
    for place, image in zip(images, (image for batch in batches for image in batch), strict=True):
        place[...] = np.moveaxis(image, 2, 0)
    return StyleStack(images, plan.color_space)


def summary_columns(
    generator: Generator,
    w0: Tensor,
    styles: Tensor,
    plan: MixPlan,
    *,
    device: str | torch.device,
    progress: bool = False,
) -> SummaryColumns:
    """X_s of one query on a device, without a way back to the CPU in between; arguments as `style_summary`."""
    from kornia.color import rgb_to_lab  # takes a second to import, and only a GPU needs it

    side = check_resolution(plan.resolution, generator.resolution)
    count = len(styles) + plan.include_query
    columns, done = torch.empty(count, 3, side * side, device=device), 0
    with tqdm(total=count, desc="style mixes", unit="image", disable=not progress) as bar:
        for images in iter_mixed_images(generator, w0, styles, plan):
            colors = byte_levels(images.to(device))  # as an image file would hold them
            colors = rgb_to_lab(colors / 255) if plan.color_space == "lab" else colors * (100 / 255)
            columns[done : done + len(images)] = colors.flatten(2)
            done += len(images)
            bar.update(len(images))
    return SummaryColumns(columns.flatten(0, 1), (side, side))


def summary_from_images(images: np.ndarray | Iterable[np.ndarray], color_space: str = "lab") -> np.ndarray:
    """X_s (H, W, 3n) float32 from images (n, H, W, 3) uint8 that are at hand.

    Raises:
        ValueError: no images, of unequal sizes or another type, or an unknown colour space.

    Example:
        >>> black_and_white = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)])
        >>> X_s = summary_from_images(black_and_white)
        >>> X_s.shape, [round(float(value)) for value in X_s[0, 0]]
        ((4, 4, 6), [0, 0, 0, 100, 0, 0])
    """
    if not isinstance(images, np.ndarray):
        images = [np.asarray(image) for image in images]
        sizes = {image.shape for image in images}
        if len(sizes) != 1:
            raise ValueError(f"images must be (n, H, W, 3) with n >= 1 and equal sizes, got sizes {sorted(sizes)}")
        images = np.stack(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or images.size == 0:
        raise ValueError(f"images must be (n, H, W, 3) uint8 with n >= 1, got {images.shape} {images.dtype}")
    return StyleStack(np.moveaxis(images, 3, 1), color_space).tensor()
