"""Folders of Stable Diffusion's real sizes with random weights: they load, and take one tuning step, in 12 GiB."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "backbones"))

import test_full_size as sd_files  # noqa: E402

from motionkit.backbones.tiny_tokenizer import build_tokenizer  # noqa: E402

pytestmark = pytest.mark.slow
LIMIT = 12.0  # GiB

SCRIPT = """
import json, sys, tempfile, torch
from pathlib import Path
from motionkit.backbones import load
from motionkit.backbones.motion_files import MotionOptions
from motionkit.context import RunContext
from motionkit.settings.gpu import Plan
from motionkit.methods.vidmp3.config import TuneConfig, VidMP3Config
from motionkit.methods.vidmp3.maps import GuideMaps
from motionkit.methods.vidmp3.tune import tune
from motionkit.running.manifest import peak_rss

name, folder, modules, places = sys.argv[1], sys.argv[2], sys.argv[3], Path(tempfile.mkdtemp())
plan = Plan(dtype="bfloat16", checkpointing=True)
backbone = load(name, plan, path=folder, motion=MotionOptions(modules))
config = VidMP3Config(tune=TuneConfig(steps=1)).on(name)
losses, g = [], torch.Generator().manual_seed(0)
mask = torch.ones(2, 1, 32, 32)
maps = [GuideMaps(torch.rand(2, 3, 32, 32, generator=g), mask)]
run = RunContext(0, 2, 64, 64, 8.0, plan, places)
pack = tune(backbone, config, run, torch.randn(2, 4, 8, 8, generator=g), "a cat", maps, [None], 0.1,
            on_step=lambda _, loss: losses.append(loss))
guide = pack.build_guide()
print(json.dumps({
    "peak_gib": peak_rss() / 2**30, "losses": losses,
    "tensors": len(pack.deltas), "values": sum(v.numel() for v in pack.deltas.values()),
    "moved": all(bool(v.abs().max() > 0) for v in pack.deltas.values()),
    "heads": {k: float(h.weight.abs().max()) for k, h in guide.heads.items()}, "sites": len(pack.facts.sites),
    "dtype": str(next(iter(pack.deltas.values())).dtype),
}))
"""

XL_UNET = sd_files.UNET | {
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
    "transformer_layers_per_block": [1, 2, 2],  # SD XL has 10 at the lowest level: 290 tensors are 194 here
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
XL_ADAPTER = sd_files.ADAPTER | {"block_out_channels": [320, 640, 1280]}
TEXT_2 = sd_files.TEXT | {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 2,
    "projection_dim": 1280,
    "hidden_act": "gelu",
    "model_type": "clip_text_model",
}


def tune_once(name, folder, modules):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, str(folder), str(modules)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["moved"] and len(found["losses"]) == 1 and found["losses"][0] > 0
    assert all(value > 0 for value in found["heads"].values()) and found["dtype"] == "torch.float16"
    assert found["peak_gib"] < LIMIT
    return found


def write_part(folder, config, build, stem, seed):
    """One part of a model in half precision, made from its configuration."""
    with init_empty_weights():
        shapes = {k: v.shape for k, v in build().state_dict().items()}
    g = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({k: sd_files._fill(k, shape, g) for k, shape in shapes.items()}, folder / f"{stem}.fp16.safetensors")


def write_xl(folder):
    """SD XL's folder at its real widths, with fewer transformer layers and short text encoders."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    text = sd_files.TEXT | {"num_hidden_layers": 2}
    model = "diffusion_pytorch_model"
    unet, vae = XL_UNET | {"_class_name": "UNet2DConditionModel"}, sd_files.VAE | {"_class_name": "AutoencoderKL"}
    write_part(folder / "unet", unet, lambda: UNet2DConditionModel(**XL_UNET), model, 0)
    write_part(folder / "vae", vae, lambda: AutoencoderKL(**sd_files.VAE), model, 1)
    for name, config, kind in (("text_encoder", text, CLIPTextModel), ("text_encoder_2", TEXT_2, None)):
        made = CLIPTextConfig.from_dict(config)
        build = kind or CLIPTextModelWithProjection
        write_part(folder / name, config, lambda build=build, made=made: build(made), "model", 2)
        build_tokenizer(["a", "cat"], folder / name.replace("text_encoder", "tokenizer"))
    EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").save_pretrained(
        folder / "scheduler"
    )


def test_sd15_takes_a_tuning_step(tmp_path):
    sd_files.write(tmp_path / "sd15")
    sd_files.write_modules(tmp_path / "modules")
    found = tune_once("animatediff-sd15", tmp_path / "sd15", tmp_path / "modules")
    shutil.rmtree(tmp_path / "sd15")
    assert (found["tensors"], found["values"], found["sites"]) == (72, 62_668_800, 40)
    assert set(found["heads"]) == {"w320", "w640", "w1280"}


def test_sdxl_takes_a_tuning_step(tmp_path):
    """At SD XL's widths; its lowest level has 2 transformer layers here and not 10, for memory and time."""
    from diffusers import MotionAdapter

    write_xl(tmp_path / "sdxl")
    write_part(
        tmp_path / "modules", XL_ADAPTER, lambda: MotionAdapter.from_config(XL_ADAPTER), "diffusion_pytorch_model", 3
    )
    found = tune_once("animatediff-sdxl", tmp_path / "sdxl", tmp_path / "modules")
    shutil.rmtree(tmp_path / "sdxl")
    assert (found["tensors"], found["values"], found["sites"]) == (194, 133_552_000, 30)
