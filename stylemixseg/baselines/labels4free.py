"""Labels4Free (Abdal et al., ICCV 2021, https://arxiv.org/abs/2103.14968): a mask that lets a composite look real.

A small network turns the features of a frozen generator into a soft mask, alpha. Two images of one latent are laid over
each other: alpha times the image, and 1 - alpha times the background, which is what the same generator paints when its
first features are zero. A weak discriminator compares such composites with real photos. If alpha leaves out a piece of
the object, the background's texture shows there and gives the composite away; if it takes too much, only the
regularisers speak against it. No label is used, but real photos and a second network are.

Written from the paper. What differs, so that two cores can train it: composites and alpha have `side` pixels; a latent
is drawn from a fixed set, whose features are computed once and kept in half precision as long as they fit into
`memory_limit` bytes; features are divided by their spread, because the layers of a distilled generator have no unit
variance; the discriminator is a plain one of a few convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_image, check_int, check_real
from stylemixseg._util.keys import UNKEYED, cache_key
from stylemixseg.baselines.base import check_features
from stylemixseg.generators.base import Generator, PaintsBackgrounds
from stylemixseg.mixing import to_generator_range
from stylemixseg.training import Stopping, Training, WeightAverage, ramped_decay, seed_step

_NARROW = 3  # channels that each feature map is brought to
_FIRST_SIDE = 8  # px of the coarsest features that alpha reads, as the paper's network for 256 px does
_LEAK = 0.2
_LOG_EVERY = 25  # steps


@dataclass(frozen=True)
class Compositing:
    """How the alpha network is trained. Defaults are the published ones for faces, where nothing else is said.

    Attributes:
        side: px of composites and masks, a power of two from 16 on; ours.
        steps, batch: of both networks; the paper sees 9,600 composites in 1,200 steps.
        rate: learning rate of both.
        strength: weight of the regularisers that make alpha binary and keep the foreground from vanishing.
        least_foreground, least_background: share of the image below which a hinge pushes. The second is ours.
        background_strength: weight of the second hinge; ours.
        r1: weight of the discriminator's gradient penalty on photos, which is taken every `r1_every` steps.
        threshold: alpha above it is foreground.
        seed: of everything random.
        memory_limit: bytes of images and features that are kept; what does not fit is computed anew when needed.
    """

    side: int = 64
    steps: int = 1200
    batch: int = 8
    rate: float = 2e-4
    strength: float = 1.2
    least_foreground: float = 0.25
    least_background: float = 0.25
    background_strength: float = 3.0
    r1: float = 10.0
    r1_every: int = 16
    threshold: float = 0.9
    seed: int = 0
    memory_limit: int = field(default=3 * 2**30, metadata=UNKEYED)

    def __post_init__(self) -> None:
        check_int("side", self.side, 16)
        if self.side & (self.side - 1):
            raise ValueError(f"side must be a power of two, got {self.side}")
        for name in ("steps", "batch", "r1_every"):
            check_int(name, getattr(self, name), 1)
        check_real("rate", self.rate, 1e-9, 1)
        for name in ("strength", "background_strength", "r1"):
            check_real(name, getattr(self, name), 0, 1e6)
        for name in ("least_foreground", "least_background", "threshold"):
            check_real(name, getattr(self, name), 0, 1)
        check_int("seed", self.seed, 0, 2**32 - 1)
        check_int("memory_limit", self.memory_limit, 0)


class AlphaNetwork(nn.Module):
    """Feature maps of rising size -> alpha: each map to 3 channels, a pair per size, merged from coarse to fine.

    Args:
        channels: of the two maps of each size, coarsest first.
        spread: (2 sizes,) standard deviation of each map, which it is divided by.
    """

    spread: Tensor

    def __init__(self, channels: Sequence[int], spread: Tensor):
        super().__init__()
        self.register_buffer("spread", spread)
        self.narrow = nn.ModuleList(nn.Conv2d(count, _NARROW, 1) for count in channels)
        pair = 2 * _NARROW
        self.merge = nn.ModuleList(nn.Conv2d(2 * pair, pair, 1) for _ in range(len(channels) // 2 - 1))
        self.out = nn.Conv2d(pair, 1, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Feature maps (N, C, h, h), two of each size -> alpha (N, 1, side, side) in 0..1."""
        narrow = [layer(one / spread) for layer, one, spread in zip(self.narrow, features, self.spread, strict=True)]
        x, *finer = (torch.cat(narrow[i : i + 2], 1) for i in range(0, len(narrow), 2))
        for merge, pair in zip(self.merge, finer, strict=True):
            x = F.interpolate(x, size=pair.shape[-2:], mode="bicubic", align_corners=True)
            x = F.leaky_relu(merge(torch.cat([x, pair], 1)), _LEAK)
        alpha: Tensor = self.out(x).sigmoid()
        return alpha


