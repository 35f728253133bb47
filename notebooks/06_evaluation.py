# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Evaluation
#
# How well does a mask fit, in numbers, and how far can those numbers be trusted?
#
# :::{admonition} Before you start
# **Objectives**
#
# - Compute the intersection over union (IoU) of two masks, and see in a picture what it counts.
# - Name the two ways to average it over images, and say why they differ.
# - Say what stands in for the truth on synthetic images, and how good that stand-in is.
# - Read Table 1 of the paper beside our own measurement, with intervals.
# - Compare two methods on the same images, and say what a fault of the reference does to their difference.
# - Compare a score with that of a mask that never looks at the image.
# - Measure the precision along the boundary with a trimap.
#
# **Prerequisites**
#
# - [Foreground rules](05_foreground_rules.ipynb): saliency and corner minority.
# - Means and confidence intervals, as in a first course of statistics. There are refreshers on
#   [IoU](../refreshers/iou.md) and on [the bootstrap](../refreshers/bootstrap.md).
#
# **Run time:** about 3 minutes on two CPU cores (profile `cpu`), less if another chapter has already stored its
# style-mixed images.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import numpy as np
from IPython.display import Markdown, display

from stylemixseg.evaluation.resultfiles import read_json
from stylemixseg.evaluation.results import load_run, measurements
from stylemixseg.evaluation.tables import (
    IOUS,
    measured_cells,
    measured_text,
    reported_text,
    table,
)
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import (
    make_cluster_maps,
    map_key,
    query_latent,
)
from stylemixseg.experiments.evaluation import run_evaluation
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import (
    REFERENCES,
    RULES,
    TRIMAP_WIDTH,
    reference_masks,
    rule_mask,
    score_rules,
    second_reference,
)
from stylemixseg.foreground import gaussian_map
from stylemixseg.ledger.page import paper_values
from stylemixseg.metrics import (
    bootstrap_interval,
    paired_difference,
    trimap_confusion,
)
from stylemixseg.models.references import INPUT_SIZE, PROVENANCE_FILE
from stylemixseg.viz.compositing import agreement_map, boundary_windows, overlay
from stylemixseg.viz.plotting import image_grid, image_row, strip

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "06_evaluation", profile, results, seed="queries.first"
)

# %% [markdown]
# ## What IoU counts
#
# A pixel of a predicted mask $\mathbf{Y}$ is compared with the same pixel of a reference mask $\mathbf{T}$. There are
# four cases:
#
# | | in the reference: foreground | in the reference: background |
# |---|---|---|
# | **predicted foreground** | true positive (TP) | false positive (FP) |
# | **predicted background** | false negative (FN) | true negative (TN) |
#
# The *intersection over union* of the foreground is the area that both masks cover, over the area that at least one
# of them covers. The background has its own, and the paper reports both and their mean, mIoU (section 4.2):
#
# ```{math}
# :label: eq-iou
# \mathrm{IoU}_\mathrm{fg} = \frac{TP}{TP + FP + FN}, \qquad
# \mathrm{IoU}_\mathrm{bg} = \frac{TN}{TN + FP + FN}, \qquad
# \mathrm{mIoU} = \frac{\mathrm{IoU}_\mathrm{fg} + \mathrm{IoU}_\mathrm{bg}}{2}.
# ```
#
# IoU is 1 for equal masks and 0 for masks that share nothing. The share of correct pixels would be simpler, but
# whenever the object is large, it rewards a mask that calls everything foreground.
#
# First we need masks, so the next cell makes the cluster maps of all evaluation images of this profile. They are stored
# on disk, and later chapters read them from there.

# %% tags=["remove-output"]
maps = make_cluster_maps(
    generator, P, [(seed, P.method.cutoff) for seed in P.queries.seeds]
)
labels = [item[map_key(P.method.color_space, P.method.k)] for item in maps]
truths = reference_masks(P.reference, generator, P, P.queries.seeds, maps)

# %% tags=["remove-input"]
display(
    Markdown(
        f"{len(maps)} images of the generator `{P.generator}`, n = "
        f"{P.method.n} styles, c = {P.method.cutoff}, k = {P.method.k}, "
        f"{P.method.color_space.upper()}. The reference here is "
        f"{REFERENCES[P.reference]}."
    )
)

# %%
from stylemixseg.metrics import confusion

image, truth = maps[0]["image"], truths[0]
mask = rule_mask(labels[0], P.method.k, RULES["saliency"])
counts = confusion(mask, truth)

# %% tags=["remove-input"]
display(
    Markdown(
        f"TP = {counts.tp}, FP = {counts.fp}, FN = {counts.fn}, TN = "
        f"{counts.tn} pixels, so foreground IoU = {counts.fg_iou:.3f}, "
        f"background IoU = {counts.bg_iou:.3f} and mIoU = {counts.miou:.3f} on "
        "this one image."
    )
)

# %% mystnb={"image": {"alt": "One image, its reference mask, the predicted mask, and a map that colours each pixel by the four cases"}, "figure": {"caption": "The four cases on one image. Blue: true positives. Orange: false positives, which the method took and the reference did not. Pink: false negatives, which the method missed. Grey: true negatives. The foreground IoU is the blue area divided by the whole coloured area (blue, orange and pink).", "name": "fig-four-cases"}}
image_row(
    [image, truth, mask, agreement_map(mask, truth)],
    ["image", "reference", "saliency rule", "comparison"],
)

