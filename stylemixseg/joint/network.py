"""A small network that looks at one pixel at a time: its row of X_s, and for aligned images its place.

It is a multilayer perceptron with ReLU, in NumPy. Its first layer is a linear function of X_s, so it is computed where
X_s is kept, in whichever form. `fit_network` trains one with PyTorch, in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stylemixseg._util.checks import check_int, check_real
from stylemixseg.joint.base import centred
from stylemixseg.joint.place import PLACE_FEATURES, place_features
from stylemixseg.summary import StyleSummary, as_summary

_BAND = 1 << 16  # pixels judged at once: 17 MB for 64 hidden units


@dataclass(frozen=True)
class Fitting:
    """How a pixel network is trained.

    Attributes:
        hidden: units of each of the two hidden layers.
        steps: of AdamW, with a one-cycle schedule. batch: pixels in a step.
        learning_rate, weight_decay: of AdamW.
        pixels_per_image: drawn at random from each image.
    """

    hidden: int = 64
    steps: int = 800
    batch: int = 2048
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    pixels_per_image: int = 1500

    def __post_init__(self) -> None:
        for name in ("hidden", "steps", "batch", "pixels_per_image"):
            check_int(name, getattr(self, name), 1)
        check_real("learning_rate", self.learning_rate, 1e-9, 1)
        check_real("weight_decay", self.weight_decay, 0, 1)


@dataclass(frozen=True, eq=False)
class PixelNetwork:
    """Scores of every pixel, from its row of X_s and its place.

    Attributes:
        of_row: (3n, m) float32, the part of the first layer that reads X_s; columns sum to zero over the styles of each
            channel, so that a pixel's own mean colour does not count.
        of_place: (6, m) float32, the part that reads `place.place_features`; all zero where places do not count.
        bias: (m,) float32, of the first layer.
        later: weights (m, m') and bias (m',) of each layer after it.
    """

    of_row: np.ndarray
    of_place: np.ndarray
    bias: np.ndarray
    later: tuple[tuple[np.ndarray, np.ndarray], ...]

    @property
    def entries(self) -> int:
        """Of a row of X_s, 3n."""
        return len(self.of_row)

    def scores(self, summary: np.ndarray | StyleSummary) -> np.ndarray:
        """What the last layer gives for every pixel, (h, w, outputs) float32.

        Raises:
            ValueError: X_s of another number of styles.
        """
        summary = as_summary(summary)
        height, width, _ = summary.shape
        place = place_features(height, width)
        rows = max(1, _BAND // width)
        bands = [slice(start, min(height, start + rows)) for start in range(0, height, rows)]
        made = []
        for band in bands:  # so that hidden layers of a large image never lie in memory whole
            part = summary if len(bands) == 1 else summary.crop(band, slice(0, width))
            pixels = (band.stop - band.start) * width  # as one matrix: NumPy multiplies a stack of them row by row
            values = part.project(self.of_row).reshape(pixels, -1)
            values += place[band].reshape(pixels, -1) @ self.of_place + self.bias
            for weights, bias in self.later:
                values = np.maximum(values, 0, out=values) @ weights + bias
            made.append(values)
        return np.concatenate(made).reshape(height, width, -1)


def fit_network(
    rows: np.ndarray,
    places: np.ndarray | None,
    targets: np.ndarray,
    fitting: Fitting,
    *,
    outputs: int = 1,
    seed: int = 0,
) -> PixelNetwork:
    """Train a pixel network on single pixels; every class weighs the same, however many pixels it has.

    Args:
        rows: (P, 3n) float32 of X_s.
        places: (P, 6) float32 of `place.place_features`, or None where places do not count.
        targets: (P,) class of each pixel, 0..1 for one output, else 0..outputs - 1.
        fitting: how.
        outputs: 1 for the log-odds of class 1 against class 0, else one score per class.
        seed: of the initial weights and the batches.

    Raises:
        ValueError: a class without a single pixel.
    """
    counts = np.bincount(targets, minlength=max(2, outputs))
    if not counts.all():
        raise ValueError(f"targets must hold pixels of every class, got {counts.tolist()} by class")
    entries = rows.shape[1]
    inputs = centred(rows) if places is None else np.concatenate([centred(rows), places], 1)
    mean, scale = inputs.mean(0), inputs.std(0) + 1e-3
    x, y = torch.from_numpy((inputs - mean) / scale), torch.from_numpy(targets)
    weight = torch.from_numpy((len(targets) / counts / len(counts)).astype(np.float32))  # of each class

    rng = torch.Generator().manual_seed(seed)
    sizes = (inputs.shape[1], fitting.hidden, fitting.hidden, outputs)
    layers = [_linear(a, b, rng) for a, b in pairwise(sizes)]
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimiser = torch.optim.AdamW(network.parameters(), fitting.learning_rate, weight_decay=fitting.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, fitting.learning_rate, total_steps=fitting.steps)
    for _ in range(fitting.steps):
        chosen = torch.randint(len(x), (fitting.batch,), generator=rng)
        scores, wanted = network(x[chosen]), y[chosen]
        if outputs == 1:
            losses = F.binary_cross_entropy_with_logits(scores[:, 0], wanted.float(), reduction="none")
            loss = (losses * weight[wanted]).mean()
        else:
            loss = F.cross_entropy(scores, wanted, weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    weights = [(layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy()) for layer in layers]
    first, bias = weights[0]
    first = first / scale[:, None]  # the scaling of the inputs becomes part of the layer, and so does the centring
    bias = bias - mean @ first
    of_place = np.zeros((PLACE_FEATURES, fitting.hidden), np.float32) if places is None else first[entries:]
    return PixelNetwork(centred(first[:entries].T).T.copy(), of_place, bias, tuple(weights[1:]))


def _linear(inputs: int, outputs: int, rng: torch.Generator) -> nn.Linear:
    """A layer with PyTorch's usual initial weights, drawn by a generator of our own: the global one stays as it is."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    bound = inputs**-0.5
    for values in (layer.weight, layer.bias):
        nn.init.uniform_(values, -bound, bound, generator=rng)
    return layer
