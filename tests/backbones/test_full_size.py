"""The loader on a folder of Stable Diffusion 1.5's real size (random weights): names, shapes, memory, one step."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file

from motionkit.backbones import load
from motionkit.backbones.tiny_tokenizer import build_tokenizer
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan

pytestmark = pytest.mark.slow

UNET = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "act_fn": "silu",
    "center_input_sample": False,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
}
VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "block_out_channels": [128, 256, 512, 512],
    "sample_size": 512,
    "act_fn": "silu",
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "model_type": "clip_text_model",
    "torch_dtype": "float32",
}
# Published sizes of Stable Diffusion 1.x: tensors, and values in them.
SIZES = {"unet": (686, 859_520_964), "vae": (248, 83_653_863), "text_encoder": (196, 123_060_480)}
OLD_NAMES = ((".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn."))


def write(folder: Path) -> None:
    """Write the folder as the hub has it, in half precision and with the names of 2022: 2.1 GB."""
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    makers = {
        "unet": (lambda: UNet2DConditionModel(**UNET), UNET | {"_class_name": "UNet2DConditionModel"}),
        "vae": (lambda: AutoencoderKL(**VAE), VAE | {"_class_name": "AutoencoderKL"}),
        "text_encoder": (lambda: CLIPTextModel(CLIPTextConfig.from_dict(TEXT)), TEXT),
    }
    generator = torch.Generator().manual_seed(0)
    for part, (make, config) in makers.items():
        with init_empty_weights():
            shapes = {k: v.shape for k, v in make().state_dict().items()}
        tensors = {_hub_name(part, k): _fill(k, shape, generator) for k, shape in shapes.items()}
        if part == "text_encoder":
            tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps(config))
        stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        save_file(tensors, folder / part / f"{stem}.fp16.safetensors")
    build_tokenizer(["a", "cat"], folder / "tokenizer")
    PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")


def _hub_name(part: str, name: str) -> str:
    if part == "text_encoder":
        return f"text_model.{name}"
    if part == "vae" and "mid_block.attentions" in name:
        for new, old in OLD_NAMES:
            name = name.replace(new, old)
    return name


def _fill(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    if len(shape) == 1:
        return torch.full(shape, float("norm" in name and name.endswith("weight")), dtype=torch.float16)
    scale = 1 / max(1, shape[1:].numel()) ** 0.5 if "embedding" not in name else 0.02
    return (torch.randn(shape, generator=generator) * scale).half()


SCRIPT = """
import json, sys, time, torch
from motionkit.backbones import load
from motionkit.settings.gpu import Plan
from motionkit.running.manifest import peak_rss
start = time.time()
backbone = load("sd15", Plan(dtype=sys.argv[2]), path=sys.argv[1])
seconds, loaded = time.time() - start, peak_rss() / 2**30
parts = {"vae": backbone.vae, "unet": backbone.unet, "text_encoder": backbone.text_encoder}
frames = torch.rand(2, 3, 64, 64)
latents = backbone.encode(frames)
with torch.no_grad():
    out = backbone.denoise(latents.transpose(0, 1)[None], 981, backbone.encode_text(["a cat"]))