# %% [markdown]
# ### Try it: an IoU by hand
#
# Paint the person and read the IoU of the method's mask with yours. Then take
# the reference's mask: how far does it agree with what you painted?
#
# ```{raw} html
# <link rel="stylesheet" href="../live/live.css">
# <div data-style-mix-live data-recorded
#   data-panels="mask paint">
#   <p>This part of the page needs JavaScript.</p>
# </div>
# <script src="../live/live.js" defer></script>
# ```
#
# ## Two ways to average
#
# One image says little, so IoU is averaged over many. There are two common methods:
#
# - **Mean over images**: compute one IoU per image, then take their mean, so that every image has the same weight.
# - **Dataset-level**: sum TP, FP, FN and TN over all images, then compute one IoU, so that every pixel has the same
#   weight.
#
# The two give different numbers. As an example, take two made-up images of 100 by 100 pixels: in one the object is
# large and segmented well, in the other it is small and segmented badly.

# %%
from stylemixseg.metrics import Confusion, mean_iou

large = Confusion(tp=6000, fp=300, fn=300, tn=3400)
small = Confusion(tp=200, fp=200, fn=200, tn=9400)
over_images = mean_iou([large, small], "per_image", "fg_iou")
over_pixels = mean_iou([large, small], "dataset", "fg_iou")

# %% tags=["remove-input"]
rows = [
    ["the large object alone", f"{large.fg_iou:.3f}"],
    ["the small object alone", f"{small.fg_iou:.3f}"],
    ["mean over images", f"{over_images:.3f}"],
    ["dataset-level", f"{over_pixels:.3f}"],
]
display(Markdown(table(["made-up example", "foreground IoU"], rows)))

# %% [markdown]
# The small object hardly affects the dataset-level number, because it has few pixels. Neither method of averaging is
# wrong, but a paper should say which one it uses, and this one does not. The two other unsupervised methods in its
# table, Labels4Free {cite}`abdal2021` and Segmentation in Style {cite}`pakhomov2021`, use dataset-level numbers, so
# these are what we set beside Table 1. We give the other one, too. On our images the two are:

# %%
scores = score_rules(labels, P.method.k, truths)

# %% tags=["hide-input"]
TITLES = {
    "saliency": "saliency rule",
    "corner_minority": "corner minority rule",
    "oracle": "oracle assignment",
}
rows = []
for rule, confusions in scores.items():
    by_image, by_dataset = (
        mean_iou(confusions, average) for average in ("per_image", "dataset")
    )
    rows.append(
        [
            TITLES[rule],
            f"{by_dataset:.3f}",
            f"{by_image:.3f}",
            f"{by_image - by_dataset:+.3f}",
        ]
    )
    recorder.add(
        f"{P.prefix}evaluation.average_gap.{rule}",
        by_image - by_dataset,
        n=len(confusions),
    )
display(
    Markdown(
        table(["mIoU", "dataset-level", "mean over images", "difference"], rows)
    )
)

# %% [markdown]
# The *oracle assignment* is not a method, because it looks at the reference: it assigns each cluster to the side on
# which most of its pixels lie. No rule gets more pixels right with these clusters. A rule can get a higher mIoU if the
# clusters are badly mixed, because mIoU gives more weight to the pixels of the smaller class; with well separated
# clusters it hardly can. The oracle therefore separates the two steps: the loss of the clustering is about the oracle's
# distance from 1, and the loss of the rule is about the rule's distance from the oracle.
#
# ## What stands in for the truth
#
# Nobody has drawn masks on synthetic images, so the paper uses a *pseudo ground truth*: the output of a network that
# was trained on photos with human masks. For faces it takes DeepLabV3+ {cite}`chen2018` and its class *person* (section
# 4.2). A number in that column of Table 1 therefore says how well two programs agree, and not how right one of them is.
#
# For the face generator our reference is a small *face parser*, a network that was trained on photos of CelebAMask-HQ
# {cite}`lee2020` with masks drawn by people. It distinguishes 19 classes; the foreground is everything but the class
# *background*, so hair, neck and clothes count as the person, as they do for DeepLab. Its quality was measured on
# photos that it had not seen. The table comes from the file that lies beside its weights.

# %% tags=["hide-input"]
provenance = read_json(PROVENANCE_FILE)
validation = provenance["validation"]
plain = validation["plain"]


def cell_text(entry):
    low, high = entry["interval"]
    return [f"{entry['value']:.3f}", f"{low:.3f} to {high:.3f}"]


display(
    Markdown(
        f"Trained on {provenance['data']['training_photos']} photos, measured "
        f"on {validation['n_photos']} others. Average: "
        f"{validation['average']}.\n\n"
        + table(
            ["face parser against people", "IoU", "95 % interval"],
            [
                [
                    "foreground and background, mIoU",
                    *cell_text(plain["fg_bg_miou"]),
                ],
                ["hair", *cell_text(plain["hair_iou"])],
                [
                    "mean of the facial parts",
                    *cell_text(plain["part_mean_iou"]),
                ],
            ],
        )
    )
)

