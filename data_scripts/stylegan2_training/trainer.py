"""One step of training, and everything that the next one depends on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylegan2_training.adaptation import Adaptation
from stylegan2_training.augment import augment
from stylegan2_training.discriminator import Discriminator
from stylegan2_training.initial import channels_of, new_generator
from stylegan2_training.latents import training_latents
from stylegan2_training.losses import (
    discriminator_loss,
    generator_loss,
    path_lengths,
    path_penalty,
    squared_gradients,
)
from stylemixseg._util.checks import check_int, check_real
from stylemixseg.generators.stylegan2.architecture import Architecture
from stylemixseg.training import WeightAverage, seed_step

PATH_INTERVAL, R1_INTERVAL = 4, 16  # steps between two evaluations of a regulariser
RAMP_UP = 0.05  # the averaged weights look back over this share of the training so far, at most


@dataclass(frozen=True)
class Settings:
    """What fixes a training, beside the images: two runs with the same settings and images can go on from each other.

    Attributes:
        resolution: side of the images, a power of two.
        channel_base, channel_max: min(channel_base / r, channel_max) feature channels at r px, in both networks.
        latent_dim: size of z and of w. mapping_layers: depth of the mapping network.
        batch: images a step. learning_rate: of both networks.
        gamma: weight of R1. path_weight: of the path length regularisation; 0 leaves it out.
        mixing: share of images whose styles come from two latents.
        average_kimg: half-life of the averaged weights, in thousands of images.
        ada_target, ada_kimg: see `Adaptation`. seed: of everything random.

    Raises:
        TypeError, ValueError: one that does not fit, named.
    """

    resolution: int
    channel_base: int
    channel_max: int
    latent_dim: int
    mapping_layers: int
    batch: int
    learning_rate: float
    gamma: float
    path_weight: float
    mixing: float
    average_kimg: float
    ada_target: float
    ada_kimg: float
    seed: int

    def __post_init__(self) -> None:
        channels_of(self.resolution, self.channel_base, self.channel_max)
        for name in ("channel_base", "channel_max", "latent_dim", "mapping_layers"):
            check_int(name, getattr(self, name), 1)
        check_int("batch", self.batch, 2)  # the minibatch standard deviation of one image says nothing
        check_int("seed", self.seed, 0, 2**32 - 1)
        for name, low, high in (
            ("learning_rate", 1e-6, 1),
            ("gamma", 0, 1e6),
            ("path_weight", 0, 1e6),
            ("mixing", 0, 1),
            ("average_kimg", 0, 1e6),
            ("ada_target", 0, 1),
            ("ada_kimg", 1e-3, 1e6),
        ):
            check_real(name, getattr(self, name), low, high)

    @property
    def architecture(self) -> Architecture:
        """Of the generator."""
        channels = channels_of(self.resolution, self.channel_base, self.channel_max)
        return Architecture(self.latent_dim, self.latent_dim, self.mapping_layers, channels)


class Trainer:
    """Generator, discriminator, averaged generator, optimisers and controller: what `training.Training` runs.

    Args:
        draw_images: (count, device) -> training images (count, 3, R, R) in [-1, 1], drawn with torch's generator.
        device: where the networks are.
        dtype: torch.bfloat16 runs the convolutions of the main losses in it. It has the range of float32, so losses
            need no scaling. The regularisers are gradients of gradients: they stay in float32.

    Attributes:
        generator, discriminator: in training. average: the generator with averaged weights and constant noise, the one
            to keep. step: steps taken. losses: what each loss was since `take_losses`.
    """

    def __init__(
        self,
        settings: Settings,
        draw_images: Callable[[int, torch.device], Tensor],
        device: str | torch.device,
        dtype: torch.dtype = torch.float32,
    ):
        self.settings, self.device, self.dtype = settings, torch.device(device), dtype
        self._draw_images = draw_images
        torch.manual_seed(settings.seed)
        self.generator = new_generator(settings.architecture, settings.seed)
        self.discriminator = Discriminator(settings.architecture.channels)
        for network in (self.generator, self.discriminator):
            network.to(self.device, memory_format=torch.channels_last).train()
        self._weight_average = WeightAverage(self.generator, self._decay)
        self.average = self._weight_average.network
        self.average.noise_mode = "const"
        path_interval = PATH_INTERVAL if settings.path_weight > 0 else None
        self.optimiser_g = lazy_adam(self.generator.parameters(), settings.learning_rate, path_interval)
        self.optimiser_d = lazy_adam(
            self.discriminator.parameters(), settings.learning_rate, R1_INTERVAL if settings.gamma > 0 else None
        )
        self.adaptation = Adaptation(settings.ada_target, settings.ada_kimg)
        self.path_mean = torch.zeros((), device=self.device)
        self.step = 0
        self.losses: dict[str, list[Tensor]] = defaultdict(list)

    @property
    def images_seen(self) -> int:
        """Real images shown to D so far."""
        return self.step * self.settings.batch

    def take_step(self) -> None:
        """G and its path lengths, D and its R1, then the averaged weights."""
        settings = self.settings
        seed_step(settings.seed, self.step)
        real = self._draw_images(settings.batch, self.device)
        self.discriminator.requires_grad_(False)
        self._generator_step()
        if settings.path_weight > 0 and self.step % PATH_INTERVAL == 0:
            self._path_step()
        self.discriminator.requires_grad_(True)
        self._discriminator_step(real)
        if settings.gamma > 0 and self.step % R1_INTERVAL == 0:
            self._r1_step(real)
        self._weight_average.follow(self.step)
        self.step += 1

    def take_losses(self) -> dict[str, float]:
        """The mean of each loss since the last call."""
        means = {name: torch.stack(values).mean().item() for name, values in self.losses.items()}
        self.losses.clear()
        return means

    @torch.no_grad()
    def sample(self, z: Tensor) -> Tensor:
        """Images (N, 3, R, R) of the averaged generator for z (N, z_dim), on the CPU."""
        return self.average.synthesis(self.average.mapping(z.to(self.device))).cpu()

    # --------------------------------------------------------------------------------------------------- its state

    def state_dict(self) -> dict:
        """Everything that the next step depends on."""
        return {
            "step": self.step,
            "path_mean": self.path_mean,
            "adaptation": self.adaptation.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def load_state_dict(self, state: Mapping) -> None:
        """Take over a state of `state_dict`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.adaptation.load_state_dict(state["adaptation"], self.device)
        self.step, self.path_mean = state["step"], state["path_mean"].to(self.device)

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "optimiser_g": self.optimiser_g,
            "optimiser_d": self.optimiser_d,
        }

    # --------------------------------------------------------------------------------------------- the parts of a step

    def _generate(self, ws: Tensor, dtype: torch.dtype) -> Tensor:
        """ws (N, num_ws, w_dim) -> (N, 3, R, R) float32. Not `synthesis`: its checks would wait for the GPU."""
        self.generator.feature_dtype = dtype
        return self.generator.run_layers(self.generator.start(), ws, 0, self.generator.num_ws)[1]

    def _draw_fakes(self, count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        ws = training_latents(self.generator, count, self.settings.mixing, self.device)
        return self._generate(ws, dtype), ws

    def _judge(self, images: Tensor) -> Tensor:
        """D's logits (N,) of augmented images."""
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.discriminator(images)

    def _generator_step(self) -> None:
        fake, _ = self._draw_fakes(self.settings.batch, self.dtype)
        loss = generator_loss(self._judge(augment(fake, self.adaptation.p)))
        self._descend(self.optimiser_g, loss)
        self.losses["loss_g"].append(loss.detach())

    def _path_step(self) -> None:
        # half the images: gradients of gradients take twice the memory
        images, ws = self._draw_fakes(max(1, self.settings.batch // 2), torch.float32)
        lengths = path_lengths(images, ws)
        penalty, self.path_mean = path_penalty(lengths, self.path_mean)
        self._descend(self.optimiser_g, PATH_INTERVAL * self.settings.path_weight * penalty)
        self.losses["path_length"].append(lengths.detach().mean())

    def _discriminator_step(self, real: Tensor) -> None:
        with torch.no_grad():
            fake, _ = self._draw_fakes(self.settings.batch, self.dtype)
        p = self.adaptation.p
        on_real, on_fake = self._judge(augment(real, p)), self._judge(augment(fake, p))
        loss = discriminator_loss(on_real, on_fake)
        self._descend(self.optimiser_d, loss)
        self.adaptation.observe(on_real)
        self.losses["loss_d"].append(loss.detach())

    def _r1_step(self, real: Tensor) -> None:
        # D lives on augmented images, so that is where it should be flat; the gradient stops before the augmentation
        images = augment(real, self.adaptation.p).detach().requires_grad_()
        squared = squared_gradients(self.discriminator(images), images).mean()
        self._descend(self.optimiser_d, R1_INTERVAL * self.settings.gamma / 2 * squared)
        self.losses["r1"].append(squared.detach())

    @staticmethod
    def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    def _decay(self, step: int) -> float:
        """What the averaged weights keep of themselves at `step` (StyleGAN2; the ramp-up is ADA's)."""
        half_life = min(1000 * self.settings.average_kimg, RAMP_UP * step * self.settings.batch)
        return 0.5 ** (self.settings.batch / half_life) if half_life > 0 else 0.0


def lazy_adam(parameters: Iterable[nn.Parameter], learning_rate: float, interval: int | None) -> torch.optim.Adam:
    """Adam with the correction for a regulariser that takes a step of its own at every `interval`-th (None: none does).

    There are then k + 1 steps where there would be k. Learning rate and memory are lowered by c = k / (k + 1), so that
    the training takes the same course in time (StyleGAN2, appendix B).
    """
    c = interval / (interval + 1) if interval else 1.0
    return torch.optim.Adam(parameters, lr=learning_rate * c, betas=(0.0, 0.99**c), eps=1e-8)
