"""The whole method on the tiny backbones: from a clip to a clip, what is reused, packs, modes, and refusals."""

import json
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from vidmp3_requests import REQUEST, edit, shape_masks, textured

from motionkit.backbones import load
from motionkit.backbones.lora_files import LoraOptions
from motionkit.backbones.lora_lists import layers_of
from motionkit.errors import UserError
from motionkit.methods.vidmp3 import SPEC
from motionkit.methods.vidmp3.edit import denoise
from motionkit.methods.vidmp3.pack import load_pack
from motionkit.methods.vidmp3.resize import shrink
from motionkit.settings.gpu import Plan
from motionkit.testing.clips import moving_shapes, other_inputs, sample_inputs
from motionkit.testing.report import RULES
from motionkit.testing.subject import Subject


def same(a, b):
    return np.array_equal(a.frames, b.frames)


@pytest.mark.parametrize("backbone", ["tiny-animatediff-sd15", "tiny-animatediff-sdxl", "tiny-modelscope"])
def test_a_second_prompt_reuses_tuning_and_inversion(backbone, tmp_path):
    first = edit(tmp_path / "a", backbone=backbone, use_cache=True)
    with mock.patch("motionkit.methods.vidmp3.method.tune", side_effect=AssertionError("tuned again")):
        second = edit(tmp_path / "b", backbone=backbone, use_cache=True, prompt="a blue turtle")
    assert second.manifest["from_cache"] == ["prepare", "fit"] and not same(first, second)
    assert first.frames.shape == second.frames.shape == (3, 64, 64, 3)
    assert second.shown["maps"].shape == (3, 5 * 64, 64, 3)
    notes = second.manifest["notes"]
    assert notes["lambda"] == 1.0 and notes["settings"]["tune.steps"] == 2
    assert {v["backend"] for v in notes["perception"].values()} == {"plain"}
    fresh = edit(tmp_path / "c", backbone=backbone, prompt="a blue turtle")
    assert same(second, fresh)


def test_lambda_by_rule_and_by_hand(tmp_path):
    slow = edit(tmp_path / "a", guide={"strength": None})
    fast = edit(tmp_path / "b", guide={"strength": None}, driving=textured(3, move="right")[0])
    assert slow.manifest["notes"]["motion_size"][0] < 0.02 and slow.manifest["notes"]["lambda"] == 0.05
    assert fast.manifest["notes"]["motion_size"][0] == pytest.approx(4 / (64 * 2**0.5), rel=0.1)
    assert fast.manifest["notes"]["lambda"] == 0.1


def test_the_guide_off_is_another_edit_and_needs_no_maps_of_it(tmp_path):
    on, off = edit(tmp_path / "a"), edit(tmp_path / "b", guide={"inputs": "off"})
    assert off.manifest["notes"]["lambda"] == 0.0 and not same(on, off)
    weak = edit(tmp_path / "c", guide={"edit_strength": 0.0})
    assert not same(on, weak)


def test_a_pack_is_kept_and_used_again(tmp_path):
    first = edit(tmp_path / "a", save_pack=str(tmp_path / "pack"))
    facts = json.loads((tmp_path / "pack" / "pack.json").read_text())
    assert facts["backbone"] == "tiny-animatediff-sd15" and facts["source_prompt"] == "a red dog"
    with mock.patch("motionkit.methods.vidmp3.method.tune", side_effect=AssertionError("tuned again")):
        again = edit(tmp_path / "b", pack=str(tmp_path / "pack"))
        other = edit(tmp_path / "c", pack=str(tmp_path / "pack"), driving=moving_shapes(3, move="down"))
    assert same(first, again) and not same(first, other)
    assert not any("pack_remark" in key for key in again.manifest["notes"])


def test_lora_packs_are_smaller(tmp_path):
    edit(tmp_path / "a", save_pack=str(tmp_path / "whole"))
    edit(tmp_path / "b", save_pack=str(tmp_path / "lora"), tune={"rank": 1})
    whole, lora = (sum(v.numel() for v in load_pack(tmp_path / name).deltas.values()) for name in ("whole", "lora"))
    assert lora < 0.5 * whole


