"""The student: a small network that gives the foreground of a portrait at once, without inversion and style mixes.

It learnt from image-mask pairs that the method made of synthetic faces (section 4.4), and from no mask that a person
drew. One setting of the judge that made its masks, how far the outline moves, was chosen with the face parser.
`data_scripts/train_student.py` trained it.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from stylemixseg._util.paths import sha256_file
from stylemixseg.models.mobileunet import MobileUNet
from stylemixseg.models.references import check_images, resized

WEIGHTS_FILE = Path(__file__).parent / "weights" / "student.safetensors"


class Student:
    """Probability of foreground for portraits framed as CelebA-HQ or FFHQ frame them.

    Args:
        network: (N, 3, S, S) in [-1, 1] -> log-odds (N, 1, S', S').
        side: S, pixels that the network was trained with.
        digest: SHA-256 of its weights.
    """

    def __init__(self, network: nn.Module, side: int, digest: str = ""):
        self.network = network.eval().requires_grad_(False)
        self.side, self.digest = side, digest

    @classmethod
    def load(cls, weights: str | Path | None = None) -> Student:
        """The student that comes with the package, or another `weights` file with its .json beside it.

        Raises:
            FileNotFoundError: weights or .json missing.
            ValueError: the file's SHA-256 is not the one in the .json.
        """
        weights = Path(weights or WEIGHTS_FILE)
        provenance = weights.with_suffix(".json")
        for path in (weights, provenance):
            if not path.is_file():
                raise FileNotFoundError(f"no student at {path}; data_scripts/train_student.py makes it")
        about, found = json.loads(provenance.read_text()), sha256_file(weights)
        if found != about["sha256"]:
            raise ValueError(f"{weights} is damaged or was changed: its SHA-256 is not the one in {provenance.name}")
        network = MobileUNet(1)
        state = {name: tensor.float() for name, tensor in load_file(weights).items()}  # stored in fp16
        network.load_state_dict(network.state_dict() | state)
        return cls(network, int(about["side"]), found)

    @torch.inference_mode()
    def probability(self, images: torch.Tensor, *, flip: bool = True) -> torch.Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> probability of foreground (N, H, W) float32.

        With `flip`, the mean with the mirrored image's log-odds.
        """
        images = check_images(images).float().clamp(-1, 1)
        small = resized(images, (self.side, self.side)).contiguous(memory_format=torch.channels_last)
        scores = self.network(small)
        if flip:
            scores = (scores + self.network(small.flip(3)).flip(3)) / 2
        # first to the network's own grid, corners together, then as `resized` came
        scores = F.interpolate(scores, size=small.shape[-2:], mode="bilinear", align_corners=True)
        scores = F.interpolate(scores, size=images.shape[-2:], mode="bilinear", align_corners=False)
        return torch.sigmoid(scores[:, 0])

    def foreground(self, images: torch.Tensor, *, flip: bool = True) -> torch.Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> (N, H, W) bool."""
        return self.probability(images, flip=flip) > 0.5
