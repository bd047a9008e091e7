"""A training goes on from the small files that an unfinished one left."""

import pytest
import torch
from torch import nn

from motionkit.errors import UserError
from motionkit.training.loop import Loop, LoopSettings
from motionkit.training.recipes.handover import hand_over, take_over


def _model(seed=0, width=96):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, width), nn.Tanh(), nn.Linear(width, 64))


def _loop(model, folder, steps=60):
    def loss(step):
        x = torch.randn(16, 8, generator=torch.Generator().manual_seed(step))
        return (model(x) - x.repeat(1, 8)).square().mean(), {}

    return Loop(model, loss, LoopSettings(folder, steps, 1e-2, log_every=5, muon=lambda name: name == "2.weight"))


def test_goes_on_where_the_files_say(tmp_path):
    first = _loop(_model(), tmp_path / "a")
    first.run(until=40)
    size = hand_over(first, tmp_path / "over", {"batch": 16})
    assert size < 4 * sum(p.numel() for p in first.model.parameters())
    second = _loop(_model(seed=5), tmp_path / "b")
    assert take_over(second, tmp_path / "over")
    assert (second.step, second.seconds, second.begun) == (40, pytest.approx(first.seconds, abs=0.6), 40)
    for a, b in zip(first.ema.parameters(), second.model.parameters(), strict=True):
        assert (a - b).abs().max() <= a.abs().max() / 200
    assert second.lr_at(40) == pytest.approx(second.lr_at(41) / 2, rel=0.1)  # warms up again
    second.run()
    lines = (tmp_path / "b" / "curve.csv").read_text().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(5, 65, 5))


def test_another_number_of_steps_begins_at_the_same_share(tmp_path):
    first = _loop(_model(), tmp_path / "a")
    first.run(until=15)
    hand_over(first, tmp_path / "over")
    second = _loop(_model(), tmp_path / "b", steps=20)
    assert take_over(second, tmp_path / "over") and second.step == 5


def test_a_checkpoint_of_its_own_goes_first(tmp_path):
    first = _loop(_model(), tmp_path / "a")
    first.run(until=5)
    hand_over(first, tmp_path / "over")
    assert not take_over(_loop(_model(), tmp_path / "a"), tmp_path / "over")
    assert not take_over(_loop(_model(), tmp_path / "c"), tmp_path / "nothing")


def test_weights_of_another_model_are_refused(tmp_path):
    first = _loop(_model(), tmp_path / "a")
    hand_over(first, tmp_path / "over")
    with pytest.raises(UserError, match="another model"):
        take_over(_loop(_model(width=48), tmp_path / "b"), tmp_path / "over")
