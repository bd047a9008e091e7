"""The training loop resumes exactly and refuses what it cannot continue."""

import pytest
import torch
from torch import nn

from motionkit.errors import UserError
from motionkit.training.loop import Loop, LoopSettings, stoppable


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


def test_muon_resumes_exactly_too(tmp_path):
    def settings(folder):
        return LoopSettings(tmp_path / folder, 40, muon=lambda name: name == "0.weight", decay=0.3, warmup=10)

    whole = _model()
    straight = Loop(whole, _loss_of(whole), settings("a")).run()
    first = _model()
    Loop(first, _loss_of(first), settings("b")).run(until=17)
    second = _model(seed=9)
    resumed = Loop(second, _loss_of(second), settings("b")).run()
    for a, b in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    plain = _model()
    adam = Loop(plain, _loss_of(plain), LoopSettings(tmp_path / "c", 40)).run()
    assert not torch.equal(adam.state_dict()["0.weight"], straight.state_dict()["0.weight"])


def test_the_rate_stays_and_then_falls(tmp_path):
    loop = Loop(_model(), lambda step: None, LoopSettings(tmp_path, 100, 1e-3, warmup=10, decay=0.2))
    assert loop.lr_at(0) == pytest.approx(1e-4) and loop.lr_at(9) == loop.lr_at(79) == 1e-3
    assert loop.lr_at(90) == pytest.approx(5e-4) and loop.lr_at(100) == pytest.approx(2e-5)


def test_a_stop_saves_and_copies_the_state(tmp_path):
    model = _model()
    plain = _loss_of(model)

    def loss(step):
        loop.stopping = step == 6
        return plain(step)

    loop = Loop(model, loss, LoopSettings(tmp_path / "a", 40, second=tmp_path / "copies"))
    loop.run()
    assert loop.step == 7 and not loop.finished
    assert torch.load(tmp_path / "copies" / "a.pt", weights_only=True)["step"] == 7


def test_a_signal_stops_after_the_step(tmp_path):
    import os
    import signal

    model = _model()
    plain = _loss_of(model)

    def loss(step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(step)

    loop = Loop(model, loss, LoopSettings(tmp_path, 40))
    with stoppable(loop):
        loop.run()
    assert loop.step == 4
