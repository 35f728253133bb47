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
# # Compositing
#
# In this chapter we cut an object out with its mask and put it on another background. Of all uses of a mask this one
# shows its errors best, because every wrong pixel becomes visible.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Compose two images with a hard mask as alpha channel, as Figure 8 of the paper does.
# - Look at the boundary in detail, as Figure 6 does.
# - Recognise from a composition in which way its mask is wrong.
# - Compare the hard mask with a soft one, and save a cutout as a PNG with transparency.
#
# **Prerequisites**
#
# - [The tour](01_tour.ipynb): from a latent to a mask.
# - [Style mixing](02_style_mixing.ipynb): style-mixed images keep the query's structure.
# - [Evaluation](06_evaluation.ipynb): what the reference is.
#
# **Run time:** about 2 minutes on two CPU cores (profile `cpu`), less where other chapters have left their images.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import io

import numpy as np
from IPython.display import Markdown, display
from PIL import Image

from stylemixseg.evaluation.tables import table
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.scoring import REFERENCES, reference_masks
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.metrics import confusion
from stylemixseg.segmenter import enlarge
from stylemixseg.viz.compositing import (
    agreement_map,
    blend,
    boundary_windows,
    composite,
    cutout,
    overlay,
)
from stylemixseg.viz.plotting import image_grid, image_row
from stylemixseg.viz.widgets import picture_slider

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "09_compositing", profile, results, seed="queries.examples"
)

# %% [markdown]
# ## The operation
#
# *Alpha composition* mixes a foreground $\mathbf{F}$ and a background $\mathbf{B}$ into an image $\mathbf{C}$, by an
# alpha channel $\alpha$ with values in 0..1, at every pixel:
#
# ```{math}
# :label: eq-alpha
# \mathbf{C} = \alpha \mathbf{F} + (1 - \alpha) \mathbf{B}.
# ```
#
# The paper takes the mask itself as $\alpha$, so $\alpha$ is 0 or 1, and every pixel comes either from one image or
# from the other. There is no *feathering*, which means a gradual change across the boundary, and no blur (section
# 4.5). This is a severe test of a mask, because nothing hides a wrong boundary.
#
# We segment a few queries first. Clustering runs at the profile's resolution; the mask is enlarged to the image's size
# by repeating pixels, so no detail is added that the clustering did not find. The rule is corner minority; [the
# chapter on rules](05_foreground_rules.ipynb) compares it with saliency.

# %%
from stylemixseg.foreground import CornerMinority
from stylemixseg.mixing import draw_style_latents
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.summary import summary_from_images

styles = draw_style_latents(generator, P.method.n, P.method.style_seed)
segmenter = StyleMixSegmenter(
    generator,
    n=P.method.n,
    cutoff=P.method.cutoff,
    k=P.method.k,
    color_space=P.method.color_space,
    resolution=P.method.resolution,
    style_seed=P.method.style_seed,
    rule=CornerMinority(),
)
latents = [query_latent(generator, P, seed) for seed in P.queries.examples]
cuts = []
for w0 in latents:
    stack = cached_stack(generator, w0, styles, P.method.plan)
    cuts.append(
        segmenter.from_summary(
            w0, summary_from_images(stack, P.method.color_space)
        )
    )
side = len(cuts[0].image)

# %% tags=["hide-input"]
step = side // len(cuts[0].kmeans.labels)
display(
    Markdown(
        f"{len(cuts)} queries of the generator `{P.generator}`, n = "
        f"{P.method.n}, c = {P.method.cutoff}, k = {P.method.k}, "
        f"{P.method.color_space.upper()}, corner minority rule. Images have "
        f"{side} px a side; one pixel of the clustering covers {step} by "
        f"{step} of theirs."
    )
)

# %% mystnb={"image": {"alt": "The queries, each with the outline of its mask in orange and the background darkened"}, "figure": {"caption": "The queries and their masks. Everything in the dark part will be replaced, so errors that you see here appear again in the compositions below.", "name": "fig-composite-masks"}}
image_row(
    [overlay(cut.image, cut.mask) for cut in cuts],
    [f"seed {seed}" for seed in P.queries.examples],
)

# %% [markdown]
# ## On a style-mixed background
#
# A style-mixed image shows the query's scene in other colours. Both images have the same structure, so one mask fits
# both. Therefore the query's object can be put on the style-mixed background, and the style-mixed object on the
# query's background (Figure 8).

# %%
from stylemixseg.mixing import style_mixed_images
from stylemixseg.settings import MixPlan

