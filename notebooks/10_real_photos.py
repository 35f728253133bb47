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
# # Real photos
#
# This chapter goes from a photograph to its mask: we find a latent whose image resembles the photo, mix its styles,
# cluster the pixels, and choose the clusters of the foreground.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Say what inversion is, and why the method needs it for a photo.
# - Tell the spaces W and W+ apart, and say what the second one costs.
# - Bring a photo into the generator's frame, and bring its mask back into the photo.
# - Invert by optimisation, by an encoder, and by both, and compare quality with time.
# - Measure what an inversion loses. Split the loss of a mask into the rule's part and the part before the rule, and
#   say why inversion and clusters cannot be told apart completely.
# - Read the CelebAMask-HQ column of Table 1 beside our own measurement.
#
# **Prerequisites**
#
# - [Style mixing](02_style_mixing.ipynb): a latent has one vector per layer.
# - [Foreground rules](05_foreground_rules.ipynb) and [evaluation](06_evaluation.ipynb): rules, oracle, IoU.
# - Gradient descent, as in a first course of deep learning.
#
# **Run time:** about 5 minutes on two CPU cores (profile `cpu`), about 4 where there is no CelebAMask-HQ.
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
import csv
import time
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import torch
from IPython.display import Markdown, display
from skimage import data

from stylemixseg.evaluation.imagescores import folder_scores, read_scores
from stylemixseg.evaluation.results import load_run, measurements, scores_path
from stylemixseg.evaluation.tables import (
    IOUS,
    measured_cells,
    measured_text,
    reported_text,
    table,
)
from stylemixseg.experiments import student as student_experiment
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.photos import (
    PhotoRun,
    evaluation_photos,
    masks,
    measure_photos,
)
from stylemixseg.experiments.profile import load_profile
from stylemixseg.experiments.student import run_student
from stylemixseg.generators.zoo import with_engine
from stylemixseg.inversion.kinds import INVERSIONS
from stylemixseg.inversion.pivotal import pivotal_tuning
from stylemixseg.ledger.page import paper_values
from stylemixseg.metrics import bootstrap_mean, confusion
from stylemixseg.models.references import FaceParser
from stylemixseg.segmenter import StyleMixSegmenter, enlarge
from stylemixseg.ledger.losses import loss_shares
from stylemixseg.viz import diagrams
from stylemixseg.viz.compositing import (
    agreement_map,
    boundary_windows,
    clusters_to_color,
    composite,
    overlay,
)
from stylemixseg.viz.plotting import image_grid, image_row
from stylemixseg.viz.widgets import picture_slider

# Its generator is in PyTorch, because inversion needs gradients.
run = PhotoRun(load_profile(profile))
# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "10_real_photos",
    profile,
    results,
    seed="method.style_seed",
    generator=run.generator,
)
painter = run.segmenter.generator  # the same, on the fastest engine
parser = FaceParser.load()
side = min(256, generator.resolution)  # of the pictures in this chapter

# %% [markdown]
# ## Why a photo needs a latent
#
# The method mixes latents: it keeps the first $c$ layers of $\mathbf{w}_0$ and takes the others from a style. A photo
# consists of pixels and has no layers that could be kept. So first we look for a latent whose image resembles the
# photo $\mathbf{X}$:
#
# ```{math}
# :label: eq-inversion
# \mathbf{w}_0 = \arg\min_{\mathbf{w}} \; D\bigl(G_s(\mathbf{w}), \mathbf{X}\bigr),
# ```
#
# where $D$ measures how different two images are. This is called *inversion*. The paper does it with an encoder called
# ReStyle {cite}`alaluf2021` to fill the CelebAMask-HQ half of its Table 1 (section 4.3). All later steps are the same
# as before: style mixes, summary tensor, K-means, rule.
#
# ### W and W+
#
# The mapping network turns random numbers into *one* vector of $d$ numbers, and every layer gets a copy of it. The
# latents with $l$ equal layers form the space **W**. Every image that the generator was trained to produce has its
# latent there.
#
# Your photo most likely has none. An image has many more pixels than $d$, so the images of W fill only a small part of
# the space of all images, and a photo that was not used in training is unlikely to be among them. **W+** lets every
# layer have a vector of its own {cite}`abdal2019`. That makes $l$ times as many numbers, so more images can be
# reached. The price is that the generator was never trained on such latents, so nothing guarantees that they behave as
# others do: a latent whose image resembles the photo well may give poor style mixes. That is why the search is kept
# near the latents that the generator knows.
#
# ## The frame
#
# During its training, a generator of faces saw every face at the same place and in the same size. Its training photos,
# FFHQ, were cropped by a rule {cite}`karras2019`: the positions of the eyes and the mouth determine an oriented
# square, here called a *frame*. An eye that stands 50 pixels too low is at a place where the generator draws no eyes.
# So the photo must be brought into that square first, and at the end the mask must be brought back into the photo's
# own pixels.
#
# Our photo is of the astronaut Eileen Collins, taken by NASA. It is in the public domain and is installed with
# scikit-image. Four points, which we read off the picture by hand, give the frame.

# %%
from stylemixseg.mixing import to_generator_range
from stylemixseg.photos.alignment import Frame

astronaut = data.astronaut()  # (512, 512, 3) uint8
frame = Frame.from_landmarks(
    left_eye=(203, 101),
    right_eye=(247, 103),
    mouth_left=(205, 141),
    mouth_right=(243, 142),
    size=astronaut.shape[:2],
)
crop = frame.crop(astronaut, round(frame.side))
photo = to_generator_range(crop)  # (1, 3, H, W) in [-1, 1], H = W

# %% tags=["remove-input"]
display(
    Markdown(
        f"The frame has {frame.side:.0f} pixels per side in this photo of "
        f"{len(astronaut)}."
    )
)

# %% mystnb={"image": {"alt": "The portrait of an astronaut with a bright square round her head, beside it the content of the square, upright"}, "figure": {"caption": "The photo with its frame, and what lies in the frame. Where a frame reaches beyond the photo, the picture is mirrored at its border. Photo: NASA, public domain.", "name": "fig-frame"}}
image_row(
    [overlay(astronaut, frame.covered()), frame.crop(astronaut, side)],
    ["photo and frame", "in the frame"],
)

