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
# # Generators in an hour
#
# How a network learns to draw, what is inside StyleGAN2, and why its later layers recolour a picture without moving
# anything in it.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Write down the two losses of the adversarial game, train a small game, and recognise mode collapse when you see it.
# - Say what the mapping network, a style, modulation and demodulation do, and write a modulated convolution yourself.
# - Predict what truncation does to one face, and to many.
# - Explain why layers on fine grids can recolour things but cannot move them far, and measure it.
# - Say what distillation is, and what the book's face generator owes to its teacher.
#
# **Prerequisites**
#
# - Python and PyTorch: tensors, `nn.Module`, an optimiser, a training loop. Nothing about generators.
#
# **Run time:** about 2 minutes on two CPU cores (profile `cpu`). Reading it with the exercises takes about an hour.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import Markdown, display
from torch import nn

from stylemixseg.evaluation.tables import table, value_text
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.generators.mobilestylegan import MobileStyleGAN
from stylemixseg.generators.stylegan2.architecture import Architecture
from stylemixseg.generators.stylegan2.network import StyleGAN2
from stylemixseg.metrics import bootstrap_mean
from stylemixseg.viz import diagrams
from stylemixseg.viz.plotting import image_grid, lines
from stylemixseg.viz.widgets import picture_slider

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "00_generators", profile, results, seed="queries.examples"
)

# %% [markdown]
# ## The game
#
# You have many images, say photos of faces, and you want a network that draws *new* ones. You cannot train it with
# the usual loss, "output minus target", because no target exists: for a new random input nobody knows the right image.
#
# A *generative adversarial network*, GAN for short {cite}`goodfellow2014`, solves this with a second network. The
# *generator* $G$ turns a vector $\mathbf{z}$ of random numbers into an image. The *discriminator* $D$ sees an image
# and guesses whether it came from the training set or from $G$. Each learns from the other's success.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Diagram: random numbers enter the generator, which gives a generated image. It and a training image enter the discriminator, which says real or generated. Two dashed arrows go back: the generator learns to make the discriminator guess wrong, the discriminator learns to guess right"}, "figure": {"caption": "The adversarial game. Solid arrows are computations. Dashed arrows are what each network learns from. The generator never sees a training image: all that it knows about them comes back through the discriminator.", "name": "fig-generators-game"}}
diagrams.gan_game()

# %% [markdown]
# In formulas: $D$ gives one number, large where it takes the image for a real one, and
# $\operatorname{sigmoid}(D(\mathbf{x}))$ is its probability for "real". With
# $\operatorname{softplus}(t) = \log(1 + e^t)$, the two losses are
#
# ```{math}
# :label: eq-gan
# L_D &= \operatorname{softplus}\bigl(-D(\mathbf{x})\bigr) + \operatorname{softplus}\bigl(D(G(\mathbf{z}))\bigr), \\
# L_G &= \operatorname{softplus}\bigl(-D(G(\mathbf{z}))\bigr),
# ```
#
# averaged over training images $\mathbf{x}$ and random $\mathbf{z}$. $L_D$ is the usual cross-entropy of a
# classifier with two classes. $L_G$ is small where $D$ takes generated images for real ones. StyleGAN2 is trained with
# these losses, and with a penalty on large gradients of $D$, which keeps the game steady {cite}`mescheder2018`.
#
# ## A game that you can watch
#
# To see a whole training in seconds, let an "image" be only two numbers, a point in the plane. The training set has
# eight heaps of points on a circle. A heap of a data distribution is called a *mode*: think of it as one kind of image.


# %%
MODES, SPREAD = 8, 0.08
angle = torch.arange(MODES) * 2 * math.pi / MODES
centres = torch.stack([angle.cos(), angle.sin()], dim=1)  # (MODES, 2)


def real_points(count):
    """Points of the training set, (count, 2)."""
    which = torch.randint(MODES, (count,))
    return centres[which] + SPREAD * torch.randn(count, 2)


def small_network(inputs, outputs, width=64):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


# %% [markdown]
# This is the whole training loop. The two lines with `softplus` are {eq}`eq-gan`. Note the `.detach()`: the
# discriminator's step must not change the generator.

# %%
Z_DIM, STEPS, EVERY, BATCH = 2, 1200, 100, 128
edge = torch.linspace(-1.6, 1.6, 64)
plane = torch.cartesian_prod(edge, edge)  # (64 * 64, 2), x changes slowest
watched_z = torch.randn(2000, Z_DIM, generator=torch.Generator().manual_seed(1))


def play(rate_generator, rate_discriminator, seed=0):
    """Train both; give the generator, and what was seen on the way."""
    torch.manual_seed(seed)
    toy_generator, discriminator = small_network(Z_DIM, 2), small_network(2, 1)
    move_generator = torch.optim.Adam(
        toy_generator.parameters(), rate_generator, betas=(0.5, 0.99)
    )
    move_discriminator = torch.optim.Adam(
        discriminator.parameters(), rate_discriminator, betas=(0.5, 0.99)
    )
    seen = []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            with torch.no_grad():
                believed = discriminator(plane).sigmoid().reshape(64, 64)
                seen.append((step, toy_generator(watched_z), believed))
        # The discriminator's move
        x, fake = real_points(BATCH), toy_generator(torch.randn(BATCH, Z_DIM))
        loss = (
            F.softplus(-discriminator(x)).mean()
            + F.softplus(discriminator(fake.detach())).mean()
        )
        move_discriminator.zero_grad()
        loss.backward()
        move_discriminator.step()
        # The generator's move
        loss = F.softplus(-discriminator(fake)).mean()
        move_generator.zero_grad()
        loss.backward()
        move_generator.step()
    return toy_generator, seen


