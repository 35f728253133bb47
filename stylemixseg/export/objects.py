"""Objects out: COCO JSON with run-length masks that pycocotools reads, and maps and pictures as PNG."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from stylemixseg._util.checks import check_int
from stylemixseg._util.optional import extra
from stylemixseg._util.outputs import write_picture, write_record
from stylemixseg._util.paths import atomic_write
from stylemixseg.export.images import RECORD, write_latent
from stylemixseg.objects.segmenter import ObjectSegmentation
from stylemixseg.photos.objects import PhotoObjects
from stylemixseg.viz.compositing import PALETTE, in_bands, overlay_objects

OBJECT_FILES = ("image.png", "objects.png", "semantic.png", "instance.png", "objects.coco.json")
PHOTO_OBJECT_FILES = (*OBJECT_FILES, "crop.png", "reconstruction.png", "latent.npy")


def run_lengths() -> ModuleType:
    """The module of pycocotools that encodes masks. A command asks for it before it computes what needs encoding.

    Raises:
        ModuleNotFoundError: pycocotools is not installed; names the extra that brings it.
    """
    with extra("objects", "The COCO file of objects needs pycocotools"):
        from pycocotools import mask
    return mask


def coco(result: ObjectSegmentation, file_name: str, image_id: int = 1) -> dict:
    """The objects in COCO's format for instances (https://cocodataset.org/#format-data), masks as compressed RLE.

    Masks are those that are visible after overlaps were settled, and boxes (x, y, width, height) are tight round them.
    An object that others hide wholly has no annotation. `score` is the detector's, as in COCO's results.

    Args:
        result: the objects of one image of (H, W) pixels.
        file_name: of the image, for the entry "images".
        image_id: of the image; annotations are numbered image by image only if you shift them.

    Raises:
        ModuleNotFoundError: pycocotools is not installed (the extra `objects`).
        TypeError, ValueError: image_id.
    """
    check_int("image_id", image_id, 0)
    encoder = run_lengths()
    height, width = result.instance.shape
    annotations = []
    for item in result.objects:
        visible = result.visible(item.number)
        if not visible.any():
            continue
        encoded = encoder.encode(np.asfortranarray(visible.astype(np.uint8)))
        annotations.append(
            {
                "id": item.number,
                "image_id": image_id,
                "category_id": result.phrases.index(item.detection.label) + 1,
                "bbox": encoder.toBbox(encoded).tolist(),
                "area": int(visible.sum()),
                "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")},
                "iscrowd": 0,
                "score": item.detection.score,
            }
        )
    return {
        "images": [{"id": image_id, "file_name": file_name, "height": height, "width": width}],
        "categories": [{"id": i, "name": phrase} for i, phrase in enumerate(result.phrases, 1)],
        "annotations": annotations,
    }


def records(result: ObjectSegmentation) -> list[dict]:
    """One record an object, as plain values for a JSON file; skipped boxes come last, with the reason."""
    listed = []
    for item in result.objects:
        visible, whole = int(result.visible(item.number).sum()), int(item.mask.sum())
        listed.append(
            {
                "number": item.number,
                "phrase": item.detection.label,
                "score": item.detection.score,
                "box": list(item.detection.box),
                "crop": [item.columns.start, item.rows.start, item.columns.stop, item.rows.stop],
                "cut by the border": list(item.cut),
                "pixels in the crop": whole,
                "visible pixels": visible,
                "note": item.note,
            }
        )
    for detection, reason in result.skipped:
        listed.append(
            {"phrase": detection.label, "score": detection.score, "box": list(detection.box), "skipped": reason}
        )
    return listed


def save_objects(result: ObjectSegmentation, folder: str | Path, *, record: Mapping, seconds: float) -> Path:
    """Write the objects of one image, each file whole or not at all, segmentation.json last.

    image.png; objects.png (objects in colours); semantic.png (values 0.. are colours of a palette: 0 none, then the
    phrases in order); instance.png (16 bits, 0 none, then the objects' numbers); objects.coco.json; segmentation.json.

    Args:
        result: the objects of one image.
        folder: where to write; it is made where it is absent.
        record: what else segmentation.json is to say, plain values.
        seconds: wall time of the whole, loading included.

    Raises:
        ModuleNotFoundError: pycocotools is not installed (the extra `objects`); nothing is written.
    """
    folder = Path(folder)
    annotated = coco(result, "image.png")
    (folder / RECORD).unlink(missing_ok=True)
    pictures: dict[str, Callable[[], np.ndarray | Image.Image]] = {  # made one after the other: a photo may be large
        "image.png": lambda: result.image,
        "objects.png": lambda: in_bands(overlay_objects, result.image, result.instance, halo=1),
        "semantic.png": lambda: _in_palette(result.semantic),
        "instance.png": lambda: result.instance.astype(np.uint16),
    }
    for name, picture in pictures.items():
        write_picture(folder / name, picture())
    with atomic_write(folder / "objects.coco.json") as temporary:
        temporary.write_text(json.dumps(annotated) + "\n", encoding="utf-8")
    described = {"phrases": list(result.phrases), "objects": records(result)}
    write_record(folder / RECORD, {**record, **described, "seconds": {**result.seconds, "total": seconds}})
    return folder


def _in_palette(semantic: np.ndarray) -> Image.Image:
    """Values 0.. as a palette's colours, 0 black."""
    picture = Image.fromarray(semantic.astype(np.uint8))
    picture.putpalette([0, 0, 0, *np.resize(PALETTE, (255, 3)).ravel().tolist()])
    return picture


def save_photo_objects(found: PhotoObjects, folder: str | Path, *, record: Mapping) -> Path:
    """Write the objects of a photo: what `save_objects` writes, in the photo's pixels, and the files of the frame.

    Those are crop.png, reconstruction.png and latent.npy. Boxes and crops in segmentation.json are the frame's.

    Args:
        found: the objects of one photo, from `PhotoObjectSegmenter`.
        folder: where to write; it is made where it is absent.
        record: what else segmentation.json is to say, plain values.
    """
    folder = Path(folder)
    (folder / RECORD).unlink(missing_ok=True)
    write_picture(folder / "crop.png", found.crop)
    write_picture(folder / "reconstruction.png", found.inside.image)
    write_latent(folder / "latent.npy", found.inversion.ws)
    return save_objects(found.result, folder, record=record, seconds=found.result.seconds["total"])