def test_a_pack_of_another_base_is_named(tmp_path, caplog):
    edit(tmp_path / "a", save_pack=str(tmp_path / "pack"))
    lora = write_lora(tmp_path / "lora.safetensors")
    found = edit(tmp_path / "b", pack=str(tmp_path / "pack"), lora=lora)
    assert "tuned on another base" in found.manifest["notes"]["pack_remark_1"]
    assert "tuned on another base" in caplog.text


def write_lora(path):
    unet, g = load("tiny-animatediff-sd15", Plan()).unet, torch.Generator().manual_seed(0)
    tensors = {}
    for name, layer in layers_of(unet):
        if isinstance(layer, torch.nn.Linear) and name.endswith("attn1.to_q") and "motion_modules" not in name:
            tensors[f"unet.{name}.lora_A.weight"] = torch.randn(1, layer.in_features, generator=g)
            tensors[f"unet.{name}.lora_B.weight"] = torch.randn(layer.out_features, 1, generator=g)
    save_file(tensors, path)
    return LoraOptions(str(path), 0.5)


def test_the_modes(tmp_path):
    whole = edit(tmp_path / "a", prompt="a red dog, a blue horse")
    assert same(edit(tmp_path / "b", mode="style", prompt="a blue horse"), whole)
    assert same(edit(tmp_path / "c", mode="style", prompt="a red dog, a blue horse"), whole)
    with pytest.raises(UserError, match=r"give source_prompt="):
        edit(tmp_path / "d", mode="style", source_prompt="")
    with pytest.raises(UserError, match=r"backbone.lora=FILE.*backbone.path=FOLDER"):
        edit(tmp_path / "e", mode="personalised")
    own = edit(tmp_path / "f", mode="personalised", lora=write_lora(tmp_path / "lora.safetensors"))
    assert not same(own, edit(tmp_path / "g"))


def latents_of(folder, **changes):
    """The edited latents (3, 4, h, w) before they are decoded, and the run's result."""
    found = []

    def watched(*args, **named):
        found.append(denoise(*args, **named))
        return found[0]

    with mock.patch("motionkit.methods.vidmp3.method.denoise", watched):
        result = edit(folder, **changes)
    return found[0][0].transpose(0, 1), result


def encoded(frames):
    backbone = load("tiny-animatediff-sd15", Plan())
    return backbone.encode(torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float() / 255)


def test_the_mode_background_keeps_the_subject(tmp_path):
    clip, mask, _ = textured(3)
    kept, _ = latents_of(tmp_path / "a", driving=clip, mode="background")
    free, _ = latents_of(tmp_path / "b", driving=clip)
    inside = shrink(torch.from_numpy(mask)[:, None].float(), (16, 16)).expand_as(kept) > 0
    source = encoded(clip.frames)
    torch.testing.assert_close(kept[inside], source[inside], rtol=1e-3, atol=1e-3)
    assert (free[inside] - source[inside]).abs().mean() > 0.01 < (kept[~inside] - source[~inside]).abs().mean()


def test_another_size_leaves_the_background_around_it(tmp_path):
    clip, mask, _ = textured(3)
    areas = {}
    for size in (0.5, 1.25):
        found, result = latents_of(tmp_path / str(size), driving=clip, size=size, keep={"margin": 0.0})
        away = (found - encoded(result.shown["background"])).abs().amax(1) > 2e-3
        areas[size] = float(away.float().sum())
        assert np.abs(result.shown["background"][mask].astype(int) - 240).max() < 8  # nothing of the subject
    source = float(shrink(torch.from_numpy(mask)[:, None].float(), (16, 16)).sum())
    assert areas[0.5] / source == pytest.approx(0.25, abs=0.1)
    assert areas[1.25] / source == pytest.approx(1.25**2, abs=0.4)


