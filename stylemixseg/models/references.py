"""Two references that stand in for ground truth on synthetic faces.

A synthetic face has no human mask, so the paper compares with a segmenter trained on real photos (section 4.1).
Here there are two: `FaceParser`, a small network that `data_scripts/train_face_parser.py` trained on photos with
human masks (CelebAMask-HQ, 19 classes), and `DeepLabPerson`, DeepLabV3 trained on PASCAL VOC, the paper's own kind.
How far the two agree with each other is the noise floor of every number measured against them.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stylemixseg.models.mobileunet import MobileUNet
from stylemixseg.models.stored import checked_record, filled
from stylemixseg.models.tflite import open_model

CLASS_NAMES = (  # CelebAMask-HQ's official order; "left" is the left of the person shown
    "background",
    "skin",
    "nose",
    "eyeglasses",
    "left_eye",
    "right_eye",
    "left_brow",
    "right_brow",
    "left_ear",
    "right_ear",
    "mouth",
    "upper_lip",
    "lower_lip",
    "hair",
    "hat",
    "earring",
    "necklace",
    "neck",
    "cloth",
)
NUM_CLASSES = len(CLASS_NAMES)
# a mirrored face's left eye is a right eye: index with labels or channels to rename them
MIRRORED_CLASSES = torch.tensor([0, 1, 2, 3, 5, 4, 7, 6, 9, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18])

WEIGHTS_FILE = Path(__file__).parent / "weights" / "face_parser.safetensors"
PROVENANCE_FILE = WEIGHTS_FILE.with_suffix(".json")
# px; the network saw photos at this size, so every image is brought to it and its scores back. One more than a multiple
# of 16: then a stride of 2 keeps the first and the last pixel, and all grids of the network share their corners.
INPUT_SIZE = 321


def resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bring images (N, C, H, W) to the size (h, w), bilinear; where they shrink, the pixels are averaged."""
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def check_images(images: torch.Tensor) -> torch.Tensor:
    """Return `images` when they are (N, 3, H, W) floats, finite and in [-1, 1] (a little outside is fine).

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: wrong shape, NaN, or values on another scale.
    """
    if not isinstance(images, torch.Tensor) or not images.is_floating_point():
        got = f"a {images.dtype} tensor" if isinstance(images, torch.Tensor) else type(images).__name__
        raise TypeError(f"images must be a floating-point torch.Tensor in [-1, 1], got {got}")
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape) < 1:
        raise ValueError(f"images must have shape (N, 3, H, W), got {tuple(images.shape)}")
    if not torch.isfinite(images).all():
        raise ValueError("images must be finite, got NaN or infinite values")
    if (top := images.abs().max().item()) > 2:  # generators overshoot [-1, 1] a little; 0..255 is a mistake
        raise ValueError(f"images must lie in [-1, 1], got values up to {top:.4g}")
    return images


def pixel_scores(
    network: nn.Module, images: torch.Tensor, side: int, mirrored: torch.Tensor | None = None
) -> torch.Tensor:
    """What a network says about every pixel of images of any size.

    Args:
        network: (N, 3, S, S) in [-1, 1] -> scores (N, C, S', S'), the corners of both grids together.
        images: (N, 3, H, W) in [-1, 1].
        side: S.
        mirrored: (C,) for the mean with the mirrored images' scores: which score of a mirrored image each one is.

    Returns:
        Scores (N, C, H, W) float32.
    """
    images = check_images(images).float().clamp(-1, 1)
    small = resized(images, (side, side)).contiguous(memory_format=torch.channels_last)
    scores = network(small)
    if mirrored is not None:
        scores = (scores + network(small.flip(3)).flip(3)[:, mirrored]) / 2
    # first to the network's own grid, corners together, then as `resized` came
    scores = F.interpolate(scores, size=small.shape[-2:], mode="bilinear", align_corners=True)
    return F.interpolate(scores, size=images.shape[-2:], mode="bilinear", align_corners=False)


