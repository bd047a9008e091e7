"""The training loop resumes exactly and refuses what it cannot continue."""

import time

import pytest
import torch
from torch import nn

from motionkit.errors import Cancelled, UserError
from motionkit.training import checkpoint
from motionkit.training.loop import Loop, LoopSettings, stoppable
from motionkit.training.loss_scale import LossScale


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
    with pytest.raises(UserError, match="another model"):
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


def _signalled(loss, at):
    import os
    import signal

    def wrapped(number):
        if number == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(number)

    return wrapped


@pytest.mark.parametrize("at", [1, 3])
def test_to_the_end_is_cancelled_by_a_signal_even_in_the_last_step(tmp_path, at):
    model = _model()
    loop = Loop(model, _signalled(_loss_of(model), at), LoopSettings(tmp_path, 4))
    with pytest.raises(Cancelled, match=f"after step {at + 1} of 4"):
        loop.to_the_end()
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == at + 1
    again = Loop(model, _loss_of(model), LoopSettings(tmp_path, 4))
    again.to_the_end()
    assert again.finished


def test_before_each_step_a_training_may_be_cancelled(tmp_path):
    model, seen = _model(), []

    def before(step):
        seen.append(step)
        if step == 2:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled, match="after step 2 of 4"):
        Loop(model, _loss_of(model), LoopSettings(tmp_path, 4), before=before).run()
    assert seen == [0, 1, 2] and torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2


def test_several_batches_to_a_step_have_the_gradient_of_their_mean(tmp_path):
    model, numbers = _model(), []
    plain = _loss_of(model)

    def loss(number):
        numbers.append(number)
        return plain(number)

    loop = Loop(model, loss, LoopSettings(tmp_path, 3, accumulate=2))
    values = loop._gradients()
    mean = (plain(0)[0] + plain(1)[0]) / 2
    wanted = torch.autograd.grad(mean, list(model.parameters()))
    assert all(torch.allclose(p.grad, w) for p, w in zip(model.parameters(), wanted, strict=True))
    assert values["loss"] == pytest.approx(mean.item()) and values["error"] == pytest.approx(mean.item())
    numbers.clear()
    loop.run()
    assert numbers == [0, 1, 2, 3, 4, 5]


def test_a_step_whose_gradients_overflow_is_skipped_and_the_scale_halves(tmp_path):
    weight = nn.Linear(1, 1, bias=False)
    nn.init.ones_(weight.weight)
    worst = torch.finfo(torch.float32).max

    def loss(step):
        huge = worst / 512 if step == 1 else 1.0
        value = weight(torch.ones(1, 1)).sum()
        return value + (value - value.detach()) * huge, {}  # small, with a huge gradient in step 1

    scale = LossScale(1024.0, every=2)
    loop = Loop(weight, loss, LoopSettings(tmp_path, 4, 0.1, log_every=1, warmup=0), scale=scale)
    kept = []
    loop.before = lambda step: kept.append(weight.weight.item())
    loop.run()
    assert kept[0] != kept[1] == kept[2] != kept[3]
    rows = [row.split(",") for row in (tmp_path / "curve.csv").read_text().split()]
    assert [float(row[rows[0].index("skipped")]) for row in rows[1:]] == [0, 1, 0, 0]
    assert scale.value == 1024  # halved once, doubled once
    other = LossScale(1024.0)
    Loop(weight, loss, LoopSettings(tmp_path, 4, 0.1), scale=other).resume()
    assert (other.value, other.good) == (scale.value, scale.good)


def test_a_gradient_that_is_no_number_leaves_the_weights(tmp_path):
    model = nn.Linear(1, 1, bias=False)
    before = model.weight.detach().clone()

    def loss(step):
        return (model.weight - model.weight.detach()).abs().sqrt().sum(), {}  # 0, with a gradient of 0 / 0

    with pytest.raises(UserError, match="diverged at step 0"):
        Loop(model, loss, LoopSettings(tmp_path, 2)).run()
    assert torch.equal(model.weight, before)


