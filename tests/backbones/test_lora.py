"""LoRA files in every layout: what is merged, to the number, and the one line for those that do not fit."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from motionkit.backbones import load
from motionkit.backbones.lora import merge_lora
from motionkit.backbones.lora_files import LoraOptions, lora_files, lora_hash
from motionkit.backbones.lora_lists import _TEXT_LAYERS, layers_of
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan

RANK = 2


@pytest.fixture(scope="module")
def sound():
    return load("tiny-modelscope", Plan())


@pytest.fixture
def tiny(sound):
    """A copy of the weights to merge into."""
    import copy

    return copy.deepcopy(sound.unet), copy.deepcopy(sound.text_encoder)


def factors(weight, rank=RANK, seed=0):
    """up (O, r, 1...) and down (r, I, k...)."""
    g = torch.Generator().manual_seed(seed)
    ones = (1,) * (weight.dim() - 2)
    return (torch.randn(weight.shape[0], rank, *ones, generator=g), torch.randn(rank, *weight.shape[1:], generator=g))


def make(model, names=None):
    """Factors for the named layers (all of them by default), and the change that each stands for."""
    layers = dict(layers_of(model))
    found = {n: factors(layers[n].weight, seed=i) for i, n in enumerate(names or layers)}
    changes = {
        n: torch.einsum("or...,ri...->oi...", up.flatten(1), down.flatten(1).view(RANK, -1)).view(
            layers[n].weight.shape
        )
        for n, (up, down) in found.items()
    }
    return found, changes


def check(model, before, changes, scale=1.0):
    for name, module in layers_of(model):
        expected = before[f"{name}.weight"] + scale * changes[name] if name in changes else before[f"{name}.weight"]
        torch.testing.assert_close(module.weight, expected, rtol=1e-5, atol=1e-5)


def state(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


SPATIAL = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
UNET = [
    f"{SPATIAL}.to_q",
    f"{SPATIAL}.to_out.0",
    "down_blocks.0.temp_convs.0.conv1.2",
    "conv_in",
    "up_blocks.1.resnets.0.conv_shortcut",
    "transformer_in.proj_in",
]
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.1.mlp.fc1"]


def peft_names(unet, text):
    return {
        f"unet.{n}.{k}.weight": t for n, f in unet.items() for k, t in zip(("lora_B", "lora_A"), f, strict=True)
    } | {
        f"text_encoder.text_model.{n}.{k}.weight": t
        for n, f in text.items()
        for k, t in zip(("lora_B", "lora_A"), f, strict=True)
    }


def old_names(unet, text):
    named = {}
    for n, (up, down) in unet.items():
        n = f"unet.{n}"
        if ".attn1." in n:
            block, layer = n.split(".attn1.")
            n = f"{block}.attn1.processor.{layer.removesuffix('.0')}_lora"
        else:
            n += ".lora"
        named |= {f"{n}.up.weight": up, f"{n}.down.weight": down}
    for n, (up, down) in text.items():
        named |= {
            f"text_encoder.text_model.{n}.lora_linear_layer.{k}.weight": t for k, t in (("up", up), ("down", down))
        }
    return named


def community_names(unet, text):
    named = {}
    for prefix, group in (("lora_unet_", unet), ("lora_te_text_model_", text)):
        for n, (up, down) in group.items():
            n = prefix + n.replace(".", "_")
            named |= {f"{n}.lora_up.weight": up, f"{n}.lora_down.weight": down, f"{n}.alpha": torch.tensor(RANK * 0.5)}
    return named


@pytest.mark.parametrize(("names", "scale"), [(peft_names, 1), (old_names, 1), (community_names, 0.5)])
def test_named_layouts(tiny, tmp_path, names, scale):
    unet, text = tiny
    before = state(unet), state(text)
    (of_unet, unet_changes), (of_text, text_changes) = make(unet, UNET), make(text, TEXT)
    save_file(names(of_unet, of_text), tmp_path / "lora.safetensors")
    changed = merge_lora(tmp_path / "lora.safetensors", unet, text, scale=0.7)
    assert set(changed) == {f"unet.{n}" for n in UNET} | {f"text_encoder.{n}" for n in TEXT}
    check(unet, before[0], unet_changes, 0.7 * scale)
    check(text, before[1], text_changes, 0.7 * scale)
    merge_lora(tmp_path, unet, text, scale=-0.7)  # a folder with one file; and back again
    check(unet, before[0], {})


def test_what_diffusers_saves_is_what_it_computes(sound, tmp_path):
    """peft's own layers in the UNet, saved by diffusers with alpha in the header, against the merged weights."""
    from diffusers import UNet3DConditionModel
    from diffusers.loaders import StableDiffusionLoraLoaderMixin as Saver
    from peft import LoraConfig, inject_adapter_in_model
    from peft.utils import get_peft_model_state_dict

    theirs = UNet3DConditionModel.from_config(sound.unet.config)
    theirs.load_state_dict(sound.unet.state_dict())
    theirs.eval()
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["to_q", "to_v", "conv1.2"],
        init_lora_weights="gaussian",
        alpha_pattern={"mid_block.attentions.0.transformer_blocks.0.attn1.to_q": 2},
    )
    inject_adapter_in_model(config, theirs)
    for name, weight in theirs.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    Saver.save_lora_weights(tmp_path, get_peft_model_state_dict(theirs), unet_lora_adapter_metadata=config.to_dict())
    ours = sound.fresh_unet()
    merge_lora(tmp_path, ours)
    x, t, text = torch.randn(1, 4, 3, 8, 8), torch.tensor([500]), torch.randn(1, 16, 16)
    with torch.no_grad():
        expected, plain = theirs(x, t, text).sample, sound.unet(x, t, text).sample
        torch.testing.assert_close(ours(x, t, text).sample, expected, rtol=1e-4, atol=1e-5)
    assert (plain - expected).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("pattern", [None, ".*to_q|.*conv.*|.*to_k", "nothing"])
