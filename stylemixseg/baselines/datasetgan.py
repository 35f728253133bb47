"""DatasetGAN (Zhang et al., CVPR 2021, https://arxiv.org/abs/2104.06490): labels of a few images, learnt per pixel.

All feature maps of the generator, brought to one size, describe each pixel. Ten small networks learn the labels of a
handful of images from them and vote; where they disagree, the label is uncertain. The paper of this book compares with
it: 16 images with labels, where the method here needs none.

Written from the paper. What differs: features are scaled to mean 0 and variance 1 first; a step takes more pixels and
there are fewer of them, since a CPU likes large products; and what the first layer adds up over all feature maps is
computed at the maps' own sizes and enlarged afterwards, which is the same because both are linear and costs a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int, check_real
from stylemixseg.baselines.base import MEMORY_LIMIT, check_features, pixels_that_fit, resized_features
from stylemixseg.generators.base import Generator

_HIDDEN = (128, 32)  # units of a network for fewer than 32 classes


@dataclass(frozen=True)
class Voting:
    """How the ensemble is trained.

    Attributes:
        members: networks that vote.
        side: px at which pixels are labelled.
        pixels_per_image: drawn from each labelled image, fewer where those of all images would not fit into memory;
            they are kept in half precision.
        steps, batch: of Adam, and pixels in a step. rate: its learning rate.
        seed: of everything random.
        memory_limit: bytes that the drawn pixels' features may take.
    """

    members: int = 10
    side: int = 128
    pixels_per_image: int = 4096
    steps: int = 200
    batch: int = 512
    rate: float = 1e-3
    seed: int = 0
    memory_limit: int = MEMORY_LIMIT

    def __post_init__(self) -> None:
        for name in ("members", "side", "pixels_per_image", "steps", "memory_limit"):
            check_int(name, getattr(self, name), 1)
        check_int("batch", self.batch, 2)
        check_real("rate", self.rate, 1e-9, 1)
        check_int("seed", self.seed, 0, 2**32 - 1)


class DatasetGAN:
    """The fitted ensemble.

    Attributes:
        name: "datasetgan". classes: names by label, "background" first. parameters: of all members.

    Args:
        generator: whose images are labelled.
        how: see `Voting`.
        networks: the members.
        mean, scale: (D,) of the features.
        classes: names by label.
    """

    name = "datasetgan"

    def __init__(
        self,
        generator: Generator,
        how: Voting,
        networks: Sequence[nn.Sequential],
        mean: Tensor,
        scale: Tensor,
        classes: Sequence[str],
    ):
        self.how, self.classes = how, tuple(classes)
        self._generator = check_features(generator, "DatasetGAN")
        self._layers = _all_layers(generator)
        self._networks = [network.eval().requires_grad_(False) for network in networks]
        self.parameters = sum(value.numel() for network in networks for value in network.parameters())
        # (members, hidden, D) and (members, hidden): the scaling of the features becomes part of the first layer.
        first = [network[0] for network in networks]
        self._first = torch.stack([layer.weight / scale for layer in first if isinstance(layer, nn.Linear)])
        self._bias = torch.stack([layer.bias for layer in first if isinstance(layer, nn.Linear)]) - self._first @ mean

    @torch.no_grad()
    def probabilities(self, ws: Tensor) -> Tensor:
        """What each member says of every pixel of the image of ws (1, num_ws, w_dim): (members, C, side, side)."""
        members, hidden, _ = self._first.shape
        side = self.how.side
        total = self._bias.reshape(1, members * hidden, 1, 1).expand(-1, -1, side, side).clone()
        done = 0
        for features in self._generator.feature_maps(ws, self._layers):
            weights = self._first[..., done : done + features.shape[1]].reshape(members * hidden, -1, 1, 1)
            if features.shape[-1] > side:  # the order makes no difference but to the time
                total += F.conv2d(resized_features(features.float(), side), weights)
            else:
                total += resized_features(F.conv2d(features.float(), weights), side)
            done += features.shape[1]
        rows = total.reshape(members, hidden, side * side).transpose(1, 2)
        scores = [network[1:](pixels) for network, pixels in zip(self._networks, rows, strict=True)]
        return torch.stack(scores).softmax(2).transpose(1, 2).reshape(members, -1, side, side)

    def labels(self, ws: Tensor) -> np.ndarray:
        """The label (side, side) uint8 that most members give each pixel; of equal numbers the smaller label."""
        votes = self.probabilities(ws).argmax(1)  # (members, side, side)
        counts = F.one_hot(votes, len(self.classes)).sum(0)
        return counts.argmax(-1).byte().numpy()

    def foreground(self, ws: Tensor) -> np.ndarray:
        """Foreground (side, side) bool: every label but the background's."""
        mask: np.ndarray = self.labels(ws) != 0
        return mask

    def uncertainty(self, ws: Tensor) -> np.ndarray:
        """Jensen-Shannon divergence (side, side) float32 of the members' answers, 0 where all agree."""
        found = self.probabilities(ws)
        divergence = _entropy(found.mean(0, keepdim=True)) - _entropy(found).mean(0, keepdim=True)
        return divergence[0].clamp(min=0).numpy()


