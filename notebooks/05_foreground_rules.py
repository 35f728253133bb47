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
# # Foreground rules
#
# A cluster map says which pixels belong together, but not which of them are the object. A foreground rule decides this.
#
# :::{admonition} Before you start
# **Objectives**
#
# - State the corner minority rule exactly, and name what the paper leaves open about it.
# - State the saliency rule (equation 3), and see what the width of its heat map does.
# - Give your own saliency map, and write a rule of your own in a few lines.
# - Understand the warnings about empty and full masks.
# - Compare rules fairly: on images that chose none of their settings, image by image, with intervals, and against
#   the assignment that gets most pixels right.
#
# **Prerequisites**
#
# - [Clustering pixels](04_clustering.ipynb): cluster maps.
#
# **Run time:** about 2 minutes on two CPU cores (profile `cpu`), less if another chapter has already stored its
# style-mixed images.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import warnings

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from stylemixseg.evaluation.results import load_run
from stylemixseg.evaluation.tables import table
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import (
    make_cluster_maps,
    map_key,
    query_latent,
)
from stylemixseg.experiments.scoring import (
    REFERENCES,
    RULES,
    reference_masks,
    rule_mask,
    score_rules,
)
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.foreground import foreground_clusters
from stylemixseg.metrics import mean_iou, paired_difference
from stylemixseg.viz.compositing import PALETTE, clusters_to_color, overlay
from stylemixseg.viz.plotting import image_grid, image_row, strip

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "05_foreground_rules", profile, results, seed="queries.comparison_first"
)

# %% tags=["remove-output"]
from stylemixseg.clustering import kmeans
from stylemixseg.mixing import draw_style_latents, query_image
from stylemixseg.summary import summary_from_images

styles = draw_style_latents(generator, P.method.n, P.method.style_seed)
latents = [query_latent(generator, P, seed) for seed in P.queries.examples]
images = [query_image(generator, w0, P.method.resolution) for w0 in latents]
label_maps = [
    kmeans(
        summary_from_images(
            cached_stack(generator, w0, styles, P.method.plan),
            P.method.color_space,
        ),
        P.method.k,
    ).labels
    for w0 in latents
]

# %% mystnb={"image": {"alt": "Query images above their cluster maps in flat colours"}, "figure": {"caption": "Queries and their cluster maps. Which colours are the object?", "name": "fig-which"}}
image_grid([images, [clusters_to_color(labels) for labels in label_maps]])

# %% [markdown]
# A rule takes the cluster map and gives one answer for each cluster: foreground or not. The mask is the union of the
# foreground clusters. The paper {cite}`feng2023` gives two rules "as examples" (section 3.2), and says that one can
# always write another (section 3.4). Neither of the two looks at the colours.
#
# ## Corner minority
#
# The idea is that the object is in the middle, so whatever fills a corner is background. In the paper's words, one
# examines a $b \times b$ area in the four corners, and "if a cluster occupies greater or equal to
# round($\theta_\mathrm{corner} b^2$) pixels, then it is a background cluster". All other clusters are foreground. The
# paper states neither $b$ nor $\theta_\mathrm{corner}$.
#
# Let us compute the share of each corner that each cluster fills, on the example whose upper and lower corners differ
# most.

# %%
from stylemixseg.foreground import CORNERS, CornerMinority

rule = CornerMinority(corners=CORNERS)
# (4, k) pixels each
corner_counts = [
    rule.counts(of_image, P.method.k)[0] for of_image in label_maps
]
place = int(
    np.argmax(
        [np.abs(c[:2].sum(0) - c[2:].sum(0)).sum() for c in corner_counts]
    )
)
labels, image = label_maps[place], images[place]
counts, b = rule.counts(labels, P.method.k)
threshold = round(rule.theta_corner * b**2)

