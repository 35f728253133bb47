"""The lines of the ledger's tables: which number of ours stands beside which number of the paper."""

from __future__ import annotations

from dataclasses import dataclass

from stylemixseg.evaluation.tables import IOUS
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.words import FACE_PARTS, OTHER_METHODS, THRESHOLDS, WAYS, cutoff_sets, set_name
from stylemixseg.ledger.claims import CUTOFFS, KS, SPACES
from stylemixseg.settings import JUDGE_STYLES, SegmenterConfig


@dataclass(frozen=True)
class Line:
    """One line of a ledger table: a setting, the paper's name for its number or None, and ours or None."""

    setting: str
    paper: str | None
    measured: str | None


def _ious(setting: str, paper: str | None, measured: str | None) -> list[Line]:
    return [
        Line(f"{setting}, {title}", paper and f"{paper}.{iou}", measured and f"{measured}.{iou}")
        for iou, title in IOUS.items()
    ]


def _grid(prefix: str, *, beside_paper: bool) -> list[Line]:
    """A grid of Table 4's cells; the paper's numbers stand beside those of the paper's own rule only."""
    return [
        Line(
            f"{space.upper()}, c = {c}, k = {k}",
            f"table4.{space}.c{c}.k{k}.miou" if beside_paper else None,
            f"{prefix}.{space}.c{c}.k{k}.miou",
        )
        for space in SPACES
        for c in CUTOFFS
        for k in KS
    ]


# Ways to invert a photo, `inversion.kinds.INVERSIONS`: how a table names them.
INVERTED = {"encoder": "encoder", "projector": "optimisation", "both": "encoder, then optimisation"}
_PHOTO_RULES = {  # masks of `experiments.photos.masks` that are not the paper's: how a table names them
    "corner_minority": "corner minority rule",
    "saliency_sharp": "saliency rule, sharpened (ours)",
    "saliency_cut": "saliency rule, redrawn by GrabCut (ours)",
    "judge": "judge of many images (ours)",
    "judge_sharp": "judge of many images, sharpened (ours)",
    "judge_cut": "judge of many images, redrawn by GrabCut (ours)",
    "oracle": "oracle assignment of clusters",
}
_NEAR_OUTLINE = {"saliency": "saliency rule", "judge": _PHOTO_RULES["judge"], "judge_cut": _PHOTO_RULES["judge_cut"]}


def _on_photos() -> list[Line]:
    """The method on photos, inverted in three ways; only the rule that the paper uses stands beside its number."""
    celeba, paper = "table1.celeba", "table1.celeba.ours"
    lines = []
    for inversion, title in INVERTED.items():
        ours = f"{celeba}.{inversion}"
        lines += _ious(f"{title}: saliency rule, dataset-level", paper, f"{ours}.saliency")
        lines += _ious(f"{title}: saliency rule, mean over images", paper, f"{ours}.saliency.per_image")
        for rule, named in _PHOTO_RULES.items():
            lines += _ious(f"{title}: {named}, dataset-level", None, f"{ours}.{rule}")
        for rule, named in _NEAR_OUTLINE.items():
            words = f"{title}: {named}, within 3 px of the outline"
            lines.append(Line(f"{words}, dataset-level, mIoU", None, f"{ours}.{rule}.trimap.miou"))
        words = "face parser on the reconstruction, mean over images, mIoU"
        lines.append(Line(f"{title}: {words}", None, f"{ours}.parser_on_reconstruction"))
    return lines


def _of_parts() -> list[Line]:
    """Parts of a face as objects: the paper shows pictures of them (Figure 1) and no numbers."""
    return [
        Line(f"{part}: {words}, mean IoU over images", None, f"parts.{part}.{way}.iou")
        for part in FACE_PARTS
        for way, words in WAYS.items()
    ]


def _of_detectors() -> list[Line]:
    """What COCO-SSD finds of the horses; the paper reports nothing of its detector."""
    titles = {
        "recall50": "horses found, IoU 0.5",
        "recall70": "horses found, IoU 0.7",
        "precision50": "boxes that are right, IoU 0.5",
        "best_iou": "mean IoU of the best box",
    }
    return [
        Line(
            f"{title}, score at least {threshold:g}", None, f"detector.coco_ssd.horses.{name}.t{100 * threshold:02.0f}"
        )
        for threshold in THRESHOLDS
        for name, title in titles.items()
    ]


def _of_cutoffs() -> list[Line]:
    """Style mixes at several cutoffs, with as many images as at one; the paper takes one."""
    lines = []
    for cutoffs in cutoff_sets(SegmenterConfig.cutoff):
        for rule, title in {"saliency": "saliency rule", "oracle": "oracle assignment of clusters"}.items():
            setting, ours = f"c = {', '.join(map(str, cutoffs))}: {title}", f"cutoffs.{set_name(cutoffs)}.{rule}"
            lines.append(Line(f"{setting}, mean over images", None, f"{ours}.miou"))
            if cutoffs != (SegmenterConfig.cutoff,):
                lines.append(Line(f"{setting}, gain over c = {SegmenterConfig.cutoff}", None, f"{ours}.gain"))
    return lines