def test_peft_adapters_bring_their_alpha_in_a_file_beside_them(kind, pattern, tiny, tmp_path):
    """Of peft before 0.6 in a pickle; patterns are regular expressions, as peft takes them."""
    unet, _ = tiny
    before = state(unet)
    found, changes = make(unet, UNET[:1])
    tensors = {
        f"base_model.model.{n}.{k}.weight": t
        for n, f in found.items()
        for k, t in zip(("lora_B", "lora_A"), f, strict=True)
    }
    if kind == "bin":
        torch.save(tensors, tmp_path / "adapter_model.bin")
    else:
        save_file(tensors, tmp_path / "adapter_model.safetensors")
    said = {"lora_alpha": 8, "r": RANK, "use_rslora": True}
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps(said | ({"alpha_pattern": {pattern: 2}} if pattern else {})))
    merge_lora(tmp_path, unet)
    meant = pattern and re.match(rf"(.*\.)?({pattern})$", UNET[0])
    check(unet, before, changes, (2 if meant else 8) / RANK**0.5)
    before = lora_hash(tmp_path)
    config.write_text(json.dumps(said | {"lora_alpha": 16}))
    assert lora_hash(tmp_path) != before


@pytest.mark.parametrize("header", [None, {"lora_alpha": "8"}, {"alpha": "None"}])
def test_peft_adapters_without_their_alpha_count_as_their_rank_and_say_so(header, tiny, tmp_path, caplog):
    unet, _ = tiny
    before = state(unet)
    found, changes = make(unet, UNET[:1])
    ((name, (up, down)),) = found.items()
    named = {f"base_model.model.{name}.lora_B.weight": up, f"base_model.model.{name}.lora_A.weight": down}
    save_file(named, tmp_path / "my.safetensors", header)
    merge_lora(tmp_path / "my.safetensors", unet)
    said = bool(header) and "lora_alpha" in header
    check(unet, before, changes, 8 / RANK if said else 1)
    assert len(caplog.records) == (not said) and ("lora_scale" in caplog.text) == (not said)
    assert f"alpha = rank ({RANK})" in caplog.text or said


def test_diffusers_files_mean_their_rank_and_nothing_is_said(tiny, tmp_path, caplog):
    unet, _ = tiny
    save_file(peft_names(make(unet, UNET)[0], {}), tmp_path / "a.safetensors")
    merge_lora(tmp_path / "a.safetensors", unet)
    assert not caplog.records


