"""How the experiments' results are called, and in words for the reader; the ledger reads it without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

from stylemixseg.settings import BOX_CONFIG

# Parts of a face.
FACE_PARTS = ("hair", "eyes", "eyebrows", "nose", "mouth", "glasses")
WHOLE_K = 8  # clusters of a whole image, the paper's number for many parts (section 4.1)
WAYS = {  # how a part is found
    "box": f"in its boxes, k = {BOX_CONFIG.k}, corner minority",
    "box_best": f"in its boxes, k = {BOX_CONFIG.k}, the cluster that fits the reference best",
    "whole_best": f"whole image, k = {WHOLE_K}, the cluster that fits the reference best",
    "filled_box": "its boxes, filled: a mask that looks at no pixel",
}
# Other methods (`experiments.othermethods`): in words, and what each is given besides the generator.
OTHER_METHODS = {
    "datasetgan": ("DatasetGAN, images that the parser labelled", "labels of a few images, by the examiner"),
    "datasetgan_people": ("DatasetGAN, inverted photos that people labelled", "labels of a few photos, an encoder"),
    "labels4free": ("Labels4Free", "real photos, a discriminator"),
    "klish_corners": ("merging after KLiSH, background named by a rule", "nothing"),
    "klish_labels": ("merging after KLiSH, background named with labels", "names of 9 classes, from labelled images"),
    "sis_corners": ("Segmentation in Style, background named by a rule", "nothing"),
    "sis_labels": ("Segmentation in Style, background named with labels", "names of 9 clusters, from labelled images"),
    "colours": ("colours of the image alone (n = 0), saliency rule", "nothing"),
    "colours_oracle": ("colours of the image alone (n = 0), oracle assignment", "the answer"),
    "box_cut": ("GrabCut from a box in the middle", "nothing"),
    "prior": ("saliency map alone, no image", "nothing"),
    "mean_mask": ("one mask for every image, the mean of labelled ones", "labels of a few images, by the examiner"),
}
# Those of them that fit nothing and draw no outline anew, so that their masks of one image come out again.
YARDSTICKS = ("colours", "colours_oracle", "prior")
COSTS = {  # of a method, as `experiments.baselines` records them: in words
    "labels": "images with labels",
    "images": "synthetic images without",
    "photos": "real photos without",
    "parameters": "parameters of extra networks",
    "seconds": "seconds to fit",
    "added_bytes": "bytes of memory that fitting adds",
}
# Horses in photos.
THRESHOLDS = (0.3, 0.5)  # of a box's score


def cutoff_sets(cutoff: int) -> tuple[tuple[int, ...], ...]:
    """The sets of cutoffs that are compared, the single one of the profile first."""
    low, high = cutoff - 2, cutoff + 2
    return (cutoff,), (low,), (high,), (low, cutoff), (cutoff, high), (low, cutoff, high)


def set_name(cutoffs: Sequence[int]) -> str:
    """Name of a set of cutoffs in results: "c4_c6_c8"."""
    return "_".join(f"c{cutoff}" for cutoff in cutoffs)
