"""Trackers: what they are told, what they write, and that a training is the same with them."""

import random
import sys

import numpy as np
import pytest
import torch
from torch import nn

from motionkit.errors import UserError
from motionkit.training import accelerate_tracker
from motionkit.training.loop import Loop, LoopSettings
from motionkit.training.tracker import NullTracker, PhaseTracker, Shown, due, tell_losses


class Told:
    """A tracker that asks for everything, and draws from every generator on the way."""

    every = 2

    def __init__(self):
        self.steps, self.losses, self.shown, self.ends = [], [], [], 0

    def on_step(self, step, values):
        self.steps.append(step)

    def on_losses(self, times, losses):
        self.losses.append((times, losses))

    def on_validation(self, step, shown):
        self.shown.append((step, shown))

    def on_end(self):
        self.ends += 1


def trained(folder, tracker=None, validate=None, steps=5):
    """A small training whose loss draws from the global generator, as dropout does; its curve and weights."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)

    def loss(number):
        drawn = torch.randn(4, 3)
        errors = model(drawn).square()
        tell_losses(tracker or NullTracker(), torch.tensor([0, 250, 999, 999]), lambda: errors)
        return errors.mean(), {"part": errors[0].item()}

    loop = Loop(model, loss, LoopSettings(folder, steps, log_every=1), tracker=tracker, validate=validate)
    final = loop.run()
    curve = [line.split(",")[::2] for line in (folder / "curve.csv").read_text().split()]
    return curve, [w.clone() for w in final.parameters()]


def draws(average):
    """A validation that draws from all global generators."""
    torch.randn(3), np.random.rand(), random.random()
    clip = torch.linspace(0, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    return Shown({"error": float(average.weight.abs().sum())}, {"clip": clip})


def test_a_training_is_the_same_with_a_tracker_that_looks_at_clips(tmp_path):
    told = Told()
    plain, seen = trained(tmp_path / "a"), trained(tmp_path / "b", told, draws)
    assert plain[0] == seen[0] and all(map(torch.equal, plain[1], seen[1]))
    assert [step for step, _ in told.shown] == [2, 4, 5] and told.ends == 1
    assert told.losses[0][1].shape == (4,) and not told.losses[0][1].requires_grad


def test_nothing_is_looked_at_without_a_tracker_that_asks(tmp_path):
    def never(average):
        raise AssertionError

    assert trained(tmp_path / "a", None, never)[0][0] == ["step", "loss"]
    assert (
        not due(NullTracker(), 10, 10)
        and due(replace_every(Told(), 3), 9, 10)
        and not due(replace_every(Told(), 3), 8, 10)
    )


def replace_every(tracker, every):
    tracker.every = every
    return tracker


def test_a_phase_names_what_its_validation_finds():
    told = Told()
    phase = PhaseTracker(told, "joint", 100)
    assert phase.every == 2
    phase.on_validation(4, Shown({"error": 1.0}))
    phase.on_validation(6, Shown({"error": 2.0}, held_out=False))
    assert told.shown == [(104, Shown({"joint/error": 1.0})), (106, Shown({"joint/error": 2.0}, held_out=False))]
    assert [shown.where for _, shown in told.shown] == ["held_out", "training_clips"]


def test_losses_fall_into_bands_of_noise_levels():
    batches = [(torch.tensor([0, 199]), torch.tensor([1.0, 3.0])), (torch.tensor([999]), torch.tensor([5.0]))]
    assert accelerate_tracker.by_level(batches) == {"noise_level/000-199": 2.0, "noise_level/800-999": 5.0}


def test_an_unknown_tracker_and_a_missing_package_are_refused_in_one_line(monkeypatch):
    with pytest.raises(UserError, match="tracker=tensorbord.*tensorboard"):
        accelerate_tracker.check("tensorbord")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'motionkit\[track\]'"):
        accelerate_tracker.check("wandb")
    accelerate_tracker.check("none")
    assert isinstance(accelerate_tracker.make("none", None, "", {}, 1), NullTracker)


def test_tensorboard_gets_curves_levels_speed_and_clips(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    facts = {"train": {"lr": 0.1, "path": "/home/me/clips"}}
    tracker = accelerate_tracker.make("tensorboard", tmp_path / "t", "run", facts, 3)
    plain, seen = trained(tmp_path / "n"), trained(tmp_path / "t", tracker, draws)
    assert plain[0] == seen[0] and all(map(torch.equal, plain[1], seen[1]))
    events = EventAccumulator(str(tmp_path / "t" / "tensorboard"), size_guidance={"images": 0}).Reload()
    names = {
        "train/loss",
        "train/part",
        "train/lr",
        *(f"noise_level/{band}" for band in ("000-199", "200-399", "800-999")),
    }
    assert names | {"speed/steps_per_second", "held_out/error"} == set(events.Tags()["scalars"])
    losses = [float(row[1]) for row in plain[0][1:]]
    (first, last) = events.Scalars("train/loss")  # up to the validation, and the rest
    assert (first.step, last.step) == (3, 5) and first.value == pytest.approx(sum(losses[:3]) / 3, abs=1e-4)
    assert [image.step for image in events.Images("held_out/clip")] == [3, 5]
    assert events.Images("held_out/clip")[0].encoded_image_string[:3] == b"GIF"
    assert {p.name for p in (tmp_path / "t" / "samples").iterdir()} == {"clip-0000003.mp4", "clip-0000005.mp4"}
    written = b"".join(p.read_bytes() for p in (tmp_path / "t" / "tensorboard").iterdir())
    assert b"/home/me" not in written and b"train.lr: 0.1" in written
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_other_trackers_work_offline(name, tmp_path, monkeypatch):
    """In a process of its own, whose sockets reach nothing but this machine."""
    pytest.importorskip(name)
    import os
    import subprocess
    from pathlib import Path

    words = {"TRACKIO_DIR": str(tmp_path / "trackio"), "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    env = os.environ | words | {"HOME": str(tmp_path), "WANDB_DIR": str(tmp_path)}
    script = Path(__file__).with_name("one_tracked.py")
    done = subprocess.run([sys.executable, str(script), name, str(tmp_path)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["same"]
    if name == "wandb":
        assert list(tmp_path.rglob("run-*.wandb"))
        return
    import sqlite3

    (file,) = (p for p in (tmp_path / "trackio").rglob("*.db") if "motionkit" in p.name)
    with sqlite3.connect(file) as held:
        rows = " ".join(map(str, held.execute("select * from metrics")))
    assert all(word in rows for word in ("train/loss", "noise_level/800-999", "held_out/error", "held_out/clip"))
