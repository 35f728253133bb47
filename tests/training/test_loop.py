"""A training that was interrupted ends as one that was not; what is damaged or of another training is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stylemixseg.training import (
    GradientLearner,
    HeldOut,
    Stopping,
    Training,
    TrainingStateError,
    WeightAverage,
    loss_gradients,
    ramped_decay,
    warm_cosine,
)

STEPS = 30


def rectangles(step: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (4, 3, 12, 12) with a bright rectangle each, and masks (4, 12, 12) of classes 0 and 1."""
    masks = torch.zeros(4, 12, 12, dtype=torch.long)
    for mask, (top, left) in zip(masks, torch.randint(0, 6, (4, 2), generator=rng).tolist()):
        mask[top : top + 6, left : left + 6] = 1
    return masks[:, None] + 0.5 * torch.randn(4, 3, 12, 12, generator=rng), masks


def new_learner(width: int = 4, seed: int = 3) -> GradientLearner:
    """A network with everything that has a state: running statistics, dropout, an optimiser with moments."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(width, 2, 1)
    )
    return GradientLearner(
        network,
        torch.optim.AdamW(network.parameters(), lr=0.02),
        loss_gradients(network, rectangles, F.cross_entropy),
        WeightAverage(network, ramped_decay(0.9)),
        rate=lambda step: warm_cosine(step, STEPS),
        max_norm=1.0,
        seed=seed,
    )


@pytest.fixture(autouse=True)
def one_thread():
    """Layers as small as these take longer with two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class StopAfter:
    """Asks for a stop when it has been looked at so many times."""

    def __init__(self, steps: int):
        self.left = steps

    @property
    def asked(self) -> bool:
        self.left -= 1
        return self.left < 0


NEVER = StopAfter(10**9)


def assert_same(found, expected, name="state"):
    """Equal to the last bit, in any nesting."""
    assert type(found) is type(expected), name
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected), name
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), name
        for key, value in expected.items():
            assert_same(found[key], value, f"{name}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), name
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{name}.{index}")
    else:
        assert found == expected, name


def run_whole(file: Path, stops: list[int]) -> Training:
    """All steps, in as many calls as there are stops and one more, each with new objects."""
    for stop in [*(StopAfter(steps) for steps in stops), NEVER]:
        torch.rand(7)  # torch's own generator is anywhere when a call begins
        learner = new_learner()
        torch.manual_seed(stop.left)
        held_out = HeldOut(
            lambda learner=learner: held_out_loss(learner), 5, patience=100, keep=learner.average.network
        )
        training = Training(learner, file, settings={"width": 4}, held_out=held_out)
        training.notes.setdefault("began at", []).append(learner.step)

        def log_loss(training=training, learner=learner) -> None:
            training.log.append([learner.step, learner.loss])

        ending = training.run(STEPS, stop, after_step=log_loss)
    assert ending == "finished"
    return training


def held_out_loss(learner: GradientLearner) -> float:
    images, masks = rectangles(0, torch.Generator().manual_seed(99))
    with torch.no_grad():
        return F.cross_entropy(learner.average.network(images), masks).item()


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path):
    whole, parts = run_whole(tmp_path / "whole.pt", []), run_whole(tmp_path / "parts.pt", [7, 12])
    assert parts.notes == {"began at": [0, 7, 19]} and whole.notes == {"began at": [0]}
    assert_same(parts.learner.state_dict(), whole.learner.state_dict())
    assert_same(parts.held_out.state_dict(), whole.held_out.state_dict())
    assert_same(parts.log, whole.log)
    assert parts.learner.step == STEPS and len(parts.log) == STEPS + STEPS // 5
    assert 0 < parts.held_out.best < 0.6 and parts.held_out.best_step == STEPS  # it learns
    # another seed takes other steps, so that the comparison above can fail
    other = new_learner(seed=4)
    Training(other, tmp_path / "other.pt").run(STEPS, NEVER)
    assert not torch.equal(other.network[0].weight, whole.learner.network[0].weight)


def test_steps_are_those_of_a_loop_written_out(tmp_path):
    learner = new_learner()
    Training(learner, tmp_path / "state.pt").run(12, NEVER)
    torch.manual_seed(0)
    network = new_learner().network
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.02)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    for step in range(12):
        torch.manual_seed(3 * 1_000_003 + step)
        images, masks = rectangles(step, torch.default_generator)
        optimiser.zero_grad()
        F.cross_entropy(network(images), masks).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.param_groups[0]["lr"] = 0.02 * warm_cosine(step, STEPS)
        optimiser.step()
        keep = min(0.9, (2 + step) / (11 + step))
        for name, value in network.state_dict().items():
            mean[name] = mean[name].lerp(value, 1 - keep) if value.is_floating_point() else value
    assert_same(dict(learner.network.state_dict()), dict(network.state_dict()))
    assert_same(dict(learner.average.state_dict()), mean)


