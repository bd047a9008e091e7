"""`backbone.lora=...` on its whole way: backbones of every family, handle, fingerprint, command line."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from motionkit import media
from motionkit.backbones import fingerprint, get, load
from motionkit.backbones.lora import read_lora
from motionkit.backbones.lora_files import LoraOptions
from motionkit.backbones.lora_lists import layers_of
from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.running.lazy_backbone import LazyBackbone
from motionkit.settings.gpu import Plan
from motionkit.testing import moving_shapes, picture


def write(path, **models):
    """A rank-1 LoRA in diffusers' layout for every linear layer of each part."""
    g, tensors = torch.Generator().manual_seed(0), {}
    for part, model in models.items():
        for name, layer in layers_of(model):
            if isinstance(layer, torch.nn.Linear):
                tensors[f"{part}.{name}.lora_A.weight"] = torch.randn(1, layer.in_features, generator=g)
                tensors[f"{part}.{name}.lora_B.weight"] = torch.randn(layer.out_features, 1, generator=g)
    save_file(tensors, path)
    return LoraOptions(str(path), 0.1)


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-modelscope"])
def test_every_family_merges_it_at_load(name, tmp_path):
    plain = load(name, Plan())
    options = write(tmp_path / "a.safetensors", unet=plain.unet, text_encoder=plain.text_encoder)
    changed = load(name, Plan(), lora=options)
    assert not torch.equal(plain.encode_text(["a cat"]), changed.encode_text(["a cat"]))
    x, text = torch.randn(1, 4, 2, 16, 16), plain.encode_text(["a cat"])
    assert (plain.denoise(x, 500, text) - changed.denoise(x, 500, text)).abs().max() > 1e-3
    assert not any(p.requires_grad for part in changed.parts() for p in part.parameters())
    back = load(name, Plan(), lora=options)
    back.add_lora(read_lora(options.path), LoraOptions(options.path, -0.1))
    torch.testing.assert_close(back.denoise(x, 500, text), plain.denoise(x, 500, text), rtol=1e-3, atol=1e-5)


def test_sdxl_has_a_second_text_encoder_to_change(sound_xl_folder, tmp_path):
    spec = dataclasses.replace(get("sdxl"), expects=())
    plain = load(spec, Plan(), path=str(sound_xl_folder))
    options = write(tmp_path / "a.safetensors", unet=plain.unet, text_encoder_2=plain.text_encoder_2)
    changed = load(spec, Plan(), path=str(sound_xl_folder), lora=options)
    states = [b.encode_text(["a cat"])[0, :16] for b in (plain, changed)]
    assert torch.equal(states[0][:, :16], states[1][:, :16]) and not torch.equal(states[0][:, 16:], states[1][:, 16:])
    options = write(tmp_path / "a.safetensors", text_encoder_2=plain.text_encoder_2)
    with pytest.raises(UserError, match="changes the text encoder 2 .* this model does not have"):
        load("tiny-sd", Plan(), lora=options)


def test_the_fingerprint_is_known_before_anything_loads(tmp_path):
    options = write(tmp_path / "a.safetensors", unet=load("tiny-modelscope", Plan()).unet)
    handle = LazyBackbone("tiny-modelscope", Plan(), lora=options)
    before = handle.fingerprint()
    assert not handle.loaded and before == fingerprint("tiny-modelscope", lora=options)
    assert handle.prediction_type and handle.loaded and handle.fingerprint() == before
    others = [fingerprint("tiny-modelscope"), fingerprint("tiny-modelscope", lora=LoraOptions(options.path, 0.2))]
    assert len({before, *others}) == 3


def test_a_lora_of_another_model_is_named(tmp_path):
    options = write(tmp_path / "a.safetensors", unet=load("tiny-modelscope", Plan()).unet)
    with pytest.raises(UserError, match="a LoRA of another model: this unet lacks .* e.g. ") as error:
        load("tiny-sd", Plan(), lora=options)
    assert "\n" not in str(error.value)


def words(*more):
    return [
        "transfer",
        "method=anamodiff",
        "backbone=tiny-sd",
        "method.weights=random",
        "prompt=a red horse",
        "reference=me.png",
        "driving=moves.mp4",
        "gpu=cpu",
        "progress=none",
        "size=64",
        "frames=2",
        *more,
    ]


def test_from_python_a_path_is_enough(tmp_path):
    import motionkit

    write(tmp_path / "a.safetensors", unet=load("tiny-sd", Plan()).unet)
    method = motionkit.load("anamodiff", backbone="tiny-sd", backbone_lora=str(tmp_path / "a.safetensors"))
    assert method.request.backbone.lora == LoraOptions(str(tmp_path / "a.safetensors"), 1.0)
    with pytest.raises(UserError, match="no LoRA at /no/where"):
        motionkit.load("anamodiff", backbone="tiny-sd", backbone_lora="/no/where", weights="random")(
            picture(64, 64), moving_shapes(3, 64, 64), "a horse", size=64, frames=2
        )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    media.write_image(tmp_path / "me.png", picture(64, 64).frames[0])
    media.write_video(tmp_path / "moves.mp4", moving_shapes(3, 64, 64).frames, 8.0)
    return tmp_path


def test_the_command_line_refuses_what_is_no_lora_before_weights_load(here, capsys, monkeypatch):
    monkeypatch.setattr("motionkit.backbones.load", lambda *a, **k: pytest.fail("weights were loaded"))
    (here / "a.onnx").write_bytes(b"x")
    for value, line in (("nothing.pt", "no LoRA at"), ("a.onnx", "not a LoRA file"), ("me.png", "not a LoRA file")):
        assert main(words(f"backbone.lora={value}")) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert line in said[-1] and value in said[-1]


def test_the_manifest_says_which(here, capsys):
    write(here / "mine.safetensors", unet=load("tiny-sd", Plan()).unet)
    quick = ["method.lora.steps=1", "method.lora.clip_frames=2", "method.sample.steps=2"]
    code = main(words("backbone.lora=mine.safetensors", "backbone.lora_scale=0.3", *quick))
    assert code == 0, capsys.readouterr().err
    (manifest,) = (here / "runs/transfer").glob("*/manifest.json")
    facts = json.loads(manifest.read_text())
    assert facts["lora"]["name"] == "mine.safetensors" and facts["lora"]["scale"] == 0.3
    options = LoraOptions(str(here / "mine.safetensors"), 0.3)
    assert facts["backbone"]["fingerprint"] == fingerprint("tiny-sd", lora=options)
