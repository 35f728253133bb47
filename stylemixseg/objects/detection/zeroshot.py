"""Boxes for any phrase: the zero-shot detectors of Hugging Face's `transformers`, in place of the paper's GLIP.

Two kinds of network (section 3.3 needs either):

- Grounding DINO (Liu et al. 2023, https://arxiv.org/abs/2303.05499), prompted like GLIP: it reads all phrases as one
  text, "sofa. lamp.", and scores every word of it for every box.
- OWLv2 (Minderer et al. 2023, https://arxiv.org/abs/2306.09683): each phrase is a query of its own, "a photo of a
  sofa", and is scored without regard to the others.

Weights are read as safetensors only, and no code that comes with a model is run.
"""

from __future__ import annotations

import itertools
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from stylemixseg._util.checks import check_image, check_real, suggest
from stylemixseg._util.hub import HUB_ID, check_safetensors, errors_explained
from stylemixseg._util.optional import extra
from stylemixseg._util.quiet import HUB_TELEMETRY
from stylemixseg._util.tensors import check_device
from stylemixseg.objects.detection.base import Detection
from stylemixseg.objects.detection.filtering import clean


class KnownModel(NamedTuple):
    """A model with a short name here. Both are on Hugging Face's hub; the licence is that of its model card."""

    hub_id: str
    licence: str


KNOWN = {
    "grounding-dino": KnownModel("IDEA-Research/grounding-dino-tiny", "Apache-2.0"),
    "grounding-dino-base": KnownModel("IDEA-Research/grounding-dino-base", "Apache-2.0"),
    "owlv2": KnownModel("google/owlv2-base-patch16-ensemble", "Apache-2.0"),
}

# The kinds of network by their name in config.json, with the attention to run. It is always named: a config.json may
# ask for one that is downloaded as a compiled kernel.
_ATTENTION = {"grounding-dino": "eager", "owlv2": "sdpa"}


class DetectorUnavailableError(RuntimeError):
    """A detector's files could not be had, or are not what they should be."""


