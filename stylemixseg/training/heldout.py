"""Early stopping: data that are not trained on say when more steps no longer help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from stylemixseg._util.checks import check_choice, check_int


class HeldOut:
    """Measures a number on held-out data now and then, and is `over` when it has stopped improving.

    The weights that scored best can be kept. A score that was picked as the best of many looks is too good an estimate:
    report the one of a third set that took no part in the choice.

    Args:
        measure: () -> the number, on data that are not trained on, such as a loss or a mean IoU.
        every: steps between two measurements, at least 1.
        patience: `over` after this many measurements without a new best, at least 1.
        better: "lower" for a loss, "higher" for a score.
        keep: the network whose weights at the best measurement are kept (as a rule `WeightAverage.network`), or None.

    Attributes:
        best: the best number so far, None before the first. best_step: after how many steps it was measured.

    Raises:
        TypeError, ValueError: an argument that does not fit, named.
    """

    def __init__(
        self,
        measure: Callable[[], float],
        every: int,
        patience: int,
        *,
        better: str = "lower",
        keep: nn.Module | None = None,
    ):
        self._measure = measure
        self.every = check_int("every", every, 1)
        self.patience = check_int("patience", patience, 1)
        self._sign = {"lower": -1.0, "higher": 1.0}[check_choice("better", better, ("lower", "higher"))]
        self._keep = keep
        self.best: float | None = None
        self.best_step = 0
        self._since_best = 0
        self._best_weights: dict[str, Tensor] = {}

    @property
    def over(self) -> bool:
        """Whether the last `patience` measurements were all without a new best."""
        return self._since_best >= self.patience

    def look(self, step: int) -> float:
        """Measure after `step` steps and return the number. NaN is never a new best."""
        value = float(self._measure())
        if self.best is None or self._sign * value > self._sign * self.best:
            self.best, self.best_step, self._since_best = value, step, 0
            if self._keep is not None:
                self._best_weights = {name: value.detach().clone() for name, value in self._keep.state_dict().items()}
        else:
            self._since_best += 1
        return value

    def restore_best(self) -> None:
        """Give the network of `keep` the weights that scored best.

        Raises:
            ValueError: no network is kept, or nothing has been measured yet.
        """
        if self._keep is None or not self._best_weights:
            raise ValueError("no best weights are kept: give HeldOut keep=network, and train until its first look")
        self._keep.load_state_dict(self._best_weights)

    def state_dict(self) -> dict[str, Any]:
        """What the next look depends on."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "since_best": self._since_best,
            "best_weights": self._best_weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state of `state_dict`."""
        self.best, self.best_step, self._since_best = state["best"], state["best_step"], state["since_best"]
        self._best_weights = dict(state["best_weights"])
