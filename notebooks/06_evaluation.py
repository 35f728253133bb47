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
# - Measure the precision along the boundary with a trimap.
#
# **Prerequisites**
#
# - [Foreground rules](05_foreground_rules.ipynb): saliency and corner minority.
# - Means and confidence intervals, as in a first course of statistics.
#
# **Run time:** about 3 minutes on two CPU cores (profile `cpu`), less where other chapters have left their images.
# :::

# %% tags=["parameters"]
profile = "cpu"
results = None

# %%
import numpy as np
from IPython.display import Markdown, display

from stylemixseg.compositing import agreement_map, boundary_windows, overlay
from stylemixseg.experiments.clustermaps import make_cluster_maps, map_key
from stylemixseg.experiments.evaluation import TRIMAP_WIDTH, run_evaluation
from stylemixseg.experiments.scoring import (
    REFERENCES,
    RULES,
    reference_masks,
    rule_mask,
    score_rules,
    second_reference,
)
from stylemixseg.foreground import gaussian_map
from stylemixseg.generators.zoo import load_generator
from stylemixseg.ledger import paper_values
from stylemixseg.metrics import Confusion, bootstrap_interval, confusion, mean_iou, trimap_band, trimap_confusion
from stylemixseg.plotting import image_grid, image_row, strip
from stylemixseg.profiles import load_profile
from stylemixseg.references import PROVENANCE_FILE
from stylemixseg.results import RunRecorder, load_run, measurements, read_json, results_folder
from stylemixseg.tables import IOUS, measured_cells, measured_text, reported_text, table

P = load_profile(profile)
generator = load_generator(P.generator)
folder = results_folder(results)
recorder = RunRecorder(
    "06_evaluation", P.name, folder / P.name / "06_evaluation.json", generator, seed=P.query_seed_first
)

# %% [markdown]
# ## What IoU counts
#
# A pixel of a predicted mask $Y$ is compared with the same pixel of a reference mask $T$. There are four cases:
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
# It is 1 for equal masks and 0 for masks that share nothing. Why not the share of correct pixels? Because that
# rewards the mask that calls everything foreground whenever the object is large.
#
# First we need masks. The next cell makes the cluster maps of all evaluation images of this profile. They go to disk,
# and later chapters read them from there.

# %% tags=["remove-output"]
maps = make_cluster_maps(generator, P, [(seed, P.cutoff) for seed in P.query_seeds])
labels = [item[map_key(P.color_space, P.k)] for item in maps]
truths = reference_masks(P.reference, generator, P, P.query_seeds, maps)

# %%
display(
    Markdown(
        f"{len(maps)} images of the generator `{P.generator}`, n = {P.n} styles, c = {P.cutoff}, k = {P.k}, "
        f"{P.color_space.upper()}. The reference here is {REFERENCES[P.reference]}."
    )
)

# %%
image, truth = maps[0]["image"], truths[0]
mask = rule_mask(labels[0], P.k, RULES["saliency"])
counts = confusion(mask, truth)
display(
    Markdown(
        f"TP = {counts.tp}, FP = {counts.fp}, FN = {counts.fn}, TN = {counts.tn} pixels, so foreground IoU = "
        f"{counts.fg_iou:.3f}, background IoU = {counts.bg_iou:.3f} and mIoU = {counts.miou:.3f} on this one image."
    )
)

# %% mystnb={"image": {"alt": "One image, its reference mask, the predicted mask, and a map that colours each pixel by the four cases"}, "figure": {"caption": "The four cases on one image. Blue: true positives. Orange: false positives, which the method took and the reference did not. Pink: false negatives, which the method missed. Grey: true negatives. The foreground IoU is the blue area over everything coloured.", "name": "fig-four-cases"}}
image_row([image, truth, mask, agreement_map(mask, truth)], ["image", "reference", "saliency rule", "comparison"])

