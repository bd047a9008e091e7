"""Every stage's command runs two steps at tiny size, stops, goes on and leaves its weights in the set."""

import json
import sys

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from transformers import CLIPTextModel

from motionkit.training.recipes import (
    arms_wide,
    colour_decoder,
    fold_latents,
    pocket_decoder,
    pocket_looks,
    pocket_maps,
    pocket_modelscope,
    pocket_sd,
    verb_critic,
)
from motionkit.training.recipes.fold_latents import fold, statistics
from motionkit.training.recipes.pocket_vae import CONFIG

SIZES = dict(block_out_channels=(16, 16, 32), norm_num_groups=8)


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    """A set with an untrained small pocket-sd, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pocket_sd, "UNET", pocket_sd.UNET | SIZES | dict(attention_head_dim=2))
    monkeypatch.setattr(pocket_modelscope, "UNET", pocket_modelscope.UNET | SIZES | dict(attention_head_dim=8))
    torch.manual_seed(0)
    vae = AutoencoderKL(**CONFIG | dict(block_out_channels=(16,))).eval()
    vae.save_pretrained("raw")
    fold(vae, *statistics(vae, 32))
    folder = tmp_path / "benchmarks" / "pocket" / "set"
    vae.save_pretrained(folder / "pocket-sd" / "vae")
    model, *_ = pocket_sd.build(folder / "pocket-sd", 0, False, "cpu")
    pocket_sd.export(model, folder / "pocket-sd")
    return folder


def _run(monkeypatch, module, name, *options):
    command = [module.__name__, "--folder", f"runs/pocket/{name}", "--steps", "2", "--device", "cpu", *options]
    monkeypatch.setattr(sys, "argv", command)
    module.main()


def test_pocket_sd(small_set, monkeypatch):
    _run(monkeypatch, pocket_sd, "pocket-sd", "--batch", "4")
    folder = small_set / "pocket-sd"
    assert list(pocket_sd.read_unet(folder / "unet").config.block_out_channels) == [16, 16, 32]
    assert CLIPTextModel.from_pretrained(folder / "text_encoder").config.hidden_size == 128
    assert DDIMScheduler.from_pretrained(folder / "scheduler").config.beta_end == 0.02
    assert json.loads((small_set / "records" / "pocket-sd.json").read_text())["steps"] == 2


def test_decoders_and_folding(small_set, monkeypatch):
    monkeypatch.setattr(fold_latents, "statistics", lambda vae, *a, **k: statistics(vae, 32))
    _run(monkeypatch, colour_decoder, "colour-decoder", "--base", "raw", "--batch", "6")
    record = json.loads((small_set / "records" / "colour-decoder.json").read_text())
    assert {"psnr_subject", "sharpness"} <= set(record["figures"]) and record["before"]["n"] == 64
    _run(monkeypatch, fold_latents, "fold")
    vae = AutoencoderKL.from_pretrained(small_set / "pocket-sd" / "vae").float()
    assert (statistics(vae, 32)[1] * 0.18215).sub(1).abs().max() < 0.1
    _run(monkeypatch, pocket_decoder, "line-decoder", "--batch", "4")
    assert (small_set / "pocket-modelscope" / "vae" / "diffusion_pytorch_model.safetensors").exists()


def test_the_critic_and_the_video_unet_that_it_teaches(small_set, monkeypatch):
    _run(monkeypatch, verb_critic, "verb-critic", "--batch", "2")
    assert (small_set / "verb-critic" / "critic.pt").exists()
    _run(monkeypatch, pocket_modelscope, "pocket-modelscope", "--batch", "2")
    record = json.loads((small_set / "records" / "pocket-modelscope.json").read_text())
    assert record["batch"] == 2
    assert (small_set / "pocket-modelscope" / "unet" / "diffusion_pytorch_model.safetensors").exists()


def test_the_small_networks_that_read_pixels(small_set, monkeypatch):
    from motionkit.perception import pocket_networks
    from motionkit.weights.small_nets import load_net

    measure = pocket_looks.evaluate
    monkeypatch.setattr(pocket_looks, "evaluate", lambda net: measure(net, 20))
    monkeypatch.setattr(pocket_maps, "evaluate", lambda net: {"n": 0})
    _run(monkeypatch, pocket_looks, "pocket-looks", "--batch", "4")
    net, figures = load_net(
        small_set / "perception" / "pocket_looks.safetensors", pocket_networks.LooksNet, "looks", ""
    )
    assert 0 <= figures["wild_told_apart"] <= 1 and figures["easy_same"] <= 1
    _run(monkeypatch, pocket_maps, "pocket-maps", "--batch", "2", "--muon", "--settings", "wild")
    record = json.loads((small_set / "records" / "pocket-maps.json").read_text())
    assert record["settings"] == ["wild"] and (small_set / "perception" / "pocket_maps.safetensors").exists()


def test_a_stopped_small_network_goes_on_elsewhere(small_set, monkeypatch):
    """A stage that a signal stopped leaves its files, and a folder without a checkpoint goes on from them."""
    import shutil

    from motionkit.training.loop import Loop

    run = Loop.run
    monkeypatch.setattr(Loop, "run", lambda loop: run(loop, 1))
    with pytest.raises(SystemExit):
        _run(monkeypatch, pocket_looks, "pocket-looks", "--batch", "4")
    assert not (small_set / "records").exists()
    shutil.rmtree("runs")
    monkeypatch.setattr(Loop, "run", run)
    monkeypatch.setattr(pocket_looks, "evaluate", lambda net: {})
    _run(monkeypatch, pocket_looks, "pocket-looks", "--batch", "4")
    assert json.loads((small_set / "records" / "pocket-looks.json").read_text())["steps"] == 2
    assert not any((small_set.parent / "handover").glob("*"))


def test_the_moments_of_looks_are_of_two_and_two_of_a_kind():
    data = pocket_looks.moments(0, 0, 8)
    assert len(data) == 8 and {c.frames.shape[0] for c in data} == {2}
    for one, other in zip(data[::2], data[1::2], strict=True):
        assert one.character.kind == other.character.kind and one.character.seed != other.character.seed
        assert abs(one.keypoints[0] - one.keypoints[1]).max() > 1
    first, second = pocket_looks.batch_of(data, 3)
    assert first.shape == second.shape == (8, 3, 128, 128) and first.min() >= 0 and first.max() <= 1


def test_the_wide_arm_is_measured_beside_pocket_sd(small_set, monkeypatch):
    _run(monkeypatch, pocket_sd, "pocket-sd", "--batch", "4")
    sizes = dict(block_out_channels=(16, 32, 48), norm_num_groups=8, attention_head_dim=2)
    monkeypatch.setattr(arms_wide, "WIDE", arms_wide.WIDE | sizes)
    monkeypatch.setattr(arms_wide, "x0_errors", lambda model, *_: {"x0_2": float(model.unet.conv_in.weight.shape[0])})
    monkeypatch.setattr(sys, "argv", ["arms_wide", "--seconds", "0.001", "--batch", "2"])
    arms_wide.main()
    record = json.loads((small_set / "records" / "arms-wide.json").read_text())
    assert record["steps"] < 4 and record["x0_2"] == 16 and any(k.startswith("pocket-sd after") for k in record)
    curve = small_set / "curve.csv"
    curve.write_text("step,seconds,loss,mse\n20,10,1,0.5\n40,20,1,0.3\n60,30,1,0.1\n")
    assert arms_wide.error_at(curve, 20) == pytest.approx(0.4) and arms_wide.error_at(curve, 60) is None
