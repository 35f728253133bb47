"""The protocol of a source of variants: all that the method needs to know about where its images come from.

Section 3.4 of the paper says that the method "relies on the style mixing property on a set of images", and that
StyleGAN is "a straightforward source of such images". Two properties count. The variants are *aligned*: a pixel shows
the same thing in all of them. And they are *painted by things*: pixels of one thing change colour together, pixels of
two things do not. The first can be seen in the images; nothing but the masks shows the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

import numpy as np

Query = TypeVar("Query", contravariant=True)


class VariantSource(Protocol[Query]):
    """Anything that gives n aligned variants of a query image.

    What a query is, the source decides: a structure latent of a generator, a photo, a drawn scene.
    """

    @property
    def name(self) -> str:
        """Short name, for records."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 in hex over all that fixes the images of a query: weights, styles, settings."""
        ...

    @property
    def n(self) -> int:
        """Number of variants of each query, at least 1."""
        ...

    @property
    def shares_styles(self) -> bool:
        """Whether variant j is painted in the same style j for every query.

        Only then does an entry of the style summary tensor mean the same in every image, so that pixels of different
        images can be compared, or judged by what was learnt from others.
        """
        ...

    def query_image(self, query: Query) -> np.ndarray:
        """The query image X_0, (H, W, 3) uint8.

        Raises:
            TypeError, ValueError: a query that the source does not take.
        """
        ...

    def iter_variants(self, query: Query) -> Iterator[np.ndarray]:
        """Yield the n variants X_01..X_0n in batches (b, H, W, 3) uint8, always in the same order of styles.

        They have the size of the query image, and none of them is the query image itself.

        Raises:
            TypeError, ValueError: a query that the source does not take.
        """
        ...
