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
# # Style mixing
#
# How the layers of a generator make it possible to combine the layout of one image with the colours of another.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Mix two latents at a cutoff $c$, and state the formula (section 3.1 of the paper).
# - Say which layer works on which grid, and see what each grid holds.
# - Follow a mixed image from the style image to the query as $c$ grows, and measure its distance from both.
# - Say why the styles are drawn once and shared by all queries.
# - See what truncation does to styles.
#
# **Prerequisites**
#
# - [The tour](01_tour.ipynb): the latents $\mathbf{z}$ and $\mathbf{w}$, truncation.
#
# **Run time:** about 2 minutes on two CPU cores (profile `cpu`), less if another chapter has already stored its
# style-mixed images.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display

from stylemixseg.evaluation.tables import table
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.stackcache import cached_stack
from stylemixseg.mixing import check_resolution
from stylemixseg.segmenter import enlarge
from stylemixseg.viz.plotting import image_grid, image_row, lines
from stylemixseg.viz.widgets import picture_slider

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "02_style_mixing", profile, results, seed="queries.examples"
)

# %% [markdown]
# ## Two latents
#
# Style mixing began as a regulariser of StyleGAN {cite}`karras2019`: some training images were made from two latents,
# so that adjacent layers could not rely on sharing one. The paper {cite}`feng2023` uses it on the finished generator.
#
# Take two layered latents, $\mathbf{w}_0$ and $\mathbf{w}_1$. Each has $l$ rows, one per layer of the synthesis network
# $G_s$. Choose a *cutoff* $c \in \{0, \dots, l\}$, and put together
#
# ```{math}
# :label: eq-mixing
# \mathbf{w}_{01} = \bigl(\underbrace{\mathbf{w}_0^{(0)}, \dots, \mathbf{w}_0^{(c-1)}}_{\text{structure}},\;
# \underbrace{\mathbf{w}_1^{(c)}, \dots, \mathbf{w}_1^{(l-1)}}_{\text{style}}\bigr),
# \qquad \mathbf{X}_{01} = G_s(\mathbf{w}_{01}).
# ```
#
# $\mathbf{w}_0$ is the *structure latent*, and its image $\mathbf{X}_0$ is the query. $\mathbf{w}_1$ is the *style
# latent*, and $\mathbf{X}_{01}$ the *style-mixed image*. In code it is one line, `torch.cat([w0[:, :c], w1[:, c:]],
# dim=1)`.

# %%
from stylemixseg.mixing import draw_style_latents, mix_styles, query_image

