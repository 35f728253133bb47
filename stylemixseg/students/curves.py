"""The curves of a training while it runs: its loss, and how well the network does on images that it does not see."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from stylemixseg._util.checks import check_int, check_real
from stylemixseg._util.optional import extra
from stylemixseg._util.paths import atomic_write
from stylemixseg.training import GradientLearner, Training

with extra("notebooks", "Plotting needs Matplotlib"):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

_PICTURES = (".png", ".svg", ".pdf")
_SMOOTHED = 20  # points of a smooth curve of the loss, over which steps are averaged


class LiveCurves:
    """A figure that is drawn anew while a network learns: give it to `fit_student` as `after_step`.

    Its numbers are kept in the training's log, so the curves of a training that was stopped go on where they were.

    Args:
        show: takes each new figure, such as `in_notebook()` or `to_file(path)`.
        measure: averaged network -> a number, such as `students.fit.held_out_miou(pairs, side)`; None: the loss alone.
        measured: what `measure` measures, for the axis.
        every: steps between two measurements.
        seconds: at least so long between two drawings.

    Raises:
        TypeError, ValueError: every below 1, or seconds below 0.
    """

    def __init__(
        self,
        show: Callable[[Figure], None],
        measure: Callable[[nn.Module], float] | None = None,
        *,
        measured: str = "mIoU on held-out pairs",
        every: int = 20,
        seconds: float = 3.0,
    ):
        self._show, self._measure, self._measured = show, measure, measured
        self._every, self._seconds = check_int("every", every, 1), check_real("seconds", seconds, 0, 1e6)
        self._drawn = -np.inf
        self._log: list[dict[str, Any]] = []

    def __call__(self, run: Training) -> None:
        """Note a step that was taken, measure if it is time to, and draw."""
        learner = run.learner
        assert isinstance(learner, GradientLearner)
        entry = {"step": learner.step, "loss": learner.loss}
        with run.paused():
            if self._measure is not None and learner.step % self._every == 0:
                entry["measured"] = self._measure(learner.average.network)
            run.log.append(entry)
            self._log = run.log
            if time.monotonic() - self._drawn >= self._seconds:
                self.draw()
                self._drawn = time.monotonic()

    def draw(self) -> None:
        """Show all steps so far: at the end of a training, since the last drawing may be a few seconds old."""
        if self._log:
            self._show(self.figure())

    def figure(self) -> Figure:
        """The curves of all steps so far; the figure is closed for pyplot.

        Raises:
            ValueError: no step was taken.
        """
        if not (log := self._log):
            raise ValueError("curves need at least one step, got none")
        steps, losses = (np.array([entry[key] for entry in log], float) for key in ("step", "loss"))
        rows = 1 if self._measure is None else 2
        figure, axes = plt.subplots(rows, figsize=(6, 2 * rows), sharex=True, squeeze=False, layout="constrained")
        axes[0, 0].plot(steps, losses, color="0.8", linewidth=0.8, label="each step")
        blocks = [block for block in np.array_split(np.arange(len(log)), _SMOOTHED) if len(block)]
        means = [(steps[block].mean(), losses[block].mean()) for block in blocks]
        axes[0, 0].plot(*zip(*means, strict=True), color="#0072b2", label="mean of several")
        axes[0, 0].set(ylabel="loss", ylim=(0, None))
        axes[0, 0].legend(fontsize=9)
        if self._measure is not None:
            found = [(entry["step"], entry["measured"]) for entry in log if "measured" in entry]
            if found:
                # the last marker lies on the frame, which would cut it in two
                axes[1, 0].plot(*zip(*found, strict=True), color="#d55e00", marker="o", clip_on=False)
            axes[1, 0].set(ylabel=self._measured)
        axes[-1, 0].set(xlabel="step", xlim=(0, steps[-1]))
        for axis in axes[:, 0]:
            axis.grid(color="0.9")
        plt.close(figure)
        return figure


def in_notebook() -> Callable[[Figure], None]:
    """Show each figure in the place of the one before, below the cell that runs."""
    with extra("notebooks", "Showing figures in a notebook needs IPython"):
        from IPython.display import display
    handle: Any = None

    def show(figure: Figure) -> None:
        nonlocal handle
        if handle is None:
            handle = display(figure, display_id=True)
        else:
            handle.update(figure)

    return show


def to_file(path: str | Path) -> Callable[[Figure], None]:
    """Write each figure to a picture, in the place of the one before.

    Args:
        path: ends in .png, .svg or .pdf.

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    if path.suffix not in _PICTURES:
        raise ValueError(f"path must end in {', '.join(_PICTURES)}, got {path}")

    def show(figure: Figure) -> None:
        with atomic_write(path) as temporary:
            figure.savefig(temporary)

    return show