threads = torch.get_num_threads()
torch.set_num_threads(1)  # such small networks are faster so
toy_generator, balanced = play(rate_generator=3e-3, rate_discriminator=3e-3)

# %% tags=["hide-input"]
TRAINING_SET = real_points(400)


def draw_game(axis, seen):
    """Samples before the discriminator's belief, for one moment."""
    step, samples, believed = seen
    axis.imshow(
        believed.T,
        origin="lower",
        extent=(-1.6, 1.6, -1.6, 1.6),
        cmap="RdBu",
        vmin=0,
        vmax=1,
        alpha=0.6,
    )
    axis.plot(*TRAINING_SET.T, ".", color="#0072b2", markersize=2)
    axis.plot(*samples[:400].T, ".", color="black", markersize=2)
    axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
    axis.set_title(f"step {step}", fontsize=9)


def game_row(seen, moments):
    """Several moments of one game, side by side."""
    figure, axes = plt.subplots(
        1,
        len(moments),
        figsize=(7, 7 / len(moments) + 0.3),
        layout="constrained",
    )
    for axis, moment in zip(axes, moments):
        draw_game(axis, seen[moment])
    plt.close(figure)
    return figure


# %% mystnb={"image": {"alt": "Four pictures of a plane with eight heaps of blue points on a circle. Black points, the generator's, begin as a small blot in the middle, spread, and at the end lie in all eight heaps and on thin threads between them. The background, which shows the discriminator's belief, is at last red between the heaps and pale at them"}, "figure": {"caption": "A training that works. Black: what the generator makes. Blue points: training set. Background: what the discriminator believes (blue: real; red: generated; white: it cannot tell). At the end it recognises what lies between the heaps, and cannot tell in the heaps.", "name": "fig-generators-training"}}
game_row(balanced, [0, 1, 3, len(balanced) - 1])

# %% [markdown]
# Look at the background first. The loss $L_G$ moves the black points out of the red and towards the blue, because there
# $D$ takes them for real ones. When they have arrived, the place holds real and generated points alike. $D$ can then no
# longer tell them apart, and its colour there fades to white. The game would end where everything is white.
#
# The black threads between the heaps are no accident. $G$ is continuous, and the $\mathbf{z}$ form one connected
# cloud. So what $G$ makes is connected, too, and it must cross the gaps somewhere. Generators of images do the same:
# between two kinds of picture there are a few odd ones. We come back to this with truncation.
#
# ### Mode collapse
#
# Now make the discriminator ten times slower than the generator, and change nothing else.

# %%
_, slow = play(rate_generator=3e-3, rate_discriminator=3e-4)

# %% mystnb={"image": {"alt": "Four pictures of the same plane; the black points lie in one small blot each time, at or near one heap, and the blot is at another place in each picture"}, "figure": {"caption": "Mode collapse. The generator puts all its points into one place. When the discriminator has learnt that this place is false, the generator has moved on to another one.", "name": "fig-generators-collapse"}}
game_row(slow, [3, 6, 9, len(slow) - 1])

# %% [markdown]
# The generator is asked only that *each* of its points looks real. It is not asked that its points differ. So it is
# enough to put them all where the discriminator believes most. A fast discriminator notices the heap of points and
# stops believing. A slow one does not notice in time. This is called *mode collapse*. In a generator of faces it would
# mean good faces that are always the same few.
#
# Move the slider to follow both games. It works without Python.

