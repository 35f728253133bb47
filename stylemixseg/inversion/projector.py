"""Inversion by optimisation: move a latent until its image looks like the photo.

In the manner of the projector of StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958, appendix D) with its
learning-rate schedule, but without a perceptual network by default: a pixel loss over several scales takes its place.

What is optimised are the latents' whitened coordinates (`losses.LatentSpread`). Adam moves every number at about the
same rate; in plain W that is as far along a direction in which the generator's latents hardly differ as along any
other, and the latent soon lies where the generator was never trained: its image may fit, its style mixes do not.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_choice, check_int, check_real
from stylemixseg._util.tensors import fit_latents
from stylemixseg.generators.base import Generator, weights_digest
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.inversion.base import Inversion, Inverter
from stylemixseg.inversion.losses import (
    SIDES,
    LatentSpread,
    Perceptual,
    latent_spread,
    multi_scale_loss,
    name_of,
    noise_correlation,
    shrunk,
)
from stylemixseg.inversion.resuming import StateFile, read_state, state_key
from stylemixseg.models.references import check_images

SPACES = ("w", "w+", "w+noise")
RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of all steps, as in the official projector

OnStep = Callable[[int, Tensor, Tensor], None]  # step, ws (1, num_ws, w_dim), image (1, 3, s, s)
Noise = dict[str, Tensor]  # name of a noise buffer -> its values


@dataclass(frozen=True)
class ProjectorConfig:
    """Every setting of the projector.

    Attributes:
        space: "w" (one latent for all layers), "w+" (one a layer), or "w+noise" (the noise maps of a StyleGAN2 too).
        steps: of the optimiser, in all.
        learning_rate: of Adam, at its top, in standard deviations of the latents per step: it rises over the first 5 %
            of the steps and falls over the last 25 %.
        sides: of the area pyramid in `losses.multi_scale_loss`, in pixels.
        prior_weight: of the latent's distance to w_avg, `LatentSpread.distance`.
        layer_weight: of the spread between layers, `LatentSpread.between_layers`.
        noise_weight: of `losses.noise_correlation`, in the space "w+noise" only; the official projector's.
        perceptual: a distance images, target (1, 3, s, s) -> (1,), s at most the largest of `sides`, added on full
            images; None, the default: none, for every one brings a trained network in.
        perceptual_weight: its weight.
        patience: stop when so many steps on full images have not lowered their loss; None: never.
        min_improvement: what counts as lower, as a share of the loss.
        preview_steps: the first so many steps look at the preview.
        snapshots: how many latents `Inversion.steps` holds, the start and the result among them.
        seed: of the samples that the prior measures the latents' spread on.
    """

    space: str = "w+"
    steps: int = 80
    learning_rate: float = 0.05
    sides: tuple[int, ...] = SIDES
    prior_weight: float = 5e-3
    layer_weight: float = 5e-3
    noise_weight: float = 1e5
    perceptual: Perceptual | None = None
    perceptual_weight: float = 0.1
    patience: int | None = 20
    min_improvement: float = 0.01
    preview_steps: int = 0
    snapshots: int = 6
    seed: int = 0

    def __post_init__(self):
        check_choice("space", self.space, SPACES)
        check_int("steps", self.steps, 1)
        check_real("learning_rate", self.learning_rate, 1e-8, 1e3)
        if not isinstance(self.sides, tuple) or not self.sides:
            raise TypeError(f"sides must be a tuple of at least one side in pixels, got {self.sides!r}")
        for side in self.sides:
            check_int("sides", side, 1)
        for name in ("prior_weight", "layer_weight", "noise_weight", "perceptual_weight"):
            check_real(name, getattr(self, name), 0, 1e9)
        if self.perceptual is not None and not callable(self.perceptual):
            raise TypeError(f"perceptual must be callable, images, target -> (N,), got {self.perceptual!r}")
        if self.patience is not None:
            check_int("patience", self.patience, 1)
        check_real("min_improvement", self.min_improvement, 0, 1)
        check_int("preview_steps", self.preview_steps, 0, self.steps)
        check_int("snapshots", self.snapshots, 2)
        check_int("seed", self.seed, 0, 2**32 - 1)

    def rate(self, step: int) -> float:
        """Learning rate of step 0..steps - 1."""
        rise = min(1.0, (step + 1) / (RAMP_UP * self.steps))
        fall = min(1.0, (self.steps - step) / (RAMP_DOWN * self.steps))
        return self.learning_rate * rise * (0.5 - 0.5 * math.cos(math.pi * fall))

    def settled(self, losses: Sequence[float]) -> bool:
        """Whether `patience` steps on full images brought less than `min_improvement`; losses: of all steps so far."""
        full = losses[self.preview_steps :]
        if self.patience is None or len(full) <= self.patience:
            return False
        return min(full[-self.patience :]) >= (1 - self.min_improvement) * min(full[: -self.patience])

    def describe(self) -> str:
        """The settings as text; a perceptual distance counts by its name."""
        name = None if self.perceptual is None else name_of(self.perceptual)
        return repr(asdict(replace(self, perceptual=None)) | {"perceptual": name})


@dataclass(frozen=True, eq=False)
class Projection(Inversion):
    """An inversion by optimisation.

    Attributes:
        losses: of every step of each photo, measured before the step; with a preview the first are of another kind.
        noises: in the space "w+noise", each photo's noise maps, for `with_noise`; else empty.
    """

    losses: tuple[tuple[float, ...], ...] = ()
    noises: tuple[Noise, ...] = ()


class Projector:
    """Optimise the latents of photos: an `Inverter`.

    Photos are done one after the other: on a CPU that is faster than together, and none depends on its neighbours.

    Args:
        generator: one that PyTorch runs. It is left as it was.
        config: settings; None for the defaults.
        preview: something with `synthesis(ws) -> (N, 3, s, s)`, differentiable and cheap, for the first steps.
        overrides: single settings by name, for example `steps=40`.

    Raises:
        TypeError: an unknown setting, or a generator without gradients.
        ValueError: a setting out of range, no noise maps to optimise, or steps on a preview that is not there.

    Examples:
        Five steps towards an image of a small network with random weights.

        >>> from stylemixseg import load_generator, seeded_z
        >>> generator = load_generator("toy-stylegan", engine="torch")
        >>> photos = generator.synthesis(generator.mapping(seeded_z(3, generator.z_dim))).clamp(-1, 1)
        >>> found = Projector(generator, steps=5)(photos)
        >>> found.ws.shape == (1, generator.num_ws, generator.w_dim)
        True
    """

    def __init__(self, generator: Generator, config: ProjectorConfig | None = None, preview=None, **overrides):
        self.config = replace(config or ProjectorConfig(), **overrides)
        self.generator = check_differentiable(generator)
        self.preview = preview
        if self.config.preview_steps and preview is None:
            raise ValueError(f"preview_steps must be 0 without a preview, got {self.config.preview_steps}")
        # Through a module of our own, noise maps can stand in for the generator's without a change to it.
        self._synthesis = _Synthesis(generator)
        self._noise: Noise = {}
        if self.config.space == "w+noise":
            if not isinstance(generator, StyleGAN2) or generator.noise_mode != "const":
                raise ValueError(
                    "space 'w+noise' needs a StyleGAN2 with noise_mode 'const', whose noise maps can be "
                    f"optimised, got {generator.name}; use 'w+'"
                )
            self._noise = {name: buffer for name, buffer in generator.named_buffers() if name.endswith("noise_const")}
        self._spread: LatentSpread = latent_spread(generator, seed=self.config.seed)

    def __call__(
        self,
        photos: Tensor,
        progress: bool = False,
        start: Tensor | None = None,
        resume: str | Path | None = None,
        on_step: OnStep | None = None,
    ) -> Projection:
        """Invert photos.

        Args:
            photos: (N, 3, S, S) in [-1, 1], in the generator's frame.
            progress: show a progress bar with the loss.
            start: latents to start from (N, num_ws, w_dim), an encoder's for example, or (1, ...) for all; None: w_avg.
            resume: a folder for the state of each photo, written every half minute and on Ctrl-C. The next call goes
                on from there and does no finished photo again; the result is that of an uninterrupted run. A state
                belongs to its photo, settings, start, preview and generator: any other starts anew.
            on_step: called after every step with the step, its latent (1, num_ws, w_dim) and its image (1, 3, s, s),
                s at most the largest of `sides`, both from before the update. The image is at hand: it costs nothing.

        Returns:
            The latents of the lowest loss (on full images, where there were any).

        Raises:
            TypeError, ValueError: photos or start of the wrong type, shape or scale.
            FloatingPointError: the loss is not finite; the learning rate is too high.
        """
        photos, start = self._prepared(photos, start)
        steps = self.config.steps
        runs = []
        with tqdm(total=len(photos) * steps, desc="projection", unit="step", disable=not progress) as bar:
            for i in range(len(photos)):
                run = _Run(self, photos[i : i + 1], start[i : i + 1])
                path = Path(resume) / f"{self._key(run)}.safetensors" if resume is not None else None
                run.restore(path)
                bar.update(len(run.losses))
                with StateFile(path) as file:
                    while not run.finished:
                        ws, image = run.advance()
                        file.keep(*run.state())
                        bar.set_postfix(photo=f"{i + 1}/{len(photos)}", loss=f"{run.losses[-1]:.4f}", refresh=False)
                        bar.update()
                        if on_step is not None:
                            on_step(len(run.losses) - 1, ws, image)
                bar.update(steps - len(run.losses))  # those that early stopping saved
                runs.append(run)
        names = {"w": "W", "w+": "W+", "w+noise": "W+ with noise"}
        previewed = f" ({self.config.preview_steps} on the preview)" if self.config.preview_steps else ""
        return Projection(
            ws=torch.cat([run.best["ws"] for run in runs]),
            steps=tuple(torch.cat(parts) for parts in zip(*(run.steps() for run in runs))),
            seconds=sum(run.seconds for run in runs),
            method=f"projection in {names[self.config.space]}, {steps} steps{previewed}",
            losses=tuple(tuple(run.losses) for run in runs),
            noises=tuple({name: run.best[name] for name in self._noise} for run in runs) if self._noise else (),
        )

    def _prepared(self, photos: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """Photos (N, 3, s, s) no larger than the loss looks at, and starts (N, num_ws, w_dim), on the device."""
        generator = self.generator
        photos = check_photos(photos).detach().to(generator.w_avg)
        start = generator.w_avg.expand(1, generator.num_ws, -1) if start is None else start
        start = fit_latents("start", start, generator).detach()
        if len(start) not in (1, len(photos)):
            raise ValueError(f"start must hold one latent a photo ({len(photos)}) or one for all, got {len(start)}")
        return shrunk(photos, max(self.config.sides)), start.expand(len(photos), -1, -1)

    def _key(self, run: _Run) -> str:
        """What a state belongs to."""
        preview = getattr(self.preview, "digest", type(self.preview).__qualname__) if self.config.preview_steps else ""
        generator = self.generator
        noise_mode = getattr(generator, "noise_mode", "")
        return state_key(f"{generator.digest} {noise_mode} {preview} {self.config.describe()}", [run.photo, run.start])


class _Synthesis(nn.Module):
    """A generator's synthesis as `forward`, which `torch.func.functional_call` needs."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator  # an nn.Module, see `check_differentiable`

    def forward(self, ws: Tensor) -> Tensor:
        return self.generator.synthesis(ws)


