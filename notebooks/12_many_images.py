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
# # Many images at once
#
# The paper segments one image at a time. Its clusters have no relation to those of other images, so a rule must decide
# again for each image which of them are foreground, and sometimes the rule is wrong. This chapter goes beyond the
# paper, because it uses what many images have in common. The method here is ours, so its numbers are kept apart from
# the paper's.
#
# :::{admonition} Before you start
# **Objectives**
#
# - Explain why an entry of the style summary tensor means the same in every image, and what follows from that.
# - Describe how a judge of pixels is trained on the paper's own masks, without labels, and when its training stops.
# - Read a table that adds one ingredient at a time, with intervals, and say which gains are certain.
# - Check whether a confidence is a probability, and use it to reject doubtful masks.
# - Find clusters that all images share, name them once, and segment other images into named parts.
#
# **Prerequisites**
#
# - [Foreground rules](05_foreground_rules.ipynb): saliency and corner minority.
# - [Evaluation](06_evaluation.ipynb): IoU, intervals, paired differences ([refresher](../refreshers/bootstrap.md)).
#
# **Run time:** about 4 minutes on two CPU cores (profile `cpu`).
# :::

# %% tags=["parameters", "remove-cell"]
profile = "cpu"
results = None

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
from IPython.display import Markdown, display

from stylemixseg.evaluation.imagescores import read_scores
from stylemixseg.evaluation.results import load_run, measurements, scores_path
from stylemixseg.evaluation.tables import measured_cells, measured_text, table
from stylemixseg.experiments.chapter import start_chapter
from stylemixseg.experiments.classes import CLASSES, FEATURES, OF_PARSER
from stylemixseg.experiments.clustermaps import query_latent
from stylemixseg.experiments.joint import judges_for, judging_side, run_joint
from stylemixseg.experiments.scoring import RULES, reference_parts, rule_mask
from stylemixseg.joint.classes import names_by_majority
from stylemixseg.metrics import Confusion, paired_difference
from stylemixseg.viz.clustersheet import cluster_rows
from stylemixseg.viz.compositing import clusters_to_color, overlay
from stylemixseg.viz.plotting import image_grid, lines
from stylemixseg.viz.widgets import picture_slider

# P is the profile: settings of the method, and the sizes of this run. The
# recorder collects the numbers that the chapter measures, in the folder.
P, generator, recorder, folder = start_chapter(
    "12_many_images", profile, results, seed="queries.first"
)

# %% [markdown]
# ## The same style colours all images alike
#
# The styles $w_1, \dots, w_n$ are drawn once and serve every query image ([style mixing](02_style_mixing.ipynb)). Look
# at one column of the figure below, where all faces were mixed with the same style.

# %% tags=["remove-output"]
from stylemixseg.mixing import query_image, style_mixed_images
from stylemixseg.segmenter import StyleMixSegmenter

n, side = min(P.joint.ns), judging_side(generator, P)
segmenter = StyleMixSegmenter(
    generator, replace(P.method, n=n), resolution=side
)
latents = [query_latent(generator, P, seed) for seed in P.queries.examples]
images = [query_image(generator, w0, side) for w0 in latents]
mixes = [
    style_mixed_images(generator, w0, segmenter.styles[:5], segmenter.plan)
    for w0 in latents
]

# %% mystnb={"image": {"alt": "Four query images, each followed by its mixes with the same five styles; in a column, hair, skin and background take similar colours"}, "figure": {"caption": "Each row is one query, each column after the first one style. In a column, the same kind of thing takes on a similar colour in every row: a style that makes one person's hair reddish does so for the others, too.", "name": "fig-same-style"}}
image_grid(
    [[image, *found] for image, found in zip(images, mixes)],
    column_titles=["query", *(f"style {j}" for j in range(1, 6))],
)

# %% [markdown]
# So entry $j$ of a pixel's row of $\mathbf{X}_s$ means the same in every image: the colour that *this* kind of thing
# takes under style $j$. We can draw such a row as a curve. For two images, take the mean row of the foreground and the
# mean row of the background, and subtract from each its own mean over the styles. What remains shows how the lightness
# changes from style to style.