mixes = [
    style_mixed_images(
        generator, w0, styles[i : i + 1], MixPlan(P.method.cutoff)
    )[0]
    for i, w0 in enumerate(latents)
]

# %% mystnb={"image": {"alt": "Rows of pictures: a query, its style-mixed version, the mask, the query on the style-mixed background, and the style-mixed object on the query's background"}, "figure": {"caption": "Composition with the hard mask, in the manner of Figure 8. Fourth column: the query's object on the style-mixed background. Last column: the other way round. A good mask leaves no rim of the wrong colours.", "name": "fig-style-mixed-background"}}
image_grid(
    [
        [
            cut.image,
            mix,
            cut.mask,
            composite(cut.image, mix, cut.mask),
            composite(mix, cut.image, cut.mask),
        ]
        for cut, mix in zip(cuts, mixes)
    ],
    column_titles=[
        "query",
        "style-mixed",
        "mask",
        "query in front",
        "query behind",
    ],
    row_titles=[f"seed {seed}" for seed in P.queries.examples],
)

# %% [markdown]
# This background is easy in one respect, because it has the same structure as the query. Where the mask cuts too much
# away, the style-mixed image fills the gap with the same part in other colours, so you see a change of colour and not
# a hole.
#
# ## On other queries' images
#
# Any other image is a harder background, because its own object is in it too and can be seen wherever the new object
# does not cover it.

# %% mystnb={"image": {"alt": "A square of pictures in which the object of each row stands on the image of each column"}, "figure": {"caption": "The row's object on the column's image. On the diagonal nothing changes, because front and back are the same image. Elsewhere parts of the column's own object may be visible behind the new one: a composition needs an empty background, or an object that is large enough to cover what is there.", "name": "fig-other-background"}}
image_grid(
    [
        [composite(front.image, behind.image, front.mask) for behind in cuts]
        for front in cuts
    ],
    column_titles=[f"on seed {seed}" for seed in P.queries.examples],
    row_titles=[f"seed {seed}" for seed in P.queries.examples],
)

# %% [markdown]
# ## The boundary in detail
#
# In a small picture the boundary can hardly be seen, so the paper enlarges it (Figure 6), and we do the same. Each
# query gets four windows, which are placed by a fixed rule so that we cannot choose the good ones: the first is at the
# highest point of the boundary that leaves room for a window, and each further one is as far from the others as
# possible. The background has a single colour, so that every wrong pixel can be seen.

