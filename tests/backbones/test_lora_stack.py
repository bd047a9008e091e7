"""Several LoRAs at once: the right sum, the same keys for a single one, on the command line and in Python."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from motionkit.backbones import fingerprint, load
from motionkit.backbones.lora import merge_all, read_lora
from motionkit.backbones.lora_files import LoraOptions, LoraStack, from_facts, lora_hash, loras_of
from motionkit.backbones.lora_lists import layers_of
from motionkit.errors import UserError
from motionkit.running.choices import BackboneChoice
from motionkit.settings.gpu import Plan
from motionkit.weights.hashing import hash_json


@pytest.fixture
def two(tmp_path):
    """Two LoRAs of tiny-sd: one for the UNet's linear layers, one for the text encoder and to_q."""
    plain, g = load("tiny-sd", Plan()), torch.Generator().manual_seed(3)
    for name, parts in (("style", ("unet",)), ("person", ("unet", "text_encoder"))):
        tensors = {}
        for part in parts:
            for layer, module in layers_of(getattr(plain, part)):
                if isinstance(module, torch.nn.Linear) and (name == "style" or part != "unet" or "attn1.to_q" in layer):
                    tensors[f"{part}.{layer}.lora_A.weight"] = torch.randn(2, module.in_features, generator=g)
                    tensors[f"{part}.{layer}.lora_B.weight"] = torch.randn(module.out_features, 2, generator=g)
        save_file(tensors, tmp_path / f"{name}.safetensors")
    return plain, tmp_path / "style.safetensors", tmp_path / "person.safetensors"


def change_of(file, key):
    from safetensors.torch import load_file

    tensors = load_file(file)
    return tensors[f"{key}.lora_B.weight"] @ tensors[f"{key}.lora_A.weight"]


def test_each_counts_by_its_own_scale(two):
    plain, style, person = two
    stack = loras_of([str(style), str(person)], [0.8, 0.5])
    changed = load("tiny-sd", Plan(), lora=stack)
    name = next(name for name, _ in layers_of(plain.unet) if name.endswith("attn1.to_q"))
    expected = plain.unet.get_submodule(name).weight + 0.8 * change_of(style, f"unet.{name}")
    expected = expected + 0.5 * change_of(person, f"unet.{name}")
    torch.testing.assert_close(changed.unet.get_submodule(name).weight, expected, rtol=1e-6, atol=1e-6)
    alone = load("tiny-sd", Plan(), lora=LoraOptions(str(person), 0.5))
    assert torch.equal(alone.encode_text(["a cat"]), changed.encode_text(["a cat"]))
    assert changed.fingerprint() == fingerprint("tiny-sd", lora=stack)


def test_half_precision_rounds_the_sum_once(two):
    plain, style, person = two
    half = plain.unet.to(torch.bfloat16)
    name = next(name for name, _ in layers_of(half) if name.endswith("attn1.to_q"))
    before = half.get_submodule(name).weight.float()
    merge_all(
        [(read_lora(style), 0.003), (read_lora(person), 0.002)], {"unet": half, "text_encoder": plain.text_encoder}
    )
    expected = before + 0.003 * change_of(style, f"unet.{name}") + 0.002 * change_of(person, f"unet.{name}")
    assert torch.equal(half.get_submodule(name).weight, expected.bfloat16())


def test_nothing_changes_when_one_of_them_does_not_fit(two, tmp_path):
    plain, style, _ = two
    save_file(
        {"unet.nowhere.lora_A.weight": torch.ones(1, 8), "unet.nowhere.lora_B.weight": torch.ones(8, 1)},
        tmp_path / "wrong.safetensors",
    )
    before = {key: value.clone() for key, value in plain.unet.state_dict().items()}
    with pytest.raises(UserError, match="wrong.safetensors is a LoRA of another model"):
        merge_all([(read_lora(style), 1.0), (read_lora(tmp_path / "wrong.safetensors"), 1.0)], {"unet": plain.unet})
    assert all(torch.equal(value, before[key]) for key, value in plain.unet.state_dict().items())


def test_a_single_one_keeps_its_keys(two):
    _, style, person = two
    one = LoraOptions(str(style), 0.8)
    assert loras_of([str(style)], [0.8]) == loras_of(str(style), 0.8) == one
    key = hash_json({"backbone": "x", "lora": lora_hash(style), "scale": 0.8})
    assert one.fingerprint("x") == key, "as every release before had it"
    stacks = [loras_of([str(style), str(person)], scales) for scales in ([0.8, 0.5], [0.5, 0.8], 1.0)]
    assert len({key, *(stack.fingerprint("x") for stack in stacks)}) == 4


def test_what_is_told_of_them(two):
    _, style, person = two
    stack = loras_of([(str(style), 0.8), LoraOptions(str(person), 0.5)])
    assert stack == LoraStack((LoraOptions(str(style), 0.8), LoraOptions(str(person), 0.5)))
    assert [fact["name"] for fact in stack.facts()] == ["style.safetensors", "person.safetensors"]
    said = BackboneChoice("tiny-sd", lora=stack).typed()
    assert said == {"backbone.lora": "[style.safetensors,person.safetensors]", "backbone.lora_scale": "[0.8,0.5]"}
    for options in (stack, stack.each[0]):
        assert from_facts(json.loads(json.dumps(dataclasses.asdict(options)))) == options
    assert from_facts(None) is None and loras_of(None) is None and loras_of([]) is None and loras_of("") is None