def _of_judges() -> list[Line]:
    """The judge of pixels and the shared clusters, which are ours; the paper's rules on the same images and styles."""
    joint = "joint.ffhq"
    lines = []
    for rule, title in {"saliency": "saliency rule", "corner_minority": "corner minority rule"}.items():
        lines += _ious(f"{title}, n = 20, dataset-level", None, f"{joint}.{rule}.n20")
    for n in (8, 20):
        lines += _ious(f"judge, n = {n}, dataset-level", None, f"{joint}.judge.n{n}")
        lines += _ious(f"judge, n = {n}, DeepLabV3, dataset-level", None, f"{joint}.judge.n{n}.deeplab")
        lines.append(Line(f"judge, n = {n}, trimap of 3 px, mIoU", None, f"{joint}.judge.n{n}.trimap.miou"))
        error = f"{joint}.judge.n{n}.calibration_error"
        lines.append(Line(f"judge, n = {n}, expected calibration error", None, error))
        for part in ("background", "skin", "hair", "cloth"):
            shared = f"{joint}.classes.shared.n{n}"
            lines.append(Line(f"shared clusters, n = {n}, IoU of {part}", None, f"{shared}.{part}.fg_iou"))
    return lines


_RIVALS = {"method": "the paper's method", "judge": "the judge"}  # that baselines are compared with in pairs


def _of_baselines(photos: bool) -> list[Line]:
    """Peers written anew and yardsticks, on one set of images; the paper's numbers are of other settings."""
    prefix = "baselines.photos" if photos else "baselines"
    lines = []
    for name, (title, _) in OTHER_METHODS.items():
        lines += _ious(f"{title}, dataset-level", None, f"{prefix}.{name}")
        words = "within 3 px of the outline, dataset-level, mIoU"
        lines.append(Line(f"{title}, {words}", None, f"{prefix}.{name}.trimap.miou"))
        lines += [
            Line(f"{title}, minus {rival}, mIoU", None, f"{prefix}.{name}.minus_{key}")
            for key, rival in _RIVALS.items()
        ]
        lines.append(Line(f"{title}, share of masks that are all or nothing", None, f"{prefix}.{name}.collapsed"))
    return lines


def _of_table3() -> list[Line]:
    """A U-Net that learns from masks of different origins, and rows of ours that change one thing at a time."""
    rows = [
        ("U-Net from masks drawn by people", "unet", "human"),
        ("U-Net from the method's masks (saliency)", "ours", "saliency"),
        ("U-Net from the judge's masks (ours)", None, "judge"),
        ("U-Net from the judge's masks, filtered and without doubtful pixels (ours)", None, "judge_sure"),
        ("U-Net from the judge's probabilities (ours)", None, "judge_soft"),
        ("U-Net from the student's masks of synthetic images (ours)", None, "student"),
        ("U-Net from the student's masks of photos (ours)", None, "student_photos"),
        ("U-Net from the student's masks of both (ours)", None, "student_both"),
        ("U-Net from the judge's masks, as few pairs as in the next rows (ours)", None, "few.judge"),
        ("U-Net from DatasetGAN (here few pairs)", "datasetgan", "few.datasetgan"),
        ("U-Net from Labels4Free (here few pairs)", "l4f", "few.labels4free"),
        ("U-Net from Segmentation in Style (here few pairs, background named with labels)", "sis", "few.sis_labels"),
    ]
    size = load_profile("full").table3
    judged = "U-Net from the judge's masks"
    longer = f"{size.long_steps} steps of {size.long_batch}, photos at {size.long_view} px"
    rows += [(f"{judged}, {count} pairs (ours)", None, f"curve.judge.pairs{count}") for count in size.curve]
    rows += [(f"{judged}, n = {n}, {size.few} pairs (ours)", None, f"styles.judge.n{n}") for n in size.styles]
    if JUDGE_STYLES in size.styles:
        line = f"U-Net from the linear discriminant's masks, n = {JUDGE_STYLES}, {size.few} pairs (ours)"
        rows.append((line, None, f"styles.line.n{JUDGE_STYLES}"))
    rows += [(f"{judged}, views of {side} px (ours)", None, f"sides.judge.px{side}") for side in size.sides]
    if size.long_steps:
        rows += [
            (f"U-Net from masks drawn by people, {longer}", None, "long.human"),
            (f"{judged}, {size.most_pairs} pairs, {longer} (ours)", None, "long.judge"),
            (f"U-Net from the student's masks of photos, {longer} (ours)", None, "long.student_photos"),
            (
                f"U-Net from the student's masks of photos and {size.most_pairs} synthetic images, {longer} (ours)",
                None,
                "long.student_both",
            ),
        ]
    lines = []
    for title, paper, ours in rows:
        for suffix, words in (("", "dataset-level"), (".trimap", "within 3 px of the outline, dataset-level")):
            reported, measured = (name and f"table3.{name}{suffix}" for name in (paper, ours))
            lines += _ious(f"{title}, {words}", reported, measured)
    return lines


