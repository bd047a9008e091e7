"""The per-clip fit: it resumes exactly, also from states kept earlier, and skips what overflows."""

import pytest
import torch
from torch import nn

from motionkit.context import RunContext
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan
from motionkit.training.clip_fit import FitSettings, fit
from motionkit.training.loss_scale import LEAST, LossScale


class Memory:
    """A checkpoint in memory; `stop_at` raises once that step has been kept."""

    def __init__(self, stop_at=None):
        self.state, self.stop_at = None, stop_at

    def load(self):
        return self.state

    def save(self, tensors):
        self.state = {name: value.detach().clone() for name, value in tensors.items()}
        if int(tensors["step"]) == self.stop_at:
            raise KeyboardInterrupt


class Fit:
    """Two weights of which the second gets a gradient from step `late` on."""

    def __init__(self, tmp_path, late=0, start=1.0):
        self.weights = {name: nn.Parameter(torch.full((3,), start)) for name in ("one", "two")}
        self.adam = torch.optim.Adam(self.weights.values(), 0.1)
        self.run, self.late, self.factors, self.told = RunContext(0, 1, 8, 8, 8.0, Plan(), tmp_path), late, [], []
        self.blown = ()

    def backward(self, step, factor):
        self.factors.append(factor)
        target = torch.randn(3, generator=torch.Generator().manual_seed(step))
        loss = (self.weights["one"] - target).square().sum()
        if step >= self.late:
            loss = loss + (self.weights["two"] * target).sum()
        if step in self.blown:
            zero = self.weights["one"] - self.weights["one"].detach()
            loss = loss + zero.abs().sqrt().sum()  # 0, with a gradient that is no number
        (loss * factor).backward()
        return [float(loss.detach())]

    def __call__(self, steps=6, memory=None, scale=None, save_every=2):
        settings = FitSettings(steps, save_every, 1.0, "fit", "method.lr=0.1")
        told = lambda step, losses: self.told.append(step)  # noqa: E731
        memory, scale = memory or Memory(), scale or LossScale()
        fit(self.weights, self.adam, self.backward, settings, self.run, memory, scale, told)
        return torch.cat([w.detach() for w in self.weights.values()])


@pytest.mark.parametrize("late", [0, 3])
def test_a_killed_fit_ends_as_an_uninterrupted_one(tmp_path, late):
    """Also where a weight has had no gradient, and so has no moments, when the state is kept."""
    whole, memory = Fit(tmp_path, late)(), Memory(stop_at=2)
    with pytest.raises(KeyboardInterrupt):
        Fit(tmp_path, late)(memory=memory)
    assert ("m.two" in memory.state) == (late == 0)
    memory.stop_at = None
    again = Fit(tmp_path, late, start=5.0)
    assert torch.equal(again(memory=memory), whole) and again.told == [2, 3, 4, 5]


def test_a_state_without_the_counts_of_steps_goes_on_too(tmp_path):
    """As version 0.1 kept the state of the two-level fit."""
    whole, memory = Fit(tmp_path)(), Memory(stop_at=4)
    with pytest.raises(KeyboardInterrupt):
        Fit(tmp_path)(memory=memory)
    memory.state = {name: value for name, value in memory.state.items() if not name.startswith("n.")}
    memory.stop_at = None
    assert torch.equal(Fit(tmp_path, start=5.0)(memory=memory), whole)


def test_a_power_of_two_changes_no_bit(tmp_path):
    assert torch.equal(Fit(tmp_path)(), Fit(tmp_path)(scale=LossScale(1024.0, every=2)))


def test_a_step_that_overflows_is_skipped_and_the_state_keeps_the_scale(tmp_path):
    this, scale, memory = Fit(tmp_path), LossScale(1024.0, every=3), Memory()
    this.blown = (1,)
    this(memory=memory, scale=scale)
    assert this.factors == [1024, 1024, 512, 512, 512, 1024] and this.told == [0, 1, 2, 3, 4, 5]
    assert int(memory.state["n.one"]) == 5 and int(memory.state["step"]) == 6
    resumed = LossScale(1024.0)
    resumed.restore(memory.state["scale"])
    assert (resumed.value, resumed.good) == (scale.value, scale.good) == (1024, 1)


def test_a_gradient_that_is_no_number_ends_a_fit_without_scale(tmp_path):
    this, before = Fit(tmp_path), torch.ones(6)
    this.blown = (0,)
    with pytest.raises(UserError, match=r"step 0 of 6.*method.lr=0.1"):
        this()
    assert torch.equal(torch.cat([w.detach() for w in this.weights.values()]), before)


def test_gradients_that_overflow_for_ever_end_the_fit(tmp_path):
    this = Fit(tmp_path)
    this.blown = range(100)
    with pytest.raises(UserError, match="lower method.lr"):
        this(steps=100, scale=LossScale(4 * LEAST))
    assert this.factors == [4 * LEAST, 2 * LEAST, LEAST]
