"""The training loop resumes exactly and refuses what it cannot continue."""

import pytest
import torch
from torch import nn

from motionkit.errors import UserError
from motionkit.training.loop import Loop, LoopSettings


def _loss_of(model):
    def loss(step):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        error = (model(x) - x.sum(-1, keepdim=True)).square().mean()
        return error, {"error": error.item()}

    return loss


def _model(seed=0, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(width, 8), nn.Tanh(), nn.Linear(8, 1))


def test_resumed_equals_uninterrupted(tmp_path):
    whole = _model()
    straight = Loop(whole, _loss_of(whole), LoopSettings(tmp_path / "a", 40, log_every=10)).run()
    first = _model()
    Loop(first, _loss_of(first), LoopSettings(tmp_path / "b", 40, log_every=10)).run(until=17)
    second = _model(seed=9)  # other start weights: everything must come from the checkpoint
    resumed = Loop(second, _loss_of(second), LoopSettings(tmp_path / "b", 40, log_every=10)).run()
    for a, b in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    curve = (tmp_path / "a" / "curve.csv").read_text().splitlines()
    assert curve[0] == "step,seconds,loss,error" and len(curve) == 5
    assert float(curve[-1].split(",")[2]) < float(curve[1].split(",")[2])


def test_another_models_checkpoint_is_refused(tmp_path):
    model = _model()
    Loop(model, _loss_of(model), LoopSettings(tmp_path, 2)).run()
    other = nn.Linear(4, 1)
    with pytest.raises(UserError, match="of another model"):
        Loop(other, _loss_of(other), LoopSettings(tmp_path, 4)).run()


def test_divergence_stops_with_one_line(tmp_path):
    model = nn.Linear(1, 1)
    with pytest.raises(UserError, match="diverged at step 0"):
        Loop(model, lambda step: (model(torch.ones(1, 1)).sum() * float("nan"), {}), LoopSettings(tmp_path, 2)).run()