# %% tags=["hide-input"]
rows = [
    [name, *(f"{share:.0%}" for share in shares / b**2)]
    for name, shares in (
        *zip(CORNERS, counts),
        ("mean of the four", counts.mean(0)),
    )
]
display(
    Markdown(
        f"b = {b} pixels ({rule.b:g} of the side) and theta_corner = "
        f"{rule.theta_corner}: a cluster with at least "
        f"round({rule.theta_corner} · {b}²) = {threshold} of the {b**2} pixels "
        "is background. Share of each corner:\n\n"
        + table(["corner", *(f"cluster {m}" for m in range(P.method.k))], rows)
    )
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "A query image and its cluster map, both with a square drawn at each of the four corners; each square on the map names the cluster that fills most of it"}, "figure": {"caption": "The four squares. On the map each names the cluster with the largest share of it.", "name": "fig-corners"}}
figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
for axis, shown in zip(axes, (image, clusters_to_color(labels))):
    axis.imshow(shown)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
side = len(labels)
for corner, of_corner in zip(CORNERS, counts):
    x, y = (
        (0 if "left" in corner else side - b),
        (0 if "top" in corner else side - b),
    )
    for axis in axes:
        axis.add_patch(
            plt.Rectangle(
                (x - 0.5, y - 0.5),
                b,
                b,
                fill=False,
                edgecolor="white",
                linewidth=2,
            )
        )
    text = f"{of_corner.argmax()}: {of_corner.max() / b**2:.0%}"
    axes[1].text(
        x + b / 2,
        y + (1.35 * b if "top" in corner else -0.35 * b),
        text,
        ha="left" if "left" in corner else "right",
        va="center",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
plt.close(figure)
figure

# %% [markdown]
# ### Two things the sentence leaves open
#
# *Pooled or each corner by itself?* The threshold is a share of $b^2$, the area of one corner, whereas four corners
# hold $4b^2$ pixels. So either each corner is judged by itself, and one corner is enough (`pooled=False`), or the
# pixels of all corners are counted together and compared with the same share of their total area (`pooled=True`).
#
# *Which corners?* The paper says four, which suits a tight box around a whole object (section 3.3). In a portrait,
# however, the object reaches the lower border, so the bottom corners may show *shoulders*.
#
# The answers to the two questions interact. If each of four corners is judged by itself, whatever fills a bottom corner
# is called background: clothes, and everything that shares their cluster, often dark hair. If four corners are pooled,
# the true background may fill only the two top ones, so it misses the threshold and stays in the mask.
#
# Our default is two corners, pooled, because it was the best on *development images*, which serve to choose settings.
# To look and to compare we take other images, the *comparison images*; both sets are explained below. The readings
# differ on some images only, so here are those on which they differ most. All four readings have the same $b$ and
# $\theta_\mathrm{corner}$.

# %% tags=["remove-output"]
maps = make_cluster_maps(
    generator,
    P,
    [(seed, P.method.cutoff) for seed in P.queries.comparison_seeds],
    "images",
)
cluster_maps = [
    item[map_key(P.method.color_space, P.method.k)] for item in maps
]

# %% mystnb={"image": {"alt": "For three images, the cluster map and the masks of four readings of the corner rule, outlined on the image"}, "figure": {"caption": "Four readings of one sentence of the paper, on the three comparison images on which they differ most. An undimmed image without an outline means that every cluster was called foreground; a dark one means that none was.", "name": "fig-readings"}}
TOP = CORNERS[:2]
readings = {
    f"{name}, {'pooled' if pooled else 'each'}": CornerMinority(
        corners=corners, pooled=pooled
    )
    for name, corners in (("top", TOP), ("four", CORNERS))
    for pooled in (False, True)
}
by_reading = [
    [rule_mask(of_image, P.method.k, rule) for rule in readings.values()]
    for of_image in cluster_maps
]
# in the share of the image taken
spread = [np.ptp([mask.mean() for mask in masks]) for masks in by_reading]
image_grid(
    [
        [
            clusters_to_color(cluster_maps[i]),
            *(overlay(maps[i]["image"], mask) for mask in by_reading[i]),
        ]
        for i in np.argsort(spread)[:-4:-1]
    ],
    column_titles=["clusters", *readings],
)

# %% [markdown]
# ## Saliency
#
# The second rule asks how salient a cluster is on average. Let $\mathbf{S}$ be a map of numbers in 0..1:
# $\mathbf{S}_p$ says how likely pixel $p$ is to belong to the object. Let $C_m$ be the set of the pixels of
# cluster $m$, and $\lvert C_m \rvert$ their number. Cluster $m$ is foreground if the mean of $\mathbf{S}$ over
# its pixels is above a threshold (equation 3):
#
# ```{math}
# :label: eq-saliency
# \frac{1}{\lvert C_m \rvert} \sum_{p \in C_m} \mathbf{S}_p > \theta_\mathrm{saliency},
# \qquad C_m = \{\, p : \mathbf{Y}'_p = m \,\}.
# ```
#
# The paper writes the sum over $i, j$ and adds "for all $i, j \in \{\mathbf{Y}' = m\}$" behind the inequality. Taken
# literally, the sum then has no limits; it can only mean the pixels of the cluster, as here.
#
# For single objects the paper takes "a pre-defined Gaussian heat map peaked at the center of the image". It uses this
# rule for human and animal faces, but gives neither the width nor $\theta_\mathrm{saliency}$. Both matter, because a
# wide Gaussian gives every cluster a high score, whereas a narrow one gives every large cluster a low score, even a
# cluster that lies wholly on the object.

# %%
from stylemixseg.foreground import Saliency

default = Saliency()
widths = {
    "narrow": (0.5 * default.sigma[0], 0.5 * default.sigma[1]),
    "default": default.sigma,
    "wide": (2 * default.sigma[0], 2 * default.sigma[1]),
}
# (k,) each
scores = {
    name: Saliency(sigma=sigma).scores(labels, P.method.k)
    for name, sigma in widths.items()
}

# %% mystnb={"image": {"alt": "Three Gaussian heat maps of growing width, bright in the middle, beside the cluster map"}, "figure": {"caption": "Gaussian maps of three widths (white is 1), and the cluster map over whose clusters they are averaged.", "name": "fig-gaussians"}}
from stylemixseg.foreground import gaussian_map

image_row(
    [
        *(gaussian_map(side, side, sigma) for sigma in widths.values()),
        clusters_to_color(labels),
    ],
    [
        *(
            f"{name}: {sigma[0]:g}, {sigma[1]:g}"
            for name, sigma in widths.items()
        ),
        "clusters",
    ],
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "A bar chart of the mean saliency of each cluster under three widths, with the threshold as a dashed line"}, "figure": {"caption": "Mean saliency of each cluster (bars in the colours of the map) under the three widths. Clusters above the dashed line, theta, are foreground. One theta does not suit all widths, because all scores rise with the width.", "name": "fig-saliency-scores"}}
figure, axis = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
for group, values in enumerate(scores.values()):
    places = (
        group
        + (np.arange(P.method.k) - (P.method.k - 1) / 2) * 0.8 / P.method.k
    )
    axis.bar(
        places,
        values,
        width=0.75 / P.method.k,
        color=PALETTE[: P.method.k] / 255,
    )
    for m, (place, value) in enumerate(zip(places, values)):
        axis.text(
            place, value + 0.01, str(m), ha="center", va="bottom", fontsize=9
        )