# %%
PLAIN = np.full_like(cuts[0].image, (70, 160, 90))
windows = [
    boundary_windows(cut.mask, count=4, side=side // 6)
    if 0 < cut.mask.mean() < 1
    else []
    for cut in cuts
]

# %% mystnb={"image": {"alt": "For each query, its cutout on plain green and four enlarged details at the boundary of the mask"}, "figure": {"caption": "Cutouts on a plain green background, and four details of each at the mask's boundary. Look for steps (the clustering's pixels are coarser than the image's), for a rim of the old background, and for fine parts that are cut off. A row stays empty where the mask is empty or full.", "name": "fig-details"}}
placed = [composite(cut.image, PLAIN, cut.mask) for cut in cuts]
image_grid(
    [
        [whole, *([whole[window] for window in at] or [None] * 4)]
        for whole, at in zip(placed, windows)
    ],
    column_titles=["cutout", "detail 1", "detail 2", "detail 3", "detail 4"],
    row_titles=[f"seed {seed}" for seed in P.queries.examples],
)

# %% [markdown]
# Hair is difficult, because a pixel at the edge of hair shows hair and background at once, and a binary mask has to
# decide for one of the two.
#
# ## How an error in the mask shows
#
# To learn what errors look like, we take the reference as a good mask and damage it on purpose in four ways: we grow
# it, shrink it, shift it sideways, and remove a patch from it.

# %%
from stylemixseg.metrics import trimap_band

truths = reference_masks(
    P.reference,
    generator,
    P,
    P.queries.examples,
    [{"image": cut.image} for cut in cuts],
)
good, picture, other = truths[0], cuts[0].image, mixes[0]
few = max(1, side // 64)
patch = good.copy()
centre = np.argwhere(good).mean(0).astype(int)
patch[
    centre[0] - side // 12 : centre[0] + side // 12,
    centre[1] - side // 12 : centre[1] + side // 12,
] = False
damaged = {
    "reference": good,
    "grown": good | trimap_band(good, few, "per_side"),
    "shrunk": good & ~trimap_band(good, few, "per_side"),
    "shifted": np.roll(good, 2 * few, axis=1),
    "patch missing": patch,
}

# %% tags=["remove-input"]
display(
    Markdown(
        f"The reference is {REFERENCES[P.reference]}. Grown and shrunk by "
        f"{few} px, shifted by {2 * few} px."
    )
)

# %% mystnb={"image": {"alt": "Compositions of one object with the reference mask and with four damaged masks: on a plain background, on the style-mixed one, and in detail"}, "figure": {"caption": "What each damage looks like on plain green (top), on the style-mixed image (middle), and in a detail of it (bottom). A grown mask brings a rim of the old background with it. A shrunk one cuts the edge of the object away, so that on the style-mixed image the edge of that image's own object is visible there. A shifted one has a rim on one side and a loss on the other. A missing patch shows the other image inside the object.", "name": "fig-damage"}}
window = boundary_windows(good, count=2, side=side // 4)[1]
image_grid(
    [
        [composite(picture, PLAIN, mask) for mask in damaged.values()],
        [composite(picture, other, mask) for mask in damaged.values()],
        [composite(picture, other, mask)[window] for mask in damaged.values()],
    ],
    column_titles=list(damaged),
)

# %% tags=["hide-input"]
rows = []
for name, mask in damaged.items():
    whole = confusion(mask, good)
    edge = confusion(mask, good, ignore=~trimap_band(good, 2 * few, "per_side"))
    rows.append([name, f"{whole.miou:.3f}", f"{edge.miou:.3f}"])
display(
    Markdown(
        table(["damage, one image", "mIoU", "mIoU near the boundary"], rows)
    )
)

# %% [markdown]
# Compare the two columns with the pictures. A thin rim costs little mIoU over the whole image, because it has few
# pixels, although it is easy to see in a composition; near the boundary it costs much. The trimap IoU in Table 3 of
# the paper looks at the boundary only, in the same way (there it scores networks that were trained on the masks).
#
# Now the real masks against the reference:

# %%
from stylemixseg.metrics import bootstrap_interval, mean_iou

confusions = [confusion(cut.mask, truth) for cut, truth in zip(cuts, truths)]
low, high = bootstrap_interval(confusions, "miou", "per_image")
mean = mean_iou(confusions, "per_image")

# %% tags=["remove-input"]
recorder.add(
    f"{P.prefix}compositing.examples.miou",
    mean,
    n=len(cuts),
    interval=(low, high),
)
recorder.add(
    f"{P.prefix}compositing.examples.mask_share",
    np.mean([cut.mask.mean() for cut in cuts]),
    n=len(cuts),
)
display(
    Markdown(
        f"Mean over the {len(cuts)} images of mIoU: {mean:.3f} (95 % interval "
        f"{low:.3f} to {high:.3f}, too few images for more than an impression)."
    )
)

# %% mystnb={"image": {"alt": "The maps of agreement and errors of the masks, above the compositions on the style-mixed background"}, "figure": {"caption": "Top: the mask against the reference (blue: in both; orange: in the mask only; pink: in the reference only). Bottom: the composition with the same mask. Find each orange and pink region of the top row in the composition below it.", "name": "fig-errors-at-work"}}
image_grid(
    [
        [agreement_map(cut.mask, truth) for cut, truth in zip(cuts, truths)],
        [composite(cut.image, mix, cut.mask) for cut, mix in zip(cuts, mixes)],
    ],
    column_titles=[
        f"seed {seed}: {item.miou:.2f}"
        for seed, item in zip(P.queries.examples, confusions)
    ],
)

# %% [markdown]
# ## A soft mask (ours, not the paper's)
#
# The paper uses the hard mask only. But K-means also tells how far a pixel lies from the centroids of each side, and
# the package turns these distances into a *confidence* $q$ of each pixel,
#
# ```{math}
# :label: eq-confidence-alpha
# q = \frac{r_\mathrm{bg}}{r_\mathrm{fg} + r_\mathrm{bg}},
# ```
#
# with $r_\mathrm{fg}$ and $r_\mathrm{bg}$ the distances to the nearest foreground and background centroid. It is above
# one half inside the mask. As it is, it makes a poor alpha channel: few pixels reach 0 or 1, so everything becomes a
# little transparent. We therefore stretch it around one half, which keeps the boundary soft and makes the rest opaque:
#
# ```{math}
# \alpha = \min\left(1, \max\left(0, \tfrac{1}{2} + g \left(q - \tfrac{1}{2}\right)\right)\right).
# ```
#
# The gain $g$ is a choice; at a very high gain we have the hard mask again.

# %%
GAINS = (1, 2, 4, 8, 32)
# the query whose mask agrees best with the reference
chosen = int(np.argmax([item.miou for item in confusions]))
cut, mix = cuts[chosen], mixes[chosen]
alphas = {
    gain: np.clip(0.5 + gain * (cut.confidence - 0.5), 0, 1) for gain in GAINS
}

# %% mystnb={"image": {"alt": "Soft alpha masks for growing gain, and the composition with each, ending with the hard mask"}, "figure": {"caption": "The stretched confidence as alpha (top) and the composition with it on plain green (bottom). At gain 1 the green may be visible through the whole object. With a higher gain the object becomes opaque. The last column is the hard mask of the paper.", "name": "fig-soft-alpha"}}
softened = [blend(cut.image, PLAIN, alpha) for alpha in alphas.values()]
hard = composite(cut.image, PLAIN, cut.mask)
image_grid(
    [[*alphas.values(), cut.mask], [*softened, hard]],
    column_titles=[*(f"gain {gain}" for gain in GAINS), "hard"],
)

# %% [markdown]
# Move the slider to see one detail with growing gain, from the raw confidence to the hard mask.

# %% tags=["hide-input"]
window = boundary_windows(cut.mask, count=2, side=side // 4)[1]
picture_slider(
    [
        enlarge(whole[window], max(384, side // 4))
        for whole in (*softened, hard)
    ],
    [*(f"soft alpha, gain {gain}" for gain in GAINS), "hard mask"],
    name="gain",
    width=384,
)

# %% [markdown]
# ## Taking the cutout elsewhere
#
# A PNG file can hold an alpha channel, so other programs can place the cutout. Here the chapter writes it to memory;
# give `save` a file name if you want to keep it. Then we read it back and put it on a chequerboard, which is the usual
# sign for transparency.

# %%
buffer = io.BytesIO()
Image.fromarray(cutout(cut.image, cut.mask)).save(buffer, "PNG")
back = np.asarray(Image.open(buffer))
colours, alpha = back[..., :3], back[..., 3] == 255
tile = max(1, side // 16)
rows, columns = np.indices((side, side)) // tile
board = (
    np.where(((rows + columns) % 2 == 0)[..., None], 235, 190)
    .repeat(3, axis=2)
    .astype(np.uint8)
)
same = bool((alpha == cut.mask).all() and (colours == cut.image).all())

# %% tags=["remove-input"]
display(
    Markdown(
        f"The file has {back.shape[2]} channels of {back.shape[1]} by "
        f"{back.shape[0]} px and takes {len(buffer.getvalue()) / 1e6:.2f} MB. "
        f"Read back, it holds the same image and mask: {same}."
    )
)

# %% mystnb={"image": {"alt": "The query, its alpha channel, and the cutout on a chequerboard"}, "figure": {"caption": "The query, the alpha channel of the PNG file, and the cutout on a chequerboard.", "name": "fig-png"}}
image_row(
    [colours, alpha, composite(colours, board, alpha)],
    ["query", "alpha channel", "cutout"],
)

# %% [markdown]
# The PNG keeps the colours of the whole image, also where alpha is 0, so a program that ignores alpha shows all of it.
# To hide what lies outside the mask, set those pixels to one colour before saving.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-compositing-feather
# Feather the hard mask: write `feathered(mask, radius)`, which replaces each pixel by the mean of the mask over a square
# of side `2 * radius + 1` around it, and use the result as $\alpha$. Beyond the border of the image the mask repeats its
# outermost pixels. What gets better, and what gets worse?
# ```
#
# ```{solution-start} ex-compositing-feather
# :class: dropdown
# ```
#
# Steps vanish, and so does fine detail: the boundary becomes equally soft everywhere, whether the object's own edge
# is soft or sharp there. A wide feather brings the old background back along the rim. The paper leaves
# feathering out on purpose: hard edges show how good the mask is.


# %% tags=["answer"]
import numpy as np


def feathered(mask, radius):
    """Mean of a mask over the square around each pixel.

    Args:
        mask: (H, W) bool.
        radius: the square has the side 2 * radius + 1.

    Returns:
        (H, W) float in 0..1. Beyond the border the mask repeats its
        outermost pixels (np.pad with mode="edge").
    """
    side = 2 * radius + 1
    alpha = np.pad(mask.astype(float), radius, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(alpha, (side, side))
    return windows.mean((2, 3))


# %% tags=["check"]
def check_feathered():
    """Say whether `feathered` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    alpha = np.zeros((5, 5))
    alpha[1:4, 1:4] = 1 / 9
    hint = "a square of 3 by 3 pixels has the weight 1/9 each"
    expect(
        "feathered(one pixel, 1)",
        feathered(mask, 1),
        alpha,
        hint,
        tolerance=1e-6,
    )
    expect(
        "feathered(full, 2)",
        feathered(np.ones((4, 6), bool), 2),
        np.ones((4, 6)),
        hint="at the border the mask repeats itself, so a full mask stays "
        "full; the result has the size of the mask",
        tolerance=1e-6,
    )
    print("Right. Use it as alpha: blend(front, behind, feathered(mask, 2)).")


check_feathered()

# %% mystnb={"image": {"alt": "A detail of the composition with the hard mask and with masks feathered over growing squares"}, "figure": {"caption": "The same detail with the hard mask and with feathering over squares of growing side.", "name": "fig-feather"}}
radii = [few, 2 * few, 4 * few]
image_row(
    [
        hard[window],
        *(
            blend(cut.image, PLAIN, feathered(cut.mask, radius))[window]
            for radius in radii
        ),
    ],
    ["hard", *(f"{2 * radius + 1} px" for radius in radii)],
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-compositing-difference
# On which background does an error show most? For a mask and its reference, the pixels in error are fixed; what
# varies is how far the two images differ there. Write `visible_difference(front, behind, wrong)`, the mean absolute
# difference of two 8-bit images over the pixels where mask and reference disagree. Compute it for the query and (a) its
# style-mixed image, (b) plain green, (c) another query's image.
# ```
#
# ```{solution-start} ex-compositing-difference
# :class: dropdown
# ```
#
# A number near 0 means that an error there cannot be seen. It does not say whether the background is *plausible*: a
# second face behind the first looks wrong even where its colours differ little.


# %% tags=["answer"]
def visible_difference(front, behind, wrong):
    """How far two images differ where a mask is wrong.

    Args:
        front, behind: images (H, W, 3) uint8.
        wrong: (H, W) bool, True where mask and reference disagree.

    Returns:
        Mean absolute difference of the colour values, 0 to 255, over these
        pixels; 0 where no pixel is wrong.
    """
    if not wrong.any():
        return 0.0
    return np.abs(front[wrong].astype(float) - behind[wrong]).mean()


# %% tags=["check"]
def check_visible_difference():
    """Say whether `visible_difference` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    front = np.full((2, 2, 3), 10, np.uint8)
    behind = np.full((2, 2, 3), 30, np.uint8)
    wrong = np.array([[True, False], [False, False]])
    behind[1] = 200
    expect(
        "visible_difference(10 everywhere, 30 where it counts, wrong)",
        visible_difference(front, behind, wrong),
        20,
        hint="10 - 30 in uint8 is 236, because 8-bit numbers wrap around: "
        "convert to float first; and only pixels in `wrong` count",
        tolerance=1e-6,
    )
    expect(
        "visible_difference(front, behind, no pixel wrong)",
        visible_difference(front, behind, np.zeros((2, 2), bool)),
        0,
        hint="the mean of no pixels is not a number: return 0 there",
    )
    print("Right.")


check_visible_difference()

# %%
wrong = cut.mask != truths[chosen]
other_image = cuts[chosen - 1].image
backgrounds = {
    "its style-mixed image": mix,
    "plain green": PLAIN,
    "another query": other_image,
}
rows = [
    [name, f"{visible_difference(cut.image, background, wrong):.1f}"]
    for name, background in backgrounds.items()
]
header = [
    f"background ({wrong.mean():.1%} of pixels are wrong)",
    "mean difference, 0 to 255",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - With a hard mask, composition {eq}`eq-alpha` takes each pixel from one image or the other, so it makes errors
#   visible that a mean IoU hides.
# - On a style-mixed image of the same query the structure agrees, which hides some errors. On another image the
#   structure differs, so nothing is hidden.
# - Each kind of error can be recognised in a composition: by rims, by edges that are cut away, or by patches of the
#   other image.
# - After stretching, the confidence can serve as a soft alpha channel. This is our addition, since the paper shows
#   hard masks only.
#
# Next: [the method on real photos](10_real_photos.ipynb).

# %% tags=["remove-cell"]
path = recorder.write()