class _Run:
    """One photo on its way: what is optimised, Adam's moments, the best so far and the snapshots.

    `losses` has one number a step done; everything else that a step needs follows from it and the tensors.
    """

    def __init__(self, projector: Projector, photo: Tensor, start: Tensor):
        self.projector, self.config = projector, projector.config
        self.photo, self.start = photo, start
        shared = self.config.space == "w"  # one latent, read by every layer
        latent = projector._spread.coordinates(start.mean(1, keepdim=True) if shared else start)
        self.values = {"latent": latent} | {name: noise.detach().clone() for name, noise in projector._noise.items()}
        for value in self.values.values():
            value.requires_grad_(True)
        self.adam = torch.optim.Adam(list(self.values.values()), lr=self.config.learning_rate)
        self.losses: list[float] = []
        self.seconds = 0.0
        self.best = {"ws": self._layers().detach().clone()} | {
            name: value.detach().clone() for name, value in self.values.items() if name != "latent"
        }
        self.snapshots = self._layers().detach().repeat(self.config.snapshots - 1, 1, 1)
        # After how many steps each snapshot is taken; the first is the start.
        self.marks = [
            round(i * self.config.steps / (self.config.snapshots - 1)) for i in range(self.config.snapshots - 1)
        ]

    @property
    def finished(self) -> bool:
        return len(self.losses) == self.config.steps or self.config.settled(self.losses)

    def _layers(self) -> Tensor:
        """The latents ws (1, num_ws, w_dim) as they are now."""
        ws = self.projector._spread.latents(self.values["latent"])
        return ws.expand(-1, self.projector.generator.num_ws, -1)

    @torch.enable_grad()
    def advance(self) -> tuple[Tensor, Tensor]:
        """One step; the latent and image that it started from."""
        started = time.perf_counter()
        step = len(self.losses)
        ws = self._layers()
        image = self._image(ws, step)
        loss = self._loss(ws, image, step)
        if not math.isfinite(value := loss.item()):
            raise FloatingPointError(
                f"the loss became {value} at step {step}: lower learning_rate, now {self.config.learning_rate}"
            )
        # Not backward(): that would fill the gradients of the generator's own weights too.
        gradients = torch.autograd.grad(loss, list(self.values.values()))
        shown = ws.detach().clone()
        # Losses on the preview and on full images do not compare.
        kind = self.losses[self.config.preview_steps :] if step >= self.config.preview_steps else self.losses
        if not kind or value < min(kind):
            noises = {name: part.detach().clone() for name, part in self.values.items() if name != "latent"}
            self.best = noises | {"ws": shown}
        self._update(gradients, step)
        for i, mark in enumerate(self.marks):
            if mark == step + 1:
                self.snapshots[i] = self._layers().detach()[0]
        self.losses.append(value)
        self.seconds += time.perf_counter() - started
        return shown, image.detach()

    def _image(self, ws: Tensor, step: int) -> Tensor:
        """(1, 3, s, s), no larger than the loss looks at."""
        if step < self.config.preview_steps:
            image = self.projector.preview.synthesis(ws)
        else:
            noise = {f"generator.{name}": value for name, value in self.values.items() if name != "latent"}
            image = torch.func.functional_call(self.projector._synthesis, noise, (ws,))
        return shrunk(image, max(self.config.sides))

    def _loss(self, ws: Tensor, image: Tensor, step: int) -> Tensor:
        config, spread = self.config, self.projector._spread
        loss = multi_scale_loss(image, self.photo, config.sides)[0]
        if config.perceptual is not None and step >= config.preview_steps:
            common = min(image.shape[-1], self.photo.shape[-1])
            distance = config.perceptual(shrunk(image, common), shrunk(self.photo, common))
            loss = loss + config.perceptual_weight * distance[0]
        if config.prior_weight:
            loss = loss + config.prior_weight * spread.distance(ws)[0]
        if config.layer_weight:
            loss = loss + config.layer_weight * spread.between_layers(ws)[0]
        noises = [value for name, value in self.values.items() if name != "latent"]
        if noises and step >= config.preview_steps:
            loss = loss + config.noise_weight * noise_correlation(noises)
        return loss

    def _update(self, gradients: Sequence[Tensor], step: int) -> None:
        for value, gradient in zip(self.values.values(), gradients):
            value.grad = gradient
        self.adam.param_groups[0]["lr"] = self.config.rate(step)
        self.adam.step()
        with torch.no_grad():
            for name, value in self.values.items():
                if name != "latent":  # a noise map keeps mean 0 and mean square 1
                    value -= value.mean()
                    value *= (value.square().mean() + 1e-12).rsqrt()

    def steps(self) -> list[Tensor]:
        """Latents (1, num_ws, w_dim) on the way: the start, the snapshots, the result (also where it stopped early)."""
        taken = [mark <= len(self.losses) for mark in self.marks]
        return [self.snapshots[i : i + 1] if taken[i] else self.best["ws"] for i in range(len(taken))] + [
            self.best["ws"]
        ]

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """What `restore` needs."""
        tensors = {f"value.{name}": value for name, value in self.values.items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for name, value in self.values.items():
            for moment in ("exp_avg", "exp_avg_sq"):
                # before the first step there are none; `restore` asks for the shapes then
                tensors[f"{moment}.{name}"] = self.adam.state[value].get(moment, value)
        return tensors | {"snapshots": self.snapshots}, {"losses": self.losses, "seconds": self.seconds}

    def restore(self, path: Path | None) -> None:
        """Go on from a state file; one that is absent, damaged or of other shapes changes nothing."""
        expected = {name: tuple(value.shape) for name, value in self.state()[0].items()}
        found = read_state(path, expected)
        if found is None or not _is_record(found[1], self.config.steps):
            return
        device = self.photo.device
        tensors, record = {name: value.to(device) for name, value in found[0].items()}, found[1]
        with torch.no_grad():
            for name, value in self.values.items():
                value.copy_(tensors[f"value.{name}"])
                self.adam.state[value] = {
                    "step": torch.tensor(float(len(record["losses"]))),
                    "exp_avg": tensors[f"exp_avg.{name}"],
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"],
                }
        self.best = {name: tensors[f"best.{name}"] for name in self.best}
        self.snapshots, self.losses, self.seconds = tensors["snapshots"], record["losses"], record["seconds"]


def _is_record(record: dict, steps: int) -> bool:
    losses, seconds = record.get("losses"), record.get("seconds")
    if not isinstance(losses, list) or not 1 <= len(losses) <= steps:
        return False
    return all(isinstance(number, float) and math.isfinite(number) for number in [*losses, seconds])


class EncoderThenProjector:
    """An encoder's latents, improved by a projector: an `Inverter`.

    Its `steps` are those of the encoder, then those of the projector; its `seconds` are of both.
    """

    def __init__(self, encoder: Inverter, projector: Projector):
        self.encoder, self.projector = encoder, projector

    def __call__(
        self,
        photos: Tensor,
        progress: bool = False,
        resume: str | Path | None = None,
        on_step: OnStep | None = None,
    ) -> Projection:
        """As `Projector.__call__`, started from the encoder's latents."""
        first = self.encoder(photos, progress=progress)
        second = self.projector(photos, progress=progress, start=first.ws, resume=resume, on_step=on_step)
        return replace(
            second,
            steps=first.steps + second.steps[1:],  # the projector starts where the encoder ended
            seconds=first.seconds + second.seconds,
            method=f"{first.method}, then {second.method}",
        )


def with_noise(generator: StyleGAN2, noise: Noise) -> StyleGAN2:
    """A copy of the generator that paints with the given noise maps, such as `Projection.noises[0]`.

    Its digest is that of its weights, as of any other; its name ends in "-noise".

    Raises:
        ValueError: a name that is no noise map of this generator, or another shape.
    """
    buffers = {name: buffer for name, buffer in generator.named_buffers() if name.endswith("noise_const")}
    for name, value in noise.items():
        if name not in buffers or buffers[name].shape != value.shape:
            raise ValueError(f"noise must hold this generator's noise maps, got {name!r} {tuple(value.shape)}")
    changed = copy.deepcopy(generator)
    changed.load_state_dict(generator.state_dict() | noise)
    changed.name, changed.digest = f"{generator.name}-noise", weights_digest(changed.state_dict())
    return changed


def check_differentiable(generator: Generator) -> Generator:
    """Return the generator when PyTorch runs it, so that images have gradients.

    Raises:
        TypeError: another engine runs it, or it is drawn.
    """
    if not isinstance(generator, nn.Module):
        raise TypeError(
            "generator must be one that PyTorch runs, for its gradients: load_generator(NAME, "
            f"engine='torch'); got {generator.name} as {type(generator).__name__}"
        )
    return generator


def check_photos(photos: Tensor) -> Tensor:
    """Return photos (N, 3, S, S) in [-1, 1] when they are square and on the right scale.

    Raises:
        TypeError, ValueError: see `references.check_images`.
    """
    check_images(photos)
    if photos.shape[-1] != photos.shape[-2]:
        raise ValueError(f"photos must be square, (N, 3, S, S): align them first; got {tuple(photos.shape)}")
    return photos