def test_what_was_lost_is_done_again(tmp_path):
    """An error in the middle of a step: the last saved state is gone on from, and the log tells no more than it."""
    whole, broken = new_learner(), new_learner()
    Training(whole, tmp_path / "whole.pt").run(STEPS, NEVER)

    def fail() -> None:
        training.log.append(broken.step)
        if broken.step == 9:
            raise KeyboardInterrupt  # as a second Ctrl-C
        if broken.step == 6:
            training.save()

    training = Training(broken, tmp_path / "broken.pt")
    with pytest.raises(KeyboardInterrupt):
        training.run(STEPS, NEVER, after_step=fail)
    later = new_learner()
    training = Training(later, tmp_path / "broken.pt")
    assert later.step == 6 and training.log == [1, 2, 3, 4, 5, 6]
    assert training.run(STEPS, NEVER) == "finished"
    assert_same(later.state_dict(), whole.state_dict())


def test_the_state_is_saved_now_and_then(tmp_path):
    saved = []
    training = Training(new_learner(), tmp_path / "state.pt", save_seconds=0)
    training.run(3, NEVER, after_step=lambda: saved.append((tmp_path / "state.pt").exists()))
    assert saved == [False, True, True]
    often = Training(new_learner(), tmp_path / "rarely.pt", save_seconds=1000)
    often.run(3, NEVER, after_step=lambda: saved.append((tmp_path / "rarely.pt").exists()))
    assert saved[3:] == [False] * 3 and (tmp_path / "rarely.pt").exists()


def test_a_finished_training_takes_no_step(tmp_path):
    Training(new_learner(), tmp_path / "state.pt").run(5, NEVER)
    before = (tmp_path / "state.pt").read_bytes()
    for steps in (5, 2):  # as many as were taken, and fewer
        learner = new_learner()
        assert Training(learner, tmp_path / "state.pt").run(steps, NEVER, after_step=pytest.fail) == "finished"
        assert learner.step == 5
    assert (tmp_path / "state.pt").read_bytes() == before
    with pytest.raises(ValueError, match="steps must be at least 0, got -1"):
        Training(new_learner(), tmp_path / "state.pt").run(-1, NEVER)


