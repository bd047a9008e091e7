"""ModelScope's real sizes: the UNet's and text encoder's layers on the meta device, and a folder of random weights."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file

from motionkit.backbones.base import _role
from motionkit.backbones.lora_lists import from_list, layers_of
from motionkit.errors import UserError

# The configurations of damo-vilab/text-to-video-ms-1.7b.
UNET = {
    "sample_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "attention_head_dim": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 1024,
    "norm_num_groups": 32,
    "down_block_types": ["CrossAttnDownBlock3D"] * 3 + ["DownBlock3D"],
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "up_block_types": ["UpBlock3D"] + ["CrossAttnUpBlock3D"] * 3,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
}
TEXT = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 23,
    "max_position_embeddings": 77,
    "vocab_size": 49408,
    "projection_dim": 512,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "model_type": "clip_text_model",
    "torch_dtype": "float32",
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
    "scaling_factor": 0.18215,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
    "prediction_type": "epsilon",
}


def models():
    """The three models, without values."""
    from diffusers import AutoencoderKL, UNet3DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with init_empty_weights():
        return {
            "unet": UNet3DConditionModel(**UNET),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_dict(TEXT)),
            "vae": AutoencoderKL(**VAE),
        }


@pytest.fixture(scope="module")
def empty():
    return models()


def values(model):
    return sum(v.numel() for v in model.state_dict().values())


def test_sizes_are_the_published_ones(empty):
    sizes = {name: values(model) for name, model in empty.items()}
    assert round(sizes["unet"] / 1e9, 3) == 1.411 and round(sizes["text_encoder"] / 1e6, 1) == 340.4
    assert sizes["vae"] == 83_653_863
    assert round(2 * sum(sizes.values()) / 1e9, 1) == 3.7  # of the half-precision files, as the catalogue says


def test_every_attention_layer_has_its_role(empty):
    from diffusers.models.attention_processor import Attention

    found = [(name, _role(name)) for name, m in empty["unet"].named_modules() if isinstance(m, Attention)]
    count = {role: sum(r == role for _, r in found) for role in ("spatial_self", "cross", "temporal_self")}
    assert count == {"spatial_self": 16, "cross": 16, "temporal_self": 34}
    assert sum(name.endswith("attn1") for name, _ in found) == 33


def factors(targets, rank):
    """The list that the trainer would write: up (O, r, 1...), down (r, I, k...); rank no larger than either side."""
    tensors = []
    for _, layer in targets:
        out, into, *kernel = layer.weight.shape
        r = min(rank, out, into)
        tensors += [torch.empty(out, r, *(1 for _ in kernel)), torch.empty(r, into, *kernel)]
    return tensors


def test_the_authors_list_for_the_unet(empty, tmp_path):
    targets = layers_of(empty["unet"])
    tensors = factors(targets, 4)
    assert len(targets) == 574 and round(sum(t.numel() for t in tensors) * 4 / 1e6, 2) == 29.28  # their file: 29.6 MB
    found = from_list(tmp_path / "2500_unet.pt", tensors, "unet", empty["unet"])
    names = [name for name, _, _ in found]
    assert names == [name for name, _ in targets] and len(set(names)) == 574
    assert names[:4] == ["conv_in", "time_embedding.linear_1", "time_embedding.linear_2", "transformer_in.proj_in"]
    kinds = ("temp_convs", "temp_attentions", "transformer_in")
    assert [sum(k in n for n in names) for k in kinds] == [88, 192, 12]
    last = ("up_blocks.3.resnets.2.conv2", "mid_block.resnets.0.conv1", "conv_out")  # the middle comes after the way up
    assert sorted(last, key=names.index) == list(last) and names[-1] == "conv_out"
    with pytest.raises(UserError, match=r"holds 1146 tensors, this unet.* 574 layers"):
        from_list(tmp_path / "a_unet.pt", tensors[2:], "unet", empty["unet"])
    i, j = names.index("down_blocks.0.resnets.0.conv1"), names.index("down_blocks.0.resnets.0.time_emb_proj")
    tensors[2 * i : 2 * i + 2], tensors[2 * j : 2 * j + 2] = tensors[2 * j : 2 * j + 2], tensors[2 * i : 2 * i + 2]
    with pytest.raises(UserError, match=rf"unet.down_blocks.0.resnets.0.conv1 .pair {i}. is for weights of shape"):
        from_list(tmp_path / "a_unet.pt", tensors, "unet", empty["unet"])


def test_the_authors_list_for_the_text_encoder(empty, tmp_path):
    model = empty["text_encoder"]
    ends = ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2")
    names = [f"encoder.layers.{i}.{end}" for i in range(23) for end in ends]
    targets = [(name, model.get_submodule(name)) for name in names]
    tensors = factors(targets, 4)
    assert len(targets) == 138 and round(sum(t.numel() for t in tensors) * 4 / 1e6, 2) == 6.78  # their file: 6.87 MB
    found = from_list(tmp_path / "2500_text_encoder.pt", tensors, "text_encoder", model)
    assert [name for name, _, _ in found] == [name for name, _ in targets]


def test_todays_order_of_layers_is_the_lists(empty):
    """transformers lists a text layer's six in the order of the authors' time; a change would not show in shapes."""
    names = [name for name, _ in layers_of(empty["text_encoder"])][:6]
    assert [n.rpartition(".")[2] for n in names] == ["k_proj", "v_proj", "q_proj", "out_proj", "fc1", "fc2"]


def write(folder):
    """A folder as the hub has it, in half precision: 3.7 GB."""
    from motionkit.backbones.tiny_tokenizer import build_tokenizer

    generator = torch.Generator().manual_seed(0)
    classes = {"unet": "UNet3DConditionModel", "vae": "AutoencoderKL"}
    for (part, model), config in zip(models().items(), (UNET, TEXT, VAE), strict=True):
        prefix, stem = ("text_model.", "model") if part == "text_encoder" else ("", "diffusion_pytorch_model")
        tensors = {prefix + k: _fill(k, v.shape, generator) for k, v in model.state_dict().items()}
        (folder / part).mkdir(parents=True)
        more = {"_class_name": classes[part]} if part in classes else {}
        (folder / part / "config.json").write_text(json.dumps(config | more))
        save_file(tensors, folder / part / f"{stem}.fp16.safetensors")
    build_tokenizer(["a", "cat"], folder / "tokenizer")
    special = {"pad_token": "!", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer/special_tokens_map.json").write_text(json.dumps(special))
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULER))


def _fill(name, shape, generator):
    if len(shape) == 1:
        return torch.full(shape, float("norm" in name and name.endswith("weight")), dtype=torch.float16)
    scale = 1 / max(1, shape[1:].numel()) ** 0.5 if "embedding" not in name else 0.02
    count = shape.numel()
    drawn = torch.randn(min(count, 1 << 20), generator=generator)  # over and over: drawing 1.8 billion takes a minute
    return (drawn.repeat(-(-count // len(drawn)))[:count].reshape(shape) * scale).half()


SCRIPT = """
import json, sys, time, torch
from motionkit.backbones import load
from motionkit.backbones.lora_files import LoraOptions
from motionkit.settings.gpu import Plan
from motionkit.running.manifest import peak_rss
start = time.time()
lora = LoraOptions(sys.argv[3]) if len(sys.argv) > 3 else None
backbone = load("modelscope", Plan(dtype=sys.argv[2]), path=sys.argv[1], lora=lora)
seconds, loaded = time.time() - start, peak_rss() / 2**30
frames = torch.rand(2, 3, 64, 64)
latents = backbone.encode(frames)
text = backbone.encode_text(["a cat", ""])
start = time.time()
with torch.no_grad():
    out = backbone.denoise(latents.transpose(0, 1)[None], 961, text[:1])