def test_lines_after_the_last_checkpoint_are_taken_from_the_curve(tmp_path):
    model = _model()
    Loop(model, _loss_of(model), LoopSettings(tmp_path, 9, log_every=1)).run(until=3)
    with (tmp_path / "curve.csv").open("a") as curve:
        curve.write("4,9,0.5,0.5\n")
    Loop(model, _loss_of(model), LoopSettings(tmp_path, 9, log_every=1)).run(until=5)
    steps = [line.split(",")[0] for line in (tmp_path / "curve.csv").read_text().split()]
    assert steps == ["step", "1", "2", "3", "4", "5"]


def test_a_tracker_is_told_each_step_and_the_end_of_a_failure_too(tmp_path):
    told, model = [], _model()
    plain = _loss_of(model)

    class Told:
        def on_step(self, step, values):
            told.append((step, set(values)))

        def on_end(self):
            told.append("end")

    def loss(step):
        value, logs = plain(step)
        return (value if step < 2 else value * float("nan")), logs

    with pytest.raises(UserError):
        Loop(model, loss, LoopSettings(tmp_path, 4), tracker=Told()).run()
    assert told == [(1, {"lr", "loss", "error"}), (2, {"lr", "loss", "error"}), "end"]


def test_checkpoints_go_by_step_too_and_by_what_writing_costs(tmp_path, monkeypatch):
    model, written = _model(), []
    loop = Loop(model, _loss_of(model), LoopSettings(tmp_path, 10, save_every=1e9, save_steps=4))
    monkeypatch.setattr(loop, "save", lambda: written.append(loop.step))
    loop.run()
    assert written == [4, 8, 10]
    loop.settings.save_every, loop.settings.save_steps = 0.0, 0
    now = time.monotonic()
    assert loop._due(now - 0.5)
    loop.writing = 1.0  # one that takes a second is not due again for twenty
    assert not loop._due(now - 10) and loop._due(now - 30)


def test_a_half_checkpoint_takes_no_memory_of_the_card():
    """11 GB for a network of 1.8 billion weights, if its copies stayed there."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        state = {"exp_avg": torch.empty(4, 4, device="cuda"), "step": torch.empty((), device="cuda")}
        found = checkpoint.halved(state)
    assert found["exp_avg"].device.type == "cpu" and found["exp_avg"].dtype == torch.bfloat16
    assert found["step"].dtype == torch.float32


def test_a_checkpoint_of_a_network_on_a_card_is_mapped_and_the_same(tmp_path, monkeypatch):
    """So that eight processes of a machine do not hold eight copies of 29 GB."""
    torch.save({"a": torch.arange(8.0)}, tmp_path / "last.pt")
    asked, plain = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *given, **named: asked.append(named["mmap"]) or plain(*given, **named))
    for device in ("cpu", "cuda"):
        assert torch.equal(checkpoint.opened(tmp_path / "last.pt", torch.device(device))["a"], torch.arange(8.0))
    assert asked == [False, True]


def test_a_half_checkpoint_is_smaller_and_goes_on_nearly_the_same(tmp_path):
    def trained(folder, half, stop=None):
        model = _model(width=4)
        settings = LoopSettings(tmp_path / folder, 40, half=half)
        return Loop(model, _loss_of(model), settings).run(until=stop), model

    straight, _ = trained("whole", half=False)
    size = {}
    for folder, half in (("exact", False), ("half", True)):
        _, before = trained(folder, half, stop=20)
        state = torch.load(tmp_path / folder / "last.pt", weights_only=True)
        tensors = [t for part in ("model", "ema") for t in state[part].values()]
        tensors += [t for held in state["optimizer"]["state"].values() for t in held.values() if t.numel() > 1]
        size[folder] = sum(t.nbytes for t in tensors)
        assert all(torch.equal(state["model"][k], v) for k, v in before.state_dict().items())  # the weights are whole
    assert size["half"] / size["exact"] == pytest.approx(10 / 16, rel=0.01)
    resumed, model = trained("half", half=True)
    assert all(p.dtype == torch.float32 for p in (*model.parameters(), *resumed.parameters()))
    for a, b in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=3e-3, rtol=0.02)
