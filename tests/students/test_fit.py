"""Pairs, the loss, and a training that learns, stops, and goes on with the same bits."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from torch import nn

from stylemixseg.factory.filters import Filters
from stylemixseg.factory.recipe import Recipe
from stylemixseg.factory.run import synthesize
from stylemixseg.foreground import CornerMinority
from stylemixseg.settings import SegmenterConfig
from stylemixseg.students.fit import StudentTraining, class_loss, fit_student, held_out_miou, weighted_loss
from stylemixseg.students.pairs import Pairs, pairs_of_set
from stylemixseg.training import Stopping, TrainingStateError
from stylemixseg.training.views import IGNORE

HOW = StudentTraining(steps=30, batch=4, side=33, rate=1e-2)


def network() -> nn.Module:
    """Looks at three by three pixels."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))


@pytest.fixture
def pairs() -> Pairs:
    """Reddish discs before bluish backgrounds; the mask is the disc."""
    y, x = np.mgrid[:40, :40]
    items = []
    for number in range(12):
        disc = (y - 12 - number) ** 2 + (x - 20) ** 2 < 100
        image = np.where(disc[..., None], [200, 60, 40], [40, 60, 200]).astype(np.uint8)
        items.append((image, disc.astype(np.float32)))
    return Pairs.of(items, 40)


def test_pairs_have_one_size(pairs):
    assert len(pairs) == 12 and pairs.images.shape == (12, 3, 40, 40) and pairs.masks.dtype == torch.uint8
    assert pairs.digest == Pairs(pairs.images.clone(), pairs.masks.clone()).digest
    assert pairs.digest != Pairs(pairs.images, 255 - pairs.masks).digest
    with pytest.raises(ValueError, match=r"masks must be \(12, 40, 40\), as the images are"):
        Pairs(pairs.images, pairs.masks[:2])
    with pytest.raises(ValueError, match="at least one pair"):
        Pairs.of([], 8)


def test_pairs_shrink_by_averaging():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, ::2] = 200
    pairs = Pairs.of([(image, np.ones((16, 16), np.float32))], 4)
    assert (pairs.images.float() - 100).abs().max() < 30 and (pairs.masks == 255).all()


def test_pairs_of_a_set(tmp_path):
    recipe = Recipe("toy-portrait", SegmenterConfig(n=6, k=3, rule=CornerMinority()), size=32)
    synthesize(tmp_path / "set", recipe, 4)
    pairs = pairs_of_set(tmp_path / "set", 16)
    assert len(pairs) == 4 and pairs.images.shape == (4, 3, 16, 16)
    (tmp_path / "set" / "samples" / "0000000" / ".0000000001.zip.x.zip").write_bytes(b"")  # a killed process left it
    assert pairs_of_set(tmp_path / "set", 16).digest == pairs.digest
    assert all(0.05 < (mask > 127).float().mean() < 0.95 for mask in pairs.masks)
    with pytest.raises(ValueError, match="at least one pair"):
        pairs_of_set(tmp_path / "set", 16, Filters(mask_share=(0.99, 1)))
    with pytest.raises(FileNotFoundError, match="synthesize"):
        pairs_of_set(tmp_path / "none", 16)


def test_the_loss_by_hand():
    """Log-odds of 0 cost ln 2; an undecided pixel and one outside of the image cost nothing."""
    scores = torch.tensor([[[[0.0, 100.0, -100.0]]]])
    mask = torch.tensor([[[[1.0, 0.5, 1.0]], [[1.0, 1.0, 0.0]]]])
    assert weighted_loss(scores, mask).item() == pytest.approx(np.log(2))
    assert weighted_loss(scores, torch.zeros(1, 2, 1, 3)).item() == 0