# %% tags=["hide-input"]
rows = [
    [
        name.replace("_", " "),
        "absent" if entry["iou"] is None else f"{entry['iou']:.3f}",
        str(entry["photos_with_it"]),
    ]
    for name, entry in plain["class_iou"].items()
]
display(Markdown(table(["class", "IoU", "photos with it"], rows)))

# %% [markdown]
# Rare and small classes (open the table above) are hard for the parser. For the foreground this matters little, because
# an earring taken for hair is still foreground. Two limits remain. First, the parser was trained on photos, and a
# synthetic image is not quite a photo. Second, photos and generator show faces in a similar frame, so what the parser
# learnt about that frame helps it here.
#
# ### What a second reference tells
#
# A second reference shows how far a first one can be trusted. If DeepLabV3 is available (a file in the data folder and
# the extra `references`), the run below scores against it too, and compares the two references with each other. Where
# they disagree, at least one of them is wrong, so their disagreement measures the error of a *single number*: a perfect
# mask could not agree with both, and an mIoU of one method may be off by about as much from what an exact reference
# would give.
#
# However, it does not measure the error of a *difference* between two methods, although it is often taken for that.
# Score two methods on the same images against the same reference. Where the reference is wrong about some pixels on
# which both masks are alike, both scores fall by about the same amount, so their difference hardly changes. Differences
# much smaller than the disagreement of the references can therefore be real. A section below shows this on our own
# numbers.
#
# A second reference also protects against another error. A reference can be wrong *in favour* of one method, for
# example if it leaves out stray hair and one of the methods does so, too. Such an error does not cancel. If a
# difference keeps its sign and size under a reference of another origin, this explanation becomes unlikely. Our two
# references are not independent, however: the parser is another network and learnt its classes from other masks, but
# its encoder started from a DeepLabV3 that had been trained on PASCAL VOC. Errors inherited from there are common to
# both references, so their agreement cannot reveal them.
#
# ## Table 1, FFHQ column
#
# The next cell runs the experiment and writes its result file, as the command `stylemixseg reproduce table1` does. It
# takes only seconds, because the cluster maps are on disk already. The table after it is read from that file.

# %% tags=["remove-output"]
result_file = run_evaluation(P, folder, generator)
found = measurements(result_file)

# %% tags=["hide-input"]
full_file = folder / "full" / "table1.json"
if full_file.exists():
    run = load_run(full_file)
    full = measurements([run])
    status = (
        f"The full run is of {run.created[:10]}, with the generator "
        f"`{run.generator['name']}`."
    )
else:
    full = {}
    status = (
        "This results folder holds no full run, so the last column reads "
        "*not measured*."
    )
paper = paper_values()
ours = f"{P.prefix}table1.ffhq"
settings = [
    ("saliency rule, dataset-level", f"{ours}.ours", f"{ours}.saliency"),
    (
        "saliency rule, mean over images",
        f"{ours}.ours",
        f"{ours}.saliency.per_image",
    ),
    (
        "saliency rule, DeepLabV3 as reference",
        f"{ours}.ours",
        f"{ours}.saliency.deeplab",
    ),
    ("corner minority rule, dataset-level", None, f"{ours}.corner_minority"),
    ("oracle assignment, dataset-level", None, f"{ours}.oracle"),
    (
        "agreement of the two references",
        None,
        f"{P.prefix}references.agreement",
    ),
]
header = [
    "setting",
    "paper reported",
    "measured here",
    "95 % interval",
    "images",
    "full run, measured here",
]
rows = [
    [
        f"{setting}, {title}",
        reported_text(paper, reported and f"{reported}.{iou}"),
        *measured_cells(found.get(f"{measured}.{iou}")),
        measured_text(full.get(f"{measured}.{iou}")),
    ]
    for setting, reported, measured in settings
    for iou, title in IOUS.items()
]
display(
    Markdown(
        f"{status} The reference is {REFERENCES[P.reference]}.\n\n"
        + table(header, rows)
    )
)

# %% [markdown]
# How to read the table:
#
# - The paper's column and ours do not measure the same thing. The paper uses StyleGAN2 and DeepLabV3+, whereas here
#   another generator is measured against another reference. A number of ours therefore neither confirms nor corrects
#   one of the paper.
# - The paper uses the saliency rule on faces, so its number stands only in the rows of that rule, whichever average or
#   reference they use.
# - The paper gives no interval and no number of images for this table. Without them, it cannot be decided which of two
#   close rows is better.
# - A cell that says *not measured* was not measured in this run. Numbers of the toy world are never set beside the
#   paper's.
#
# To give these numbers a scale, here are the paper's own rows for the other methods:

# %% tags=["hide-input"]
METHODS = {
    "datasetgan": "DatasetGAN (16 labelled images)",
    "l4f": "Labels4Free",
    "sis": "Segmentation in Style",
    "ours": "the paper's method",
}
rows = [
    [title, *(f"{paper[f'table1.ffhq.{method}.{iou}']:.2f}" for iou in IOUS)]
    for method, title in METHODS.items()
]
display(Markdown(table(["paper reported, FFHQ", *IOUS.values()], rows)))

