"""Which method an image is segmented with: the paper's rule for clusters, or a judge of pixels where one was fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stylemixseg.foreground import CornerMinority, Saliency
from stylemixseg.generators.base import Generator
from stylemixseg.joint.base import NoJudgeError
from stylemixseg.joint.judge import JUDGED_AT, load_judge
from stylemixseg.segmenter import StyleMixSegmenter
from stylemixseg.settings import JUDGE_STYLES

RULES = {"saliency": Saliency, "corner": CornerMinority}


def choose_method(
    generator: Generator, mask: str | None, rule: str | None, settings: dict[str, Any], *, edges: bool = True
) -> tuple[StyleMixSegmenter, str]:
    """The method, and its name: that of the rule, or "joint".

    Args:
        generator: whose images are segmented.
        mask: "rule", "joint", or None: joint where no rule is asked for and a judge fits, else the rule.
        rule: "saliency", "corner", or None: saliency.
        settings: of the method, by the names of `SegmenterConfig`. Where they leave n and resolution open, a judge gets
            `JUDGE_STYLES` styles and `JUDGED_AT` px.
        edges: whether a judge's outline follows the edges of the generated image; a photo has edges of its own.

    Raises:
        ValueError: a setting out of range, or "joint" where no judge fits.
    """
    segmenter = StyleMixSegmenter(generator, rule=RULES[rule or "saliency"](), **settings)
    if mask == "rule" or (mask is None and rule is not None):
        return segmenter, rule or "saliency"
    usual = {"n": JUDGE_STYLES, "resolution": min(JUDGED_AT, generator.resolution)}
    config = replace(segmenter.config, **usual | settings)
    try:
        judge = load_judge(generator, config)
    except NoJudgeError as error:
        if mask is None:
            return segmenter, "saliency"
        raise ValueError(f"--mask joint needs a judge that was fitted for these settings: {error}") from error
    return StyleMixSegmenter(generator, config, judge=judge if edges else judge.without_edges()), judge.name