# %% tags=["hide-input"]
summaries = [segmenter.summary(w0) for w0 in latents]


def movement(summary, mask):
    """Lightness of the pixels in a mask under each style, less its mean."""
    lightness = np.asarray(summary.rows(np.flatnonzero(mask)))[:, ::3]
    if not len(lightness):  # a rule may find nothing
        return np.zeros(lightness.shape[1])
    return lightness.mean(0) - lightness.mean()


curves = {}
for place in (0, 1):
    labels = segmenter.cluster(summaries[place]).labels
    mask = rule_mask(labels, P.method.k, RULES["saliency"])
    curves[f"image {place + 1}, foreground"] = movement(summaries[place], mask)
    curves[f"image {place + 1}, background"] = movement(summaries[place], ~mask)

# %% mystnb={"image": {"alt": "Four curves over the styles: the two foreground curves run close together, the two background curves do as well"}, "figure": {"caption": "How the lightness of foreground and background moves over the styles, in two images. Curves of the same kind of thing run together although the images show different people.", "name": "fig-movement"}}
lines(
    range(1, n + 1),
    curves,
    xlabel="style",
    ylabel="lightness, less its mean",
)

# %% [markdown]
# ## A judge of pixels, without labels
#
# If rows of different images can be compared, then we can learn from many images which rows are foreground. Nobody has
# labelled them, but we have the paper's two rules. Each of them errs on some images, but they err in different ways,
# and a mistake in one image is not repeated in the next, whereas what is right is the same in all images. So the idea
# is to learn what repeats:
#
# 1. Segment many images with both rules. Keep the pixels on which the two agree, and use the common answer as their
#    label.
# 2. Train a small network on single pixels, rather than a linear function such as Fisher's discriminant
#    {cite}`fisher1936`: the centred row of $\mathbf{X}_s$ goes in, the log-odds of foreground come
#    out. For aligned images, such as portraits, compute a *location prior* from its masks: the log-odds of foreground
#    at each place.
# 3. Segment the same images with the result. Of the pixels from step 1 keep those on which it agrees and is sure, and
#    train again. This is *self-training*.
# 4. To decide when to stop, train one judge on each half of the images, and continue as long as the masks of the two
#    become more alike. No reference is needed for that. (The last line of the first table below says after how many
#    rounds it ended for faces. More rounds than `SelfTraining.rounds` are not tried.)
#
# In a single image, the judge's log-odds are also averaged inside small clusters of that image, because pixels that
# vary together belong together. The code is short; it stands in `stylemixseg/joint/network.py`, `judge.py` and
# `selftraining.py`.
#
# For faces such a judge comes with the package; `data_scripts/fit_judge.py` fitted it on 150 synthetic faces. For
# another generator, `judges_for` fits one now.

# %% tags=["remove-output"]
judges = judges_for(generator, P)
judge = judges[n]

# %% mystnb={"image": {"alt": "For four images: the query, the mask by the saliency rule, the probability of foreground by the judge, and its mask"}, "figure": {"caption": "From left to right: query, mask of the paper's saliency rule, the judge's probability of foreground (white is 1), and the judge's mask. The same styles serve both.", "name": "fig-judge"}}
from stylemixseg.joint.place import resized
from stylemixseg.segmenter import probability_of

rows = []
for image, summary in zip(images, summaries):
    labels = segmenter.cluster(summary).labels
    by_rule = rule_mask(labels, P.method.k, RULES["saliency"])
    probability = probability_of(judge, judge.score(summary), image)
    rows.append(
        [
            image,
            overlay(image, by_rule),
            probability,
            overlay(image, resized(probability, by_rule.shape) > 0.5),
        ]
    )
image_grid(rows, column_titles=["query", "saliency", "judge", "its mask"])

