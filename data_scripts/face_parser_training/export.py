"""What a training gives: the weights as the package reads them, where they come from, and what they score."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
from pathlib import Path

import torch
from safetensors.torch import save_file

from face_parser_training.evaluation import VIEWS, table
from face_parser_training.start import START_FILE, START_SHA256
from stylemixseg._util.paths import atomic_write, sha256_file
from stylemixseg.data.celebamask import MaskedPhotos
from stylemixseg.models.mobileunet import MobileUNet
from stylemixseg.models.references import CLASS_NAMES, NUM_CLASSES, FaceParser
from stylemixseg.models.stored import half_precision


def export(
    out: Path, average: dict, run: dict, training: list[str], validation: list[str], photos: MaskedPhotos
) -> None:
    """Write weights (fp16) and provenance, then evaluate the written file."""
    with atomic_write(out) as path:
        save_file(half_precision(average), path)
    provenance = {
        "sha256": sha256_file(out),
        "network": "DeepLabV3 with MobileNetV2 as encoder, U-shaped decoder, 19 classes; "
        + f"{sum(p.numel() for p in MobileUNet(NUM_CLASSES).parameters())} parameters, stored in fp16",
        "classes": list(CLASS_NAMES),
        "data": {
            "name": "CelebAMask-HQ (Lee et al. 2020), 800 of its photos",
            "training_photos": len(training),
            "validation_photos": len(validation),
            "training_ids_sha256": hashlib.sha256("\n".join(training).encode()).hexdigest(),
            "validation_ids_sha256": hashlib.sha256("\n".join(validation).encode()).hexdigest(),
        },
        "encoder_start": {
            "file": "/".join(START_FILE),
            "sha256": START_SHA256,
            "what": "DeepLabV3 with MobileNetV2, trained on ImageNet, COCO and PASCAL VOC, in 8-bit steps; "
            "github google-coral/test_data, Apache-2.0",
        },
        "licence": "trained on CelebAMask-HQ: non-commercial research and education only (face_parser.LICENSE.md)",
        "training": run
        | {
            "command": "python data_scripts/train_face_parser.py "
            + " ".join(f"--{key} {run[key]}" for key in ("epochs", "batch", "lr", "seed")),
            "date": datetime.date.today().isoformat(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    with atomic_write(out.with_suffix(".json")) as path:
        path.write_text(json.dumps(provenance, indent=1) + "\n")
    evaluate(out, photos, validation)


def evaluate(out: Path, photos: MaskedPhotos, validation: list[str]) -> None:
    """Measure the written weights on the validation photos and write the table beside their provenance."""
    measured = table(FaceParser.load(out), photos, validation)
    provenance = json.loads(out.with_suffix(".json").read_text()) | {"validation": measured}
    with atomic_write(out.with_suffix(".json")) as path:
        path.write_text(json.dumps(provenance, indent=1) + "\n")
    for key in VIEWS:
        print(f"\n{key}, {measured['n_photos']} photos")
        for name in ("fg_bg_miou", "hair_iou", "part_mean_iou"):
            low, high = measured[key][name]["interval"]
            print(f"  {name:14s} {measured[key][name]['value']:.4f}  [{low:.4f}, {high:.4f}]")
        for name, row in measured[key]["class_iou"].items():
            iou = "absent" if row["iou"] is None else f"{row['iou']:.3f}"
            print(f"    {name:12s} {iou}  (in {row['photos_with_it']} photos)")
