"""Tuned packs on disk: back on the same base, with a remark on another, one line for a wrong one."""

import functools
import json
import shutil

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file
from vidmp3_models import make_unet, request_of

from motionkit.errors import UserError
from motionkit.methods.vidmp3.guide import MotionGuide
from motionkit.methods.vidmp3.inject import install
from motionkit.methods.vidmp3.options import GuideOptions, TuneOptions
from motionkit.methods.vidmp3.pack import (
    Pack,
    PackFacts,
    add_pack,
    check_pack,
    guide_facts,
    load_pack,
    save_pack,
    schedule_of,
)
from motionkit.methods.vidmp3.trainable import deltas, make_trainable
from motionkit.weights.hashing import hash_path

LINEAR = schedule_of(DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="linear"))
SMALL = GuideOptions(stem=(4, 8, 8), encoding=8, post=16, heads="shared")


@functools.cache
def tuned_pack(kind="sd15", rank=0, seed=5):
    """The pack of a net with its tuned weights moved a little, and what the guided net says."""
    unet = make_unet(kind)
    before = {n: p.detach().clone() for n, p in unet.named_parameters()}
    weights = make_trainable(unet, TuneOptions(rank=rank))
    injection = install(unet)
    guide = MotionGuide(injection.sites, SMALL)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in (*guide.parameters(), *weights.values()):
            parameter += 0.05 * torch.randn(parameter.shape, generator=g)
    facts = PackFacts(f"tiny-{kind}", "base-one", LINEAR, 0.1, **guide_facts(guide), frames=4, source_prompt="a dog")
    said = answer(injection, guide, kind)
    return Pack(facts, guide.state_dict(), deltas(before, weights)), said


@torch.no_grad()
def answer(injection, guide, kind):
    image = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    injection.guide(guide(image, torch.ones(4, 1, 32, 48)), scale=0.1)
    out = injection.unet(**request_of(kind)).sample
    injection.remove()
    return out


@functools.cache
def shapes(kind):
    return {name: tuple(p.shape) for name, p in make_unet(kind).named_parameters()}


@pytest.fixture(scope="module")
def made():
    return tuned_pack()


@pytest.mark.parametrize(
    ("rank", "dtype", "tolerance"), [(0, torch.float32, 1e-5), (0, torch.float16, 2e-3), (2, torch.float32, 1e-5)]
)
def test_a_pack_comes_back_on_the_same_base(rank, dtype, tolerance, tmp_path, kind):
    pack, said = tuned_pack(kind, rank)
    back = load_pack(save_pack(tmp_path / "pack", pack, dtype))
    assert back.facts == pack.facts and back.facts.source_prompt == "a dog"
    unet = make_unet(kind)
    assert check_pack(back, shapes(kind), f"tiny-{kind}", "base-one", LINEAR) == []
    plain = {n: p.clone() for n, p in unet.named_parameters()}
    add_pack(unet, back)
    changed = [n for n, p in unet.named_parameters() if not torch.equal(p, plain[n])]
    assert len(changed) == {"sd15": 72, "sdxl": 260 if rank else 290}[kind]  # a LoRA has no biases
    again = answer(install(unet), back.build_guide(), kind)
    torch.testing.assert_close(again, said, rtol=tolerance, atol=tolerance)


def test_a_lora_pack_is_smaller(tmp_path, made):
    sizes = [sum(t.numel() for t in pack.deltas.values()) for pack in (made[0], tuned_pack(rank=1)[0])]
    assert sizes[1] < 0.4 * sizes[0]


def test_another_base_and_another_schedule_are_remarked(made):
    pack, _ = made
    unet = make_unet("sd15", seed=9)
    other = LINEAR | {"beta_schedule": "scaled_linear"}
    remarks = check_pack(pack, shapes("sd15"), "some-sd15", "base-two", other)
    assert len(remarks) == 2 and all("\n" not in r for r in remarks)
    assert "another base (tiny-sd15, base-one) than this some-sd15 (base-two)" in remarks[0]
    assert "beta_schedule=linear (here scaled_linear)" in remarks[1]
    before = {n: p.clone() for n, p in unet.named_parameters()}
    add_pack(unet, pack)
    for name, change in pack.deltas.items():
        torch.testing.assert_close(unet.get_parameter(name), before[name] + change)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_pack_of_another_net_is_one_line(rank):
    pack, _ = tuned_pack("sdxl", rank)
    with pytest.raises(UserError, match="tiny-sdxl .*tiny-sd15.*tune it again") as caught:
        check_pack(pack, shapes("sd15"), "tiny-sd15", "b", LINEAR)
    assert "\n" not in str(caught.value)


def test_a_guide_for_other_attentions_is_found_out(made):
    pack, _ = made
    sites = {name: 2 * width for name, width in pack.facts.sites.items()}
    wrong = Pack(PackFacts("a", "b", {}, 0.1, sites, {}), {}, {})
    with pytest.raises(UserError, match="16 channels"):
        check_pack(wrong, shapes("sd15"), "tiny-sd15", "b", {})


def damage(folder, how):
    facts, weights = folder / "pack.json", folder / "pack.safetensors"
    if how == "no facts":
        facts.unlink()
    elif how == "no weights":
        weights.unlink()
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif how == "not json":
        facts.write_text("{")
    elif how == "a list":
        facts.write_text("[1]")
    elif how == "other format":
        facts.write_text(json.dumps({"format": "motionkit-vidmp3-9"}))
    else:
        raw, tensors = json.loads(facts.read_text()), load_file(weights)
        name = next(n for n in tensors if n.startswith("delta."))
        if how == "nan":
            tensors[name] = torch.full_like(tensors[name], torch.nan)
        elif how == "lone lora":
            tensors["delta.x.lora_A"] = torch.zeros(2, 4)
        elif how == "no guide weights":
            tensors.pop("guide.trunk.post.weight")
        elif how == "huge":
            raw["guide"]["post"] = 2**40
        elif how == "words for numbers":
            raw["scale"] = "much"
        elif how == "sites are a list":
            raw["sites"] = [1, 2]
        elif how == "unknown option":
            raw["guide"]["colour"] = "red"
        save_file(tensors, weights)
        facts.write_text(json.dumps(raw | {"weights_sha256": hash_path(weights)}))


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("no facts", "not a vidmp3 pack"),
        ("no weights", "incomplete or changed"),
        ("cut", "incomplete or changed"),
        ("not json", "not a usable"),
        ("a list", "says 'list'"),
        ("other format", "motionkit-vidmp3-9"),
        ("nan", "NaN"),
        ("lone lora", "not a usable"),
        ("no guide weights", "not a usable"),
        ("huge", "not a usable"),
        ("words for numbers", "should be a number"),
        ("sites are a list", "not a usable"),
        ("unknown option", "not a usable"),
    ],
)
def test_what_is_no_pack_is_one_line(how, line, tmp_path, made):
    folder = save_pack(tmp_path / "pack", made[0])
    damage(folder, how)
    with pytest.raises(UserError, match=line) as caught:
        load_pack(folder)
    assert "\n" not in str(caught.value)


def test_writing_again_replaces_and_leaves_nothing_else(tmp_path, made):
    folder = save_pack(tmp_path / "pack", made[0])
    other = tuned_pack(seed=6)[0]
    save_pack(folder, other)
    assert sorted(p.name for p in folder.iterdir()) == ["pack.json", "pack.safetensors"]
    name = next(iter(other.deltas))
    torch.testing.assert_close(load_pack(folder).deltas[name], other.deltas[name], rtol=1e-3, atol=1e-5)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="vidmp3 pack"):
        load_pack(folder)