# %% [markdown]
# ## Two ways to average
#
# One image says little, so IoU is averaged over many. There are two usual ways:
#
# - **Mean over images**: one IoU an image, then their mean. Every image weighs the same.
# - **Dataset-level**: sum TP, FP, FN and TN over all images, then take one IoU. Every pixel weighs the same.
#
# They are different numbers. Take two made-up images of 100 by 100 pixels. In one the object is large and segmented
# well; in the other it is small and segmented badly.

# %%
large = Confusion(tp=6000, fp=300, fn=300, tn=3400)
small = Confusion(tp=200, fp=200, fn=200, tn=9400)
rows = [
    ["the large object alone", f"{large.fg_iou:.3f}"],
    ["the small object alone", f"{small.fg_iou:.3f}"],
    ["mean over images", f"{mean_iou([large, small], 'per_image', 'fg_iou'):.3f}"],
    ["dataset-level", f"{mean_iou([large, small], 'dataset', 'fg_iou'):.3f}"],
]
display(Markdown(table(["made-up example", "foreground IoU"], rows)))

# %% [markdown]
# The dataset-level number hardly sees the small object. Neither way is wrong, but a paper should say which one it
# uses. This one does not. Its two unsupervised peers, Labels4Free {cite}`abdal2021` and Segmentation in Style
# {cite}`pakhomov2021`, are dataset-level, so that is what we set beside Table 1. We give the other one too. On our
# images:

# %%
scores = score_rules(labels, P.k, truths)
TITLES = {"saliency": "saliency rule", "corner_minority": "corner minority rule", "oracle": "oracle assignment"}
rows = []
for rule, confusions in scores.items():
    by_image, by_dataset = (mean_iou(confusions, average) for average in ("per_image", "dataset"))
    rows.append([TITLES[rule], f"{by_dataset:.3f}", f"{by_image:.3f}", f"{by_image - by_dataset:+.3f}"])
    recorder.add(f"{P.prefix}evaluation.average_gap.{rule}", by_image - by_dataset, n=len(confusions))
display(Markdown(table(["mIoU", "dataset-level", "mean over images", "difference"], rows)))

# %% [markdown]
# The *oracle assignment* is no method. It looks at the reference and gives each cluster to the side that most of its
# pixels lie on. No rule gets more pixels right with these clusters, and hardly any gets a higher IoU. So it separates
# the two steps: what the clustering loses is the oracle's distance from 1, and what the rule loses is the distance
# from the oracle.
#
# ## What stands in for the truth
#
# Nobody has drawn masks on synthetic images. The paper uses a *pseudo ground truth*: the output of a network that was
# trained on photos with human masks. For faces it takes DeepLabV3+ {cite}`chen2018` and its class *person* (section
# 4.2). So a number in that column of Table 1 says how well two programs agree, and not how right one of them is.
#
# For real faces our reference is a small *face parser*. It is a network that was trained on photos of CelebAMask-HQ
# {cite}`lee2020`, with masks drawn by people. It knows 19 classes; the foreground is everything but the class
# *background*, so hair, neck and clothes count as the person, as they do for DeepLab. How good it is was measured
# on photos that it had not seen. The table comes from the file that lies beside its weights.

# %%
provenance = read_json(PROVENANCE_FILE)
validation = provenance["validation"]
plain = validation["plain"]


def cell_text(entry):
    low, high = entry["interval"]
    return [f"{entry['value']:.3f}", f"{low:.3f} to {high:.3f}"]


display(
    Markdown(
        f"Trained on {provenance['data']['training_photos']} photos, measured on {validation['n_photos']} others. "
        f"Average: {validation['average']}.\n\n"
        + table(
            ["face parser against people", "IoU", "95 % interval"],
            [
                ["foreground and background, mIoU", *cell_text(plain["fg_bg_miou"])],
                ["hair", *cell_text(plain["hair_iou"])],
                ["mean of the facial parts", *cell_text(plain["part_mean_iou"])],
            ],
        )
    )
)

# %% tags=["hide-output"]
rows = [
    [name.replace("_", " "), "absent" if entry["iou"] is None else f"{entry['iou']:.3f}", str(entry["photos_with_it"])]
    for name, entry in plain["class_iou"].items()
]
display(Markdown(table(["class", "IoU", "photos with it"], rows)))

