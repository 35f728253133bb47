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
# # Other ways
#
# The paper compares its method with others on unequal terms: other image sizes, other inversions, a detector for one
# side only. Here they run on the same generator, the same images and the same reference. Four are peers, which read the
# generator's feature maps; the others are yardsticks, which say what the parts of the method are worth. All are written
# from their papers (`stylemixseg/baselines/`); what differs from a paper stands at the top of its module.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Explain what DatasetGAN, Labels4Free, Segmentation in Style and KLiSH read, what they learn from, and what that
#   costs.
# - Say what the style mixes add, by comparing with clusters of one image's own colours.
# - Say what any method must beat, by comparing with masks that are the same for every image.
# - Tell a fair comparison from an unfair one, and name what is unequal in the paper's Table 1.
#
# **Prerequisites**
#
# - [Evaluation](06_evaluation.ipynb): mIoU, intervals, paired differences.
# - [Beyond StyleGAN](13_beyond_stylegan.ipynb): how the rivals work, in words.
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
from stylemixseg.experiments.ways import labelled_examples
from stylemixseg.experiments.words import COSTS, OTHER_WAYS
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
# ## What do the styles buy?
#
# Take the styles away, so that $n = 0$. What is left is K-means over the colours of the query image $\mathbf{X}_0$ itself,
# which is the oldest way to segment by colour. The rule that picks the foreground is the same.

# %% mystnb={"image": {"alt": "Four rows: image, clusters of its own colours, clusters of its style mixes, and the masks of both"}, "figure": {"caption": "From left to right: image, clusters of its own colours (n = 0), clusters of its style mixes, and the masks that the saliency rule makes of both. Light and shadow part a face in the first; in the second they belong together, because they change together.", "name": "fig-no-styles"}}
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
# DatasetGAN {cite}`zhang2021` describes each pixel by the features of all layers of the generator, thousands of numbers,
# and lets ten small networks learn its label from 16 labelled images. They vote, and where they disagree, the label is
# uncertain. The 16 images come with labels in two ways: synthetic images that the face parser labelled, and photos that
# people labelled, which the encoder inverted. In the second way the latent does not quite show the photo, so its labels
# do not quite fit its image.
#
# ## Labels4Free, with real photos
#
# Labels4Free {cite}`abdal2021` needs no label. A small network turns features into a soft mask $\alpha$, and two images
# of the same latent are laid over each other:
#
# $$ \alpha \cdot G(\mathbf{w}) + (1 - \alpha) \cdot G_{\mathrm{bg}}(\mathbf{w}). $$
#
# $G_{\mathrm{bg}}$ is the same generator, whose first features, those of 4 x 4 pixels, are set to zero. These say what
# stands where; without them the generator draws something like a background. A discriminator compares the composites
# with real photos. Where $\alpha$ forgets a piece of the person, the strange texture of $G_{\mathrm{bg}}$ shows, and the
# discriminator notices. Where that texture looks like hair, it is not strange enough: $\alpha$ then has little reason to
# take the hair from the image. Look for this in the masks below.
#
# One answer always deceives the discriminator: $\alpha = 1$ everywhere, since then the composite is the image itself.
# Only the regularisers speak against it: a penalty for values between 0 and 1, and one for a foreground or a background
# that covers too little. So the method can *collapse* to a mask that is all or nothing, and the table below counts such
# masks for every way.

# %% mystnb={"image": {"alt": "Each row shows a face and, beside it, what the same generator draws when its first features are zero"}, "figure": {"caption": "The image of a latent, and what the same generator draws when its first features are zero. The borders keep the colours of the background. In the middle a texture of hair and skin is left, which no photo has: this is what gives a wrong mask away. (The toy world of the profile smoke has no features, so it shows the image twice.)", "name": "fig-background"}} tags=["hide-input"]
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
# cluster means the same in all of them, so the background needs a name only once: by a rule (what is more frequent in
# the upper corners than in the middle), or by somebody who looks at a few images.
#
# KLiSH {cite}`xu2022` begins with many clusters and merges them. Its idea is that meanings can be read off the features
# by linear classifiers, so two clusters that no linear separator tells apart well are parts of one thing. Ours is a
# small version of it: K-means with $k = 60$ on the same features, then the two clusters that are hardest to separate
# become one, until 9 are left. Our rows of the two methods differ in nothing but the merging.
#
# ## All of them on the same images
#
# The next cell is `stylemixseg reproduce baselines`. It fits and scores one way after the other and keeps each on disk.
# In the profile `cpu` some are smaller than in the papers, so that all fit into some minutes: DatasetGAN votes with
# fewer networks, fewer images are clustered, and Labels4Free takes fewer and larger steps from fewer latents. The
# [settings](../settings.md) show all sizes. The full run, where its results are there, has the published sizes, except that
# Labels4Free composites small images of a fixed set of latents. `stylemixseg reproduce baselines --profile paper` has
# its published number of images at 256 pixels and trains it on a GPU where there is one; it needs the official
# checkpoint.

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
    for name, (words, needs) in OTHER_WAYS.items()
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
for name, reason in baselines_of(P, generator).ways.left_out.items():
    print(f"left out in this run: {OTHER_WAYS[name][0]}, because {reason}")
