"""Checkpoints in one file: every name at full size, the same models to the bit, and one line for what is amiss."""

import dataclasses
import json

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from motionkit.backbones import fingerprint, get, load, single_file, tiny_sizes
from motionkit.backbones.clip_tokenizer import clip_tokenizer
from motionkit.backbones.motion_files import MotionOptions
from motionkit.backbones.single_file import TEXT, UNET, VAE, XL_TEXT, XL_TEXT_2
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan
from motionkit.weights import places
from motionkit.weights.published_names import open_clip_name, unet_names, vae_names

CLASSES = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}


def published(name):
    return json.loads((places.PACKAGE / "configs" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_every_name_at_full_size_is_the_one_that_diffusers_reads(name):
    configs = published(name)
    with init_empty_weights():
        unet, vae = (CLASSES[part].from_config(configs[part]) for part in ("unet", "vae"))
    own = unet.state_dict()
    names = unet_names(own)
    assert names.keys() == own.keys() and len(set(names.values())) == len(own)
    back = convert_ldm_unet_checkpoint({UNET + names[key]: value for key, value in own.items()}, unet.config)
    assert {key: value.shape for key, value in back.items()} == {key: value.shape for key, value in own.items()}
    own = vae.state_dict()
    names = vae_names(own)
    assert len(set(names.values())) == len(own)
    back = convert_ldm_vae_checkpoint({VAE + names[key]: value for key, value in own.items()}, vae.config)
    assert back.keys() == own.keys()


def test_the_counts_are_those_of_the_published_files():
    """686 and 1680 weights of the UNets and 248 of the autoencoder, as in the files' headers."""
    for name, count in (("sd15", 686), ("sdxl", 1680)):
        with init_empty_weights():
            unet = UNet2DConditionModel.from_config(published(name)["unet"])
            vae = AutoencoderKL.from_config(published(name)["vae"])
        assert len(unet_names(unet.state_dict())) == count and len(vae_names(vae.state_dict())) == 248
        names = set(unet_names(unet.state_dict()).values())
        assert {"out.0.weight", "time_embed.2.bias", "middle_block.2.out_layers.3.weight"} <= names


def test_open_clips_names_are_those_that_diffusers_reads():
    """SD XL's second text encoder: 32 layers, q, k and v in one matrix, the projection the other way round."""
    config = CLIPTextConfig(**published("sdxl")["text_encoder_2"] | narrow(24))
    model = CLIPTextModelWithProjection(config)
    file = open_clip(model)
    assert len(file) == 32 * 12 + 5
    back = convert_open_clip_checkpoint(model, file, prefix=XL_TEXT_2)
    own = {key.removeprefix("text_model."): value for key, value in model.state_dict().items()}
    assert {key.removeprefix("text_model."): value.shape for key, value in back.items()} == {
        key: value.shape for key, value in own.items()
    }
    assert all(torch.equal(value, own[key.removeprefix("text_model.")]) for key, value in back.items())


def narrow(width):
    return {"hidden_size": width, "intermediate_size": 32, "num_attention_heads": 2, "projection_dim": width}


def open_clip(model):
    """A text encoder under open_clip's names."""
    file, thirds = {}, {}
    for key, value in model.state_dict().items():
        name, third = open_clip_name(key)
        if third is None:
            file[XL_TEXT_2 + name] = (value.T if name == "text_projection" else value).contiguous()
        else:
            thirds.setdefault(XL_TEXT_2 + name, {})[third] = value
    return file | {key: torch.cat([parts[i] for i in range(3)]) for key, parts in thirds.items()}


SIZES = {"sd15": tiny_sizes.ARCHITECTURE, "sdxl": tiny_sizes.architecture("sdxl")}
BESIDE = {  # what such files hold beside the model
    "alphas_cumprod": torch.ones(1000),
    "model_ema.decay": torch.ones(1),
    "first_stage_model.loss.logvar": torch.zeros(1),
}


def written(name, file, monkeypatch, change=None, wrap=None):
    """A tiny model in one file under the authors' names; returns its models by part."""
    configs = {part: dict(config) for part, config in SIZES[name].items()}
    for part in configs:
        if part.startswith("text_encoder"):
            configs[part] |= {"vocab_size": 49408, "max_position_embeddings": 77}
    monkeypatch.setattr(single_file, "_shipped", lambda _: {part: dict(config) for part, config in configs.items()})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        parts = {part: CLASSES[part].from_config(configs[part]) for part in CLASSES}
        parts["text_encoder"] = CLIPTextModel(CLIPTextConfig(**configs["text_encoder"]))
        if name == "sdxl":
            parts["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**configs["text_encoder_2"]))
    unet, vae, text = (parts[part].state_dict() for part in ("unet", "vae", "text_encoder"))
    tensors = {UNET + other: unet[key] for key, other in unet_names(unet).items()}
    for key, other in vae_names(vae).items():
        square = "attn_1." in other and vae[key].dim() == 2  # linear in diffusers, a 1x1 convolution with the authors
        tensors[VAE + other] = vae[key][:, :, None, None] if square else vae[key]
    prefix = XL_TEXT if name == "sdxl" else TEXT
    tensors |= {f"{prefix}text_model.{key.removeprefix('text_model.')}": value for key, value in text.items()}
    tensors[f"{prefix}text_model.embeddings.position_ids"] = torch.arange(77)[None]
    if name == "sdxl":
        tensors |= open_clip(parts["text_encoder_2"]) | {f"{XL_TEXT_2}logit_scale": torch.tensor(4.6)}
    tensors |= BESIDE
    if change:
        change(tensors)
    tensors = {key: value.contiguous().clone() for key, value in tensors.items()}
    if file.suffix == ".safetensors":
        save_file(tensors, file)
    else:
        torch.save(wrap(tensors) if wrap else tensors, file)
    return parts


def spec_of(name):
    return dataclasses.replace(get(name), expects=())


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_models_arrive_bit_for_bit(name, suffix, tmp_path, monkeypatch):
    file = tmp_path / f"dream{suffix}"
    parts = written(name, file, monkeypatch, wrap=lambda tensors: {"state_dict": tensors, "global_step": 7})
    state = torch.random.get_rng_state()
    backbone = load(spec_of(name), Plan(), path=str(file))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(same(getattr(backbone, part), model) for part, model in parts.items())
    text = backbone.encode_text(["a photo of a cat"])
    assert text.shape[:2] == ((1, 78) if name == "sdxl" else (1, 77))
    assert torch.isfinite(backbone.denoise(torch.randn(1, 4, 2, 16, 16), 500, text)).all()
    assert backbone.fingerprint() == fingerprint(spec_of(name), str(file))
    assert not any(p.requires_grad for part in backbone.parts() for p in part.parameters())


def test_lightnings_objects_in_an_old_pickle_are_let_go(tmp_path, monkeypatch):
    """Checkpoints of 2022 keep the state of callbacks under their classes; nothing of them is imported or run."""
    import sys
    import types

    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name})
    for place in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
        monkeypatch.setitem(sys.modules, place, module if place == name else types.ModuleType(place))
    file = tmp_path / "v1-5-pruned.ckpt"
    kept = {module.ModelCheckpoint: {"best": 1}}
    parts = written("sd15", file, monkeypatch, wrap=lambda tensors: {"state_dict": tensors, "callbacks": kept})
    for place in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
        monkeypatch.delitem(sys.modules, place)
    assert same(load(spec_of("sd15"), Plan(), path=str(file)).unet, parts["unet"])


def test_motion_modules_go_on_top_of_it(tmp_path, monkeypatch):
    """Both in one file each, as a folder of ComfyUI holds them."""
    file = tmp_path / "dream.safetensors"
    unet = SIZES["sd15"]["unet"] | {"block_out_channels": (32, 64), "norm_num_groups": 32}
    monkeypatch.setitem(SIZES, "sd15", SIZES["sd15"] | {"unet": unet})
    written("sd15", file, monkeypatch)
    adapter = MotionAdapter(block_out_channels=(32, 64), motion_layers_per_block=1, use_motion_mid_block=False)
    save_file(adapter.state_dict(), tmp_path / "mm.safetensors")
    options = MotionOptions(str(tmp_path / "mm.safetensors"))
    backbone = load(spec_of("animatediff-sd15"), Plan(), path=str(file), motion=options)
    out = backbone.denoise(torch.randn(1, 4, 3, 16, 16), 500, backbone.encode_text(["a cat"]))
    assert torch.isfinite(out).all()
    assert backbone.fingerprint() == fingerprint(spec_of("animatediff-sd15"), str(file), motion=options)


def test_a_model_that_predicts_velocity_says_so(tmp_path, monkeypatch):
    file = tmp_path / "vpred.safetensors"
    written("sdxl", file, monkeypatch, lambda t: t.update(v_pred=torch.zeros(0), ztsnr=torch.zeros(0)))
    backbone = load(spec_of("sdxl"), Plan(), path=str(file))
    assert backbone.prediction_type == "v_prediction" and backbone.scheduler.alphas_cumprod[-1] < 1e-6
    assert backbone.scheduler.config.timestep_spacing == "trailing"


TO_K = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def attended(width):
    return lambda t: t.update({UNET + TO_K: torch.zeros(8, width)})


BROKEN = {
    "a weight less": (
        lambda t: t.pop(f"{UNET}out.2.bias"),
        "lacks 1 of .* weights of the UNet, e.g. model.diff.*out.2",
    ),
    "no autoencoder": (
        lambda t: [t.pop(key) for key in list(t) if key.startswith(VAE)],
        "lacks .* weights of the autoencoder, e.g. first_stage_model",
    ),
    "a weight more": (lambda t: t.update({f"{UNET}extra": torch.zeros(1)}), "1 weights that do not belong"),
    "another shape": (lambda t: t.update({f"{UNET}out.2.bias": torch.zeros(9)}), r"out.2.bias has shape \[9\].*\[4\]"),
    "NaN": (lambda t: t.update({f"{UNET}out.2.bias": torch.full((4,), torch.nan)}), "out.2.bias holds NaN"),
    "SD 2": (attended(1024), "is SD 2.x, which motionkit does not support"),
    "XL": (attended(2048), "is SD XL; use backbone=sdxl"),
    "inpainting": (lambda t: t.update({f"{UNET}input_blocks.0.0.weight": torch.zeros(8, 9, 3, 3)}), "9 input channels"),
    "another model": (lambda t: [t.clear(), t.update(x=torch.ones(1))], "not a Stable Diffusion checkpoint"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_gets_its_line(case, tmp_path, monkeypatch):
    change, line = BROKEN[case]
    file = tmp_path / "dream.safetensors"
    written("sd15", file, monkeypatch, change)
    with pytest.raises(UserError, match=line) as error:
        load(spec_of("sd15"), Plan(), path=str(file))
    assert "\n" not in str(error.value)


def test_a_pickle_of_code_is_not_run(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(b"cposix\nsystem\n(S'touch " + str(tmp_path / "trace").encode() + b"'\ntR.")
    with pytest.raises(UserError, match="more than plain tensors.*safetensors"):
        load("sd15", Plan(), path=str(tmp_path / "a.ckpt"))
    assert not (tmp_path / "trace").exists()


def test_the_tokenizer_is_clips():
    """Ids that the published tokenizer gives (openai/clip-vit-large-patch14)."""
    first, second = clip_tokenizer(), clip_tokenizer("!")
    assert len(first) == len(second) == 49408 and first.model_max_length == 77
    assert first("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert first("A photo of a CAT!").input_ids[:6] == [49406, 320, 1125, 539, 320, 2368]
    padded = [one("a cat", padding="max_length").input_ids[4:] for one in (first, second)]
    assert padded == [[49407] * 73, [0] * 73]


def test_the_vocabulary_reads_as_a_folder_of_the_hub_does(tmp_path):
    from transformers import CLIPTokenizer

    own = clip_tokenizer()
    vocab = own.get_vocab()
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    import gzip

    (tmp_path / "merges.txt").write_bytes(gzip.decompress((places.PACKAGE / "clip" / "merges.txt.gz").read_bytes()))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    config = special | {"pad_token": "<|endoftext|>", "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    hub = CLIPTokenizer.from_pretrained(tmp_path)
    for text in ("a red horse, running; 3.5 times!", "Éclair überall", "🙂 it's   odd\nhere", ""):
        assert own(text).input_ids == hub(text).input_ids
