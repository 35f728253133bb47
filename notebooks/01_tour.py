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
# # Tour
#
# This chapter runs the whole method on one image, from random numbers to a mask.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Segment one generated image in a few lines, and name the four steps that happen inside.
# - Tell apart the latents $\mathbf{z}$ and $\mathbf{w}$, and say what truncation does.
# - See what the number of clusters $k$ changes.
# - Measure how far a mask agrees with a reference, and say what four images can and cannot show.
# - Find the chapter that explains each step.
#
# **Prerequisites**
#
# - Python, NumPy and PyTorch; you need to know nothing about generators.
#
# **Run time:** about 2 minutes on two CPU cores (profile `cpu`), less if another chapter has already stored its
# style-mixed images.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import numpy as np
from IPython.display import Markdown, display

from stylemixseg.evaluation.tables import IOUS, table, value_text
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.scoring import (
    REFERENCES,
    RULES,
    reference_masks,
    rule_mask,
    score_rules,
)
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.generators.zoo import CATALOGUE
from stylemixseg.metrics import bootstrap_interval, mean_iou
from stylemixseg.segmenter import enlarge
from stylemixseg.viz import diagrams
from stylemixseg.viz.compositing import (
    agreement_map,
    clusters_to_color,
    overlay,
)
from stylemixseg.viz.plotting import image_grid, image_row
from stylemixseg.viz.widgets import picture_slider

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "01_tour", profile, results, seed="queries.examples"
)

# %% [markdown]
# ## One call
#
# A generator $G$ turns random numbers into an image, and `StyleMixSegmenter` segments such an image. It trains nothing,
# reads no label and uses no second network, because it needs only two things: the generator, and the *latent* of the
# image, which is the list of numbers that the generator made the image from.
#
# The words "no label" need one qualification. The method has a few settings, such as the threshold of the rule in step
# 4, and the paper does not state them. We chose ours by comparing masks with those of a network that was trained with
# labels. This comparison used other images than those of this page, but it means that labels influenced the settings.
# [The settings page](../settings.md) lists these choices.

# %%
from stylemixseg.segmenter import StyleMixSegmenter

segmenter = StyleMixSegmenter(
    generator,
    n=P.method.n,  # style-mixed images
    cutoff=P.method.cutoff,  # layers from here on take another image's style
    k=P.method.k,  # clusters
    color_space=P.method.color_space,
    resolution=P.method.resolution,  # pixels per side of the images to cluster
    style_seed=P.method.style_seed,
    rule=RULES["corner_minority"],  # which clusters are the object
)
# (1, num_ws, w_dim), the latent of the query
w0 = query_latent(generator, P, P.queries.examples[0])
result = segmenter(w0)

# %% mystnb={"image": {"alt": "Four images: a generated image, the same image in flat cluster colours, the image with everything but the object darkened, and a grey map that is bright on the object"}, "figure": {"caption": "The result of one call: the query (the image to segment), the cluster map, the mask (background darkened, its boundary in orange), and the confidence (white is object).", "name": "fig-tour-result"}}
image_row(
    [
        result.image,
        clusters_to_color(result.clusters),
        overlay(result.image, result.mask),
        result.confidence,
    ],
    ["query", "cluster map", "mask", "confidence"],
)

# %% tags=["remove-input"]
recorder.add(
    f"{P.prefix}tour.seconds.summary",
    result.seconds["summary"],
    note="synthesis of the style-mixed images",
)
recorder.add(
    f"{P.prefix}tour.seconds.clustering",
    result.seconds["clustering"],
    note="clustering, rule, query image",
)
display(
    Markdown(
        f"Generator `{P.generator}`, image of {generator.resolution} pixels a "
        f"side. Making the {P.method.n} style-mixed images took "
        f"{result.seconds['summary']:.1f} s, and all the rest "
        f"{result.seconds['clustering']:.1f} s. {result.foreground.sum()} of "
        f"the {P.method.k} clusters were taken for the object; they cover "
        f"{result.mask.mean():.0%} of the image."
    )
)

