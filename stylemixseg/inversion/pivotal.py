"""Pivotal tuning (PTI): bend the generator a little, so that one inverted latent gives exactly its photo.

Roich et al. 2021, https://arxiv.org/abs/2106.05744, sections 3.2 and 3.3. Inversion finds the pivot, a latent whose
image is near the photo and easy to edit; here the latent stays and the synthesis weights move.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int, check_real
from stylemixseg._util.tensors import fit_latents
from stylemixseg.generators.base import weights_digest
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.inversion.losses import Perceptual, name_of, shrunk
from stylemixseg.inversion.projector import check_differentiable, check_photos
from stylemixseg.inversion.resuming import StateFile, read_state, state_key

LOCALITY_RADIUS = 30.0  # alpha of section 3.3: how far from the pivot the generator is held in place


def pivotal_tuning(
    generator: MobileStyleGAN | StyleGAN2,
    ws: Tensor,
    photos: Tensor,
    steps: int = 350,
    learning_rate: float = 3e-4,
    *,
    pixel_weight: float = 1.0,
    perceptual: Perceptual | None = None,
    perceptual_weight: float = 1.0,
    locality_weight: float = 0.0,
    stop_loss: float | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    progress: bool = False,
    on_step: Callable[[int, float, Tensor], None] | None = None,
) -> MobileStyleGAN | StyleGAN2:
    """A new generator whose image of `ws` is the photo, or nearer to it; everything that takes a generator takes it.

    All weights are tuned but those of the mapping network, so w_avg and the style latents stay as they were. The new
    generator's name ends in "-tuned" and its digest is that of its weights. The given one is left as it was.

    Args:
        generator: one that PyTorch runs.
        ws: the pivot (1, num_ws, w_dim), from an inverter.
        photos: (1, 3, S, S) in [-1, 1], in the generator's frame; compared at the smaller of S and its resolution.
        steps: of Adam, at least 1. The paper's: 350. With the face generator a step takes 3 s on one core.
        learning_rate: of Adam, above 0. The paper's, 3e-4, is for StyleGAN2. The face generator's weights are not
            normalised in the network: there the loss jumps at 3e-4 and falls at 3e-5.
        pixel_weight: of the mean squared difference, over values in [-1, 1].
        perceptual: a distance images, target -> (1,) beside it, the paper's LPIPS for example
            (`losses.lpips_distance`); None, the default: none, for every one brings a trained network in.
        perceptual_weight: of that distance, at least 0.
        locality_weight: keeps other images as they are (section 3.3): mean squared change of the image of a latent
            `LOCALITY_RADIUS` from the pivot towards a random one, a new one each step. The paper's: 0.1. 0 spares
            more than half of the time.
        stop_loss: stop as soon as the photo's loss (without locality) is at most this; None: never.
        seed: of the locality's latents.
        resume: a folder for the state, written every half minute and on Ctrl-C (three times the size of the weights);
            the same call goes on from there. Another photo, pivot, generator or setting starts anew.
        progress: show a progress bar with the loss.
        on_step: called after every step with the step, its loss and its image (1, 3, s, s), from before the update.

    Raises:
        TypeError: a generator without gradients.
        TypeError, ValueError: an argument of the wrong type, shape or range.
        FloatingPointError: the loss is not finite; the learning rate is too high.
    """
    check_differentiable(generator)
    ws = fit_latents("ws", ws, generator).detach()
    if len(ws) != 1 or len(check_photos(photos)) != 1:
        raise ValueError(
            f"ws and photos must hold one photo, got {len(ws)} and {len(photos)}: a generator is tuned for one"
        )
    check_int("steps", steps, 1)
    check_real("learning_rate", learning_rate, 1e-8, 1e3)
    for name, weight in (
        ("pixel_weight", pixel_weight),
        ("perceptual_weight", perceptual_weight),
        ("locality_weight", locality_weight),
    ):
        check_real(name, weight, 0, 1e9)
    if stop_loss is not None:
        check_real("stop_loss", stop_loss, 0, 1e9)
    check_int("seed", seed, 0)

    photos = shrunk(photos.detach().to(generator.w_avg), generator.resolution)
    tuned = copy.deepcopy(generator).requires_grad_(False)
    weights = {
        name: value.requires_grad_(True)
        for name, value in tuned.named_parameters()
        if not name.startswith("mapping_network.")
    }
    adam = torch.optim.Adam(list(weights.values()), lr=learning_rate)
    perceptual_name = None if perceptual is None else name_of(perceptual)
    settings = (
        generator.digest,
        getattr(generator, "noise_mode", ""),
        learning_rate,
        pixel_weight,
        perceptual_name,
        perceptual_weight,
        locality_weight,
        seed,
    )  # not `steps`: more of them go on from fewer
    key = state_key(repr(settings), [ws, photos])
    path = Path(resume) / f"pivotal-{key}.safetensors" if resume is not None else None
    done = _restore(path, weights, adam, steps)

    def loss_of(image: Tensor, target: Tensor) -> Tensor:
        loss = pixel_weight * F.mse_loss(image, target)
        return loss if perceptual is None else loss + perceptual_weight * perceptual(image, target)[0]

    with (
        tqdm(total=steps, initial=done, desc="pivotal tuning", unit="step", disable=not progress) as bar,
        StateFile(path) as file,
        torch.enable_grad(),
    ):
        for step in range(done, steps):
            image = shrunk(tuned.synthesis(ws), photos.shape[-1])
            loss = loss_of(image, photos)
            if not math.isfinite(value := loss.item()):
                raise FloatingPointError(
                    f"the loss became {value} at step {step}: lower learning_rate, now {learning_rate}"
                )
            if stop_loss is not None and value <= stop_loss:
                break
            adam.zero_grad()
            loss.backward()
            if locality_weight:
                near = _near(generator, ws, seed, step)
                with torch.no_grad():
                    before = generator.synthesis(near)
                # on its own, so that one graph is held at a time
                (locality_weight * F.mse_loss(tuned.synthesis(near), before)).backward()
            for value_of in weights.values():  # a weight that this noise mode leaves unused
                if value_of.grad is None:
                    value_of.grad = torch.zeros_like(value_of)
            adam.step()
            file.keep(_state(weights, adam), {"step": step + 1})
            bar.set_postfix(loss=f"{value:.5f}", refresh=False)
            bar.update()
            if on_step is not None:
                on_step(step, value, image.detach())
    adam.zero_grad()
    tuned.eval().requires_grad_(False)
    tuned.name, tuned.digest = f"{generator.name}-tuned", weights_digest(tuned.state_dict())
    return tuned


@torch.no_grad()
def _near(generator: MobileStyleGAN | StyleGAN2, ws: Tensor, seed: int, step: int) -> Tensor:
    """Section 3.3: the latent (1, num_ws, w_dim) at `LOCALITY_RADIUS` from the pivot towards that of a random z."""
    z = torch.from_numpy(np.random.default_rng([seed, step]).standard_normal((1, generator.z_dim))).to(ws)
    towards = generator.mapping(z) - ws
    return ws + LOCALITY_RADIUS * towards / towards.norm()  # of all layers together, as the authors' code has it


_MOMENTS = ("exp_avg", "exp_avg_sq")


def _state(weights: dict[str, Tensor], adam: torch.optim.Adam) -> dict[str, Tensor]:
    moments = {f"{moment}.{name}": adam.state[value][moment] for name, value in weights.items() for moment in _MOMENTS}
    return {f"value.{name}": value for name, value in weights.items()} | moments


def _restore(path: Path | None, weights: dict[str, Tensor], adam: torch.optim.Adam, steps: int) -> int:
    """Load a state file of at most `steps` steps into weights and moments; the steps done, 0 without a usable file."""
    shapes = {f"{part}.{name}": value.shape for name, value in weights.items() for part in ("value", *_MOMENTS)}
    found = read_state(path, shapes)
    if found is None or not isinstance(step := found[1].get("step"), int) or not 1 <= step <= steps:
        return 0
    tensors = found[0]
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(tensors[f"value.{name}"])
            moments = {moment: tensors[f"{moment}.{name}"].to(value) for moment in _MOMENTS}
            adam.state[value] = {"step": torch.tensor(float(step)), **moments}
    return step