class FaceParser:
    """Parts of a face, in CelebAMask-HQ's 19 classes, for portraits framed like CelebA-HQ or FFHQ."""

    def __init__(self, network: MobileUNet, digest: str = ""):
        self.network = network.eval().requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch does not declare it
        self.digest = digest

    @classmethod
    def load(cls, weights: str | Path = WEIGHTS_FILE) -> FaceParser:
        """The parser that comes with the package, or another `weights` file with its .json beside it.

        Raises:
            FileNotFoundError: weights or .json missing.
            ValueError: the file's SHA-256 is not the one in the .json.
        """
        weights = Path(weights)
        record = checked_record(weights, "face parser", "data_scripts/train_face_parser.py makes it")
        return cls(filled(MobileUNet(NUM_CLASSES), weights), record["sha256"])

    @torch.inference_mode()
    def logits(self, images: torch.Tensor, *, flip: bool = False) -> torch.Tensor:
        """images (N, 3, H, W) in [-1, 1] -> class scores (N, 19, H, W) float32.

        With `flip`, the mean with the mirrored image's scores (twice the time, a little better).
        """
        return pixel_scores(self.network, images, INPUT_SIZE, MIRRORED_CLASSES if flip else None)

    def __call__(self, images: torch.Tensor, *, flip: bool = False) -> torch.Tensor:
        """images (N, 3, H, W) in [-1, 1] -> labels (N, H, W) uint8, 0..18, indices into CLASS_NAMES."""
        # one image at a time: 19 score maps of a 1024 px image are 80 MB
        return torch.cat([self.logits(image[None], flip=flip).argmax(1).byte() for image in check_images(images)])

    def foreground(self, images: torch.Tensor, *, flip: bool = False) -> torch.Tensor:
        """images (N, 3, H, W) in [-1, 1] -> (N, H, W) bool: everything that is not background."""
        return self(images, flip=flip) != 0


class DeepLabPerson:
    """Person against the rest, by DeepLabV3 with MobileNetV2 (Chen et al. 2017, https://arxiv.org/abs/1706.05587).

    Trained on PASCAL VOC, run by TensorFlow Lite at 257 px: the paper's own kind of pseudo ground truth.
    Needs `models/deeplabv3_voc_257_float.tflite` in the data folder and the extra `references`.

    Raises:
        FileNotFoundError: no such file.
        ModuleNotFoundError: ai-edge-litert is not installed.
        ValueError: the file is not the one that this class knows.
    """

    FILE = ("models", "deeplabv3_voc_257_float.tflite")
    SHA256 = "9711334db2b01d5894feb8ed0f5cb3e97d125b8d229f8d8692f625801818f5ef"
    PERSON = 15  # PASCAL VOC's class index

    def __init__(self, threads: int = 2):
        self.digest = self.SHA256
        self._interpreter = open_model(self.FILE, self.SHA256, threads)
        (given,), (made,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._input, self._output = given["index"], made["index"]
        height, width = given["shape"][1:3]
        self._size = int(height), int(width)  # (257, 257)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """images (N, 3, H, W) in [-1, 1] -> scores of the 21 PASCAL VOC classes (N, 21, h, w), h = w = 257."""
        small = resized(
            check_images(images).detach().cpu().float().clamp(-1, 1), self._size
        )  # the model takes [-1, 1] too
        scores = []
        for image in small:
            self._interpreter.set_tensor(self._input, image.permute(1, 2, 0)[None].contiguous().numpy())
            self._interpreter.invoke()
            scores.append(torch.from_numpy(self._interpreter.get_tensor(self._output)).permute(0, 3, 1, 2))
        return torch.cat(scores)

    def foreground(self, images: torch.Tensor) -> torch.Tensor:
        """images (N, 3, H, W) in [-1, 1] -> (N, H, W) bool: the class person wins."""
        size = images.shape[-2:]
        return torch.cat(
            [
                F.interpolate(self.logits(image[None]), size=size, mode="bilinear", align_corners=False).argmax(1)
                == self.PERSON
                for image in check_images(images)
            ]
        )