# %% [markdown]
# `Frame.from_box` takes a box drawn by hand. `Frame.whole` takes the largest square of a photo that is aligned already,
# as those of CelebAMask-HQ nearly are. To have the points found for you, install the extra `align`:
#
# ```python
# from stylemixseg.photos.alignment import choose_face, find_faces
#
# # needs `pip install 'stylemixseg[align]'`
# face = choose_face(find_faces(pixels), "largest")
# frame = Frame.from_landmarks(*face.landmarks, size=pixels.shape[:2])
# ```
#
# ## Inversion by optimisation
#
# The generator is differentiable, so {eq}`eq-inversion` can be solved by gradient descent on $\mathbf{w}$; the weights
# stay as they are. We start at the mean latent $\bar{\mathbf{w}}$ and minimise
#
# ```{math}
# :label: eq-projector
# \frac{1}{\lvert \mathcal{U} \rvert} \sum_{u \in \mathcal{U}} \operatorname{mean}
# h\bigl(A_u G_s(\mathbf{w}) - A_u \mathbf{X}\bigr)
# + \lambda_\rho \, \rho(\mathbf{w}) + \lambda_\delta \, \delta(\mathbf{w}) .
# ```
#
# - $A_u$ averages an image down to $u$ pixels on each side, and the set $\mathcal{U}$ holds several such sizes. The
#   small sizes give a useful gradient even when the two layouts are far apart, where single pixels give none.
# - $h$ is the smooth absolute value: it is quadratic near 0 and linear far from it, so single large differences do not
#   dominate.
# - $\rho(\mathbf{w})$ is the squared distance to $\bar{\mathbf{w}}$, in units of the latents' own spread. It is about
#   1 for latents of the generator. This term is the *prior*, because it keeps the latent plausible; $\lambda_\rho$ is
#   its weight.
# - $\delta(\mathbf{w})$ measures how far the vectors of the layers lie apart, and $\lambda_\delta$ is its weight. It
#   is 0 in W, where all layers are equal.
#
# The search runs in *whitened* coordinates, in which the generator's own latents spread equally in all directions. The
# reason is that Adam {cite}`kingma2015` changes every coordinate by about the same amount. Without whitening, it would
# change the latent by that amount also in directions in which the generator's latents hardly differ, and so leave the
# latents that the generator knows. (This chapter does not compare the two.)
#
# Most papers add LPIPS {cite}`zhang2018`, a distance between features of a trained network. We leave it out by
# default, because every such network learnt from labels, whereas this method should work without any.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Diagram of a loop: a latent enters the generator, which gives an image. The image and the photo enter a difference. A dashed arrow leads from the difference back to the latent"}, "figure": {"caption": "Inversion by optimisation. Weights and photo stay fixed, and the gradient of the difference (dashed) changes the latent only. An encoder, which comes below, gives a better start.", "name": "fig-inversion-loop"}}
diagrams.inversion_loop()

# %% tags=["remove-output"]
from stylemixseg.inversion.losses import shrunk
from stylemixseg.mixing import to_uint8

projector = run.inverters["projector"]
small = min(128, generator.resolution)
seen = {}


def keep(step, ws, image):
    """Keep the image of a step, which is at hand and so costs nothing."""
    seen[step] = to_uint8(shrunk(image, small))[0]


found = {"projector": projector(photo, on_step=keep)}

# %% mystnb={"image": {"alt": "A row of reconstructions: it begins with the average image and ends close to the photo, which is the last picture"}, "figure": {"caption": "The reconstruction during the optimisation, from the average image towards the photo. The number of steps between neighbouring pictures is always the same; the photo is on the right.", "name": "fig-steps"}}
from stylemixseg.mixing import query_image


def painted(ws):
    """The image of one latent, (side, side, 3) uint8."""
    return query_image(painter, ws, side)


target = frame.crop(astronaut, side)
way = [painted(ws) for ws in found["projector"].steps]
image_row([*way, target], ["start", *[""] * (len(way) - 2), "result", "photo"])

# %% [markdown]
# Move the slider to go through the steps, with the photo on the left. The first image is the average face. Watch which
# parts fit early, and which ones late or never.

# %% tags=["hide-input"]
chosen = sorted({round(step) for step in np.linspace(0, max(seen), 16)})
beside = frame.crop(astronaut, small)
picture_slider(
    [enlarge(np.hstack([beside, seen[step]]), 256) for step in chosen],
    [f"photo and reconstruction, step {step}" for step in chosen],
    name="step",
    width=512,
)

# %% [markdown]
# ### A cheaper preview
#
# Nearly all the time of a step is spent in the layers above 128 pixels, although the loss averages their detail away
# again (the cell below measures it). For the face generator the package therefore has a *preview*: the layers up to
# 128 pixels run unchanged, and each later one is replaced by its effect on the average over a square of pixels.
# Nothing is trained for this. All steps of the optimisation compare the preview with the photo. For a mask that should
# be enough, because a mask uses only the layers of the latent below the cutoff, and these work on coarse grids. (Other
# generators have no preview here; then all steps use full images, and the picture below shows the averaged image
# alone.)

# %%
ws = found["projector"].ws
painters = {"averaged image": generator} | (
    {"preview": projector.preview} if projector.preview else {}
)
previews, costs = [], []
for name, source in painters.items():
    started = time.perf_counter()
    latent = ws.clone().requires_grad_(True)
    image = shrunk(source.synthesis(latent), small)
    torch.autograd.grad(image.square().mean(), latent)
    costs.append(f"{name}: {time.perf_counter() - started:.2f} s")
    previews.append(to_uint8(image.detach())[0])

# %% tags=["remove-input"]
display(Markdown("One image with its gradient. " + ", ".join(costs) + "."))

# %% mystnb={"image": {"alt": "The reconstruction averaged down to a small picture, and beside it the preview, which looks almost the same"}, "figure": {"caption": "The image of the latent, averaged down, and its preview. The preview is a little smoother, because the average of a non-linear function is not the function of the average.", "name": "fig-preview"}}
image_row(previews, list(painters))

# %% [markdown]
# ### W against W+
#
# We invert the same photo with the same number of steps, once with one vector for all layers and once with a vector
# for each layer.

# %% tags=["remove-output"]
from stylemixseg.inversion.projector import Projector

in_w = Projector(
    generator, replace(projector.config, space="w"), preview=projector.preview
)(photo)

# %%
from stylemixseg.inversion.losses import latent_spread
from stylemixseg.inversion.quality import inversion_quality

spread = latent_spread(generator)


def quality_of(ws):
    """How near the image of a latent is to the photo."""
    return inversion_quality(
        photo, to_generator_range(query_image(painter, ws)), parser
    )[0]


# %% tags=["hide-input"]
rows = []
for space, latent in {"W": in_w.ws, "W+": found["projector"].ws}.items():
    distance, apart = (
        spread.distance(latent).item(),
        spread.between_layers(latent).item(),
    )
    quality = quality_of(latent)
    name = f"{P.prefix}real_photos.space_{space.lower().replace('+', '_plus')}"
    recorder.add(f"{name}.psnr", quality.psnr_256, note="the astronaut, dB")
    recorder.add(
        f"{name}.prior",
        distance,
        note="the astronaut; about 1 for the generator's own latents",
    )
    rows.append(
        [space, f"{quality.psnr_256:.1f}", f"{distance:.2f}", f"{apart:.2f}"]
    )
