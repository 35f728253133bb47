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
# side only. Here some of them run on the same generator, the same images and the same reference. Two are peers, which
# read the generator's feature maps; the others are yardsticks, which say what the parts of the method are worth.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Explain what DatasetGAN and Segmentation in Style read, what they learn from, and what that costs.
# - Say what the style mixes add, by comparing with clusters of one image's own colours.
# - Say what any method must beat, by comparing with a mask that is the same for every image.
# - Tell a fair comparison from an unfair one, and name what is unequal in the paper's Table 1.
#
# **Prerequisites**
#
# - [Evaluation](06_evaluation.ipynb): mIoU, intervals, paired differences.
# - [Beyond StyleGAN](13_beyond_stylegan.ipynb): how the rivals work, in words.
#
# **Run time:** about 5 minutes on two CPU cores (profile `cpu`).
# :::

# %% tags=["parameters"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import numpy as np
from IPython.display import Markdown, display

from stylemixseg.baselines.datasetgan import Voting, fit_datasetgan
from stylemixseg.baselines.yardsticks import colour_clusters
from stylemixseg.evaluation.imagescores import read_scores
from stylemixseg.evaluation.results import (
    RunRecorder,
    load_run,
    measurements,
    results_folder,
    scores_path,
)
from stylemixseg.evaluation.tables import measured_text, table
from stylemixseg.experiments.baselines import fitted, run_baselines
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.scoring import RULES, rule_mask
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import Confusion, paired_difference
from stylemixseg.mixing import query_image
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.viz.compositing import clusters_to_color, overlay
from stylemixseg.viz.plotting import image_grid

P = load_profile(profile)
generator = load_generator(P.generator)
folder = results_folder(results)
recorder = RunRecorder(
    "15_other_ways",
    P.name,
    folder / P.name / "15_other_ways.json",
    generator,
    seed=P.queries.first,
)

# %% [markdown]
# ## What do the styles buy?
#
# Take the styles away, so that $n = 0$. What is left is K-means over the colours of the query image $\mathbf{X}_0$ itself,
# which is the oldest way to segment by colour. The rule that picks the foreground is the same.

# %% mystnb={"image": {"alt": "Four rows: image, clusters of its own colours, clusters of its style mixes, and the masks of both"}, "figure": {"caption": "From left to right: image, clusters of its own colours (n = 0), clusters of its style mixes, and the masks that the saliency rule makes of both. Light and shadow part a face in the first; in the second they belong together, because they change together.", "name": "fig-no-styles"}}
segmenter = StyleMixSegmenter(generator, P.method)
rows = []
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
# uncertain. Ours is written from the paper (`stylemixseg/baselines/datasetgan.py`). The 16 images come with labels in
# two ways: synthetic images that the face parser labelled, and photos that people labelled, which the encoder inverted.
# In the second way the latent does not quite show the photo, so its labels do not quite fit its image.
#
# ## Segmentation in Style, with clusters
#
# Segmentation in Style {cite}`pakhomov2021` clusters the features of one middle layer over 50 images. A cluster means
# the same in all of them, so the background needs a name only once: by a rule (what is more frequent in the upper
# corners than in the middle), or by somebody who looks at a few images.
#
# ## All of them on the same images
#
# The next cell is `stylemixseg reproduce baselines`.

# %% tags=["remove-output"]
result_file = run_baselines(P, folder, generator)