def test_several_subjects_have_motions_of_their_own(tmp_path):
    disc, bar = shape_masks()
    (tmp_path / "masks").mkdir()
    for name, mask in (("disc", disc), ("bar", bar)):
        np.save(tmp_path / "masks" / f"{name}.npy", mask)
    both = {"masks": str(tmp_path / "masks"), "source_prompt": "a disc and a bar"}
    found = edit(tmp_path / "a", subjects=["disc", "bar"], save_pack=str(tmp_path / "pack"), **both)
    edit(tmp_path / "n", subjects=["disc", "bar"], save_pack=str(tmp_path / "new"), **both, tune={"steps": 0})
    assert set(found.shown) == {"maps-1", "maps-2"} and len(found.manifest["notes"]["motion_size"]) == 2
    guides, new = (load_pack(tmp_path / name).build_guides() for name in ("pack", "new"))
    for number, (guide, before) in enumerate(zip(guides, new, strict=True)):
        old = dict(before.named_parameters())
        learnt = [name for name, weight in guide.named_parameters() if not torch.equal(weight, old[name])]
        assert learnt, f"guide {number} learnt nothing"
    assert any(not torch.equal(a, b) for a, b in zip(guides[0].parameters(), guides[1].parameters(), strict=True))
    with pytest.raises(UserError, match="for disc, bar"):
        edit(tmp_path / "b", pack=str(tmp_path / "pack"))


def test_an_edit_keeps_the_clips_shape_whatever_picture_lies_beside_it(tmp_path):
    tall = moving_shapes(1, 24, 96)
    assert tall.frames.shape[1:3] != REQUEST.driving.frames.shape[1:3]
    found = edit(tmp_path / "a", reference=tall)
    assert found.frames.shape[1:3] == REQUEST.driving.frames.shape[1:3]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"subject": "horse"}, "the subject 'horse' does not occur in source_prompt='a red dog'"),
        ({"subject": "do"}, "the subject 'do' does not occur"),
        ({"frames": 8}, "frames=8, but the driving clip has only 3: give frames=3 or a longer clip"),
        ({"driving": moving_shapes(40), "frames": 40}, "support 32 frames, the clip has 40: give frames=32 or fewer"),
        ({"pack": "/nowhere"}, "/nowhere is not a vidmp3 pack"),
        ({"masks": {"backend": "files"}}, "masks: backend=files needs the masks themselves"),
        ({"correspondence": {"backend": "sd_dino"}, "backbone": "tiny-animatediff-sdxl"}, "use backend=dino"),
        ({"gpu": Plan(offload="group")}, "gpu.offload=model"),
        ({"backbone": "tiny-animatex"}, "vidmp3 does not run on tiny-animatex: it reads no prompt"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_refused_in_one_line_before_anything_loads(changes, line, tmp_path):
    with mock.patch("motionkit.backbones.load", side_effect=AssertionError("weights were loaded")):
        with pytest.raises(UserError) as error:
            edit(tmp_path, **changes)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_a_pack_of_another_kind_of_backbone_is_refused(tmp_path):
    edit(tmp_path / "a", save_pack=str(tmp_path / "pack"))
    with mock.patch("motionkit.backbones.load", side_effect=AssertionError("weights were loaded")):
        with pytest.raises(UserError, match="tiny-animatediff-sd15.* not fit"):
            edit(tmp_path / "b", pack=str(tmp_path / "pack"), backbone="tiny-animatediff-sdxl")


def test_ready_made_maps_count_as_declared(tmp_path):
    disc, bar = shape_masks()
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), disc.shape)
    colours = np.stack([ramp, 1 - ramp, np.ones_like(ramp)], -1)
    made = {"masks": (disc | bar, disc), "depth": (ramp, 1 - ramp), "correspondence": (colours, colours[..., ::-1])}
    for name, pair in made.items():
        for which, array in zip("ab", pair, strict=True):
            np.save(tmp_path / f"{name}-{which}.npy", array)
    ours, theirs = ({n: str(tmp_path / f"{n}-{w}.npy") for n in made} for w in "ab")
    settings = {
        "steps": 2,
        "tune": {"steps": 1, "lr": 0.02},
        "maps": {"long_side": 16},
        "guide": {"strength": 1.0},
        "sample": {"guidance": 1.0},
    }
    subject = Subject(
        SPEC,
        settings=settings,
        folder=tmp_path / "runs",
        frames=3,
        inputs=replace(sample_inputs(3), **ours),
        others=replace(other_inputs(3), **theirs),
    )
    RULES["maps_count_as_declared"](subject)