def weak_discriminator(side: int) -> nn.Sequential:
    """Images (N, 3, side, side) -> one score each (N, 1): a convolution per halving of the side, down to 4 px."""
    parts: list[nn.Module] = [nn.Conv2d(3, 32, 1), nn.LeakyReLU(_LEAK)]
    channels = 32
    while side > 4:
        wider = min(2 * channels, 128)
        parts += [nn.Conv2d(channels, wider, 3, padding=1), nn.LeakyReLU(_LEAK), nn.AvgPool2d(2)]
        channels, side = wider, side // 2
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(channels * 16, 1))


def regularisers(alpha: Tensor, how: Compositing) -> Tensor:
    """What keeps alpha (N, 1, h, h) binary, and either side from vanishing: a scalar, 0 at best."""
    binary = torch.minimum(alpha, 1 - alpha).mean()
    covered = alpha.mean()
    foreground = F.relu(how.least_foreground - covered)
    background = F.relu(how.least_background - (1 - covered))
    return how.strength * (binary + foreground) + how.background_strength * background


class Labels4Free:
    """The fitted alpha network.

    Attributes:
        name: "labels4free". parameters: of the alpha network. discriminator_parameters: of the other one, which is not
            needed any more. seconds: of training, over all calls. log: {"step", "coverage", "alpha", "discriminator"}
            now and then: mean of alpha, and the two losses.

    Args:
        generator: whose images are segmented.
        how: see `Compositing`.
        network: alpha.
        training: what the attributes tell of: its discriminator's parameters, seconds and log.
    """

    name = "labels4free"

    def __init__(
        self,
        generator: Generator,
        how: Compositing,
        network: AlphaNetwork,
        *,
        discriminator_parameters: int,
        seconds: float,
        log: Sequence[dict[str, float]],
    ):
        self.how, self.seconds, self.log = how, seconds, tuple(log)
        self.discriminator_parameters = discriminator_parameters
        self.parameters = sum(value.numel() for value in network.parameters())
        self._generator, self._layers = check_features(generator, "Labels4Free"), _layers_up_to(generator, how.side)
        self._network = network.eval().requires_grad_(False).to(generator.w_avg.device)

    @torch.no_grad()
    def alpha(self, ws: Tensor) -> np.ndarray:
        """The soft mask (side, side) float32 of the image of ws (1, num_ws, w_dim)."""
        features = [one.float() for one in self._generator.feature_maps(ws, self._layers)]
        found: np.ndarray = self._network(features)[0, 0].cpu().numpy()
        return found

    def foreground(self, ws: Tensor) -> np.ndarray:
        """Foreground (side, side) bool: alpha above the threshold."""
        mask: np.ndarray = self.alpha(ws) > self.how.threshold
        return mask