_PARTS_OF_STUDENT = [
    *(f"student.celeba.parts.student.{part}" for part in ("skin", "hair", "cloth")),
    *(f"student.celeba.features.student.{part}" for part in ("brows", "eyes", "nose", "mouth")),
]

# The ledger's tables as data: title -> lines. The paper uses saliency on faces, so only that rule has its number beside
# it, in all our variants: the paper does not say how it averages over images, and its reference is DeepLab's kind.
_OURS = "table1.ffhq.ours"
TABLES = {
    "Table 1, FFHQ column": [
        *_ious("saliency rule, face parser, dataset-level", _OURS, "table1.ffhq.saliency"),
        *_ious("saliency rule, face parser, mean over images", _OURS, "table1.ffhq.saliency.per_image"),
        *_ious("saliency rule, DeepLabV3, dataset-level", _OURS, "table1.ffhq.saliency.deeplab"),
        *_ious("corner minority rule, face parser, dataset-level", None, "table1.ffhq.corner_minority"),
        *_ious("corner minority rule, face parser, mean over images", None, "table1.ffhq.corner_minority.per_image"),
        *_ious("corner minority rule, DeepLabV3, dataset-level", None, "table1.ffhq.corner_minority.deeplab"),
        *_ious("oracle assignment of clusters, face parser, dataset-level", None, "table1.ffhq.oracle"),
        *_ious("oracle assignment of clusters, face parser, mean over images", None, "table1.ffhq.oracle.per_image"),
        *_ious("oracle assignment of clusters, DeepLabV3, dataset-level", None, "table1.ffhq.oracle.deeplab"),
        *_ious("agreement of the two references", None, "references.agreement"),
        *_ious("DatasetGAN (supervised)", "table1.ffhq.datasetgan", None),
        *_ious("Labels4Free", "table1.ffhq.l4f", None),
        *_ious("Segmentation in Style", "table1.ffhq.sis", None),
    ],
    "Table 1, CelebAMask-HQ column": [
        *_on_photos(),
        *_ious("face parser on the photo (supervised), dataset-level", None, "table1.celeba.face_parser"),
        *_ious("DeepLabV3 on the photo (supervised), dataset-level", None, "table1.celeba.deeplab"),
        *_ious("student on the photo (ours, from pairs of the method), dataset-level", None, "student.celeba.student"),
        Line(
            "student on the photo (ours), within 3 px of the outline, dataset-level, mIoU",
            None,
            "student.celeba.student.trimap.miou",
        ),
        *(
            Line(f"student of parts on the photo (ours), IoU of {name.split('.')[-1]}", None, f"{name}.fg_iou")
            for name in _PARTS_OF_STUDENT
        ),
        *_ious("DatasetGAN (supervised)", "table1.celeba.datasetgan", None),
        *_ious("Labels4Free", "table1.celeba.l4f", None),
        *_ious("Segmentation in Style", "table1.celeba.sis", None),
    ],
    "Table 2, objects in scenes (ours needs the official weights)": [
        *_ious("LSUN-Horse, horses", "table2.horse.ours", None),
        *_ious("LSUN-Horse, horses, Labels4Free", "table2.horse.l4f", None),
        *_ious("LSUN-Horse, horses, Segmentation in Style", "table2.horse.sis", None),
        *_ious("DeepRooms, sofa (weights never published)", "table2.sofa.ours", None),
        *_ious("DeepRooms, table (weights never published)", "table2.table.ours", None),
    ],
    "Table 3, synthetic training data": _of_table3(),
    "Other methods on the same synthetic images (no table of the paper)": _of_baselines(photos=False),
    "Other methods on the photos, inverted by the encoder (no table of the paper)": _of_baselines(photos=True),
    "Parts of a face as objects (no table of the paper)": _of_parts(),
    "Boxes by COCO-SSD on the Weizmann horses (no table of the paper)": _of_detectors(),
    "Style mixes at several cutoffs at once (no table of the paper)": _of_cutoffs(),
    "A judge of pixels and classes from many images (ours, no table of the paper)": _of_judges(),
    "Table 4, mIoU by colour space, cutoff and k": _grid("table4", beside_paper=True),
    "The grid of Table 4 with the corner minority rule (not in the paper)": _grid("table4_corner", beside_paper=False),
}


# What the paper's column of a table is about: which generator drew or inverted the images.
PAPER_GENERATOR = {
    "Table 1, FFHQ column": "StyleGAN2 on FFHQ",
    "Table 1, CelebAMask-HQ column": "photos inverted into StyleGAN2 on FFHQ",
    "Table 2, objects in scenes (ours needs the official weights)": "StyleGAN2 on LSUN-Horse and DeepRooms",
    "Table 3, synthetic training data": "StyleGAN2 on FFHQ",
    "Table 4, mIoU by colour space, cutoff and k": "StyleGAN2 on FFHQ",
}
