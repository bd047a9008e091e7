"""A training's state in several files: the same state, whole at every moment, read by whoever wrote the other form."""

import json
import os

import pytest
import torch
from torch import nn

from motionkit.errors import UserError
from motionkit.training import checkpoint, shards, state_files
from motionkit.training.loop import Loop, LoopSettings


def _model(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[3].weight = model[2].weight  # tied, as some text encoders are
    return model


def _loop(folder, model, **more):
    def loss(step):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        error = (model(x) - x.sum(-1, keepdim=True)).square().mean()
        return error, {"error": error.item()}

    return Loop(model, loss, LoopSettings(folder, 20, **more))


def _files(folder):
    return sorted(file.name for file in folder.iterdir() if file.name.startswith("last"))


def _same(one, two):
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("muon", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_a_training_resumes_from_several_files_as_from_one(tmp_path, half, muon):
    found = {}
    for name, size in (("one", 0), ("several", 600)):
        more = {"shard": size, "half": half} | ({"muon": lambda name: name == "2.weight"} if muon else {})
        _loop(tmp_path / name, _model(), **more).run(until=9)
        found[name] = _loop(tmp_path / name, _model(seed=5), **more).run().state_dict()
    _same(found["one"], found["several"])
    assert _files(tmp_path / "one") == ["last.pt"]
    *files, index = _files(tmp_path / "several")
    assert index == "last.index.json" and len(files) >= 3
    assert all((tmp_path / "several" / file).stat().st_size < 600 + 2000 for file in files)  # with its header


def test_every_weight_is_stored_bit_for_bit(tmp_path):
    loop = _loop(tmp_path, _model(), shard=300)
    loop.run(until=3)
    read = checkpoint.opened(loop.checkpoint, torch.device("cpu"))
    mapped = checkpoint.opened(loop.checkpoint, torch.device("cuda"))  # nothing is put on it
    for state in (read, mapped):
        _same(state["model"], loop.model.state_dict())
        _same(state["ema"], loop.ema.state_dict())
        for number, held in loop.optimizer.state_dict()["state"].items():
            _same(state["optimizer"]["state"][number], held)
        assert (state["step"], state["begun"]) == (3, 0)


def test_a_run_killed_at_any_file_keeps_the_state_before(tmp_path, monkeypatch):
    loop = _loop(tmp_path, _model(), shard=300)
    loop.run(until=3)
    before, plain = _files(tmp_path), os.replace
    wanted = checkpoint.opened(loop.checkpoint, torch.device("cpu"))
    loop.step = 4
    for last in range(len(before)):
        done = []

        def killed(source, target, last=last, done=done):
            if len(done) == last:
                raise KeyboardInterrupt
            done.append(target)
            plain(source, target)

        monkeypatch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            loop.save()
        monkeypatch.setattr(os, "replace", plain)
        found = checkpoint.opened(loop.checkpoint, torch.device("cpu"))
        assert found["step"] == 3 and len(_files(tmp_path)) > len(before)
        _same(found["model"], wanted["model"])
    loop.save()  # the whole one leaves nothing of those
    assert len(_files(tmp_path)) == len(before) and set(_files(tmp_path)) & set(before) == {"last.index.json"}
    assert checkpoint.opened(loop.checkpoint, torch.device("cpu"))["step"] == 4


def test_the_index_is_renamed_last(tmp_path, monkeypatch):
    order, plain = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: order.append((a.suffix, b.name)) or plain(a, b))
    _loop(tmp_path, _model(), shard=300).run(until=2)
    assert len(order) > 3 and order[-1][1] == "last.index.json" and {kind for kind, _ in order} == {".part"}


def test_either_form_resumes_under_either_setting(tmp_path):
    straight = _loop(tmp_path / "straight", _model()).run().state_dict()
    for until, size, files in ((4, 0, 1), (8, 400, 4), (12, 0, 1), (16, 300, 4)):
        _loop(tmp_path / "b", _model(seed=until - 4), shard=size).run(until=until)
        assert (len(_files(tmp_path / "b")) == 1) == (files == 1)
    assert not (tmp_path / "b" / "last.pt").exists()  # what it was has gone
    _same(_loop(tmp_path / "b", _model(seed=7)).run().state_dict(), straight)


def test_of_two_states_the_newer_one_resumes(tmp_path):
    """A run killed between its index and the removal of the single file."""
    loop = _loop(tmp_path, _model())
    loop.run(until=2)
    old = (tmp_path / "last.pt").read_bytes()
    _loop(tmp_path, _model(), shard=300).run(until=5)
    (tmp_path / "last.pt").write_bytes(old)
    os.utime(tmp_path / "last.pt", (1, 1))
    again = _loop(tmp_path, _model())
    assert again.resume() and again.step == 5
    os.utime(tmp_path / "last.index.json", (0, 0))
    assert again.resume() and again.step == 2


@pytest.mark.parametrize("how", ["gone", "cut", "outside"])
def test_a_lost_or_damaged_file_is_named(tmp_path, how):
    loop = _loop(tmp_path, _model(), shard=300)
    loop.run(until=2)
    first = next(file for file in sorted(tmp_path.iterdir()) if file.suffix == ".safetensors")
    if how == "gone":
        first.unlink()
    elif how == "cut":
        first.write_bytes(first.read_bytes()[:-8])
    else:
        index = json.loads((tmp_path / "last.index.json").read_text())
        index["weight_map"] = {key: f"../{name}" for key, name in index["weight_map"].items()}
        (tmp_path / "last.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"last.*resume=false"):
        _loop(tmp_path, _model()).resume()


def test_another_models_files_are_refused(tmp_path):
    _loop(tmp_path, _model(), shard=300).run(until=2)
    with pytest.raises(UserError, match="another model"):
        _loop(tmp_path, nn.Linear(4, 1)).resume()


def test_starting_over_removes_all_files(tmp_path):
    from motionkit.settings.gpu import Plan
    from motionkit.training.job import DataConfig, TrainJob

    job = TrainJob(None, DataConfig(), Plan(), tmp_path, resume=True)
    job.claim({"lr": 1})
    _loop(tmp_path, _model(), shard=300).run(until=2)
    with pytest.raises(UserError, match="other settings"):
        job.claim({"lr": 2})
    job.resume = False
    job.claim({"lr": 2})
    assert not _files(tmp_path) and state_files.found(tmp_path) is None


def test_copies_in_another_folder_are_whole(tmp_path):
    for until in (2, 4):
        _loop(tmp_path / "a", _model(), shard=300, second=tmp_path / "copies").run(until=until)
    assert _files(tmp_path / "copies" / "a") == _files(tmp_path / "a")
    assert shards.read(tmp_path / "copies" / "a" / "last.index.json", mapped=False)["step"] == 4


def test_a_large_state_is_in_several_files_without_a_setting():
    assert LoopSettings("folder", 1).shard < 29e9 / 3  # the full-size training's 29 GB