def fit_labels4free(
    generator: Generator,
    latents: Sequence[Tensor],
    photos: Iterable[np.ndarray],
    how: Compositing,
    state: Path,
    stop: Stopping,
) -> Labels4Free | None:
    """Train the alpha network against a discriminator; a training that was stopped goes on from its state.

    Args:
        generator: frozen, with feature maps and backgrounds. On a GPU, everything is computed there.
        latents: ws (1, num_ws, w_dim) of the images to composite.
        photos: real ones (s, s, 3) uint8, framed as the generator's images are; s at least `how.side`.
        how: see `Compositing`.
        state: file of the training's state.
        stop: asks for an end after the current step.

    Returns:
        The fitted network, or None where `stop` ended the training before the last step.

    Raises:
        TypeError: a generator without feature maps, or one that cannot leave out its first features.
        ValueError: no latent, no photo, a photo that is too small, or a side that the generator's layers do not reach.
        RuntimeError: a loss became NaN or infinite.
        TrainingStateError: the state is of another training.
    """
    layers = _layers_up_to(generator, how.side)
    pool = _Pool(generator, latents, layers, how)
    real = _small(photos, how.side)
    features, _, _ = pool.take(0)
    spread = torch.stack([one.float().std() for one in features]).clamp(min=1e-6).cpu()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        alpha = AlphaNetwork([one.shape[1] for one in features], spread)
        discriminator = weak_discriminator(how.side)
    device = generator.w_avg.device
    game = _Game(alpha.to(device), discriminator.to(device), pool, real.to(device), how)
    settings = {name: value for name, value in asdict(how).items() if name not in ("steps", "memory_limit")}
    given = {"generator": generator.digest, "latents": cache_key(pool.given), "photos": cache_key(real.numpy())}
    run = Training(game, state, settings=settings | given)

    def note() -> None:
        run.shown = {"covered": f"{game.last['coverage']:.2f}"}
        if game.step % _LOG_EVERY == 0:
            run.log.append(dict(game.last))

    ending = run.run(how.steps, stop, after_step=note, name="Labels4Free", unit="step")
    if ending != "finished":
        return None
    weights = sum(value.numel() for value in discriminator.parameters())
    network = game.average.network
    assert isinstance(network, AlphaNetwork)
    return Labels4Free(generator, how, network, discriminator_parameters=weights, seconds=run.seconds, log=run.log)


class _Game:
    """The two networks and their optimisers: a `training.Learner`."""

    def __init__(self, alpha: AlphaNetwork, discriminator: nn.Module, pool: _Pool, photos: Tensor, how: Compositing):
        self.alpha, self.discriminator, self.how = alpha, discriminator, how
        self._pool, self._photos = pool, photos
        # As the paper: no momentum, and the second moment's decay is StyleGAN2's.
        self._optimisers = [
            torch.optim.Adam(network.parameters(), how.rate, betas=(0.0, 0.99)) for network in (alpha, discriminator)
        ]
        self.average = WeightAverage(alpha, ramped_decay(0.99))
        self.step, self.last = 0, {"step": 0.0, "coverage": math.nan, "alpha": math.nan, "discriminator": math.nan}

    def take_step(self) -> None:
        how, rng = self.how, seed_step(self.how.seed, self.step)
        features, image, background = self._pool.batch(
            torch.randint(len(self._pool), (how.batch,), generator=rng).tolist()
        )
        photos = self._photos[torch.randint(len(self._photos), (how.batch,), generator=rng).to(self._photos.device)]
        if torch.rand((), generator=rng) < 0.5:
            photos = photos.flip(3)
        alpha = self.alpha(features)
        composite = alpha * image + (1 - alpha) * background
        of_alpha, of_discriminator = self._optimisers

        of_discriminator.zero_grad(set_to_none=True)
        penalised = self.step % how.r1_every == 0
        photos.requires_grad_(penalised)
        said = self.discriminator(photos)
        loss = F.softplus(self.discriminator(composite.detach())).mean() + F.softplus(-said).mean()
        if penalised:
            (slope,) = torch.autograd.grad(said.sum(), photos, create_graph=True)
            loss = loss + how.r1 / 2 * how.r1_every * slope.square().sum((1, 2, 3)).mean()
        loss.backward()
        of_discriminator.step()

        of_alpha.zero_grad(set_to_none=True)
        fooled = F.softplus(-self.discriminator(composite)).mean() + regularisers(alpha, how)
        fooled.backward()
        if not math.isfinite(loss.item() + fooled.item()):
            raise RuntimeError(f"a loss became NaN or infinite at step {self.step}: lower the rate")
        of_alpha.step()
        self.step += 1
        self.average.follow(self.step)
        values = {"coverage": alpha.mean().item(), "alpha": fooled.item(), "discriminator": loss.item()}
        self.last = {"step": float(self.step), **values}

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "alpha": self.alpha.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self._optimisers],
            "average": self.average.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.alpha.load_state_dict(state["alpha"])
        self.discriminator.load_state_dict(state["discriminator"])
        for optimiser, kept in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.average.load_state_dict(state["average"])
        self.step = state["step"]


