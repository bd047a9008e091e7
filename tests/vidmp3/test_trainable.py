"""Exactly the paper's weights are tuned: names on full-size layouts, and what three steps touch."""

import re

import pytest
import torch
from diffusers import UNetMotionModel
from vidmp3_models import make_unet, request_of

from motionkit.methods.vidmp3.guide import MotionGuide
from motionkit.methods.vidmp3.inject import install
from motionkit.methods.vidmp3.options import TuneOptions
from motionkit.methods.vidmp3.trainable import make_trainable, trainable_names

SPATIAL = r"(down_blocks|up_blocks|mid_block)(\.\d)?\.attentions\.\d\.transformer_blocks\.\d\.attn[12]\.to_q\.weight"
MOTION = r"(down_blocks|up_blocks|mid_block)(\.\d)?\.motion_modules\.\d\.transformer_blocks\.0\.attn[12]\."
VALUES, PROJECTIONS = MOTION + r"to_v\.weight", MOTION + r"(to_[qkv]\.weight|to_out\.0\.(weight|bias))"

FULL_SIZE = {
    "sd15": {"cross_attention_dim": 768, "num_attention_heads": 8},
    "sdxl": {
        "block_out_channels": (320, 640, 1280),
        "num_attention_heads": (5, 10, 20),
        "cross_attention_dim": 2048,
        "down_block_types": ("DownBlockMotion", "CrossAttnDownBlockMotion", "CrossAttnDownBlockMotion"),
        "up_block_types": ("CrossAttnUpBlockMotion", "CrossAttnUpBlockMotion", "UpBlockMotion"),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}


@pytest.mark.parametrize(
    ("kind", "mid", "count", "values"),
    [("sd15", False, 72, 62.7e6), ("sd15", True, 74, 66.0e6), ("sdxl", False, 290, 290.8e6)],
)
def test_names_on_the_real_layouts(kind, mid, count, values):
    with torch.device("meta"):
        unet = UNetMotionModel(use_motion_mid_block=mid, **FULL_SIZE[kind])
    names = trainable_names(unet)
    rule = f"{SPATIAL}|{VALUES if kind == 'sd15' else PROJECTIONS}"
    assert names == [name for name, _ in unet.named_parameters() if re.fullmatch(rule, name)]
    assert len(names) == count and not [n for n in names if ".ff." in n or "norm" in n]
    sizes = dict(unet.named_parameters())
    assert sum(sizes[n].numel() for n in names) == pytest.approx(values, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "options", "count"),
    [
        ("sd15", {}, 72),
        ("sdxl", {}, 290),
        ("sdxl", {"temporal": "values"}, 170),
        ("sd15", {"temporal": "projections"}, 232),
        ("sd15", {"ends": True}, 72 + 20 * 4),
    ],
)
def test_the_tiny_nets_have_the_same_sets(kind, options, count):
    assert len(trainable_names(make_unet(kind), TuneOptions(**options))) == count


def tune(unet, guide, weights, call, target, steps, scale=0.1, lr=5e-4):
    """Adam on guide and weights; the losses, and which parameters got which gradients at each step."""
    injection = install(unet)
    image, mask = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(2)), torch.ones(4, 1, 32, 48)
    adam = torch.optim.Adam([*guide.parameters(), *weights.values()], lr)
    losses, gradients = [], []
    for _ in range(steps):
        injection.guide(guide(image, mask), scale=scale)
        loss = torch.nn.functional.mse_loss(unet(**call).sample, target)
        adam.zero_grad()
        loss.backward()
        everything = {f"guide.{n}": p for n, p in guide.named_parameters()} | dict(unet.named_parameters())
        gradients.append({n: float(p.grad.abs().max()) for n, p in everything.items() if p.grad is not None})
        adam.step()
        losses.append(float(loss.detach()))
    injection.remove()
    return losses, gradients


def test_gradients_reach_the_set_and_nothing_else_moves(kind):
    unet = make_unet(kind)
    names = set(trainable_names(unet))
    weights = make_trainable(unet)
    before = {n: p.detach().clone() for n, p in unet.named_parameters()}
    assert set(weights) == names and {n for n, p in unet.named_parameters() if p.requires_grad} == names
    guide = MotionGuide({site: module.query_dim for site, module in temporal(unet)})
    losses, gradients = tune(unet, guide, weights, request_of(kind), torch.zeros(1, 4, 4, 8, 12), steps=3)
    for step, found in enumerate(gradients):
        tuned = {n for n in found if not n.startswith("guide.")}
        assert tuned == names and all(found[n] > 0 for n in names), step
        assert all(value > 0 for n, value in found.items() if n.startswith("guide.heads"))
        trunk = [value for n, value in found.items() if n.startswith("guide.trunk")]
        assert len(trunk) == 4 and (all(v > 0 for v in trunk) if step else not any(trunk))
    moved = {n for n, p in unet.named_parameters() if not torch.equal(p, before[n])}
    assert moved == names
    assert losses[2] < losses[1] < losses[0]


def temporal(unet):
    from motionkit.backbones.base import attention_sites

    return [(site.name, site.module) for site in attention_sites(unet, "temporal_self")]


def test_lora_sits_on_exactly_the_same_layers_and_starts_as_nothing(kind):
    unet, call = make_unet(kind), request_of(kind)
    names = set(trainable_names(unet))
    with torch.no_grad():
        plain = unet(**call).sample
    before = {n: p.detach().clone() for n, p in unet.named_parameters()}
    state = torch.get_rng_state()
    weights = make_trainable(unet, TuneOptions(rank=2), seed=3)
    assert torch.equal(state, torch.get_rng_state())
    layers = {re.sub(r"\.lora_[AB]\.default\.weight$", ".weight", n) for n in weights}
    assert layers == {n for n in names if n.endswith(".weight")} and len(weights) == 2 * len(layers)
    assert {n for n, p in unet.named_parameters() if p.requires_grad} == set(weights)
    with torch.no_grad():
        torch.testing.assert_close(unet(**call).sample, plain, rtol=1e-5, atol=1e-6)
    guide = MotionGuide({site: module.query_dim for site, module in temporal(unet)})
    losses, gradients = tune(unet, guide, weights, call, torch.zeros(1, 4, 4, 8, 12), steps=3)
    assert losses[2] < losses[0]
    assert {n for n in gradients[1] if not n.startswith("guide.")} == set(weights)
    after = {n.replace(".base_layer", ""): p for n, p in unet.named_parameters() if n not in weights}
    assert after.keys() == before.keys() and all(torch.equal(after[n], before[n]) for n in before)


def test_tuned_weights_of_a_half_precision_net_are_float32():
    unet = make_unet("sd15").to(torch.bfloat16)
    weights = make_trainable(unet)
    assert {w.dtype for w in weights.values()} == {torch.float32}
    guide = MotionGuide({site: module.query_dim for site, module in temporal(unet)})
    call = request_of("sd15")
    for key in ("sample", "encoder_hidden_states"):
        call[key] = call[key].bfloat16()
    injection = install(unet)
    with torch.autocast("cpu", torch.bfloat16):
        injection.guide(guide(torch.rand(4, 3, 32, 48), torch.ones(4, 1, 32, 48)), scale=0.1)
        loss = unet(**call).sample.float().square().mean()
    loss.backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in weights.values())
