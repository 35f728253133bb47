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
# # Clustering pixels
#
# K-means turns the style summary tensor into a cluster map: pixels that change colour together get one label.
#
# :::{admonition} Before you start
# **Objectives**
#
# - State what K-means minimises, and run it on the pixels of a style summary tensor (equation 2 of the paper).
# - See what the number of clusters $k$ does.
# - Know two defaults of the library faiss that a user does not notice, and measure the effect of each: it sub-samples,
#   and it starts only once, at random.
# - Get finer parts with a larger $k$, and a soft mask from the distances.
# - Compare the colour spaces LAB and RGB in pictures.
#
# **Prerequisites**
#
# - [The style summary tensor](03_style_summary_tensor.ipynb): what $\mathbf{X}_s$ holds.
# - K-means as in a first course of machine learning, or its [refresher](../refreshers/kmeans.md).
#
# **Run time:** about 2 minutes on two CPU cores (profile `cpu`), less if another chapter has already stored its
# style-mixed images.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import time
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display
from matplotlib.ticker import LogLocator

from stylemixseg.evaluation.tables import table
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.scoring import RULES, oracle_mask
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.settings import MAX_POINTS_PER_CLUSTER
from stylemixseg.viz.compositing import blend, clusters_to_color, overlay
from stylemixseg.viz.plotting import image_grid, image_row
from stylemixseg.viz.widgets import picture_slider

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "04_clustering", profile, results, seed="queries.examples"
)

# %% [markdown]
# ## K-means on pixels
#
# Section 3.2 of the paper {cite}`feng2023` clusters the pixels of the summary tensor $\mathbf{X}_s$ (equation
# 2):
#
# ```{math}
# :label: eq-kmeans
# \mathbf{Y}' = \operatorname{kmeans}(\mathbf{X}_s, k).
# ```
#
# Each pixel $p$ is a point $\mathbf{x}_p$ with $3n$ coordinates: its colour in each of the $n$ style-mixed
# images. K-means looks for $k$ centroids $\boldsymbol{\mu}_0, \dots, \boldsymbol{\mu}_{k-1}$ and a label
# $\mathbf{Y}'_p$ for each pixel that make this sum small:
#
# ```{math}
# :label: eq-objective
# J = \sum_p \lVert \mathbf{x}_p - \boldsymbol{\mu}_{\mathbf{Y}'_p} \rVert^2 .
# ```
#
# The usual method is *Lloyd's algorithm*, which alternates two steps: assign every pixel to the nearest centroid, then
# move every centroid to the mean of its pixels. Neither step can increase $J$, so the algorithm converges. It uses
# neither the position of a pixel in the image nor the other images.
#
# The labels form the *cluster map* $\mathbf{Y}'$. We count from 0, and cluster 0 is always the largest.

# %% tags=["remove-output"]
from stylemixseg.mixing import draw_style_latents, query_image
from stylemixseg.summary import summary_from_images

styles = draw_style_latents(generator, P.method.n, P.method.style_seed)
latents = [query_latent(generator, P, seed) for seed in P.queries.examples]
stacks = [cached_stack(generator, w0, styles, P.method.plan) for w0 in latents]
images = [query_image(generator, w0, P.method.resolution) for w0 in latents]
summaries = [
    summary_from_images(stack, P.method.color_space) for stack in stacks
]

# %%
from stylemixseg.clustering import kmeans

X_s = summaries[0]
clustered = kmeans(X_s, P.method.k)
height, width, dimensions = X_s.shape

# %% tags=["remove-input"]
display(
    Markdown(
        f"{height * width} pixels with {dimensions} coordinates each (n = "
        f"{P.method.n} images, {P.method.color_space.upper()}, c = "
        f"{P.method.cutoff}), k = {P.method.k}: the clusters hold "
        + ", ".join(
            f"{share:.0%}"
            for share in np.bincount(clustered.labels.ravel())
            / clustered.labels.size
        )
        + " of the pixels."
    )
)

# %% mystnb={"image": {"alt": "A query image, its cluster map in flat colours, and for each cluster a grey map that is dark where pixels are near its centroid"}, "figure": {"caption": "The query, its cluster map, and each pixel's distance to each centroid (dark is near). A pixel gets the label of the map in which it is darkest.", "name": "fig-cluster-map"}}
distance = np.sqrt(clustered.distances)  # (H, W, k)
image_row(
    [
        images[0],
        clusters_to_color(clustered.labels),
        *np.moveaxis(distance / distance.max(), 2, 0),
    ],
    ["query", "cluster map", *(f"distance to {m}" for m in range(P.method.k))],
)