_Item = tuple[list[Tensor], Tensor, Tensor]  # features, image, background of one latent


class _Pool:
    """Features, images and backgrounds of the latents: computed when they are first needed, and kept while they fit."""

    def __init__(self, generator: Generator, latents: Sequence[Tensor], layers: list[int], how: Compositing):
        self._giving = check_features(generator, "Labels4Free")
        if not isinstance(generator, PaintsBackgrounds):
            raise TypeError(
                "Labels4Free needs a generator that can leave out its first features (method `background`), and "
                f"{generator.name} cannot"
            )
        if not latents:
            raise ValueError("latents must hold at least one, got none")
        self._painter, self._latents, self._layers, self._how = generator, latents, layers, how
        self._kept: dict[int, _Item] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._latents)

    @property
    def given(self) -> list[np.ndarray]:
        """The latents as arrays, for a key."""
        return [ws.cpu().numpy() for ws in self._latents]

    @torch.no_grad()
    def take(self, number: int) -> _Item:
        """What there is of one latent, in half precision."""
        if number in self._kept:
            return self._kept[number]
        ws, side = self._latents[number], self._how.side
        image, background = (
            F.adaptive_avg_pool2d(picture, side).half()
            for picture in (self._painter.synthesis(ws), self._painter.background(ws))
        )
        item = [one.half() for one in self._giving.feature_maps(ws, self._layers)], image, background
        size = sum(part.numel() * part.element_size() for part in (*item[0], image, background))
        if self.bytes + size <= self._how.memory_limit:
            self._kept[number], self.bytes = item, self.bytes + size
        return item

    def batch(self, numbers: Sequence[int]) -> _Item:
        """Several latents together, in single precision."""
        items = [self.take(number) for number in numbers]
        features = [torch.cat(maps).float() for maps in zip(*(item[0] for item in items), strict=True)]
        return features, torch.cat([item[1] for item in items]).float(), torch.cat([item[2] for item in items]).float()


def _layers_up_to(generator: Generator, side: int) -> list[int]:
    """The two layers of every size from 8 px to `side`; layer i has 4 * 2^((i + 1) // 2) px."""
    last = 2 * (side.bit_length() - 3)
    if last > generator.num_ws - 2:
        largest = 4 << (generator.num_ws - 2) // 2
        raise ValueError(f"side must be at most {largest}, where the generator's features end, got {side}")
    return list(range(2 * (_FIRST_SIDE.bit_length() - 3) - 1, last + 1))


def _small(photos: Iterable[np.ndarray], side: int) -> Tensor:
    """Photos (s, s, 3) uint8 -> (N, 3, side, side) float32 in [-1, 1], averaged over areas."""
    found = []
    for photo in tqdm(photos, desc="photos for the discriminator", unit="photo", leave=False):
        if min(check_image("photos", photo).shape[:2]) < side:
            raise ValueError(f"photos must have at least {side} px, got {photo.shape[:2]}")
        found.append(F.adaptive_avg_pool2d(to_generator_range(photo), side))
    if not found:
        raise ValueError("photos must hold at least one, got none")
    return torch.cat(found)
