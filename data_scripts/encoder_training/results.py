"""What a training gives: how well the encoder does on held-out pairs, and its weights as the package reads them."""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from encoder_training.data import Pairs
from encoder_training.steps import latent_loss, previews
from stylemixseg._util.paths import atomic_write, sha256_file
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.inversion.encoder import Encoder
from stylemixseg.models.stored import half_precision


@torch.no_grad()
def measure_encoder(encoder: Encoder, pairs: Pairs) -> dict:
    """Latent and image errors after 0, 1, ... refinements on held-out pairs."""
    images, target = pairs.batch(pairs.held_out)
    result = encoder(images)
    table = []
    for ws in result.steps:
        shown = previews(encoder.preview, ws)
        table.append(
            {
                "latent": round(latent_loss(ws, target, encoder.network.w_std).item(), 4),
                "psnr_db": round(float((10 * torch.log10(4 / (shown - images).square().mean((1, 2, 3)))).mean()), 2),
            }
        )
    return {"pairs": len(images), "after_refinements": table}


def write(path: Path, state: dict[str, Tensor], generator: MobileStyleGAN, record: dict) -> None:
    """fp16 safetensors and its .json."""
    tensors = half_precision(state)
    with atomic_write(path) as temporary:
        save_file(tensors, temporary)
    record = {
        "sha256": sha256_file(path),
        "generator": {"name": generator.name, "sha256": generator.digest},
        "parameters": sum(value.numel() for value in tensors.values()),
        "made_by": "data_scripts/train_encoder.py",
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0]},
        **record,
    }
    with atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def latent_spread(generator: MobileStyleGAN, samples: int = 10_000, seed: int = 123) -> Tensor:
    """Standard deviation of w over seeded samples, (w_dim,)."""
    z = torch.from_numpy(np.random.RandomState(seed).randn(samples, generator.z_dim)).float()
    with torch.no_grad():
        return generator.mapping(z)[:, 0].std(0)
