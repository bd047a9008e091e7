"""Adapters as people have them: kohya's names for SD XL in full, LyCORIS's sums, AnimateDiff's domain adapter."""

import json

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import MotionAdapter, UNet2DConditionModel
from diffusers.loaders.lora_conversion_utils import (
    _convert_non_diffusers_lora_to_diffusers,
    _maybe_map_sgm_blocks_to_diffusers,
)
from safetensors.torch import save_file
from torch import nn

from motionkit.backbones import load
from motionkit.backbones.animatediff import join
from motionkit.backbones.lora import _found, _named, merge_lora, read_lora
from motionkit.backbones.lora_lists import layers_of
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan
from motionkit.weights import places
from motionkit.weights.published_names import unet_names


def published(name):
    """The UNet of the published model, at full size and without weights."""
    config = json.loads((places.PACKAGE / "configs" / f"{name}.json").read_text())["unet"]
    with init_empty_weights():
        return UNet2DConditionModel.from_config(config)


@pytest.fixture(scope="module")
def xl():
    return published("sdxl")


def kohya(layers, names, prefix="lora_unet_"):
    """A LoRA of rank 1 as kohya-ss/sd-scripts writes it (networks/lora.py: dots of the module's path become _)."""
    tensors = {}
    for name, layer in layers:
        key, weight = prefix + names.get(name, name).replace(".", "_"), layer.weight
        tensors[f"{key}.lora_down.weight"] = torch.empty(1, *weight.shape[1:], device="meta")
        tensors[f"{key}.lora_up.weight"] = torch.empty(weight.shape[0], 1, *(1,) * (weight.dim() - 2), device="meta")
        tensors[f"{key}.alpha"] = torch.tensor(1.0)
    return tensors


def test_all_of_kohyas_names_of_sdxl_are_diffusers_own_reading_of_them(xl):
    """Every layer, the convolutions too, named by us and read back by diffusers' converter: the same layer."""
    layers = layers_of(xl)
    tensors = kohya(layers, unet_names(name for name, _ in layers))
    back = _maybe_map_sgm_blocks_to_diffusers({key: torch.zeros(1) for key in tensors}, xl.config)
    back, _ = _convert_non_diffusers_lora_to_diffusers(back)
    theirs = set(_named("x", back, {})["unet"])
    odd = {name.replace("_", ".") for name in theirs} ^ {name.replace("_", ".") for name, _ in layers}
    assert not odd
    lora = type("Read", (), {"file": "x", "lists": {}, "changes": _named("x", tensors, {})})
    found = _found(lora, {"unet": xl})
    assert len(found) == len(layers) and [name for name, _, _ in found] == [f"unet.{name}" for name, _ in layers]


def test_kohyas_usual_layers_of_sdxl_and_sd1(xl):
    """The counts that its trainer prints: 722 modules of SD XL's UNet, 192 of SD 1.x's."""
    for unet, count in ((xl, 722), (published("sd15"), 192)):
        usual = [(name, layer) for name, layer in layers_of(unet) if ".attentions." in name]
        assert len(usual) == count
        for names in (unet_names(name for name, _ in layers_of(unet)), {}):
            lora = type("Read", (), {"file": "x", "lists": {}, "changes": _named("x", kohya(usual, names), {})})
            assert [name for name, _, _ in _found(lora, {"unet": unet})] == [f"unet.{name}" for name, _ in usual]
    xl_names = set(unet_names(name for name, _ in layers_of(xl)).values())
    assert {
        "input_blocks.4.1.proj_in",
        "output_blocks.5.1.transformer_blocks.1.ff.net.2",
        "output_blocks.2.2.conv",
        "middle_block.1.transformer_blocks.9.attn2.to_out.0",
        "input_blocks.3.0.op",
        "input_blocks.4.0.skip_connection",
        "label_emb.0.2",
    } <= xl_names


LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"  # of tiny-sd: (8, 8)
CONV = "down_blocks.0.resnets.0.conv1"
KEY, CONV_KEY = (f"lora_unet_{name.replace('.', '_')}" for name in (LAYER, CONV))


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def unet():
    return load("tiny-sd", Plan()).unet


def check(unet, tensors, name, expected, path, scale=0.5):
    before = unet.get_submodule(name).weight.clone()
    save_file({key: value.contiguous() for key, value in tensors.items()}, path / "a.safetensors")
    assert merge_lora(path / "a.safetensors", unet, scale=scale) == [f"unet.{name}"]
    torch.testing.assert_close(unet.get_submodule(name).weight, before + scale * expected, rtol=1e-5, atol=1e-5)


def test_loha(unet, tmp_path):
    """LyCORIS, functional/loha.py: (w1_a w1_b) * (w2_a w2_b), alpha / rank times."""
    out, wide = unet.get_submodule(LAYER).weight.shape
    w = {"w1_a": drawn(out, 3), "w1_b": drawn(3, wide), "w2_a": drawn(out, 3) + 1, "w2_b": drawn(3, wide) - 1}
    tensors = {f"{KEY}.hada_{key}": value for key, value in w.items()} | {f"{KEY}.alpha": torch.tensor(1.5)}
    check(unet, tensors, LAYER, 0.5 * (w["w1_a"] @ w["w1_b"]) * (w["w2_a"] @ w["w2_b"]), tmp_path)


