"""Variants by a diffusion model: a ControlNet holds an image's structure while prompts repaint it in many styles.

The paper names this way in section 3.4: "With the recent development such as ControlNet, one could generalize our
method to diffusion models as well." Here a query is any image, so also a photo, and nothing is inverted:

- the structure comes from the image, which is the start of the denoising (image to image; Meng et al. 2022,
  https://arxiv.org/abs/2108.01073), and from its control image, such as its edges or its depth, which a ControlNet
  follows (Zhang et al. 2023, https://arxiv.org/abs/2302.05543);
- the style comes from a prompt. The n prompts take the place of the n style latents and are shared by all queries.

Stable Diffusion 1 and 2 (Rombach et al. 2022, https://arxiv.org/abs/2112.10752) have the parts that are needed here.
With a CUDA device and the extra `diffusion`::

    source = DiffusionVariants.load(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", "lllyasviel/sd-controlnet-canny", prompts, device="cuda"
    )
    edges = cv2.Canny(photo, 100, 200)[..., None].repeat(3, axis=2)
    found = segment_variants(source, DiffusionQuery(photo, edges), k=4)

That downloads about 6 GB once. One image of 512 px takes 32 evaluations of the U-Net and of the ControlNet (16 steps,
each with and without the prompt). Counted from their architectures, an evaluation is 0.8 and 0.3 TFLOP, so an image
is about 35 TFLOP and a query with 20 prompts about 700: a minute or so on a GPU that reaches 10 TFLOP/s, and hours on
two CPU cores. **Neither this time nor the quality of the masks was measured here**: no real weights could be had where
this was written. The code is tested as a whole with small random networks, whose images mean nothing.

Weights are read as safetensors only, with classes that are named here: `model_index.json`, which can name any class, is
not read. The safety checker, which would replace some variants by black images, is left out; show variants to others
only within the terms of the model's licence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from stylemixseg._util.checks import check_image, check_int, check_real
from stylemixseg._util.hub import check_safetensors, errors_explained, model_source
from stylemixseg._util.keys import full_key
from stylemixseg._util.optional import extra
from stylemixseg._util.quiet import HUB_TELEMETRY
from stylemixseg._util.tensors import check_device
from stylemixseg.generators.base import weights_digest


class DiffusionUnavailableError(RuntimeError):
    """A diffusion model's files could not be had, or are not what they should be."""


class DiffusionQuery(NamedTuple):
    """An image and what holds its structure, both (H, W, 3) uint8 of one size.

    Attributes:
        image: the query image X_0; its sides are multiples of 8.
        control: what the ControlNet was trained on, made from the image: white Canny edges on black, a depth map, ...
    """

    image: np.ndarray
    control: np.ndarray


@dataclass(frozen=True)
class Repainting:
    """How an image is repainted. Strength and guidance are those of `diffusers`; none of the settings was tuned.

    Attributes:
        strength: share of the denoising that is done, above 0 to 1: 1 begins with noise alone, a low one keeps the
            image's own colours.
        steps: of the whole denoising; strength times as many are done, at least one.
        guidance: weight of the prompt (classifier-free guidance), 1..100; 1 is none beyond the condition itself.
        seed: of the noise, from which all variants of all queries start, so that only their prompts differ.

    Raises:
        TypeError: a setting of the wrong type.
        ValueError: a setting out of range.
    """

    strength: float = 0.8
    steps: int = 20
    guidance: float = 7.5
    seed: int = 2023

    def __post_init__(self) -> None:
        check_int("steps", self.steps, 1)
        check_real("strength", self.strength, 1 / self.steps, 1)
        check_real("guidance", self.guidance, 1, 100)
        check_int("seed", self.seed, 0, 2**32 - 1)


