"""Places: even features, a prior that finds where the object is, and fields at another size."""

from __future__ import annotations

import numpy as np

from stylemixseg.joint.place import PLACE_FEATURES, location_prior, place_features, resized


def test_features_do_not_know_left_from_right():
    features = place_features(6, 8)
    assert features.shape == (6, 8, PLACE_FEATURES) and features.dtype == np.float32
    np.testing.assert_allclose(features, features[:, ::-1], atol=1e-6)
    assert not np.allclose(features, features[::-1])  # but above from below


def test_features_are_of_pixel_centres_whatever_the_size():
    coarse, fine = place_features(4, 4), place_features(8, 8)
    np.testing.assert_allclose(coarse[..., 2], fine[..., 2].reshape(4, 2, 4, 2).mean((1, 3)), atol=1e-6)  # y is linear


def test_the_prior_is_where_masks_are():
    scores = []
    for shift in range(-3, 4):
        score = np.full((64, 64), -2, np.float32)
        score[20:, 20 + shift : 44 + shift] = 2
        scores.append(score)
    prior = location_prior(scores)
    assert prior.shape == (64, 64) and prior.dtype == np.float32
    assert prior[45, 32] > 3 and prior[45, 4] < -3 and prior[5, 32] < -3
    np.testing.assert_allclose(prior, prior[:, ::-1], atol=1e-4)
    assert np.abs(prior).max() <= np.log(99) + 1e-4


def test_the_prior_takes_images_of_any_size():
    score = np.where(np.indices((128, 128))[0] > 64, 3.0, -3.0).astype(np.float32)
    assert location_prior([score, score])[60, 10] > 0 > location_prior([score, score])[4, 10]


def test_resizing_a_field():
    field = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert resized(field, (4, 4)) is field
    np.testing.assert_allclose(resized(field, (2, 2)).mean(), field.mean())
    assert resized(field, (8, 12)).shape == (8, 12)
