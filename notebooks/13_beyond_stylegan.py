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
# # Beyond StyleGAN
#
# The method clusters pixels by how their colours change from image to image, so in principle the images need not come
# from StyleGAN. This chapter asks which properties the images must have, takes them from other sources, and compares
# the method with related methods.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Say what DatasetGAN, Labels4Free and Segmentation in Style add to a generator, and which of it the method here does
#   not need.
# - State the two properties that a source of variants must have, and show what happens without each.
# - Segment with style mixes at several cutoffs at once, and judge by paired differences whether that helps.
# - Write a source of your own that is no generator at all.
# - Explain how a diffusion model can take StyleGAN's place, and what DiffSeg, EmerDiff and DiffCut do instead.
#
# **Prerequisites**
#
# - [Style mixing](02_style_mixing.ipynb) and [the style summary tensor](03_style_summary_tensor.ipynb).
# - [Evaluation](06_evaluation.ipynb): mIoU, the oracle assignment, paired differences.
#
# **Run time:** about 2 minutes on two CPU cores (profile `cpu`).
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
from IPython.display import Markdown, display
from scipy.optimize import linear_sum_assignment
from skimage import data

from stylemixseg.evaluation.results import measurements
from stylemixseg.evaluation.tables import measured_text, reported_text, table
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.cutoffs import run_cutoffs, set_maps
from stylemixseg.experiments.scoring import (
    oracle_mask,
    reference_masks,
    rule_mask,
)
from stylemixseg.experiments.words import cutoff_sets, set_name
from stylemixseg.foreground import Saliency
from stylemixseg.ledger.page import paper_values
from stylemixseg.viz.compositing import clusters_to_color, overlay
from stylemixseg.viz.plotting import image_grid, image_row

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "13_beyond_stylegan", profile, results, seed="queries.first"
)

# %% [markdown]
# ## The rivals, and what each adds to the generator
#
# A generator turns a vector into an image through a stack of layers. Each layer computes a *feature map*: many numbers
# for each place in the image, as inside any convolutional network. The features contain more information than the
# colours, because the colours are computed from them. Section 2 of the paper {cite}`feng2023` names three methods that
# read them:
#
# - **DatasetGAN** {cite}`zhang2021` enlarges the feature maps of all layers to one size and puts them side by side.
#   For its faces a pixel then has 5088 numbers. On these, small fully connected networks learn to name the pixel's
#   class. They learn it from 16 images in which people named every pixel, so the method needs labels, though only few.
#   Ten networks vote on the class of each pixel.
# - **Labels4Free** {cite}`abdal2021` needs no labels. It trains a small network that reads feature maps and gives each
#   pixel a transparency $\alpha$. A second generator makes a background alone. Foreground and background are blended
#   by $\alpha$, and a discriminator, the critic of GAN training, judges whether the blend looks like a real photo. A
#   wrong $\alpha$ gives blends that look unreal, so the network learns the mask from the discriminator, which needs
#   real photos for its own training.
# - **Segmentation in Style** {cite}`pakhomov2021` clusters the feature vectors of one middle layer by K-means, over 50
#   images together. So a cluster means the same in every image, and a person, or the network CLIP, names each cluster
#   once. The masks are coarse, because that layer has few pixels; a segmentation network is trained on 15,000 of them
#   and gives finer ones.
#
# A fourth, FurryGAN, trains a new generator together with its masks, so it cannot be applied to one that exists. The
# method of this book trains nothing and reads no features, but only images that the generator has made. Therefore it
# does not depend on how the generator is built. Its cost is that it needs many images for one mask, as the table
# shows.