header = [
    "space",
    "PSNR in dB, more is better",
    "$\\rho$, distance from the mean latent",
    "$\\delta$, between layers",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# Compare the two distances: $\rho$ says how far the vectors are from the mean latent, $\delta$ how far they are from
# each other. The generator was trained with $\delta = 0$ only, so a large $\delta$ means that the latent is unlike any
# in its training. The pictures show how well each space reproduces the photo.

# %% mystnb={"image": {"alt": "The photo, its reconstruction in W and its reconstruction in W plus"}, "figure": {"caption": "The photo, and its best reconstructions in W and in W+ after the same number of steps.", "name": "fig-spaces"}}
image_row(
    [target, painted(in_w.ws), painted(found["projector"].ws)],
    ["photo", "W", "W+"],
)

# %% [markdown]
# ## Inversion by an encoder
#
# Optimisation starts from the beginning for each photo, which takes time. An *encoder* is a network that was trained
# to give the latent of a photo directly. pSp {cite}`richardson2021` and e4e {cite}`tov2021` run once per photo.
# ReStyle {cite}`alaluf2021` runs several times: it starts at the average image, takes the photo *and* its current
# reconstruction as input, and predicts what to add to the latent. A few rounds of this are enough. e4e showed that
# latents near W are worth having even if the image resembles the photo less, because they are easier to edit.
#
# The paper's encoder belongs to its generator, StyleGAN2, and its latents mean nothing to another generator. So for
# the face generator of this book we trained a small encoder in the manner of ReStyle
# (`data_scripts/train_encoder.py`): on images that the generator made, whose latents are known, and on photos. The
# photos that are evaluated below were not among them, and no mask was used.
#
# The encoder can also give the optimisation a better starting point. The next cell tries all inversion methods that
# this generator has.

# %% tags=["remove-output"]
for name, inverter in run.inverters.items():
    if name not in found:
        found[name] = inverter(photo)

# %%
qualities = {name: quality_of(found[name].ws) for name in run.inverters}

# %% tags=["hide-input"]
rows = []
for name, quality in qualities.items():
    measured = f"{P.prefix}real_photos.astronaut.{name}"
    recorder.add(f"{measured}.psnr", quality.psnr_256, note="dB")
    recorder.add(f"{measured}.feature_distance", quality.feature_distance)
    recorder.add(f"{measured}.agreement", quality.foreground.miou)
    recorder.add(f"{measured}.seconds", found[name].seconds)
    rows.append(
        [
            INVERSIONS[name],
            f"{found[name].seconds:.1f}",
            f"{quality.psnr_256:.1f}",
            f"{quality.feature_distance:.3f}",
            f"{quality.foreground.miou:.3f}",
        ]
    )
header = [
    "inversion of the astronaut",
    "seconds",
    "PSNR in dB",
    "feature distance",
    "parser agreement, mIoU",
]
display(Markdown(table(header, rows)))

# %% mystnb={"image": {"alt": "Rows of reconstructions, a row for each way to invert, each from the average image to the result"}, "figure": {"caption": "Each inversion method, from its start to its result (at most six of its steps). The photo is on the right.", "name": "fig-ways"}}
rows = []
for name in run.inverters:
    steps = found[name].steps
    places = sorted({round(i) for i in np.linspace(0, len(steps) - 1, 6)})
    rows.append(
        [
            *(painted(steps[i]) for i in places),
            *[None] * (6 - len(places)),
            target,
        ]
    )
image_grid(
    rows, row_titles=list(run.inverters), column_titles=[*[""] * 6, "photo"]
)

# %% [markdown]
# The columns of the table measure in three ways how alike reconstruction and photo are:
#
# - **PSNR** follows from the mean squared difference of pixels. It penalises a shift of one pixel as much as a wrong
#   colour.
# - **Feature distance** is computed like LPIPS, but with the encoder of our face parser, because LPIPS may not be
#   installed. Its values can only be compared with each other, not with LPIPS.
# - **Parser agreement** compares the face parser's foreground on the photo with its foreground on the reconstruction.
#   Of the three it is nearest to what a segmenter needs, because only the outline counts; but it contains the parser's
#   own errors.
#
# One photo is not enough to compare methods. The next cell takes the photos of CelebAMask-HQ {cite}`lee2020`, whose
# masks were drawn by people, inverts and segments each, and writes the result file. To take minutes and not hours, it
# uses one inversion method only, the last of the table; the full run has all of them. Results are kept on disk photo
# by photo, so an interrupted run loses nothing. (In the profile `smoke` a generator of noise takes the place of faces,
# and its own samples that of photos, so its scores mean nothing.)

# %% tags=["remove-output"]
ways_here = dict(run.inverters)
quickest, best = next(iter(ways_here)), list(ways_here)[-1]
run.inverters = {best: ways_here[best]}
try:
    photos = run.photos()
except FileNotFoundError:
    photos = []  # the terms of the data forbid that we pass them on
result_file = measure_photos(run, folder) if photos else None
measured = measurements(result_file) if photos else {}

# %% tags=["hide-input"]
full_file = folder / "full" / "table1_photos.json"
full = measurements(full_file) if full_file.exists() else {}
ours = f"{P.prefix}table1.celeba"
if photos:
    status = (
        f"{len(photos)} photos were measured here, inverted by "
        f"{INVERSIONS[best]}."
    )
else:
    status = (
        "**No photos with masks are at hand**, so nothing of the table is "
        "measured here. It needs CelebAMask-HQ (for non-commercial research) "
        "as `data/celebamask_hq_800` in the folder that `STYLEMIXSEG_DATA` "
        "names; the README says how. The astronaut goes the whole way without "
        "it."
    )
status += (
    f" Full run: {load_run(full_file).created[:10]}."
    if full_file.exists()
    else " There is no full run."
)
display(Markdown(status))

# %% tags=["hide-input"]
COLUMNS = {
    "inversion_seconds": "seconds per photo",
    "psnr": "PSNR in dB",
    "feature_distance": "feature distance",
    "agreement": "parser agreement, mIoU",
}


def quality_rows(source, where):
    """A row for each way that a run measured."""
    ways = [name for name in INVERSIONS if f"{ours}.{name}.psnr" in source]
    return [
        [
            f"{INVERSIONS[way]}, {where}",
            *(
                measured_text(source[f"{ours}.{way}.{column}"])
                for column in COLUMNS
            ),
        ]
        for way in ways
    ]


rows = quality_rows(measured, "here") + quality_rows(full, "full run")
header = ["inversion, mean over photos with 95 % interval", *COLUMNS.values()]
display(Markdown(table(header, rows) if rows else "Not measured."))

# %% [markdown]
# ## What inversion loses
#
# The mask is computed on the reconstruction, but it is scored on the photo. Where the reconstruction has another
# outline, even a perfect mask of the reconstruction is wrong for the photo. To see where that happens, we apply *one*
# segmenter, the face parser, to both images and compare its two masks. The parser makes errors of its own on either
# image, so this is an estimate of what the inversion changed, and no limit for other methods: the clusters' best
# assignment is often nearer to the human mask than the parser's mask on the same reconstruction, as the section "Where
# the masks lose" below shows.

# %% mystnb={"image": {"alt": "The photo and the reconstruction, each with the outline of the face parser's foreground, and a map in which the two masks agree in blue and differ in orange and pink"}, "figure": {"caption": "The face parser's foreground on the photo and on the reconstruction, and the two against each other. Blue: on both. Orange: only on the reconstruction. Pink: only on the photo. Orange and pink show where the inversion changed the outline, or where the parser erred on one of the two images.", "name": "fig-loss"}}
w0 = found[best].ws
made = painted(w0)
on_photo, on_made = (
    parser.foreground(to_generator_range(image))[0].numpy()
    for image in (target, made)
)
image_row(
    [
        target,
        made,
        overlay(target, on_photo),
        overlay(made, on_made),
        agreement_map(on_made, on_photo),
    ],
    ["photo", "reconstruction", "parser, photo", "parser, rec.", "comparison"],
)

# %% [markdown]
# Look for what the reconstruction lacks, such as the collar of the space suit or things in the background. We expect
# that what is rare in the training photos is lost first, such as hats, hands, jewellery and text, but we did not count
# this.
#
# ## The method on a real person
#
# From here on everything is as in the [tour](01_tour.ipynb). The latent is the structure latent $\mathbf{w}_0$; its
# layers from $c$ on are exchanged.

# %% tags=["remove-output"]
from stylemixseg.mixing import style_mixed_images
from stylemixseg.settings import MixPlan

summary = run.segmenter.summary(w0)
segmentation = run.segmenter.from_summary(w0, summary)
styles = run.segmenter.styles[:4]
mixes = style_mixed_images(
    painter, w0, styles, MixPlan(P.method.cutoff, resolution=side)
)

# %% mystnb={"image": {"alt": "The photo, its reconstruction, and style mixes of the same person in other colours and light"}, "figure": {"caption": "A real person in other styles. Pose, outline and hair stay, whereas colours and light change. Only the first picture is a photograph.", "name": "fig-person-mixes"}}
image_row(
    [target, made, *mixes],
    ["photo", "reconstruction", *(f"style {i + 1}" for i in range(len(mixes)))],
)

# %%
from stylemixseg.sharpening import resized_soft

crop_side = len(crop)
# the paper's rule on faces: saliency
rule = segmentation.foreground[segmentation.clusters]
inside = resized_soft(rule.astype(np.float32), crop_side)
in_frame = inside > 0.5
in_photo = frame.paste(in_frame)  # back in the photo's pixels
rocket = data.rocket()  # a launch, by SpaceX, public domain
launch = Frame.whole(rocket.shape[:2]).crop(rocket, crop_side)
step = len(segmentation.clusters) // side

# %% mystnb={"image": {"alt": "The photo, the reconstruction, the cluster map, the mask, the mask on the photo, and the person in front of a rocket launch"}, "figure": {"caption": "All steps in order: photo, reconstruction, clusters, mask by the paper's saliency rule, the mask on the photo's own pixels, and the person in front of a new background. The composition takes its pixels from the photo, not from the reconstruction. Launch: SpaceX, public domain.", "name": "fig-series"}}
clusters = clusters_to_color(segmentation.clusters[::step, ::step])
image_row(
    [
        target,
        made,
        clusters,
        rule[::step, ::step],
        overlay(crop, in_frame),
        composite(crop, launch, in_frame),
    ],
    [
        "photo",
        "reconstruction",
        "clusters",
        "mask",
        "on the photo",
        "composition",
    ],
)

# %% mystnb={"image": {"alt": "The whole photo with the mask's outline inside the frame; everything outside the frame is dark"}, "figure": {"caption": "The mask in the whole photo. The method used the frame only, so outside of it the mask is empty.", "name": "fig-back"}}
image_row(
    [astronaut, overlay(astronaut, in_photo)], ["photo", "mask in the photo"]
)

# %% [markdown]
# One class of the package does all these steps for any photo:
#
# ```python
# from stylemixseg.photos.segmenter import PhotoSegmenter
#
# result = PhotoSegmenter(inverter, segmenter, edges="grabcut")(pixels, frame)
# result.mask        # (H, W) bool, in the photo's own pixels
# ```
#
# On the command line it is `stylemixseg segment photo.jpg -o out/`.
#
# ## Back to the photo's own pixels (ours)
#
# The mask follows the edges of the reconstruction, and the photo's edges lie elsewhere. But we have the photo, so we
# can use its edges to correct the mask. Two classical methods do this without labels and without a network:
#
# - The *guided filter* {cite}`he2013` **sharpens**: in every small window the new mask is a linear function of the
#   photo's colours, so it can only have an edge where the photo has one. It moves a boundary by some pixels.
# - *GrabCut* {cite}`rother2004` **redraws**: it learns the colours inside and outside the mask, and cuts the photo
#   anew so that colours fit their side and the cut follows edges. It can follow an outline that the reconstruction
#   missed. It can also follow a wrong border where person and background share colours. It was made for people who
#   mark an object by hand; here the method's mask takes the place of the marks. (It needs OpenCV, which the extra
#   `photos` installs. Without it, this row is left out.)

# %%
from stylemixseg.photos.graphcut import graph_cut
from stylemixseg.sharpening import sharpen

outlines = {"as it is": inside, "sharpened": sharpen(inside, crop)}
if find_spec("cv2"):
    outlines["redrawn"] = graph_cut(inside, crop)
few = max(16, crop_side // 4)
windows = (
    boundary_windows(in_frame, count=3, side=few)
    if 0 < in_frame.mean() < 1
    else []
)

# %% mystnb={"image": {"alt": "The mask's outline on the photo as it is, after sharpening and after redrawing, as a whole and in three details at the boundary"}, "figure": {"caption": "The mask on the photo as the method gives it, after the guided filter, and redrawn by GrabCut: as a whole and in three details at the boundary. The filter cannot correct an outline that is wrong by more than the size of its window.", "name": "fig-sharpened"}}
image_grid(
    [
        [picture, *([picture[window] for window in windows] or [None] * 3)]
        for picture in (overlay(crop, soft > 0.5) for soft in outlines.values())
    ],
    row_titles=list(outlines),
)

# %% [markdown]
# ## A judge of pixels (ours, beyond the paper)
#
# The paper's rules use one image at a time, and on some images they put a cluster on the wrong side. But all images
# share the styles, so an entry of a row of $\mathbf{X}_s$ means the same in each of them: how bright, or how red, a
# pixel becomes under style $i$. The rules err on different images in different ways, whereas what they get right is
# the same in many images. So a small network that learns from the masks of many synthetic images can correct the mask
# of a single one. We call it a *judge*, because it classifies single pixels, whereas a rule classifies clusters. [Many
# images at once](12_many_images.ipynb) explains how it is fitted; here it is applied to the latent of a photo.
#
# Three facts limit how its numbers may be used. The judge is **ours, not the paper's**, so its numbers are never set
# beside the paper's. It uses **no labels and no photos** when it is fitted. But the settings of the two rules, and the
# distance by which the outline is moved outwards, were chosen with the face parser as reference, on synthetic
# *development faces*, so the judge depends on that reference too.

# %%
probability = run.probability(summary)
judged = probability is not None
if not judged:  # no judge was fitted for this generator
    probability = segmentation.confidence
certain = resized_soft(probability, crop_side)

# %% tags=["remove-input"]
if judged:
    note = f"The judge reads the first {run.judge_styles} of the styles."
else:
    note = (
        f"No judge was fitted for the generator `{generator.name}`: the "
        "pictures show K-means' confidence."
    )
display(Markdown(note))

# %% mystnb={"image": {"alt": "The mask of the paper's rule on the photo, the probability map in greys, the mask that follows from it, and that mask sharpened"}, "figure": {"caption": "The paper's rule, the judge's probability (where one was fitted for the generator), the mask where it exceeds one half, and the same sharpened.", "name": "fig-photo-judge"}}
image_row(
    [
        overlay(crop, in_frame),
        certain,
        overlay(crop, certain > 0.5),
        overlay(crop, sharpen(certain, crop) > 0.5),
    ],
    ["saliency rule", "probability", "above one half", "sharpened"],
)

# %% [markdown]
# ## Table 1, CelebAMask-HQ column
#
# Here the reference masks were drawn by people. The foreground is everything that they did not leave as background,
# clothes included. The paper uses the saliency rule on faces, so its number is set beside that rule only, without
# sharpening.

# %% tags=["hide-input"]
paper = paper_values()
ways = [
    way for way in INVERSIONS if f"{ours}.{way}.psnr" in measured | full
] or list(INVERSIONS)
rows = [
    [
        f"{INVERSIONS[way]}: {title}",
        reported_text(paper, f"{ours}.ours.{iou}"),
        *measured_cells(measured.get(f"{ours}.{way}.saliency.{iou}")),
        measured_text(full.get(f"{ours}.{way}.saliency.{iou}")),
    ]
    for way in ways
    for iou, title in IOUS.items()
]
header = [
    "saliency rule, dataset-level",
    "paper reported",
    "measured here",
    "95 % interval",
    "photos",
    "full run, measured here",
]
display(Markdown(table(header, rows)))

# %% [markdown]
# How to read the table:
#
# - Generator and encoder are not those of the paper, whereas the human masks are from the same data set. The paper
#   does not say which photos it used, nor how many; ours are the first of 100 validation photos that nothing here was
#   trained on.
# - The paper gives no interval, so we cannot say how certain its number is.
# - The settings ($c$, $k$, the rule's threshold) are those of the synthetic faces. No photo was used to choose them.
#
# For comparison, the next table shows what supervised networks reach on the same photos. They learnt from human masks,
# the face parser even from masks of this data set (of other photos).

# %% tags=["hide-input"]
CEILINGS = {
    "face_parser": "face parser, on the photo",
    "deeplab": "DeepLabV3, class person, on the photo",
}
rows = [
    [
        f"{name}: {title}",
        *measured_cells(measured.get(f"{ours}.{network}.{iou}")),
        measured_text(full.get(f"{ours}.{network}.{iou}")),
    ]
    for network, name in CEILINGS.items()
    for iou, title in IOUS.items()
]
display(Markdown(table(["supervised, dataset-level", *header[2:]], rows)))

# %% [markdown]
# The last tables show our additions: sharpening, redrawing, and the judge. None of these numbers belongs beside the
# paper's, because the paper does not use these steps.

# %% tags=["hide-input"]
RULE_NAMES = {
    "saliency": "saliency rule (the paper's)",
    "saliency_sharp": "saliency rule, sharpened",
    "saliency_cut": "saliency rule, redrawn",
    "corner_minority": "corner minority rule",
    "judge": "judge",
    "judge_sharp": "judge, sharpened",
    "judge_cut": "judge, redrawn",
}
places = {
    f"{way}, here": (measured, way)
    for way in ways
    if f"{ours}.{way}.psnr" in measured
}
places |= {
    f"{way}, full run": (full, way)
    for way in ways
    if f"{ours}.{way}.psnr" in full
}
rows = [
    [
        name,
        *(
            measured_text(source.get(f"{ours}.{way}.{rule_name}.miou"))
            for source, way in places.values()
        ),
    ]
    for rule_name, name in RULE_NAMES.items()
]
display(
    Markdown(
        table(["mIoU, dataset-level", *places], rows)
        if places
        else "Not measured."
    )
)


# %% tags=["hide-input"]
def photo_rows(path, inversion):
    """The photos that one inversion was measured on: {name: its numbers}."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["inversion"] == inversion
        ]
    return {
        row.pop("photo"): {
            name: float(row[name]) for name in row if name != "inversion"
        }
        for row in rows
    }


def mean_text(values):
    """The mean of paired differences, its interval, and where it is above 0."""
    low, high = bootstrap_mean([[value] for value in values])
    above = sum(value > 0 for value in values)
    return (
        f"{np.mean(values):+.3f} [{low:+.3f}, {high:+.3f}], "
        f"{above} of {len(values)}"
    )


of_photos = {
    place: photo_rows(
        (result_file if source is measured else full_file).with_suffix(".csv"),
        way,
    )
    for place, (source, way) in places.items()
}
STEPS = {
    "sharpening": ("saliency", "saliency_sharp"),
    "redrawing": ("saliency", "saliency_cut"),
    "the judge": ("saliency", "judge"),
    "the judge redrawn": ("saliency", "judge_cut"),
}
rows = []
for step_name, (before, after) in STEPS.items():
    cells = []
    for scores in of_photos.values():
        gains = [
            row[f"{after}.miou"] - row[f"{before}.miou"]
            for row in scores.values()
            if f"{after}.miou" in row
        ]
        cells.append(mean_text(gains) if gains else "not measured")
    rows.append([step_name, *cells])
header = ["gain in mIoU over the paper's rule", *places]
display(Markdown(table(header, rows) if places else "Not measured."))

# %% [markdown]
# Each cell of the second table is a mean over photos of paired differences: both masks of one photo are compared with
# the same human mask. In brackets is its 95 % bootstrap interval over photos, and then the number of photos on which
# the mask got better. Where an interval holds 0, these photos cannot tell whether the step helps.
#
# Sharpening moves a boundary by a few pixels only, so what it gains or loses is small on every photo. Redrawing and the
# judge change whole regions, for the better on some photos and for the worse on others, so their intervals are wide.
#
# Near the outline the order of the methods may be different. The next table counts only pixels within 3 px of the
# human outline (a trimap, as in [evaluation](06_evaluation.ipynb)), at the photos' 512 px. Near the outline even a
# random mask has an IoU well above 0, as that chapter shows, so compare the rows with each other and not with 1.

# %% tags=["hide-input"]
rows = [
    [
        name,
        *(
            measured_text(source.get(f"{ours}.{way}.{rule_name}.trimap.miou"))
            for source, way in places.values()
        ),
    ]
    for rule_name, name in RULE_NAMES.items()
]
header = ["mIoU near the outline, dataset-level", *places]
display(Markdown(table(header, rows) if places else "Not measured."))

# %% [markdown]
#
# ### Where the masks lose
#
# Three errors can spoil the mask of a photo: the reconstruction has another outline, a cluster holds parts of both
# sides, or the rule puts a cluster on the wrong side. With the oracle assignment, which gives each cluster to the side
# on which most of it lies in the human mask, the loss splits into two parts, as in [failure
# cases](08_failure_cases.ipynb):
#
# ```{math}
# :label: eq-photo-loss
# \underbrace{1 - \mathrm{mIoU}_\mathrm{rule}}_{\text{loss}}
# = \underbrace{1 - \mathrm{mIoU}_\mathrm{oracle}}_{\text{before the rule}}
# + \underbrace{\mathrm{mIoU}_\mathrm{oracle} - \mathrm{mIoU}_\mathrm{rule}}_{\text{by the rule}} .
# ```
#
# The sum holds exactly, on every photo. The part *before the rule* is caused by inversion and clusters together. It
# cannot be divided between them, because that would need the true mask of the reconstruction, which nobody has drawn.
# Two comparisons help to estimate the shares. In both, each mask is compared with the human one:
#
# - **The face parser on the photo against the face parser on the reconstruction.** The segmenter is the same, so the
#   difference comes from the change of the image, and errors that the parser already makes on the photo are not
#   counted. But the parser was trained on photos, so some of the difference may come from its own difficulties with
#   reconstructions.
# - **The oracle against the face parser on the reconstruction.** Both segment the same reconstruction, so an outline
#   that the inversion changed costs both of them. The difference can have either sign: the parser's mask is not the
#   best possible one, and the oracle knows the human mask when it assigns its clusters, whereas the parser does not.

# %% tags=["hide-input"]
CHAIN = {
    "{}face_parser.per_image.miou": "face parser on the photo",
    "{}{}.parser_on_reconstruction": "face parser on the reconstruction",
    "{}{}.oracle.per_image.miou": "oracle assignment of the clusters",
    "{}{}.saliency.per_image.miou": "saliency rule",
    "{}{}.judge.per_image.miou": "judge (ours)",
    "{}{}.judge_sharp.per_image.miou": "judge, sharpened (ours)",
    "{}{}.judge_cut.per_image.miou": "judge, redrawn (ours)",
}
rows = [
    [
        name,
        *(
            measured_text(source.get(pattern.format(f"{ours}.", way)))
            for source, way in places.values()
        ),
    ]
    for pattern, name in CHAIN.items()
]
display(
    Markdown(
        table(["mIoU, mean over photos", *places], rows)
        if places
        else "Not measured."
    )
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Diagram: two bars of length one, for synthetic faces and for photos. Each is divided into what is right, what is lost before the rule, and what the rule loses, with the numbers and their intervals below"}, "figure": {"caption": "Where the loss of the saliency rule goes in the full run: means of mIoU over images, with 95 % intervals. Synthetic faces need no inversion, so what is lost before the rule is due to the clusters alone. On photos it is due to inversion and clusters together. The two bars have different references (the face parser and human masks), so the difference of their middle parts is only a hint of what inversion costs.", "name": "fig-where-loss-goes"}}
of_images = folder_scores(folder / "full")
bars = {
    f"{title}: {len(of_images[f'{place}.oracle'].images)} images": loss_shares(
        of_images, place, "saliency", before
    )
    for title, place, before in (
        ("Synthetic faces, no inversion", "table1.ffhq", "the clusters"),
        (
            f"Photos, inverted by {INVERSIONS['both']}",
            "table1.celeba.both",
            "inversion and clusters",
        ),
    )
    if f"{place}.oracle" in of_images
}
diagrams.loss_bars(bars) if bars else Markdown("There is no full run here.")

# %% [markdown]
# The rows of this table are means over the same photos, so they are compared photo by photo. (The parser's scores on
# single photos are worked out here from the photos themselves. Where these are absent, the full run shows the
# difference of the means, without an interval.)

# %% tags=["hide-input"]
pictures = {item.name: item for item in photos}
if photos and any(source is full for source, _ in places.values()):
    of_full = evaluation_photos(load_profile("full"), painter)
    pictures |= {item.name: item for item in of_full}
on_photo = {}  # mIoU of the parser on the photo itself, with the human mask
for name, item in pictures.items():
    by_parser = parser.foreground(to_generator_range(item.pixels))[0].numpy()
    on_photo[name] = confusion(by_parser, item.foreground).miou


def before_rule(row):
    """Lost by inversion and clusters together."""
    return 1 - row["oracle.miou"]


def by_rule(row):
    """Lost by the rule, on top of that."""
    return row["oracle.miou"] - row["saliency.miou"]


def above_parser(row):
    """How far the oracle is above the parser; both saw the reconstruction."""
    return row["oracle.miou"] - row["parser_on_reconstruction"]


PARTS = {
    "lost before the rule": before_rule,
    "lost by the rule": by_rule,
    "oracle, less parser on the reconstruction": above_parser,
}
rows = [
    [
        part,
        *(
            mean_text([*map(of_row, scores.values())])
            for scores in of_photos.values()
        ),
    ]
    for part, of_row in PARTS.items()
]
cells = []
for place, (source, way) in places.items():
    scores = of_photos[place]
    if scores.keys() <= on_photo.keys():
        changes = [
            on_photo[name] - row["parser_on_reconstruction"]
            for name, row in scores.items()
        ]
        cells.append(mean_text(changes))
    else:
        of_parser = source[f"{ours}.face_parser.per_image.miou"].value
        change = (
            of_parser - source[f"{ours}.{way}.parser_on_reconstruction"].value
        )
        cells.append(f"{change:+.3f}, no interval without the photos")
rows.append(["parser on the photo, less on the reconstruction", *cells])
header = ["mIoU, paired, and photos above 0", *places]
display(Markdown(table(header, rows) if places else "Not measured."))

# %% tags=["hide-input"]
lines = []
for place, scores in of_photos.items():
    rule_first = sum(by_rule(row) > before_rule(row) for row in scores.values())
    above = [above_parser(row) for row in scores.values()]
    low, high = bootstrap_mean([[value] for value in above])
    finding = (
        "these photos show no difference between the two on average"
        if low <= 0 <= high
        else f"on average the oracle is {'above' if low > 0 else 'below'}"
    )
    lines.append(
        f"- {place}: the rule loses more than everything before it on "
        f"{rule_first} of {len(scores)} photos. The oracle is above the parser "
        f"on the reconstruction on {sum(value > 0 for value in above)}; "
        f"{finding}."
    )
display(Markdown("\n".join(lines) or "Not measured."))

# %% [markdown]
# If most of the loss lies before the rule, a better rule can gain little on photos. The last two rows help to decide
# whether better clusters or a better inversion would gain more. Where the oracle is as good as the parser on the
# reconstruction, the clusters follow the human mask as well as a supervised network that sees the same picture. If
# that network is much better on the photo, this suggests that the inversion causes most of the loss. It is no proof,
# because both could fail on a reconstruction for different reasons.
#
# Does a closer reconstruction give a better mask? The full run inverts the same photos with several methods, so these
# can be compared photo by photo, too.

# %% tags=["hide-input"]
COLUMNS = {
    "psnr": "PSNR in dB",
    "parser_on_reconstruction": "mIoU, parser on the reconstruction",
    "saliency.miou": "mIoU, saliency rule",
}
rows = []
for first, second in pairwise(INVERSIONS):
    one, other = (of_photos.get(f"{way}, full run") for way in (first, second))
    if one and other:
        cells = [
            mean_text([other[name][column] - one[name][column] for name in one])
            for column in COLUMNS
        ]
        rows.append([f"{second}, less {first}", *cells])
header = ["full run, paired, and photos above 0", *COLUMNS.values()]
display(Markdown(table(header, rows) if rows else "Not measured."))

# %% [markdown]
# PSNR counts every pixel, the background included, whereas a mask depends on the outline alone. So a large gain in the
# first column need not come with one in the last: look for an interval there that holds 0.
#
# ### The photos that fail
#
# Pictures show errors that the means hide. Look at each row from left to right, and find the first picture in which
# something is wrong, because that step caused the error.


# %% tags=["hide-input"]
def reduced(picture):
    """A picture of a photo, at most 256 px per side, for an illustration."""
    return Frame.whole(picture.shape[:2]).crop(picture, min(256, len(picture)))


rows, names = [], []
if photos:
    scores = photo_rows(result_file.with_suffix(".csv"), best)
    order = sorted(photos, key=lambda item: scores[item.name]["saliency.miou"])
    for item in {id(item): item for item in (*order[:2], order[-1])}.values():
        result, numbers = run.result(item, best), scores[item.name]
        took = masks(item, result, P.method.k)["saliency"]
        pictures = [
            overlay(item.pixels, item.foreground),
            painted(result.ws),
            clusters_to_color(result.labels),
        ]
        pictures += [
            overlay(item.pixels, took),
            agreement_map(took, item.foreground),
        ]
        rows.append([reduced(picture) for picture in pictures])
        larger = by_rule(numbers) > before_rule(numbers)
        names.append(
            f"{numbers['saliency.miou']:.2f}: "
            + ("rule" if larger else "before the rule")
        )
else:
    rows = [
        [
            target,
            made,
            clusters_to_color(segmentation.kmeans.labels),
            overlay(crop, in_frame),
            None,
        ]
    ]

# %% mystnb={"image": {"alt": "Rows of pictures: a photo with the outline of its human mask, its reconstruction, the cluster map, the mask of the saliency rule, and the map of agreement and errors"}, "figure": {"caption": "The two worst photos and the best one under the saliency rule, with mIoU and the larger part of the loss: by the rule, or before it. From the left: photo with human mask, reconstruction, clusters, mask by the rule, comparison (blue: in both masks; orange: in the rule's mask only; pink: in the human mask only). Without the data set, the astronaut is shown, who has no human mask. Photos: CelebAMask-HQ, three people, reduced, shown for research.", "name": "fig-failures"}}
titles = [
    "photo, human mask",
    "reconstruction",
    "clusters",
    "mask",
    "comparison",
]
image_grid(rows, column_titles=titles, row_titles=names)

# %% [markdown]
# What to look for:
#
# - The **reconstruction** has another outline: long hair that ends too early, a hat that became hair, a missing
#   shoulder. All later steps inherit this error.
# - A **cluster** holds hair and a dark background, or clothes and the wall, together. Then no rule can separate them.
# - The **rule** puts a cluster on the wrong side. This happens to clothes at the lower border, for example, because
#   they are far from the middle, where the saliency map has its maximum.
#
# ## A student: the mask at once (ours, beyond the paper)
#
# A network that segments the photo itself needs no inversion. Section 4.4 of the paper trains such a network on
# synthetic images and their masks. Ours is small, MobileNetV2 with a light decoder, and we call it the *student*,
# because it learnt from the judge's masks of synthetic faces, which `stylemixseg synthesize` makes by the thousand, and
# from training photos that an earlier student labelled ([Training data](14_training_data.ipynb)). Its encoder starts
# from ImageNet's weights, which come from labels of whole images.
#
# Why can a student be better than its teacher? The teacher's mistakes differ from image to image and have no common
# pattern, so a network cannot learn them; it learns what all masks have in common. On photos, moreover, the teacher's
# masks suffer from the inversion, whereas the student needs none.
#
# No mask that a person drew was used to train it. But it inherits one choice of the judge that made its masks: the
# distance by which the outline is moved outwards was chosen with the face parser, which learnt from human masks of
# this data set. This matters most near the outline. How many pixels the student looks at, and how far its outline may
# move to the photo's edges (by the guided filter), was chosen in the same way, on synthetic faces.

# %%
from stylemixseg.photos.student import StudentSegmenter

student = StudentSegmenter()
by_student = student(astronaut, [frame])

# %% mystnb={"image": {"alt": "The photo with the outline of the student's mask, the same in the frame, and the judge's mask on the inverted photo"}, "figure": {"caption": "The student's mask in the photo and in the frame, and the judge's mask on the inverted photo. The student segments the photo itself, so its outline follows the photo's edges.", "name": "fig-student"}}
looked = overlay(astronaut, by_student.mask)
image_row(
    [looked, frame.crop(looked, crop_side), overlay(crop, certain > 0.5)],
    ["student, in the photo", "student, in the frame", "judge, inverted"],
)

# %% [markdown]
# On the command line it is `stylemixseg segment photo.jpg --student -o out/`; with `--align` it segments every face in
# a photo. The next cell compares the two on the validation photos, which were used neither for training nor for any
# choice. (The seconds of the inverted photo include inversion and style mixes. They come from another run than the
# student's, so only the order of magnitude of the two can be compared.)

# %% tags=["remove-output"]
student_file = run_student(P, folder) if photos and not P.prefix else None

# %% tags=["hide-input"]
by_pairs = measurements(student_file) if student_file else {}
celeba = student_experiment.PREFIX
inverted = "table1.celeba.both"  # of the full run
both_seconds = sum(
    full[f"{inverted}.{step}_seconds"].value
    for step in ("inversion", "segmentation")
    if full
)
rows = [
    [
        "student",
        measured_text(by_pairs.get(f"{celeba}.student.miou")),
        measured_text(by_pairs.get(f"{celeba}.student.trimap.miou")),
        measured_text(by_pairs.get(f"{celeba}.student.upper.miou")),
        measured_text(by_pairs.get(f"{celeba}.student.seconds")),
    ],
    [
        "judge on the inverted photo (full run)",
        measured_text(full.get(f"{inverted}.judge.miou")),
        measured_text(full.get(f"{inverted}.judge.trimap.miou")),
        "",
        f"{both_seconds:.1f}" if full else "not measured",
    ],
    [
        "face parser, trained with human masks",
        measured_text(by_pairs.get(f"{celeba}.face_parser.miou")),
        measured_text(by_pairs.get(f"{celeba}.face_parser.trimap.miou")),
        measured_text(by_pairs.get(f"{celeba}.face_parser.upper.miou")),
        "",
    ],
]
header = [
    "mask of a photo",
    "mIoU",
    "within 3 px of the outline",
    "upper three quarters",
    "seconds",
]
text = table(header, rows)
if student_file and full and f"{inverted}.judge.miou" in full:
    scores = read_scores(scores_path(student_file))
    of_student = scores[f"{celeba}.student"].by_image()
    others = photo_rows(full_file.with_suffix(".csv"), "both")
    gains = [
        of_student[name] - row["judge.miou"]
        for name, row in others.items()
        if name in of_student and "judge.miou" in row
    ]
    text += (
        "\n\nMean gain of the student over the judge on the inverted photo, "
        f"paired, and photos on which it is better: {mean_text(gains)}."
    )
display(Markdown(text if student_file else "Not measured."))

# %% [markdown]
# The column of the upper three quarters shows where the student loses most: in the lowest quarter, where the shoulders
# are. Two causes meet there. The judge, its teacher, takes too much there for foreground, and the student has learnt
# this. But people also left many bare or dark shoulders out of their masks, and a network can only know this habit if
# it has seen such masks, as the face parser has.
#
# Which of the two should you use? For faces the student, because its masks are better and much faster. Inversion stays
# the default of the command, because it is the paper's method and works for every generator, whereas the student knows
# faces only. GrabCut is used with inversion only; it is kept for generators that have no student, and its rows above
# show what a photo's edges can repair and what they cannot.
#
# A second student names the parts: `stylemixseg segment photo.jpg --student --classes -o out/`. It learnt from synthetic
# faces whose parts were found by clusters that all images share ([many images at once](12_many_images.ipynb)). These
# clusters were named once, with the help of the face parser's labels of twenty synthetic faces; no mask of a photo was
# used. The student's pairs were made by `synthesize --classes --features`, so it has also learnt brows, eyes, nose and
# mouth. With `--features` it names them; without this option they count as skin.

# %% mystnb={"image": {"alt": "The photo's square, the named parts in it in four colours, and the same with brows, eyes, nose and mouth in colours of their own"}, "figure": {"caption": "The square that the student segments, and the named parts in it: background, skin, hair and cloth. On the right, brows, eyes, nose and mouth have colours of their own.", "name": "fig-student-parts"}}
from stylemixseg.models.student import PartsStudent
from stylemixseg.photos.student import parts_of_photo

features = PartsStudent.load()
parts = features.without_features()
pictures = [astronaut]
for knows in (parts, features):
    labels = parts_of_photo(knows, astronaut, [frame], by_student.mask)
    pictures.append(clusters_to_color(labels))
image_row(
    [frame.crop(picture, crop_side) for picture in pictures],
    ["photo", "parts", "parts and features"],
)

# %% [markdown]
# The first table has the parts. In the second, the skin is divided into its features, and everything that is not skin,
# hair and cloth included, counts as background. So the two columns *background*, and the two means, cannot be compared
# with each other.

# %% tags=["hide-input"]
LEVELS = student_experiment.LEVELS
shown = ["parts", *(["features"] if features.has_features else [])]
tables = []
for level in shown:
    classes, _ = LEVELS[level]
    header = ["IoU on the photos", *classes, "mean"]
    rows = [
        [
            words,
            *(
                measured_text(by_pairs.get(f"{celeba}.{level}.{name}.{of}"))
                for of in (*(f"{part}.fg_iou" for part in classes), "mean")
            ),
        ]
        for name, words in (
            ("student", "student of parts"),
            ("face_parser", "face parser, trained with human masks"),
        )
    ]
    tables.append(table(header, rows))
text = "\n\n".join(tables) if student_file else "Not measured."
display(Markdown(text))

# %% [markdown]
# ## Official encoders
#
# With an official StyleGAN2 for FFHQ, you can use the encoder of the paper, because checkpoints of ReStyle, pSp and
# e4e hold encoder and generator in one file. They are read without executing any code in them:
#
# ```python
# from stylemixseg.inversion.official_encoders import load_official_encoder
#
# encoder = load_official_encoder("restyle_psp_ffhq_encode.pt")
# segmenter = StyleMixSegmenter(encoder.generator)
# ```
#
# We could not get these files, so this was tested on random weights saved in their layout. If you have them, the table
# above can be measured on the paper's own generator.
#
# ## Faces of real people
#
# Up to here this book showed synthetic faces, which belong to nobody. From this chapter on it shows real people, so a
# few rules apply:
#
# - **Ask.** Before you put someone's photo through these programs, ask that person, and say what for.
# - **Do not deceive.** A style mix or a composition shows a real person as they never were, so mark it as artificial.
#   Do not publish it as a photograph, and never use it to harm or mock anybody.
# - **Do not identify or judge.** A latent is a description of a face. So do not use it to recognise people, or to
#   guess who or what they are.
# - **Consider for whom it fails.** For people who are rare in the generator's training photos, reconstruction and mask
#   are likely to be worse. We could not measure for whom, because the photos come without such information.
# - **Respect the terms.** CelebAMask-HQ is for non-commercial research and education, and may not be passed on. The
#   people in it are celebrities who were not asked. That is why this page shows three of them, small, and why the
#   slider shows somebody whose official portrait is in the public domain.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-photos-frame
# What does the frame matter? The vector from a frame's middle to the middle of its right side is its *axis*. Write
# `turned(axis, degrees)`, which turns this vector; with it the frame can lean. Invert the astronaut in three other
# frames: 30 % larger, moved down by a fifth of its side, and leaning by 25 degrees. Predict first which one hurts most.
# `frame` has the attributes `centre`, `axis` and `side`, and `replace(frame, axis=...)` gives another one. Its method
# `frame.crop(astronaut, crop_side)` cuts the photo. The quickest inversion is `ways_here[quickest]`: call it with
# `to_generator_range(cut)`, and the `ws` of its result is the latent, which `painted` draws.
# ```
#
# ```{solution-start} ex-photos-frame
# :class: dropdown
# ```
#
# A generator knows faces in one place. In another frame colours and large areas can still be matched, but the latents
# that it knows put eyes, mouth and outline elsewhere. An encoder was not trained on such pictures either. Do not judge
# by PSNR, because eyes and mouth are few of the pixels that it averages over. Look at the faces.


# %% tags=["answer"]
import numpy as np


def turned(axis, degrees):
    """Turn a vector in the image.

    Args:
        axis: (x, y), with y downwards as in images.
        degrees: positive numbers turn from x towards y.

    Returns:
        (x, y) of the turned vector; its length stays.
    """
    x, y = axis
    angle = np.deg2rad(degrees)
    return (
        x * np.cos(angle) - y * np.sin(angle),
        x * np.sin(angle) + y * np.cos(angle),
    )


# %% tags=["check"]
def check_turned():
    """Say whether `turned` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    hint = (
        "x' = x cos a - y sin a and y' = x sin a + y cos a, and NumPy's "
        "functions want the angle in radians (np.deg2rad)"
    )
    for axis, degrees, right in (
        ((2, 0), 90, [0, 2]),
        ((0, 3), 90, [-3, 0]),
        ((1, 1), 0, [1, 1]),
        ((2, 0), 60, [1, 3**0.5]),
    ):
        expect(
            f"turned({axis}, {degrees})",
            turned(axis, degrees),
            right,
            hint,
            tolerance=1e-6,
        )
    print("Right. The y axis points down, so a positive angle looks clockwise.")


check_turned()

# %%
x, y = frame.centre
a, b = frame.axis
frames = {
    "FFHQ's": frame,
    "larger": replace(frame, axis=(1.3 * a, 1.3 * b)),
    "moved": replace(frame, centre=(x, y + frame.side / 5)),
    "leaning": replace(frame, axis=turned(frame.axis, 25)),
}
looks = {name: item.crop(astronaut, crop_side) for name, item in frames.items()}
inverted = {
    name: ways_here[quickest](to_generator_range(look)).ws
    for name, look in looks.items()
}

# %% mystnb={"image": {"alt": "Four crops of the photo in different frames, and below each the reconstruction by the quickest inversion"}, "figure": {"caption": "The photo in four frames (top) and what the quickest inversion makes of each (bottom).", "name": "fig-other-frames"}}
image_grid(
    [list(looks.values()), [painted(ws) for ws in inverted.values()]],
    column_titles=list(frames),
    row_titles=["in the frame", "reconstruction"],
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-photos-pivot
# *Pivotal tuning* {cite}`roich2022` turns the problem round: keep the latent, and change the weights of the generator
# a little until it reproduces this one photo. `pivotal_tuning` returns a new generator, so everything downstream stays as
# it is. Predict what a few steps of tuning change. What gets better? Does the mask, too? Why might it not? To test it,
# call `pivotal_tuning(generator, w0, photo, steps=6, learning_rate=3e-5)`, make a `StyleMixSegmenter` of the generator
# that it returns, with `run.segmenter.config` and `judge=None`, and apply it to `w0`.
# ```
#
# ```{solution-start} ex-photos-pivot
# :class: dropdown
# ```
#
# The reconstruction comes nearer to the photo with every step; the paper of pivotal tuning takes 350, we take a few, so
# the gain is small. The mask may hardly move. Clusters follow from how pixels change with the *style*, and that comes
# from layers that learnt it from many faces. New pixels that the changed weights draw need not change with
# the style as hair or cloth does. And the gain is for one photo: every other image of this generator is bent along.
#
# The learning rate is a tenth of that paper's. StyleGAN2 scales its weights inside the network, whereas those of our
# face generator are stored as they are used, and are much smaller. A step of Adam has the same size for both, so it
# changes our generator more. Try the paper's rate, and look at the face.

# %% tags=["remove-output"]
TUNING_STEPS = 6
tuned = pivotal_tuning(
    generator, w0, photo, steps=TUNING_STEPS, learning_rate=3e-5
)
tuned_segmenter = StyleMixSegmenter(
    with_engine(tuned, "auto", "cpu"), run.segmenter.config, judge=None
)
after = tuned_segmenter(w0)

# %%
tuned_quality = inversion_quality(
    photo, to_generator_range(after.image), parser
)[0]
same = confusion(after.mask, rule).miou
recorder.add(
    f"{P.prefix}real_photos.tuning.psnr",
    tuned_quality.psnr_256,
    note=f"{TUNING_STEPS} steps, dB",
)
display(
    Markdown(
        f"PSNR {qualities[best].psnr_256:.1f} dB before and "
        f"{tuned_quality.psnr_256:.1f} dB after {TUNING_STEPS} steps. "
        f"The masks before and after agree with mIoU {same:.3f}."
    )
)

# %% mystnb={"image": {"alt": "The photo, the reconstruction before and after pivotal tuning, and the mask after it"}, "figure": {"caption": "The photo, the reconstruction before and after a few steps of pivotal tuning, and the mask on the tuned generator.", "name": "fig-tuned"}}
image_row(
    [
        target,
        made,
        after.image[::step, ::step],
        overlay(after.image, after.mask)[::step, ::step],
    ],
    ["photo", "before", "tuned", "mask, tuned"],
)

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - Style mixing needs a latent. Inversion {eq}`eq-inversion` finds one whose image resembles the photo; W+ comes
#   nearer to the photo than W, but its latents lie outside of what the generator has learnt.
# - The photo must first be brought into the generator's frame, and the mask must be brought back from it, because the
#   generator knows faces at one place and in one size only.
# - Optimisation is slow and comes near the photo's pixels, whereas an encoder is fast and less exact. The encoder
#   gives the optimisation a better start.
# - The oracle splits the loss of a mask into the rule's part and the part before the rule. The second part is caused
#   by inversion and clusters together; the same segmenter on photo and reconstruction helps to tell them apart, but
#   only partly.
# - The guided filter, GrabCut and the judge are our additions. They use no labels, and their numbers are never set
#   beside the paper's.
# - Photos show real people, so ask them first, do not deceive with their images, and do not identify them.
#
# Next: [objects in scenes](11_objects.ipynb), where one image holds many things.

# %% tags=["remove-cell"]
path = recorder.write()