class DiffusionVariants:
    """A `VariantSource` whose queries are images with a control image. Usually made by `load`.

    Attributes:
        name: short name, for records. n: number of prompts. shares_styles: True, the prompts are the styles.

    Args:
        pipeline: a `StableDiffusionControlNetImg2ImgPipeline` of `diffusers`.
        prompts: one text per variant, for example "an oil painting in cold colours", at least one.
        settings: how an image is repainted.
        name: for records.

    Raises:
        TypeError: prompts that are one text.
        ValueError: no prompt, an empty one, one too long for the text encoder, networks of different models.
    """

    shares_styles = True

    def __init__(self, pipeline: Any, prompts: Sequence[str], settings: Repainting | None = None, *, name: str):
        widths = {
            "unet": pipeline.unet.config.cross_attention_dim,
            "controlnet": pipeline.controlnet.config.cross_attention_dim,
            "text_encoder": pipeline.text_encoder.config.hidden_size,
        }
        if len(set(widths.values())) > 1:
            raise ValueError(f"controlnet must be made for this model, with text features of one width, got {widths}")
        self.prompts = _checked_prompts(prompts)
        most = pipeline.tokenizer.model_max_length
        for prompt in self.prompts:
            if (length := len(pipeline.tokenizer(prompt).input_ids)) > most:
                raise ValueError(f"a prompt must have at most {most} tokens here, got {length}: {prompt!r:.80}")
        self.settings = settings or Repainting()
        self.pipeline, self.name, self.n = pipeline, name, len(self.prompts)

    @classmethod
    def load(
        cls,
        model: str | Path,
        controlnet: str | Path,
        prompts: Sequence[str],
        settings: Repainting | None = None,
        *,
        device: str | torch.device = "cpu",
    ) -> DiffusionVariants:
        """A source from folders, or from ids on Hugging Face's hub.

        Nothing is downloaded for folders. From the hub, files are downloaded once into its own cache.

        Args:
            model: a folder with the parts unet, vae, text_encoder, tokenizer and scheduler as subfolders, or
                owner/name on the hub: Stable Diffusion 1 or 2.
            controlnet: a folder or owner/name, likewise: a ControlNet for that model.
            prompts: one text per variant.
            settings: how an image is repainted; None for the defaults.
            device: where the networks run, "cpu" or a CUDA device; in single precision.

        Raises:
            ModuleNotFoundError: the extra `diffusion` is not installed.
            DiffusionUnavailableError: no network, no such model, no safetensors, missing tensors, damaged files.
            TypeError: prompts that are one text.
            ValueError: neither a folder nor an id, a device that is not there, or as in the class.
        """
        _checked_prompts(prompts)
        device = check_device("device", device)
        pipeline = _read(model_source("model", model), model_source("controlnet", controlnet)).to(device)
        pipeline.set_progress_bar_config(disable=True)
        return cls(pipeline, prompts, settings, name=f"{_short(model)} with {_short(controlnet)}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex over the weights of all parts, the prompts and the settings; computed once, in seconds."""
        parts = ("unet", "controlnet", "vae", "text_encoder")
        weights = {part: weights_digest(getattr(self.pipeline, part).state_dict()) for part in parts}
        tokens, schedule = self.pipeline.tokenizer.get_vocab(), self.pipeline.scheduler.config
        return full_key([weights, tokens, repr(sorted(schedule.items())), self.prompts, self.settings])

    def query_image(self, query: DiffusionQuery) -> np.ndarray:
        """X_0: the image of a query, (H, W, 3) uint8, as it was given.

        Raises:
            TypeError: not a `DiffusionQuery`.
            ValueError: image or control are not (H, W, 3) uint8, of unequal sizes, or of a side that the model cannot
                paint.
        """
        if not isinstance(query, DiffusionQuery):
            raise TypeError(f"query must be a DiffusionQuery(image, control), got {type(query).__name__}")
        image, control = check_image("image", query.image), check_image("control", query.control)
        if image.shape != control.shape:
            raise ValueError(f"control must have the image's size {image.shape}, got {control.shape}")
        factor = self.pipeline.vae_scale_factor
        if image.shape[0] % factor or image.shape[1] % factor:
            raise ValueError(f"image must have sides that are multiples of {factor}, got {image.shape[:2]}")
        return image

    def iter_variants(self, query: DiffusionQuery) -> Iterator[np.ndarray]:
        """Yield the image painted by each prompt in turn, (1, H, W, 3) uint8."""
        image = Image.fromarray(self.query_image(query))
        control = Image.fromarray(query.control)
        for prompt in self.prompts:
            painted = self.pipeline(
                prompt=prompt,
                image=image,
                control_image=control,
                strength=self.settings.strength,
                num_inference_steps=self.settings.steps,
                guidance_scale=self.settings.guidance,
                generator=torch.Generator("cpu").manual_seed(self.settings.seed),  # the same noise on every device
                output_type="np",
            ).images
            yield (painted * 255).round().astype(np.uint8)


def _checked_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
        raise TypeError(f"prompts must be a sequence of texts, got {prompts!r:.80}")
    if not prompts or not all(prompt.strip() for prompt in prompts):
        raise ValueError(f"prompts must be at least one text, and none empty, got {list(prompts)!r:.80}")
    return tuple(prompts)


def _short(model: str | Path) -> str:
    return Path(model).resolve().name if Path(model).is_dir() else str(model)


def _read(model: tuple[str, bool], controlnet: tuple[str, bool]) -> Any:
    """The pipeline of a model and a ControlNet."""
    os.environ.setdefault(HUB_TELEMETRY, "1")
    with extra("diffusion", "A diffusion source needs diffusers"):
        import diffusers
        import transformers
    ours = {"torch_dtype": torch.float32, "low_cpu_mem_usage": False}  # the other way needs accelerate
    # The attention is named: a config.json may ask for one that is downloaded as a compiled kernel.
    theirs = {"dtype": torch.float32, "attn_implementation": "sdpa", "trust_remote_code": False}
    parts = {
        "vae": _network(diffusers.AutoencoderKL, model, "vae", ours),
        "text_encoder": _network(transformers.CLIPTextModel, model, "text_encoder", theirs),
        "unet": _network(diffusers.UNet2DConditionModel, model, "unet", ours),
        "controlnet": _network(diffusers.ControlNetModel, controlnet, None, ours),
    }
    source, is_folder = model
    with errors_explained(source, is_folder, DiffusionUnavailableError):
        # DDIM, whatever the model's own schedule: its steps draw no noise of their own.
        for part, loader in (("tokenizer", transformers.CLIPTokenizer), ("scheduler", diffusers.DDIMScheduler)):
            parts[part] = loader.from_pretrained(source, subfolder=part, local_files_only=is_folder)
    return diffusers.StableDiffusionControlNetImg2ImgPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )


def _network(loader: Any, model: tuple[str, bool], part: str | None, options: dict[str, Any]) -> Any:
    """One network of a model, with all its tensors."""
    source, is_folder = model
    where = f"{source}/{part}" if part else source
    if is_folder:
        check_safetensors(where, DiffusionUnavailableError)
    with errors_explained(source, is_folder, DiffusionUnavailableError):
        network, loading = loader.from_pretrained(
            source,
            **({"subfolder": part} if part else {}),
            local_files_only=is_folder,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    if missing := sorted(loading["missing_keys"]):
        raise DiffusionUnavailableError(f"{where} lacks {len(missing)} of the network's tensors ({missing[0]}, ...)")
    return network
