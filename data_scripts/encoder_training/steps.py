"""The two stages: what one step of each computes. A step leaves its gradients in the network and gives its loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from encoder_training.data import Pairs, as_a_photo, choose, to_range
from stylemixseg.inversion.encoder import EncoderNet, shrink
from stylemixseg.inversion.preview import Preview
from stylemixseg.training.gradients import Gradients

SIDES = (128, 64, 32)  # the image loss compares at these sizes
LATENT_WEIGHT = 0.1  # of the latents' loss beside the image loss, in the last stage
PRIOR_WEIGHT = 0.002  # of a photo's latent's squared distance from w_avg, in units of the spread


def latent_loss(ws: Tensor, target: Tensor, spread: Tensor) -> Tensor:
    """Smooth L1 of latents in units of their spread, averaged."""
    return F.smooth_l1_loss(ws / spread, target / spread)


def image_loss(images: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 over an area pyramid."""
    return sum(F.smooth_l1_loss(shrink(images, side), shrink(target, side), beta=0.2) for side in SIDES) / len(SIDES)


@torch.no_grad()
def previews(preview: Preview, ws: Tensor) -> Tensor:
    return torch.cat([preview.synthesis(w[None]) for w in ws])


def seen(network: EncoderNet, photos: Tensor, current: Tensor) -> Tensor:
    """The step in the latent, in bfloat16, which these processors multiply twice as fast."""
    x = torch.cat([photos, current], 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        return network(x).float()


def latents_step(network: EncoderNet, preview: Preview, pairs: Pairs, batch: int, own_from: int) -> Gradients:
    """The latents of pairs from the average image; from step `own_from` on, from the own estimate too."""
    w_avg = preview.generator.w_avg
    start = w_avg.expand(1, preview.generator.num_ws, -1)
    average = previews(preview, start)

    def gradients(step: int, rng: torch.Generator) -> float:
        images, target = pairs.batch(choose(pairs.training, batch, rng))
        photos = as_a_photo(images, rng)
        ws = start + seen(network, photos, average.expand(batch, -1, -1, -1))
        loss = latent_loss(ws, target, network.w_std)
        loss.backward()
        if step >= own_from:
            half = ws[: batch // 2].detach()
            better = half + seen(network, photos[: len(half)], previews(preview, half))
            latent_loss(better, target[: len(half)], network.w_std).backward()
        return loss.item()

    return gradients


def images_step(network: EncoderNet, preview: Preview, pairs: Pairs, photos: Tensor, batch: int) -> Gradients:
    """Refinements of a batch, half photos and half pairs, by what they look like (and the latents of the pairs)."""
    generator = preview.generator
    start = generator.w_avg.expand(1, generator.num_ws, -1)
    average = previews(preview, start)

    def gradients(step: int, rng: torch.Generator) -> float:
        real = to_range(photos[torch.randint(len(photos), (batch // 2,), generator=rng)])
        mirrored = torch.rand(len(real), 1, 1, 1, generator=rng) < 0.5
        real = torch.where(mirrored, real.flip(3), real)
        images, target = pairs.batch(choose(pairs.training, batch - len(real), rng))
        given = torch.cat([real, as_a_photo(images, rng)])
        wanted = torch.cat([real, images])
        ws, current, total = start.expand(batch, -1, -1), average.expand(batch, -1, -1, -1), 0.0
        for _ in range(2):
            better = ws + seen(network, given, current)
            leaf = better.detach().requires_grad_()
            shown, total = [], 0.0
            for i in range(batch):
                image = preview.synthesis(leaf[i : i + 1])
                loss = image_loss(image, wanted[i : i + 1]) / batch
                loss.backward()
                shown.append(image.detach())
                total += loss.item()
            known = better[len(real) :]
            deviation = ((better[: len(real)] - generator.w_avg) / network.w_std).square().mean()
            extra = LATENT_WEIGHT * latent_loss(known, target, network.w_std) + PRIOR_WEIGHT * deviation
            torch.autograd.backward([better, extra], [leaf.grad, torch.ones(())])
            ws, current = leaf.detach(), torch.cat(shown)
        return total  # the image loss after the last refinement

    return gradients
