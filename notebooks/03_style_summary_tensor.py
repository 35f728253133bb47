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
# # The style summary tensor
#
# The style summary tensor lists the colours of each pixel in all styles. These are the numbers by which the method
# tells regions apart.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Build the style summary tensor $\mathbf{X}_s$ by hand, and say what each of its numbers is.
# - See and measure that pixels of one part vary together, whereas pixels of different parts do not.
# - Say what the colour space LAB is, and convert to it.
# - Distinguish the paper's word *correlation* from what the paper computes, and compare the two.
# - Estimate the memory that $\mathbf{X}_s$ takes, and see how the agreement with the reference changes as $n$ grows.
#
# **Prerequisites**
#
# - [Style mixing](02_style_mixing.ipynb): style-mixed images, shared styles.
# - The Euclidean distance and the correlation coefficient. The colour space LAB is explained here; ten minutes more on
#   it are in its [refresher](../refreshers/lab.md).
#
# **Run time:** about 2 minutes on two CPU cores (profile `cpu`), less if another chapter has already stored its
# style-mixed images.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from stylemixseg.evaluation.tables import table, value_text
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.scoring import (
    REFERENCES,
    reference_masks,
    reference_parts,
    score_rules,
)
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.metrics import bootstrap_interval, mean_iou
from stylemixseg.viz import diagrams
from stylemixseg.viz.compositing import PALETTE, clusters_to_color
from stylemixseg.viz.plotting import image_grid, image_row, lines

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "03_style_summary_tensor", profile, results, seed="queries.examples"
)

# %% [markdown]
# ## Step by step
#
# Section 3.2 of the paper {cite}`feng2023` builds $\mathbf{X}_s \in \mathbb{R}^{H \times W \times 3n}$ "by
# concatenating style-mixed images at each pixel location". We begin with the $n$ style-mixed images of one query.

# %% tags=["remove-output"]
from stylemixseg.mixing import draw_style_latents, query_image

styles = draw_style_latents(generator, P.method.n, P.method.style_seed)
latents = [query_latent(generator, P, seed) for seed in P.queries.examples]
stacks = [cached_stack(generator, w0, styles, P.method.plan) for w0 in latents]
images = [query_image(generator, w0, P.method.resolution) for w0 in latents]

# %%
stack = stacks[0]  # (n, H, W, 3) uint8, one style-mixed image after another
n, height, width, _ = stack.shape
# (H, W, n, 3): at each pixel, its colours in image 1, 2, ...
beside = np.moveaxis(stack, 0, 2)
# (H, W, 3n): the same numbers in one row
by_hand = beside.reshape(height, width, 3 * n)

