"""Training in steps that can be stopped at any time and goes on as if it had not been.

Four ideas, one module each, so that every script that trains differs only in its data, networks and losses:

- `loop.Training` takes steps until they are done, keeps the state in a file, and goes on from it;
- `gradients.GradientLearner` is the usual step: a loss, its gradients, one step of the optimiser, the averaged weights.
  A training of another kind (StyleGAN2's two networks) brings a learner of its own;
- `average.WeightAverage` is the exponential moving average of a network's weights;
- `stopping.Stopping` and `heldout.HeldOut` say when to end early: by Ctrl-C, by the clock, or because held-out data
  show no more improvement.

A step depends on its number and on the state before it, and on nothing else: `gradients.seed_step` seeds all random
numbers of a step from its number. This is why no random state has to be kept, and why a training that was interrupted
ends with the same bits as one that was not, on the same machine.
"""

from stylemixseg.training.average import WeightAverage, ramped_decay
from stylemixseg.training.gradients import GradientLearner, loss_gradients, seed_step
from stylemixseg.training.heldout import HeldOut
from stylemixseg.training.loop import Learner, Training
from stylemixseg.training.precision import has_fast_bfloat16
from stylemixseg.training.schedule import polynomial, warm_cosine
from stylemixseg.training.statefile import TrainingStateError
from stylemixseg.training.stopping import Stopping

__all__ = [
    "GradientLearner",
    "HeldOut",
    "Learner",
    "Stopping",
    "Training",
    "TrainingStateError",
    "WeightAverage",
    "has_fast_bfloat16",
    "loss_gradients",
    "polynomial",
    "ramped_decay",
    "seed_step",
    "warm_cosine",
]