def test_it_learns_and_ends_with_the_same_bits_after_a_stop(pairs, tmp_path):
    with Stopping() as stop:
        whole = fit_student(network(), pairs, HOW, tmp_path / "whole.pt", stop)
    with torch.no_grad():
        found = whole(pairs.images.float() / 127.5 - 1)[:, 0] > 0
    assert (found == (pairs.masks > 127)).float().mean() > 0.9

    with Stopping() as stop:

        def interrupt(run):
            if run.learner.step == 7:
                signal.raise_signal(signal.SIGINT)  # Ctrl-C

        assert fit_student(network(), pairs, HOW, tmp_path / "cut.pt", stop, after_step=interrupt) is None
    with Stopping() as stop:
        again = fit_student(network(), pairs, HOW, tmp_path / "cut.pt", stop)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    other = Pairs(pairs.images, 255 - pairs.masks)  # as many, but others
    with Stopping() as stop, pytest.raises(TrainingStateError, match="pairs"):
        fit_student(network(), other, HOW, tmp_path / "cut.pt", stop)
    with Stopping() as stop, pytest.raises(TrainingStateError, match="start"):
        fit_student(network(), pairs, HOW, tmp_path / "cut.pt", stop, start="other weights")


def labelled(pairs: Pairs) -> Pairs:
    """The discs' upper and lower halves as two classes; the first row is to be ignored."""
    labels = (pairs.masks > 127).byte()
    centre = 12 + torch.arange(len(pairs))
    lower = torch.arange(40)[None, :, None] > centre[:, None, None]
    labels = torch.where(lower & (labels > 0), 2, labels)
    labels[:, 0] = IGNORE
    return Pairs(pairs.images, labels.byte(), ("background", "upper", "lower"))


def test_named_parts_are_learnt(pairs, tmp_path):
    """Which half a pixel belongs to shows in its surroundings, so the network must see some of them."""
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Conv2d(3, 8, 21, padding=10), nn.ReLU(), nn.Conv2d(8, 3, 1))
    with Stopping() as stop:
        how = StudentTraining(steps=80, batch=4, side=33, rate=1e-2)
        found = fit_student(wide, labelled(pairs), how, tmp_path / "state.pt", stop)
    labels = labelled(pairs).masks
    with torch.no_grad():
        guessed = found(pairs.images.float() / 127.5 - 1).argmax(1)
    right = (guessed == labels)[labels != IGNORE].float().mean()
    assert right > 0.85


def test_rare_classes_weigh_more():
    """A class four times as rare weighs twice as much; what is to be ignored counts nowhere."""
    masks = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, IGNORE, IGNORE]).byte().reshape(1, 3, 4)
    loss = class_loss(Pairs(torch.zeros(1, 3, 3, 4).byte(), masks, ("background", "thing")))
    scores = torch.zeros(1, 2, 1, 2)
    scores[0, 0, 0, 0] = 5.0  # the first pixel is surely background, the second undecided
    both = loss(scores, torch.tensor([[[0, 1]]])).item()
    background, thing = np.log1p(np.exp(-5)), np.log(2)
    assert both == pytest.approx((background + 2 * thing) / 3, rel=1e-5)
    with pytest.raises(ValueError, match="none with hair"):
        class_loss(Pairs(torch.zeros(1, 3, 3, 4).byte(), masks, ("background", "thing", "hair")))


def test_a_device_that_is_not_there(pairs, tmp_path):
    with Stopping() as stop, pytest.raises(ValueError, match="device must be a device that PyTorch can use here"):
        fit_student(network(), pairs, HOW, tmp_path / "state.pt", stop, device="cuda:99")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_learns_the_same(pairs, tmp_path):
    """Same views and order, other rounding; and a network that is measured while it learns, on that device."""
    seen = []
    measure = held_out_miou(pairs, 33)
    with Stopping() as stop:
        found = fit_student(
            network(), pairs, HOW, tmp_path / "gpu.pt", stop,
            device="cuda", after_step=lambda run: seen.append(measure(run.learner.average.network)),
        )  # fmt: skip
    assert next(found.parameters()).device.type == "cpu" and len(seen) == HOW.steps
    with Stopping() as stop:
        expected = fit_student(network(), pairs, HOW, tmp_path / "cpu.pt", stop)
    for ours, theirs in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.1)


def test_too_few_pairs(pairs, tmp_path):
    with Stopping() as stop, pytest.raises(ValueError, match="at least a batch of 4, got 3"):
        fit_student(network(), Pairs(pairs.images[:3], pairs.masks[:3]), HOW, tmp_path / "state.pt", stop)


@pytest.mark.parametrize(
    "wrong, message",
    [({"steps": 0}, "steps"), ({"batch": 1}, "batch"), ({"side": 64}, "multiple of 16, plus 1"), ({"rate": 0}, "rate")],
)
def test_settings_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        StudentTraining(**wrong)
