"""References from `transformers`: networks for semantic segmentation, of the paper's own kinds (section 4.2).

Two kinds of network:

- UPerNet on a Swin transformer (Xiao et al. 2018, https://arxiv.org/abs/1807.10221; Liu et al. 2021,
  https://arxiv.org/abs/2103.14030). Trained on ADE20K it is what the paper takes for rooms, with the classes sofa and
  table.
- DeepLab on MobileNetV2, trained on PASCAL VOC. The paper takes DeepLabV3+ (Chen et al. 2018,
  https://arxiv.org/abs/1802.02611) for faces and horses. `transformers` calls the head of this network DeepLabV3Plus,
  but it is less: one 1 x 1 convolution beside the pooled image, without the convolutions of several dilations and
  without the decoder that gives DeepLabV3+ its sharp outlines. It is the reduced DeepLabV3 of MobileNetV2's authors
  (Sandler et al. 2018, https://arxiv.org/abs/1801.04381), so it is a relative of the paper's network and not the same.

Weights are read as safetensors only, and no code that comes with a model is run.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemixseg._util.hub import check_safetensors, errors_explained, model_source
from stylemixseg._util.keys import full_key
from stylemixseg._util.optional import extra
from stylemixseg._util.quiet import HUB_TELEMETRY
from stylemixseg._util.tensors import check_device
from stylemixseg.generators.base import weights_digest
from stylemixseg.mixing import to_uint8
from stylemixseg.models.classnames import class_numbers, split_reference
from stylemixseg.models.references import check_images

# The kinds of network by their name in config.json, with their class in `transformers`.
KINDS = {"upernet": "UperNetForSemanticSegmentation", "mobilenet_v2": "MobileNetV2ForSemanticSegmentation"}
BACKBONE = "swin"  # of UPerNet
UNUSED = "auxiliary_head."  # tensors of UPerNet that only its training needs


class ReferenceUnavailableError(RuntimeError):
    """A reference's files could not be had, or are not what they should be."""


class SemanticReference:
    """Masks of one class, or of several that together are one, by a network for semantic segmentation.

    Attributes:
        name: of the network, for records.
        wanted: the class that is the foreground, as it was asked for.
        class_names: the network's classes, by number.
        numbers: those of them that are the foreground.
        digest: SHA-256 of the weights, of how images are prepared and of `numbers`.

    Args:
        model, processor: of `transformers`; the processor prepares images.
        name: of the network.
        wanted: the class, as in `classnames.class_numbers`.
        device: where the network runs.

    Raises:
        ValueError: the network does not know the class (the message lists those it knows), or a device that is none.
    """

    def __init__(self, model: Any, processor: Any, *, name: str, wanted: str, device: str = "cpu"):
        labels = model.config.id2label
        self.name, self.wanted = name, wanted
        self.numbers = class_numbers(labels, wanted, name)
        self.class_names = tuple(label for _, label in sorted(labels.items()))
        if hasattr(processor, "do_center_crop"):
            processor.do_center_crop = False  # a mask is wanted for the border too
        self.processor = processor
        self.model = model.to(check_device("device", device)).eval().requires_grad_(False)
        self.digest = full_key((weights_digest(model.state_dict()), processor.to_json_string(), self.numbers))

    @classmethod
    def load(cls, reference: str, *, device: str = "cpu") -> SemanticReference:
        """A network from a folder or from Hugging Face's hub, and its class.

        Args:
            reference: FOLDER:CLASS or OWNER/NAME:CLASS, as in `classnames.split_reference`. A folder holds what
                `save_pretrained` of the model and of its image processor wrote: config.json, `*.safetensors`,
                preprocessor_config.json. From the hub, files are downloaded once into the cache of `transformers`.
            device: where the network runs, "cpu" or a CUDA device.

        Raises:
            ModuleNotFoundError: the extra `detectors` is not installed.
            ReferenceUnavailableError: no network, no such model, no safetensors, missing tensors, damaged files.
            ValueError: no class or one that the network does not know, another kind of network, no such device.
        """
        device = check_device("device", device)
        given, wanted = split_reference(reference)
        source, is_folder = model_source("reference", given)
        if is_folder:
            check_safetensors(source, ReferenceUnavailableError)
        model, processor = _read(source, is_folder)
        name = Path(source).resolve().name if is_folder else source
        return cls(model, processor, name=name, wanted=wanted, device=device)

    @torch.inference_mode()
    def logits(self, image: Tensor) -> Tensor:
        """image (1, 3, H, W) in [-1, 1] -> class scores (1, C, H, W) float32, on the CPU."""
        pixels = to_uint8(check_images(image))[0]
        inputs = self.processor(images=pixels, input_data_format="channels_last", return_tensors="pt")
        scores = self.model(pixel_values=inputs["pixel_values"].to(self.model.device)).logits
        # as the networks' own post-processing does it
        size = image.shape[-2:]
        return torch.nn.functional.interpolate(scores, size=size, mode="bilinear", align_corners=False).float().cpu()

    def __call__(self, images: Tensor) -> Tensor:
        """images (N, 3, H, W) in [-1, 1] -> labels (N, H, W) int64, indices into `class_names`."""
        # one image at a time: 150 score maps of a 1024 px image are 630 MB
        return torch.cat([self.logits(image[None]).argmax(1) for image in check_images(images)])

    def foreground(self, images: Tensor) -> Tensor:
        """images (N, 3, H, W) in [-1, 1] -> (N, H, W) bool: a class that is wanted wins."""
        return torch.isin(self(images), torch.tensor(self.numbers))