header = [
    "way (measured here)",
    "needs besides the generator",
    f"foreground IoU, {run_name}",
    "background IoU",
    "mIoU",
    "3 px trimap mIoU",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# The reference is the face parser, and that is not fair to all: DatasetGAN with the parser's own labels learns to
# imitate the parser, its mistakes included, so its number says how well it imitates. The row with people's labels is
# the one to compare.
#
# Two rows look at no image at all: the saliency map alone, and the mean of labelled masks. A way that is not clearly
# above them has learnt where faces usually are, and nothing about this face.

# %% mystnb={"image": {"alt": "Masks of the paper's method and of the peers on the same faces, side by side"}, "figure": {"caption": "Masks of the paper's method and of the peers on the same faces (in this run's sizes). Look at hair before a dark background, at glasses, and at the neck: there the columns differ. A column of the table that is not here needs photos or features that this run has not.", "name": "fig-other-ways"}} tags=["hide-input"]
ways = baselines_of(P, generator)
YARDSTICKS = ("colours", "box_cut", "prior", "mean_mask")


def with_mask(image, mask):
    """A small mask over its image, its pixels repeated."""
    step = len(image) // len(mask)
    return overlay(image, mask.repeat(step, 0).repeat(step, 1))


def drawn(names):
    """Images, the masks of the paper's method and those of some ways."""
    shown = [name for name in names if name in ways.ways.names]
    by_way = [ways.example_masks(name) for name in shown]
    grid = [
        [image, known, *(with_mask(image, masks[i]) for masks in by_way)]
        for i, (image, known) in enumerate(zip(originals, by_method))
    ]
    titles = [name.replace("_", "\n", 1) for name in shown]
    return image_grid(grid, column_titles=["image", "paper's", *titles])


drawn([n for n in OTHER_WAYS if n not in (*YARDSTICKS, "colours_oracle")])

# %% mystnb={"image": {"alt": "Masks of the paper's method and of the yardsticks on the same faces, side by side"}, "figure": {"caption": "The yardsticks on the same faces. The two columns on the right show the same mask in every row, because they look at no image.", "name": "fig-yardsticks"}} tags=["hide-input"]
drawn(YARDSTICKS)

# %% [markdown]
# ## Better, worse, or no telling?
#
# All ways have seen the same images, so their differences to the method are paired: what makes an image hard is hard
# for both. The interval is a bootstrap over images, and the last column is the sentence that it allows.

# %% tags=["hide-input"]
rows = []
for rival in ("method", "judge"):
    for name, (words, _) in OTHER_WAYS.items():
        item = found.get(f"{run_prefix}.{name}.minus_{rival}")
        if item is not None:
            low, high = item.interval
            text = f"{item.value:+.3f} [{low:+.3f}, {high:+.3f}], n = {item.n}"
            rows.append([words, rival, text, item.note])
header = ["way", "minus", "mIoU, paired", "what it allows us to say"]
missing = (
    "No scores of the method on these images are in this folder of results: "
    "run `stylemixseg reproduce table1` and `joint` first."
)
display(Markdown(table(header, rows) if rows else missing))

# %% [markdown]
# ## What does each cost?
#
# A number without its price is half a number. Memory is what fitting adds to the process, as the system's own record
# of the largest resident set says (on Linux). Seconds per image are those of the machine in the ledger's table of runs;
# they contain the generator's own work.

# %% tags=["hide-input"]


def number(name, form=",.0f"):
    """A value of the run in the table, without an interval."""
    item = found.get(f"{run_prefix}.{name}")
    return "" if item is None else format(item.value, form)


rows = [
    [
        words,
        *(number(f"{name}.cost.{what}") for what in COSTS),
        number(f"{name}.seconds", ".2f"),
        number(f"{name}.collapsed", ".0%"),
    ]
    for name, (words, _) in OTHER_WAYS.items()
    if f"{run_prefix}.{name}.seconds" in found
]
rows.append(
    [
        "the paper's method",
        *["0"] * 5,
        "",
        number("method.seconds", ".2f"),
        "",
    ]
)
header = ["way", *COSTS.values(), "seconds per image", "all or nothing"]
display(Markdown(table(header, rows)))

# %% [markdown]
# ## On photos
#
# The same ways on the photos of [the photo chapter](10_real_photos.ipynb), against the masks that people drew. The
# encoder gives the latent, so ways that read features see its reconstruction and not the photo; GrabCut and the colours
# look at the photo itself. Beside them stand the method on the same latents, and what supervision reaches: the face
# parser on the same photos, and a U-Net that learnt from human masks, on the photos of
# [Table 3](14_training_data.ipynb).

# %% tags=["hide-input"]
on_photos, table3 = full_run("table1_photos"), full_run("table3")
rows = [
    [
        words,
        measured_text(found.get(f"{run_prefix}.photos.{name}.miou")),
        measured_text(found.get(f"{run_prefix}.photos.{name}.minus_method")),
    ]
    for name, (words, _) in OTHER_WAYS.items()
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
header = ["way", f"mIoU, {run_name}", "minus the method"]
display(Markdown(table(header, rows)))

# %% [markdown]
# ## What is unequal in the paper's Table 1
#
# The paper prints these numbers, which are not ours and stand on other images:

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
# - **Another generator's labels.** DatasetGAN's 16 labelled images were made with an older generator, and were inverted
#   into this one. Our row with people's labels has the same handicap, with our encoder. The row with the parser's labels
#   has not, and the gap between the two rows says what the handicap costs.
# - **Training images.** Labels4Free and Segmentation in Style train on thousands of images, the method here uses one at
#   a time. That is in favour of the method, and the number of images is stated there.
# - **What the column does not count.** Labels4Free needs a discriminator and real photos as well. The paper's column of
#   training data counts its 10k synthetic images only.
# - **A student in between.** The row of Segmentation in Style is that of a network which learnt from its masks, and
#   networks average out errors. Our row is that of the masks themselves, as all our rows are.
# - **The reference.** The paper's reference on synthetic faces is DeepLabV3, ours the face parser.
#
# :::{admonition} A common misconception
# :class: warning
# "DatasetGAN's number in the paper is lower than the method's number here, so the method is better." The two numbers
# share a name and nothing else: the images, the generator, the image size, the reference, and the averaging over images all differ. Even
# the paper's own method has another number here than there. Only numbers of one column of one table can be compared, and
# only if everything that the column does not mention was equal.
# :::
#
# ## Exercises
#
# ```{exercise}
# :label: ex-ways-vote
# DatasetGAN's networks vote on the label of each pixel. Write `vote(labels, classes)`, which returns the label with
# most votes at each pixel and the share of the networks that gave it. Of two labels with equally many votes the smaller
# one wins. What does a low share tell, and what does a high one not tell?
# ```
#
# ```{solution-start} ex-ways-vote
# :class: dropdown
# ```
#
# A low share says that the label is uncertain: networks that started from other random weights read the features in
# different ways. A high share does not say that the label is right. All networks learnt from the same labels, so what
# these get wrong in the same way, all networks repeat.


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
# one with 4 and one with 8 labelled images. (The profile `smoke` has a world without feature maps. There the solution
# shows the error that says so.)
# ```
#
# ```{solution-start} ex-ways-labels
# :class: dropdown
# ```
#
# They agree on nearly all pixels: the features already part skin, hair and background, and labels only say which is
# which. This is why few are enough.

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
# (a) is not: DatasetGAN was taught by the examiner. (b) is fair about time, but the judge was fitted once before, on 150
# images, and that time must be named. (c) is fair and says little about GrabCut: aligned faces fill the same place in
# every image, so knowing the place is worth much; on unaligned photos the mean mask is worth nothing. (d) is fair: the
# images, the layer, the number of classes and the rule are the same, so the difference is due to the merging.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-ways-collapse
# A mask that covers the whole image collapses. Which mIoU does it get if the person covers 60 % of every image? Which
# number of the table would you look at to notice?
# ```
#
# ```{solution-start} ex-ways-collapse
# :class: dropdown
# ```
#
# The foreground IoU is 0.6 and the background IoU 0, so the mIoU is 0.3. The foreground IoU alone looks harmless. The
# background IoU shows the collapse, and so does the share of masks that are all or nothing.

# %%
share = 0.6
print(f"foreground {share}, background 0, mIoU {share / 2}")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - Without styles, clusters follow light and shadow. The styles make the colours of one thing move together, and that
#   is what they buy.
# - DatasetGAN reads features and a few labels; whoever labels decides what it imitates.
# - Labels4Free trades labels for real photos and a discriminator, and it can collapse, because the trivial mask always
#   deceives the discriminator.
# - Segmentation in Style and KLiSH share clusters over images; naming the background once is their only supervision.
# - A mask that is the same for every aligned face is the least that any method must beat.
# - A comparison is fair when generator, images, size and reference are the same, and when what each side was given is
#   named.

# %% tags=["remove-cell"]
by_colours = here[f"{prefix}.colours.miou"]
_ = recorder.add(
    f"{P.prefix}other_ways.colours.miou",
    by_colours.value,
    n=by_colours.n,
    interval=by_colours.interval,
)
_ = recorder.write()  # its path is of this machine