axis.axhline(default.theta_saliency, color="black", linestyle="--", linewidth=1)
axis.text(2.62, default.theta_saliency, " theta", va="center", fontsize=9)
axis.set_xticks(range(3), widths)
axis.set(
    xlabel="width of the Gaussian",
    ylabel="mean saliency",
    ylim=(0, 1.08),
    xlim=(-0.6, 2.6),
)
plt.close(figure)
figure

# %% [markdown]
# ### A map of your own
#
# $\mathbf{S}$ may come from any source, for example a detector, an eye tracker or a mouse click. Give it as
# `saliency_map`, with the size of the cluster map. It need not describe the whole object. Figure 1 of the paper shows
# eyes and mouths, found with $k = 8$ "using the saliency approach" (section 4.1), but the paper does not show the map
# that was used. Ours has two spots, where the eyes of a centred portrait are. As in the [previous
# chapter](04_clustering.ipynb) we cluster only a box around the middle, because in the whole image so small a part gets
# no cluster of its own.

# %% mystnb={"image": {"alt": "The middle of three images, a saliency map with two bright spots side by side, eight clusters, and the cluster with the highest score under that map"}, "figure": {"caption": "A box round the middle, a map with two spots, eight clusters inside the box, and the cluster with the highest mean saliency. On faces this cluster is mostly the eyes, together with dark regions elsewhere that belong to it as well.", "name": "fig-own-map"}}
box = np.s_[
    int(0.36 * side) : int(0.84 * side), int(0.26 * side) : int(0.74 * side)
]
spots = np.maximum(
    *(
        gaussian_map(side, side, sigma=(0.03, 0.05), center=(0.475, x))
        for x in (0.37, 0.63)
    )
)[box]
rows = []
for w0, shown in zip(latents[:3], images):
    stack = cached_stack(generator, w0, styles, P.method.plan)
    fine = kmeans(
        summary_from_images(stack, P.method.color_space)[box], 8
    ).labels
    by_spot = Saliency(saliency_map=spots).scores(fine, 8)
    # A threshold between the best and the second best score takes one cluster.
    picker = Saliency(
        theta_saliency=float(np.sort(by_spot)[-2:].mean()), saliency_map=spots
    )
    rows.append(
        [
            shown[box],
            spots,
            clusters_to_color(fine),
            overlay(shown[box], rule_mask(fine, 8, picker)),
        ]
    )
