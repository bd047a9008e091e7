"""`compare` on weights of one's own: a LoRA, and a folder, each another cell, and both said in the manifest."""

import json

import pytest
import torch
from safetensors.torch import save_file

from motionkit.backbones import fingerprint, load
from motionkit.backbones.lora_files import LoraOptions
from motionkit.backbones.lora_lists import layers_of
from motionkit.cli import main
from motionkit.settings.gpu import Plan

QUICK = [f"settings.anamodiff.{word}" for word in ("weights=random", "lora.steps=1", "lora.clip_frames=2")]
WORDS = ["compare", "methods=[anamodiff]", "reference=ref.png", "driving=drive.mp4", "prompt=a red square", "gpu=cpu"]
WORDS += ["progress=none", "output=out", "frames=2", "size=64", *QUICK, "settings.anamodiff.sample.steps=2"]


@pytest.fixture
def lora(files):
    """A rank-1 LoRA for every linear layer of tiny-sd's UNet."""
    g, tensors = torch.Generator().manual_seed(0), {}
    for name, layer in layers_of(load("tiny-sd", Plan()).unet):
        if isinstance(layer, torch.nn.Linear):
            tensors[f"unet.{name}.lora_A.weight"] = torch.randn(1, layer.in_features, generator=g)
            tensors[f"unet.{name}.lora_B.weight"] = torch.randn(layer.out_features, 1, generator=g)
    save_file(tensors, files / "mine.safetensors")
    return "mine.safetensors"


def manifests(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("out/cells/*/manifest.json"))]


def test_a_lora_is_another_cell_and_stands_in_its_manifest(files, lora, capsys):
    asked = ["backbone=tiny-sd", f"backbone.lora={lora}", "backbone.lora_scale=0.3"]
    assert main([*WORDS, *asked]) == 0, capsys.readouterr().err
    (facts,) = manifests(files)
    options = LoraOptions(str(files / lora), 0.3)
    assert facts["lora"]["name"] == lora and facts["lora"]["scale"] == 0.3
    assert facts["backbone"]["fingerprint"] == fingerprint("tiny-sd", lora=options)
    assert main([*WORDS, "backbone=tiny-sd"]) == 0
    assert sorted(one["lora"] is None for one in manifests(files)) == [False, True]


def test_a_folder_of_weights_is_another_cell(files, capsys):
    from motionkit.backbones.tiny import components

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, part in components().items():
            part.save_pretrained(files / "own" / name)
    assert main([*WORDS, "backbone=pocket-sd", "backbone.path=own"]) == 0, capsys.readouterr().err
    (facts,) = manifests(files)
    assert facts["backbone"] == {"name": "pocket-sd", "fingerprint": fingerprint("pocket-sd", str(files / "own"))}
    assert str(files) not in json.dumps(facts)


@pytest.mark.parametrize("word", ["backbone.path=", "backbone.lora= ", "backbone.motion_adapter="])
def test_an_empty_path_does_not_stand_for_the_usual_weights(files, word, capsys):
    assert main([*WORDS, "backbone=pocket-sd", word]) == 2
    said = capsys.readouterr().err
    assert f"{word.strip()} is empty" in said and said.count("\n") == 1 and not (files / "out").exists()