image = backbone.decode(latents)
print(json.dumps({
    "seconds": seconds, "loaded_gib": loaded, "peak_gib": peak_rss() / 2**30,
    "denoise": time.time() - start, "shapes": [list(latents.shape), list(out.shape), list(image.shape)],
    "finite": bool(torch.isfinite(out).all() and torch.isfinite(image).all()), "text": list(text.shape),
    "spread": [float(out.std()), float(image.std())], "dtype": str(backbone.dtype), "factor": backbone.factor,
    "sites": [len(backbone.attention_sites(r)) for r in ("spatial_self", "cross", "temporal_self")],
    "heads": sorted({(s.width, s.heads) for s in backbone.attention_sites("spatial_self")}),
    "pad": backbone.tokenizer.pad_token, "fingerprint": backbone.fingerprint(), "first": float(out.flatten()[0]),
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "checkpoint-2500"
    write(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_full_size_folder_loads_computes_and_takes_the_authors_lora(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    g, lists = torch.Generator().manual_seed(1), models()
    (tmp_path / "lora").mkdir()
    for part, targets in (("unet", layers_of(lists["unet"])), ("text_encoder", layers_of(lists["text_encoder"]))):
        tensors = [torch.randn(t.shape, generator=g) * 0.05 for t in factors(targets, 1)]
        torch.save(tensors, tmp_path / "lora" / f"2500_{part}.pt")
    found = []
    for more in ((), (str(tmp_path / "lora"),)):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(folder), "bfloat16", *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print({k: found[-1][k] for k in ("seconds", "loaded_gib", "peak_gib", "denoise", "spread")})
    for facts in found:
        assert facts["shapes"] == [[2, 4, 8, 8], [1, 4, 2, 8, 8], [2, 3, 64, 64]] and facts["text"] == [2, 77, 1024]
        assert facts["finite"] and min(facts["spread"]) > 0 and facts["dtype"] == "torch.bfloat16"
        assert facts["heads"] == [[320, 5], [640, 10], [1280, 20]] and facts["sites"] == [16, 16, 34]
        assert facts["factor"] == 8 and facts["pad"] == "!" and facts["peak_gib"] < 7
    assert found[0]["fingerprint"] != found[1]["fingerprint"] and found[0]["first"] != found[1]["first"]