# %% tags=["hide-input"]
WAYS = {
    "datasetgan": ("DatasetGAN, labels by the parser", "16 labelled images"),
    "datasetgan_people": (
        "DatasetGAN, photos labelled by people",
        "16 labelled photos",
    ),
    "sis_labels": (
        "Segmentation in Style, named with labels",
        "names for 9 clusters",
    ),
    "sis_corners": ("Segmentation in Style, named by a rule", "nothing"),
    "colours": ("colours of the image alone (n = 0), saliency", "nothing"),
    "colours_oracle": (
        "the same, the best assignment of its clusters",
        "the answer",
    ),
    "box_cut": ("GrabCut from a box in the middle", "nothing"),
    "mean_mask": ("one mask for every image", "16 labelled images"),
}
here = measurements(result_file)
full_file = folder / "full" / "baselines.json"
full = measurements([load_run(full_file)]) if full_file.exists() else {}
prefix = f"{P.prefix}baselines"
rows = [
    [
        words,
        needs,
        measured_text(here.get(f"{prefix}.{name}.miou")),
        measured_text(full.get(f"baselines.{name}.miou")),
        measured_text(full.get(f"baselines.{name}.trimap.miou")),
    ]
    for name, (words, needs) in WAYS.items()
]
joint_file = folder / "full" / "joint.json"
joint = measurements([load_run(joint_file)]) if joint_file.exists() else {}
OURS = {
    "saliency.n20": ("the paper's method, n = 20, saliency", "nothing"),
    "judge.n8": ("ours: the judge, n = 8", "150 images, no label"),
}
rows += [
    [
        words,
        needs,
        "[see there](12_many_images.ipynb)",
        measured_text(joint.get(f"joint.ffhq.{name}.miou")),
        measured_text(joint.get(f"joint.ffhq.{name}.trimap.miou")),
    ]
    for name, (words, needs) in OURS.items()
]
header = [
    "way (measured here)",
    "needs",
    "mIoU here",
    "mIoU, full run",
    "3 px trimap, full run",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# The reference is the face parser, and that is not fair to all: DatasetGAN with the parser's own labels learns to
# imitate the parser, its mistakes included, so its number says how well it imitates. The row with people's labels is
# the one to compare. Paired differences to the paper's method on the images of the full run:

# %% tags=["hide-input"]
rows = []
if full and joint:
    ours = read_scores(scores_path(joint_file))["joint.ffhq.saliency.n20"]
    theirs = read_scores(scores_path(full_file))
    for name, (words, _) in WAYS.items():
        scores = theirs.get(f"baselines.{name}")
        if scores is None or list(scores.images) != list(ours.images):
            continue
        gain, (low, high) = paired_difference(
            [Confusion(*item) for item in scores.counts],
            [Confusion(*item) for item in ours.counts],
            "miou",
            "dataset",
        )
        says = "worse" if high < 0 else "better" if low > 0 else "cannot tell"
        rows.append([words, f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]", says])
header = ["way", "minus the paper's method, mIoU", "so it is"]
text = table(header, rows) if rows else "This results folder has no full run."
display(Markdown(text))

# %% mystnb={"image": {"alt": "Masks of all ways on the same four images, side by side"}, "figure": {"caption": "The masks of all ways on the same images. Rows are images, columns the ways of the table.", "name": "fig-other-ways"}} tags=["hide-input"]
ways = fitted(P, generator)
rows = []
for seed in P.queries.examples:
    w0 = query_latent(generator, P, seed)
    image = query_image(generator, w0, P.method.resolution)
    labels = segmenter.cluster(segmenter.summary(w0)).labels
    known = rule_mask(labels, P.method.k, RULES["saliency"])
    row = [image, overlay(image, known)]
    for name, segment in ways.items():
        if name == "colours_oracle":  # it must be told the answer
            continue
        mask = segment(w0, image, known)
        step = len(image) // len(mask)
        row.append(overlay(image, np.kron(mask, np.ones((step, step))) > 0))
    rows.append(row)
image_grid(
    rows,
    column_titles=[
        "image",
        "paper's",
        *(name for name in ways if name != "colours_oracle"),
    ],
)

# %% [markdown]
# ## What is unequal in the paper's Table 1
#
# - DatasetGAN runs at 512 px, since its features need more memory than the authors had at 1024 px; the others run at
#   1024 px.
# - DatasetGAN's 16 labelled images were made with another generator, and were inverted into this one. The row above with
#   people's labels has the same handicap, with our encoder.
# - Labels4Free and Segmentation in Style train on thousands of images, the method here uses one at a time. That is in
#   favour of the method, and the number of images is stated there.
# - Labels4Free needs a discriminator and real photos. It was not trained here: two cores are not enough for it. Its row
#   is missing above for that reason.
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
from itertools import islice

from stylemixseg.experiments.baselines import labelled_examples
from stylemixseg.experiments.classes import CLASSES

w0 = query_latent(generator, P, P.queries.examples[0])
small = Voting(members=1, steps=100)
try:
    found = [
        fit_datasetgan(
            generator,
            islice(labelled_examples(P, generator), count),
            CLASSES,
            small,
        ).labels(w0)
        for count in (4, 8)
    ]
    print(f"equal labels: {(found[0] == found[1]).mean():.0%} of the pixels")
except TypeError as error:
    print(error)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-ways-fair
# Which of these comparisons is fair? (a) DatasetGAN and the judge, both scored against the face parser, where the parser
# labelled DatasetGAN's images. (b) The paper's method with fifty styles against the judge with eight, by seconds per
# mask. (c) The mean mask against GrabCut on FFHQ's framing.
# ```
#
# ```{solution-start} ex-ways-fair
# :class: dropdown
# ```
#
# (a) is not: DatasetGAN was taught by the examiner. (b) is fair about time, but the judge was fitted once before, on 150
# images, and that time must be named. (c) is fair and says little about GrabCut: aligned faces fill the same place in
# every image, so knowing the place is worth much; on unaligned photos the mean mask is worth nothing.
#
# ```{solution-end}
# ```
#
# ## Summary
#
# - Without styles, clusters follow light and shadow. The styles make the colours of one thing move together, and that
#   is what they buy.
# - DatasetGAN reads features and a few labels; whoever labels decides what it imitates.
# - Segmentation in Style shares clusters over images; naming its background once is its only supervision.
# - A mask that is the same for every aligned face is the least that any method must beat.
# - A comparison is fair when generator, images, size and reference are the same, and when what each side was given is
#   named.

# %%
by_colours = here[f"{prefix}.colours.miou"]
_ = recorder.add(
    f"{P.prefix}other_ways.colours.miou",
    by_colours.value,
    n=by_colours.n,
    interval=by_colours.interval,
)
_ = recorder.write()  # its path is of this machine
