"""What generator and discriminator make small."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PATH_DECAY = 0.01  # how fast the mean path length follows


def generator_loss(fake: Tensor) -> Tensor:
    """-log sigmoid(D(G(z))), averaged over logits (N,): () (Goodfellow et al. 2014, the non-saturating form).

    Its gradient is largest where D is surest of a fake, where log(1 - sigmoid) would give none.
    """
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))), each averaged over its logits (N,): ()."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def squared_gradients(logits: Tensor, images: Tensor) -> Tensor:
    """R1: |grad_x D(x)|^2 of each real image, (N,); differentiable (Mescheder et al. 2018, arXiv 1801.04406).

    The loss is gamma / 2 times its mean. It keeps D flat on the data, so that training settles.

    Args:
        logits: D(images), (N,), one image's logit a function of its batch at most.
        images: (N, 3, R, R), what D was given, with requires_grad.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def path_lengths(images: Tensor, ws: Tensor) -> Tensor:
    """|J_w^T y| of each image, (N,), for a random image y; differentiable (StyleGAN2, section 3.2).

    J_w is the Jacobian of the image with respect to the latent. y is unit normal, divided by the side of the image,
    so that lengths do not grow with resolution. Layers are averaged inside the root.

    Args:
        images: G_s(ws), (N, 3, R, R). ws: (N, num_ws, w_dim), with requires_grad.
    """
    y = torch.randn_like(images) / (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)  # (N, num_ws, w_dim)
    return gradient.square().sum(2).mean(1).sqrt()


def path_penalty(lengths: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """E(|J_w^T y| - a)^2, (), and the moved running mean a, (): a step in w should change the image by a fixed amount.

    Args:
        lengths: (N,). mean: a so far, ().
    """
    mean = mean.lerp(lengths.detach().mean(), PATH_DECAY)
    return (lengths - mean).square().mean(), mean
