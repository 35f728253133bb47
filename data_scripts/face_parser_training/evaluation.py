"""How the parser's masks agree with the human ones on the validation photos."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from stylemixseg.data.celebamask import MaskedPhotos, with_sides_corrected
from stylemixseg.models.references import CLASS_NAMES, NUM_CLASSES, FaceParser

PART_GROUPS = {  # the bar's mean: one IoU per part, two-sided parts averaged over their sides
    "skin": ("skin",),
    "eyes": ("left_eye", "right_eye"),
    "brows": ("left_brow", "right_brow"),
    "nose": ("nose",),
    "lips": ("upper_lip", "lower_lip"),
    "hair": ("hair",),
    "cloth": ("cloth",),
}
VIEWS = {  # how the committed weights are measured: with the mirrored image's scores averaged in? masks as they are?
    "plain": {"flip": False, "correct_sides": False},
    "flip_averaged": {"flip": True, "correct_sides": False},
    "flip_averaged_sides_corrected": {"flip": True, "correct_sides": True},
}


def confusions(
    parser: FaceParser, photos: MaskedPhotos, names: list[str], *, flip: bool = False, correct_sides: bool = False
) -> np.ndarray:
    """(photos, 19, 19) counts: rows the human label, columns the parser's, at the photos' own size (512 px).

    With `correct_sides`, the human masks whose left and right are swapped are put right first.
    """
    counts = np.zeros((len(names), NUM_CLASSES, NUM_CLASSES), dtype=np.int64)
    for i, name in enumerate(tqdm(names, desc="validate", unit="photo", leave=False)):
        image, truth = photos[name]
        truth = with_sides_corrected(truth) if correct_sides else truth
        x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        predicted = parser(x, flip=flip)[0].numpy()
        joint = truth.astype(np.int64) * NUM_CLASSES + predicted
        counts[i] = np.bincount(joint.ravel(), minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)
    return counts


def class_iou(counts: np.ndarray) -> np.ndarray:
    """(19, 19) summed counts -> IoU of each class, NaN where it is in neither the masks nor the predictions."""
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return np.divide(counts.diagonal(), union, out=np.full(NUM_CLASSES, np.nan), where=union > 0)


def headline(counts: np.ndarray) -> dict[str, float]:
    """The three numbers of the bar, dataset-level (counts summed over photos), foreground = label above 0."""
    total = counts.sum(0)
    tn, fn, fp, tp = total[0, 0], total[1:, 0].sum(), total[0, 1:].sum(), total[1:, 1:].sum()
    iou = class_iou(total)
    parts = [np.mean([iou[CLASS_NAMES.index(name)] for name in names]) for names in PART_GROUPS.values()]
    values = {
        "fg_bg_miou": (tp / (tp + fp + fn) + tn / (tn + fp + fn)) / 2,
        "hair_iou": iou[CLASS_NAMES.index("hair")],
        "part_mean_iou": np.mean(parts),
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def table(parser: FaceParser, photos: MaskedPhotos, names: list[str], samples: int = 2000) -> dict:
    """The validation table, for each view: IoU per class, the bar's three numbers with 95 % bootstrap intervals."""
    out: dict = {
        "n_photos": len(names),
        "size": 512,
        "average": "dataset (counts summed over photos)",
        "interval": f"95 % percentile bootstrap over photos, {samples} samples, seed 0",
    }
    for key, how in VIEWS.items():
        counts = confusions(parser, photos, names, **how)
        iou = class_iou(counts.sum(0))
        in_photos = (counts.sum(2) > 0).sum(0)
        rng = np.random.RandomState(0)
        resampled = [headline(counts[rng.randint(len(names), size=len(names))]) for _ in range(samples)]
        out[key] = {
            name: {
                "value": value,
                "interval": [round(float(np.percentile([r[name] for r in resampled], q)), 4) for q in (2.5, 97.5)],
            }
            for name, value in headline(counts).items()
        }
        out[key]["class_iou"] = {
            name: {"iou": None if np.isnan(v) else round(float(v), 4), "photos_with_it": int(n)}
            for name, v, n in zip(CLASS_NAMES, iou, in_photos)
        }
    return out