# %% [markdown]
# A centroid is a list of $n$ colours, one for each style. Drawn as a strip of colours, it shows why the clusters
# separate: the strips differ in many styles, even if they look alike in some.

# %%
# (k, n, 3)
signatures = np.stack(
    [
        np.asarray(stacks[0])[:, clustered.labels == m].mean(1)
        for m in range(P.method.k)
    ]
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "One strip of coloured cells for each cluster; the strips differ in most of the cells"}, "figure": {"caption": "Mean colour of each cluster (rows) in each style-mixed image (columns). Two clusters that look alike in one style seldom do in all.", "name": "fig-signatures"}}
figure, axis = plt.subplots(
    figsize=(7, 0.35 * P.method.k + 0.8), layout="constrained"
)
axis.imshow(
    signatures.round().astype(np.uint8), aspect="auto", interpolation="nearest"
)
axis.set_yticks(range(P.method.k), [f"cluster {m}" for m in range(P.method.k)])
axis.set(xlabel="style-mixed image", xticks=[])
plt.close(figure)
figure

# %% [markdown]
# ## The number of clusters
#
# The paper uses $k=3$ for faces in section 4.1, says "we selected $k=4$" in section 4.6, and uses $k=2$ inside boxes
# around one object. Move the slider: with each step a region splits. A small $k$ joins parts of the object with the
# background. A large $k$ also splits regions along shading, which does no harm by itself but leaves more decisions to
# the foreground rule.
#
# The slider works on this page without Python, because it only selects one of several images that were computed
# beforehand.

# %%
ks = range(2, 9)
by_k = [kmeans(X_s, k).labels for k in ks]

# %% tags=["hide-input"]
enlarged = 384 // height if height < 384 else 1
pictures = [
    np.hstack([images[0], clusters_to_color(labels)])
    .repeat(enlarged, 0)
    .repeat(enlarged, 1)
    for labels in by_k
]
picture_slider(
    pictures,
    [f"query and cluster map, k = {k}" for k in ks],
    name="number of clusters k",
    width=560,
)

# %% [markdown]
# Here is the same as a still image, for print:

# %% mystnb={"image": {"alt": "Seven cluster maps of one image, from two clusters to eight; each has finer regions than the one before"}, "figure": {"caption": "Cluster maps of one image for growing k. Colours number the clusters by size, so they do not correspond between maps.", "name": "fig-ks"}}
maps_of_ks = [clusters_to_color(labels) for labels in by_k]
image_grid(
    [[images[0], *maps_of_ks[:3]], maps_of_ks[3:]],
    row_titles=["query, k = 2, 3, 4", "k = 5, 6, 7, 8"],
)

# %% [markdown]
# ## What faiss does
#
# The paper uses the K-means of faiss {cite}`johnson2019`, and so do we. It is fast, but its defaults were made for
# searching millions of vectors. It works in these steps:
#
# 1. It keeps at most `max_points_per_centroid` points per centroid, 256 by default, and draws them at random without a
#    message. With $k = 3$ these are 768 pixels of an image of a million.
# 2. The first centroids are $k$ of these points, drawn at random.
# 3. It runs 25 iterations of Lloyd's algorithm, whether they have converged or not.
# 4. With `nredo` above 1 it repeats steps 2 and 3 and keeps the run with the smallest $J$ *on the sub-sample*.
#
# After that, every pixel is assigned to its nearest centroid. The paper states neither the number of points, nor the
# number of restarts, nor the seed. We therefore have to answer two questions ourselves: what does sub-sampling cost,
# and how good is one random start?
#
# ### Sub-sampling
#
# We train on 256, 1024, 2048 and 8192 points per cluster and on all pixels, from several seeds, and look at three
# things. The first is $J$ over *all* pixels, compared with the best that training on all of them reached. The second is
# how far the cluster maps of two seeds agree, that is, the share of equal labels after the labels of one map are
# renamed for the best match. The third is the time.


# %%
def agreement(first, second, k):
    """Share of pixels with equal labels, and the renaming for which it is.

    Of all ways to rename the second map's clusters it is the best.
    """
    common = np.bincount((first * k + second).ravel(), minlength=k * k).reshape(
        k, k
    )
    renaming = max(
        permutations(range(k)),
        key=lambda order: common[np.arange(k), list(order)].sum(),
    )
    return common[np.arange(k), list(renaming)].sum() / first.size, np.argsort(
        renaming
    )