@pytest.mark.parametrize(
    ("given", "scales", "line"),
    [
        (["a", "b"], [1.0], "1 numbers for 2 LoRAs"),
        ("a", [1.0, 2.0], "2 numbers for 1 LoRAs"),
        (["a", "b"], [1.0, "much"], "lora_scale=much"),
        ("a", "much", "lora_scale=much"),
        (["a", {"b": 1}], None, "not a path"),
        (["a", ""], None, "not a path"),
    ],
)
def test_what_cannot_be_meant(given, scales, line):
    with pytest.raises(UserError, match=line):
        loras_of(given, scales)


def test_the_command_line_and_python_take_lists(two, monkeypatch):
    import motionkit
    from motionkit.cli.hydra_app import JobFolders

    _, style, person = two
    monkeypatch.chdir(style.parent)
    start = JobFolders(style.parent, style.parent)
    group = {"lora": ["style.safetensors", "person.safetensors"], "lora_scale": [0.8, 0.5]}
    expected = LoraStack((LoraOptions(str(style), 0.8), LoraOptions(str(person), 0.5)))
    assert start.lora(group) == expected
    method = motionkit.load("anamodiff", backbone="tiny-sd", backbone_lora=[(str(style), 0.8), (str(person), 0.5)])
    assert method.request.backbone.lora == expected


def test_transfer_takes_the_list_and_the_manifest_names_both(two, monkeypatch, capsys):
    from motionkit import media
    from motionkit.cli import main
    from motionkit.testing import moving_shapes, picture

    _, style, person = two
    here = style.parent
    monkeypatch.chdir(here)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(here / "cache"))
    media.write_image(here / "me.png", picture(64, 64).frames[0])
    media.write_video(here / "moves.mp4", moving_shapes(3, 64, 64).frames, 8.0)
    asked = "transfer method=anamodiff backbone=tiny-sd method.weights=random reference=me.png driving=moves.mp4"
    words = [*asked.split(), "prompt=a red horse", "gpu=cpu", "progress=none", "size=64", "frames=2"]
    words += ["method.lora.steps=1", "method.lora.clip_frames=2", "method.sample.steps=2"]
    words += ["backbone.lora=[style.safetensors,person.safetensors]"]
    assert main([*words, "backbone.lora_scale=[0.8,0.5,1]"]) == 2
    assert "3 numbers for 2 LoRAs" in capsys.readouterr().err
    assert main([*words, "backbone.lora_scale=[0.03,0.02]"]) == 0, capsys.readouterr().err
    (manifest,) = (here / "runs/transfer").glob("*/manifest.json")
    facts = json.loads(manifest.read_text())
    assert [(one["name"], one["scale"]) for one in facts["lora"]] == [
        ("style.safetensors", 0.03),
        ("person.safetensors", 0.02),
    ]
    stack = loras_of([str(style), str(person)], [0.03, 0.02])
    assert facts["backbone"]["fingerprint"] == fingerprint("tiny-sd", lora=stack) and "parts" not in facts


def test_a_row_of_the_benchmark_names_every_one(two):
    from motionkit.table.bench.summary import _weights

    _, style, person = two
    stack = loras_of([str(style), str(person)])
    done = SimpleNamespace(record={"backbone": {"name": "tiny-sd", "fingerprint": "0" * 64}})
    row = SimpleNamespace(cells=[done], entry=SimpleNamespace(backbone_path=None, lora=stack))
    assert "with LoRA style.safetensors, person.safetensors" in _weights(row)


@torch.no_grad()
def test_a_weighted_stack_computes_what_diffusers_adapters_do(two):
    """peft's layers beside the weights, with `set_adapters`, against the weights with both merged: UNet and words."""
    from diffusers import StableDiffusionPipeline

    plain, style, person = two
    theirs = StableDiffusionPipeline(
        plain.vae, plain.text_encoder, plain.tokenizer, plain.unet, plain.scheduler, None, None, None, False
    )
    x, t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor(500)

    def outputs(unet, words):
        return words, unet(x, t, words).sample

    before = outputs(plain.unet, plain.encode_text(["a cat", "a red horse"]))
    for name, file in (("style", style), ("person", person)):
        theirs.load_lora_weights(str(file), adapter_name=name)
    for scales in ([0.03, 0.02], [-0.01, 0.05]):
        theirs.set_adapters(["style", "person"], scales)
        expected = outputs(theirs.unet, plain.encode_text(["a cat", "a red horse"]))
        merged = load("tiny-sd", Plan(), lora=loras_of([str(style), str(person)], scales))
        found = outputs(merged.unet, merged.encode_text(["a cat", "a red horse"]))
        for ours, adapters, unchanged in zip(found, expected, before, strict=True):
            torch.testing.assert_close(ours, adapters, rtol=1e-4, atol=2e-5)
            assert (adapters - unchanged).abs().max() > 1e-2