# %% tags=["hide-input"]
paper = paper_values()
RIVALS = {
    "datasetgan": ("DatasetGAN", "features of all layers", "16 masks by hand"),
    "l4f": ("Labels4Free", "features of 12 layers", "real photos, 10k images"),
    "sis": (
        "Segmentation in Style",
        "features of one layer",
        "50 + 15k images",
    ),
    "ours": ("the paper's method", "colours", "nothing; 50 images per mask"),
}
rows = [
    [
        *words,
        *(
            reported_text(paper, f"table1.{column}.{name}.miou")
            for column in ("ffhq", "celeba")
        ),
    ]
    for name, words in RIVALS.items()
]
header = [
    "method",
    "looks at",
    "needs",
    "paper reported: mIoU, synthetic faces",
    "paper reported: mIoU, photos",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# In the paper's own Table 1 the network-free method is not the best. On synthetic faces Labels4Free and Segmentation
# in Style have higher numbers, whereas on photos all three are close. Its advantage is that it needs no labels, no
# photos and no trained network besides the generator.
#
# ## What the method asks of its images
#
# What the method needs from a source of images fits into a few lines. In the package it is the protocol
# `VariantSource`:
#
# | name | what it is |
# | --- | --- |
# | `query_image(query)` | the image $\mathbf{X}_0$ |
# | `iter_variants(query)` | its $n$ variants, in batches |
# | `n` | how many variants |
# | `shares_styles` | whether variant $j$ has the same style $j$ for every query |
# | `name`, `digest` | for records: a name, and a hash of everything that the images depend on |
#
# The first source is the paper's: style mixes. `segment_variants` does the rest, with the settings that you know. It
# gives exactly what `StyleMixSegmenter` gives, because the steps after the images are the same code.

# %%
from stylemixseg.foreground import CornerMinority
from stylemixseg.variants.segmenting import segment_variants
from stylemixseg.variants.stylemixes import StyleMixes

seed = P.queries.examples[0]
w0 = query_latent(generator, P, seed)
rule = CornerMinority()
method = replace(P.method, rule=rule)
mixes = StyleMixes(generator, method)
by_mixes = segment_variants(mixes, w0, method)

# %% [markdown]
# The second source divides the same $n$ styles among several cutoffs. The reason is that a low cutoff changes much and
# may lose the structure, whereas a high one keeps the structure and changes little. With images of both kinds the
# clusters might profit from both. We call $\mathbf{X}_s$ from such images a *multi-cutoff tensor*. It is ours, not the
# paper's, and costs no more than one cutoff, because the number of images is the same.

# %%
c = P.method.cutoff
several = StyleMixes(generator, method, cutoffs=(c - 2, c, c + 2))
by_several = segment_variants(several, w0, method)
(truth,) = reference_masks(
    P.reference, generator, P, [seed], [{"image": by_mixes.image}]
)

# %% mystnb={"image": {"alt": "A query image; the cluster map and the mask from one cutoff; the same from three cutoffs at once"}, "figure": {"caption": "One query, segmented with n style mixes at one cutoff and with as many at three cutoffs. Corner minority rule.", "name": "fig-two-sources"}}
image_row(
    [
        by_mixes.image,
        clusters_to_color(by_mixes.clusters),
        overlay(by_mixes.image, by_mixes.mask),
        clusters_to_color(by_several.clusters),
        overlay(by_several.image, by_several.mask),
    ],
    ["query", f"c = {c}", "mask", f"c = {c - 2}, {c}, {c + 2}", "mask"],
)

# %% [markdown]
# ## Does the multi-cutoff tensor help?
#
# One picture is not enough to decide. So we take the images of the [ablation](07_ablation.ipynb), and segment each
# with six sets of cutoffs and the same number $n$ of style-mixed images every time. The first set is this profile's
# single cutoff. Then come its two neighbours alone, because a set of several could be better only because it contains
# a better one. For the other sets the *gain* is the difference to the single cutoff on the same images, with its
# paired interval. No setting of this book was chosen by these numbers, because they come from evaluation images.

# %% tags=["remove-output"]
cutoffs_file = run_cutoffs(P, folder, generator)
here = measurements(cutoffs_file)

# %% tags=["hide-input"]
full_file = folder / "full" / "cutoffs.json"
full = measurements(full_file) if full_file.exists() else {}
sets = {set_name(item): item for item in cutoff_sets(c)}
RULES = {"saliency": "saliency rule", "oracle": "oracle assignment"}
runs = {"here": (here, P.prefix), "full run": (full, "")}
rows = [
    [
        ", ".join(map(str, item)),
        words,
        where,
        measured_text(found.get(f"{prefix}cutoffs.{name}.{rule_name}.miou")),
        measured_text(found.get(f"{prefix}cutoffs.{name}.{rule_name}.gain"))
        if item != (c,)
        else "",
    ]
    for rule_name, words in RULES.items()
    for where, (found, prefix) in runs.items()
    for name, item in sets.items()
    if found
]
header = ["c", "assignment", "run", "mIoU, mean over images", "gain"]
display(Markdown(table(header, rows)))


# %%
def verdict(gain):
    """A gain in words: what its interval allows to say."""
    low, high = gain.interval
    if low > 0:
        return "better than the single cutoff"
    return "worse" if high < 0 else "not decided by these images"


# %% tags=["hide-input"]
lines = []
for where, (found, prefix) in runs.items():
    for name, item in sets.items():
        gains = {
            words: found[f"{prefix}cutoffs.{name}.{rule_name}.gain"]
            for rule_name, words in RULES.items()
            if f"{prefix}cutoffs.{name}.{rule_name}.gain" in found
        }
        said = [f"{words}: {verdict(gain)}" for words, gain in gains.items()]
        if len(item) > 1 and said:
            lines.append(
                f"- {where}, c = {', '.join(map(str, item))}: "
                + "; ".join(said)
            )
display(Markdown("\n".join(lines)))

# %% [markdown]
# Look at the two assignments separately, as in the [ablation](07_ablation.ipynb). The oracle says whether the
# *clusters* are better. The saliency rule can gain more than the clusters do, because a cluster that changes its side
# takes many pixels with it; such a gain comes from few images, so its interval is wide. The images show where the
# cluster maps differ:

# %% mystnb={"image": {"alt": "Rows of pictures: for three queries the image and its cluster maps under six sets of cutoffs"}, "figure": {"caption": "Cluster maps of three queries under each set of cutoffs, with the same number of style-mixed images in every column but the first.", "name": "fig-cutoff-sets"}}
shown = [set_maps(generator, P, s) for s in P.ablation_seeds[:3]]
image_grid(
    [
        [maps["image"], *(clusters_to_color(maps[name]) for name in sets)]
        for maps in shown
    ],
    column_titles=[
        "query",
        *(f"c = {', '.join(map(str, item))}" for item in sets.values()),
    ],
)

# %% [markdown]
# ## A source that is no generator
#
# Now a source of your own. It needs no network at all: take a picture and a map of its regions, and give each region a
# colour drawn at random. A part of the picture itself is mixed in, so that its light and texture stay visible. The
# picture is drawn by the toy world, and the regions are its true classes. The source knows the answer, so this is no
# fair test of segmentation. It is meant to show something else: the method finds again whatever the source recolours
# as one thing.

# %%
from stylemixseg.generators.toyworld.world import CLASS_NAMES


class Recoloured:
    """Paints each region of a map in one random colour for each style."""

    name, shares_styles = "recoloured regions", True
    digest = "0" * 64  # a real source hashes what its images depend on

    def __init__(self, n, kept=0.3):
        self.n, self.kept = n, kept

    def query_image(self, query):
        image, _ = query
        return image

    def iter_variants(self, query):
        image, regions = query
        for j in range(self.n):
            draw = np.random.default_rng(j)
            colours = draw.integers(256, size=(len(CLASS_NAMES), 3))
            mixed = (1 - self.kept) * colours[regions] + self.kept * image
            yield mixed.astype(np.uint8)[None]


# %% [markdown]
# For comparison we write a second source. It changes the colours of the *whole* picture at random: each variant is one
# random mixture of the three colour channels. Photo programs call this a colour matrix; in training it is a common
# augmentation. These variants are perfectly aligned, too, but no region is treated differently from the others.


# %%
class Tinted(Recoloured):
    """Changes all colours of a picture by one random matrix per style."""

    name = "tinted as a whole"

    def iter_variants(self, query):
        image, _ = query
        for j in range(self.n):
            draw = np.random.default_rng(j)
            tinted = (image - 127.5) @ draw.normal(0, 0.6, (3, 3)) + 127.5
            yield tinted.clip(0, 255).astype(np.uint8)[None]


# %%
from stylemixseg.generators.toyworld.world import ToyWorld
from stylemixseg.metrics import confusion
from stylemixseg.variants.segmenting import VariantSegmenter

world = ToyWorld("portrait", resolution=128)
n = P.method.n
toy_mixes = StyleMixes(world, n=n)
sources = {
    "style mixes": toy_mixes,
    "recoloured": Recoloured(n),
    "tinted": Tinted(n),
}
scenes = []
for toy_seed in P.queries.examples:
    toy_w0 = query_latent(world, P, toy_seed)
    known = world.truth(toy_w0)[0]
    scenes.append((toy_w0, toy_mixes.query_image(toy_w0), known))


def clustered(source, query):
    """Two clusters of a query's pixels."""
    segmenter = VariantSegmenter(source, k=2)
    return segmenter.cluster(segmenter.summary(query)).labels


def score(labels, known):
    """mIoU of two clusters under the oracle assignment."""
    mask = oracle_mask(labels, 2, known.foreground)
    return confusion(mask, known.foreground).miou


maps_of, mious = {}, {}
for name, source in sources.items():
    queries = [
        toy_w0 if source is toy_mixes else (image, known.semantic)
        for toy_w0, image, known in scenes
    ]
    maps_of[name] = [clustered(source, query) for query in queries]
    mious[name] = [
        score(labels, known)
        for labels, (_, _, known) in zip(maps_of[name], scenes)
    ]

# %% mystnb={"image": {"alt": "Drawn portraits with their true masks and the two clusters from three sources; those of the first two sources are the object and its background, those of the third partly follow colour and light"}, "figure": {"caption": "Drawn pictures, the true object, and two clusters from n variants of each source.", "name": "fig-no-generator"}}
image_grid(
    [
        [
            image,
            known.foreground,
            *(clusters_to_color(maps[row]) for maps in maps_of.values()),
        ]
        for row, (_, image, known) in enumerate(scenes)
    ],
    column_titles=["query", "truth", *sources],
)

# %% tags=["hide-input"]
for name, values in mious.items():
    full_name = f"toy.variants.{name.replace(' ', '_')}.oracle.miou"
    recorder.add_mean(full_name, [[value] for value in values])
rows = [
    [name, f"{np.mean(values):.3f}", f"{min(values):.3f}"]
    for name, values in mious.items()
]
header = [f"source, n = {n}, k = 2", "mIoU, oracle: mean", "worst image"]
display(Markdown(table(header, rows)))

# %% [markdown]
# Where the object has colours of its own in the query, tinting keeps it distinct from the background; where it has
# not, no number of tinted variants helps. The reason is short. Let variant $j$ be $f_j$ of the pixel's own colour.
# Then a pixel's row of $\mathbf{X}_s$ is $(f_1(x), \dots, f_n(x))$, a function of its colour $x$ alone, and two pixels
# of equal colour have equal rows whatever they show, however many variants there are. So a source of variants needs
# two properties:
#
# 1. **Alignment:** a pixel shows the same thing in all variants.
# 2. **Colouring by things:** two things must be coloured independently of each other, even where they have the same
#    colour in the query.
#
# StyleGAN has the second property, because it has learnt what belongs together, and its style layers colour images
# accordingly. A photo shows the difference even without a true mask: nothing recolours the things in a photo
# separately, so global tinting only finds the clusters of the photo's own colours again.

# %%
from stylemixseg.clustering import kmeans
from stylemixseg.summary import summary_from_images

photo = data.astronaut()[::4, ::4]  # (128, 128, 3)
by_tints = VariantSegmenter(Tinted(n), k=4)
tinted_summary = by_tints.summary((photo, None))
from_tints = by_tints.cluster(tinted_summary).labels
from_colours = kmeans(summary_from_images([photo]), 4).labels
pairs = np.bincount(4 * from_tints.ravel() + from_colours.ravel(), minlength=16)
matched = linear_sum_assignment(-pairs.reshape(4, 4))
agreement = pairs.reshape(4, 4)[matched].sum() / pairs.sum()

# %% tags=["remove-cell"]
recorder.add("photo.tinted.agreement_with_colours", agreement, n=1)

# %% mystnb={"image": {"alt": "The photo of an astronaut, a tinted variant, four clusters of the photo's colours, and four clusters from many tinted variants, which look alike"}, "figure": {"caption": "Clusters of a photo's own colours, and clusters from tinted variants of it. Photo: NASA, public domain.", "name": "fig-tinted-photo"}}
image_row(
    [
        photo,
        next(Tinted(1).iter_variants((photo, None)))[0],
        clusters_to_color(from_colours),
        clusters_to_color(from_tints),
    ],
    ["photo", "tinted", "colours alone", f"{n} tinted variants"],
)

# %% tags=["remove-input"]
display(
    Markdown(
        f"The two cluster maps agree on {agreement:.0%} of the pixels, after "
        "the best matching of their numbers."
    )
)

# %% [markdown]
# ## The limits of section 3.4, shown
#
# Section 3.4 of the paper lists what the method assumes. The first assumption is the source: the method "relies on the
# style mixing property on a set of images". We keep one query's style mixes, which were segmented above, and break
# their alignment on purpose: each variant is moved by a few pixels, drawn at random. A source may simply hold images
# that were made before:


# %%
class AtHand:
    """Images that were made before, each moved by up to some pixels."""

    name, digest, shares_styles = "images at hand", "0" * 64, True

    def __init__(self, variants, most=0):
        self.variants, self.most, self.n = variants, most, len(variants)

    def query_image(self, query):
        return query

    def iter_variants(self, query):
        draw = np.random.default_rng(0)
        for image in self.variants:
            move = draw.integers(-self.most, self.most + 1, 2)
            yield np.roll(image, move, axis=(0, 1))[None]


# %%
variants = np.concatenate(list(mixes.iter_variants(w0)))  # (n, h, w, 3)
side = len(truth)
k_of_profile = P.method.k
moved = {}
for share in (0, 0.01, 0.02, 0.04, 0.08):
    source = AtHand(variants, round(share * side))
    labels = segment_variants(source, by_mixes.image, method).clusters
    moved[share] = (
        labels,
        confusion(oracle_mask(labels, k_of_profile, truth), truth).miou,
        confusion(rule_mask(labels, k_of_profile, rule), truth).miou,
    )

# %% mystnb={"image": {"alt": "Cluster maps from variants that were moved by more and more pixels; the pieces become coarser and their borders move"}, "figure": {"caption": "Clusters of one query when each variant is moved at random by up to a share of the image's side.", "name": "fig-moved"}}
image_row(
    [clusters_to_color(labels) for labels, _, _ in moved.values()],
    [f"up to {share:.0%}" for share in moved],
)

# %% tags=["hide-input"]
rows = []
for share, (_, oracle, by_rule) in moved.items():
    name = f"{P.prefix}variants.moved_{100 * share:.0f}.oracle.miou"
    recorder.add(name, oracle, n=1)
    pixels = f"{round(share * side)} px"
    rows.append([f"{share:.0%}", pixels, f"{oracle:.3f}", f"{by_rule:.3f}"])
header = [
    "moved by up to",
    f"of {side} px",
    "mIoU, oracle",
    "mIoU, corner minority",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# This is one image, so it is an illustration and does not measure how much is lost in general. But it shows what to
# look for in any new source: if its variants are not aligned to the pixel, edges are lost first, whereas clusters of
# large areas remain longer.
#
# The second assumption is about the rule: the corners are background, or the saliency map is roughly right. It can
# fail although the clusters are good, and we can show this without a new image: cut the right half out of the picture,
# so that the object stands at its left border. The row of $\mathbf{X}_s$ that belongs to a pixel does not change by
# this.

# %%
segmenter = VariantSegmenter(AtHand(variants), method)
summary = segmenter.summary(by_mixes.image)
half = slice(side // 2, side)
cropped = summary.crop(slice(0, side), half)
cases = {
    "whole image": (segmenter.cluster(summary).labels, truth),
    "right half": (segmenter.cluster(cropped).labels, truth[:, half]),
}

# %% tags=["hide-input"]
rows = []
for name, (labels, inside) in cases.items():
    masks = [
        oracle_mask(labels, k_of_profile, inside),
        rule_mask(labels, k_of_profile, rule),
        rule_mask(labels, k_of_profile, Saliency()),
    ]
    rows.append([name, *(f"{confusion(m, inside).miou:.3f}" for m in masks)])
header = ["clustered", "oracle", "corner minority", "saliency"]
display(Markdown(table(header, rows)))

# %% [markdown]
# The oracle's score shows how good the clusters still are; what a rule loses against it is lost because its assumption
# does not hold. The [chapter on failures](08_failure_cases.ipynb) breaks the assumptions one by one on many images.
# "One can always compile a scene where these assumptions are violated", says the paper.
#
# ## A diffusion model as the source
#
# The paper names the next source itself: "With the recent development such as ControlNet, one could generalize our
# method to diffusion models as well." A diffusion model {cite}`rombach2022` starts from noise and removes it in steps,
# and a text, the *prompt*, says what the image should show. Two techniques keep the structure while the text changes.
# *Image to image* {cite}`meng2022` begins with the query image plus noise, in place of noise alone. *ControlNet*
# {cite}`zhang2023` is a trained copy of half the network that reads a second picture, such as the query's edges or
# depth, and makes the new image follow it. So the parts of the two methods correspond to each other:
#
# | | style mixing | diffusion |
# | --- | --- | --- |
# | structure | layers below $c$ of $\mathbf{w}_0$ | the query image, its edges or depth |
# | style $j$ | layers from $c$ on of $\mathbf{w}_j$ | prompt $j$, "an oil painting in cold colours" |
# | shared over queries | the $n$ style latents | the $n$ prompts and the noise |
# | query | a latent; photos must be inverted | any image, also a photo |
#
# In the package this is `DiffusionVariants`. With a GPU and a network:
#
# ```python
# # pip install 'stylemixseg[diffusion,photos]'
# import cv2
# from stylemixseg.variants.diffusion import DiffusionQuery, DiffusionVariants
#
# source = DiffusionVariants.load(
#     "stable-diffusion-v1-5/stable-diffusion-v1-5",
#     "lllyasviel/sd-controlnet-canny",
#     ["an oil painting in cold colours", "a night photo in neon light", ...],
#     device="cuda",
# )
# edges = cv2.Canny(photo, 100, 200)[..., None].repeat(3, axis=2)
# found = segment_variants(source, DiffusionQuery(photo, edges), k=4)
# ```
#
# It downloads about 6 GB once. With 20 prompts at 512 pixels, a query takes about 700 TFLOP by counting the networks'
# operations: a minute or so on a GPU that reaches 10 TFLOP/s, and hours on two CPU cores. **None of this was measured
# for this book**, because the real weights could not be downloaded; in the tests the code runs with small random
# networks, whose images mean nothing. Two questions are therefore open, and this chapter has shown why they matter.
# Are the variants aligned well enough? An edge map fixes the edges, but nothing fixes the inside of an area. And do
# prompts colour by things? A prompt such as "in sepia" only tints the whole image, and the tinted source above shows
# that this adds nothing.
#
# ## Relatives that look inside the diffusion model
#
# Since the paper appeared, diffusion models have been used to segment images without labels, too. The three methods
# below do not make variants as above. All of them read the inside of the U-Net, the network that removes the noise, as
# the rivals above read the inside of a generator:
#
# | | what is compared | how it becomes segments | number of segments |
# | --- | --- | --- | --- |
# | DiffSeg {cite}`tian2024` | *self-attention maps*: to which other places does each place attend? | maps that resemble each other (Kullback-Leibler divergence) are merged, from a grid of anchors on | follows from a threshold |
# | EmerDiff {cite}`namekata2024` | features of a layer of 16 × 16 places, then: how does each *pixel* react when one region is disturbed? | K-means on the features; each pixel goes to the region whose disturbance changes it most | $k$ |
# | DiffCut {cite}`couairon2024` | features of the last self-attention block of the U-Net's encoder | a graph of similar places is cut in two again and again (normalised cut) | follows from a threshold |
# | this method | colours of a pixel in $n$ variants | K-means | $k$ |
#
# EmerDiff is the most similar method. Its features are coarse, so it has to find out which pixels belong to each of
# the 16 × 16 places. It disturbs one region of the features while the image is denoised, once upwards and once
# downwards, and looks where the two images differ. Pixels that *change together* with a region belong to it. This is
# the observation of Figure 2 of the paper, with one disturbance for each region in place of one style for the whole
# image.
#
# All four have in common that nobody drew a mask: they use what a generative model has learnt about which pixels
# belong together, since without that it could not make realistic images. They differ in what they read. DiffSeg and
# DiffCut compare places within one pass of one image, so nothing has to be aligned, and any photo will do. But they
# work on the grid of the network's inner layers and have to enlarge what they find, and they depend on how the network
# is built, which section 2 of the paper names as a disadvantage of methods that read features. The method here uses
# only pixels, so its masks are as fine as the images, but they are only as good as the variants are aligned.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-beyond-kept
# How strictly must a source colour by things? Suppose that you raise `kept` of the recoloured source, the share of the
# picture that is mixed into each variant: 0.3, 0.6, 0.8, 0.9, 1. Predict when the clusters stop following the regions.
# What are the variants at 1?
# ```
#
# ```{solution-start} ex-beyond-kept
# :class: dropdown
# ```
#
# At 1 every variant is the picture itself, so the clusters are those of its colours. Below, two distances compete. The
# colouring sets two regions apart by an amount that shrinks as `kept` grows; light and texture spread the pixels of one
# region by an amount that grows with it. K-means follows whichever is larger. Between the two ends the colouring wins for
# long, because the random colours of $n$ variants differ by much. A source may therefore recolour weakly and still serve,
# as long as what it does not recolour varies less within a thing than its colours do between things.

# %%
for kept in (0.3, 0.6, 0.8, 0.9, 1):
    values = [
        score(clustered(Recoloured(n, kept), (image, known.semantic)), known)
        for _, image, known in scenes
    ]
    print(f"kept {kept}: mIoU {np.mean(values):.3f}, worst {min(values):.3f}")

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-beyond-unshared
# Write `own_variants(image, regions, n)`, which colours the regions of an image like `Recoloured` with `kept = 0`, but in
# colours that depend on the image as well, so that each image is coloured in styles of its own. Seed the colours of
# variant $j$ with `np.random.default_rng([j, int(image.sum())])`. What must the `shares_styles` of such a source say?
# Does one image's cluster map become worse? And what can no longer be done with two images?
# ```
#
# ```{solution-start} ex-beyond-unshared
# :class: dropdown
# ```
#
# It must say `False`. One image is segmented as well as before, since K-means only compares pixels of the same image.
# But entry $j$ of $\mathbf{X}_s$ now means another style in every image. So pixels of two images cannot be compared: no
# clustering of several images together, and no discriminant that was learnt from other images. The segmenter refuses
# one, and says why.


# %% tags=["answer"]
import numpy as np


def own_variants(image, regions, n):
    """Variants of an image in colours that depend on the image.

    Args:
        image: (H, W, 3) uint8.
        regions: (H, W) int, the number of each pixel's region, from 0 on.
        n: number of variants.

    Returns:
        (n, H, W, 3) uint8. In variant j every region has one colour, drawn
        from np.random.default_rng([j, int(image.sum())]) by
        integers(256, size=(number of regions, 3)).
    """
    variants = []
    for j in range(n):
        draw = np.random.default_rng([j, int(image.sum())])
        colours = draw.integers(256, size=(regions.max() + 1, 3))
        variants.append(colours[regions])
    return np.array(variants, np.uint8)


# %% tags=["check"]
def check_own_variants():
    """Say whether `own_variants` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    regions = np.array([[0, 0, 1], [2, 2, 1]])
    dark, bright = (np.full((2, 3, 3), v, np.uint8) for v in (10, 200))
    found = own_variants(dark, regions, 4)
    expect(
        "the shape of own_variants(image, regions, 4)",
        None if found is None else np.shape(found),
        [4, 2, 3, 3],
        hint="one image (H, W, 3) per variant: colours[regions] gives one",
    )
    flat = all(
        len(np.unique(variant[regions == m], axis=0)) == 1
        for variant in found
        for m in range(3)
    )
    expect(
        "one colour per region and variant",
        flat,
        True,
        hint="index the colours by the region's number",
    )
    other = own_variants(bright, regions, 4)
    expect(
        "whether another image gets other colours",
        not np.array_equal(found, other),
        True,
        hint="the seed is [j, int(image.sum())], so it changes with the image",
    )
    expect(
        "whether variant 0 and variant 1 differ",
        not np.array_equal(found[0], found[1]),
        True,
        hint="draw new colours for every j",
    )
    expect(
        "own_variants(image, regions, 4), called twice",
        own_variants(dark, regions, 4),
        found,
        hint="equal images must give equal variants: seed the generator",
    )
    print("Right. Entry j of X_s means another style in every image.")


check_own_variants()

# %%
from stylemixseg.joint.discriminant import StyleDiscriminant


class OwnColours(Recoloured):
    """Paints regions in colours that depend on the query image too."""

    name, shares_styles = "colours of its own", False

    def iter_variants(self, query):
        yield own_variants(*query, self.n)


for _, image, known in scenes:
    labels = clustered(OwnColours(n), (image, known.semantic))
    print(f"mIoU {score(labels, known):.3f}")
judge = StyleDiscriminant(np.zeros(3 * n, np.float32), 0.0)
try:
    VariantSegmenter(OwnColours(n), k=2, judge=judge)
except ValueError as error:
    print(error)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - The rivals of the paper read a generator's features and train something on them: with labels (DatasetGAN), with a
#   critic and photos (Labels4Free), or with clusters over many images (Segmentation in Style). The method here reads
#   colours only and trains nothing.
# - It needs variants that are aligned and coloured by things. Tinting a whole image keeps the alignment but adds
#   nothing; a source that recolours regions gives these regions back, whether or not it is a network.
# - Style mixes can be taken at several cutoffs at once, at equal cost. Whether that helps must be decided by paired
#   differences, and the table above gives them for the images that it has.
# - A diffusion model with a ControlNet can be the source, also for photos without inversion. The code for this is here
#   and tested, but its quality was not measured.
# - DiffSeg, EmerDiff and DiffCut read the inside of the diffusion model. EmerDiff asks, as this method does, which
#   pixels change together.

# %% tags=["remove-cell"]
_ = recorder.write()  # its path is of this machine