# %% [markdown]
# According to the paper's own numbers, the method is above DatasetGAN {cite}`zhang2021`, which needs labels, and below
# both other unsupervised methods in this column. The text speaks of "similar or better performance" (section 4.2),
# which is true of other columns, but not of this one. [The ablation chapter](07_ablation.ipynb) tests such claims one
# by one.
#
# ## A mask that never looks
#
# A method that knows nothing about an image does not score zero. Faces of one generator are framed alike, so a *fixed*
# mask, the same for every image, agrees with all of them to some degree. A good one is the *mean mask*: average the
# reference masks of many other images, and call a pixel foreground if it is foreground in more than half of them. We
# take the development images, so the mean mask has seen no image on which it is scored. A table of such numbers needs
# this blind baseline, because only what a method scores above it comes from looking at the image.

# %% tags=["remove-output"]
from stylemixseg.mixing import query_image

known = [
    {
        "image": query_image(
            generator, query_latent(generator, P, seed), P.method.resolution
        )
    }
    for seed in P.queries.development_seeds
]
learnt_from = reference_masks(
    P.reference, generator, P, P.queries.development_seeds, known
)
share = np.mean(learnt_from, axis=0)  # (h, w): of images, foreground here
mean_mask = share > 0.5

# %% mystnb={"image": {"alt": "A grey map of how often each pixel is foreground, the fixed mask made from it, and the comparison of that mask with the references of three images"}, "figure": {"caption": "How often each pixel is foreground in the development images (white: always), the mean mask, and the mean mask against the references of three evaluation images (blue and grey: agreement; orange: too much; pink: too little).", "name": "fig-mean-mask"}}
image_row(
    [
        share,
        mean_mask,
        *(agreement_map(mean_mask, item) for item in truths[:3]),
    ],
    ["share", "mean mask", *(f"image {seed}" for seed in P.queries.seeds[:3])],
)

# %%
blind_scores = [confusion(mean_mask, item) for item in truths]

# %% tags=["hide-input"]
rows = []
compared = {"mean mask (blind)": blind_scores}
compared |= {TITLES[rule]: scores[rule] for rule in scores}
for name, confusions in compared.items():
    gain, around = paired_difference(
        confusions, blind_scores, "miou", "dataset"
    )
    above = f"{gain:+.3f} ({around[0]:+.3f} to {around[1]:+.3f})"
    low, high = bootstrap_interval(confusions, "miou", "dataset")
    rows.append(
        [
            name,
            *(f"{mean_iou(confusions, 'dataset', iou):.3f}" for iou in IOUS),
            f"{low:.3f} to {high:.3f}",
            "" if confusions is blind_scores else above,
        ]
    )
recorder.add_ious(
    f"{P.prefix}evaluation.blind.mean_mask",
    blind_scores,
    average="dataset",
    note=f"mean reference mask of {len(known)} development images, > 0.5",
)
header = [
    "dataset-level",
    *IOUS.values(),
    "95 % interval of mIoU",
    "mIoU above the mean mask, same images",
]
display(
    Markdown(
        f"{len(truths)} images; the mean mask is made from {len(known)} "
        "others.\n\n" + table(header, rows)
    )
)

# %% [markdown]
# On faces, much of a foreground IoU that looks high comes from the framing alone. The background IoU tells the blind
# mask and a method apart more clearly, because there is less background and its shape differs more from image to image.
#
# ## Two methods on the same images
#
# Is $k = 4$ better than $k = 3$, or the saliency rule better than corner minority? Each has its interval, and the
# intervals may overlap, but their overlap does not answer the question. The intervals are wide because some images are
# hard and others easy, and the hard ones are hard for both methods.
#
# We therefore look at the *difference*, and resample the images for both methods together: each of 2000 resampled sets
# holds the same images for both, and gives one difference. The middle 95 % of these differences is the interval of the
# difference; this is called a *paired bootstrap*. What an image or its reference does to both methods alike cancels
# within each set. If the interval lies on one side of 0, other images of the same kind would very likely give the same
# sign; if it contains 0, these images do not decide which method is better.
#
# The table compares settings of the method in this way, against each reference that is available. It also says how far
# the two intervals of the single methods overlap, and the line above it gives the disagreement of the references.

# %% tags=["remove-output"]
by_k = {
    k: [item[map_key(P.method.color_space, k)] for item in maps]
    for k in P.table4.ks
}
judges = {P.reference: truths}
if other := second_reference(P):
    judges[other] = reference_masks(other, generator, P, P.queries.seeds, maps)

