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
# # Other methods
#
# The paper compares its method with others on unequal terms: the image sizes and the inversions differ, and only one
# side uses a detector. Here all methods run on the same generator and the same images, and are scored against the same
# reference. Four of them are *peers*, published methods that read the generator's feature maps. The others are
# *yardsticks*, simple baselines that show how much each part of the paper's method contributes. We wrote all of them
# from their papers (`stylemixseg/baselines/`), and the text at the top of each module says what differs from its paper.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Explain what DatasetGAN, Labels4Free, Segmentation in Style and KLiSH read, what they learn from, and what that
#   costs.
# - Say what the style mixes add, by comparing them with clusters of one image's own colours.
# - Say which score any method must exceed, by comparing it with masks that are the same for every image.
# - Tell a fair comparison from an unfair one, and name what is unequal in the paper's Table 1.
#
# **Prerequisites**
#
# - [Evaluation](06_evaluation.ipynb): mIoU, intervals, paired differences.
# - [Beyond StyleGAN](13_beyond_stylegan.ipynb): how the peers work, in words.
#
# **Run time:** about 5 minutes on two CPU cores (profile `cpu`).
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
from itertools import islice

from IPython.display import Markdown, display

from stylemixseg.evaluation.results import load_run, measurements
from stylemixseg.evaluation.tables import measured_text, reported_text, table
from stylemixseg.experiments.baselines import baselines_of, run_baselines
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.classes import CLASSES
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.scoring import RULES, rule_mask
from stylemixseg.experiments.othermethods import labelled_examples
from stylemixseg.experiments.words import COSTS, OTHER_METHODS
from stylemixseg.ledger.page import paper_values
from stylemixseg.viz.compositing import clusters_to_color, overlay
from stylemixseg.viz.plotting import image_grid

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "15_other_ways", profile, results, seed="queries.first"
)


def full_run(experiment):
    """What the committed full run measured; empty where it is not there."""
    path = folder / "full" / f"{experiment}.json"
    return measurements([load_run(path)]) if path.exists() else {}


# %% [markdown]
# ## What do the styles add?
#
# Suppose that we take the styles away, so that $n = 0$. Then K-means can only cluster the colours of the query image
# $\mathbf{X}_0$ itself, which is the oldest method of segmenting by colour. The rule that chooses the foreground stays the
# same, so a difference between the masks is due to the styles.

# %% mystnb={"image": {"alt": "Four rows: image, clusters of its own colours, clusters of its style mixes, and the masks of both"}, "figure": {"caption": "From left to right: image, clusters of its own colours (n = 0), clusters of its style mixes, and the masks that the saliency rule makes of both. Without styles, light and shadow divide a face into different clusters. With styles they belong together, because they change together.", "name": "fig-no-styles"}}
from stylemixseg.baselines.yardsticks import colour_clusters
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter

segmenter = StyleMixSegmenter(generator, P.method)
rows, originals, by_method = [], [], []
for seed in P.queries.examples:
    w0 = query_latent(generator, P, seed)
    image = query_image(generator, w0, P.method.resolution)
    row = [image]
    masks = []
    for labels in (
        colour_clusters(image, P.method.k).labels,
        segmenter.cluster(segmenter.summary(w0)).labels,
    ):
        row.append(clusters_to_color(labels))
        mask = rule_mask(labels, P.method.k, RULES["saliency"])
        masks.append(overlay(image, mask))
    originals.append(image)
    by_method.append(masks[1])
    rows.append([*row, *masks])
image_grid(
    rows,
    column_titles=[
        "image",
        "colours",
        "style mixes",
        "mask, colours",
        "mask, mixes",
    ],
)

