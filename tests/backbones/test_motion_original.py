"""AnimateDiff's motion modules in one file: every published layout, its whole list of names, and the same numbers."""

import dataclasses

import pytest
import torch
from diffusers import MotionAdapter, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_animatediff_checkpoint_to_diffusers
from safetensors.torch import save_file

from motionkit.backbones import fingerprint, get, load, tiny, tiny_sizes
from motionkit.backbones.motion_files import MotionOptions, max_frames
from motionkit.backbones.motion_original import config_of, read
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan
from motionkit.weights.one_file import OneFile

SD, XL = (32, 32, 64, 64), (32, 32, 64)  # as many blocks as the published ones have, narrow
# name -> (widths, frames, whether there is a middle block): guoyww/animatediff, ByteDance/AnimateDiff-Lightning,
# wangfuyun/AnimateLCM
FILES = {
    "mm_sd_v15.ckpt": (SD, 24, False),
    "mm_sd_v15_v2.ckpt": (SD, 32, True),
    "v3_sd15_mm.ckpt": (SD, 32, False),
    "mm_sdxl_v10_beta.ckpt": (XL, 32, False),
    "animatediff_lightning_4step_comfyui.safetensors": (SD, 32, True),
    "animatediff_lightning_4step_diffusers.safetensors": (SD, 32, True),
    "AnimateLCM_sd15_t2v.ckpt": (SD, 32, False),
}


def adapter_of(widths, frames, middle, **more):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return MotionAdapter(
            block_out_channels=widths, motion_max_seq_length=frames, use_motion_mid_block=middle, **more
        )


def authors(state):
    """diffusers' names as AnimateDiff's own: written here once more, from models/motion_module.py."""
    named = {}
    for key, value in state.items():
        head, _, rest = key.partition("motion_modules.")
        index, _, rest = rest.partition(".")
        rest = rest.replace("attn1.", "attention_blocks.0.").replace("attn2.", "attention_blocks.1.")
        for ours, theirs in (("norm1", "norms.0"), ("norm2", "norms.1"), ("norm3", "ff_norm")):
            rest = rest.replace(f"{ours}.", f"{theirs}.")
        place = f"{head}motion_modules.{index}.temporal_transformer."
        if rest.endswith("pos_embed.pe"):
            block = rest.removesuffix("pos_embed.pe")
            named |= {f"{place}{block}attention_blocks.{i}.pos_encoder.pe": value.clone() for i in (0, 1)}
        else:
            named[place + rest] = value
    return named


def write(folder, name, adapter):
    state = adapter.state_dict()
    if "diffusers" not in name:
        state = authors(state)
    if "LCM" in name:
        state = {f"module.{key}": value for key, value in state.items() if "pos_encoder" not in key}
    if name.endswith(".ckpt"):
        torch.save({"state_dict": state, "epoch": 1, "global_step": 2} if "v3" in name else state, folder / name)
    else:
        save_file({key: value.contiguous() for key, value in state.items()}, folder / name)
    return folder / name


@pytest.mark.parametrize("name", FILES)
def test_each_published_layout_in_full(name, tmp_path):
    adapter = adapter_of(*FILES[name])
    held = OneFile(write(tmp_path, name, adapter))
    config = config_of(held)
    widths, frames, middle = FILES[name]
    assert config == {
        "block_out_channels": list(widths),
        "motion_layers_per_block": 2,
        "motion_max_seq_length": frames,
        "use_motion_mid_block": middle,
    }
    found = read(held, config, torch.float32).state_dict()
    assert found.keys() == adapter.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in adapter.state_dict().items())


def test_the_names_are_those_that_diffusers_reads():
    state = adapter_of(SD, 32, True).state_dict()
    back = convert_animatediff_checkpoint_to_diffusers(authors(state))
    assert back.keys() == {key for key in state if "pos_embed" not in key}


@pytest.fixture
def base(tmp_path):
    """tiny-sd with a UNet whose norms have 32 groups, as published modules have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        parts = tiny.components()
        shape = tiny_sizes.ARCHITECTURE["unet"] | {"block_out_channels": (32, 64), "norm_num_groups": 32}
        parts["unet"] = UNet2DConditionModel(**shape)
    for part, module in parts.items():
        module.save_pretrained(tmp_path / "base" / part)
    return tmp_path / "base"


def test_a_file_is_the_folder_that_it_would_be_converted_to(base, tmp_path):
    layers = tiny_sizes.ARCHITECTURE["unet"].get("layers_per_block", 1)
    adapter = adapter_of((32, 64), 24, False, motion_layers_per_block=layers)
    file = write(tmp_path, "mm_sd_v15.ckpt", adapter)
    adapter.save_pretrained(tmp_path / "folder")
    spec = dataclasses.replace(get("animatediff-sd15"), expects=())
    one, other = (MotionOptions(str(place)) for place in (file, tmp_path / "folder"))
    assert max_frames(spec, str(base), one) == 24
    a, b = (load(spec, Plan(), path=str(base), motion=options) for options in (one, other))
    x, text = torch.randn(1, 4, 2, 16, 16), a.encode_text(["a red cat"])
    assert torch.equal(a.denoise(x, 500, text), b.denoise(x, 500, text))
    assert a.fingerprint() == fingerprint(spec, str(base), motion=one) != b.fingerprint()
    with pytest.raises(UserError, match="support 24 frames"):
        a.denoise(torch.randn(1, 4, 25, 16, 16), 500, text)
    xl = write(tmp_path, "mm_sdxl.ckpt", adapter_of(XL, 32, False))
    with pytest.raises(UserError, match="are for widths 32, 32, 64, the UNet in .* is of widths 32, 64"):
        load(spec, Plan(), path=str(base), motion=MotionOptions(str(xl)))


def broken(change):
    return lambda folder: write(folder, "a.ckpt", adapter_of((32, 64), 24, False)) and change(folder / "a.ckpt")


def changed(change):
    def apply(file):
        state = torch.load(file, weights_only=True)
        change(state)
        torch.save(state, file)

    return broken(apply)


PE = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.pos_encoder.pe"
NORM = "up_blocks.1.motion_modules.0.temporal_transformer.norm.weight"
BROKEN = {
    "a weight less": (changed(lambda s: s.pop(NORM)), "lacks 1 of .* weights of the motion modules, e.g. up_blocks.1"),
    "a weight more": (changed(lambda s: s.update(lora=torch.ones(1))), "1 weights that do not belong"),
    "tables that differ": (
        changed(lambda s: s.update({PE: torch.ones(1, 24, 32)})),
        "do not belong to motion modules, e.g. .*pos_encoder",
    ),
    "another shape": (changed(lambda s: s.update({NORM: torch.ones(9)})), r"has shape \[9\]"),
    "NaN": (changed(lambda s: s[NORM].fill_(float("nan"))), "holds NaN"),
    "code": (broken(lambda f: f.write_bytes(b"cposix\nsystem\n(S'touch x'\ntR.")), "more than plain tensors"),
    "another model": (changed(lambda s: (s.clear(), s.update(x=torch.ones(1)))), "holds no motion modules"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_amiss_gets_its_line(case, tmp_path):
    make, line = BROKEN[case]
    make(tmp_path)
    with pytest.raises(UserError, match=line) as error:
        held = OneFile(tmp_path / "a.ckpt")
        read(held, config_of(held), torch.float32)
    assert "\n" not in str(error.value)
