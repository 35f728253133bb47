"""The average of the weights, early stopping, the learning rate's schedule, and bfloat16."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stylemixseg.training import (
    GradientLearner,
    HeldOut,
    Stopping,
    Training,
    WeightAverage,
    has_fast_bfloat16,
    loss_gradients,
    precision,
    ramped_decay,
    warm_cosine,
)


def test_the_average_equals_its_formula():
    """a_t = d_t a_(t-1) + (1 - d_t) w_t, written out as weights of all the w_t."""
    torch.manual_seed(0)
    network, rng = nn.Linear(3, 2).double(), np.random.default_rng(0)
    values = [network.weight.detach().numpy().copy()]
    decays = [0.2, 0.5, 0.9, 0.99]
    average = WeightAverage(network, lambda step: decays[step - 1])
    for step in range(1, 5):
        values.append(rng.normal(size=(2, 3)))
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(values[-1]))
        average.follow(step)
    shares = [math.prod(decays), *((1 - decay) * math.prod(decays[t + 1 :]) for t, decay in enumerate(decays))]
    assert sum(shares) == pytest.approx(1)
    expected = sum(share * value for share, value in zip(shares, values))
    np.testing.assert_allclose(average.network.weight.numpy(), expected, rtol=1e-12)
    assert np.array_equal(network.weight.detach().numpy(), values[-1])  # what is followed is left alone
    assert not average.network.weight.requires_grad and not average.network.training


def test_running_statistics_are_averaged_and_counters_copied():
    network = nn.BatchNorm1d(2).train()
    average = WeightAverage(network, lambda step: 0.75)
    for step in (1, 2):
        network(torch.full((4, 2), 8.0 * step))
        average.follow(step)
    first, second = 0.8, 0.9 * 0.8 + 1.6  # momentum 0.1
    expected = 0.75 * (0.25 * first) + 0.25 * second
    torch.testing.assert_close(average.network.running_mean, torch.full((2,), expected))
    assert average.network.num_batches_tracked == 2
    other = WeightAverage(nn.BatchNorm1d(2), lambda step: 0.0)
    other.load_state_dict(average.state_dict())
    assert torch.equal(other.network.running_mean, average.network.running_mean)


@pytest.mark.parametrize("step, expected", [(1, 2 / 11), (8, 0.5), (80, 0.9), (10**6, 0.99)])
def test_the_decay_ramps_up(step, expected):
    assert ramped_decay(0.99)(step) == pytest.approx(expected)


def test_the_rate_rises_and_falls():
    rates = [warm_cosine(step, 100) for step in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 11)
    assert rates[10] == 1 and rates[55] == pytest.approx(0.5) and 0 < rates[99] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert warm_cosine(0, 100, warm_up=0) == 1


# --------------------------------------------------------------------------------------------------------- held out


def noise(step: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(8, 3, generator=rng)
    return x, x.sum(1, keepdim=True)


def new_learner() -> GradientLearner:
    torch.manual_seed(1)
    network = nn.Linear(3, 1)
    return GradientLearner(
        network,
        torch.optim.SGD(network.parameters(), lr=0.1),
        loss_gradients(network, noise, F.mse_loss),
        WeightAverage(network, lambda step: 0.5),
    )


@pytest.mark.parametrize("better, sign", [("lower", 1), ("higher", -1)])
@pytest.mark.parametrize("stops", [[], [5], [7]])
def test_no_improvement_ends_the_training(better, sign, stops, tmp_path):
    numbers = [
        5.0,
        3.0,
        4.0,
        math.nan,
        2.0,
        2.0,
        2.5,
        9.0,
        1.0,
    ]  # at steps 2, 4, ...; the best of the first eight at 10
    weights = {}
    for steps in [*stops, 100]:
        learner = new_learner()

        def measure(learner=learner) -> float:
            weights[learner.step] = learner.average.network.weight.clone()
            return sign * numbers[learner.step // 2 - 1]

        held_out = HeldOut(measure, 2, patience=3, better=better, keep=learner.average.network)
        training = Training(learner, tmp_path / "state.pt", held_out=held_out)
        ending = training.run(steps, Stopping())
    assert ending == "no improvement" and learner.step == 16 and held_out.over
    assert held_out.best == sign * 2.0 and held_out.best_step == 10
    assert [entry["step"] for entry in training.log] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert training.log[1] == {"step": 4, "held_out": sign * 3.0}
    assert torch.equal(learner.average.network.weight, weights[16]) and not torch.equal(weights[10], weights[16])
    held_out.restore_best()
    assert torch.equal(learner.average.network.weight, weights[10])
    again = Training(learner, tmp_path / "state.pt", held_out=held_out)
    assert again.run(100, Stopping()) == "no improvement" and learner.step == 16


def test_wrong_arguments_of_held_out():
    for arguments, words in (
        ({"every": 0}, "every must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"better": "best"}, "better must be one of lower, higher, got 'best'"),
    ):
        with pytest.raises(ValueError, match=words):
            HeldOut(lambda: 0.0, **{"every": 1, "patience": 1, **arguments})
    with pytest.raises(ValueError, match="no best weights are kept"):
        HeldOut(lambda: 0.0, 1, 1).restore_best()


# --------------------------------------------------------------------------------------------------------- bfloat16


def test_bfloat16_is_near_enough_and_weights_stay_float32():
    torch.manual_seed(0)
    network = nn.Conv2d(3, 4, 3)
    images, labels = torch.rand(2, 3, 8, 8), torch.randint(0, 4, (2, 6, 6))
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        network.zero_grad()
        outputs = []

        def loss(logits: torch.Tensor, target: torch.Tensor, outputs=outputs) -> torch.Tensor:
            outputs.append(logits)
            return F.cross_entropy(logits, target)

        value = loss_gradients(network, lambda step, rng: (images, labels), loss, dtype=dtype)(0, torch.Generator())
        assert outputs[0].dtype == torch.float32 and network.weight.dtype == network.weight.grad.dtype == torch.float32
        found.append((value, network.weight.grad.clone()))
    (exact, exact_gradient), (rough, rough_gradient) = found
    assert exact != rough and rough == pytest.approx(exact, rel=0.01)
    torch.testing.assert_close(rough_gradient, exact_gradient, atol=0.02 * exact_gradient.abs().max().item(), rtol=0)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("flags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx2 amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t\t: fpu avx2\nmodel name\t: bf16\n", False),
        (None, False),
    ],
)
def test_processors_that_multiply_bfloat16(text, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_CPUINFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert has_fast_bfloat16("cpu") is expected
    assert has_fast_bfloat16("meta") is False
