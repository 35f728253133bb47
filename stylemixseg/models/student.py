"""The student: a small network that gives the foreground of a portrait at once, without inversion and style mixes.

It learnt from image-mask pairs that the method made of synthetic faces (section 4.4), and from no mask that a person
drew. One setting of the judge that made its masks, how far the outline moves, was chosen with the face parser.
`data_scripts/train_student.py` trained it, and `data_scripts/choose_student_view.py` chose, on synthetic faces with the
face parser, at how many pixels it looks at an image and how its outline follows the image's edges.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from stylemixseg._util.checks import check_real
from stylemixseg.mixing import to_uint8
from stylemixseg.models.mobileunet import MobileUNet
from stylemixseg.models.references import pixel_scores
from stylemixseg.models.stored import checked_record, filled

WEIGHTS_FILE = Path(__file__).parent / "weights" / "student.safetensors"
PARTS_FILE = WEIGHTS_FILE.with_name("student_parts.safetensors")


class Student:
    """Probability of foreground for portraits framed as CelebA-HQ or FFHQ frame them.

    Args:
        network: (N, 3, S, S) in [-1, 1] -> log-odds (N, 1, S', S').
        side: S, pixels at which it looks at an image. More than it was trained with can be better, since the views that
            it learnt from were enlarged, too.
        digest: SHA-256 of its weights.
        edges: radius, as a share of the side, within which the outline moves to the image's edges
            (`sharpening.sharpen`), 0..0.25; 0: it does not.
    """

    def __init__(self, network: nn.Module, side: int, digest: str = "", edges: float = 0.0):
        self.network = network.eval().requires_grad_(False)
        self.side, self.digest = side, digest
        self.edges = check_real("edges", edges, 0, 0.25)

    @classmethod
    def load(cls, weights: str | Path | None = None) -> Student:
        """The student that comes with the package, or another `weights` file with its .json beside it.

        Raises:
            FileNotFoundError: weights or .json missing.
            ValueError: the file's SHA-256 is not the one in the .json.
        """
        weights = Path(weights or WEIGHTS_FILE)
        record = checked_record(weights, "student", "data_scripts/train_student.py makes it")
        view = record.get("view", {"side": record["side"], "edges": 0.0})  # weights just trained have none yet
        return cls(filled(MobileUNet(1), weights), int(view["side"]), record["sha256"], float(view["edges"]))

    @torch.inference_mode()
    def probability(self, images: torch.Tensor, *, flip: bool = True) -> torch.Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> probability of foreground (N, H, W) float32.

        With `flip`, the mean with the mirrored image's log-odds.
        """
        scores = pixel_scores(self.network, images, self.side, torch.tensor([0]) if flip else None)
        found = torch.sigmoid(scores[:, 0])
        if not self.edges:
            return found
        from stylemixseg.sharpening import sharpen  # it brings kornia, which takes a while

        pairs = zip(found.numpy(), to_uint8(images), strict=True)
        return torch.from_numpy(np.stack([sharpen(soft, image, self.edges) for soft, image in pairs]))

    def foreground(self, images: torch.Tensor, *, flip: bool = True) -> torch.Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> (N, H, W) bool."""
        return self.probability(images, flip=flip) > 0.5


class PartsStudent:
    """Named parts of portraits framed as CelebA-HQ or FFHQ frame them; it learnt from the shared clusters' parts.

    Args:
        network: (N, 3, S, S) in [-1, 1] -> one score per class (N, C, S', S').
        side: S, pixels that the network was trained with.
        classes: names by label, "background" first.
        digest: SHA-256 of its weights.
    """

    def __init__(self, network: nn.Module, side: int, classes: tuple[str, ...], digest: str = ""):
        self.network = network.eval().requires_grad_(False)
        self.side, self.classes, self.digest = side, classes, digest

    @classmethod
    def load(cls, weights: str | Path | None = None) -> PartsStudent:
        """The one that comes with the package, or another `weights` file with its .json beside it.

        Raises:
            FileNotFoundError: weights or .json missing.
            ValueError: the file's SHA-256 is not the one in the .json.
        """
        weights = Path(weights or PARTS_FILE)
        record = checked_record(weights, "student of parts", "data_scripts/train_student.py --classes makes it")
        classes = tuple(record["classes"])
        return cls(filled(MobileUNet(len(classes)), weights), int(record["side"]), classes, record["sha256"])

    @torch.inference_mode()
    def probabilities(self, images: torch.Tensor, *, flip: bool = True) -> torch.Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> probability of each class (N, C, H, W) float32.

        With `flip`, from the mean with the mirrored image's scores.
        """
        mirrored = torch.arange(len(self.classes)) if flip else None
        return pixel_scores(self.network, images, self.side, mirrored).softmax(1)

    def labels(self, images: torch.Tensor, *, flip: bool = True) -> torch.Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> labels (N, H, W) uint8, indices into `classes`."""
        return self.probabilities(images, flip=flip).argmax(1).byte()