# %% [markdown]
# The rest of this page explains the call step by step. The method is by Feng and others {cite}`feng2023`; in this book,
# *the paper* always means theirs.
#
# ## Step 0: an image and its latent
#
# The generator belongs to the StyleGAN family {cite}`karras2019,karras2020`. Such a generator consists of two networks,
# $G(\cdot) = G_s(G_m(\cdot))$:
#
# - The *mapping network* $G_m$ takes an *input latent* $\mathbf{z}$, a vector of independent standard normal numbers,
#   and returns an *intermediate latent* $\mathbf{w}$. Another $\mathbf{z}$ gives another image. In this book a *seed*
#   stands for one $\mathbf{z}$, and so for one image.
# - The *synthesis network* $G_s$ makes the image. It starts on a small grid and doubles the size of this grid several
#   times. Each of its $l$ layers is controlled by a vector, and this vector is $\mathbf{w}$.
#
# Usually all layers get the same $\mathbf{w}$, but they need not. Because we want to give different layers different
# vectors, we write the latent with one row per layer. In the code this array is called `ws` and has the shape
# `(N, num_ws, w_dim)`: images, layers, and numbers per layer.

# %%
from stylemixseg.generators.base import seeded_z

z = seeded_z(P.queries.examples[0], generator.z_dim)  # (1, z_dim)
ws = generator.mapping(z)  # (1, num_ws, w_dim)
assert (ws == ws[:, :1]).all()  # every layer has the same row, so far

# %% tags=["remove-input"]
display(
    Markdown(
        f"`{P.generator}`: z has {generator.z_dim} numbers, ws has "
        f"{generator.num_ws} layers with {generator.w_dim} numbers each, the "
        f"image has {generator.resolution} by {generator.resolution} pixels."
    )
)

# %% [markdown]
# *Truncation* pulls $\mathbf{w}$ towards the mean latent $\bar{\mathbf{w}}$:
#
# ```{math}
# :label: eq-truncation
# \mathbf{w} \leftarrow \bar{\mathbf{w}} + \psi \, (\mathbf{w} - \bar{\mathbf{w}}), \qquad 0 \le \psi \le 1 .
# ```
#
# With $\psi = 0$ every image is the mean image. With $\psi = 1$ the latent stays as it is, so the images vary most, but
# some of them look unnatural. Values such as 0.7 are a compromise: the images vary less and look more natural.

# %% mystnb={"image": {"alt": "Five images in a row, from the mean image on the left to a distinct one on the right"}, "figure": {"caption": "Images of one z for increasing psi: from the mean image, which is the same for all z, to the image of z itself.", "name": "fig-tour-truncation"}}
from stylemixseg.mixing import query_image

psis = (0.0, 0.25, 0.5, 0.75, 1.0)
image_row(
    [
        query_image(
            generator, generator.mapping(z, truncation=psi), P.method.resolution
        )
        for psi in psis
    ],
    [f"psi = {psi}" for psi in psis],
)

# %% tags=["remove-input"]
licence = (
    CATALOGUE[P.generator].licence
    if P.generator in CATALOGUE
    else "ask whoever published the checkpoint"
)
display(
    Markdown(
        f"The queries of this run have psi = {P.queries.truncation}, the "
        f"styles psi = {segmenter.config.style_truncation}. Licence of the "
        f"generator: {licence.rstrip('.')}."
    )
)

# %% [markdown]
# :::{note}
# **Faces.** The people in these images do not exist, because a network generated them. The network behind the generator
# `faces`, and the photos that it was trained on, are for non-commercial use only. Treat the weights and the images made
# with them in the same way, and say that an image is synthetic when you show it. The [start page](../intro.md) says
# more.
# :::
#
# ## Step 1: style-mixed images
#
# The early layers work on coarse grids and decide *what is where*, whereas the later layers work on fine grids and
# decide *how it looks*. We therefore give the first $c$ layers the rows of the query's latent $\mathbf{w}_0$, and the
# other layers the rows of another latent $\mathbf{w}_i$. The result shows the scene of the query in the style of image
# $i$. We draw $n$ such styles at random.