def test_lokr_whole_and_low_rank(unet, tmp_path):
    """LyCORIS, modules/lokr.py: kron(w1, w2); alpha / rank where a factor is of low rank, else once."""
    out, wide = unet.get_submodule(LAYER).weight.shape
    w1, a, b = drawn(2, 2), drawn(out // 2, 3), drawn(3, wide // 2)
    tensors = {f"{KEY}.lokr_w1": w1, f"{KEY}.lokr_w2_a": a, f"{KEY}.lokr_w2_b": b, f"{KEY}.alpha": torch.tensor(6.0)}
    check(unet, tensors, LAYER, 2 * torch.kron(w1, a @ b), tmp_path)
    tensors = {f"{KEY}.lokr_w1": w1, f"{KEY}.lokr_w2": a @ b, f"{KEY}.alpha": torch.tensor(6.0)}
    check(unet, tensors, LAYER, torch.kron(w1, a @ b), tmp_path)


def test_convolutions(unet, tmp_path):
    """A LoKr over a 3x3 convolution, whole or in Tucker form, and LoCon with a core: as convolutions."""
    out, wide = unet.get_submodule(CONV).weight.shape[:2]
    w1, w2 = drawn(2, 2), drawn(out // 2, wide // 2, 3, 3)
    expected = torch.kron(w1[:, :, None, None], w2)
    check(unet, {f"{CONV_KEY}.lokr_w1": w1, f"{CONV_KEY}.lokr_w2": w2}, CONV, expected, tmp_path)
    core, a, b = drawn(3, 3, 3, 3), drawn(3, out // 2), drawn(3, wide // 2)
    w2 = torch.einsum("ijkl,jr,ip->prkl", core, b, a).contiguous()
    named = {"w1": w1, "t2": core, "w2_a": a, "w2_b": b}
    tensors = {f"{CONV_KEY}.lokr_{key}": value for key, value in named.items()}
    check(unet, tensors, CONV, torch.kron(w1[:, :, None, None], w2), tmp_path)
    up, down = drawn(out, 3, 1, 1), drawn(3, wide, 1, 1)
    tensors = {
        f"{CONV_KEY}.lora_up.weight": up,
        f"{CONV_KEY}.lora_down.weight": down,
        f"{CONV_KEY}.lora_mid.weight": core,
    }
    x = drawn(1, wide, 7, 7)
    whole = nn.functional.conv2d(nn.functional.conv2d(nn.functional.conv2d(x, down), core, padding=1), up)
    before = nn.functional.conv2d(x, unet.get_submodule(CONV).weight, padding=1)
    save_file(tensors, tmp_path / "b.safetensors")
    merge_lora(tmp_path / "b.safetensors", unet)
    after = nn.functional.conv2d(x, unet.get_submodule(CONV).weight, padding=1)
    torch.testing.assert_close(after, before + whole, rtol=1e-4, atol=1e-4)


def test_animatediffs_domain_adapter_and_motion_loras_in_full(tmp_path):
    """v3_sd15_adapter.ckpt and v2_lora_*.ckpt (guoyww/animatediff): every attention layer, in a pickle."""
    with init_empty_weights():
        modules = MotionAdapter(use_motion_mid_block=False)
    video = join(published("sd15"), modules)
    ends = ("to_q", "to_k", "to_v", "to_out.0")
    layers = [(n, m) for n, m in layers_of(video) if ".attn" in n and n.endswith(ends)]
    adapter = {}
    for name, module in layers:
        block, _, end = name.rpartition(".to_")
        if "motion_modules" in name:  # AnimateDiff's own names
            block = block.replace("transformer_blocks", "temporal_transformer.transformer_blocks")
            block = block.replace("attn1", "attention_blocks.0").replace("attn2", "attention_blocks.1")
        key = f"module.{block}.processor.to_{end.removesuffix('.0')}_lora"
        adapter[f"{key}.down.weight"] = torch.zeros(1, module.in_features)
        adapter[f"{key}.up.weight"] = torch.zeros(module.out_features, 1)
    file = tmp_path / "v3_sd15_adapter.ckpt"
    torch.save({"state_dict": adapter | {"animatediff_config": "x"}, "global_step": 1}, file)
    found = _found(read_lora(file), {"unet": video})
    assert sorted(name for name, _, _ in found) == sorted(f"unet.{name}" for name, _ in layers)
    assert len(layers) == 16 * 8 + 20 * 8


def test_an_adapter_of_video_needs_motion_modules(unet, tmp_path):
    block = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0"
    key = f"{block}.attention_blocks.0.processor.to_q_lora"
    torch.save({f"{key}.down.weight": torch.zeros(1, 8), f"{key}.up.weight": torch.zeros(8, 1)}, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="this unet lacks 1 of its 1 layers"):
        merge_lora(tmp_path / "a.ckpt", unet)
