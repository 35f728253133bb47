"""The method's settings, with what the paper says of each; what it leaves open is ours.

They stand apart from what they set, so that `--help` and the profiles can read them without loading PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stylemixseg._util.checks import check_choice, check_int, check_real
from stylemixseg._util.keys import UNKEYED, cache_key, keyed_fields
from stylemixseg.colors import COLOR_SPACES
from stylemixseg.foreground import CORNERS, CornerMinority, ForegroundRule, Saliency

if TYPE_CHECKING:
    import torch

    from stylemixseg.joint.base import PixelJudge

# faiss trains on 256 points per cluster unless told otherwise, and says nothing: with k = 3 that is 768 of a million
# pixels. See the clustering notebook for how the default here was measured.
MAX_POINTS_PER_CLUSTER = 2048

ENGINES = ("auto", "torch", "openvino", "openvino-bf16")  # what runs a generator's network: see `load_generator`


@dataclass(frozen=True)
class MixPlan:
    """How the style-mixed images of a query are made, and how their colours become the style summary tensor.

    Attributes:
        cutoff: c in 0..num_ws; layers from c on take the style.
        resolution: side in pixels, a divisor of the generator's; None: the generator's own.
        color_space: "lab" or "rgb".
        include_query: append X_0 to the style-mixed images (the paper does not say whether it does; ours: no).
        batch_size: images synthesised at once. One is fastest on a CPU and takes the least memory; more suits a GPU.

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range.
    """

    cutoff: int
    resolution: int | None = None
    color_space: str = "lab"
    include_query: bool = False
    batch_size: int = field(default=1, metadata=UNKEYED)

    def __post_init__(self) -> None:
        check_int("cutoff", self.cutoff, 0)
        if self.resolution is not None:
            check_int("resolution", self.resolution, 1)
        check_choice("color_space", self.color_space, COLOR_SPACES)
        check_int("batch_size", self.batch_size, 1)


@dataclass(frozen=True)
class SegmenterConfig:
    """Every setting of the method.

    Attributes:
        n: number of style latents. Paper: 50.
        cutoff: c in 0..num_ws. Paper: 8 in Figure 2, 6 in the best cell of Table 4; not stated for Table 1. Ours: 6,
            better on development faces.
        k: clusters. Paper: 3 for faces in section 4.1, "we selected k=4" in 4.6; 8 for eyes and mouth; 2 in boxes.
            Ours: 4, better on development faces.
        color_space: "lab" or "rgb". Paper: LAB is better (Table 4).
        include_query: append X_0 to the summary tensor (not stated; ours: no).
        resolution: side in pixels at which pixels are clustered, a divisor of the generator's; None: native, as in
            the paper.
        style_seed, style_truncation: which styles are drawn, and psi for them (not stated; ours: 1.0).
        kmeans_seed, restarts, iterations, max_points_per_cluster: see `clustering.kmeans` (not stated).
        device: where colours and clusters are computed: "cpu", or "cuda" ("cuda:1", ...; a torch.device too) to keep
            the style mixes on the GPU until they are clusters. It is kept as text, and "cpu:0" as "cpu".
        rule: the foreground rule. Paper: saliency for faces, corner minority inside boxes.
        judge: of pixels in place of clusters, so that mask and confidence come from it and not from the rule (ours; see
            `joint.judge` and `joint.discriminant`). The clusters are made all the same.
        batch_size: images synthesised at once. One is fastest on a CPU and takes the least memory; more suits a GPU.
        memory_limit: bytes for the feature maps of one batch; in place of batch_size, the largest that fits is taken
            (StyleGAN2 only).

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range.
    """

    n: int = 50
    cutoff: int = 6
    k: int = 4
    color_space: str = "lab"
    include_query: bool = False
    resolution: int | None = None
    style_seed: int = 2023
    style_truncation: float = 1.0
    kmeans_seed: int = 0
    restarts: int = 10
    iterations: int = 25
    max_points_per_cluster: int = MAX_POINTS_PER_CLUSTER
    device: str | torch.device = "cpu"
    rule: ForegroundRule = field(default_factory=Saliency)
    judge: PixelJudge | None = None
    batch_size: int = field(default=1, metadata=UNKEYED)
    memory_limit: int | None = field(default=None, metadata=UNKEYED)

    def __post_init__(self) -> None:
        check_int("n", self.n, 1)
        check_int("k", self.k, 2)
        self.plan  # noqa: B018  its own checks: cutoff, colour space, resolution, batch size
        check_real("style_truncation", self.style_truncation, 0, 1)
        if self.device != "cpu":
            from stylemixseg._util.tensors import check_device  # PyTorch: only where there is something to ask it

            object.__setattr__(self, "device", check_device("device", self.device))  # the class is frozen
        if self.memory_limit is not None:
            check_int("memory_limit", self.memory_limit, 1)
        if not callable(self.rule):
            raise TypeError(f"rule must be callable, rule(labels, k) -> (k,) bool, got {type(self.rule).__name__}")
        if self.judge is not None:
            entries = 3 * (self.n + self.include_query)
            if (got := self.judge.entries) != entries:
                raise ValueError(
                    f"judge must be for {entries} entries of X_s, got one for {got}: it is for n = {got // 3}"
                )

    @property
    def plan(self) -> MixPlan:
        """How style-mixed images and their colours are made."""
        return MixPlan(self.cutoff, self.resolution, self.color_space, self.include_query, self.batch_size)

    @property
    def kmeans_options(self) -> dict[str, int]:
        """The settings of `clustering.kmeans`, by its names."""
        return {
            "seed": self.kmeans_seed,
            "restarts": self.restarts,
            "iterations": self.iterations,
            "max_points_per_cluster": self.max_points_per_cluster,
        }

    def describe(self) -> dict[str, object]:
        """All settings that change results, as plain values for a JSON file."""
        judge = self.judge
        described = {"rule": repr(self.rule), "judge": judge and f"{judge.name}, n = {judge.entries // 3}"}
        return keyed_fields(self) | described

    def cache_key(self) -> str:
        """16 hex digits over all settings that change results; batch size and memory limit do not.

        Raises:
            TypeError: a rule that is no dataclass, and so cannot be told from another one.
        """
        return cache_key(self)


# Section 4.1: k = 2 and corner minority inside boxes. All four corners, for a box holds a whole object.
BOX_CONFIG = SegmenterConfig(k=2, rule=CornerMinority(corners=CORNERS))
JUDGE_STYLES = 20  # n with a judge of pixels, which knows the styles: more of them bring it nothing
QUERY_TRUNCATION = 0.7  # psi of a query that is drawn by its seed; the paper does not state its own
MARGIN = 0.1  # of a box's width and height, added on each side: the corners of a tight box round a picture are picture