def test_seconds_are_those_of_the_steps_in_all_calls(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("stylemixseg.training.loop.time.monotonic", lambda: now[0])

    def pass_time() -> None:
        now[0] += 2
        with training.paused():
            now[0] += 1000

    training = Training(new_learner(), tmp_path / "state.pt", save_seconds=1e9)
    training.run(3, NEVER, after_step=pass_time)
    assert training.seconds == 6
    now[0] += 1000
    training = Training(new_learner(), tmp_path / "state.pt", save_seconds=1e9)
    assert training.seconds == 6
    training.run(4, NEVER, after_step=pass_time)
    assert training.seconds == 8


# -------------------------------------------------------------------------------------------------- what is refused


@pytest.fixture
def state(tmp_path) -> Path:
    """The file of a training that has taken some steps."""
    Training(new_learner(), tmp_path / "state.pt", settings={"width": 4, "batch": 16}).run(4, NEVER)
    return tmp_path / "state.pt"


class Canary:
    """A pickle that would run something."""

    def __reduce__(self):
        return os.system, ("touch hostile",)


def flipped(data: bytes) -> bytes:
    """One bit of a weight, which torch.load itself does not notice."""
    middle = data.index(b"data/0") + 200
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage, words",
    [
        (flipped, "does not match its check sum|Bad CRC"),
        (lambda data: data[: len(data) // 2], "is damaged, or no state of a training"),
        (lambda data: b"", "is damaged, or no state of a training"),
        (lambda data: b"not a state at all", "is damaged, or no state of a training"),
    ],
    ids=["flipped", "cut", "empty", "text"],
)
def test_a_damaged_state_is_refused_with_what_to_do(state, damage, words):
    state.write_bytes(damage(state.read_bytes()))
    before = state.read_bytes()
    with pytest.raises(TrainingStateError, match=words) as caught:
        Training(new_learner(), state, settings={"width": 4, "batch": 16})
    assert str(state) in str(caught.value) and "Delete it to begin anew" in str(caught.value)
    assert state.read_bytes() == before


def test_other_files_are_refused_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "state.pt"
    for content, words in (
        ({"step": 3}, r"no state of a training as this program writes it \(None\)"),
        ([1, 2], r"\('list'\)"),
        ({"format": "stylemixseg-training 1", "learner": Canary()}, "is damaged, or no state of a training"),
    ):
        torch.save(content, file)
        with pytest.raises(TrainingStateError, match=words):
            Training(new_learner(), file)
    assert not (tmp_path / "hostile").exists()


def test_a_state_of_other_settings_is_refused(state):
    with pytest.raises(TrainingStateError, match=r"a run with batch 16, now 8; width 4, now None: give the same") as e:
        Training(new_learner(), state, settings={"batch": 8})
    assert str(state) in str(e.value)


def test_a_state_of_another_network_or_optimiser_is_refused(state):
    settings = {"width": 4, "batch": 16}
    with pytest.raises(TrainingStateError, match=r"does not fit this training \(.*size mismatch"):
        Training(new_learner(width=5), state, settings=settings)
    learner = new_learner()
    learner.optimiser.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    with pytest.raises(TrainingStateError, match="does not fit this training .*: give another place for the state"):
        Training(learner, state, settings=settings)


def test_a_broken_network_takes_no_good_ones_place(state):
    before = state.read_bytes()
    learner = new_learner()
    training = Training(learner, state, settings={"width": 4, "batch": 16})
    with torch.no_grad():
        learner.network[4].weight[0, 0] = float("nan")
    with pytest.raises(RuntimeError, match=r"learner.network.4.weight became NaN or infinite before step 4\. The last"):
        training.save()
    weight = learner.network[0].weight.clone()
    with pytest.raises(RuntimeError, match="the loss became nan at step 4: lower the learning rate"):
        training.run(STEPS, NEVER)
    assert torch.equal(learner.network[0].weight, weight)
    assert state.read_bytes() == before


def test_a_full_disk_leaves_the_last_state(state, monkeypatch):
    before = state.read_bytes()
    training = Training(new_learner(), state, settings={"width": 4, "batch": 16})
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        training.run(6, NEVER)
    assert state.read_bytes() == before and list(state.parent.iterdir()) == [state]


# -------------------------------------------------------------------------------------------------- signals and clock

SIGNALLED = """
import os, signal, sys
from test_loop import new_learner
from stylemixseg.training import Stopping, Training

def after_step():
    if training.learner.step == 3:
        for _ in range(int(sys.argv[3])):
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))

training = Training(new_learner(), sys.argv[1])
before = signal.getsignal(signal.SIGINT)
with Stopping() as stop:
    print(training.run(30, stop, after_step=after_step))
assert signal.getsignal(signal.SIGINT) is before
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_finishes_the_step_and_saves(name, tmp_path):
    """In a process of its own: a signal reaches whatever other tests have loaded, too."""
    done = signalled(tmp_path / "state.pt", name, 1)
    assert done.returncode == 0, done.stderr
    assert "stopping after this step; the same command goes on\nstopped\n" in done.stdout
    assert Training(new_learner(), tmp_path / "state.pt").learner.step == 3


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    done = signalled(tmp_path / "state.pt", "SIGINT", 2)
    assert done.returncode and "KeyboardInterrupt" in done.stderr and not (tmp_path / "state.pt").exists()


def signalled(file: Path, name: str, times: int) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SIGNALLED, str(file), name, str(times)]
    return subprocess.run(command, env=environment, cwd=Path(__file__).parent, capture_output=True, text=True)


def test_a_stop_by_the_clock(tmp_path, monkeypatch):
    now = [50.0]
    monkeypatch.setattr("stylemixseg.training.stopping.time.monotonic", lambda: now[0])
    learner = new_learner()

    def pass_time() -> None:
        now[0] += 25

    with Stopping(minutes=1) as stop:
        assert Training(learner, tmp_path / "state.pt").run(STEPS, stop, after_step=pass_time) == "stopped"
    assert learner.step == 3  # 75 seconds
    with Stopping(minutes=0) as stop:
        assert stop.asked
    with Stopping() as stop:
        assert not stop.asked
    with pytest.raises(ValueError, match="minutes must be in 0"):
        Stopping(minutes=-1)
