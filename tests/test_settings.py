"""Settings of the method: what they check, the plan they give, and the keys of results that depend on them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from stylemixseg.foreground import CornerMinority, Saliency
from stylemixseg.joint.discriminant import StyleDiscriminant
from stylemixseg.settings import MixPlan, SegmenterConfig


def test_the_plan_is_the_configs():
    config = SegmenterConfig(cutoff=3, resolution=64, color_space="rgb", include_query=True, batch_size=5)
    assert config.plan == MixPlan(3, resolution=64, color_space="rgb", include_query=True, batch_size=5)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"cutoff": -1}, "cutoff must be at least 0, got -1"),
        ({"cutoff": 1.5}, "cutoff must be a whole number, got 1.5"),
        ({"resolution": 0}, "resolution must be at least 1, got 0"),
        ({"color_space": "hsv"}, "color_space must be one of lab, rgb, got 'hsv'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_a_wrong_setting_is_named(change, words):
    for make in (lambda: MixPlan(**{"cutoff": 6} | change), lambda: SegmenterConfig(**change)):
        with pytest.raises((TypeError, ValueError), match=words):
            make()


def test_keys_tell_settings_apart():
    config = SegmenterConfig(n=2)
    weights = np.zeros(6, np.float32)
    same = [replace(config, batch_size=8), replace(config, memory_limit=10**9), SegmenterConfig(n=2)]
    assert {item.cache_key() for item in same} == {config.cache_key()}
    grid = np.linspace(0, 1, 512 * 512).reshape(512, 512)
    others = [
        replace(config, n=3),
        replace(config, cutoff=5),
        replace(config, k=5),
        replace(config, style_seed=1),
        replace(config, rule=CornerMinority()),
        replace(config, rule=Saliency(saliency_map=grid)),
        replace(config, rule=Saliency(saliency_map=grid[::-1])),
        replace(config, judge=StyleDiscriminant(weights, 0.0)),
        replace(config, judge=StyleDiscriminant(weights + 1, 0.0)),
    ]
    keys = {item.cache_key() for item in others}
    assert len(keys) == len(others) and config.cache_key() not in keys


def test_a_rule_that_is_a_function_has_no_key():
    config = SegmenterConfig(rule=lambda labels, k: np.arange(k) > 0)
    with pytest.raises(TypeError, match="got function"):
        config.cache_key()


def test_the_description_is_plain_and_holds_what_changes_results():
    described = SegmenterConfig(n=2, judge=StyleDiscriminant(np.zeros(6, np.float32), 0.0)).describe()
    assert json.loads(json.dumps(described)) == described
    assert (described["n"], described["judge"]) == (2, "discriminant, n = 2") and described["rule"] == repr(Saliency())
    assert "batch_size" not in described and "memory_limit" not in described