# %%
stack = cached_stack(
    generator, w0, segmenter.styles, P.method.plan
)  # (n, h, w, 3)
shown = min(P.method.n, 9)

# %% mystnb={"image": {"alt": "A query image and nine versions of it with the same layout in other colours"}, "figure": {"caption": "The query (top left) and nine style-mixed images. Each region stays where it is and changes its colour as a whole, and different regions change differently.", "name": "fig-tour-mixes"}}
tiles = [
    query_image(generator, w0, P.method.resolution),
    *stack[:shown],
    *[None] * (9 - shown),
]
image_grid([tiles[:5], tiles[5:]])

# %% [markdown]
# The [second chapter](02_style_mixing.ipynb) explains this step in detail.
#
# ## Step 2: the style summary tensor
#
# Stack the $n$ images on top of one another, so that each pixel has $n$ colours, that is $3n$ numbers. This array is
# the *style summary tensor* $\mathbf{X}_s$. Two pixels of the same region have similar $3n$ numbers. Two pixels of
# different regions seldom do, because their colours would have to agree by coincidence in all styles. The [third
# chapter](03_style_summary_tensor.ipynb) examines this tensor.

# %%
from stylemixseg.summary import summary_from_images

X_s = summary_from_images(stack, P.method.color_space)

# %% tags=["remove-input"]
display(
    Markdown(
        f"X_s has the shape {X_s.shape}: height, width, and 3 times "
        f"{P.method.n} colour values."
    )
)

# %% [markdown]
# ## Step 3: clusters
#
# K-means groups pixels with similar numbers. It gives every pixel one of $k$ labels, and these labels form the *cluster
# map*. K-means does not find $k$ by itself, so we choose it in advance. Move the slider to see the result for another
# $k$: it shows the query, the cluster map, and the mask that the next step makes from the map. The images were computed
# beforehand, so the slider works without Python.

# %%
from stylemixseg.clustering import kmeans

ks = range(2, 9)
by_k = [kmeans(X_s, k).labels for k in ks]  # (H, W) each
masks = [
    rule_mask(clusters, k, segmenter.config.rule)
    for k, clusters in zip(ks, by_k)
]

# %% tags=["hide-input"]
side = min(256, len(X_s))  # of one picture in the slider
step = len(X_s) // side
small = query_image(generator, w0, side)
pictures, labels = [], []
for k, clusters, mask in zip(ks, by_k, masks):
    picture = [
        small,
        clusters_to_color(clusters[::step, ::step]),
        overlay(small, mask[::step, ::step]),
    ]
    pictures.append(
        np.hstack(
            [np.ascontiguousarray(enlarge(part, 256)) for part in picture]
        )
    )
    labels.append(
        f"query, cluster map and mask for k = {k}: {mask.mean():.0%} of the "
        "image is object"
    )
picture_slider(pictures, labels, name="number of clusters k", width=700)

# %% [markdown]
# Here is the same as a still image, for print:

# %% mystnb={"image": {"alt": "Cluster maps of one image and the masks made from them, for growing numbers of clusters"}, "figure": {"caption": "Cluster maps (top) and masks (bottom) for four values of k. A good mask needs two things: clusters that do not join object and background, and a rule that selects the right ones among them.", "name": "fig-tour-ks"}}
some = [0, 1, 2, 6]
image_grid(
    [
        [pictures[i][:, 256:512] for i in some],
        [pictures[i][:, 512:] for i in some],
    ],
    column_titles=[f"k = {i + 2}" for i in some],
)