class ZeroShotDetector:
    """A `Detector` of anything that can be named in English. Usually made by `load`.

    Attributes:
        name: short name, for records.

    Args:
        model, processor: of `transformers`, Grounding DINO or OWLv2.
        threshold: boxes with a higher score are given, 0..1. The two kinds' scores do not compare: the default of
            `transformers` is 0.25 for Grounding DINO and 0.1 for OWLv2.
        text_threshold: Grounding DINO only, 0..1: a phrase can be a box's label if one of its words scores higher.
        device: where the network runs.

    Raises:
        TypeError, ValueError: a threshold or device that does not fit, a model of another kind.
    """

    def __init__(
        self, model, processor, *, name: str, threshold: float = 0.3, text_threshold: float = 0.25, device: str = "cpu"
    ):
        self.kind = _check_kind(name, model.config)
        self.name = name
        self.threshold = check_real("threshold", threshold, 0, 1)
        self.text_threshold = check_real("text_threshold", text_threshold, 0, 1)
        self.model = model.to(check_device("device", device)).eval()
        self.processor = processor

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        threshold: float = 0.3,
        text_threshold: float = 0.25,
        device: str = "cpu",
        revision: str | None = None,
    ) -> ZeroShotDetector:
        """A detector by its short name (see KNOWN), from a folder, or by its id on Hugging Face's hub.

        A short name comes before a folder of that name, which is "./owlv2". A folder holds what the hub's repository
        holds: config.json, `*.safetensors`, and the files of the processor. From the hub, files are downloaded once
        (some 700 MB for "grounding-dino") into the cache of `transformers`.

        Args:
            model: a short name, a folder, or owner/name on the hub.
            threshold: boxes with a higher score are given, 0..1.
            text_threshold: Grounding DINO only, 0..1, as in the class.
            device: where the network runs, "cpu" or a CUDA device.
            revision: branch, tag or commit on the hub; None is its main branch.

        Raises:
            ModuleNotFoundError: the extra `detectors` is not installed.
            DetectorUnavailableError: no network, no such model, no safetensors, damaged files.
            TypeError, ValueError: an argument that does not fit, not a name, folder or id, another kind of network.

        Warns:
            UserWarning: tensors are missing, so the network is partly random.
        """
        threshold = check_real("threshold", threshold, 0, 1)
        text_threshold = check_real("text_threshold", text_threshold, 0, 1)
        device = check_device("device", device)
        folder = Path(model)
        is_folder = model not in KNOWN and folder.is_dir()
        if is_folder:
            check_safetensors(folder, DetectorUnavailableError)
            name, source = folder.resolve().name, str(folder)
        elif model in KNOWN:
            name, source = str(model), KNOWN[model].hub_id
        elif isinstance(model, str) and HUB_ID.fullmatch(model):
            name = source = model
        else:
            raise ValueError(f"model must be a folder, owner/name on the hub, or a short name, got {str(model)!r}; "
                             f"{suggest(str(model), KNOWN)}")  # fmt: skip
        network, processor = _read(name, source, revision, is_folder)
        return cls(network, processor, name=name, threshold=threshold, text_threshold=text_threshold, device=device)

    def __call__(self, image: np.ndarray, phrases: Sequence[str]) -> list[Detection]:
        """Boxes of `phrases` in `image` (H, W, 3) uint8, in its pixels; they may reach out of it and overlap.

        Raises:
            TypeError, ValueError: not an image, no phrase, a phrase too long for the network.

        Warns:
            UserWarning: the network gave boxes that are none (NaN, no area); they are left out.
        """
        picture = Image.fromarray(check_image("image", image))
        if isinstance(phrases, str) or not all(isinstance(phrase, str) for phrase in phrases):
            raise TypeError(f"phrases must be a sequence of texts, got {phrases!r:.80}: use parse_phrases")
        if not phrases or not all(phrase.strip() for phrase in phrases):
            raise ValueError(f"phrases must be at least one text, and none empty, got {list(phrases)!r:.80}")
        find = self._ground if self.kind == "grounding-dino" else self._match
        with torch.inference_mode():
            boxes, scores, labels = find(picture, list(phrases))
        found, dropped = clean(boxes, scores, labels)
        if dropped:
            warnings.warn(f"{self.name} gave {dropped} boxes with NaN or no area, which are left out", stacklevel=2)
        return found

    def _match(self, picture: Image.Image, phrases: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """OWLv2. A box has the label of the phrase that scores highest."""
        queries = [f"a photo of a {phrase.lower()}" for phrase in phrases]
        most = self.model.config.text_config.max_position_embeddings  # 16 tokens a query
        for phrase, tokens in zip(phrases, self.processor.tokenizer(queries).input_ids):
            _check_length(phrase, len(tokens), most)
        # The image processor pads to a square with the image in the top left corner; post-processing knows.
        inputs = self.processor(
            images=picture, text=[queries], padding="max_length", max_length=most, return_tensors="pt"
        ).to(self.model.device)
        (result,) = self.processor.post_process_grounded_object_detection(
            self.model(**inputs), threshold=self.threshold, target_sizes=[picture.size[::-1]], text_labels=[phrases]
        )
        return result["boxes"].cpu().numpy(), result["scores"].cpu().numpy(), result["text_labels"]

    def _ground(self, picture: Image.Image, phrases: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Grounding DINO, in several passes where the phrases are more than one text can hold."""
        passes = [self._ground_text(picture, chunk) for chunk in self._chunks(phrases)]
        boxes, scores, labels = zip(*passes)
        return np.concatenate(boxes), np.concatenate(scores), list(itertools.chain(*labels))

    def _ground_text(self, picture: Image.Image, phrases: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """One pass. A box has the label of the phrase whose words have the highest mean probability.

        So GLIP scores phrases too. The processor's own text labels are all words above `text_threshold` in one string:
        "coffee table lamp" where two phrases are near, "table" where two phrases end in it. The place of a word in the
        text tells which phrase it belongs to, so nothing is guessed from strings here. A box without a word above the
        threshold is dropped.
        """
        inputs = self.processor(images=picture, text=_caption(phrases), return_tensors="pt").to(self.model.device)
        outputs = self.model(**inputs)
        (result,) = self.processor.post_process_grounded_object_detection(
            outputs, threshold=self.threshold, text_threshold=self.text_threshold, target_sizes=[picture.size[::-1]]
        )
        words = self._words(inputs["input_ids"][0], len(phrases)).float()  # (P, T)
        probabilities = outputs.logits[0].sigmoid()  # (Q, 256): 0 behind the T tokens of the text
        kept = probabilities.amax(1) > self.threshold  # as the processor keeps them
        probabilities = probabilities[kept, : words.shape[1]]  # (N, T)
        possible = (probabilities > self.text_threshold).float() @ words.T > 0  # (N, P)
        means = probabilities @ words.T / words.sum(1).clamp(min=1)
        best = means.where(possible, -1).argmax(1)
        named = possible.any(1)
        labels = [phrases[i] for i in best[named].tolist()]
        return result["boxes"][named].cpu().numpy(), result["scores"][named].cpu().numpy(), labels

    def _words(self, tokens: torch.Tensor, count: int) -> torch.Tensor:
        """(count, T) bool: which of the T tokens of a caption are words of which phrase."""
        tokenizer = self.processor.tokenizer
        end = tokens == tokenizer.convert_tokens_to_ids(".")
        special = (tokens == tokenizer.cls_token_id) | (tokens == tokenizer.sep_token_id)
        phrase = end.long().cumsum(0)  # the full stops before a token
        return (phrase == torch.arange(count, device=tokens.device)[:, None]) & ~end & ~special

    def _chunks(self, phrases: list[str]) -> Iterator[list[str]]:
        """Phrases that fit one text together."""
        most = self.model.config.max_text_len - 2  # 256 tokens; one each for the begin and the end of the text
        chunk: list[str] = []
        used = 0
        for phrase in phrases:
            length = len(self.processor.tokenizer(_caption([phrase]), add_special_tokens=False).input_ids)
            _check_length(phrase, length, most)
            if used + length > most:
                yield chunk
                chunk, used = [], 0
            chunk.append(phrase)
            used += length
        yield chunk


def _caption(phrases: Sequence[str]) -> str:
    """Grounding DINO's text: lower case, each phrase ended by a full stop. "." and "?" end phrases, so none has one."""
    return " ".join(" ".join(re.sub(r"[.?]", " ", phrase.lower()).split()) + "." for phrase in phrases)


def _check_length(phrase: str, length: int, most: int) -> None:
    if length > most:
        raise ValueError(f"a phrase must have at most {most} tokens for this network, got {length}: {phrase!r:.80}")


def _check_kind(name: str, config) -> str:
    if config.model_type not in _ATTENTION:
        raise ValueError(f"model must be one of {', '.join(_ATTENTION)}, got {config.model_type} ({name})")
    return config.model_type


def _read(name: str, source: str, revision: str | None, is_folder: bool):
    """Model and processor of a folder or hub id `source`."""
    os.environ.setdefault(HUB_TELEMETRY, "1")
    with extra("detectors", "A zero-shot detector needs transformers"):
        import transformers
    safe = {"revision": revision, "trust_remote_code": False, "local_files_only": is_folder}
    with errors_explained(source, is_folder, DetectorUnavailableError):
        config = transformers.AutoConfig.from_pretrained(source, **safe)
    attention = _ATTENTION[_check_kind(name, config)]
    with errors_explained(source, is_folder, DetectorUnavailableError):
        # Pillow's image processor: the other one needs torchvision.
        processor = transformers.AutoProcessor.from_pretrained(source, backend="pil", **safe)
        model, loading = transformers.AutoModelForZeroShotObjectDetection.from_pretrained(
            source, config=config, use_safetensors=True, dtype=torch.float32, attn_implementation=attention,
            output_loading_info=True, **safe,
        )  # fmt: skip
    if missing := sorted(loading["missing_keys"]):
        warnings.warn(
            f"{source} lacks {len(missing)} of the network's tensors ({missing[0]}, ...), which are random now: its "
            "boxes are not to be trusted",
            stacklevel=3,
        )
    return model, processor
