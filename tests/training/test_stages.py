"""Every stage's command runs two steps at tiny size, stops, goes on and leaves its weights in the set."""

import json
import sys

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from transformers import CLIPTextModel

from motionkit.training.recipes import (
    colour_decoder,
    fold_latents,
    pocket_decoder,
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
    folder = tmp_path / "benchmarks" / "pocket" / "next"
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
