#!/usr/bin/env python3
"""Boxes by GLIP, the paper's detector (section 4.2), as files that `stylemixseg segment --detector FILE` reads.

GLIP (Li et al. 2022, https://arxiv.org/abs/2112.03857) runs in MMDetection, which needs an environment of its own; the
page *Detectors* of the book tells how one was made. Run this script there: nothing of this package has to be installed
in that environment, because the boxes go from there to here as JSON. Each image of a folder gives one file,
OUT/NAME.json for NAME.png, with boxes in the image's pixels:

    python data_scripts/glip_boxes.py images/ boxes/ --paper rooms \\
        --config glip_atss_swin-t_a_fpn_dyhead_pretrain_obj365.py --checkpoint glip_tiny_a_mmdet.pth
    stylemixseg segment --generator FILE --seed 7 --objects "sofa, rug" --detector boxes/seed7.json -o out/

A caption is cut into phrases as for the book's other detectors (`parse_phrases`), so "in a livingroom" is not asked
for. GLIP then looks for each phrase, and no tagger of nouns has to be downloaded.

The checkpoint is read as tensors only, and no code in it is run. A configuration of MMDetection is a Python program, so
take one that comes with MMDetection. The text encoder, bert-base-uncased, is looked for on Hugging Face's hub; where
there is no network, name a folder that has it (`--bert`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package is not installed where this runs
from stylemixseg.objects.detection.phrases import parse_phrases  # the standard library is all that it needs

CAPTIONS = {  # of the paper, section 3.3
    "horses": "horses",
    "rooms": "sofa, coffee table, lamp, side table, rug, in a livingroom",
}
IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of their names.

    Raises:
        NotADirectoryError: no such folder.
        ValueError: none in it, or two that would share one file of boxes.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"IMAGES must be a folder, got {folder}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    if not files:
        raise ValueError(f"IMAGES must hold images ({', '.join(sorted(IMAGES))}), got {folder}")
    names = [path.stem for path in files]
    if shared := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"images must differ in more than their endings, got several called {shared[0]}")
    return files


def boxes_of(
    corners: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[int], phrases: Sequence[str]
) -> tuple[list[dict[str, Any]], int]:
    """GLIP's answer for one image, in the layout of `KnownBoxes.read`, the most confident first.

    Args:
        corners: (x0, y0, x1, y1) of each box, in pixels of the image.
        scores: of each box.
        labels: of each box, the number of its phrase.
        phrases: what was asked.

    Returns:
        The boxes, and how many were left out because they are none: NaN, no area, a score outside 0..1, or a number
        without a phrase.
    """
    found = []
    for box, score, label in zip(corners, scores, labels, strict=True):
        x0, y0, x1, y1 = map(float, box)
        finite = all(map(math.isfinite, (x0, y0, x1, y1)))
        if finite and x0 < x1 and y0 < y1 and 0 <= score <= 1 and 0 <= label < len(phrases):
            found.append({"box": [x0, y0, x1, y1], "label": phrases[label], "score": float(score)})
    found.sort(key=lambda item: -item["score"])
    return found, len(labels) - len(found)


def write_boxes(path: Path, boxes: Sequence[dict[str, Any]]) -> None:
    """Write the boxes of one image as JSON, one box per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(box, allow_nan=False) for box in boxes)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


class Glip:
    """GLIP by MMDetection.

    Args:
        config: file of MMDetection's.
        checkpoint: file of weights, or None for random ones.
        bert: folder with the text encoder, or None for the one that the configuration names.
        device: where it runs.

    Raises:
        ValueError: a configuration of another detector, or weights of another network.
    """

    def __init__(self, config: Path, checkpoint: Path | None, bert: Path | None, device: str):
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        if bert is not None:
            os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
        try:
            import torch
            from mmdet.apis import DetInferencer
            from mmengine.config import Config
        except ImportError as error:
            raise ImportError(f"GLIP needs MMDetection, see the page Detectors of the book: {error}") from error

        settings = Config.fromfile(str(config))
        kind = settings.get("model", {}).get("type")
        if kind != "GLIP":
            raise ValueError(f"--config must be one of MMDetection's configs/glip, got a model of type {kind}")
        if bert is not None:
            settings.model.language_model.name = settings.model.bbox_head.lang_model_name = str(bert)
        self.find = DetInferencer(model=settings, weights=None, device=device, show_progress=False)
        if checkpoint is not None:
            try:
                content = torch.load(checkpoint, map_location=device, weights_only=True)
            except pickle.UnpicklingError as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"--checkpoint must hold nothing but tensors and plain values: {reason}") from error
            self._fill(content)

    def _fill(self, content: dict[str, Any]) -> None:
        tensors = content.get("state_dict", content)
        # Older versions of transformers kept a BERT's numbering of positions among its weights.
        tensors = {name: value for name, value in tensors.items() if not name.endswith("position_ids")}
        missing, unknown = self.find.model.load_state_dict(tensors, strict=False)
        if missing or unknown:
            raise ValueError(
                f"--checkpoint must fit --config, got one that lacks {len(missing)} tensors ({', '.join(missing[:1])}) "
                f"and has {len(unknown)} of another network ({', '.join(unknown[:1])})"
            )

    def __call__(self, path: Path, phrases: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
        """Boxes of the phrases in an image file, as `boxes_of` gives them."""
        import numpy as np
        from PIL import Image, ImageOps

        with Image.open(path) as file:
            pixels = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
        bgr = np.ascontiguousarray(pixels[..., ::-1])  # as MMDetection's own reader gives it
        (sample,) = self.find(bgr, texts=". ".join(phrases), custom_entities=True, return_datasamples=True)[
            "predictions"
        ]
        found = sample.pred_instances
        return boxes_of(found.bboxes.tolist(), found.scores.tolist(), found.labels.tolist(), phrases)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", metavar="IMAGES", type=Path, help="folder of images")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder for the boxes, one .json file per image")
    caption = parser.add_mutually_exclusive_group(required=True)
    caption.add_argument("--paper", choices=CAPTIONS, help="the paper's caption for horses or for rooms")
    caption.add_argument("--caption", help='your own, such as "sofa, lamp"')
    parser.add_argument("--config", type=Path, required=True, help="of MMDetection's configs/glip")
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", type=Path, help="GLIP's weights")
    weights.add_argument(
        "--random-weights", action="store_true", help="to try the way without weights: the boxes mean nothing"
    )
    parser.add_argument("--bert", type=Path, metavar="FOLDER", help="the text encoder's files (from the hub otherwise)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (%(default)s)")
    args = parser.parse_args(arguments)

    phrases = parse_phrases(args.caption or CAPTIONS[args.paper])
    files = image_files(args.images)
    for name, path in (("--config", args.config), ("--checkpoint", args.checkpoint), ("--bert", args.bert)):
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{name}: no such file or folder, {path}")
    glip = Glip(args.config, args.checkpoint, args.bert, args.device)
    for path in files:
        boxes, dropped = glip(path, phrases)
        write_boxes(args.out / f"{path.stem}.json", boxes)
        print(f"{path.name}: {len(boxes)} boxes" + (f", {dropped} left out that were none" if dropped else ""))
    if args.random_weights:
        print("The weights were random: these boxes mean nothing.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"glip_boxes.py: {error}")