# %% [markdown]
# ## The ladder
#
# Which of the ingredients helps, and by how much? Each row of the table, called a rung of the ladder, adds one
# ingredient. All were scored on 60 development faces on which nothing was fitted, with the face parser as reference.
# *Gain* is the difference to the rung before, with the interval of a paired bootstrap over the same images: where it
# excludes zero, the sign is certain for faces of this kind.

# %% tags=["hide-input"]
RUNGS = {
    "saliency": "the paper: saliency, k = 4",
    "corner_minority": "the paper: corner minority, k = 4",
    "line": "a line (Fisher's discriminant) on agreed pixels",
    "network": "a small network in place of the line",
    "prior": "+ location prior",
    "clusters": "+ averaging inside 16 clusters of the image",
    "rounds": "+ self-training, as long as two halves agree more",
}
NS = (4, 8, 20)
development = folder / "development"
ladder_files = [development / "judge.json", development / "judge_n4.json"]
if all(file.exists() for file in ladder_files):
    ladder = measurements([load_run(file) for file in ladder_files])
    rows = [
        [
            words,
            *(
                measured_text(ladder.get(f"judge.n{count}.ladder.{rung}.miou"))
                for count in NS
            ),
            ""
            if rung == "saliency"
            else measured_text(ladder.get(f"judge.n20.ladder.{rung}.gain")),
        ]
        for rung, words in RUNGS.items()
    ]
    rows.append(
        [
            "+ outline moved outwards",
            *(
                measured_text(ladder.get(f"judge.n{count}.chosen.miou"))
                for count in NS
            ),
            "",
        ]
    )
    edges_file = development / "edges.json"
    edges = measurements([load_run(edges_file)]) if edges_file.exists() else {}
    rows.append(
        [
            "+ outline along the image's edges (the judge that is used)",
            *(
                measured_text(edges.get(f"edges.n{count}.with.miou"))
                for count in NS
            ),
            "",
        ]
    )
    rounds = [ladder[f"judge.n{count}.rounds"].value for count in NS]
    rows.append(
        ["rounds of self-training", *(f"{number:.0f}" for number in rounds), ""]
    )
    header = [
        "rung",
        *(f"mIoU, n = {count}" for count in NS),
        "gain, n = 20",
    ]
    text = table(header, rows)
    header = ["within 3 px of the outline", "mIoU, n = 8", "mIoU, n = 20"]
    rows = [
        [
            f"{name} the image's edges",
            *(
                measured_text(edges.get(f"edges.n{count}.{name}.trimap.miou"))
                for count in (8, 20)
            ),
        ]
        for name in ("without", "with")
    ]
    text += f"\n\n{table(header, rows)}"
else:
    text = "This results folder holds no ladder."
display(Markdown(text))

# %% [markdown]
# The last rung changes few pixels, so its effect on the mIoU over all pixels is small, whereas it can be measured near
# the outline. The judge works at 256 px, because a summary tensor of higher resolution tells it no more; but the query
# image has 1024 px and shows where hair ends. A *guided filter* ([He, Sun and Tang
# 2013](https://doi.org/10.1109/TPAMI.2012.213)) uses that: in each small window the new mask is a linear function of
# the image's colours, so it can only change where the image changes.
#
# Two remarks say how independent these numbers are of the reference.
#
# - The last two rungs are the only ones that were chosen with a reference. The face parser, like the people who drew
#   the masks that it learnt from, draws its outline a little outside of the hair, in what looks like background. Our
#   masks end where the colours end. So we move the outline by a fixed distance, the same for all images, to follow the
#   parser's convention. This distance, and the radius within which the outline then follows edges, were chosen on the
#   same development faces, so the scores of the last rows are a little too high. The judge for four styles takes over the
#   distance and the radius that were chosen for the others, and it was not measured along the image's edges.
# - The settings of the paper's rules were chosen with the parser too ([foreground rules](05_foreground_rules.ipynb)),
#   and the judge depends on this choice too, because it learnt from their masks.
#
# ## On the evaluation images
#
# Now we measure once on images that were not used for any choice. The next cell is `stylemixseg reproduce joint`.