image = backbone.decode(latents)
print(json.dumps({
    "seconds": seconds, "loaded_gib": loaded, "peak_gib": peak_rss() / 2**30,
    "sizes": {k: [len(p.state_dict()), sum(v.numel() for v in p.state_dict().values())] for k, p in parts.items()},
    "shapes": [list(latents.shape), list(out.shape), list(image.shape)],
    "finite": bool(torch.isfinite(out).all() and torch.isfinite(image).all()),
    "spread": [float(out.std()), float(image.std())],
    "text": list(backbone.encode_text(["a cat", ""]).shape), "dtype": str(backbone.dtype),
    "heads": sorted({(s.width, s.heads) for s in backbone.attention_sites("cross")}),
    "sites": [len(backbone.attention_sites(r)) for r in ("spatial_self", "cross", "temporal_self")],
    "fingerprint": len(backbone.fingerprint()),
}))
"""

ADAPTER = {
    "_class_name": "MotionAdapter",
    "_diffusers_version": "0.25.0.dev0",
    "block_out_channels": [320, 640, 1280, 1280],
    "motion_layers_per_block": 2,
    "motion_max_seq_length": 32,
    "motion_mid_block_layers_per_block": 1,
    "motion_norm_num_groups": 32,
    "motion_num_attention_heads": 8,
    "use_motion_mid_block": False,
}
MOTION_SCRIPT = """
import json, sys, torch
from motionkit.backbones import load
from motionkit.backbones.motion_files import MotionOptions
from motionkit.settings.gpu import Plan
from motionkit.running.manifest import peak_rss
backbone = load("animatediff-sd15", Plan(dtype="bfloat16"), path=sys.argv[1], motion=MotionOptions(sys.argv[2]))
with torch.no_grad():
    out = backbone.denoise(torch.randn(1, 4, 3, 8, 8), 981, backbone.encode_text(["a cat"]))
print(json.dumps({
    "peak_gib": peak_rss() / 2**30, "shape": list(out.shape),
    "values": sum(v.numel() for v in backbone.unet.state_dict().values()), "positions": backbone.positions,
    "finite": bool(torch.isfinite(out).all()), "spread": float(out.std()),
    "sites": [len(backbone.attention_sites(r)) for r in ("spatial_self", "cross", "temporal_self")],
    "betas": backbone.scheduler.config.beta_schedule, "fingerprint": len(backbone.fingerprint()),
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "sd15"
    write(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 7.0), ("bfloat16", 4.5)])
def test_a_full_size_folder_loads_and_computes(folder, dtype, limit, tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), dtype], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print({k: found[k] for k in ("seconds", "loaded_gib", "peak_gib", "spread")})
    assert {k: tuple(v) for k, v in found["sizes"].items()} == SIZES
    assert found["shapes"] == [[2, 4, 8, 8], [1, 4, 2, 8, 8], [2, 3, 64, 64]] and found["text"] == [2, 77, 768]
    assert found["finite"] and min(found["spread"]) > 0 and found["dtype"] == f"torch.{dtype}"
    assert found["heads"] == [[320, 8], [640, 8], [1280, 8]] and found["sites"] == [16, 16, 0]
    assert found["peak_gib"] < limit


def write_modules(folder: Path) -> int:
    """Write motion modules as the hub has them, in half precision (0.9 GB); returns how many values they hold."""
    from diffusers import MotionAdapter

    with init_empty_weights():
        shapes = {k: v.shape for k, v in MotionAdapter.from_config(ADAPTER).state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    tensors = {k: _fill(k, shape, generator) for k, shape in shapes.items()}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(ADAPTER))
    save_file(tensors, folder / "diffusion_pytorch_model.fp16.safetensors")
    return sum(t.numel() for t in tensors.values())


def test_motion_modules_of_full_size_load_on_it(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    values = write_modules(tmp_path / "modules")
    done = subprocess.run(
        [sys.executable, "-c", MOTION_SCRIPT, str(folder), str(tmp_path / "modules")],
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(tmp_path / "modules")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found["values"] == SIZES["unet"][1] + values and found["sites"] == [16, 16, 40]
    assert found["shape"] == [1, 4, 3, 8, 8] and found["finite"] and found["spread"] > 0
    assert found["positions"] == 32 and found["betas"] == "linear" and found["peak_gib"] < 6


def test_one_byte_less_is_noticed(folder, tmp_path):
    file = Path(folder) / "vae/diffusion_pytorch_model.fp16.safetensors"
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-1])
        with pytest.raises(UserError, match="damaged or cut short"):
            load("sd15", Plan(), path=str(folder))
    finally:
        file.write_bytes(content)