# %% [markdown]
# ## DatasetGAN, with labels
#
# DatasetGAN {cite}`zhang2021` describes each pixel by the features of all layers of the generator, which are thousands
# of numbers, and ten small networks learn the pixel's label from 16 labelled images. The networks vote, and where they
# disagree, the label is uncertain. We take the 16 labelled images from two sources. The first are synthetic images that
# the face parser labelled. The second are photos that people labelled and that the encoder inverted. An inverted latent
# does not reproduce its photo exactly, so in the second case the labels do not fit the images exactly.
#
# ## Labels4Free, with real photos
#
# Labels4Free {cite}`abdal2021` needs no label. A small network turns features into a soft mask $\alpha$, which blends two
# images of the same latent:
#
# $$ \alpha \cdot G(\mathbf{w}) + (1 - \alpha) \cdot G_{\mathrm{bg}}(\mathbf{w}). $$
#
# $G_{\mathrm{bg}}$ is the same generator, but its first features, those of 4 x 4 pixels, are set to zero. These features
# decide where things are, so without them the generator draws something like a background. A discriminator compares
# the composites with real photos. Where $\alpha$ misses a piece of the person, the unnatural texture of
# $G_{\mathrm{bg}}$ shows, and the discriminator can tell the composite from a photo. But where that texture looks like
# hair, the composite still looks natural, so $\alpha$ has little reason to take the hair from the image. Look for this in
# the masks below.
#
# One mask always deceives the discriminator: with $\alpha = 1$ everywhere, the composite is the image itself. Only the
# regularisers prevent this: one penalises values between 0 and 1, and the other penalises a foreground or a background
# that covers too little of the image. If they are too weak, the method can *collapse* to a mask that is all or nothing,
# and therefore a table below counts such masks for every method.

# %% mystnb={"image": {"alt": "Each row shows a face and, beside it, what the same generator draws when its first features are zero"}, "figure": {"caption": "The image of a latent, and what the same generator draws when its first features are zero. The borders keep the colours of the background. In the middle there is a texture of hair and skin that no photo has, so the discriminator can recognise a wrong mask by it. (The toy world of the profile smoke has no features, so it shows the image twice.)", "name": "fig-background"}} tags=["hide-input"]
paints = getattr(generator, "background", generator.synthesis)
rows = []
for seed, image in zip(P.queries.examples, originals):
    painted = paints(query_latent(generator, P, seed))[0]
    step = painted.shape[-1] // len(image)
    small = painted[:, ::step, ::step].clamp(-1, 1).permute(1, 2, 0)
    rows.append([image, ((small + 1) * 127.5).byte().numpy()])
image_grid(rows, column_titles=["image", "first features 0"])

# %% [markdown]
# ## Segmentation in Style and KLiSH, with shared clusters
#
# Segmentation in Style {cite}`pakhomov2021` clusters the features of one middle layer over 50 images, with $k = 9$. A
# cluster means the same in all of these images, so somebody has to say only once which clusters are the background. A
# rule can do it (a background cluster is more frequent in the upper corners than in the middle), or a person who looks
# at a few images.
#
# KLiSH {cite}`xu2022` begins with many clusters and merges them. Its idea is that linear classifiers can read meanings
# from the features, so two clusters that no linear classifier separates well are parts of one thing. We use a small
# version of it: K-means with $k = 60$ on the same features, and then clusters that are hard to separate are merged, until
# 9 classes are left. Our rows of the two methods differ only in the merging.
#
# ## All methods on the same images
#
# The next cell does the same as `stylemixseg reproduce baselines`. It fits and scores one method after the other and
# stores the scores of each on disk. In the profile `cpu` some methods are smaller than in their papers, because all of
# them together should take only some minutes: DatasetGAN votes with fewer networks, fewer images are clustered, and
# Labels4Free takes fewer and larger steps from fewer latents. The [settings](../settings.md) show all sizes. The full
# run has the published sizes, except that Labels4Free composites small images of a fixed set of latents; its results are
# shown where they are available. `stylemixseg reproduce baselines --profile paper` uses the published number of images
# at 256 pixels for Labels4Free, and trains it on a GPU if there is one. It needs the official checkpoint.

# %% tags=["remove-output"]
result_file = run_baselines(P, folder, generator)