# %% tags=["remove-output"]
result_file = run_joint(P, folder, generator)
found = measurements(result_file)
scores = read_scores(scores_path(result_file))

# %% tags=["hide-input"]
joint = f"{P.prefix}joint.ffhq"
most = max(P.joint.ns)
full_file = folder / "full" / "joint.json"
full = measurements([load_run(full_file)]) if full_file.exists() else {}
METHODS = {
    f"saliency.n{most}": f"the paper's saliency rule, n = {most}",
    f"corner_minority.n{most}": f"the paper's corner minority rule, n = {most}",
} | {f"judge.n{count}": f"judge, n = {count}" for count in P.joint.ns}
rows = [
    [
        title,
        *measured_cells(found.get(f"{joint}.{name}.miou")),
        measured_text(full.get(f"joint.ffhq.{name}.miou")),
        measured_text(full.get(f"joint.ffhq.{name}.trimap.miou")),
    ]
    for name, title in METHODS.items()
]
header = [
    "method (measured here)",
    "mIoU",
    "95 % interval",
    "images",
    "full run, mIoU",
    "full run, 3 px trimap",
]
display(Markdown(table(header, rows)))


# %% tags=["hide-input"]
def confusions(name):
    return [Confusion(*item) for item in scores[f"{joint}.{name}"].counts]


gain, (low, high) = paired_difference(
    confusions(f"judge.n{n}"),
    confusions(f"saliency.n{most}"),
    "miou",
    "dataset",
)
recorder.add(
    f"{P.prefix}many_images.gain",
    gain,
    n=len(P.queries.seeds),
    interval=(low, high),
)
display(
    Markdown(
        f"With {n} styles the judge is {gain:+.3f} mIoU from the saliency rule "
        f"with {most} styles, {low:+.3f} to {high:+.3f} by paired bootstrap."
    )
)

# %% [markdown]
# Fewer styles cost less, because with eight of them only eight images are synthesised for a mask. A rule needs many
# styles, because the clusters must be found in one image; a judge needs fewer, because it has learnt from many images
# what each style does.
#
# ### The worst images
#
# A mean hides failures, so we also look at the ten images of the full run on which the judge agrees least with the
# reference. If the full run used another generator, they are the worst images of this run. The mIoU is that of the
# run, and the masks are made anew with the styles of this chapter.

# %% tags=["hide-input"]
about_full = bool(full) and (
    load_run(full_file).generator["sha256"] == generator.digest
)
single = read_scores(scores_path(full_file)) if about_full else scores
prefix = "joint.ffhq" if about_full else joint
by_image = single[f"{prefix}.judge.n{n}"].by_image()
worst = sorted(by_image, key=by_image.get)[:10]
blocks = []
for start in range(0, len(worst), 5):
    columns = []
    for name in worst[start : start + 5]:
        w0 = query_latent(generator, P, int(name.removeprefix("seed")))
        image, summary = query_image(generator, w0, side), segmenter.summary(w0)
        labels = segmenter.cluster(summary).labels
        by_rule = rule_mask(labels, P.method.k, RULES["saliency"])
        probability = probability_of(judge, judge.score(summary), image)
        by_judge = resized(probability, by_rule.shape) > 0.5
        columns.append(
            [image, overlay(image, by_rule), overlay(image, by_judge)]
        )
    columns += [[None] * 3] * (5 - len(columns))
    blocks += zip(*columns)
values = ", ".join(f"{by_image[name]:.2f}" for name in worst)
display(Markdown(f"mIoU of the judge, in reading order: {values}."))