@lru_cache(maxsize=2)
def semantic_reference(reference: str) -> SemanticReference:
    """`SemanticReference.load` on the CPU; asked again, it gives the network that was read before."""
    return SemanticReference.load(reference)


def _read(source: str, is_folder: bool) -> tuple[Any, Any]:
    """Model and image processor of a folder or hub id."""
    os.environ.setdefault(HUB_TELEMETRY, "1")
    with extra("detectors", "A reference of this kind needs transformers"):
        import transformers
    # Without a revision: for "main", `transformers` may ask a service to convert pickles that it finds on the hub.
    safe = {"revision": None, "trust_remote_code": False, "local_files_only": is_folder}
    with errors_explained(source, is_folder, ReferenceUnavailableError):
        config = transformers.AutoConfig.from_pretrained(source, **safe)
    _check_kind(source, config)
    with errors_explained(source, is_folder, ReferenceUnavailableError):
        # Pillow's image processor: the other one needs torchvision.
        processor = transformers.AutoImageProcessor.from_pretrained(source, backend="pil", **safe)
        model, loading = getattr(transformers, KINDS[config.model_type]).from_pretrained(
            source, config=config, use_safetensors=True, dtype=torch.float32, attn_implementation="eager",
            output_loading_info=True, **safe,
        )  # fmt: skip
    if missing := sorted(key for key in loading["missing_keys"] if not key.startswith(UNUSED)):
        raise ReferenceUnavailableError(
            f"{source} lacks {len(missing)} of the tensors of {KINDS[config.model_type]} ({missing[0]}, ...), so it "
            f"is not a whole network for semantic segmentation; its config.json says {config.architectures}"
        )
    return model, processor


def _check_kind(source: str, config: Any) -> None:
    if config.model_type not in KINDS:
        raise ValueError(
            f"reference must be a network for semantic segmentation, {' or '.join(KINDS.values())}, got "
            f"{config.model_type} ({source})"
        )
    if config.model_type == "upernet" and config.backbone_config.model_type != BACKBONE:
        raise ValueError(
            f"reference must be UPerNet on {BACKBONE}, got UPerNet on {config.backbone_config.model_type} ({source})"
        )