image_grid(rows, column_titles=["box", "saliency map", "k = 8", "best cluster"])

# %% [markdown]
# ## Your own rule
#
# A rule is any function of the cluster map and $k$ that returns $k$ truth values. (In the code this is the protocol
# `ForegroundRule`.) Here is one in five lines, for portraits: a cluster is background if it makes up much of the
# image's left, right and upper border.


# %%
def border_minority(labels, k, share=0.2):
    """Background: clusters with at least `share` of the border.

    The border is the left, the right and the upper one.
    """
    border = np.concatenate(
        [
            labels[0],
            labels[: len(labels) // 2, 0],
            labels[: len(labels) // 2, -1],
        ]
    )
    return np.bincount(border, minlength=k) < share * len(border)


# %% tags=["remove-input"]
display(
    Markdown(
        "Foreground clusters of this image: "
        + ", ".join(
            str(m)
            for m in np.flatnonzero(
                foreground_clusters(labels, P.method.k, border_minority)
            )
        )
    )
)

# %% [markdown]
# It is used in the same place as the paper's rules: `StyleMixSegmenter(generator, rule=border_minority)`.
#
# ## Empty and full masks
#
# Nothing in either rule prevents it from calling every cluster background. With four corners and $k = 2$ this happens
# easily: if one cluster fills the top corners and the other the bottom ones, the paper's sentence gives an empty mask.
# The package then returns what the rule says, and warns:

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    foreground_clusters(labels, P.method.k, Saliency(theta_saliency=1.0))
    foreground_clusters(labels, P.method.k, Saliency(theta_saliency=0.0))
for warning in caught:
    print(f"{warning.category.__name__}: {warning.message}.\n")

# %% [markdown]
# A batch job can turn these warnings into errors with `warnings.simplefilter("error", EmptyMaskWarning)`.
#
# ### Try it: thresholds and the width of the Gaussian
#
# The painted mask is the reference's, so the IoU follows every slider. Which
# setting is best for one face, and is it the best for the next one, too?
#
# ```{raw} html
# <link rel="stylesheet" href="../live/live.css">
# <div data-style-mix-live data-recorded data-compare
#   data-panels="faces mask paint">
#   <p>This part of the page needs JavaScript.</p>
# </div>
# <script src="../live/live.js" defer></script>
# ```
#
# ## Which rule is better?
#
# A rule has settings that the paper does not state. It would be unfair to choose them by the final score on the
# evaluation images, because the choice would fit these images, and the score would look better than the method is. We
# therefore use three sets of images, each for one purpose:
#
# - on *development images* settings are chosen, by the script `data_scripts/choose_rules.py`,
# - on *comparison images* rules are compared, in this chapter,
# - on *evaluation images* the method is measured, in the [next chapter](06_evaluation.ipynb).
#
# Why not compare on the development images? The best of many candidates is the best there partly by luck, because it
# was picked for fitting these images. Beside it, a rule that was not tuned on them would be judged unfairly.

# %% tags=["hide-input"]
chosen_file = folder / "development" / "rules.json"
if chosen_file.exists():
    run = load_run(chosen_file)
    chosen = {item.name: item for item in run.measurements}
    tuned = chosen["rules.saliency.miou"]
    tried = {name: chosen[f"rules.{name}.candidates"].value for name in RULES}
    how_chosen = (
        f"The defaults were chosen on {tuned.n} images of "
        f"`{run.generator['name']}` "
        f"with seeds {run.seed} to {run.seed + tuned.n - 1}, at the sizes of "
        f"profile `{run.profile}`. {tried['saliency']:.0f} settings of the "
        f"saliency rule and {tried['corner_minority']:.0f} of the corner "
        "minority rule were scored. The winners reached an mIoU of "
        f"{tuned.value:.3f} (saliency) and "
        f"{chosen['rules.corner_minority.miou'].value:.3f} (corner minority) "
        "*on the images that chose them*."
    )
else:
    how_chosen = "The result file of the choice is not in this results folder."
display(
    Markdown(
        f"{how_chosen} The images compared in this chapter have the seeds "
        f"{P.queries.comparison_seeds[0]} to {P.queries.comparison_seeds[-1]}, "
        "and chose nothing."
    )
)

# %% [markdown]
# The comparison is still not quite even, because the two defaults were tuned for faces, each among its own candidates.
# The other readings of the corner rule run with the default's $b$ and $\theta_\mathrm{corner}$, and not with the best
# ones for them, and border minority was not tuned at all.
#
# The *oracle* is not a rule, because it looks at the reference mask: it assigns each cluster to the side on which most
# of its pixels lie. With the same clusters no rule can get more pixels right.
#
# The last column of the table compares each rule with the saliency rule *image by image*. Both rules ran on the same
# images, so a hard image lowers the scores of both, and this effect cancels in the difference. The interval of the
# difference is therefore the right one to look at, whereas overlapping intervals of two single rules do not show that
# the rules are equal. The [next chapter](06_evaluation.ipynb) explains this.

# %% tags=["remove-output"]
truths = reference_masks(
    P.reference, generator, P, P.queries.comparison_seeds, maps
)
compared = score_rules(
    cluster_maps,
    P.method.k,
    truths,
    {
        "saliency": RULES["saliency"],
        "corner_minority": RULES["corner_minority"],
        "corner_minority_four_each": readings["four, each"],
        "corner_minority_four_pooled": readings["four, pooled"],
        "border_minority": border_minority,
    },
)

# %%
from stylemixseg.metrics import bootstrap_interval

intervals = {
    name: bootstrap_interval(confusions, "miou", "per_image")
    for name, confusions in compared.items()
}

# %% tags=["hide-input"]
TITLES = {
    "saliency": "saliency",
    "corner_minority": "corner minority, default",
    "corner_minority_four_each": "corner minority, four, each",
    "corner_minority_four_pooled": "corner minority, four, pooled",
    "border_minority": "border minority (ours, above)",
    "oracle": "oracle",
}
rows = []
for name, confusions in compared.items():
    value, (low, high) = mean_iou(confusions, "per_image"), intervals[name]
    lost = mean_iou(compared["oracle"], "per_image") - value
    measured = f"{P.prefix}comparison.{name}"
    recorder.add(
        f"{measured}.per_image.miou", value, n=len(maps), interval=(low, high)
    )
    beside = "(the same)"
    if name != "saliency":
        gain, around = paired_difference(
            confusions, compared["saliency"], "miou", "per_image"
        )
        beside = f"{gain:+.3f} ({around[0]:+.3f} to {around[1]:+.3f})"
        recorder.add(
            f"{measured}.minus_saliency.miou",
            gain,
            n=len(maps),
            interval=around,
        )
    cells = [f"{value:.3f}", f"{low:.3f} to {high:.3f}", f"{lost:.3f}", beside]
    rows.append([TITLES[name], *cells])
header = [
    "rule",
    "mIoU, mean over images",
    "95 % interval",
    "below the oracle",
    "minus saliency, same images (95 % interval)",
]
display(
    Markdown(
        f"{len(maps)} comparison images of `{P.generator}`, "
        f"c = {P.method.cutoff}, k = {P.method.k}, "
        f"{P.method.color_space.upper()}. "
        f"The reference is {REFERENCES[P.reference]}.\n\n" + table(header, rows)
    )
)

# %% mystnb={"image": {"alt": "Rows of dots, one row for each rule, with the mIoU of every comparison image, the mean and its interval"}, "figure": {"caption": "mIoU of every comparison image (dots), the mean (black bar) and its 95 % interval (red). The dots spread far, because a rule is seldom a little wrong: it either puts a whole cluster on the wrong side or it does not.", "name": "fig-rules"}}
strip(
    {
        TITLES[name]: [item.miou for item in confusions]
        for name, confusions in compared.items()
    },
    values="mIoU of one image",
    intervals={TITLES[name]: interval for name, interval in intervals.items()},
)

# %% [markdown]
# The distance between a rule and the oracle is about what better rules could gain with the same clusters. The distance
# between the oracle and 1 is about what no rule can gain, because it is due to the clustering. Where the interval in
# the last column contains 0, these images do not decide which of the two rules is better.
#
# A rule suits one kind of image. The defaults of the saliency rule were chosen for faces, so they can be unsuitable
# where objects are framed differently, as in the toy world. Before you trust a rule on new images, generate a few of
# them and look at their masks.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-rules-theta
# Write the left side of equation {eq}`eq-saliency`: `mean_saliency(labels, k, saliency)` returns the mean saliency of
# each cluster, and 0 for a cluster without pixels. Then ask how sensitive the rule is to $\theta_\mathrm{saliency}$.
# Score thresholds from 0.1 to 0.9 on the comparison images. Over which range does the mean mIoU stay close to its best,
# and does our threshold, which was chosen on other images, lie in it? To score, give `score_rules` a dictionary of
# rules, as the comparison above does, here `Saliency(theta_saliency=...)`; it returns one list of results per rule, and
# `mean_iou(results, "per_image")` averages such a list.
# ```
#
# ```{solution-start} ex-rules-theta
# :class: dropdown
# ```
#
# The table of the last cell has a peak, and falls to the scores of the full mask (low thresholds) and the empty mask
# (high thresholds). How wide the peak is depends on the framing: the more alike the images, the wider. To choose the
# threshold by this table and then report the peak as the method's score would be too kind to it.


# %% tags=["answer"]
import numpy as np


def mean_saliency(labels, k, saliency):
    """Mean saliency of each cluster, the left side of the inequality.

    Args:
        labels: cluster map (H, W), integers from 0 to k - 1.
        k: number of clusters.
        saliency: map S (H, W) with values in 0..1.

    Returns:
        (k,) float; 0 for a cluster without pixels.
    """
    return np.array(
        [
            saliency[labels == m].mean() if (labels == m).any() else 0.0
            for m in range(k)
        ]
    )


# %% tags=["check"]
def check_mean_saliency():
    """Say whether `mean_saliency` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    labels = np.array([[0, 0, 1], [0, 1, 1]])
    saliency = np.array([[0.0, 0.3, 0.4], [0.3, 1.0, 0.4]])
    expect(
        "mean_saliency(labels, 3, saliency)",
        mean_saliency(labels, 3, saliency),
        [0.2, 0.6, 0.0],
        hint="divide by the number of pixels of the cluster, |C_m|, and not "
        "by that of the image; cluster 2 has no pixel here, so 0",
        tolerance=1e-6,
    )
    print("Right. Clusters with a mean above theta are foreground.")


check_mean_saliency()

# %%
thetas = np.arange(1, 10) / 10
by_theta = score_rules(
    cluster_maps,
    P.method.k,
    truths,
    {f"{theta:.1f}": Saliency(theta_saliency=float(theta)) for theta in thetas},
)
curve = [mean_iou(by_theta[f"{theta:.1f}"], "per_image") for theta in thetas]
display(
    Markdown(
        table(
            ["theta", *(f"{t:.1f}" for t in thetas)],
            [["mIoU", *(f"{value:.3f}" for value in curve)]],
        )
    )
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-rules-size
# Write a rule `all_but_largest(labels, k)` that calls the largest cluster background and all others foreground. On
# which pictures will it fail? Predict, then score it as in the last exercise.
# ```
#
# ```{solution-start} ex-rules-size
# :class: dropdown
# ```
#
# `kmeans` numbers clusters by size, so there the largest is cluster 0; a rule should not rely on it, because a cluster
# map may come from elsewhere. The rule fails where the object is close up and fills more of the image than any one
# region of the background, and where the background falls into several clusters.


# %% tags=["answer"]
def all_but_largest(labels, k):
    """Foreground rule: every cluster but the one with most pixels.

    Args:
        labels: cluster map (H, W), integers from 0 to k - 1.
        k: number of clusters.

    Returns:
        (k,) bool, True for the clusters that are foreground.
    """
    sizes = np.bincount(labels.ravel(), minlength=k)
    return np.arange(k) != sizes.argmax()


# %% tags=["check"]
def check_all_but_largest():
    """Say whether `all_but_largest` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    labels = np.array([[0, 1, 1], [2, 1, 1]])
    hint = (
        "count the pixels of each cluster (np.bincount with minlength=k): "
        "the largest need not be cluster 0"
    )
    expect(
        "all_but_largest(labels, 3)",
        all_but_largest(labels, 3),
        np.array([True, False, True]),
        hint,
    )
    expect(
        "all_but_largest(labels, 4)",
        all_but_largest(labels, 4),
        np.array([True, False, True, True]),
        hint + "; the answer has k truth values, also for empty clusters",
    )
    print("Right. Now say on which pictures this rule is a bad idea.")


check_all_but_largest()

# %%
by_size = score_rules(
    cluster_maps, P.method.k, truths, {"size": all_but_largest}
)["size"]
low, high = bootstrap_interval(by_size, "miou", "per_image")
display(
    Markdown(
        "All but the largest cluster: mIoU "
        f"{mean_iou(by_size, 'per_image'):.3f} ({low:.3f} to {high:.3f}, "
        f"{len(by_size)} images)."
    )
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - Corner minority: a cluster that fills at least $\mathrm{round}(\theta_\mathrm{corner} b^2)$ pixels of a corner is
#   background. The paper leaves open which corners these are and whether they are pooled, and on portraits this decides
#   the mask.
# - Saliency: a cluster with mean saliency above $\theta_\mathrm{saliency}$ is foreground. The width of the map and the
#   threshold must be chosen together, because a wider map raises all scores.
# - A rule of your own is a function of a few lines. The package returns empty and full masks, but warns about them.
# - Settings are chosen on development images. Rules are compared, and results reported, on other images, because the
#   best of many candidates looks better than it is on the images that chose it.

# %% tags=["remove-cell"]
_ = recorder.write()  # its path is of this machine