# %% [markdown]
# Rare and small classes (open the table above) are hard. For the foreground they matter little, since an earring
# taken for hair is still foreground. Two limits remain. The parser saw photos, and a synthetic image is not quite
# one. And photos and generator show faces in a similar frame, so what the parser learnt about that frame helps it
# here.
#
# ### The noise floor
#
# A second reference shows how far a first one can be trusted. Where DeepLabV3 is at hand (a file in the data folder
# and the extra `references`), the run below scores against it too, and compares the two references with each other.
# Their agreement is a *noise floor*: differences between methods that are smaller than the disagreement of the
# references cannot be called real, however narrow the interval. The two are not strangers to each other: the parser
# is another network and learnt its classes from other masks, but its encoder started from a DeepLabV3 that had seen
# PASCAL VOC. What both took from there, they can get wrong together, and the floor does not show it.
#
# ## Table 1, FFHQ column
#
# The next cell runs the experiment and writes its result file. It is what the command `stylemixseg reproduce table1`
# does. The cluster maps are on disk already, so it takes seconds. The table after it is read from that file.

# %% tags=["remove-output"]
result_file = run_evaluation(generator, P, folder, second_reference(P))
found = measurements(result_file)

# %%
full_file = folder / "full" / "table1.json"
if full_file.exists():
    run = load_run(full_file)
    full = measurements([run])
    status = f"The full run is of {run.created[:10]}, with the generator `{run.generator['name']}`."
else:
    full = {}
    status = "This results folder holds no full run, so the last column reads *not measured*."

paper = paper_values()
ours = f"{P.prefix}table1.ffhq"
settings = [
    ("saliency rule, dataset-level", f"{ours}.ours", f"{ours}.saliency"),
    ("saliency rule, mean over images", f"{ours}.ours", f"{ours}.saliency.per_image"),
    ("saliency rule, DeepLabV3 as reference", f"{ours}.ours", f"{ours}.saliency.deeplab"),
    ("corner minority rule, dataset-level", None, f"{ours}.corner_minority"),
    ("oracle assignment, dataset-level", None, f"{ours}.oracle"),
    ("agreement of the two references", None, f"{P.prefix}references.agreement"),
]
header = ["setting", "paper reported", "measured here", "95 % interval", "n", "full run, measured here"]
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
display(Markdown(f"{status} The reference is {REFERENCES[P.reference]}.\n\n" + table(header, rows)))

# %% [markdown]
# How to read it:
#
# - The paper's column and ours do not measure the same thing. The paper has StyleGAN2 and DeepLabV3+; here another
#   generator is measured against another reference. A number of ours neither confirms nor corrects one of the paper.
# - The paper uses the saliency rule on faces, so its number stands beside that rule only, in each of our readings.
# - The paper gives no interval and no number of images for this table. Without them, nobody can say which of two close
#   rows is better.
# - Where a cell says *not measured*, it was not. Numbers of the toy world are never set beside the paper's.
#
# The paper's own rows for the other methods, for the scale of things:

# %%
METHODS = {
    "datasetgan": "DatasetGAN (16 labelled images)",
    "l4f": "Labels4Free",
    "sis": "Segmentation in Style",
    "ours": "the paper's method",
}
rows = [
    [title, *(f"{paper[f'table1.ffhq.{method}.{iou}']:.2f}" for iou in IOUS)] for method, title in METHODS.items()
]
display(Markdown(table(["paper reported, FFHQ", *IOUS.values()], rows)))

# %% [markdown]
# By the paper's own numbers the method is above DatasetGAN {cite}`zhang2021`, which needs labels, and below both
# unsupervised peers in this column. The text speaks of "similar or better performance" (section 4.2); that is so in
# other columns, not in this one. [The ablation chapter](07_ablation.ipynb) tests such claims one by one.
#
# ## The spread behind a mean
#
# A mean hides how images differ. Here is every image.