def fit_datasetgan(
    generator: Generator,
    examples: Iterable[tuple[Tensor, np.ndarray]],
    classes: Sequence[str],
    how: Voting | None = None,
    *,
    progress: bool = False,
) -> DatasetGAN:
    """Learn labels from a few images.

    Args:
        generator: with feature maps.
        examples: ws (1, num_ws, w_dim) of each image and its labels (h, h) int, h a multiple of `how.side`.
        classes: names by label, "background" first.
        how: None for the defaults.
        progress: show progress bars.

    Raises:
        TypeError: a generator without feature maps.
        ValueError: fewer images than classes, a class without a single pixel, or labels of another size.
    """
    how, examples = how or Voting(), list(examples)
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    giving, layers = check_features(generator, "DatasetGAN"), _all_layers(generator)
    if len(examples) < len(classes):
        raise ValueError(
            f"examples must be at least as many images as there are classes, {len(classes)}, got {len(examples)}"
        )
    draw = np.random.default_rng(how.seed)
    for ws, given in tqdm(examples, desc="labelled images", unit="image", disable=not progress):
        if given.shape[0] % how.side or given.shape[0] != given.shape[1]:
            raise ValueError(f"labels must be square, their side a multiple of {how.side}, got {given.shape}")
        step = given.shape[0] // how.side
        small = given[step // 2 :: step, step // 2 :: step].ravel()
        maps = giving.feature_maps(ws, layers)
        bytes_per_pixel = 2 * sum(one.shape[1] for one in maps)
        count = pixels_that_fit(how.pixels_per_image, len(examples), bytes_per_pixel, how.memory_limit)
        drawn = draw.choice(len(small), min(count, len(small)), replace=False)
        rows.append(_rows(maps, how.side, torch.from_numpy(drawn)))
        labels.append(torch.from_numpy(small[drawn].astype(np.int64)))
    x, y = torch.cat(rows), torch.cat(labels)
    counts = torch.bincount(y, minlength=len(classes))
    if absent := [name for name, count in zip(classes, counts.tolist(), strict=False) if not count]:
        raise ValueError(f"examples must show every class, got none with {', '.join(absent)}")
    mean = torch.stack([part.float().mean(0) for part in rows]).mean(0)
    scale = torch.stack([(part.float() - mean).square().mean(0) for part in rows]).mean(0).sqrt() + 1e-3
    networks = [
        _train(x, y, mean, scale, len(classes), how, member)
        for member in tqdm(range(how.members), desc="members", unit="network", disable=not progress)
    ]
    return DatasetGAN(generator, how, networks, mean, scale, classes)


def _train(x: Tensor, y: Tensor, mean: Tensor, scale: Tensor, classes: int, how: Voting, member: int) -> nn.Sequential:
    """One member: other first weights and other batches than the others."""
    rng = torch.Generator().manual_seed(how.seed * 1_000_003 + member)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed * 1_000_003 + member)
        sizes = (x.shape[1], *_HIDDEN, classes)
        parts: list[nn.Module] = []
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after)]
        network = nn.Sequential(*parts[:-2])
    optimiser = torch.optim.Adam(network.parameters(), how.rate)
    network.train()
    for _ in range(how.steps):
        chosen = torch.randint(len(x), (how.batch,), generator=rng)
        loss = F.cross_entropy(network((x[chosen].float() - mean) / scale), y[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


@torch.no_grad()
def _rows(maps: Sequence[Tensor], side: int, drawn: Tensor) -> Tensor:
    """All features (P, D) float16 of some pixels of an image; one layer's map is enlarged at a time."""
    return torch.cat([resized_features(one.float(), side)[0].flatten(1)[:, drawn].T.half() for one in maps], 1)


def _all_layers(generator: Generator) -> list[int]:
    return list(range(generator.num_ws - 1))


def _entropy(probabilities: Tensor) -> Tensor:
    """(M, C, h, w) -> (M, h, w)."""
    return -(probabilities * probabilities.clamp(min=1e-12).log()).sum(1)