# %% tags=["hide-input"]
rows = []
for judge, masks_of in judges.items():
    of_k = {k: score_rules(by_k[k], k, masks_of) for k in P.table4.ks}
    here = of_k[P.method.k]
    pairs = {
        f"k = {P.method.k} minus k = {k}, saliency rule": (
            f"k{P.method.k}_minus_k{k}",
            here["saliency"],
            of_k[k]["saliency"],
        )
        for k in P.table4.ks
        if k != P.method.k
    }
    pairs[f"saliency minus corner minority, k = {P.method.k}"] = (
        "saliency_minus_corner_minority",
        here["saliency"],
        here["corner_minority"],
    )
    most = max(P.table4.ks)
    pairs[f"k = {most} minus k = {P.method.k}, oracle assignment"] = (
        f"oracle_k{most}_minus_k{P.method.k}",
        of_k[most]["oracle"],
        here["oracle"],
    )
    for title, (name, first, second) in pairs.items():
        gain, around = paired_difference(first, second, "miou", "per_image")
        alone = [
            bootstrap_interval(item, "miou", "per_image")
            for item in (first, second)
        ]
        overlap = min(high for _, high in alone) - max(low for low, _ in alone)
        decided = around[0] > 0 or around[1] < 0
        rows.append(
            [
                title,
                judge.replace("_", " "),
                f"{gain:+.3f}",
                f"{around[0]:+.3f} to {around[1]:+.3f}",
                f"by {overlap:.3f}" if overlap > 0 else "no",
                "yes" if decided else "no",
            ]
        )
        recorder.add(
            f"{P.prefix}evaluation.paired.{judge}.{name}.miou",
            gain,
            n=len(maps),
            interval=around,
        )
header = [
    "difference of mIoU, mean over images",
    "reference",
    "value",
    "paired 95 % interval",
    "do the single intervals overlap?",
    "sign decided?",
]
disagreement = "Only one reference is at hand here."
if other:
    agreed = mean_iou(
        [confusion(a, b) for a, b in zip(judges[other], truths)], "per_image"
    )
    disagreement = (
        "The two references agree with each other at an mIoU of "
        f"{agreed:.3f}, so they disagree by {1 - agreed:.3f}."
    )
display(
    Markdown(f"{len(maps)} images. {disagreement}\n\n" + table(header, rows))
)

# %% [markdown]
# Read a row from left to right: how large the difference is, what the paired interval says, and whether the intervals
# of the single methods would have said the same. If the sign is decided although the difference is smaller than the
# disagreement of the references, or although the single intervals overlap, pairing has shown what these two could not.
# If the two references give a difference of about the same size, an error of one reference does not explain it. On
# faces the oracle's row is such a case: the difference is small, but it has the same sign on nearly all images. (It
# says that more clusters *can* fit a reference better, which is to be expected. It is no gain of a method, because the
# oracle is not one.) If the sign is not decided, more images are needed, and not another reference.
#
# ## The spread behind a mean
#
# A mean hides how the images differ, so the next figure shows every image.

# %% mystnb={"image": {"alt": "Rows of dots, one row for each foreground rule, showing the mIoU of every image with the mean and its interval"}, "figure": {"caption": "mIoU of every image (dots), the mean over images (black bar) and its 95 % interval (red). Single images far to the left are those on which a rule put a cluster on the wrong side.", "name": "fig-spread"}}
by_image = {
    TITLES[rule]: [item.miou for item in confusions]
    for rule, confusions in scores.items()
}
intervals = {
    TITLES[rule]: bootstrap_interval(confusions, "miou", "per_image")
    for rule, confusions in scores.items()
}
strip(by_image, values="mIoU of one image", intervals=intervals)

