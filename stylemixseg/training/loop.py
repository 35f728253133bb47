"""A training that is kept in a file: it takes steps until they are done, stops when asked, and goes on from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from tqdm.auto import tqdm

from stylemixseg._util.checks import check_int, check_real
from stylemixseg.training.heldout import HeldOut
from stylemixseg.training.statefile import TrainingStateError, check_settings, read_state, write_state
from stylemixseg.training.stopping import Stopping

Ending = Literal["finished", "stopped", "no improvement"]


class Learner(Protocol):
    """What learns: it takes a step at a time, and its state is all that the next step depends on.

    Attributes:
        step: steps taken so far.
    """

    step: int

    def take_step(self) -> None:
        """Take the next step."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors, in any nesting."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state of `state_dict`, `step` included."""


class Training:
    """A learner, its state on disk, and how long it has taken.

    Args:
        learner: what takes the steps, such as `gradients.GradientLearner`.
        file: of the state. If it is there, the training goes on from it.
        settings: plain values that fix the training, such as the batch size. A state of other settings is refused.
        held_out: ends the training when it no longer improves on held-out data; None: all steps are taken.
        save_seconds: how often the state is written while steps are taken.

    Attributes:
        log: entries of any plain values. notes: plain values by name. Both are the caller's, and are kept with the
            state, so that they never tell of steps that were lost.
        shown: what the progress bar shows beside the steps and the time left, text by name.

    Raises:
        TrainingStateError: the file is damaged, or belongs to another network or other settings.

    Example:
        >>> import torch
        >>> from stylemixseg.training import GradientLearner, Stopping, WeightAverage
        >>> line = torch.nn.Linear(1, 1)
        >>> def gradients(step, rng):
        ...     x = torch.rand(16, 1, generator=rng)
        ...     loss = (line(x) - (3 * x + 1)).square().mean()
        ...     loss.backward()
        ...     return loss.item()
        >>> optimiser = torch.optim.Adam(line.parameters(), lr=0.1)
        >>> learner = GradientLearner(line, optimiser, gradients, WeightAverage(line, lambda step: 0.9))
        >>> training = Training(learner, Path("run/state.pt"), settings={"batch": 16})
        >>> with Stopping(minutes=60) as stop:
        ...     ending = training.run(300, stop)
        >>> round(learner.average.network.weight.item(), 1), learner.step
        (3.0, 300)
    """

    def __init__(
        self,
        learner: Learner,
        file: str | Path,
        *,
        settings: Mapping[str, object] | None = None,
        held_out: HeldOut | None = None,
        save_seconds: float = 120.0,
    ):
        self.learner, self.file, self.held_out = learner, Path(file), held_out
        self.settings = dict(settings or {})
        self._save_seconds = check_real("save_seconds", save_seconds, 0, 1e9)
        self.log: list[Any] = []
        self.notes: dict[str, Any] = {}
        self.shown: dict[str, str] = {}
        self._seconds = 0.0
        self._began: float | None = None  # when the time that is being counted began
        if self.file.exists():
            self._go_on()

    @property
    def seconds(self) -> float:
        """Time spent in steps so far, over all calls; that of saving and of `paused` blocks is not counted."""
        return self._seconds + (0.0 if self._began is None else time.monotonic() - self._began)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time of the block: for measurements and pictures that are no part of the training."""
        running, self._seconds, self._began = self._began is not None, self.seconds, None
        try:
            yield
        finally:
            self._began = time.monotonic() if running else None

    def run(
        self,
        steps: int,
        stop: Stopping,
        *,
        after_step: Callable[[], None] | None = None,
        name: str = "train",
        unit: str = "step",
        unit_scale: int = 1,
    ) -> Ending:
        """Take steps until there are `steps` in all, with a progress bar; save the state now and then and at the end.

        Args:
            steps: in all, those of earlier calls included; with fewer than have been taken, nothing is done.
            stop: asks for an end after the current step.
            after_step: called after every step: it may write to `log`, `notes` and `shown`, measure, and `save`.
            name: beside the progress bar.
            unit: what the bar counts.
            unit_scale: how many of them a step is.

        Returns:
            "finished" when all steps are taken, "no improvement" when the held-out data ended it, and "stopped" when
            `stop` did, after which the same call goes on.

        Raises:
            RuntimeError: a weight became NaN or infinite; the state in the file is the last good one.
        """
        steps, learner, held_out = check_int("steps", steps, 0), self.learner, self.held_out
        first, saved = learner.step, time.monotonic()
        initial = min(first, steps)
        bar = tqdm(total=steps, initial=initial, desc=name, unit=unit, unit_scale=unit_scale, mininterval=5)
        self._began = time.monotonic()
        try:
            while not (ending := self._ending(steps, stop)):
                learner.take_step()
                if after_step is not None:
                    after_step()
                if held_out is not None and learner.step % held_out.every == 0:
                    with self.paused():
                        self.log.append({"step": learner.step, "held_out": held_out.look(learner.step)})
                bar.update()
                bar.set_postfix(self.shown, refresh=False)
                if time.monotonic() - saved > self._save_seconds:
                    self.save()
                    saved = time.monotonic()
        finally:
            self._seconds, self._began = self.seconds, None
            bar.close()
        if learner.step > first:
            self.save()
        return ending

    def save(self) -> None:
        """Write the state, whole or not at all.

        Raises:
            RuntimeError: it holds NaN or infinity; the file is left as it was.
        """
        with self.paused():
            state = {
                "step": self.learner.step,
                "seconds": self._seconds,
                "settings": self.settings,
                "log": self.log,
                "notes": self.notes,
                "learner": self.learner.state_dict(),
                "held_out": None if self.held_out is None else self.held_out.state_dict(),
            }
            write_state(self.file, state)

    def _ending(self, steps: int, stop: Stopping) -> Ending | None:
        if self.learner.step >= steps:
            return "finished"
        if self.held_out is not None and self.held_out.over:
            return "no improvement"
        return "stopped" if stop.asked else None

    def _go_on(self) -> None:
        """Take up the state in the file."""
        state = read_state(self.file)
        check_settings(self.file, state["settings"], self.settings)
        try:
            self.learner.load_state_dict(state["learner"])
            if self.held_out is not None and state["held_out"] is not None:
                self.held_out.load_state_dict(state["held_out"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise TrainingStateError(
                f"{self.file} does not fit this training ({reason:.300}): give another place for the state"
            ) from error
        self._seconds, self.log, self.notes = state["seconds"], state["log"], state["notes"]