# %% mystnb={"image": {"alt": "The ten images with the lowest mIoU of the judge, in two blocks of five; in each block a row of queries, a row of masks by the rule, a row of masks by the judge"}, "figure": {"caption": "The ten worst images, in two blocks of five: query, the paper's rule, the judge. Typical causes are a second person, hair in front of a background of the same colour, and clothes that have the colours of what is behind them.", "name": "fig-worst-judged"}}
image_grid(blocks, row_titles=["query", "rule", "judge"] * (len(blocks) // 3))

# %% [markdown]
# ## Is the confidence a probability?
#
# The judge gives each pixel a number between 0 and 1. This number can be called a probability if, for example, of all
# pixels that get about 0.8, about 80 % are foreground. The *reliability diagram* shows whether this holds, and the
# *expected calibration error* is the mean distance from the diagonal, weighted by the number of pixels
# {cite}`guo2017`.

# %% tags=["hide-input"]
reliability = f"{joint}.judge.n{n}.reliability"
bins = [
    (
        found[f"{reliability}.bin{b:02d}.said"].value,
        found[f"{reliability}.bin{b:02d}.share"].value,
    )
    for b in range(15)
    if f"{reliability}.bin{b:02d}.said" in found
]
said, share = zip(*bins[::2])  # every second bin is enough to see the curve

# %% mystnb={"image": {"alt": "Reliability diagram: share of foreground against the probability given, beside the diagonal"}, "figure": {"caption": "Share of foreground among the pixels that got a probability, against that probability. Where the curve is on the diagonal, the judge's confidence is a probability.", "name": "fig-reliability"}}
lines(
    np.round(said, 2),
    {"judge": share, "a perfect probability": said},
    xlabel="probability given",
    ylabel="share of foreground",
)

# %% tags=["hide-input"]
here, in_full = f"{joint}.judge.n{n}", f"joint.ffhq.judge.n{n}"
error, of_all, of_surest = (
    (
        measured_text(found[f"{here}.{name}"]),
        measured_text(full.get(f"{in_full}.{name}")),
    )
    for name in ("calibration_error", "miou", "surest.miou")
)
display(
    Markdown(
        f"Expected calibration error: {error[0]} here, {error[1]} in the "
        "full run. Without the tenth of the images on which the judge is "
        f"least sure, its mIoU is {of_surest[0]} in place of {of_all[0]} "
        f"(full run: {of_surest[1]} in place of {of_all[1]})."
    )
)

# %% [markdown]
# Nearly all pixels lie at the two ends, where the judge is right. In the middle, where few pixels lie, it is not well
# calibrated: pixels that get about one half, for example, are foreground in fewer than half of the cases. The
# calibration error above is small nevertheless, because it weighs each bin by its number of pixels.
#
# The second number answers another question: is the judge less confident where it is wrong? If it is, then rejecting
# the masks with the lowest confidence must raise the score of the others. Whoever makes training data can reject
# masks, because more images can always be made.
#
# ## Classes that keep their names
#
# In one image, cluster 2 may be hair and in the next one a wall, because clusters are numbered by size and have no
# names. If the pixels of many images are clustered *together*, a cluster is the same thing in all of them. We cluster
# the foreground pixels of a few images, each described by its centred row of $\mathbf{X}_s$ scaled to length 1, so
# that only the direction of the movement counts.

# %% tags=["remove-output"]
from stylemixseg.joint.classes import fit_clusters

seeds = range(P.joint.fit_first, P.joint.fit_first + 12)
more = [segmenter.summary(query_latent(generator, P, seed)) for seed in seeds]
coarse = judge.without_edges()
masks = [resized(coarse.score(x), x.shape[:2]) > 0 for x in more]
clusters = fit_clusters(list(zip(more, masks)), k=8, ns=(n,))[n]

# %% tags=["hide-input"] mystnb={"image": {"alt": "A slider over eight rows of images; in row i only the pixels of cluster i are bright"}, "figure": {"caption": "Move the slider, look at what each of the eight clusters shows, and give it a name.", "name": "fig-name-clusters"}}
example_masks = [resized(coarse.score(x), x.shape[:2]) > 0 for x in summaries]
shown = [
    (image, mask, clusters.assign(summary))
    for image, mask, summary in zip(images, example_masks, summaries)
]
picture_slider(
    cluster_rows(shown, clusters.k),
    [f"cluster {number}" for number in range(clusters.k)],
    name="cluster",
    width=640,
)

# %% [markdown]
# You have just done by eye what `names_by_majority` does with a handful of labelled images: each cluster gets the name
# of the part that most of its pixels belong to. Here four images are labelled by the reference. From then on every
# image of this generator is segmented into named parts.

# %% tags=["hide-input"]
references = [
    reference_parts(P.reference, generator, P, seed, image)[0]
    for seed, image in zip(P.queries.examples, images)
]
if P.reference == "face_parser":  # its 19 classes in four
    references, parts = [OF_PARSER[labels] for labels in references], CLASSES
else:
    parts = ("background", *(f"part {label}" for label in range(1, 20)))
named = names_by_majority(clusters, list(zip(summaries, references)), parts)

# %% mystnb={"image": {"alt": "Two rows: images that were never labelled, and their class maps in one set of colours"}, "figure": {"caption": "Images that were not used to name the clusters, and their class maps. A colour means the same part in all of them.", "name": "fig-class-maps"}}
from stylemixseg.joint.classes import class_map

others = [
    query_image(generator, query_latent(generator, P, seed), side)
    for seed in list(seeds)[:5]
]
maps = [class_map(clusters, named, x, mask) for x, mask in zip(more[:5], masks)]
image_grid([others, [clusters_to_color(labels) for labels in maps]])

# %% [markdown]
# For faces, twelve clusters found on 150 images come with the package, with names that were given once:
# `stylemixseg segment --seed 7 --classes -o out/` uses them, `stylemixseg name-clusters` shows them and takes other
# names. How good are they? The last row has the paper's eight clusters of one image, each named with the help of the
# reference. This needs eight names for every image anew, which no method without labels could give.

# %% tags=["hide-input"]
ROWS = {
    f"shared.n{count}": f"shared clusters, n = {count}" for count in (20, 8)
}
ROWS["k8.n20"] = "k = 8 of each image, named by the reference"
rows = [
    [
        words,
        *(
            measured_text(full.get(f"joint.ffhq.classes.{name}.{part}.fg_iou"))
            for part in CLASSES
        ),
        measured_text(full.get(f"joint.ffhq.classes.{name}.mean")),
    ]
    for name, words in ROWS.items()
]
display(Markdown(table(["IoU, full run", *CLASSES, "mean of the four"], rows)))

# %% [markdown]
# ### Inside the face: a second level
#
# Brows, eyes and mouth are small, so none of the twelve clusters represents them, and they are part of what is called
# skin. But we can cluster again: the pixels that are called skin in 100 faces were divided into many more clusters,
# and each was named once, after 20 labelled faces. Here the majority is not enough, because hardly any cluster
# consists mostly of eyes; so rare classes weigh more (`balance` in `names_by_majority`). The number of clusters and
# this weight were chosen on 30 development faces (`data_scripts/fit_features.py`). The table is from 30 others.

# %% tags=["hide-input"]
features_file = folder / "development" / "features.json"
if features_file.exists():
    inside = measurements([load_run(features_file)])
    rows = [
        [
            f"second level, n = {count}",
            *(
                measured_text(inside[f"features.shown.n{count}.{part}.fg_iou"])
                for part in FEATURES[1:]
            ),
        ]
        for count in (20, 8)
    ]
    said = (
        f"{inside['features.k'].value:.0f} clusters inside the skin.\n\n"
        + table(["IoU", *FEATURES[1:]], rows)
    )
else:
    said = "This results folder holds no such measurement."
display(Markdown(said))

# %% [markdown]
# Lips take on colours of their own under a style, so the mouth is found well. A nose is skin and changes colour as
# skin does, so it is found only because some clusters stay near its place. Brows change colour as hair does, and vary
# most from face to face. `stylemixseg segment --seed 7 --classes --features -o out/` draws all of them.
#
# ## Limits
#
# - A judge belongs to one generator, one set of styles and one number of styles, because its inputs are the colours
#   under exactly these styles. The package refuses to use it elsewhere and says why; for another generator fit your
#   own.
# - The location prior is for aligned images, in which the object is always at the same place. For scenes it must be
#   off (`SelfTraining(aligned=False)`).
# - What both rules get wrong in the same way in most images, the judge learns as if it were right, because it cannot
#   distinguish a repeated error from a fact.
# - A second person, or a background in the colours of hair, is still the most frequent cause of failures.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-many-styles
# The judge was fitted for one set of styles. What happens if you draw other styles (another `style_seed`) and use it
# all the same? Predict how many pixels of an example change sides before you open the solution.
# ```
#
# ```{solution-start} ex-many-styles
# :class: dropdown
# ```
#
# The entries of a row now belong to other styles, so the network reads numbers that mean something else. The mask is
# not random, because the location prior does not depend on styles, but it is much worse. `load_judge` refuses such a
# use; here we go round it.

# %%
other_styles = StyleMixSegmenter(
    generator,
    replace(P.method, n=n, style_seed=P.method.style_seed + 1),
    resolution=side,
)
wrong = judge.score(other_styles.summary(latents[0])) > 0
right = judge.score(summaries[0]) > 0
print(f"{(wrong != right).mean():.0%} of the pixels change sides")

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ```{exercise}
# :label: ex-many-prior
# A location prior is the log-odds of foreground at each place. Write `location_prior(masks)`, which computes it from
# aligned masks: at each pixel, count the masks that are foreground there and those that are background, add one to
# both counts so that neither is 0, and take the logarithm of their quotient. Then ask how much of a mask comes from the
# place alone: compare the mask of the judge's prior with the judge's own masks on the four examples. `judge.prior` holds
# such log-odds for a smaller image, `resized(judge.prior, shape)` enlarges them, and `example_masks` are the masks of the
# judge.
# ```
#
# ```{solution-start} ex-many-prior
# :class: dropdown
# ```
#
# The mask of the prior is the same for every image: it is the mean mask of
# [the chapter on evaluation](06_evaluation.ipynb) without a reference. What differs from it was seen in the image.


# %% tags=["answer"]
import numpy as np


def location_prior(masks):
    """Log-odds of foreground at each place, from aligned masks.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (H, W) float: log of (foreground count + 1) / (background count + 1).
    """
    foreground = masks.sum(0)
    background = len(masks) - foreground
    return np.log((foreground + 1) / (background + 1))


# %% tags=["check"]
def check_location_prior():
    """Say whether `location_prior` is right, and what to look at if not."""
    from stylemixseg.feedback import expect

    masks = np.zeros((4, 1, 3), bool)
    masks[:, 0, 0] = True  # always foreground
    masks[:2, 0, 1] = True  # in two of four
    expect(
        "location_prior(masks)",
        location_prior(masks),
        [[np.log(5), 0, -np.log(5)]],
        hint="count over the masks, axis 0; 4 foreground and 0 background "
        "give log(5 / 1); where both are as frequent, the log-odds are 0",
        tolerance=1e-6,
    )
    print("Right. Above 0 the place says foreground, below 0 background.")


check_location_prior()

# %%
place_only = resized(judge.prior, example_masks[0].shape) > 0
for number, mask in enumerate(example_masks, 1):
    print(
        f"image {number}: {(place_only == mask).mean():.0%} of the pixels agree"
    )

# %% [markdown]
# ```{solution-end}
# ```

# %% [markdown]
# ## Summary
#
# - With shared styles, an entry of the style summary tensor means the same in every image, so pixels of many images lie
#   in one space.
# - A judge of pixels learns from the paper's own masks what is the same in many images. It needs no labels and fewer
#   styles, and its masks are better than those it learnt from.
# - Self-training stops when the masks of two judges, trained on one half of the images each, no longer become more
#   alike.
# - Its confidence is close to a probability for nearly all pixels, and rejecting the masks with the lowest confidence
#   raises the score.
# - Clusters of many images keep their names: a dozen names, given once, segment every later face into parts.
#
# Next: [beyond StyleGAN](13_beyond_stylegan.ipynb), where the variants of an image come from elsewhere.

# %% tags=["remove-cell"]
_ = recorder.write()  # its path is of this machine