# %% mystnb={"image": {"alt": "The images with the lowest, the middle and the highest mIoU, each with its mask and the map of agreements and errors"}, "figure": {"caption": "The worst, the middle and the best image under the saliency rule. Top: the mask's outline in orange, with the background darkened. Bottom: blue for agreement, orange for too much, pink for too little.", "name": "fig-worst-best"}}
order = np.argsort([item.miou for item in scores["saliency"]])
shown = [order[0], order[len(order) // 2], order[-1]]
masks = [rule_mask(labels[i], P.method.k, RULES["saliency"]) for i in shown]
image_grid(
    [
        [overlay(maps[i]["image"], mask) for i, mask in zip(shown, masks)],
        [agreement_map(mask, truths[i]) for i, mask in zip(shown, masks)],
    ],
    column_titles=[
        f"{name}: {scores['saliency'][i].miou:.3f}"
        for name, i in zip(("worst", "middle", "best"), shown)
    ],
)

# %% [markdown]
# ### Where the interval comes from
#
# Other images would give another mean. The *bootstrap* imitates this: draw as many images as there are, with
# replacement, take the mean, and repeat this 2000 times. The middle 95 % of these means is the interval. It says how
# far the number depends on which images were drawn by chance, but nothing about an error that the reference makes on
# all images alike.
#
# With many images, the width of the interval falls about as one over the square root of their number. Here the first
# few of our images are compared with all of them:

# %% tags=["hide-input"]
rows = []
for count in sorted({max(2, len(maps) // 4), len(maps) // 2, len(maps)}):
    low, high = bootstrap_interval(
        scores["saliency"][:count], "miou", "per_image"
    )
    mean = mean_iou(scores["saliency"][:count], "per_image")
    rows.append(
        [
            str(count),
            f"{mean:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{high - low:.3f}",
        ]
    )
display(
    Markdown(
        table(
            ["images", "mIoU, mean over images", "95 % interval", "width"], rows
        )
    )
)

# %% [markdown]
# With a handful of images, do not trust the width either, because the bootstrap knows only the images that it has: a
# few that happen to be alike give an interval that is far too narrow.
#
# ## Along the boundary: the trimap
#
# Most pixels are far from any boundary, where segmentation is easy. A *trimap* {cite}`kohli2009` therefore leaves only
# a narrow band around the reference's boundary and takes the IoU there. The paper does so in Table 3, with a "width of
# 3 pixels". It does not say whether these are 3 pixels in all or on each side, or at which resolution, but we can
# compute both.
#
# Such a number needs a scale, because a guess does not score zero in the band. A *coin* that calls each pixel of the
# band foreground with probability one half has a known expectation. Let $f$ be the share of foreground in the band. Of
# all pixels in the band, the coin gets $f/2$ true positives, $f/2$ false negatives, $(1-f)/2$ false positives and
# $(1-f)/2$ true negatives, so
#
# ```{math}
# :label: eq-coin
# \mathrm{IoU}_\mathrm{fg} = \frac{f/2}{f/2 + f/2 + (1-f)/2} = \frac{f}{1 + f}, \qquad
# \mathrm{IoU}_\mathrm{bg} = \frac{1 - f}{2 - f}.
# ```

# %% mystnb={"image": {"alt": "A detail of the image at the boundary of the object, the trimap band there, and the errors of the mask inside the band"}, "figure": {"caption": "A detail at the boundary of the object: the image, the band around the reference's boundary in white, and the comparison, coloured only inside the band. Guessing at random in the band scores about one third.", "name": "fig-trimap"}}
from stylemixseg.metrics import trimap_band

band = trimap_band(truth, TRIMAP_WIDTH)
compared = agreement_map(mask, truth)
compared[~band] = 255
zoom = boundary_windows(truth, count=2, side=len(truth) // 4)[1]
image_row(
    [image[zoom], band[zoom], compared[zoom]],
    ["image", "trimap band", "mask in the band"],
)

# %% tags=["hide-input"]
WIDTHS = (TRIMAP_WIDTH, TRIMAP_WIDTH + 2, 3 * TRIMAP_WIDTH)
rows = []
for rule_name, rule in RULES.items():
    predicted = [rule_mask(map_, P.method.k, rule) for map_ in labels]
    of_rule = f"{P.prefix}evaluation.{rule_name}.trimap"
    cells = []
    for reading in ("both", "per_side"):
        for width in WIDTHS:
            value = mean_iou(
                [
                    trimap_confusion(a, b, width, reading)
                    for a, b in zip(predicted, truths)
                ],
                "dataset",
            )
            recorder.add(
                f"{of_rule}.{reading}.width{width}.miou", value, n=len(maps)
            )
            cells.append(f"{value:.3f}")
    rows.append([TITLES[rule_name], *cells])
widths = [
    f"{width} px {reading}"
    for reading in ("in all", "each side")
    for width in WIDTHS
]
display(Markdown(table(["trimap mIoU, dataset-level", *widths], rows)))

# %% [markdown]
# All numbers of a row belong to the same masks, so a trimap number means little without the definition of its band. The
# width is counted here at the clustering's resolution.
#
# To give these numbers a scale, the next table sets the band of width 3 beside three masks that show what a number
# there means: the coin of {eq}`eq-coin`, a mask that calls the whole band foreground, and the *reference itself, moved
# to the right by one or two pixels*. Every viewer would call the last of these masks perfect. The full run stands
# beside them: it has more images and more pixels, so its band is a thinner strip of the image.

# %%
bands = [trimap_band(item, TRIMAP_WIDTH) for item in truths]
of_band = sum(
    np.count_nonzero(item & band_) for item, band_ in zip(truths, bands)
)
# share of foreground in the bands
f = of_band / sum(map(np.count_nonzero, bands))
coin = {"fg_iou": f / (1 + f), "bg_iou": (1 - f) / (2 - f)}
coin["miou"] = (coin["fg_iou"] + coin["bg_iou"]) / 2


def moved(item, step):
    """The mask (h, w), moved to the right; the left column fills the gap."""
    return item[:, np.maximum(np.arange(item.shape[1]) - step, 0)]


def in_band(guesses):
    return [
        trimap_confusion(a, b, TRIMAP_WIDTH) for a, b in zip(guesses, truths)
    ]


scale = {
    "everything is foreground": in_band(
        [np.ones_like(item) for item in truths]
    ),
    "reference moved by 1 pixel": in_band([moved(item, 1) for item in truths]),
    "reference moved by 2 pixels": in_band([moved(item, 2) for item in truths]),
}

# %% tags=["hide-input"]
recorder.add(
    f"{P.prefix}evaluation.coin.trimap.miou", coin["miou"], n=len(truths)
)
rows = [["a coin (computed)", *(f"{coin[iou]:.3f}" for iou in IOUS), "", ""]]
for name, confusions in scale.items():
    cells = [f"{mean_iou(confusions, 'dataset', iou):.3f}" for iou in IOUS]
    rows.append([name, *cells, "", ""])
    recorder.add(
        f"{P.prefix}evaluation.scale.{name.replace(' ', '_')}.trimap.miou",
        mean_iou(confusions, "dataset"),
        n=len(truths),
    )
for rule in RULES:
    items = [found[f"{ours}.{rule}.trimap.{iou}"] for iou in IOUS]
    low, high = items[-1].interval
    rows.append(
        [
            f"the method, {TITLES[rule]}",
            *(f"{item.value:.3f}" for item in items),
            f"{low:.3f} to {high:.3f}",
            measured_text(full.get(f"{ours}.{rule}.trimap.miou")),
        ]
    )
header = [
    f"trimap of width {TRIMAP_WIDTH} in all, dataset-level",
    *IOUS.values(),
    "95 % interval of mIoU",
    "full run, mIoU",
]
display(
    Markdown(
        f"{len(truths)} images at {len(truth)} px; {f:.1%} of the band is "
        "foreground.\n\n" + table(header, rows)
    )
)

# %% [markdown]
# What do these numbers mean? A band of three pixels is so narrow that a mask loses much of the score if it is off by
# two pixels to one side, which hardly anybody would notice. A method near the coin, as in the full run, is therefore
# not a method that fails: away from the boundary its mask may be good, as Table 1 shows. A score near the coin says
# that, in most places, the boundary of the mask lies farther from the reference's than the band is wide, so that inside
# the band the mask knows no more than a guess. Three causes add up. First, a cluster on the wrong side is wrong along
# its whole edge. Second, K-means cuts where a pixel's colours are halfway between two centroids, which at a soft edge,
# such as hair, need not be the middle of the edge. Third, the reference is itself a network with a grid of its own, so
# this number cannot show how precise the method is. In wider bands (the table before) these causes matter less, and the
# numbers rise.

# %% tags=["hide-input"]
sides = {
    "this run": len(truth),
    "the full run": load_profile("full").method.resolution,
}
grids = ", ".join(
    f"{TRIMAP_WIDTH * INPUT_SIZE / side:.1f} of its pixels in {name} "
    f"({side} px)"
    for name, side in sides.items()
)
display(
    Markdown(
        f"The face parser computes its masks at {INPUT_SIZE} px and enlarges "
        f"or shrinks them. A band of {TRIMAP_WIDTH} pixels is {grids}."
    )
)

# %% [markdown]
# Table 3 of the paper trains a U-Net on the masks and tests it on photos, which is another experiment, so its trimap
# numbers do not belong beside these.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-evaluation-iou
# Write equation {eq}`eq-iou` yourself: `ious(mask, truth)` returns the foreground IoU, the background IoU and their
# mean. What should it return for a class that neither of the masks contains?
# ```
#
# ```{solution-start} ex-evaluation-iou
# :class: dropdown
# ```
#
# The intersection is where both masks are true, the union where at least one is. If neither mask has a pixel of the
# class, the quotient is 0/0. The package takes 1, because the two masks agree that there is nothing, and so does this
# function; some programs leave such an image out instead, which gives another mean.


# %% tags=["answer"]
def ious(mask, truth):
    """Foreground IoU, background IoU and mIoU of a mask.

    Args:
        mask: predicted mask (H, W) bool.
        truth: reference mask (H, W) bool.

    Returns:
        Three numbers in 0..1: IoU of the foreground, IoU of the background,
        and their mean. The IoU of a class that neither contains is 1.
    """

    def iou(a, b):
        union = (a | b).sum()
        return float((a & b).sum() / union) if union else 1.0

    foreground, background = iou(mask, truth), iou(~mask, ~truth)
    return foreground, background, (foreground + background) / 2


# %% tags=["check"]
def check_ious():
    """Say whether `ious` is right, and what to look at if not."""
    import numpy as np

    from stylemixseg.feedback import expect

    mask = np.array([[True, True, False, False, False]])
    truth = np.array([[False, True, True, False, False]])
    hint = (
        "both masks have one pixel in common and three in their union; the "
        "background is what is not foreground, ~mask and ~truth"
    )
    expect(
        "ious(mask, truth)",
        ious(mask, truth),
        [1 / 3, 0.5, 5 / 12],
        hint,
        tolerance=1e-6,
    )
    empty = np.zeros((2, 3), bool)
    expect(
        "ious(empty, empty)",
        ious(empty, empty),
        [1, 1, 1],
        hint="neither mask has foreground, so the two agree on it: 1",
    )
    expect(
        "ious(empty, full)",
        ious(empty, ~empty),
        [0, 0, 0],
        hint="only one of the two has the class, so they share nothing: 0",
    )
    print("Right. An empty mask still gets the background's IoU, halved.")


check_ious()

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-evaluation-blind
# How much does it matter which fixed mask is the blind baseline? Predict how two others score on all images: one that
# calls every pixel foreground, and one fixed ellipse in the middle, for example where `gaussian_map(h, w)` exceeds 0.5.
# What would you conclude from each of them alone? `confusion(mask, truth)` compares two masks, `truths` are the
# references of all images, and `mean_iou(results, "dataset")` averages.
# ```
#
# ```{solution-start} ex-evaluation-blind
# :class: dropdown
# ```
#
# Each of the two is weaker than the mean mask where objects are framed alike, since neither has the shape that these
# objects share. A weak baseline flatters the method: the gap above it contains what the framing alone gives.

# %%
blind = {
    "the mean mask": mean_mask,
    "everything is foreground": np.ones_like(truth),
    "a fixed ellipse": gaussian_map(*truth.shape) > 0.5,
}
rows = []
for name, guess in blind.items():
    guesses = [confusion(guess, item) for item in truths]
    cells = [f"{mean_iou(guesses, 'dataset', iou):.3f}" for iou in IOUS]
    low, high = bootstrap_interval(guesses, "miou", "dataset")
    if guess is not mean_mask:  # recorded above
        recorder.add(
            f"{P.prefix}evaluation.blind.{name.split()[-1]}.miou",
            mean_iou(guesses, "dataset"),
            n=len(truths),
            interval=(low, high),
        )
    rows.append([name, *cells, f"{low:.3f} to {high:.3f}", str(len(truths))])
header = [
    "blind mask, dataset-level",
    *IOUS.values(),
    "95 % interval of mIoU",
    "images",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-evaluation-random
# Equation {eq}`eq-coin` computes what a fair coin gets in the band. Let the coin say *foreground* with probability $t$
# instead, and write `coin_ious(f, t)`, which returns its foreground and background IoU where a share $f$ of the band is
# foreground. Flip the fair coin to test the formula. Which $t$ gets the highest expected mIoU?
# ```
#
# ```{solution-start} ex-evaluation-random
# :class: dropdown
# ```
#
# The expected shares of the band are $f t$ true positives, $(1-f) t$ false positives, $f (1-t)$ false negatives and
# $(1-f)(1-t)$ true negatives, so
#
# $$ \mathrm{IoU}_\mathrm{fg} = \frac{f t}{f + (1-f) t}, \qquad
# \mathrm{IoU}_\mathrm{bg} = \frac{(1-f)(1-t)}{(1-f) + f (1-t)}. $$
#
# The flips agree with the formula. The last table has the mean of the two over $t$. Always saying *foreground* gives $f/2$, about as much as the fair coin, and the best $t$ only
# a little more: no blind mask gets far above one third, though its two classes may lie far apart. Compare that with the
# trimap numbers of Table 3, and with those of the full run above.


# %% tags=["answer"]
def coin_ious(f, t):
    """Expected IoUs of a coin in the trimap band.

    Args:
        f: share of foreground in the band, above 0 and below 1.
        t: probability with which the coin says foreground, in 0..1. An
            array gives an array.

    Returns:
        Expected IoU of the foreground and of the background.
    """
    foreground = f * t / (f + (1 - f) * t)
    background = (1 - f) * (1 - t) / ((1 - f) + f * (1 - t))
    return foreground, background


# %% tags=["check"]
def check_coin_ious():
    """Say whether `coin_ious` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    hint = (
        "TP = f t, FP = (1 - f) t, FN = f (1 - t), TN = (1 - f) (1 - t); "
        "the union of the foreground is TP + FP + FN, that of the "
        "background TN + FP + FN"
    )
    for f, t, right in (
        (0.5, 0.5, [1 / 3, 1 / 3]),
        (0.6, 1.0, [0.6, 0]),
        (0.6, 0.5, [0.375, 2 / 7]),
    ):
        expect(
            f"coin_ious({f}, {t})", coin_ious(f, t), right, hint, tolerance=1e-6
        )
    print("Right. With t = 1/2 this is the equation of the fair coin.")


check_coin_ious()

# %%
random = np.random.default_rng(0)
flips = [
    trimap_confusion(random.random(item.shape) < 0.5, item, TRIMAP_WIDTH)
    for item in truths
]
rows = [
    [title, f"{mean_iou(flips, 'dataset', iou):.3f}", f"{coin[iou]:.3f}"]
    for iou, title in IOUS.items()
]
header = [
    f"trimap of width {TRIMAP_WIDTH}",
    f"flipped, {len(truths)} images",
    "computed",
]
display(Markdown(table(header, rows)))

# %%
ts = np.linspace(0, 1, 11)
fg, bg = coin_ious(f, ts)
rows = [
    [f"{t:.1f}", *(f"{x:.3f}" for x in item)]
    for t, *item in zip(ts, fg, bg, (fg + bg) / 2)
]
display(Markdown(table(["probability of foreground", *IOUS.values()], rows)))

# %%
TABLE3 = {
    "unet": "U-Net trained on human masks",
    "ours": "U-Net trained on the method's masks",
}
rows = [
    [title, *(f"{paper[f'table3.{row}.trimap.{iou}']:.2f}" for row in TABLE3)]
    for iou, title in IOUS.items()
]
display(
    Markdown(
        table(["paper reported, trimap of width 3", *TABLE3.values()], rows)
    )
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - IoU compares areas; foreground and background each have one, and mIoU is their mean {eq}`eq-iou`.
# - The mean over images and the dataset-level number differ, so state which one you give.
# - On synthetic images the reference is itself a network's output, so its error limits what a single number can mean.
#   In the difference of two methods on the same images, the errors that both share cancel.
# - An interval over images belongs to every mean, and a paired interval to every difference.
# - Every table should include the mean mask, which never looks at the image. Along the boundary, the coin has this
#   role.
# - The oracle assignment separates the clustering's loss from the foreground rule's.
#
# Next: [what c, k and the colour space do](07_ablation.ipynb).

# %% tags=["remove-cell"]
path = recorder.write()