# %% tags=["remove-input"]
display(
    Markdown(
        table(
            ["step", "shape", "axes"],
            [
                [
                    "style-mixed images",
                    str(stack.shape),
                    "image, row, column, channel",
                ],
                [
                    "image axis moved",
                    str(beside.shape),
                    "row, column, image, channel",
                ],
                [
                    "last two axes joined",
                    str(by_hand.shape),
                    "row, column, number",
                ],
            ],
        )
    )
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Diagram: five style-mixed images in a row, each with the same pixel marked. An arrow leads from the pixel to its three numbers below the image. A bracket joins all numbers into one row"}, "figure": {"caption": "From a pixel to its row of the style summary tensor. The marked pixel is the same in all images; only some of the n images are shown. Its numbers, image after image, are its row.", "name": "fig-pixel-row"}}
diagrams.pixel_to_row(
    stack[[0, 1, 2, 3, -1]] if len(stack) > 4 else stack,
    (height // 2, width // 3),
    n=len(stack),
)

# %% [markdown]
# No number was changed, only the order: numbers $3i$ to $3i + 2$ of a pixel are its colour in image $i$ (we count from
# 0). The package does the same, and also scales RGB to 0..100.

# %%
from stylemixseg.summary import summary_from_images

row, column, i = height // 2, width // 3, n - 1
assert np.array_equal(
    by_hand[row, column, 3 * i : 3 * i + 3], stack[i, row, column]
)
assert np.allclose(
    summary_from_images(stack, "rgb"), by_hand * (100 / 255), atol=1e-3
)

# %% [markdown]
# Each pixel has thus become a point in a space of $3n$ dimensions. Its position in the image is not among its
# coordinates.
#
# ## Pixel barcodes
#
# Now we look at single pixels. We take the largest parts that the reference distinguishes in this image, three at most,
# and in each part two pixels that lie some distance apart, both well inside the part. The reference serves only to
# choose *where we look*; the method never sees it.

# %%
from stylemixseg.metrics import trimap_band

# (H, W) int
parts, part_names = reference_parts(
    P.reference, generator, P, P.queries.examples[0], images[0]
)
# pixels that the chosen ones stay away from the part's edge
margin = max(2, height // 64)


def two_inside(part):
    """Two pixels (row, column) well inside a part, a mask (H, W).

    They lie at a tenth and at a third of it, from the left.
    """
    inside = part & ~trimap_band(part, margin, side="per_side")
    places = np.argwhere(inside if inside.any() else part)
    places = places[np.argsort(places[:, 1], kind="stable")]
    return places[len(places) // 10], places[len(places) // 3]


counts = np.bincount(parts.ravel(), minlength=len(part_names))
largest = [part for part in np.argsort(-counts)[:3] if counts[part]]
chosen = {
    f"{part_names[part]} {letter}": at
    for part in largest
    for letter, at in zip("ab", two_inside(parts == part))
}

# %% tags=["hide-input"] mystnb={"image": {"alt": "On the left an image with marked pixels; on the right a strip of coloured cells for each of them, in pairs that look alike"}, "figure": {"caption": "Pixel barcodes. Left: the query with two pixels in each part. Right: each pixel's colour in every style-mixed image, that is its row of the style summary tensor. The two strips of a part change together; strips of different parts do not.", "name": "fig-barcodes"}}
figure, (picture, strips) = plt.subplots(
    1, 2, figsize=(7, 2.6), width_ratios=[1, 1.7], layout="constrained"
)
picture.imshow(images[0])
picture.set(xticks=[], yticks=[])
for place, (name, (y, x)) in enumerate(chosen.items()):
    picture.plot(
        x,
        y,
        "o",
        color=PALETTE[place // 2] / 255,
        markeredgecolor="white",
        markersize=7,
    )
    picture.annotate(
        name[-1],
        (x, y),
        (5, 4),
        textcoords="offset points",
        color="white",
        fontsize=9,
        weight="bold",
    )
strips.imshow(
    np.stack([stack[:, y, x] for y, x in chosen.values()]),
    aspect="auto",
    interpolation="nearest",
)
strips.set_yticks(range(len(chosen)), list(chosen), fontsize=8)
for tick, place in zip(strips.get_yticklabels(), range(len(chosen))):
    tick.set_color(PALETTE[place // 2] / 255)
strips.hlines(
    np.arange(1.5, len(chosen) - 1, 2),
    -0.5,
    n - 0.5,
    color="white",
    linewidth=5,
)
strips.set(xlabel="style-mixed image", xticks=[], xlim=(-0.5, n - 0.5))
plt.close(figure)
figure

# %% [markdown]
# In a single column two parts may well have the same colour, but they hardly can in all columns. This is why many
# styles help.
#
# Two pixels of one part are not equal either, because light falls on one side, a part may have stripes, and a reference
# may use one name for two objects. What matters is that the differences within a part are small compared with those
# between parts. To measure this, we draw many pairs of pixels at random from each example image, sort them by whether
# the reference puts both into one part, and compare the two groups.

# %%
PAIRS = 4000
# (H, W, 3n) each
X = [summary_from_images(item, P.method.color_space) for item in stacks]


def changes(points):
    """Points (..., n, 3) less each channel's mean over the n images."""
    return points - points.mean(-2, keepdims=True)


def correlations(first, second):
    """Correlation of the colour changes of pixel pairs, (PAIRS,).

    `first` and `second` are (PAIRS, n, 3) each.
    """
    a, b = (
        changes(points).reshape(len(points), -1) for points in (first, second)
    )
    return (a * b).sum(1) / np.maximum(
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-6
    )


random = np.random.RandomState(0)
# One entry per image: (PAIRS, n), (PAIRS,), and (PAIRS,) bool
squared, correlated, same = [], [], []
for summary, seed, image in zip(X, P.queries.examples, images):
    labels = reference_parts(P.reference, generator, P, seed, image)[0].ravel()
    points = summary.reshape(-1, n, 3)
    i, j = random.randint(len(points), size=(2, PAIRS))
    squared.append(((points[i] - points[j]) ** 2).sum(2))
    correlated.append(correlations(points[i], points[j]))
    same.append(labels[i] == labels[j])

# %%
# root mean square over the styles
distance = [np.sqrt(values.mean(1)) for values in squared]

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two histograms of distances and two of correlations: pairs of pixels in one part lie at small distances and high correlations, pairs in different parts at larger distances and lower correlations"}, "figure": {"caption": "Pairs of pixels in one part (blue) and in different parts (orange). Left: their distance in the style summary tensor, divided by the root of n. Right: the correlation of their colour changes.", "name": "fig-pairs"}}
figure, axes = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for axis, values, label in zip(
    axes, (distance, correlated), ("distance per style", "correlation")
):
    values, mask = np.concatenate(values), np.concatenate(same)
    bins = np.linspace(values.min(), values.max(), 41)
    axis.hist(
        values[mask],
        bins,
        density=True,
        color="#0072b2",
        alpha=0.7,
        label="one part",
    )
    axis.hist(
        values[~mask],
        bins,
        density=True,
        color="#e69f00",
        alpha=0.6,
        label="different parts",
    )
    axis.set(xlabel=label, yticks=[])
axes[0].set_ylabel("share of pairs")
axes[0].legend(fontsize=8)
plt.close(figure)
figure

# %% tags=["hide-input"]
rows = []
for name, values in (("distance", distance), ("correlation", correlated)):
    means = {
        where: np.mean(
            [item[pairs == inside].mean() for item, pairs in zip(values, same)]
        )
        for where, inside in (("one part", True), ("different parts", False))
    }
    for where, mean in means.items():
        side = "within" if where == "one part" else "between"
        measured = f"{P.prefix}summary.{name}.{side}"
        recorder.add(
            measured, mean, n=len(X), note=f"{PAIRS} pixel pairs an image"
        )
    rows.append([name, *(f"{mean:.2f}" for mean in means.values())])
display(
    Markdown(
        f"Means over {len(X)} images with {PAIRS} pairs of pixels each; parts "
        f"as in the reference ({REFERENCES[P.reference]}).\n\n"
        + table(["", *means], rows)
    )
)

# %% [markdown]
# The two groups differ clearly, but they overlap. A clustering can therefore work, but it cannot be perfect.
#
# ## RGB and LAB
#
# The distance between two pixels depends on how colours are represented by numbers. In *RGB*, the three numbers say how
# much red, green and blue light there is. This has two drawbacks: equal steps in RGB do not look equally large, and
# when light falls on an object, all three numbers grow at once.
#
# *CIE LAB* was designed so that equal distances look about equally different. $L^*$ is the lightness, from 0 (black) to
# 100 (white). $a^*$ goes from green to red, $b^*$ from blue to yellow; both are 0 for grey. The conversion from RGB has
# three steps:
#
# 1. Undo the gamma curve of the file, so that numbers are proportional to light.
# 2. A 3 by 3 matrix gives the CIE coordinates $X, Y, Z$. Divide by those of white (D65, daylight): $x, y, z$.
# 3. With $f(t) = \sqrt[3]{t}$ (and a straight line near 0), $L^* = 116 f(y) - 16$, $a^* = 500\,(f(x) - f(y))$,
#    $b^* = 200\,(f(y) - f(z))$.
#
# The cube root imitates how the eye responds to light. We write the conversion out once, in order to check the
# package's.

# %%
from stylemixseg.colors import to_color_space


def lab_by_hand(image):
    """(H, W, 3) uint8 to CIE LAB (H, W, 3), straight from the definition."""
    rgb = image / 255
    light = np.where(
        rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4
    )
    to_xyz = np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    xyz = light @ to_xyz.T / (0.95047, 1.0, 1.08883)
    x, y, z = np.moveaxis(
        np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116), -1, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


lab = to_color_space(images[0][None], "lab")[0]  # (H, W, 3)
largest_error = np.abs(lab - lab_by_hand(images[0])).max()
assert largest_error < 0.05

# %% tags=["hide-input"]
checked = f"Largest difference from the formulas: {largest_error:.1e}."
if find_spec("skimage"):
    from skimage.color import rgb2lab

    difference = np.abs(lab - rgb2lab(images[0])).max()
    assert difference < 0.05
    checked += f" From scikit-image's `rgb2lab`: {difference:.1e}."
display(Markdown(checked))

# %% mystnb={"image": {"alt": "An image and its three LAB channels as grey images: one shows light and shadow, the two others show the colours with little shading"}, "figure": {"caption": "A query and its LAB channels (a* and b*: mid-grey is 0). Light and shadow appear mostly in L*, whereas the hue appears in a* and b*.", "name": "fig-lab"}}
image_row(
    [
        images[0],
        lab[..., 0] / 100,
        *(np.clip(0.5 + lab[..., channel] / 100, 0, 1) for channel in (1, 2)),
    ],
    ["query", "L*", "a*", "b*"],
)

# %% [markdown]
# The paper compares both colour spaces. Section 4.6 finds that RGB clusters follow highlights, that is, spots where a
# surface mirrors the light, and that LAB is better (Table 4). [Clustering](04_clustering.ipynb) shows the clusters of
# both, and the [ablation](07_ablation.ipynb) measures them. K-means finds the same clusters if all numbers are
# multiplied by one factor, so scaling RGB to 0..100 changes no result; it only makes the distances in the two spaces
# comparable.
#
# ## Correlation, in words and in code
#
# The paper says "correlation" throughout: "the correlation of a set of pixels belonging to the same semantic segment do
# not change". However, equation 2 runs K-means on the colours themselves, and K-means compares points by Euclidean
# distance, which is not the same as correlation. Three versions show the difference:
#
# - *raw*: the colours, as the paper computes. Two pixels are near if their colours are near in every style.
# - *centred*: from the colours of each pixel, subtract the mean of each channel over the $n$ images. What remains is
#   how its colour *changes*, so a shadow that all styles share no longer counts.
# - *centred, length 1*: divide by the length as well. Half the squared distance is then one minus the correlation, so
#   this is what the paper's word says.
#
# The last two are **our own experiment**, in which everything else stays the same: the images, $k$, the rules and the
# reference.

# %% tags=["remove-output"]
from stylemixseg.clustering import kmeans


def centred(summary):
    return changes(summary.reshape(*summary.shape[:2], -1, 3)).reshape(
        summary.shape
    )


def centred_unit(summary):
    change = centred(summary)
    return change / np.maximum(
        np.linalg.norm(change, axis=2, keepdims=True), 1e-6
    )


variants = {
    "raw": lambda summary: summary,
    "centred": centred,
    "centred, length 1": centred_unit,
}
references = reference_masks(
    P.reference,
    generator,
    P,
    P.queries.examples,
    [{"image": image} for image in images],
)
maps = {
    name: [kmeans(variant(summary), P.method.k).labels for summary in X]
    for name, variant in variants.items()
}
scores = {
    name: score_rules(labels, P.method.k, references)
    for name, labels in maps.items()
}

# %% mystnb={"image": {"alt": "Rows of query images with three cluster maps each: from raw colours, from centred colours, and from centred colours of length one"}, "figure": {"caption": "Cluster maps from raw colours (the paper's method), from colour changes, and from colour changes of length 1. Colours number the clusters by size, so they do not correspond between maps.", "name": "fig-centred"}}
image_grid(
    [
        [image, *(clusters_to_color(maps[name][i]) for name in variants)]
        for i, image in enumerate(images)
    ],
    column_titles=["query", *variants],
)

# %% tags=["hide-input"]
RULE_NAMES = {
    "oracle": "best choice of clusters",
    "corner_minority": "corner minority",
    "saliency": "saliency",
}
rows = []
for name, of_rules in scores.items():
    cells = []
    for rule in RULE_NAMES:
        value, interval = (
            mean_iou(of_rules[rule], "per_image"),
            bootstrap_interval(of_rules[rule], "miou", "per_image"),
        )
        variant = name.replace(", ", "_").replace(" ", "_")
        measured = f"{P.prefix}summary.{variant}.{rule}.miou"
        recorder.add(measured, value, n=len(X), interval=interval)
        cells.append(value_text(value, interval))
    rows.append([name, *cells])
display(
    Markdown(
        f"mIoU, mean over {len(X)} images with 95 % bootstrap intervals, k = "
        f"{P.method.k}, {P.method.color_space.upper()}, c = {P.method.cutoff}. "
        "The oracle, *best choice of clusters*, looks at the reference.\n\n"
        + table(["summary tensor", *RULE_NAMES.values()], rows)
    )
)

# %% [markdown]
# So few images cannot rank the three versions, but they show that there is a choice, and what it changes. Centred maps
# may divide one object into its lit side and its shadow side: the direction of the light is a part of the style, so the
# two sides change differently, although their mean colours are alike. Raw colours keep the mean colour as a second cue,
# and therefore we use them, as the paper does.
#
# ## Memory
#
# $\mathbf{X}_s$ holds $3n$ numbers of 4 bytes at each pixel, so its size grows with the square of the resolution.

# %% tags=["hide-input"]
sides = (128, 256, 512, 1024)
style_counts = sorted({P.method.n, 50})
rows = [
    [
        f"{side} x {side}",
        *(
            f"{side * side * 3 * count * 4 / 1e6:,.0f} MB"
            for count in style_counts
        ),
    ]
    for side in sides
]
display(
    Markdown(
        table(["resolution", *(f"n = {count}" for count in style_counts)], rows)
        + f"\n\nHere: {X[0].nbytes / 1e6:,.1f} MB."
    )
)

# %% [markdown]
# The paper works at 1024 pixels with $n = 50$ and reports 4 GB of GPU memory for the whole method (section 4.1).
#
# The numbers need not all be in memory at once. `style_summary` keeps the style-mixed images as bytes, which takes a
# quarter of the memory, and computes the colours of only those pixels that K-means asks for; the clusters are the same.
# The *plan* says how the images are made: the cutoff, the colour space, and the resolution, to which each image is
# averaged down as soon as it is generated. A low resolution saves memory, too, but a mask at 256 pixels has coarser
# edges; [compositing](09_compositing.ipynb) shows them.

# %%
from stylemixseg.mixing import style_mixed_images
from stylemixseg.summary import style_summary

two = (generator, latents[0], styles[:2], P.method.plan)
as_bytes = style_summary(*two)  # stands for X_s (H, W, 6)
at_hand = summary_from_images(style_mixed_images(*two), P.method.color_space)
assert np.array_equal(as_bytes.tensor(), at_hand)
print(f"{as_bytes.images.nbytes:,} bytes in place of {at_hand.nbytes:,}")

# %% [markdown]
# ### With the query or without
#
# Should $\mathbf{X}_0$ itself be among the images? The paper does not say. `include_query=True` appends it, whereas by
# default it is left out. One more image among $n$ should hardly matter, and the table below shows whether it does.

# %% tags=["hide-input"]
with_query = [
    kmeans(
        summary_from_images([*stack_, image], P.method.color_space), P.method.k
    ).labels
    for stack_, image in zip(stacks, images)
]
oracle_with = score_rules(with_query, P.method.k, references)["oracle"]
rows = []
for name, of_images in (
    ("without", scores["raw"]["oracle"]),
    ("with", oracle_with),
):
    rows.append(
        [
            name,
            *(f"{item.miou:.3f}" for item in of_images),
            f"{mean_iou(of_images, 'per_image'):.3f}",
        ]
    )
recorder.add(
    f"{P.prefix}summary.include_query.oracle.miou",
    mean_iou(oracle_with, "per_image"),
    n=len(X),
    interval=bootstrap_interval(oracle_with, "miou", "per_image"),
)
display(
    Markdown(
        f"mIoU of the oracle, n = {P.method.n}:\n\n"
        + table(
            ["query", *(f"seed {seed}" for seed in P.queries.examples), "mean"],
            rows,
        )
    )
)

# %% [markdown]
# ## How many styles?
#
# The paper sets $n = 50$ and gives no reason. Each style costs one synthesis, so it is worth knowing how much it
# contributes. We begin with the pairs of pixels from above. Take a pair within one part and a pair from different
# parts: how often are the two pixels of the first pair nearer to each other? By chance this would be one half. We use
# the first $n'$ styles, for growing $n'$ up to $n$.


# %%
def share_nearer(within, between):
    """Share of comparisons in which a distance within a part is the smaller."""
    return np.searchsorted(np.sort(within), between).mean() / len(within)


sizes = sorted(
    {m for m in (1, 2, 3, 5, 8, 12, 20, 30, 50) if m < P.method.n}
    | {P.method.n}
)
nearer = np.empty((len(X), len(sizes)))  # (images, sizes)
for place, m in enumerate(sizes):
    for image, (values, pairs) in enumerate(zip(squared, same)):
        apart = values[:, :m].sum(1)
        nearer[image, place] = share_nearer(apart[pairs], apart[~pairs])

# %% tags=["remove-cell"]
for place, m in enumerate(sizes):
    recorder.add(
        f"{P.prefix}summary.n{m}.share_nearer",
        nearer[:, place].mean(),
        n=len(X),
    )

# %% mystnb={"image": {"alt": "A curve over the number of styles, with bars for the spread over images: how often a pair of pixels within a part is nearer than a pair between parts"}, "figure": {"caption": "How often two pixels of one part are nearer to one another than two pixels of different parts, with the first n' styles. The bars reach from the worst to the best image.", "name": "fig-nearer-n"}}
lines(
    sizes,
    {"one part nearer": nearer.mean(0)},
    xlabel="number of styles n'",
    ylabel="share of comparisons",
    intervals={"one part nearer": list(zip(nearer.min(0), nearer.max(0)))},
)

# %% [markdown]
# This share says little about the pairs that decide, which are those of two parts that look alike. We therefore look at
# masks as well: we cluster with $n'$ styles and score the clusters with the oracle. If the styles are few, it matters
# which ones they are, so we repeat this with up to three sets of $n'$ different styles, and take the mean for each
# image.

# %% tags=["remove-output"]
agreed = np.empty((len(X), len(sizes)))  # (images, sizes): mIoU of the oracle
set_counts = []
for place, m in enumerate(sizes):
    # Sets of styles that do not overlap
    starts = range(0, P.method.n - m + 1, m)[:3]
    set_counts.append(len(starts))
    by_set = [
        score_rules(
            [
                kmeans(x[..., 3 * start : 3 * (start + m)], P.method.k).labels
                for x in X
            ],
            P.method.k,
            references,
        )["oracle"]
        for start in starts
    ]
    agreed[:, place] = np.mean(
        [[item.miou for item in of_images] for of_images in by_set], axis=0
    )

# %% tags=["remove-cell"]
for place, m in enumerate(sizes):
    recorder.add(
        f"{P.prefix}summary.n{m}.oracle.miou",
        agreed[:, place].mean(),
        n=len(X),
        note=f"{set_counts[place]} sets of styles",
    )

# %% mystnb={"image": {"alt": "A curve of the agreement with the reference over the number of styles, with bars for the spread over images"}, "figure": {"caption": "Agreement of the clusters with the reference (mIoU of the oracle) for growing numbers of styles. The bars reach from the worst to the best image.", "name": "fig-miou-n"}}
lines(
    sizes,
    {"oracle": agreed.mean(0)},
    xlabel="number of styles n'",
    ylabel="mIoU",
    intervals={"oracle": list(zip(agreed.min(0), agreed.max(0)))},
)

# %% tags=["remove-input"]
display(
    Markdown(
        f"Mean mIoU over {len(X)} images: "
        + ", ".join(
            f"{value:.3f} with {m}" for m, value in zip(sizes, agreed.mean(0))
        )
        + f". The worst image goes from {agreed[:, 0].min():.3f} to "
        f"{agreed[:, -1].min():.3f}."
    )
)

# %% [markdown]
# The first few styles bring most of the gain, and later ones add little. This holds for these few images and for the
# oracle, which is more forgiving than a rule because it looks at the reference. The paper's 50 styles are on the
# safe side.
#
# ### Try it: how many styles
#
# Move $n$ from 1 upwards. Each further mix adds three numbers per pixel, and
# pixels that only happened to share a colour come apart.
#
# ```{raw} html
# <link rel="stylesheet" href="../live/live.css">
# <div data-style-mix-live data-recorded
#   data-panels="mixing clusters">
#   <p>This part of the page needs JavaScript.</p>
# </div>
# <script src="../live/live.js" defer></script>
# ```
#
# ## Exercises
#
# ```{exercise}
# :label: ex-summary-order
# Does the order of the styles matter? Write `shuffle_styles(summary, order)`, which reorders the styles of a finished style
# summary tensor: style `order[0]` comes first, then `order[1]`, and so on. Predict whether the cluster map changes, and
# test it. And if you shuffle the *pixels*?
# ```
#
# ```{solution-start} ex-summary-order
# :class: dropdown
# ```
#
# Neither does, in principle. Euclidean distances do not depend on the order of the coordinates, and K-means does not
# look at where a pixel lies. In practice its random start falls on other pixels when pixels are shuffled, so a few
# labels may differ. The last cell shuffles the styles.


# %% tags=["answer"]
def shuffle_styles(summary, order):
    """Put the styles of a style summary tensor into another order.

    Args:
        summary: style summary tensor (H, W, 3n).
        order: the n numbers of the styles, in their new order.

    Returns:
        (H, W, 3n), the same numbers; each style's three stay together.
    """
    height, width, numbers = summary.shape
    colours = summary.reshape(height, width, numbers // 3, 3)
    return colours[:, :, order].reshape(summary.shape)


# %% tags=["check"]
def check_shuffle_styles():
    """Say whether `shuffle_styles` is right, and what to look at if not."""
    import numpy as np

    from stylemixseg.feedback import expect

    summary = np.arange(24.0).reshape(2, 2, 6)  # two styles
    hint = (
        "numbers 3i to 3i + 2 of a pixel are its colour in style i, so they "
        "must move together and keep their order"
    )
    expect(
        "shuffle_styles(summary, [0, 1])",
        shuffle_styles(summary, [0, 1]),
        summary,
        hint,
    )
    expect(
        "shuffle_styles(summary, [1, 0])[0, 0], given 0, 1, ..., 5",
        shuffle_styles(summary, [1, 0])[0, 0],
        [3.0, 4, 5, 0, 1, 2],
        hint,
    )
    summary = np.random.default_rng(0).random((3, 4, 9))
    order = [2, 0, 1]
    right = np.concatenate([summary[..., 3 * i : 3 * i + 3] for i in order], -1)
    expect(
        "shuffle_styles(summary, [2, 0, 1])",
        shuffle_styles(summary, order),
        right,
        hint,
    )
    print("Right. All distances between pixels are what they were.")


check_shuffle_styles()

# %%
order = np.random.RandomState(1).permutation(n)
shuffled = kmeans(shuffle_styles(X[0], order), P.method.k).labels
display(
    Markdown(
        "Pixels with the same label after shuffling the styles: "
        f"{(shuffled == maps['raw'][0]).mean():.2%}."
    )
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-summary-components
# Do the $3n$ numbers of a pixel hold $3n$ independent facts? Write `components_for(summary, share)`, which returns how many
# principal components of $\mathbf{X}_s$ carry at least that share of its variance over the pixels. How many carry 95 %?
# ```
#
# ```{solution-start} ex-summary-components
# :class: dropdown
# ```
#
# Far fewer than $3n$. A scene has a handful of parts, and all pixels of a part move together, so a few components are
# enough; the last cell shows it. It is the same fact that makes the clustering work.


# %% tags=["answer"]
import numpy as np


def components_for(summary, share):
    """Number of principal components that carry a share of the variance.

    Args:
        summary: style summary tensor (H, W, 3n).
        share: of the variance over the pixels, above 0 and below 1.

    Returns:
        The smallest number of components whose variances together are at
        least that share of the whole.
    """
    pixels = summary.reshape(-1, summary.shape[-1])
    variances = np.linalg.eigvalsh(np.cov(pixels, rowvar=False))[::-1]
    shares = np.cumsum(variances) / variances.sum()
    return int(np.searchsorted(shares, share)) + 1


# %% tags=["check"]
def check_components_for():
    """Say whether `components_for` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    draw = np.random.default_rng(0)
    weights = draw.choice([-1, 1], size=(64, 3)) * [9, 3, 1]
    summary = (weights @ np.eye(3, 6) + 50).reshape(8, 8, 6)
    for share, right in ((0.5, 1), (0.95, 2), (0.999, 3)):
        expect(
            f"components_for(summary, {share})",
            components_for(summary, share),
            right,
            hint="the variances are the eigenvalues of the covariance of "
            "the pixels, with the mean pixel taken away; sort them from "
            "the largest on, and divide their running sum by the whole",
        )
    print("Right. Here three directions were drawn with shares 9² : 3² : 1².")


check_components_for()

# %%
needed = components_for(X[0], 0.95)
recorder.add(
    f"{P.prefix}summary.components95",
    needed,
    note="principal components for 95 % of the variance, one image",
)
display(Markdown(f"{needed} of {3 * n} components carry 95 % of the variance."))

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - $\mathbf{X}_s$ holds, for each pixel, its colours in the $n$ style-mixed images: $3n$ numbers.
# - Pixels of one part have similar rows, whereas those of different parts differ in many styles. The two groups
#   overlap.
# - LAB separates lightness from colour, and its distances agree better with what we see.
# - The paper speaks of correlation but computes Euclidean distances of colours. Centring and scaling to length 1 give
#   the correlation.
# - $\mathbf{X}_s$ takes $12n$ bytes per pixel, but it need not be in memory as a whole.

# %% tags=["remove-cell"]
_ = recorder.write()  # its path is of this machine