def mean_objective(result):
    """J of equation 2's map over all pixels, a pixel."""
    return float(result.distances.min(-1).mean())


# %% tags=["remove-output"]
SEEDS = range(4)
pixels = height * width
limits = {"256": 256, "1024": 1024, "2048": 2048, "8192": 8192, "all": pixels}
runs, seconds = {}, {}
for name, limit in limits.items():
    started = time.perf_counter()
    runs[name] = [
        [
            kmeans(summary, P.method.k, seed=seed, max_points_per_cluster=limit)
            for seed in SEEDS
        ]
        for summary in summaries
    ]
    seconds[name] = (time.perf_counter() - started) / (
        len(summaries) * len(SEEDS)
    )

# %%
best = [
    min(mean_objective(result) for result in of_image)
    for of_image in runs["all"]
]

# %% tags=["hide-input"]
rows = []
for name, limit in limits.items():
    excess = [
        100 * (mean_objective(result) / lowest - 1)
        for of_image, lowest in zip(runs[name], best)
        for result in of_image
    ]
    agreed = [
        agreement(of_image[a].labels, of_image[b].labels, P.method.k)[0]
        for of_image in runs[name]
        for a in SEEDS
        for b in SEEDS
        if a < b
    ]
    used = min(limit * P.method.k, pixels)
    rows.append(
        [
            name,
            f"{used} ({used / pixels:.1%})",
            f"{np.median(excess):.2f} %",
            f"{max(excess):.2f} %",
            f"{np.median(agreed):.2%}",
            f"{min(agreed):.2%}",
            f"{seconds[name]:.2f}",
        ]
    )
    measured = f"{P.prefix}clustering.points_{name}"
    recorder.add(
        f"{measured}.excess_percent",
        np.median(excess),
        n=len(excess),
        note="median of J over all pixels",
    )
    recorder.add(
        f"{measured}.agreement",
        np.median(agreed),
        n=len(agreed),
        note="median between seeds",
    )
    recorder.add(
        f"{measured}.seconds", seconds[name], n=len(excess), note="10 restarts"
    )