def test_what_a_trainer_leaves_beside_is_not_taken_for_the_lora(tiny, tmp_path):
    """A folder as trainers write it: the adapter, its pickled twin, arguments and states."""
    for name in ("training_args.bin", "optimizer.pt", "rng_state_0.pt", "last.pt", "my.bin"):
        (tmp_path / name).write_bytes(b"cposix\nsystem\n(S'touch pwned'\ntR.")
    save_file(peft_names(make(tiny[0], UNET)[0], {}), tmp_path / "my.safetensors")
    assert [file.name for file in lora_files(tmp_path)] == ["my.safetensors"]
    (tmp_path / "my.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="2 LoRA files .my.bin, other.safetensors"):
        lora_files(tmp_path)


def test_a_pattern_that_is_none_is_refused(tiny, tmp_path):
    unet, _ = tiny
    found, _ = make(unet, UNET[:1])
    ((name, (up, down)),) = found.items()
    save_file({f"{name}.lora_B.weight": up, f"{name}.lora_A.weight": down}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "alpha_pattern": {"to_q(": 2}}))
    with pytest.raises(UserError, match="alpha_pattern"):
        merge_lora(tmp_path, unet)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bit_floats_are_read(dtype, tiny, tmp_path):
    unet, _ = tiny
    before = state(unet)
    found, _ = make(unet, UNET[:1])
    ((name, pair),) = found.items()
    up, down = (factor.to(dtype) for factor in pair)
    save_file({f"unet.{name}.lora_B.weight": up, f"unet.{name}.lora_A.weight": down}, tmp_path / "a.safetensors")
    merge_lora(tmp_path, unet)
    weight = before[f"{name}.weight"]
    check(unet, before, {name: (up.float().flatten(1) @ down.float().flatten(1)).view(weight.shape)})
    save_file({f"unet.{name}.lora_B.weight": (up.float() * torch.nan).to(dtype)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="NaN"):
        merge_lora(tmp_path, unet)


def flat(model, text=False, order=None):
    layers = layers_of(model) if not text else [(n, m) for n, m in _text_order(model)]
    layers = [layers[i] for i in order] if order else layers
    made = [factors(m.weight, seed=i) for i, (_, m) in enumerate(layers)]
    changes = {
        n: (up.flatten(1) @ down.flatten(1)).view(m.weight.shape)
        for (n, m), (up, down) in zip(layers, made, strict=True)
    }
    return [tensor for pair in made for tensor in pair], changes


def _text_order(model):
    return [
        (f"encoder.layers.{i}.{e}", model.get_submodule(f"encoder.layers.{i}.{e}"))
        for i in range(2)
        for e in _TEXT_LAYERS
    ]


@pytest.mark.parametrize("given", ["2500_unet.pt", "."])
def test_the_nameless_lists_of_both_halves(tiny, tmp_path, given):
    unet, text = tiny
    before = state(unet), state(text)
    (of_unet, unet_changes), (of_text, text_changes) = flat(unet), flat(text, text=True)
    torch.save(of_unet, tmp_path / "2500_unet.pt")
    torch.save([nn.Parameter(t) for t in of_text], tmp_path / "2500_text_encoder.pt")
    changed = merge_lora(tmp_path / given, unet, text)
    assert len(changed) == len(layers_of(unet)) + 12
    check(unet, before[0], unet_changes)
    check(text, before[1], text_changes)


def test_lists_in_the_order_of_older_libraries(tiny, tmp_path):
    """The feed-forward before the second attention, told by the shapes."""
    unet, _ = tiny
    before = state(unet)
    names = [n for n, _ in layers_of(unet)]
    blocks = {n: n.split(".ff.")[0] for n in names if ".ff." in n}
    order = sorted(
        range(len(names)),
        key=lambda i: names.index(f"{blocks[names[i]]}.attn1.to_out.0") + 0.5 if names[i] in blocks else i,
    )
    assert order != sorted(order)
    tensors, changes = flat(unet, order=order)
    torch.save(tensors, tmp_path / "x_unet.pt")
    merge_lora(tmp_path / "x_unet.pt", unet)
    check(unet, before, changes)


def test_half_precision_weights_are_summed_in_float32(tiny, tmp_path):
    unet, _ = tiny
    before = state(unet)
    found, changes = make(unet, UNET[:1])
    save_file(peft_names({n: (u.half(), d.half()) for n, (u, d) in found.items()}, {}), tmp_path / "a.safetensors")
    unet.to(torch.bfloat16)
    merge_lora(tmp_path / "a.safetensors", unet, scale=0.01)
    name = f"{UNET[0]}.weight"
    expected = (before[name].bfloat16().float() + 0.01 * changes[UNET[0]]).bfloat16()
    torch.testing.assert_close(unet.state_dict()[name], expected, rtol=2**-7, atol=1e-6)


def one(**changes):
    """A sound file but for one thing."""

    def write(tensors, folder):
        tensors |= changes
        save_file({k: v for k, v in tensors.items() if v is not None}, folder / "a.safetensors")

    return write


def listed(change):
    return lambda tensors, folder: torch.save(change(list(tensors)), folder / "a_unet.pt")


def content(name, data):
    return lambda tensors, folder: (folder / name).write_bytes(data)


def several(tensors, folder):
    for name in "ab":
        save_file(tensors, folder / f"{name}.safetensors")


Q = f"unet.{UNET[0]}"
NAMED = {
    "another width": (one(**{f"{Q}.lora_A.weight": torch.ones(2, 9)}), r"another model.*to_q is for.*8, 9\].*8, 8\]"),
    "no such layer": (one(**{"unet.blocks.7.q.lora_A.weight": torch.ones(2, 8)}), r"lacks 1 of its 7 layers"),
    "half a pair": (one(**{f"{Q}.lora_B.weight": None}), r"to_q has no up factor"),
    "two ranks": (one(**{f"{Q}.lora_A.weight": torch.ones(3, 8)}), r"ranks 2 and 3"),
    "DoRA": (one(**{f"{Q}.lora_magnitude_vector": torch.ones(8)}), r"a DoRA adapter"),
    "full difference": (one(**{"lora_unet_a.diff": torch.ones(8)}), r"a full-difference adapter"),
    "a whole checkpoint": (
        one(**{"model.diffusion_model.out.0.weight": torch.ones(8)}),
        r"is not a LoRA: it holds model.diffusion",
    ),
    "kohya's DoRA": (one(**{"lora_unet_a.dora_scale": torch.ones(8)}), r"a DoRA adapter"),
    "OFT": (one(**{"lora_unet_a.oft_blocks": torch.ones(8)}), r"an? OFT adapter"),
    "half a LoHa": (one(**{f"{Q}.hada_w1_a": torch.ones(8, 2)}), r"to_q has no factor hada_w1_b"),
    "a LoKr of another width": (
        one(**{f"{Q}.lokr_w1": torch.ones(2, 2), f"{Q}.lokr_w2": torch.ones(4, 5)}),
        r"another model.*to_q is for.*8, 10\].*8, 8\]",
    ),
    "a whole model": (one(**{"conv_in.weight": torch.ones(8)}), r"not a LoRA: it holds conv_in.weight"),
    "NaN": (one(**{f"{Q}.lora_A.weight": torch.full((2, 8), torch.nan)}), r"NaN"),
    "SD XL": (
        one(**{"text_encoder_2.x.lora_A.weight": torch.ones(2, 8)}),
        r"also changes the text encoder 2 .1 layers",
    ),
    "cut short": (content("a.safetensors", b"\x10\0\0\0\0\0\0\0{}"), r"damaged or cut short"),
    "a pickle": (content("a_unet.pt", b"cposix\nsystem\n(S'touch pwned'\ntR."), r"not a file of plain tensors"),
    "another file": (content("a.ckpt", b""), r"holds no LoRA: no file in it"),
    "several": (several, r"holds 2 LoRA files .a.safetensors, b.safetensors.: name one"),
}
LISTS = {
    "a pair less": (listed(lambda x: x[:-2]), r"holds \d+ tensors, this unet needs two for each of its \d+ layers"),
    "another order": (listed(lambda x: x[2:] + x[:2]), r"another model: unet.conv_in .pair 0. is for"),
    "down before up": (listed(lambda x: [x[i ^ 1] for i in range(len(x))]), r"unet.conv_in .pair 0. has factors of"),
    "not tensors": (listed(lambda x: ["x"]), r"holds no tensors"),
    "empty": (listed(lambda x: []), r"holds no tensors"),
}


@pytest.mark.parametrize("case", [*NAMED, *LISTS])
def test_what_does_not_fit_gets_one_line_and_changes_nothing(tiny, tmp_path, case):
    unet, text = tiny
    before = state(unet)
    write, line = (NAMED | LISTS)[case]
    write(flat(unet)[0] if case in LISTS else peft_names(make(unet, UNET)[0], {}), tmp_path)
    with pytest.raises(UserError, match=line) as error:
        merge_lora(tmp_path, unet, text)
    assert "\n" not in str(error.value)
    check(unet, before, {})


def test_the_text_half_needs_a_text_encoder(tiny, tmp_path):
    unet, text = tiny
    save_file(peft_names({}, make(text, TEXT)[0]), tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="also changes the text encoder .2 layers"):
        merge_lora(tmp_path, unet)


def test_the_hash_follows_the_contents_of_both_halves(tiny, tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "2_unet.pt")
    one = lora_hash(tmp_path)
    torch.save([torch.ones(1)], tmp_path / "2_text_encoder.pt")
    assert [f.name for f in lora_files(tmp_path)] == ["2_unet.pt", "2_text_encoder.pt"]
    assert lora_hash(tmp_path) == lora_hash(tmp_path / "2_unet.pt") != one
    options = [LoraOptions(str(tmp_path), scale).fingerprint("x") for scale in (1, 1.0, 0.5)]
    assert options[0] == options[1] != options[2]
    with pytest.raises(UserError, match="no LoRA at /no/where"):
        LoraOptions("/no/where").check()
    with pytest.raises(UserError, match="lora_scale=nan"):
        LoraOptions(str(tmp_path), float("nan")).check()
