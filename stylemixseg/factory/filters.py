"""Which samples are good enough to train on: quantities with stated limits, and why a sample is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stylemixseg._util.checks import check_real


@dataclass(frozen=True)
class Filters:
    """Limits; None sets none. They change no sample, so other ones can be tried without making anything again.

    Attributes:
        min_agreement: least mIoU of the masks of saliency and corner minority, 0..1. Where the paper's two rules
            disagree, the clusters often do not fit the object.
        mask_share: (least, most) share of the image that is foreground, 0..1.
        min_confidence: least mean confidence of a pixel's side, 0.5..1.

    Raises:
        TypeError: a limit that is no number.
        ValueError: a limit out of range, or a least share above the most.

    Examples:
        >>> filters = Filters(min_agreement=0.8, mask_share=(0.1, 0.9))
        >>> filters.reason({"rule_agreement": 0.62, "mask_share": 0.5})
        'rule_agreement 0.620 is below 0.8'
        >>> filters.reason({"rule_agreement": 0.95, "mask_share": 0.5}) is None
        True
    """

    min_agreement: float | None = None
    mask_share: tuple[float, float] | None = None
    min_confidence: float | None = None

    def __post_init__(self) -> None:
        if self.min_agreement is not None:
            check_real("min_agreement", self.min_agreement, 0, 1)
        if self.min_confidence is not None:
            check_real("min_confidence", self.min_confidence, 0.5, 1)
        if self.mask_share is not None:
            least, most = self.mask_share
            check_real("mask_share (least)", least, 0, 1)
            check_real("mask_share (most)", most, 0, 1)
            if least > most:
                raise ValueError(f"mask_share must be least, most with least <= most, got {least}, {most}")

    def reason(self, record: Mapping[str, Any]) -> str | None:
        """Why a sample with this record is dropped, in words; None where it is kept."""
        for name, least in (("rule_agreement", self.min_agreement), ("confidence", self.min_confidence)):
            if least is not None and record[name] < least:
                return f"{name} {record[name]:.3f} is below {least}"
        if self.mask_share is not None and not self.mask_share[0] <= record["mask_share"] <= self.mask_share[1]:
            return f"mask_share {record['mask_share']:.3f} is outside {self.mask_share[0]}..{self.mask_share[1]}"
        return None

    def describe(self) -> dict[str, Any]:
        """The limits as plain values for a record."""
        return asdict(self)