# %% [markdown]
# The colours number the clusters by size, so one colour may mark different regions in two maps. A larger $k$ separates
# more regions, but it is not always better: with many clusters, some part of the background may touch no corner, and
# then the rule of the next step takes it for the object.
#
# The chapter [Clustering pixels](04_clustering.ipynb) gives the details.
#
# ## Step 4: which clusters are the object?
#
# K-means cannot tell which clusters form the object, because it knows nothing of objects. The paper therefore adds two
# simple rules. *Corner minority*: a cluster that fills a corner of the image is background. *Saliency*: a cluster that
# lies near the middle is foreground. Here we used the first rule, whereas the paper uses the second one for faces. Each
# rule has a threshold, which was chosen with the help of a network that was trained with labels, as said above. The
# chapter [Foreground rules](05_foreground_rules.ipynb) compares the rules.

# %% mystnb={"image": {"alt": "The clusters of one image one by one, each as a white shape on black"}, "figure": {"caption": "The clusters one by one, with the rule's decision above each. The mask is the union of the clusters that the rule calls object.", "name": "fig-tour-clusters"}}
image_row(
    [result.clusters == m for m in range(P.method.k)],
    [
        f"{m}: {'object' if chosen else 'background'}"
        for m, chosen in enumerate(result.foreground)
    ],
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Diagram of five pictures joined by arrows: the query, a stack of its style-mixed images, a stack of sheets that stands for the style summary tensor with one pixel's row marked, the cluster map, the mask"}, "figure": {"caption": "The four steps in one row, as in Figure 3 of the paper, with the pictures of this page: mix styles, put the images on top of each other, cluster the pixels, choose the clusters of the object. The orange line stands for the numbers of one pixel.", "name": "fig-tour-pipeline"}}
diagrams.pipeline(
    result.image,
    stack,
    clusters_to_color(result.clusters),
    result.mask,
    n=P.method.n,
)

# %% [markdown]
# The *confidence* in the first figure is our addition. It says, on a scale from 0 to 1, how much nearer the colours of
# a pixel are to the closest cluster of the object than to the closest cluster of the background.
#
# ## How good is it?
#
# We compare the masks of a few images with a reference. The *intersection over union* (IoU) of two sets of pixels is
# the size of what they share, divided by the size of what either covers: it is 1 if they are equal, and 0 if they share
# nothing. We compute it for the foreground (fg) and for the background (bg); *mIoU* is the mean of the two.

# %% tags=["remove-output"]
latents = [query_latent(generator, P, seed) for seed in P.queries.examples]
summaries = [
    summary_from_images(
        cached_stack(generator, w, segmenter.styles, P.method.plan),
        P.method.color_space,
    )
    for w in latents
]
images = [query_image(generator, w, P.method.resolution) for w in latents]
maps = [kmeans(summary, P.method.k).labels for summary in summaries]
references = reference_masks(
    P.reference,
    generator,
    P,
    P.queries.examples,
    [{"image": image} for image in images],
)
scores = score_rules(maps, P.method.k, references)

# %% mystnb={"image": {"alt": "Rows of images: a query, its cluster map, its mask, and a map in which agreement with the reference and the two kinds of error have their own colours"}, "figure": {"caption": "The example queries. In the last column, blue (object) and grey (background) mark agreement with the reference. Orange marks pixels that only the mask calls object, and pink those that only the reference does.", "name": "fig-tour-examples"}}
masks = [
    rule_mask(labels_, P.method.k, segmenter.config.rule) for labels_ in maps
]
image_grid(
    [
        [
            image,
            clusters_to_color(labels_),
            overlay(image, mask),
            agreement_map(mask, reference),
        ]
        for image, labels_, mask, reference in zip(
            images, maps, masks, references
        )
    ],
    column_titles=["query", "cluster map", "mask", "against reference"],
    row_titles=[
        f"seed {seed}, mIoU {item.miou:.2f}"
        for seed, item in zip(P.queries.examples, scores["corner_minority"])
    ],
)

# %% tags=["hide-input"]
NAMES = {
    "corner_minority": "corner minority",
    "saliency": "saliency",
    "oracle": "best possible choice of clusters",
}
rows = []
for name, title in NAMES.items():
    recorder.add_ious(
        f"{P.prefix}tour.{name}", scores[name], average="per_image"
    )
    cells = [
        value_text(
            mean_iou(scores[name], "per_image", item),
            bootstrap_interval(scores[name], item, "per_image"),
        )
        for item in IOUS
    ]
    rows.append([title, *cells])
display(
    Markdown(
        f"Reference: {REFERENCES[P.reference]}. Means over **{len(maps)} "
        "images**, with 95 % bootstrap intervals over these images.\n\n"
        + table(["rule", *IOUS.values()], rows)
        + "\n\nThe mean hides the single images. With corner "
        "minority their mIoU is "
        + ", ".join(f"{item.miou:.2f}" for item in scores["corner_minority"])
        + "."
    )
)

# %% [markdown]
# Read this table with care, for three reasons:
#
# - **There are only a handful of images.** They have the first seeds, so nobody selected them, but a few other images
#   could change the mean considerably. An interval from so few images is itself rough, and tends to be too narrow.
# - **The reference is not the truth** if a network made it, because it then has errors of its own, which the intervals
#   do not cover.
# - **The last row is not a method**, because it uses the reference to choose the clusters. The gap between this row and
#   1 is due to the clustering; the gap between a rule and this row is due to the rule.
#
# The [evaluation](06_evaluation.ipynb) uses more images and sets the numbers beside the paper's. The generator here is
# smaller than the paper's, so it is similar to theirs but not the same.
#
# ## The map of the book
#
# | chapter | what it does |
# |---|---|
# | [Generators in an hour](00_generators.ipynb) | how a generator learns, and what is inside StyleGAN2: read it first if GANs are new to you |
# | [Style mixing](02_style_mixing.ipynb) | what the layers hold, and what the cutoff $c$ does |
# | [The style summary tensor](03_style_summary_tensor.ipynb) | a pixel's $3n$ numbers; LAB and RGB; how many styles |
# | [Clustering pixels](04_clustering.ipynb) | K-means, its hidden settings, finer parts |
# | [Foreground rules](05_foreground_rules.ipynb) | corner minority, saliency, a rule of your own; a fair comparison |
# | [Evaluation](06_evaluation.ipynb) | IoU, references, a blind baseline, Table 1 of the paper |
# | [Ablation](07_ablation.ipynb) | $c$, $k$ and colour space together: Table 4, and where ours differs |
# | [Failure cases](08_failure_cases.ipynb) | when it fails, why, and what to try |
# | [Compositing](09_compositing.ipynb) | cutting objects out and pasting them |
# | [Real photos](10_real_photos.ipynb) | a photograph in place of a synthetic image |
# | [Objects in scenes](11_objects.ipynb) | one mask for each box that a detector finds |
# | [Many images at once](12_many_images.ipynb) | beyond the paper: a judge of pixels without labels, classes with names |
# | [Beyond StyleGAN](13_beyond_stylegan.ipynb) | other sources of images, competing methods, and diffusion models |
# | [Training data](14_training_data.ipynb) | a set of pairs, and a network that learns from it to segment photos |
# | [Other methods](15_other_ways.ipynb) | competing methods on the same images, and how much the styles contribute |
#
# ## Without a notebook
#
# The same can be done from a shell:
#
# ```bash
# stylemixseg segment --generator faces --seed 7 -o DIR
# ```
#
# The command writes `image.png`, `mask.png`, `clusters.png`, `overlay.png` and `segmentation.json` with all settings
# into the folder `DIR`. `stylemixseg segment --help` lists the options; for example, `--resolution 256` makes it
# cluster at the resolution of this page. The first run downloads the generator, and `stylemixseg generators` lists all
# generators that there are.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-tour-cutoff
# Set the cutoff to the number of layers, $c = l$, so that *no* layer takes another style. What are the style-mixed
# images then, and what does K-means cluster? Write your prediction down before you look at the figure in the solution.
# ```
#
# ```{solution-start} ex-tour-cutoff
# :class: dropdown
# ```
#
# All style-mixed images equal the query. $\mathbf{X}_s$ holds the query's colours $n$ times over, which says no more
# than once. K-means groups by the colours of this one picture. Where the things in it differ in colour anyway, the
# outcome may look much the same. Where two things share a colour, or light and shadow cut through one, it goes wrong.
# The cell below shows it for the first and the last example.

# %% mystnb={"image": {"alt": "Two queries, each with two cluster maps: one from its own colours, one from style-mixed images"}, "figure": {"caption": "Clusters of the query's own colours (c = l) and of its colours in all styles.", "name": "fig-tour-own-colours"}}
own = [
    kmeans(
        summary_from_images(image[None], P.method.color_space), P.method.k
    ).labels
    for image in images
]
image_grid(
    [
        [images[i], clusters_to_color(own[i]), clusters_to_color(maps[i])]
        for i in (0, -1)
    ],
    column_titles=[
        "query",
        f"c = {generator.num_ws}",
        f"c = {P.method.cutoff}",
    ],
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-tour-rule
# A foreground rule is any function of a cluster map and $k$ that returns $k$ truth values, one for each cluster. Write
# `middle_cluster(labels, k)`, a rule that takes only the cluster of the pixel in the middle of the image. When would
# it do, and when not?
# ```
#
# ```{solution-start} ex-tour-rule
# :class: dropdown
# ```
#
# The rule would do if the object were one cluster. A person is several: skin, hair, cloth. They need a rule that judges
# each cluster by its place.


# %% tags=["answer"]
import numpy as np


def middle_cluster(labels, k):
    """Foreground rule: only the cluster of the middle pixel.

    Args:
        labels: cluster map (H, W), integers from 0 to k - 1.
        k: number of clusters.

    Returns:
        (k,) bool, True for the clusters that are foreground.
    """
    height, width = labels.shape
    return np.arange(k) == labels[height // 2, width // 2]


# %% tags=["check"]
def check_middle_cluster():
    """Say whether `middle_cluster` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    labels = np.array([[0, 0, 0, 1], [0, 0, 0, 1], [0, 2, 2, 1]])
    middle = "the middle is at row H // 2 and column W // 2 of labels"
    expect(
        "middle_cluster(labels, 3)",
        middle_cluster(labels, 3),
        np.array([True, False, False]),
        hint=f"{middle}; the answer has one truth value per cluster",
    )
    labels[1, 2] = 2
    expect(
        "middle_cluster(labels, 4) with label 2 in the middle",
        middle_cluster(labels, 4),
        np.array([False, False, True, False]),
        hint=f"{middle}; a cluster without pixels needs a truth value, too",
    )
    print("Right. This is a rule that StyleMixSegmenter accepts as it is.")


check_middle_cluster()

# %% mystnb={"image": {"alt": "Example images with the mask of the middle cluster only"}, "figure": {"caption": "The cluster of the middle pixel alone.", "name": "fig-tour-middle"}}
image_row(
    [
        overlay(image, rule_mask(labels_, P.method.k, middle_cluster))
        for image, labels_ in zip(images, maps)
    ],
    [f"seed {seed}" for seed in P.queries.examples],
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - A style-based generator can render one scene in many styles, because we can keep the latents of the first $c$ layers
#   and exchange the others.
# - The colours of a pixel under all styles make up its row of $\mathbf{X}_s$. K-means on the rows gives a cluster map.
# - A simple rule about positions in the image turns the cluster map into a mask. Nothing is trained, but somebody has
#   to choose the rule's threshold.
# - A few examples show how the method works, but they are too few to show how well it works.

# %% tags=["remove-cell"]
_ = recorder.write()  # its path is of this machine