num_ws = generator.num_ws  # layers
# (n, num_ws, w_dim)
styles = draw_style_latents(generator, P.method.n, P.method.style_seed)
latents = [query_latent(generator, P, seed) for seed in P.queries.examples]
w0, w1 = latents[0], styles[:1]
w01 = mix_styles(w0, w1, P.method.cutoff)
assert torch.equal(
    w01, torch.cat([w0[:, : P.method.cutoff], w1[:, P.method.cutoff :]], dim=1)
)
X_0, X_1, X_01 = (
    query_image(generator, w, P.method.resolution) for w in (w0, w1, w01)
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three images beside bars of two colours: the query with a bar of one colour, the style image with a bar of the other, and the mix, whose bar changes colour at the cutoff"}, "figure": {"caption": "Style mixing, after Figure 4 of the paper. Each bar is a layered latent, one cell per layer, the first layer at the bottom. The mix has the structure latent's rows (blue) below c and the style latent's rows (orange) from c on.", "name": "fig-mixing"}}
figure, axes = plt.subplots(
    1, 6, figsize=(7, 2.1), width_ratios=[1, 6] * 3, layout="constrained"
)
rows_from_style = {
    "query": num_ws,
    "style image": 0,
    "style-mixed": P.method.cutoff,
}
for place, ((name, first), image) in enumerate(
    zip(rows_from_style.items(), (X_0, X_1, X_01))
):
    # (num_ws, 1, 3)
    colours = np.where(
        np.arange(num_ws)[:, None, None] < first, (0, 114, 178), (230, 159, 0)
    )
    bar, picture = axes[2 * place : 2 * place + 2]
    bar.imshow(colours, aspect="auto", origin="lower")
    bar.hlines(
        np.arange(1, num_ws) - 0.5, -0.5, 0.5, color="white", linewidth=1
    )
    bar.set(xticks=[], yticks=[0, P.method.cutoff, num_ws - 1])
    bar.tick_params(labelsize=7, length=2)
    picture.imshow(image)
    picture.set(xticks=[], yticks=[])
    picture.set_title(name, fontsize=9)
plt.close(figure)
figure

# %% [markdown]
# ## From one end to the other
#
# What does $c$ do? At $c = 0$ no row of the query is left, so the result is the style image. At $c = l$ every row is
# the query's, so the result is the query. Both must hold exactly, for latents and for pixels, and we check this with
# one style for each example query. We also compute the pixels by a second method, which must agree with the first:
# `style_mixed_images` runs the layers below $c$ only once for all styles of a query, and so saves time.

# %% tags=["remove-output"]
# query i with style i: no image takes part twice
pairs = list(zip(latents, styles.split(1)))
cutoffs = range(num_ws + 1)
mixed = [  # for each pair: {c: X_01 (h, w, 3) uint8}
    {
        c: query_image(
            generator, mix_styles(w_query, w_style, c), P.method.resolution
        )
        for c in cutoffs
    }
    for w_query, w_style in pairs
]

# %%
from stylemixseg.mixing import style_mixed_images
from stylemixseg.settings import MixPlan

for (w_query, w_style), images in zip(pairs, mixed):
    assert torch.equal(mix_styles(w_query, w_style, 0), w_style)
    assert torch.equal(mix_styles(w_query, w_style, num_ws), w_query)
    for c, w in ((0, w_style), (num_ws, w_query)):
        assert np.array_equal(
            images[c], query_image(generator, w, P.method.resolution)
        )
        assert np.array_equal(
            images[c],
            style_mixed_images(
                generator,
                w_query,
                w_style,
                MixPlan(c, resolution=P.method.resolution),
            )[0],
        )

# %% tags=["remove-input"]
display(
    Markdown(
        f"{len(pairs)} pairs checked: c = 0 gives the style image, c = "
        f"{num_ws} the query, pixel for pixel."
    )
)

# %% mystnb={"image": {"alt": "Rows of images; in each row the image turns step by step from the style image on the left into the query on the right, first in layout and last in colour"}, "figure": {"caption": "Changing c, as in Figure 5 of the paper, from the style image on the left to the query on the right. As c grows, the layout becomes the query's early, whereas the colours become the query's late.", "name": "fig-cutoffs"}}
shown = sorted({0, *P.table4.cutoffs, num_ws})
image_grid(
    [[images[c] for c in shown] for images in mixed],
    column_titles=[f"c = {c}" for c in shown],
)

# %% [markdown]
# Read a row from right to left, that is, beginning with the query. First the colours change while the scene stays. With
# a smaller $c$, details and shapes change as well, and in the end the scene is another one. The method needs the range
# in which the scene stays and the colours change.
#
# Move the slider to see this for the first pair. It shows the query, the style-mixed image at the chosen $c$, and the
# style image. It moves in steps of two layers, because two layers share a grid (see below).

# %% tags=["hide-input"]
side = min(256, check_resolution(P.method.resolution, generator.resolution))
step = len(X_0) // side
steps = [*range(0, num_ws, 2), num_ws]
pictures = [
    np.hstack(
        [
            enlarge(np.ascontiguousarray(image[::step, ::step]), 256)
            for image in (X_0, mixed[0][c], X_1)
        ]
    )
    for c in steps
]
picture_slider(
    pictures,
    [f"query, mixed at c = {c}, style image" for c in steps],
    name="cutoff c",
    width=700,
)

# %% [markdown]
# ## How far, in numbers
#
# How far is the style-mixed image from the query, and how far from the style image? As a simple distance we take the
# mean absolute difference of the pixels, over the three channels, in the 256 levels of an 8-bit image. This measurement
# is ours and not the paper's.


# %%
def difference(first, second):
    """Mean absolute difference of two uint8 images, in levels."""
    return np.abs(first.astype(np.float32) - second).mean()


# Both (pairs, num_ws + 1)
to_query = np.array(
    [
        [difference(images[c], images[num_ws]) for c in cutoffs]
        for images in mixed
    ]
)
to_style = np.array(
    [[difference(images[c], images[0]) for c in cutoffs] for images in mixed]
)

# %% tags=["remove-cell"]
for c in cutoffs:
    recorder.add(
        f"{P.prefix}mixing.c{c}.to_query",
        to_query[:, c].mean(),
        n=len(pairs),
        note="mean absolute, levels",
    )
    recorder.add(
        f"{P.prefix}mixing.c{c}.to_style",
        to_style[:, c].mean(),
        n=len(pairs),
        note="mean absolute, levels",
    )

# %% mystnb={"image": {"alt": "Two curves over the cutoff: the distance from the query falls to zero, the distance from the style image grows from zero"}, "figure": {"caption": "Mean absolute pixel difference of the style-mixed image from the query and from the style image. The bars reach from the smallest to the largest value of the pairs, so they show the spread and are not confidence intervals.", "name": "fig-distance"}}
lines(
    list(cutoffs),
    {
        "from the query": to_query.mean(0),
        "from the style image": to_style.mean(0),
    },
    xlabel="cutoff c",
    ylabel="mean difference (levels)",
    intervals={
        "from the query": list(zip(to_query.min(0), to_query.max(0))),
        "from the style image": list(zip(to_style.min(0), to_style.max(0))),
    },
)

# %% tags=["hide-input"]
moved = to_query[:, P.method.cutoff].mean() / to_query[:, 0].mean()
recorder.add(
    f"{P.prefix}mixing.default.distance_left",
    moved,
    n=len(pairs),
    note="to the query, as a share of c = 0",
)
display(
    Markdown(
        f"At this run's cutoff, c = {P.method.cutoff}, the style-mixed image "
        f"is still {moved:.0%} as far from the query as the style image itself "
        f"is ({len(pairs)} pairs)."
    )
)

# %% [markdown]
# The difference of pixels measures mostly colour, so it cannot say whether the scene is still the same. Which cutoff
# gives good masks is therefore a question of its own, and the [ablation](07_ablation.ipynb) answers it.
#
# ## Which layers hold what
#
# A StyleGAN2 {cite}`karras2020` begins with a grid of 4 by 4 cells, on which layer 0 works. Then the grid doubles its
# size again and again, and two layers work at each new size. Layer $j$ therefore works on a grid with
#
# ```{math}
# :label: eq-layer-side
# \min\bigl(R,\; 4 \cdot 2^{\lceil j / 2 \rceil}\bigr)
# ```
#
# cells per side, where $R$ is the side of the image. MobileStyleGAN {cite}`belousov2021`, the book's face generator,
# reads its latent in the same order. Its last layer works at half the size of the image and gives 4 numbers for each
# colour there, the coefficients of a wavelet transform, from which the full image follows. It therefore has two layers
# fewer than a StyleGAN2 of its size, and a cutoff $c$ means the same in both. The toy world has no grids, so it counts
# its layers as a StyleGAN2 of its size would.


# %%
def layer_side(layer):
    """Grid side that a layer works on, for layers counted as in StyleGAN2."""
    return min(generator.resolution, 4 << ((layer + 1) // 2))


groups = {}  # side: its layers
for layer in range(num_ws):
    groups.setdefault(layer_side(layer), []).append(layer)

# %% tags=["remove-input"]
display(
    Markdown(
        table(
            ["grid", "layers", f"at c = {P.method.cutoff} they follow"],
            [
                [
                    f"{grid} x {grid}",
                    ", ".join(map(str, layers)),
                    "the query"
                    if layers[-1] < P.method.cutoff
                    else "the style"
                    if layers[0] >= P.method.cutoff
                    else "both",
                ]
                for grid, layers in groups.items()
            ],
        )
    )
)

# %% [markdown]
# What does each grid control? To find out, we exchange the rows of *one* grid only, leave all others as they are, and
# look at the image. This is our own experiment. It differs from mixing at a cutoff, because there all later layers
# change as well.

# %%
exchanged = {}
for grid, layers in groups.items():
    w = w0.clone()
    w[:, layers] = w1[:, layers]
    exchanged[grid] = query_image(generator, w, P.method.resolution)
# (h, w) each
change = {
    grid: np.abs(image.astype(np.float32) - X_0).mean(-1)
    for grid, image in exchanged.items()
}
brightest = max(np.quantile(values, 0.99) for values in change.values())

# %% mystnb={"image": {"alt": "A row of versions of one image, each with one grid's layers exchanged, and below each a map that is bright where the image changed"}, "figure": {"caption": "Top: the layers of one grid exchanged at a time, from coarse to fine. Bottom: where the image changed (white is much; one scale for all, with a square root so that small changes show). Coarse grids move and reshape objects, whereas finer ones recolour them.", "name": "fig-grids"}}
image_grid(
    [
        list(exchanged.values()),
        [
            np.sqrt(np.clip(values / brightest, 0, 1))
            for values in change.values()
        ],
    ],
    column_titles=[f"{grid} px" for grid in groups],
)

# %% tags=["hide-input"]
rows = []
for grid, values in change.items():
    recorder.add(
        f"{P.prefix}mixing.grid{grid}.change",
        values.mean(),
        note="mean absolute, levels; one pair",
    )
    rows.append([f"{grid} x {grid}", f"{values.mean():.1f}"])
display(
    Markdown(
        "One pair, so only an illustration:\n\n"
        + table(["grid exchanged", "mean change (levels)"], rows)
    )
)

# %% [markdown]
# ## Many styles
#
# One style-mixed image tells little, because two objects may look alike in it by chance. The method therefore draws $n$
# style latents $\mathbf{w}_1, \dots, \mathbf{w}_n$, and makes $n$ images of each query. This is the central idea of the
# paper, shown in its Figure 2.

# %% tags=["remove-output"]
queries = latents[:3]
stacks = [cached_stack(generator, w, styles, P.method.plan) for w in queries]
columns = min(6, P.method.n)
style_images = [
    query_image(generator, w, P.method.resolution)
    for w in styles[:columns].split(1)
]

# %% mystnb={"image": {"alt": "A top row of style images; below, one row for each query, whose layout stays along the row while its colours follow the column's style"}, "figure": {"caption": "Shared styles. Top row: the style images. Below: each query (left) in each style. Along a row the layout stays the same; down a column the colours are those of one style.", "name": "fig-shared-styles"}}
image_grid(
    [
        [None, *style_images],
        *(
            [query_image(generator, w, P.method.resolution), *stack[:columns]]
            for w, stack in zip(queries, stacks)
        ),
    ],
    column_titles=["query", *(f"style {i}" for i in range(1, columns + 1))],
)

# %% [markdown]
# Follow one object along its row: all its pixels change together. Another object changes as well, but differently. In
# the paper's words, pixels "vary consistently within the same semantic segment but differently across them".
#
# ### Why the styles are drawn once
#
# We draw the $n$ styles once, from a fixed seed, and use them for every query. The paper does not say whether it does
# the same. We have three reasons:
#
# - *A run can be repeated*, because the generator, $n$ and the seed determine all styles.
# - *Images can be compared*, because the colour of a pixel in style $i$ then means the same in all images. With new
#   styles for each query, the numbers of two images would have nothing in common.
# - *A change of $n$ changes nothing else*, because the first styles of a larger draw are those of a smaller one (up to
#   rounding):

# %%
assert torch.allclose(
    draw_style_latents(generator, 2, P.method.style_seed), styles[:2], atol=1e-4
)

# %% [markdown]
# The drawback is that an unfavourable set of styles affects all queries at once. Whether this matters can be seen by
# repeating a run with another seed of the styles.
#
# ## Truncated styles
#
# The queries are drawn with truncation, because it makes the images look more natural. Should the styles be truncated,
# too? Truncation pulls all of them towards one mean style, so they differ less from one another. The less they differ,
# the harder it is to tell regions apart.

# %% tags=["remove-output"]
mild = draw_style_latents(
    generator, columns, P.method.style_seed, truncation=0.5
)
mild_stack = cached_stack(generator, w0, mild, P.method.plan)
wild_stack = stacks[0][:columns]  # the same z with psi = 1

# %% mystnb={"image": {"alt": "Two rows of versions of one image: the upper row in varied colours, the lower row in calmer and more similar ones"}, "figure": {"caption": "The same styles at psi = 1 (top) and psi = 0.5 (bottom). In the lower row all images are closer to one mean style.", "name": "fig-style-truncation"}}
image_grid(
    [list(wild_stack), list(mild_stack)], row_titles=["psi = 1.0", "psi = 0.5"]
)

# %% tags=["hide-input"]
spread = {
    psi: np.asarray(stack).std(0).mean()
    for psi, stack in ((1.0, wild_stack), (0.5, mild_stack))
}
recorder.add(
    f"{P.prefix}mixing.psi100.spread",
    spread[1.0],
    n=columns,
    note="standard deviation over styles, levels",
)
recorder.add(
    f"{P.prefix}mixing.psi050.spread",
    spread[0.5],
    n=columns,
    note="standard deviation over styles, levels",
)
display(
    Markdown(
        f"Standard deviation of a pixel over {columns} styles, averaged over "
        f"pixels and channels of one query: {spread[1.0]:.1f} levels with psi "
        f"= 1.0, {spread[0.5]:.1f} with psi = 0.5, that is "
        f"{spread[0.5] / spread[1.0]:.0%}."
    )
)

# %% [markdown]
# We therefore draw styles with $\psi = 1$, whatever truncation the queries have. A style image may then look unnatural,
# but this does no harm, because the method uses only its colours. The paper does not state its $\psi$.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-mixing-swap
# `mix_styles(w0, w1, c)` and `mix_styles(w1, w0, c)` use the same two latents. What do you expect of the two images? At
# which $c$ are they equal? Predict both before you open the solution.
# ```
#
# ```{solution-start} ex-mixing-swap
# :class: dropdown
# ```
#
# The roles swap: one has the layout of the first and the colours of the second, the other the reverse. They are equal
# at no $c$, unless the two latents are: each row of one mix is the row that the other one lacks. At $c = 0$ and $c =
# l$ they are the two images themselves.

# %% mystnb={"image": {"alt": "Two source images and their two mixes; each mix has the layout of one and the colours of the other"}, "figure": {"caption": "The two images, and their mixes both ways round at the run's cutoff.", "name": "fig-swap"}}
swapped = query_image(
    generator, mix_styles(w1, w0, P.method.cutoff), P.method.resolution
)
image_row(
    [X_0, X_1, X_01, swapped],
    ["X0", "X1", "layout 0, style 1", "layout 1, style 0"],
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-mixing-three
# Mix *three* latents with two cutoffs. Write `mix_three(coarse, middle, fine, low, high)`: the layers below `low` come
# from the first latent, those from `low` up to but not including `high` from the second, and the others from the third.
# `mix_styles` takes two latents. How do you get there with it?
# ```
#
# ```{solution-start} ex-mixing-three
# :class: dropdown
# ```
#
# Call it twice. First mix the second and the third latent at the upper cutoff, then the first with the outcome at the
# lower one. In the other order the second call would overwrite what the first one had chosen.


# %% tags=["answer"]
from stylemixseg.mixing import mix_styles


def mix_three(coarse, middle, fine, low, high):
    """Mix three layered latents.

    Args:
        coarse: latent (1, num_ws, w_dim) of the layers below `low`.
        middle: latent of the layers from `low` to `high` - 1.
        fine: latent of the layers from `high` on.
        low, high: the two cutoffs, 0 <= low <= high <= num_ws.

    Returns:
        The mixed latent (1, num_ws, w_dim).
    """
    return mix_styles(coarse, mix_styles(middle, fine, high), low)


# %% tags=["check"]
def check_mix_three():
    """Say whether `mix_three` is right, and what to look at if not."""
    import torch

    from stylemixseg.feedback import expect

    sources = [torch.full((1, 6, 2), float(value)) for value in (1, 2, 3)]
    for low, high, rows in (
        (2, 4, [1, 1, 2, 2, 3, 3]),
        (0, 5, [2, 2, 2, 2, 2, 3]),
        (3, 3, [1, 1, 1, 3, 3, 3]),
    ):
        mixed = mix_three(*sources, low, high)
        call = f"mix_three(coarse=1, middle=2, fine=3, low={low}, high={high})"
        right = torch.tensor(rows).float()[None, :, None].expand(1, 6, 2)
        expect(
            call,
            mixed,
            right,
            hint="mix_styles(a, b, c) takes the layers below c from a and "
            "the others from b; begin with the upper cutoff. The entries "
            "are 1 in layers of coarse, 2 in those of middle, 3 in fine",
        )
    print("Right. Equal cutoffs leave no layer to the middle latent.")


check_mix_three()

# %% mystnb={"image": {"alt": "Three source images and a mix of the three"}, "figure": {"caption": "Three images, and the mix with the first one's coarse, the second one's middle and the third one's fine layers.", "name": "fig-three"}}
low, high = P.method.cutoff, (P.method.cutoff + num_ws) // 2
sources = [w0, styles[:1], styles[1:2]]
three = mix_three(*sources, low, high)
image_row(
    [query_image(generator, w, P.method.resolution) for w in (*sources, three)],
    [
        f"layers 0..{low - 1}",
        f"{low}..{high - 1}",
        f"{high}..{num_ws - 1}",
        "mix",
    ],
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - The style-mixed image $\mathbf{X}_{01}$ has rows $0 \dots c-1$ of the structure latent and the other rows of the
#   style latent. $c = 0$ gives the style image, $c = l$ the query, exactly.
# - The layers work on grids that grow from 4 by 4 cells. Coarse grids control the layout, finer ones the colours.
# - At a middle cutoff the scene is the query's, and much of the difference in colour remains.
# - The styles are drawn once, with $\psi = 1$, and shared by all queries.

# %% tags=["remove-cell"]
_ = recorder.write()  # its path is of this machine
