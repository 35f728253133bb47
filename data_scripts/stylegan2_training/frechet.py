"""A named stand-in for FID: the same formula on the features of this package's own backbone.

FID (Heusel et al. 2017, https://arxiv.org/abs/1706.08500) is the Frechet distance between two normal distributions
fitted to Inception features. Inception's weights are not part of this package. Here the features are those of the face
parser's encoder (MobileNetV2, taught on photographs of things and faces), so values compare with nothing but each other
and the floor beside them. Do not call them FID.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg.inversion.losses import FeatureDistance

NAME = "frechet_face_parser_features"


@torch.no_grad()
def pooled_features(distance: FeatureDistance, batches: Iterable[Tensor]) -> np.ndarray:
    """Features (M, D) of images: the feature vectors of each layer of `FeatureDistance`, averaged over the pixels.

    Args:
        batches: images (N, 3, S, S) in about [-1, 1] each, M in all.
    """
    rows = [torch.cat([maps.mean((2, 3)) for maps in distance.features(images.clamp(-1, 1))], 1) for images in batches]
    return torch.cat(rows).double().cpu().numpy()


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of features (M, D) and (M', D), in double precision.

    The trace of the root is taken as the sum of the roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2). That matrix is
    symmetric, so nothing complex comes up where a covariance is singular.

    Raises:
        ValueError: fewer than two rows, or rows of different lengths.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features must be (M, D) and (M', D) with M, M' >= 2, got {a.shape} and {b.shape}")
    cov_a, cov_b = np.cov(a, rowvar=False, ddof=1), np.cov(b, rowvar=False, ddof=1)
    values, vectors = np.linalg.eigh(np.atleast_2d(cov_a))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ np.atleast_2d(cov_b) @ root)
    offset = a.mean(0) - b.mean(0)
    return float(offset @ offset + np.trace(np.atleast_2d(cov_a + cov_b)) - 2 * np.sqrt(eigenvalues.clip(0)).sum())


class Metric:
    """Distance between generated and real images, and between two sets of real ones: the least that can be hoped for.

    All three sets have the same size, for the distance falls as sets grow.

    Args:
        real, other: two disjoint sets of real images, as batches.
        count: images in each.
        distance: the features; None: the package's own.
    """

    def __init__(
        self,
        real: Iterable[Tensor],
        other: Iterable[Tensor],
        count: int,
        device: torch.device,
        distance: FeatureDistance | None = None,
    ):
        self.distance = distance or FeatureDistance()
        self.distance.network.to(device)
        self.count = count
        self.real = pooled_features(self.distance, tqdm(real, desc="real features", leave=False))
        other_real = pooled_features(self.distance, tqdm(other, desc="real features", leave=False))
        self.floor = frechet_distance(self.real, other_real)

    def __call__(self, generated: Iterable[Tensor]) -> dict:
        """`generated`: batches, `count` images in all -> {"name", "value", "floor", "images"}."""
        features = pooled_features(self.distance, tqdm(generated, desc="generated features", leave=False))
        if len(features) != self.count:
            raise ValueError(f"generated must hold {self.count} images, got {len(features)}")
        value = frechet_distance(self.real, features)
        return {"name": NAME, "value": round(value, 6), "floor": round(self.floor, 6), "images": self.count}