# %% tags=["hide-input"]
here = measurements(result_file)
prefix = f"{P.prefix}baselines"
full, table1 = full_run("baselines"), full_run("table1")
joint = full_run("joint")
# The larger run is shown where it was made.
found, run_prefix = (full, "baselines") if full else (here, prefix)
run_name = "full run" if full else "this run"
IOUS = ("fg_iou", "bg_iou", "miou", "trimap.miou")
rows = [
    [
        words,
        needs,
        *(
            measured_text(found.get(f"{run_prefix}.{name}.{what}"))
            for what in IOUS
        ),
    ]
    for name, (words, needs) in OTHER_METHODS.items()
]
OURS = (
    (table1, "table1.ffhq.saliency", "the paper's method, n = 50", "nothing"),
    (joint, "joint.ffhq.judge.n20", "ours: the judge, n = 20", "150 images"),
)
rows += [
    [
        words,
        needs,
        *(measured_text(source.get(f"{name}.{what}")) for what in IOUS),
    ]
    for source, name, words, needs in OURS
]
for name, reason in baselines_of(P, generator).others.left_out.items():
    print(f"left out in this run: {OTHER_METHODS[name][0]}, because {reason}")
header = [
    "method (measured here)",
    "needs besides the generator",
    f"foreground IoU, {run_name}",
    "background IoU",
    "mIoU",
    "3 px trimap mIoU",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# The reference is the face parser, and this is not fair to all methods. With the parser's own labels, DatasetGAN learns
# to imitate the parser including its mistakes, so its number says how well it imitates. For a comparison use the row
# with people's labels.
#
# Two of the yardsticks look at no image at all: the saliency map alone, and the mean of labelled masks. A method that
# is not clearly above them has only learnt where faces usually are, and nothing about the single face.
#
# In the full run, Labels4Free and the paper's method cannot be told apart, Segmentation in Style with clusters named by
# labels is a little better than the paper's method, and the judge is better than all three (the paired differences
# stand below). But the two need photos and a discriminator, or names, and the paper's method needs neither. The naming
# matters much: where a rule names the background in place of labels, Segmentation in Style is worse than a mask that
# looks at no image.
#
# In the merging after KLiSH it matters how two classes of several clusters are compared. When we fitted a separator anew
# for each merged class, its spread grew with every cluster that it took in. Then it was harder to separate from all
# others, so it took in one after the other, until person and background were in the same class. Therefore two classes
# are compared by the two of their clusters that are *farthest* apart (complete linkage), and a class with clusters far
# apart in it takes in no more. `data_scripts/choose_linkage.py` chose this on 24 faces that are not evaluated: the mean
# over all pairs of clusters (average linkage) is as good where labels name the background, and far worse where the
# corners do. The next line compares two fits:

# %% tags=["hide-input"]
merged = "klish_labels.miou"
if full and f"{prefix}.{merged}" in here:
    display(
        Markdown(
            f"mIoU of the merged clusters, fitted on "
            f"{P.baselines.clustered} images in this run: "
            f"{measured_text(here[f'{prefix}.{merged}'])}. "
            "Fitted on "
            f"{full['baselines.klish_labels.cost.images'].value:.0f} images "
            f"in the full run: {measured_text(full[f'baselines.{merged}'])}."
        )
    )

# %% mystnb={"image": {"alt": "Masks of the paper's method and of the peers on the same faces, side by side"}, "figure": {"caption": "Masks of the paper's method and of the peers on the same faces (in this run's sizes). Look at hair before a dark background, at glasses, and at the neck: there the columns differ. If a method of the table has no column here, it needs photos or features that this run does not have.", "name": "fig-other-ways"}} tags=["hide-input"]
baselines = baselines_of(P, generator)
YARDSTICKS = ("colours", "box_cut", "prior", "mean_mask")


def with_mask(image, mask):
    """A small mask over its image, its pixels repeated."""
    step = len(image) // len(mask)
    return overlay(image, mask.repeat(step, 0).repeat(step, 1))


def drawn(names):
    """Images, the masks of the paper's method and those of some others."""
    shown = [name for name in names if name in baselines.others.names]
    by_other = [baselines.example_masks(name) for name in shown]
    grid = [
        [image, known, *(with_mask(image, masks[i]) for masks in by_other)]
        for i, (image, known) in enumerate(zip(originals, by_method))
    ]
    titles = [name.replace("_", "\n", 1) for name in shown]
    return image_grid(grid, column_titles=["image", "paper's", *titles])


drawn([n for n in OTHER_METHODS if n not in (*YARDSTICKS, "colours_oracle")])

# %% mystnb={"image": {"alt": "Masks of the paper's method and of the yardsticks on the same faces, side by side"}, "figure": {"caption": "The yardsticks on the same faces. The two columns on the right show the same mask in every row, because they look at no image.", "name": "fig-yardsticks"}} tags=["hide-input"]
drawn(YARDSTICKS)

# %% [markdown]
# ## Better, worse, or undecided?
#
# All methods have segmented the same images, so we can compare each with the paper's method image by image (*paired*):
# what makes an image hard is hard for both, and cancels in the difference. The interval is a bootstrap over images, and
# the last column is the conclusion that it allows.

# %% tags=["hide-input"]
rows = []
for rival in ("method", "judge"):
    for name, (words, _) in OTHER_METHODS.items():
        item = found.get(f"{run_prefix}.{name}.minus_{rival}")
        if item is not None:
            low, high = item.interval
            text = f"{item.value:+.3f} [{low:+.3f}, {high:+.3f}], n = {item.n}"
            rows.append([words, rival, text, item.note])
header = ["method", "minus", "mIoU, paired", "what it allows us to say"]
missing = (
    "No scores of the method on these images are in this folder of results: "
    "run `stylemixseg reproduce table1` and `joint` first."
)
display(Markdown(table(header, rows) if rows else missing))

# %% [markdown]
# ## What does each method cost?
#
# A score alone does not tell whether a method is practical, so the table shows what each was given and what it took.
# Memory is what fitting adds to the memory of the process; we read it from the system's own record of the largest
# resident set (on Linux). Seconds per image are those of the machine in the ledger's table of runs, and they contain the
# generator's own work.

# %% tags=["hide-input"]


def number(name, form=",.0f", unit=1):
    """A value of the run in the table, in a unit and without an interval."""
    item = found.get(f"{run_prefix}.{name}")
    return "" if item is None else format(item.value / unit, form)


MEMORY, MB = "added_bytes", 10**6
given = [what for what in COSTS if what != MEMORY]
rows = [
    [
        words,
        *(number(f"{name}.cost.{what}") for what in given),
        number(f"{name}.cost.{MEMORY}", unit=MB),
        number(f"{name}.seconds", ".2f"),
        number(f"{name}.collapsed", ".0%"),
    ]
    for name, (words, _) in OTHER_METHODS.items()
    if f"{run_prefix}.{name}.seconds" in found
]
rows.append(
    [
        "the paper's method",
        *["0"] * len(given),
        "",
        number("method.seconds", ".2f"),
        "",
    ]
)
header = [
    "method",
    *(COSTS[what] for what in given),
    "MB of memory that fitting adds",
    "seconds per image",
    "all or nothing",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# ## On photos
#
# Here the same methods segment the photos of [the photo chapter](10_real_photos.ipynb), and are scored against the masks
# that people drew. The encoder gives the latent, so methods that read features see the reconstruction and not the
# photo, whereas GrabCut and the colours look at the photo itself. The last rows show the paper's method and the judge on
# the same latents, and what supervised networks reach: the face parser on the same photos, and a U-Net that learnt from
# human masks, on the photos of [Table 3](14_training_data.ipynb).

# %% tags=["hide-input"]
on_photos, table3 = full_run("table1_photos"), full_run("table3")
rows = [
    [
        words,
        measured_text(found.get(f"{run_prefix}.photos.{name}.miou")),
        measured_text(found.get(f"{run_prefix}.photos.{name}.minus_method")),
    ]
    for name, (words, _) in OTHER_METHODS.items()
]
ENCODED = "table1.celeba.encoder"
OTHERS = (
    (on_photos, f"{ENCODED}.saliency", "the paper's method, n = 50"),
    (on_photos, f"{ENCODED}.judge", "ours: the judge"),
    (on_photos, "table1.celeba.face_parser", "face parser (supervised)"),
    (table3, "table3.human", "U-Net on human masks, photos of Table 3"),
)
rows += [
    [words, measured_text(source.get(f"{name}.miou")), ""]
    for source, name, words in OTHERS
]
header = ["method", f"mIoU, {run_name}", "minus the paper's method"]
display(Markdown(table(header, rows)))

# %% [markdown]
# ## What is unequal in the paper's Table 1
#
# The paper reports these numbers. They were measured on other images than ours:

# %% tags=["hide-input"]
paper = paper_values()
RIVALS = {
    "datasetgan": ("DatasetGAN", "512 px", "16 labelled images"),
    "l4f": ("Labels4Free", "1024 px", "10k synthetic images"),
    "sis": ("Segmentation in Style", "1024 px", "50 + 15k images"),
    "ours": ("the paper's method", "1024 px", "nothing"),
}
rows = [
    [
        *words,
        reported_text(paper, f"table1.ffhq.{name}.miou"),
        reported_text(paper, f"table1.celeba.{name}.miou"),
    ]
    for name, words in RIVALS.items()
]
header = [
    "method",
    "at",
    "trained on",
    "paper reported: synthetic faces",
    "paper reported: photos",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# - **Image size.** DatasetGAN runs at 512 px, because its features need more memory than the authors had at 1024 px; the
#   others run at 1024 px.
# - **Labels of another generator.** DatasetGAN's 16 labelled images were made with an older generator and then inverted
#   into this one. Our row with people's labels has the same disadvantage, with our encoder. The row with the parser's
#   labels does not have it, and the gap between the two rows says how much it costs.
# - **Training images.** Labels4Free and Segmentation in Style train on thousands of images, whereas the paper's method
#   uses one at a time. This is an advantage of the method, and the paper states the number of images.
# - **What the column does not count.** Labels4Free needs a discriminator and real photos as well, but the paper's column
#   of training data counts only its 10k synthetic images.
# - **A student network in between.** The paper's row of Segmentation in Style belongs to a network that learnt from the
#   method's masks, and networks average out errors. All our rows score the masks themselves.
# - **The reference.** The paper's reference on synthetic faces is DeepLabV3, whereas ours is the face parser.
#
# :::{admonition} A common misconception
# :class: warning
# "DatasetGAN's number in the paper is lower than the method's number here, so the method is better." Both numbers are
# called mIoU, but the images, the generator, the image size, the reference, and the averaging over images all differ.
# Even the paper's own method has another number here than in the paper. Only numbers of one column of one table can be
# compared, and only if everything that the column does not mention was equal.
# :::
#
# ## Exercises
#
# ```{exercise}
# :label: ex-ways-vote
# DatasetGAN's networks vote on the label of each pixel. Write `vote(labels, classes)`, which returns the label with
# most votes at each pixel and the share of the networks that gave it. Of two labels with equally many votes the smaller
# one wins. What does a low share tell you, and what does a high share not tell you?
# ```
#
# ```{solution-start} ex-ways-vote
# :class: dropdown
# ```
#
# A low share says that the label is uncertain: networks that started from other random weights read the features in
# different ways. A high share does not say that the label is right: all networks learnt from the same labels, so all of
# them repeat the errors of these labels.


# %% tags=["answer"]
import numpy as np


def vote(labels, classes):
    """The label with most votes at each pixel, and its share.

    Args:
        labels: (members, H, W) int, the label maps of the networks.
        classes: number of classes; labels run from 0 to classes - 1.

    Returns:
        The winner (H, W) int, and the share (H, W) of the members that
        voted for it. The smaller label wins a tie.
    """
    votes = np.stack([(labels == name).sum(0) for name in range(classes)])
    return votes.argmax(0), votes.max(0) / len(labels)


# %% tags=["check"]
def check_vote():
    """Say whether `vote` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    labels = np.array([[[2, 1, 0]], [[2, 1, 2]], [[2, 0, 1]], [[2, 1, 2]]])
    returned = vote(labels, 3)
    expect(
        "the number of things that vote(labels, 3) returns",
        len(returned) if isinstance(returned, tuple) else 1,
        2,
        hint="return the winner and the share",
    )
    winner, share = returned
    expect(
        "the winner of vote(labels, 3)",
        winner,
        [[2, 1, 2]],
        hint="count the members per class, axis 0 of labels, and take the "
        "class with the largest count; the mean of labels is no vote",
    )
    expect(
        "the share of vote(labels, 3)",
        share,
        [[1, 0.75, 0.5]],
        hint="divide the winner's votes by the number of members",
        tolerance=1e-6,
    )
    tied, _ = vote(np.array([[[2]], [[1]]]), 3)
    expect(
        "the winner of a tie between 1 and 2",
        tied,
        [[1]],
        hint="argmax takes the first of equal counts",
    )
    print("Right. Names of classes have no order, so they cannot be averaged.")


check_vote()

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-ways-labels
# How many labels does DatasetGAN need? Predict on what share of the pixels of the first example image two fits agree,
# one with 4 and one with 8 labelled images. To test it, give `fit_datasetgan(generator, examples, CLASSES, voting)` of
# `stylemixseg.baselines.datasetgan` the first pairs of `labelled_examples(P, generator)`, and a small
# `Voting(members=1, steps=100, pixels_per_image=1024)`; the result's method `labels(ws)` gives the label map of a latent.
# (The profile `smoke` has a world without feature maps, so there the solution shows the error that says so.)
# ```
#
# ```{solution-start} ex-ways-labels
# :class: dropdown
# ```
#
# They agree on nearly all pixels. The features already separate skin, hair and background, and the labels only have to
# say which is which, so a few labelled images are enough.

# %%
w0 = query_latent(generator, P, P.queries.examples[0])
from stylemixseg.baselines.datasetgan import Voting, fit_datasetgan

small = Voting(members=1, steps=100, pixels_per_image=1024)
try:
    voted = [
        fit_datasetgan(
            generator,
            islice(labelled_examples(P, generator), count),
            CLASSES,
            small,
        ).labels(w0)
        for count in (4, 8)
    ]
    print(f"equal labels: {(voted[0] == voted[1]).mean():.0%} of the pixels")
except TypeError as error:
    print(error)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-ways-fair
# Which of these comparisons is fair? (a) DatasetGAN and the judge, both scored against the face parser, where the parser
# labelled DatasetGAN's images. (b) The paper's method with fifty styles against the judge with twenty, by seconds per
# mask. (c) The mean mask against GrabCut on FFHQ's framing. (d) Segmentation in Style and KLiSH, both named by the same
# rule, from the same images.
# ```
#
# ```{solution-start} ex-ways-fair
# :class: dropdown
# ```
#
# (a) is not fair, because DatasetGAN learnt from the labels of the network that scores it. (b) is fair about time, but
# the judge was fitted once before, on 150 images, and that time must be named. (c) is fair, but it says little about
# GrabCut: aligned faces fill the same place in every image, so a mask that only knows the place scores high here, and
# would fail on unaligned photos. (d) is fair: the images, the layer, the number of classes and the rule are the same, so
# the difference is due to the merging.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-ways-collapse
# A method has collapsed, and its mask covers the whole image. Which mIoU does it get if the person covers 60 % of every
# image? Which number of the tables would you look at to notice the collapse?
# ```
#
# ```{solution-start} ex-ways-collapse
# :class: dropdown
# ```
#
# The foreground IoU is 0.6 and the background IoU is 0, so the mIoU is 0.3. The foreground IoU alone looks harmless,
# whereas the background IoU shows the collapse, and so does the share of masks that are all or nothing.

# %%
share = 0.6
print(f"foreground {share}, background 0, mIoU {share / 2}")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - Without styles, clusters follow light and shadow. With styles, the colours of one thing change together, so its
#   light and dark sides fall into one cluster.
# - DatasetGAN learns from features and a few labels, and it imitates whoever made the labels.
# - Labels4Free needs real photos and a discriminator in place of labels. It can collapse, because the mask of the whole
#   image always deceives the discriminator.
# - Segmentation in Style and KLiSH share clusters over images, so their only supervision is that the background is named
#   once.
# - Labels4Free and named clusters of features reach what the paper's method reaches with style mixes alone, or a little
#   more, and need photos or names for it.
# - Any method must exceed a mask that is the same for every aligned face.
# - A comparison is fair if generator, images, size and reference are the same, and if it is stated what each method was
#   given.

# %% tags=["remove-cell"]
by_colours = here[f"{prefix}.colours.miou"]
_ = recorder.add(
    f"{P.prefix}other_ways.colours.miou",
    by_colours.value,
    n=by_colours.n,
    interval=by_colours.interval,
)
_ = recorder.write()  # its path is of this machine