# %% tags=["hide-input"]
frames = []
for left, right in zip(balanced, slow):
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.7), layout="constrained")
    for axis, seen, name in zip(
        axes, (left, right), ("balanced", "slow discriminator")
    ):
        draw_game(axis, seen)
        axis.set_title(name, fontsize=9)
    figure.canvas.draw()
    frames.append(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    plt.close(figure)
picture_slider(
    frames,
    [f"step {step}: balanced, and slow discriminator" for step, *_ in balanced],
    name="training",
    width=680,
)

# %% [markdown]
# In numbers: a point counts as *good* if it lies within three standard deviations of a heap's centre. A mode counts
# as *found* if at least one point in a hundred is a good one of this mode.


# %%
def judge_points(points):
    """How many modes are found, and the share of good points."""
    distance, nearest = torch.cdist(points, centres).min(dim=1)
    good = distance < 3 * SPREAD
    found = torch.bincount(nearest[good], minlength=MODES) >= len(points) / 100
    return int(found.sum()), float(good.float().mean())


# %% mystnb={"image": {"alt": "Two curves over the steps of training: with balanced networks the number of modes rises to eight and stays; with a slow discriminator it stays low and goes up and down"}, "figure": {"caption": "Modes found, out of eight, in one training of each kind. Both generators could make all eight: the difference lies in the game, not in the network.", "name": "fig-generators-modes"}}
lines(
    [step for step, *_ in balanced],
    {
        "balanced": [judge_points(points)[0] for _, points, _ in balanced],
        "slow discriminator": [
            judge_points(points)[0] for _, points, _ in slow
        ],
    },
    xlabel="step",
    ylabel="modes found",
)

# %% tags=["hide-input"]
rows = []
for name, key, seen in (
    ("balanced", "balanced", balanced),
    ("slow discriminator", "slow_discriminator", slow),
):
    modes, good = judge_points(seen[-1][1])
    recorder.add(
        f"{P.prefix}generators.{key}.modes", modes, note="of 8; one training"
    )
    recorder.add(
        f"{P.prefix}generators.{key}.good", good, note="share; one training"
    )
    rows.append([name, f"{modes} of {MODES}", f"{good:.0%}"])
display(
    Markdown(
        f"After {STEPS} steps, one training of each kind, {len(watched_z)} "
        "points:\n\n" + table(["game", "modes found", "good points"], rows)
    )
)

# %% [markdown]
# One training of each kind is an illustration, not a measurement of how often it happens. Exercise
# {ref}`ex-generators-saturating` is about another choice that decides whether the generator learns at all.
#
# ## What is inside StyleGAN2
#
# From points to images. The generator of this book's paper {cite}`feng2023` is StyleGAN2 {cite}`karras2019,karras2020`.
# It plays the same game, with images of up to 1024 by 1024 pixels. What matters for us is how it is built: it has two
# networks, $G(\cdot) = G_s(G_m(\cdot))$.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Diagram: z enters the mapping network, which gives w. From w one arrow goes to each layer of the synthesis network. The layers stand in a row from a learnt grid of 4 by 4 cells on the left to the image on the right, and are taller the finer their grid. Below, the steps inside a layer: features, times the style, one number per channel, convolution, demodulation, noise and bias and leaky ReLU, features"}, "figure": {"caption": "A style-based generator, with the layers of the generator of this run (counted as in StyleGAN2). Numbers in the boxes count the layers, numbers below them are the sides of their grids. The random numbers do not enter at the beginning: every layer is told through w how to work.", "name": "fig-generators-layers"}}
sides = [
    min(generator.resolution, 4 << ((layer + 1) // 2))
    for layer in range(generator.num_ws)
]
diagrams.style_layers(sides)

# %% [markdown]
# We go through the parts: the mapping network, truncation, and what a layer does with its style.
#
# ### The mapping network: from z to w
#
# The *mapping network* $G_m$ takes the *input latent* $\mathbf{z}$ and gives the *intermediate latent* $\mathbf{w}$. It
# consists of a few fully connected layers. Why is it there? The numbers in $\mathbf{z}$ are drawn independently from
# a normal distribution, whatever the images are like. But properties of images are not independent: for example,
# beards are frequent on some kinds of face and rare on others. If $\mathbf{z}$ went into the layers directly, the
# layers would have to bend a round cloud into the shape of the data. The mapping network does the bending first, so
# $\mathbf{w}$ may have a distribution of any shape, and the layers that draw have an easier task {cite}`karras2019`.

# %%
from stylemixseg.generators.base import seeded_z

z = seeded_z(P.queries.examples[0], generator.z_dim)  # (1, z_dim)
ws = generator.mapping(z)  # (1, num_ws, w_dim): one row for each layer
assert (ws == ws[:, :1]).all()  # all rows are equal: w, repeated

# %% tags=["remove-input"]
display(
    Markdown(
        f"Generator `{P.generator}`: z has {generator.z_dim} numbers, w has "
        f"{generator.w_dim}. There are {generator.num_ws} layers, so `ws` has "
        f"the shape {tuple(ws.shape)}."
    )
)

# %% [markdown]
# :::{note}
# **Faces.** With the generator `faces`, nobody in these pictures exists: a network drew them. It learnt from photos of
# real people, which are for non-commercial use only, as the network is. The [start page](../intro.md) says more.
# :::
#
# A walk on a straight line from one $\mathbf{w}$ to another gives a picture at every step. No training image lies
# between the two ends, so all that you see in the middle the network has made up.

# %% mystnb={"image": {"alt": "Two rows of seven pictures each; in each row the left picture changes step by step into the right one"}, "figure": {"caption": "Walks in w. The ends are two seeds each. Everything changes together: pose, shapes and colours, because all layers get the same w.", "name": "fig-generators-walk"}}
from stylemixseg.mixing import query_image

ends = [query_latent(generator, P, seed) for seed in P.queries.examples]
image_grid(
    [
        [
            query_image(
                generator, torch.lerp(start, end, share), P.method.resolution
            )
            for share in np.linspace(0, 1, 7)
        ]
        for start, end in (ends[:2], ends[-2:])
    ]
)

# %% [markdown]
# ### Truncation
#
# Some $\mathbf{w}$ are rare, since they lie far from most others. The generator saw few training images of that kind,
# so its pictures there are often odd, as were the threads between the heaps above. *Truncation* avoids them. Let
# $\bar{\mathbf{w}}$ be the mean of many $\mathbf{w}$. Then replace
#
# ```{math}
# :label: eq-generators-truncation
# \mathbf{w} \leftarrow \bar{\mathbf{w}} + \psi \, (\mathbf{w} - \bar{\mathbf{w}}), \qquad 0 \le \psi \le 1 .
# ```
#
# At $\psi = 1$ nothing changes. At $\psi = 0$ every latent becomes $\bar{\mathbf{w}}$, and every image the same *mean
# image*. In between you trade variety for pictures that look usual.

# %% mystnb={"image": {"alt": "Three rows of five pictures. The first column shows the same average picture three times. From left to right each row becomes a picture of its own"}, "figure": {"caption": "Truncation. Each row is one seed. Left, psi = 0: the mean image, equal in all rows. Right, psi = 1: the image of the seed itself. For faces, watch how the pose, the hair and the background return, and how the expression becomes stronger.", "name": "fig-generators-truncation"}}
psis = (0.0, 0.25, 0.5, 0.75, 1.0)
image_grid(
    [
        [
            query_image(
                generator,
                generator.mapping(seeded_z(seed, generator.z_dim), psi),
                P.method.resolution,
            )
            for psi in psis
        ]
        for seed in P.queries.examples[:3]
    ],
    column_titles=[f"psi = {psi}" for psi in psis],
    row_titles=[f"seed {seed}" for seed in P.queries.examples[:3]],
)

# %% [markdown]
# ### Modulation: what a layer does with its style
#
# A layer of $G_s$ is a convolution. Its input has some *channels*, each a map of features over the grid. First the
# layer turns its row of $\mathbf{w}$ into a *style* $\mathbf{s}$ by a fully connected layer: one number for each input
# channel. Then {cite}`karras2020`
#
# 1. *modulate*: multiply input channel $i$ by $s_i$, at all positions alike. The same is reached by multiplying the
#    kernel, $K'_{oi} = s_i K_{oi}$;
# 2. *demodulate*: divide the kernel of each output channel $o$ by its length, so that the outputs keep unit variance
#    whatever the style is:
#
# ```{math}
# :label: eq-demodulation
# K''_{oi} = s_i K_{oi} \Big/ \sqrt{\textstyle\sum_{i,u,v} \bigl(s_i K_{oiuv}\bigr)^2 + \varepsilon} .
# ```
#
# Here $u, v$ run over the 3 by 3 positions of the kernel. In PyTorch it is a few lines:


# %%
def modulated_convolution(x, kernel, style):
    """x (N, I, h, w), kernel (O, I, 3, 3), style (N, I) -> (N, O, h, w)."""
    own = kernel * style[:, None, :, None, None]  # (N, O, I, 3, 3): modulate
    length = own.square().sum(dim=(2, 3, 4), keepdim=True).add(1e-8).sqrt()
    own = own / length  # demodulate
    images = [
        F.conv2d(one[None], k, padding=1) for one, k in zip(x, own)
    ]  # every image has a kernel of its own
    return torch.cat(images)


# %% [markdown]
# Is that what the package's StyleGAN2 computes? It multiplies the features in place of the kernel, because a whole
# batch can then share one convolution. The result must be the same. We take a layer of a StyleGAN2 with random
# weights: it draws nothing, but what it computes is all that matters here.

# %%
from stylemixseg.generators.zoo import load_generator

network = load_generator("toy-stylegan", engine="torch")
layer = network.blocks[2].conv1  # a convolution on a grid of 16 x 16
w = network.mapping(seeded_z([0, 1, 2], network.z_dim))[:, 0]  # (3, w_dim)
x = torch.randn(3, layer.weight.shape[1], 16, 16)
with torch.no_grad():
    theirs = layer(x, w, "none")  # without noise
    ours = modulated_convolution(x, layer.weight, layer.affine(w))
    ours = F.leaky_relu(ours + layer.bias[:, None, None], 0.2) * 2**0.5
assert torch.allclose(ours, theirs, atol=1e-4)
difference = float((ours - theirs).abs().max())

# %% tags=["remove-input"]
display(Markdown(f"Largest difference from the package's: {difference:.1e}."))

# %% [markdown]
# Two parts of the layer are left. The *noise* is one fixed or random value for each cell, which gives fine detail such
# as single hairs; in this book it is fixed, so that the same $\mathbf{w}$ always gives the same image. The
# *leaky ReLU* is the usual non-linear step.
#
# ## Why a style recolours and does not move things
#
# Look again at step 1. A style is *one number per channel*. It multiplies the channel everywhere by the same factor,
# so it has no way to say "more on the left". Where a channel is zero, it stays zero.
#
# The next cell shows this with a layer made by hand. Three channels each hold one shape. A modulated convolution of
# 1 by 1 turns them into red, green and blue. Four styles give four colourings, and every shape stays where it is.

# %%
row, column = torch.meshgrid(
    torch.arange(64.0), torch.arange(64.0), indexing="ij"
)
disc = (row - 24).square() + (column - 22).square() < 15**2
box = (row > 34) & (row < 56) & (column > 34) & (column < 58)
features = torch.stack([disc, box, ~(disc | box)]).float()  # (3, 64, 64)
kernel = torch.tensor(
    [[0.9, 0.2, 0.4], [0.3, 0.8, 0.5], [0.2, 0.5, 0.9]]
)  # (colours, channels)
styles_by_hand = torch.tensor(
    [[1.0, 1.0, 1.0], [0.3, 1.0, 0.8], [1.0, 0.2, 0.5], [0.6, 0.9, 0.1]]
)  # (4, channels)
coloured = [
    torch.einsum("oi,i,ihw->hwo", kernel, style, features).numpy()
    for style in styles_by_hand
]

# %% mystnb={"image": {"alt": "Three black and white maps, a disc, a box and the background, and four coloured pictures in which disc, box and background have other colours and the same places"}, "figure": {"caption": "Top: three feature channels. Bottom: four styles of one layer. A style changes the colour of every pixel of a shape in the same way, and each shape in its own way. That is what the book's method looks for.", "name": "fig-generators-by-hand"}}
image_grid([[*(map_.numpy() for map_ in features), None], coloured])

# %% [markdown]
# This explains why *one* layer does not move things. But a style changes which channels the next convolution sees
# most of, and one channel may say "eye here" while another says "eye one cell further left". A convolution of 3 by 3
# carries information one cell further. So layers can move things, and how far depends on the grid:
#
# - On a grid of 4 by 4, one cell is a quarter of the image. Layers there decide the pose.
# - On a grid of 64 by 64, one cell is 1/64 of the image. Layers there can move an outline a little, and no more.
#
# Demodulation adds no exception. It divides by a length that is computed from the kernel and the style only,
# not from the features, so no information crosses the image by it. Exercise {ref}`ex-generators-reach` adds up how far
# all layers together can reach.
#
# ### On the real generator
#
# We choose a *cutoff* $c$, and give the layers from $c$ on the rows of another latent. Then we do the reverse, and
# change the layers below $c$. Both change the picture. Do both change it in the same way?

# %%
from stylemixseg.mixing import draw_style_latents, mix_styles

c = P.method.cutoff
w0 = ends[0]
w1 = draw_style_latents(generator, 1, P.method.style_seed)
pictures = {
    "image of w0": w0,
    f"from layer {c} on": mix_styles(w0, w1, c),
    f"below layer {c}": mix_styles(w1, w0, c),
    "image of w1": w1,
}
pictures = {
    name: query_image(generator, latent, P.method.resolution)
    for name, latent in pictures.items()
}


def outlines(image):
    """How strongly the brightness changes at each pixel, (H, W)."""
    grey = image.astype(np.float32).mean(axis=-1)
    return np.hypot(*np.gradient(grey))


query, above, below, other = pictures.values()


# %% mystnb={"image": {"alt": "Four columns: the image of a first latent, the image with the later layers changed, the image with the early layers changed, the image of a second latent. Below each its outlines as bright lines, and the difference from the first image. With later layers changed the outlines are those of the first image; with early layers changed they are those of another"}, "figure": {"caption": "What changes when some layers read w1 in place of w0: those from the cutoff on (second column), or those below it (third column). Top: the images. Middle: their outlines. Bottom: how far the colours are from the image of w0 (white is far). With the later layers changed, whole parts get another colour, and the outlines are those of w0. With the early layers changed, the outlines are other ones, and the largest differences lie where one thing took the place of another.", "name": "fig-generators-above-below"}}
def grey_map(values, top):
    return np.clip(values / top, 0, 1)


drawn = [outlines(image) for image in pictures.values()]
changes = [
    np.abs(image.astype(np.float32) - query).mean(axis=-1)
    for image in pictures.values()
]
image_grid(
    [
        [*pictures.values()],
        [grey_map(map_, np.quantile(map_, 0.98)) for map_ in drawn],
        [grey_map(map_, 128) for map_ in changes],
    ],
    column_titles=[*pictures],
    row_titles=["image", "outlines", "difference"],
)

# %% [markdown]
# To see whether this holds for more than one pair, we measure two things for several queries and styles: the mean
# difference of the colours, in levels of 0 to 255, and the *correlation of the outlines* with those of the query,
# which is 1 where all outlines stayed and near 0 where they have nothing in common. Both measures are ours.

# %% tags=["hide-input"]
others = draw_style_latents(generator, 4, P.method.style_seed)
CHANGED = {
    "above": f"layers from {c} on",
    "below": f"layers below {c}",
}
colour_change = {name: [] for name in CHANGED}
outline_kept = {name: [] for name in CHANGED}
for own in ends:
    image = query_image(generator, own, P.method.resolution)
    outline = outlines(image).ravel()
    for name in CHANGED:
        mixes = [
            query_image(
                generator,
                mix_styles(own, style[None], c)
                if name == "above"
                else mix_styles(style[None], own, c),
                P.method.resolution,
            )
            for style in others
        ]
        colour_change[name].append(
            [np.abs(mix.astype(np.float32) - image).mean() for mix in mixes]
        )
        outline_kept[name].append(
            [np.corrcoef(outlines(mix).ravel(), outline)[0, 1] for mix in mixes]
        )
rows = []
for name, words in CHANGED.items():
    cells = []
    for key, values in (
        ("colour_change", colour_change[name]),
        ("outline_kept", outline_kept[name]),
    ):
        recorder.add_mean(
            f"{P.prefix}generators.{name}.{key}",
            values,
            note=f"c = {c}; {len(others)} styles per query",
        )
        cells.append(value_text(np.mean(values), bootstrap_mean(values)))
    rows.append([words, *cells])
display(
    Markdown(
        f"{len(ends)} queries, {len(others)} other latents each, c = {c}. "
        "Means, with 95 % bootstrap intervals over the queries. So few queries "
        "give rough intervals.\n\n"
        + table(
            ["changed", "colour difference", "correlation of outlines"], rows
        )
    )
)

# %% [markdown]
# Compare the two rows. If the styles above the cutoff only recolour, the colours differ much while the outlines stay.
# They do not stay perfectly: a new colour changes the contrast of an outline, too, and the layers just above the cutoff
# can move it a little.
#
# ## Distillation: a small generator that learnt from a large one
#
# StyleGAN2 is slow on a CPU. The generator `faces` of this book is MobileStyleGAN {cite}`belousov2021`, a *student* that
# was *distilled* from StyleGAN2 {cite}`hinton2015`. The idea: once a good generator exists, the problem "no target
# exists" is gone. For every latent the *teacher's* image is the target, and the student can be trained by ordinary
# regression. We can do that with our points. The student has a quarter of the teacher's width.

# %%
torch.manual_seed(0)
student = small_network(Z_DIM, 2, width=16)
step_student = torch.optim.Adam(student.parameters(), 1e-2)
for _ in range(STEPS):
    some_z = torch.randn(BATCH, Z_DIM)
    target = toy_generator(
        some_z
    ).detach()  # what the teacher makes of the same z
    loss = F.mse_loss(student(some_z), target)
    step_student.zero_grad()
    loss.backward()
    step_student.step()
with torch.no_grad():
    by_student = student(watched_z)
torch.set_num_threads(threads)


def weights_of(network):
    return sum(parameter.numel() for parameter in network.parameters())


# %% mystnb={"image": {"alt": "Two pictures of the plane: the teacher's points lie in eight heaps joined by thin threads, the student's points lie in much the same places with broader threads"}, "figure": {"caption": "Teacher (left) and student (right), on the same z. The student never saw the training set or a discriminator.", "name": "fig-generators-student"}}
figure, axes = plt.subplots(1, 2, figsize=(5, 2.7), layout="constrained")
for axis, points, name in zip(
    axes, (balanced[-1][1], by_student), ("teacher", "student")
):
    axis.plot(*TRAINING_SET.T, ".", color="#0072b2", markersize=2)
    axis.plot(*points[:1000].T, ".", color="black", markersize=2)
    axis.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xticks=[], yticks=[])
    axis.set_aspect("equal")
    axis.set_title(name, fontsize=9)
plt.close(figure)
figure

# %% tags=["hide-input"]
modes, good = judge_points(by_student)
recorder.add(
    f"{P.prefix}generators.student.modes", modes, note="of 8; one training"
)
recorder.add(
    f"{P.prefix}generators.student.good", good, note="share; one training"
)
with torch.device("meta"):  # shapes alone: nothing is loaded or computed
    teacher = StyleGAN2(
        Architecture(
            z_dim=512,
            w_dim=512,
            mapping_layers=8,
            channels=tuple(min(32768 // (4 << i), 512) for i in range(9)),
        )
    )
    mobile = MobileStyleGAN()
rows = [
    [
        name,
        f"{weights_of(network):,}",
        f"{weights_of(network.mapping_network):,}",
        f"{weights_of(network) - weights_of(network.mapping_network):,}",
    ]
    for name, network in (
        ("StyleGAN2 (config-f, 1024 px)", teacher),
        ("MobileStyleGAN", mobile),
    )
]
display(
    Markdown(
        f"The student of our points has {weights_of(student):,} weights, its "
        f"teacher {weights_of(toy_generator):,}. The student finds {modes} of "
        f"{MODES} modes with {good:.0%} good points.\n\n"
        "The real pair, counted from the package's networks (without the fixed "
        "maps of noise):\n\n"
        + table(["network", "weights", "of them mapping", "synthesis"], rows)
    )
)

# %% [markdown]
# MobileStyleGAN has the mapping network of its teacher, and a synthesis network with cheaper convolutions. The losses of
# its training compare pixels with the teacher's and features of the two images, and an adversarial loss keeps the
# images sharp {cite}`belousov2021`. Three consequences for this book:
#
# - **It has layers and styles as its teacher has**, in the same order, so the cutoff $c$ means the same in both. Its
#   layers scale input channels by a style, too. Demodulation is folded into its weights, and its noise is fixed.
# - **It can hardly know more than its teacher.** What the teacher draws badly or never draws, the student was never
#   shown. A student of a collapsed teacher collapses as well.
# - **Its licence is not only its own.** The network was distilled from StyleGAN2, and the photos behind both are for
#   non-commercial use. [The introduction](../intro.md) says what follows.
#
# The student is another generator than the paper's, so numbers that are measured on it are not the paper's numbers. The
# [ledger](../generated/ledger.md) keeps the two apart.
#
# ## What the next chapters need
#
# Nothing says that all layers must get the same $\mathbf{w}$. In code a latent is an array `ws` of the shape `(N,
# num_ws, w_dim)`: for each of $N$ images one row for each layer. From here on the book uses these words:
#
# | word | meaning |
# |---|---|
# | layer | one of the $l$ convolutions of $G_s$ that read a row of $\mathbf{w}$, counted from 0 on the coarsest grid |
# | latent | all $l$ rows, `ws`; equal rows when they come from the mapping network |
# | cutoff $c$ | the first layer that gets rows of *another* latent; the layers $0 \dots c - 1$ keep theirs |
# | structure latent $\mathbf{w}_0$ | the latent that gives the rows below $c$, and so what is where |
# | style latent $\mathbf{w}_1$ | the latent that gives the rows from $c$ on, and so the colours |

# %% tags=["hide-input"] mystnb={"image": {"alt": "The diagram of the layers again, with a dashed line at the cutoff. A first latent, blue, goes to the layers left of the line, and a second latent, orange, to those right of it"}, "figure": {"caption": "Style mixing, as in Figure 4 of the paper, at the cutoff of this run. The layers on coarse grids get the structure latent, the others the style latent.", "name": "fig-generators-cut"}}
diagrams.style_layers(sides, cutoff=c)

# %% [markdown]
# You have used it above: the image whose layers from $c$ on were changed *is* a style-mixed image. The method of this book makes many such images
# of one query, and looks for pixels that change colour together. Next: [the tour](01_tour.ipynb), the whole method on
# one picture. [Style mixing](02_style_mixing.ipynb) then asks which layers hold what.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-generators-saturating
# The first paper on GANs writes the game with *one* loss: $G$ maximises what $D$ minimises, so that
# $L_G = -\operatorname{softplus}\bigl(D(G(\mathbf{z}))\bigr)$. Early in training the discriminator is sure that
# generated images are false, say $D(G(\mathbf{z})) = -8$. Compute the derivative of this loss and of the one in
# {eq}`eq-gan` with respect to $D(G(\mathbf{z}))$ there. Which generator learns?
# ```
#
# ```{solution-start} ex-generators-saturating
# :class: dropdown
# ```
#
# The derivative of $\operatorname{softplus}(t)$ is $\operatorname{sigmoid}(t)$. With the single loss it is
# $-\operatorname{sigmoid}(-8)$, nearly 0: the generator gets no signal exactly when it is worst. With {eq}`eq-gan` it
# is $-\operatorname{sigmoid}(8)$, nearly $-1$. Both losses want $D(G(\mathbf{z}))$ to grow, but only the second one
# insists on it while $D$ is winning. It is called the *non-saturating* loss. The cell computes both.

# %%
guess = torch.tensor(-8.0, requires_grad=True)
(one_loss,) = torch.autograd.grad(-F.softplus(guess), guess)
(two_losses,) = torch.autograd.grad(F.softplus(-guess), guess)
print(f"one loss: {one_loss:.5f}   non-saturating: {two_losses:.5f}")

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-generators-psi
# Write `truncate(w, mean, psi)` after {eq}`eq-generators-truncation`. You draw 100 latents with $\psi = 0.5$. By which
# factor is their variance around $\bar{\mathbf{w}}$ smaller than at $\psi = 1$? Predict it, then measure it:
# `generator.mapping(seeded_z(range(100), generator.z_dim))[:, 0]` gives 100 latents that are not truncated, and
# `generator.w_avg` is the mean latent.
# ```
#
# ```{solution-start} ex-generators-psi
# :class: dropdown
# ```
#
# Truncation multiplies each difference $\mathbf{w} - \bar{\mathbf{w}}$ by $\psi$, so the variance is multiplied by
# $\psi^2 = 0.25$: the spread is halved, and the variance is a quarter. This holds in $\mathbf{w}$. In the images it
# need not hold, because $G_s$ is not linear.


# %% tags=["answer"]
def truncate(w, mean, psi):
    """Truncate latents.

    Args:
        w: tensor (N, w_dim), the latents.
        mean: tensor (w_dim,), the mean latent.
        psi: number in 0..1.

    Returns:
        Tensor (N, w_dim).
    """
    return mean + psi * (w - mean)


# %% tags=["check"]
def check_truncate():
    """Say whether `truncate` is right, and what to look at if not."""
    import torch

    from stylemixseg.feedback import expect

    w = torch.tensor([[3.0, 5.0], [1.0, -1.0]])
    mean = torch.tensor([1.0, 1.0])
    for psi, right, hint in (
        (0.0, [[1, 1], [1, 1]], "at psi = 0 every latent becomes the mean"),
        (1.0, w, "at psi = 1 nothing changes"),
        (
            0.5,
            [[2, 3], [1, 0]],
            "psi multiplies the difference from the mean, not the latent",
        ),
    ):
        call = f"truncate(w, mean=[1, 1], psi={psi})"
        expect(call, truncate(w, mean, psi), right, hint, tolerance=1e-6)
    print("Right. Every latent moves on a straight line to the mean.")


check_truncate()

# %%
many_z = seeded_z(range(100), generator.z_dim)
many_w = generator.mapping(many_z)[:, 0]
variance = {
    psi: (truncate(many_w, generator.w_avg, psi) - generator.w_avg)
    .square()
    .mean()
    for psi in (0.5, 1.0)
}
print(f"ratio of the variances: {variance[0.5] / variance[1.0]:.4f}")

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-generators-demodulation
# Multiply the whole style by 10, for all channels. What happens to the output of `modulated_convolution`? And what
# happens if you multiply only half of the channels by 10?
# ```
#
# ```{solution-start} ex-generators-demodulation
# :class: dropdown
# ```
#
# A factor that all channels share is divided out again by {eq}`eq-demodulation`, so nothing changes (up to
# $\varepsilon$ and rounding). Only the *ratios* of the channels matter: a style says which features count more than
# others, not how large the output is. With half of the channels multiplied the ratios change, and so does the output.

# %%
style = torch.rand(3, layer.weight.shape[1]) + 0.5
half = style.clone()
half[:, ::2] *= 10
with torch.no_grad():
    plain, all_times_10, half_times_10 = (
        modulated_convolution(x, layer.weight, s)
        for s in (style, 10 * style, half)
    )
print(f"all channels:  {(all_times_10 - plain).abs().max():.1e}")
print(f"half of them:  {(half_times_10 - plain).abs().max():.1e}")

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-generators-reach
# A convolution of 3 by 3 carries information at most one cell further. How far, as a share of the image's side, can
# the layers from $c$ on carry it all together? Write `reach(layer_sides, cutoff)`. Then test it: change the
# features of one cell before layer $c$ of `network`, and find how far away the image changes. For this the layers can
# be run one by one: `network.start()` gives the state before layer 0, a pair of features and image, and
# `network.run_layers(state, ws, first, stop)` gives the state after the layers from `first` up to but not including
# `stop`. There are `network.num_ws` layers.
# ```
#
# ```{solution-start} ex-generators-reach
# :class: dropdown
# ```
#
# One cell of a grid with $s$ cells per side is $1/s$ of the image. The steps add up:
# $\sum_{j \ge c} 1 / s_j$. From a middle cutoff on this is a small part of the image, so things stay nearly where they
# are. For $c = 0$ it is most of the image, so the layers can move everything.
#
# The test uses the random StyleGAN2, whose layers can be run one by one. Its up-sampling filter is 4 wide in place
# of 3, and the image that grows beside the features is enlarged by the same filter, so it can reach a little further
# than the sum says. And the sum is only a limit: trained networks need not use it.


# %% tags=["answer"]
def reach(layer_sides, cutoff):
    """How far the layers from a cutoff on can carry information.

    Args:
        layer_sides: list of int, cells per side of each layer's grid.
        cutoff: number of the first layer that counts.

    Returns:
        The distance as a share of the image's side.
    """
    return sum(1 / side for side in layer_sides[cutoff:])


# %% tags=["check"]
def check_reach():
    """Say whether `reach` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    for cutoff, right, hint in (
        (2, 1 / 8 + 1 / 16, "each layer from the cutoff on adds one cell"),
        (3, 1 / 16, "the layer with the number of the cutoff counts, too"),
        (4, 0, "at the number of layers no layer is left"),
    ):
        call = f"reach([4, 8, 8, 16], {cutoff})"
        expect(call, reach([4, 8, 8, 16], cutoff), right, hint, tolerance=1e-9)
    print("Right. One cell of a grid with s cells per side is 1 / s.")


check_reach()


# %%
def measured_reach(cutoff):
    """The same, seen in the image of `network` when one cell changes."""
    latent = network.mapping(seeded_z(0, network.z_dim))
    state = network.run_layers(network.start(), latent, 0, cutoff)
    changed = state[0].clone()
    cell = changed.shape[-1] // 2
    changed[:, :, cell, cell] += 10
    images = [
        network.run_layers((map_, state[1]), latent, cutoff, network.num_ws)[1]
        for map_ in (state[0], changed)
    ]
    columns = (images[0] - images[1]).abs().amax(dim=(0, 1, 2)) > 1e-4
    where = columns.nonzero().flatten() / network.resolution
    edges = cell / changed.shape[-1], (cell + 1) / changed.shape[-1]
    return max(float(edges[0] - where[0]), float(where[-1] - edges[1]))


toy_sides = [
    min(network.resolution, 4 << ((j + 1) // 2)) for j in range(network.num_ws)
]
with torch.no_grad():
    reaches = [
        [str(cut), f"{reach(toy_sides, cut):.3f}", f"{measured_reach(cut):.3f}"]
        for cut in range(2, network.num_ws, 2)
    ]
display(
    Markdown(
        f"`{P.generator}`, by the sum: "
        + ", ".join(
            f"c = {cut}: {reach(sides, cut):.3f}"
            for cut in range(0, generator.num_ws, 2)
        )
        + ".\n\nRandom StyleGAN2:\n\n"
        + table(["c", "by the sum", "measured"], reaches)
    )
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - A GAN needs no target images: a discriminator tells the generator where its images differ from real ones. If the
#   discriminator is too slow, the generator repeats few images. This is mode collapse.
# - StyleGAN2 maps $\mathbf{z}$ to $\mathbf{w}$, and every layer reads $\mathbf{w}$ as a style: one factor for each
#   channel. Demodulation keeps only the ratios of these factors.
# - Truncation moves $\mathbf{w}$ towards the mean latent: less variety, fewer odd images.
# - A style has no position. Layers can move things at most by a few cells of their grid, so the layers above a middle
#   cutoff recolour, and those below it decide what is where.
# - The book's face generator is a student of StyleGAN2. It has the same order of layers, and it inherits its
#   teacher's limits and terms.
#
# Next: [the tour](01_tour.ipynb).

# %% tags=["remove-cell"]
_ = recorder.write()  # its path is of this machine