# %% mystnb={"image": {"alt": "Rows of dots, one row for each foreground rule, showing the mIoU of every image with the mean and its interval"}, "figure": {"caption": "mIoU of every image (dots), the mean over images (black bar) and its 95 % interval (red). Look for single images far to the left: on these a rule took a cluster for the wrong side.", "name": "fig-spread"}}
by_image = {TITLES[rule]: [item.miou for item in confusions] for rule, confusions in scores.items()}
intervals = {
    TITLES[rule]: bootstrap_interval(confusions, "miou", "per_image") for rule, confusions in scores.items()
}
strip(by_image, values="mIoU of one image", intervals=intervals)

# %% mystnb={"image": {"alt": "The images with the lowest, the middle and the highest mIoU, each with its mask and the map of agreements and errors"}, "figure": {"caption": "The worst, the middle and the best image under the saliency rule. Top: the mask's outline in orange, with the background darkened. Bottom: blue for agreement, orange for too much, pink for too little.", "name": "fig-worst-best"}}
order = np.argsort([item.miou for item in scores["saliency"]])
shown = [order[0], order[len(order) // 2], order[-1]]
masks = [rule_mask(labels[i], P.k, RULES["saliency"]) for i in shown]
image_grid(
    [
        [overlay(maps[i]["image"], mask) for i, mask in zip(shown, masks)],
        [agreement_map(mask, truths[i]) for i, mask in zip(shown, masks)],
    ],
    column_titles=[f"{name}: {scores['saliency'][i].miou:.3f}" for name, i in zip(("worst", "middle", "best"), shown)],
)

# %% [markdown]
# ### Where the interval comes from
#
# Other images would give another mean. The *bootstrap* imitates that: draw as many images as there are, with
# replacement, take the mean, and repeat this 2000 times. The middle 95 % of these means is the interval. It says how
# far chance in the choice of images moves the number, and nothing about errors of the reference, which all images
# share.
#
# With many images its width falls about as $1 / \sqrt{N}$, where $N$ is their number. The first few of our images
# against all of them:

# %%
rows = []
for count in sorted({max(2, len(maps) // 4), len(maps) // 2, len(maps)}):
    low, high = bootstrap_interval(scores["saliency"][:count], "miou", "per_image")
    mean = mean_iou(scores["saliency"][:count], "per_image")
    rows.append([str(count), f"{mean:.3f}", f"{low:.3f} to {high:.3f}", f"{high - low:.3f}"])
display(Markdown(table(["images", "mIoU, mean over images", "95 % interval", "width"], rows)))

# %% [markdown]
# With a handful of images, do not trust the width either. The bootstrap knows only the images that it has, and a few
# that happen to be alike give an interval that is far too narrow.
#
# ## Along the boundary: the trimap
#
# Most pixels are far from any boundary and easy. A *trimap* {cite}`kohli2009` leaves only a narrow band around the
# reference's boundary and takes the IoU there. The paper does so in Table 3, with a "width of 3 pixels". It does not
# say whether these are 3 pixels in all or on each side, or at which resolution. We can compute both.

# %%
# %% mystnb={"image": {"alt": "A detail of the image at the boundary of the object, the trimap band there, and the errors of the mask inside the band"}, "figure": {"caption": "A detail at the boundary of the object: the image, the band round the reference's boundary in white, and the comparison, coloured only inside the band. Guessing at random in the band gives about one third.", "name": "fig-trimap"}}
band = trimap_band(truth, TRIMAP_WIDTH)
compared = agreement_map(mask, truth)
compared[~band] = 255
zoom = boundary_windows(truth, count=2, side=len(truth) // 4)[1]
image_row([image[zoom], band[zoom], compared[zoom]], ["image", "trimap band", "mask in the band"])

# %%
WIDTHS = (TRIMAP_WIDTH, TRIMAP_WIDTH + 2, 3 * TRIMAP_WIDTH)
rows = []
for rule_name, rule in RULES.items():
    predicted = [rule_mask(map_, P.k, rule) for map_ in labels]
    cells = []
    for reading in ("both", "per_side"):
        for width in WIDTHS:
            value = mean_iou([trimap_confusion(a, b, width, reading) for a, b in zip(predicted, truths)], "dataset")
            recorder.add(f"{P.prefix}evaluation.{rule_name}.trimap.{reading}.width{width}.miou", value, n=len(maps))
            cells.append(f"{value:.3f}")
    rows.append([TITLES[rule_name], *cells])
widths = [f"{width} px {reading}" for reading in ("in all", "each side") for width in WIDTHS]
display(Markdown(table(["trimap mIoU, dataset-level", *widths], rows)))

# %% [markdown]
# Along a row these are the same masks: a trimap number without the definition of its band means little. Width is
# counted here at the clustering's resolution. Table 3 trains a U-Net on the masks and tests it on photos, which is
# another experiment, so its trimap numbers do not belong beside these.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-evaluation-blind
# How good is a mask that never looks at the image? Score two of them on all images: one that calls every pixel
# foreground, and one fixed ellipse in the middle, for example where `gaussian_map(h, w)` exceeds 0.5. What does that
# say about a reported mIoU?
# ```
#
# ```{solution-start} ex-evaluation-blind
# :class: dropdown
# ```
#
# Where objects are framed alike, a fixed ellipse can be a strong guess. A method's number should be read against
# that, not against zero.

# %%
blind = {
    "everything is foreground": np.ones_like(truth),
    "a fixed ellipse": gaussian_map(*truth.shape) > 0.5,
}
rows = []
for name, guess in blind.items():
    guesses = [confusion(guess, item) for item in truths]
    cells = [f"{mean_iou(guesses, 'dataset', iou):.3f}" for iou in IOUS]
    low, high = bootstrap_interval(guesses, "miou", "dataset")
    recorder.add(
        f"{P.prefix}evaluation.blind.{name.split()[-1]}.miou",
        mean_iou(guesses, "dataset"),
        n=len(truths),
        interval=(low, high),
    )
    rows.append([name, *cells, f"{low:.3f} to {high:.3f}", str(len(truths))])
display(Markdown(table(["blind mask, dataset-level", *IOUS.values(), "95 % interval of mIoU", "n"], rows)))

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-evaluation-random
# Inside the trimap band about half of the pixels are foreground. What foreground IoU does a coin flip get there?
# Reason first, then measure.
# ```
#
# ```{solution-start} ex-evaluation-random
# :class: dropdown
# ```
#
# A coin gives each of the four cases a quarter of the pixels. IoU leaves out one of them and keeps one of the
# remaining three: $\frac{1/4}{3/4} = \frac{1}{3}$. The cell measures it. The band of width 3 holds two pixels of
# foreground for one of background, so one class lies above and the other below. Compare that with the trimap numbers
# that Table 3 reports.

# %%
coin = np.random.default_rng(0)
flips = [trimap_confusion(coin.random(item.shape) < 0.5, item, TRIMAP_WIDTH) for item in truths]
rows = [[title, f"{mean_iou(flips, 'dataset', iou):.3f}"] for iou, title in IOUS.items()]
display(Markdown(table(["trimap of width 3", f"a coin flip, {len(truths)} images"], rows)))

# %%
TABLE3 = {"unet": "U-Net trained on human masks", "ours": "U-Net trained on the method's masks"}
rows = [[title, *(f"{paper[f'table3.{row}.trimap.{iou}']:.2f}" for row in TABLE3)] for iou, title in IOUS.items()]
display(Markdown(table(["paper reported, trimap of width 3", *TABLE3.values()], rows)))

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - IoU compares areas; foreground and background each have one, and mIoU is their mean {eq}`eq-iou`.
# - The mean over images and the dataset-level number differ. State which one it is.
# - On synthetic images the truth is itself a network's output. Its own error, and the agreement of two such references,
#   bound what can be concluded.
# - An interval over images belongs to every mean. A blind mask belongs beside every table.
# - The oracle assignment separates the clustering's loss from the foreground rule's.
#
# Next: [what c, k and the colour space do](07_ablation.ipynb).

# %%
path = recorder.write()