header = [
    "points per cluster",
    "pixels used",
    "excess of J, median",
    "largest",
    "agreement of seeds, median",
    "smallest",
    "seconds",
]
display(
    Markdown(
        f"{len(summaries)} images, {len(SEEDS)} seeds each, k = {P.method.k}, "
        f"ten restarts, images of {width} by {width} pixels.\n\n"
        + table(header, rows)
    )
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two curves over the number of training points: the error of the objective falls, the time grows"}, "figure": {"caption": "Excess of the objective over all pixels (blue: small dots are single runs, large ones their median; logarithmic above 1 %), and seconds per run (red), by the number of training points per cluster.", "name": "fig-subsampling"}}
figure, axis = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
places = np.arange(len(limits))
for place, name in zip(places, limits):
    values = [
        100 * (mean_objective(r) / lowest - 1)
        for of_image, lowest in zip(runs[name], best)
        for r in of_image
    ]
    axis.scatter(
        np.full(len(values), place),
        values,
        s=14,
        color="#0072b2",
        alpha=0.4,
        linewidths=0,
    )
    axis.plot(place, np.median(values), "o", color="#0072b2")
axis.set_xticks(places, list(limits))
axis.set(xlabel="training points per cluster", ylabel="excess of J (%)")
axis.set_yscale("symlog", linthresh=1)
axis.yaxis.set_major_formatter("{x:g}")
axis.yaxis.label.set_color("#0072b2")
clock = axis.twinx()
clock.plot(places, [seconds[name] for name in limits], "s--", color="#d55e00")
clock.set(ylabel="seconds per run", ylim=(0, None))
clock.yaxis.label.set_color("#d55e00")
plt.close(figure)
figure

# %% tags=["hide-input"]
gain = np.median(
    [
        100 * (mean_objective(r) / lowest - 1)
        for of_image, lowest in zip(runs["2048"], best)
        for r in of_image
    ]
)
loss = np.median(
    [
        100 * (mean_objective(r) / lowest - 1)
        for of_image, lowest in zip(runs["256"], best)
        for r in of_image
    ]
)
display(
    Markdown(
        f"So the silent 256 costs {loss:.2f} % of the objective (median) and "
        f"{MAX_POINTS_PER_CLUSTER} costs {gain:.2f} %, while training on all "
        f"pixels takes {seconds['all'] / seconds['2048']:.0f} times as long as "
        f"{MAX_POINTS_PER_CLUSTER}. The table says how many pixels that moves. "
        "A single run far above the others has another cause, which is next."
    )
)

# %% [markdown]
# A small excess matters little by itself. However, it is noise that a reader of a paper cannot see, and it affects the
# pixels at the borders between clusters, on which the precision of a mask depends.
#
# ### One random start
#
# Lloyd's algorithm ends in a *local* minimum of $J$, and which one depends on the start. If two of the first centroids
# lie in one region, another region may remain without one. We therefore compare one start with ten, over many seeds.
# The $J$ of each run is divided by the lowest that any run reached on that image, so 1 is the best known.

# %% tags=["remove-output"]
START_SEEDS = range(10)
settings = [(k, restarts) for k in (P.method.k, 8) for restarts in (1, 10)]
# (images, seeds) for each
found = {
    setting: np.array(
        [
            [
                mean_objective(
                    kmeans(summary, setting[0], seed=seed, restarts=setting[1])
                )
                for seed in START_SEEDS
            ]
            for summary in summaries
        ]
    )
    for setting in settings
}

# %%
lowest = {
    k: np.minimum(found[k, 1].min(1), found[k, 10].min(1))
    for k in (P.method.k, 8)
}
ratios = {
    setting: found[setting] / lowest[setting[0]][:, None]
    for setting in settings
}

# %% tags=["hide-input"] mystnb={"image": {"alt": "Rows of dots on a logarithmic axis; with one start some runs lie far to the right of the best, with ten starts all lie close to it"}, "figure": {"caption": "J of every run, relative to the best run on the same image and k (logarithmic). Dots far to the right are runs that ended in a bad local minimum.", "name": "fig-restarts"}}
figure, axis = plt.subplots(figsize=(7, 2.8), layout="constrained")
for row, setting in enumerate(settings):
    values = ratios[setting].ravel()
    axis.scatter(
        values,
        row + 0.1 * (np.arange(values.size) % 5 - 2),
        s=18,
        color="#0072b2",
        alpha=0.55,
        linewidths=0,
    )
axis.set_yticks(
    range(len(settings)),
    [f"k = {k}, starts: {restarts}" for k, restarts in settings],
)
axis.set(
    xscale="log",
    xlabel="J relative to the best run",
    ylim=(len(settings) - 0.5, -0.5),
)
axis.xaxis.set_major_formatter("{x:g}")
axis.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
axis.xaxis.set_minor_formatter("{x:g}")
axis.grid(axis="x", color="0.9")
axis.set_axisbelow(True)
plt.close(figure)
figure

# %%
BAD = 1.1

# %% tags=["hide-input"]
rows = []
for k, restarts in settings:
    values = ratios[k, restarts].ravel()
    bad = np.mean(values > BAD)
    rows.append(
        [
            str(k),
            str(restarts),
            f"{bad:.0%}",
            f"{np.median(values):.3f}",
            f"{values.max():.2f}",
        ]
    )
    measured = f"{P.prefix}clustering.k{k}.starts{restarts}"
    recorder.add(
        f"{measured}.bad_share",
        bad,
        n=values.size,
        note=f"runs with J above {BAD} times the best",
    )
    recorder.add(f"{measured}.worst_ratio", values.max(), n=values.size)
display(
    Markdown(
        f"{len(summaries)} images, {len(START_SEEDS)} seeds each.\n\n"
        + table(
            [
                "k",
                "starts",
                f"runs with J above {BAD} times the best",
                "median",
                "worst",
            ],
            rows,
        )
    )
)

# %% [markdown]
# ### What a bad start does to a mask
#
# To see what this means for a mask, we need a reference that is exact. The *toy world* has one: it is a small generator
# that draws scenes with a dozen layers, six for structure and six for colour, so it knows to which object every pixel
# belongs. It was not trained on photos, so its numbers say how the algorithm behaves, and never how good it is on
# faces.
#
# The score is that of the *oracle assignment*, which looks at the true mask: each cluster is assigned to the side on
# which most of its pixels lie. With these clusters no foreground rule can get more pixels right, so this score judges
# the clusters alone. mIoU is 1 for a perfect mask (the [evaluation chapter](06_evaluation.ipynb) defines it).

# %% tags=["remove-output"]
from stylemixseg.generators.zoo import load_generator
from stylemixseg.metrics import confusion
from stylemixseg.settings import MixPlan
from stylemixseg.summary import style_summary

toy = load_generator("toy-portrait")
toy_styles = draw_style_latents(toy, 12, P.method.style_seed)
TOY_CUTOFF, TOY_K = 6, 3
toy_latents = [query_latent(toy, P, seed) for seed in range(4)]
toy_truths = [toy.truth(w0)[0].foreground for w0 in toy_latents]
toy_summaries = [
    style_summary(toy, w0, toy_styles, MixPlan(TOY_CUTOFF))
    for w0 in toy_latents
]
toy_runs = {
    restarts: [
        [
            summary.cluster(TOY_K, seed=seed, restarts=restarts).labels
            for seed in START_SEEDS
        ]
        for summary in toy_summaries
    ]
    for restarts in (1, 10)
}
toy_scores = {
    restarts: np.array(
        [
            [
                confusion(oracle_mask(labels, TOY_K, truth), truth).miou
                for labels in of_image
            ]
            for of_image, truth in zip(of_images, toy_truths)
        ]
    )
    for restarts, of_images in toy_runs.items()
}

# %% tags=["hide-input"]
rows = []
for restarts, values in toy_scores.items():
    rows.append(
        [
            str(restarts),
            f"{values.mean():.3f}",
            f"{values.min():.3f}",
            f"{np.mean(values < 0.9):.0%}",
        ]
    )
    recorder.add(
        f"toy.clustering.starts{restarts}.oracle.miou",
        values.mean(),
        n=values.size,
    )
    recorder.add(
        f"toy.clustering.starts{restarts}.oracle.lowest_miou",
        values.min(),
        n=values.size,
    )
display(
    Markdown(
        f"Toy world, scene portrait, c = {TOY_CUTOFF}, k = {TOY_K}, "
        f"{len(toy_summaries)} images with {len(START_SEEDS)} seeds each.\n\n"
        + table(
            ["starts", "mIoU of the oracle, mean", "lowest", "runs below 0.9"],
            rows,
        )
    )
)

# %% mystnb={"image": {"alt": "A toy scene with one object before two walls, its true mask, a cluster map that joins object and wall, and a cluster map that separates them"}, "figure": {"caption": "The toy world. After the worst single start one cluster holds the object and a part of the walls together, so no foreground rule can separate them. Ten starts find the three regions.", "name": "fig-bad-start"}}
image, seed = np.unravel_index(toy_scores[1].argmin(), toy_scores[1].shape)
image_row(
    [
        query_image(toy, toy_latents[image]),
        toy_truths[image],
        clusters_to_color(toy_runs[1][image][seed]),
        clusters_to_color(toy_runs[10][image][seed]),
    ],
    [
        "toy scene",
        "truth",
        f"one start: {toy_scores[1][image, seed]:.2f}",
        f"ten: {toy_scores[10][image, seed]:.2f}",
    ],
)

# %% [markdown]
# ### Our defaults
#
# `kmeans` has `restarts=10` and `max_points_per_cluster=2048`. What do ten starts bring, according to the table above?

# %% tags=["hide-input"]
sentences = []
for k in dict(settings):
    one, ten = (ratios[k, restarts].ravel() for restarts in (1, 10))
    sentences.append(
        f"At k = {k} the share of runs with J above {BAD} times the best goes "
        f"from {np.mean(one > BAD):.0%} with one start to "
        f"{np.mean(ten > BAD):.0%} with ten, and the worst run from "
        f"{one.max():.2f} to {ten.max():.2f} times the best."
    )
display(Markdown(" ".join(sentences)))

# %% [markdown]
# Ten restarts thus remove the very bad runs, but they do not guarantee the best one. Where some runs still lie above
# this limit, few starts find the best minimum, so one seed in several misses it. If a mask looks wrong, try another
# `kmeans_seed` or more restarts before you blame the method. Ten restarts take ten times as long as one run, but one
# run is short. 2048 points per cluster remove most of the sub-sampling noise, and cost far less than all pixels.
# Together they take a small part of the time that a trained generator needs for the style-mixed images. Both values are
# our choice, because the paper states neither. To use faiss with its own defaults, write
# `kmeans(X_s, k, restarts=1, max_points_per_cluster=256)`.
#
# ## Finer parts: a larger k
#
# Figure 1 of the paper shows eyes and mouths of faces, found with $k = 8$ and the saliency rule (section 4.1), but the
# paper does not measure them. What does $k = 8$ give here?

# %% mystnb={"image": {"alt": "Rows of query images with their cluster maps for a small number of clusters and for eight clusters"}, "figure": {"caption": "Queries with cluster maps at the profile's k (middle) and at k = 8 (right). The new clusters are partly parts of the object, partly shading and parts of the background.", "name": "fig-fine"}}
fine = [kmeans(summary, 8) for summary in summaries[:3]]
image_grid(
    [
        [
            image,
            clusters_to_color(kmeans(summary, P.method.k).labels),
            clusters_to_color(result.labels),
        ]
        for image, summary, result in zip(images, summaries, fine)
    ],
    column_titles=["query", f"k = {P.method.k}", "k = 8"],
)

# %% [markdown]
# Many of the eight clusters go to the background and to shading, because K-means places clusters where they lower $J$
# most, which is on large regions with much variance. Small parts, such as eyes, hardly change $J$. Section 3.3 has a
# remedy, which it uses for objects in scenes: apply the method *inside a box*. This needs no new image, because a crop
# of $\mathbf{X}_s$ is the summary tensor of the crop. We take a box around the middle of each image.

# %% mystnb={"image": {"alt": "The middle of three images with cluster maps of eight clusters, once computed on the whole image and once inside the box only"}, "figure": {"caption": "A box around the middle: the image, the map of the whole image with k = 8, and the map of the box alone with k = 8. In the last one, all eight clusters describe what is inside the box.", "name": "fig-box"}}
top, bottom, left, right = (
    int(0.36 * height),
    int(0.84 * height),
    int(0.26 * width),
    int(0.74 * width),
)
box = np.s_[top:bottom, left:right]
image_grid(
    [
        [
            image[box],
            clusters_to_color(result.labels[box]),
            clusters_to_color(kmeans(summary[box], 8).labels),
        ]
        for image, summary, result in zip(images, summaries, fine)
    ],
    column_titles=["box", "whole image, k = 8", "box alone, k = 8"],
)

# %% [markdown]
# Which of these clusters is an eye must again be decided by a foreground rule, now with a saliency map that has its
# peaks at the eyes. The [next chapter](05_foreground_rules.ipynb) gives one.
#
# ## A soft mask from the distances
#
# K-means gives hard labels, but it knows more than these, because it computes how near each pixel is to each centroid.
# Let $r_\mathrm{fg}$ be the distance to the nearest foreground centroid, and $r_\mathrm{bg}$ the distance to the
# nearest background one. Then
#
# ```{math}
# :label: eq-confidence
# q = \frac{r_\mathrm{bg}}{r_\mathrm{fg} + r_\mathrm{bg}}
# ```
#
# is 1 on a foreground centroid, 0 on a background one, and one half where the two are equally far. We call it the
# *confidence*. It is our addition, whereas the paper uses hard masks only. It is not a probability, because nothing
# calibrates it.
#
# To decide which clusters are foreground, we use the corner rule, which the next chapter explains.

# %% mystnb={"image": {"alt": "For two images: the query, its mask with an outline, the soft mask in greys, and the object blended over a plain colour with the soft mask"}, "figure": {"caption": "Query, hard mask, confidence (white is foreground), and the object on a plain background with the confidence as opacity (alpha). Mid-grey pixels are those that K-means nearly assigned to the other side. The query's background shines through in the last column, since a background pixel is seldom exactly on its centroid.", "name": "fig-confidence"}}
from stylemixseg.foreground import foreground_clusters
from stylemixseg.segmenter import confidence

rows = []
for image, summary in zip(images[:2], summaries[:2]):
    result = kmeans(summary, P.method.k)
    foreground = foreground_clusters(
        result.labels, P.method.k, RULES["corner_minority"]
    )
    soft = confidence(result.distances, foreground)
    plain = np.full_like(image, (86, 180, 233))
    rows.append(
        [
            image,
            overlay(image, foreground[result.labels]),
            soft,
            blend(image, plain, soft),
        ]
    )
image_grid(rows, column_titles=["query", "mask", "confidence", "blended"])

# %% tags=["hide-input"]
close = np.abs(soft - 0.5) < 0.05
recorder.add(
    f"{P.prefix}clustering.undecided_share",
    close.mean(),
    note="confidence within 0.05 of a tie, last image",
)
display(
    Markdown(
        f"{close.mean():.1%} of the last image's pixels are within 0.05 of a "
        "tie."
    )
)

# %% [markdown]
# ## LAB and RGB
#
# Distances between colours depend on the colour space. In RGB a highlight changes all three channels at once, so
# brightness dominates. *LAB* has one axis for lightness and two for colour, and is designed so that equal distances
# look about equally different. Section 4.6 of the paper finds that RGB clusters follow highlights, and that LAB helps.
# Here are both on the example queries:

# %% mystnb={"image": {"alt": "Rows of query images with the cluster map from LAB, the cluster map from RGB, and an image that marks where the two differ"}, "figure": {"caption": "Cluster maps from the same style-mixed images in LAB and in RGB, with the colours of RGB's clusters matched to LAB's. White marks pixels whose labels differ.", "name": "fig-lab-rgb"}}
rows, equal = [], []
for image, stack in zip(images, stacks):
    lab, rgb = (
        kmeans(summary_from_images(stack, space), P.method.k).labels
        for space in ("lab", "rgb")
    )
    share, renaming = agreement(lab, rgb, P.method.k)
    rows.append(
        [
            image,
            clusters_to_color(lab),
            clusters_to_color(renaming[rgb]),
            lab != renaming[rgb],
        ]
    )
    equal.append(share)
image_grid(rows, column_titles=["query", "LAB", "RGB", "different"])

# %% tags=["remove-input"]
recorder.add(
    f"{P.prefix}clustering.lab_rgb.agreement",
    np.mean(equal),
    n=len(equal),
    note="after matching",
)
display(
    Markdown(
        f"On {len(equal)} images {np.mean(equal):.1%} of the pixels get the "
        f"same label in both (from {min(equal):.1%} to {max(equal):.1%}). The "
        "[ablation](07_ablation.ipynb) measures which of the two is right more "
        "often."
    )
)

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-clustering-lloyd
# Write one turn of Lloyd's algorithm yourself: `lloyd_step(points, centroids)` gives every point to the nearest
# centroid, and then moves every centroid to the mean of its points. A centroid without points stays where it is. Why
# can neither half of the turn raise $J$?
# ```
#
# ```{solution-start} ex-clustering-lloyd
# :class: dropdown
# ```
#
# With the centroids fixed, the nearest centroid is the smallest possible term of each point in $J$. With the labels
# fixed, the mean is the point with the smallest sum of squared distances to the points of a cluster. So $J$ falls or
# stays, and since there are finitely many ways to label the points, the turns come to rest.


# %% tags=["answer"]
import numpy as np


def lloyd_step(points, centroids):
    """One turn of Lloyd's algorithm.

    Args:
        points: (P, D), one row per point.
        centroids: (k, D).

    Returns:
        labels (P,), the number of the nearest centroid of each point, and
        the new centroids (k, D), the means of the points with each label.
    """
    apart = points[:, None] - centroids  # (P, k, D)
    labels = (apart**2).sum(2).argmin(1)
    moved = [
        points[labels == m].mean(0) if (labels == m).any() else centroid
        for m, centroid in enumerate(centroids)
    ]
    return labels, np.stack(moved)


# %% tags=["check"]
def check_lloyd_step():
    """Say whether `lloyd_step` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    points = np.array([[0.0, 0], [2, 0], [10, 0], [10, 2]])
    centroids = np.array([[1.0, 1], [6, 0], [99, 99]])
    returned = lloyd_step(points, centroids)
    expect(
        "the number of things that lloyd_step(points, centroids) returns",
        len(returned) if isinstance(returned, tuple) else 1,
        2,
        hint="return labels, centroids",
    )
    labels, moved = returned
    expect(
        "the labels of lloyd_step(points, centroids)",
        labels,
        [0, 0, 1, 1],
        hint="squared distances of each point to each centroid have the "
        "shape (P, k); take the smallest along the second axis",
    )
    expect(
        "the centroids of lloyd_step(points, centroids)",
        moved,
        [[1, 0], [10, 1], [99, 99]],
        hint="the mean is over the points of a cluster, axis 0; the third "
        "centroid has no point and stays",
        tolerance=1e-6,
    )
    print("Right. Repeat the step until the labels no longer change.")


check_lloyd_step()

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-clustering-one-image
# Is it the styles that make the clusters, or would K-means on the query's own colours do? Predict where the two maps
# differ if you cluster the query image alone, that is with $n = 1$.
# ```
#
# ```{solution-start} ex-clustering-one-image
# :class: dropdown
# ```
#
# Where the parts of the scene differ in colour already, as in many a portrait, the two maps agree more than one might
# expect. They differ where two things have one colour in the query, and where light and shadow cut through a thing: in
# other styles the colours part, or the light is another. So look at more than one image before you judge, and at the
# pixels that change.

# %% mystnb={"image": {"alt": "Query images with the cluster map from the query alone and from all style-mixed images"}, "figure": {"caption": "Cluster maps from the query's own colours and from the summary tensor. White: pixels with another label.", "name": "fig-one-image"}}
pairs = []
for image, summary in zip(images, summaries):
    many = kmeans(summary, P.method.k).labels
    one = kmeans(
        summary_from_images(image[None], P.method.color_space), P.method.k
    ).labels
    pairs.append((many, one, agreement(many, one, P.method.k)))
    recorder.add(
        f"{P.prefix}clustering.query_alone.image{len(pairs) - 1}.agreement",
        pairs[-1][2][0],
    )
image_grid(
    [
        [
            image,
            clusters_to_color(renaming[one]),
            clusters_to_color(many),
            renaming[one] != many,
        ]
        for image, (many, one, (_, renaming)) in zip(images, pairs)
    ],
    column_titles=["query", "query alone", f"n = {P.method.n}", "different"],
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-clustering-elbow
# $J$ falls whenever $k$ grows. Write `objective(points, labels)`, which computes $J$ of {eq}`eq-objective` for a
# labelling whose centroids are the means of the clusters. Compute it for $k$ from 2 to 8. Can you read off the number
# of semantic segments?
# ```
#
# ```{solution-start} ex-clustering-elbow
# :class: dropdown
# ```
#
# The last cell gives $J$ relative to $k = 2$. It falls fast as long as regions of other paint are separated, and slowly
# once only shading is left to split. In the toy world the bend is sharp, at the number of paints. On photographs and
# faces it is soft, and it marks colours and not meaning: hair and skin are two segments of one person.


# %% tags=["answer"]
def objective(points, labels):
    """K-means' objective J of a labelling with the best centroids.

    Args:
        points: (P, D), one row per point.
        labels: (P,), the cluster of each point.

    Returns:
        The sum over all points of the squared distance to the mean of the
        point's cluster.
    """
    clusters = [points[labels == m] for m in np.unique(labels)]
    return float(sum(((c - c.mean(0)) ** 2).sum() for c in clusters))


# %% tags=["check"]
def check_objective():
    """Say whether `objective` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    points = np.array([[0.0, 0], [2, 0], [10, 0], [10, 4]])
    hint = (
        "take the mean of each cluster by itself (axis 0), and sum the "
        "squared differences over points and coordinates; no square root"
    )
    for labels, right in (([0, 0, 1, 1], 10), ([0, 1, 2, 3], 0), ([5] * 4, 95)):
        expect(
            f"objective(points, {labels})",
            objective(points, np.array(labels)),
            right,
            hint,
            tolerance=1e-6,
        )
    print("Right. One cluster per point gives 0, so J alone cannot choose k.")


check_objective()

# %%
rows = X_s.reshape(-1, X_s.shape[-1])
curve = [objective(rows, kmeans(X_s, k).labels.ravel()) for k in ks]
display(
    Markdown(
        table(
            [f"k = {k}" for k in ks],
            [[f"{value / curve[0]:.2f}" for value in curve]],
        )
    )
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - K-means on the $3n$ colour values of each pixel gives the cluster map $\mathbf{Y}'$. It knows neither the position
#   of a pixel nor the meaning of a region.
# - By default, faiss trains on 256 pixels per cluster from one random start. The sub-sampling costs some precision,
#   whereas the single start occasionally spoils the whole mask. Restarts are cheap and remove the worst runs, though
#   not every bad one.
# - A larger $k$ gives finer parts, but K-means uses its clusters for large regions with much variance. A box around the
#   part helps, because all clusters then describe what is inside it.
# - The distances give a soft mask at no extra cost, but it is not calibrated.
# - LAB and RGB give mostly, but not wholly, the same map at this $k$. With two clusters the maps can differ completely,
#   as the [ablation](07_ablation.ipynb) shows.

# %% tags=["remove-cell"]
_ = recorder.write()  # its path is of this machine
