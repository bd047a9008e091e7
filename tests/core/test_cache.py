"""The stage cache: keys that hold exactly what a stage depends on, files that are whole or absent."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from motionkit.running.cache import StageCache, StageOutput, content_hash, normalise, pick_settings, stage_key

RUN = {"backbone": "b", "seed": 0, "size": (10, 64, 64), "parent": ""}


def key(blend, inputs, stage="fit", config=None, **run):
    spec = blend.SPEC
    return stage_key(spec, spec.stage(stage), inputs, config or blend.BlendConfig(), RUN | run)


def test_the_key_changes_with_what_the_stage_declares_and_with_nothing_else(blend, inputs):
    base = key(blend, inputs)
    assert base == key(blend, inputs)
    assert base != key(blend, inputs, config=blend.BlendConfig(fit=blend.FitSettings(steps=5)))
    assert base == key(blend, inputs, config=blend.BlendConfig(strength=0.9))
    assert base == key(blend, inputs, config=blend.BlendConfig(fit=blend.FitSettings(pause=1.0)))
    assert base == key(blend, replace(inputs, prompt="else", driving=inputs.reference))
    assert base != key(blend, replace(inputs, reference=inputs.driving))
    changes = {"backbone": "c", "seed": 1, "size": (8, 64, 64), "parent": "p"}
    keys = {base, *(key(blend, inputs, **{name: value}) for name, value in changes.items())}
    assert len(keys) == 5
    newer = replace(blend.SPEC, version="2")
    assert base != stage_key(newer, newer.stage("fit"), inputs, blend.BlendConfig(), RUN)


def test_an_unseeded_stage_ignores_the_seed(blend, inputs):
    assert key(blend, inputs, "prepare") == key(blend, inputs, "prepare", seed=7)


def test_settings_by_prefix(blend):
    config = blend.BlendConfig()
    assert pick_settings(config, ("fit",)) == {"fit.steps": 4, "fit.pause": 0.0}
    assert pick_settings(config, ("fit.steps", "strength")) == {"fit.steps": 4, "strength": 0.5}
    assert len(pick_settings(config, ("*",))) == 4
    with pytest.raises(ValueError, match="'fi'"):
        pick_settings(config, ("fi",))


def test_what_is_saved_comes_back(tmp_path):
    cache = StageCache("m", tmp_path)
    tensors = normalise({"a": torch.arange(6).reshape(2, 3).T, "b": torch.ones(0, 4), "c": torch.tensor(True)})
    picture = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    cache.save("fit", "k", StageOutput(tensors, {"map": picture}, {"loss": 0.5}, content_hash(tensors)))
    loaded = cache.load("fit", "k")
    assert {n: t.tolist() for n, t in loaded.tensors.items()} == {n: t.tolist() for n, t in tensors.items()}
    assert (loaded.shown["map"] == picture).all() and loaded.notes == {"loss": 0.5}
    assert loaded.content == content_hash(loaded.tensors)
    assert [p.name for p in tmp_path.rglob("*.*")] == ["fit-k.safetensors"]


@pytest.mark.parametrize("damage", [b"", b"\x00" * 40, "cut", "flipped", "no notes"])
def test_a_damaged_file_counts_as_absent(tmp_path, damage):
    cache, tensors = StageCache("m", tmp_path), {"a": torch.ones(8)}
    cache.save("fit", "k", StageOutput(tensors, content=content_hash(tensors)))
    path = cache.path("fit", "k")
    assert cache.load("fit", "k") is not None
    if damage == "no notes":
        save_file({"out.a": tensors["a"]}, path, {"motionkit": "{}"})
    else:
        held = path.read_bytes()
        spoilt = {"cut": held[:-8], "flipped": held[:-1] + bytes([held[-1] ^ 1])}
        path.write_bytes(spoilt.get(damage, damage))
    assert cache.load("fit", "k") is None


def test_nothing_is_left_when_saving_fails(tmp_path, monkeypatch):
    import safetensors.torch

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError):
        StageCache("m", tmp_path).save("fit", "k", StageOutput({"a": torch.ones(8)}))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_checkpoints_go_when_the_stage_is_whole(tmp_path):
    cache = StageCache("m", tmp_path)
    whole, part = cache.checkpoint("fit", "k"), cache.checkpoint("fit", "k", "second")
    assert whole.load() is None
    whole.save({"step": torch.tensor(3)})
    part.save({"step": torch.tensor(5)})
    assert (whole.load()["step"], part.load()["step"]) == (3, 5)
    cache.save("fit", "k", StageOutput({}, content=content_hash({})))
    assert whole.load() is None and part.load() is None and cache.load("fit", "k").tensors == {}


def test_normalise_makes_what_a_cache_hit_gives():
    base = torch.arange(8.0, requires_grad=True)
    plain = normalise({"view": base[2:4], "same": base, "again": base})
    assert all(not t.requires_grad and t.is_contiguous() for t in plain.values())
    assert len({t.untyped_storage().data_ptr() for t in plain.values()}) == 3


def test_another_process_that_writes_the_same_stage_is_not_disturbed(tmp_path):
    cache = StageCache("m", tmp_path)
    checkpoint = cache.checkpoint("fit", "k").path
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    young, old = (checkpoint.with_name(f".fit-k.{name}.part") for name in ("young", "old"))
    for left in (young, old):
        left.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    cache.save("fit", "k", StageOutput({}, content="c"))
    assert young.exists() and not old.exists()


def test_a_state_that_cannot_be_kept_does_not_end_the_run(tmp_path, monkeypatch, caplog):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("motionkit.running.cache._write", full)
    StageCache("m", tmp_path).checkpoint("fit", "k").save({"step": torch.tensor(3)})
    assert "cannot be saved" in caplog.text and "No space left" in caplog.text
