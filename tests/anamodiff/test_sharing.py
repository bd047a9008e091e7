"""The video UNet holds anew only what is changed, and the backbone's own weights stay as they are."""

import pytest
import torch

from motionkit.backbones import load
from motionkit.context import RunContext
from motionkit.methods.anamodiff.config import AnaMoDiffConfig, LoraConfig
from motionkit.methods.anamodiff.nets import TEMPORAL_OUT, build
from motionkit.methods.anamodiff.tune import load_tuned, trainable
from motionkit.settings.gpu import Plan


def net_of(backbone, steps, tmp_path):
    config = AnaMoDiffConfig(lora=LoraConfig(steps=steps, rank=2)).on(backbone.spec.name)
    run = RunContext(0, 3, 64, 64, 8.0, backbone.plan, tmp_path)
    return build(backbone, config.lora, config.video, run)


def own(backbone, net):
    """Bytes of the net's weights that are not the backbone's own memory."""
    shared = {p.untyped_storage().data_ptr() for p in backbone.unet.parameters()}
    weights = [(n, p) for n, p in net.unet.named_parameters() if p.untyped_storage().data_ptr() not in shared]
    return {name for name, _ in weights}


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-animatediff-sd15", "tiny-modelscope"])
def test_in_half_precision_only_what_is_new_takes_memory(name, tmp_path):
    backbone = load(name, Plan(dtype="bfloat16"))
    found = own(backbone, net_of(backbone, 2, tmp_path))
    assert found and all("lora_" in n or "attn_temp" in n or "norm_temp" in n for n in found)
    assert not own(backbone, net_of(backbone, 0, tmp_path)) or name == "tiny-sd"  # only that one gets new layers


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-animatediff-sd15"])
def test_folding_adapters_in_leaves_the_backbone_as_it_was(name, tmp_path):
    backbone = load(name, Plan())
    before = {n: w.clone() for n, w in backbone.unet.state_dict().items()}
    net = net_of(backbone, 2, tmp_path)
    fitted = {n: torch.randn_like(w) for n, w in trainable(net).items()}
    load_tuned(net, fitted)
    assert any("lora_" in n or TEMPORAL_OUT in n for n in fitted)
    for n, w in backbone.unet.state_dict().items():
        assert torch.equal(w, before[n]), n
    clip, text = torch.randn(1, 4, 3, 16, 16), backbone.encode_text(["a cat"])
    net.context.frames = 3
    with torch.no_grad():
        assert not torch.equal(backbone.denoise(clip, 500, text, unet=net.unet), backbone.denoise(clip, 500, text))
