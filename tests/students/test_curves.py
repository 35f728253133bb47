"""Curves of a training: they follow it, go on with it, and change nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from stops import StopsAfter
from torch import nn

from stylemixseg.students.curves import LiveCurves, in_notebook, to_file
from stylemixseg.students.fit import StudentTraining, fit_student, held_out_miou
from stylemixseg.students.pairs import Pairs
from stylemixseg.training import Stopping
from stylemixseg.training.statefile import read_state

HOW = StudentTraining(6, 2, 33, rate=0.01, optimiser="sgd")


def pairs() -> Pairs:
    """Bright squares before a dark ground, which are the foreground."""
    masks = torch.zeros(4, 40, 40, dtype=torch.uint8)
    masks[:, 10:30, 10:30] = 255
    return Pairs(masks[:, None].repeat(1, 3, 1, 1), masks)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def curves_of(figure) -> list[np.ndarray]:
    return [line.get_xydata() for axis in figure.axes for line in axis.lines]


def trained(state, curves=None, how=HOW, stop=None):
    with stop or Stopping() as asked:
        return fit_student(network(), pairs(), how, state, asked, after_step=curves)


def test_each_step_and_each_measurement_is_in_the_figure(tmp_path):
    shown = []
    curves = LiveCurves(shown.append, held_out_miou(pairs(), 33), every=3, seconds=0)
    trained(tmp_path / "state.pt", curves)
    assert len(shown) == 6  # one drawing per step, since no time has to pass
    each, _, measured = curves_of(shown[-1])
    log = read_state(tmp_path / "state.pt")["log"]
    assert each[:, 0].tolist() == [1, 2, 3, 4, 5, 6] and each[:, 1].tolist() == [entry["loss"] for entry in log]
    assert measured[:, 0].tolist() == [3, 6] and (measured[:, 1] >= 0).all() and (measured[:, 1] <= 1).all()


def test_measuring_and_drawing_change_nothing(tmp_path):
    watched = trained(
        tmp_path / "a.pt", LiveCurves(lambda figure: None, held_out_miou(pairs(), 33), every=1, seconds=0)
    )
    alone = trained(tmp_path / "b.pt")
    for ours, theirs in zip(watched.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_curves_go_on_with_a_stopped_training(tmp_path):
    assert trained(tmp_path / "state.pt", LiveCurves(lambda figure: None), stop=StopsAfter(2)) is None
    shown = []
    curves = LiveCurves(shown.append, seconds=1e6)
    trained(tmp_path / "state.pt", curves)
    assert len(shown) == 1  # after the first step; the last figure is for `draw`
    curves.draw()
    assert curves_of(shown[-1])[0][:, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_picture_is_replaced_and_its_ending_is_checked(tmp_path):
    file = tmp_path / "new" / "curves.png"
    curves = LiveCurves(to_file(file), seconds=0)
    trained(tmp_path / "state.pt", curves)
    assert file.read_bytes().startswith(b"\x89PNG") and [path.name for path in file.parent.iterdir()] == [file.name]
    with pytest.raises(ValueError, match=r"path must end in .png, .svg, .pdf, got curves.txt"):
        to_file("curves.txt")


def test_in_a_notebook_one_figure_is_updated(monkeypatch):
    class Handle:
        updated = 0

        def update(self, figure):
            self.updated += 1

    handle, asked = Handle(), []
    monkeypatch.setattr("IPython.display.display", lambda figure, **options: asked.append(options) or handle)
    show = in_notebook()
    for figure in ("first", "second", "third"):
        show(figure)
    assert asked == [{"display_id": True}] and handle.updated == 2


def test_nothing_is_drawn_before_the_first_step():
    shown = []
    curves = LiveCurves(shown.append)
    curves.draw()
    assert not shown
    with pytest.raises(ValueError, match="at least one step, got none"):
        curves.figure()


def test_wrong_arguments():
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        LiveCurves(print, every=0)
    with pytest.raises(ValueError, match="pairs must have soft masks"):
        held_out_miou(Pairs(pairs().images, pairs().masks * 0, ("background", "skin")), 33)


def test_held_out_miou_is_that_of_the_masks():
    def from_red(weight: float, bias: float) -> nn.Module:
        """Log-odds of a pixel from its red alone."""
        layer = nn.Conv2d(3, 1, 1)
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.weight[:, 0], weight)
        nn.init.constant_(layer.bias, bias)
        return layer

    assert held_out_miou(pairs(), 40)(from_red(10.0, 0.0)) == pytest.approx(1.0, abs=0.03)
    nothing = held_out_miou(pairs(), 40)(from_red(0.0, -5.0))
    assert nothing == pytest.approx(0.75 / 2)  # all background: a quarter is foreground
