"""New layers along time in SD XL's UNet: it begins as the image model, learns in them, and both methods run on it."""

from dataclasses import replace

import pytest
import torch

from motionkit.backbones import fingerprint, load
from motionkit.context import RunContext
from motionkit.methods.anamodiff.config import AnaMoDiffConfig, LoraConfig, VideoConfig
from motionkit.methods.anamodiff.nets import build
from motionkit.methods.anamodiff.tune import Material, trainable, tune
from motionkit.methods.vidmp3.trainable import trainable_names
from motionkit.methods.vidmp3.unets import inflated_blocks, own_unet
from motionkit.running.execute import execute
from motionkit.settings.gpu import Plan
from motionkit.testing.clips import moving_shapes, sample_inputs
from motionkit.transfer import Inputs


@pytest.fixture(scope="module")
def tiny():
    return load("tiny-sdxl", Plan())


def test_the_toy_is_xl_and_its_own(tiny):
    text = tiny.encode_text(["a red cat"])
    assert text.shape == (1, 17, 40) and tiny.unet.config.addition_embed_type == "text_time"
    assert tiny.fingerprint() == fingerprint("tiny-sdxl") != fingerprint("tiny-sd")
    state = torch.get_rng_state()
    again = load("tiny-sdxl", Plan())
    assert torch.equal(again.unet.conv_in.weight, tiny.unet.conv_in.weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_vidmp3s_unet_begins_as_the_image_model_and_tunes_all_of_the_layers_along_time(tiny, draw):
    unet, text = own_unet(tiny), tiny.encode_text(["a cat"])
    blocks = inflated_blocks(unet)
    assert len(blocks) == len(tiny.attention_sites("spatial_self")) > 4
    clip = torch.randn(1, 4, 3, 16, 16, generator=draw)
    for block in blocks:
        block.context.frames = 1
    with torch.no_grad():
        found = tiny.denoise(clip[:, :, :1], 500, text, unet=unet)
        torch.testing.assert_close(found, tiny.denoise(clip[:, :, :1], 500, text), atol=1e-5, rtol=1e-4)
    names = trainable_names(unet)
    assert all(f"{name}.to_out.0.weight" in names for name, m in unet.named_modules() if name.endswith("attn_temp"))


def test_anamodiff_learns_and_reads_the_pooled_text(tiny, tmp_path, draw):
    config = AnaMoDiffConfig(
        lora=LoraConfig(steps=3, rank=2, clip_frames=3, warped_weight=1.0, source_high=1000),
        video=VideoConfig(anchor="first"),
    ).on("tiny-sdxl")
    run = RunContext(0, 3, 64, 64, 8.0, Plan(), tmp_path)
    net, text = build(tiny, config.lora, config.video, run), tiny.encode_text(["a dog", "a cat"])
    clip = torch.randn(3, 4, 16, 16, generator=draw)
    tuned = tune(net, tiny, text[:1], Material(clip, clip.flip(0), torch.zeros(3, 16, 16, 2)), config.lora, run)
    assert tuned.keys() == trainable(net).keys()
    moved = [w for name, w in tuned.items() if "attn_temp" in name and "lora_B" in name]
    assert moved and all(w.abs().amax() > 0 for w in moved)
    net.context.frames = 3
    other = text[:1].clone()
    other[:, -1] = text[1:, -1]  # another pooled vector, the same words
    with torch.no_grad():
        found = [tiny.denoise(clip.transpose(0, 1)[None], 500, t, unet=net.unet) for t in (text[:1], other)]
    assert (found[0] - found[1]).abs().amax() > 1e-5


@pytest.mark.parametrize("method", ["anamodiff", "vidmp3"])
def test_a_whole_run(method, tmp_path):
    settings = {
        "anamodiff": {"preset": "paper", "lora": {"steps": 2, "rank": 2, "clip_frames": 3}, "sample": {"steps": 2}},
        "vidmp3": {"steps": 2, "tune": {"steps": 2}, "maps": {"long_side": 16}},
    }
    inputs = sample_inputs()
    if method == "vidmp3":
        inputs = Inputs(driving=moving_shapes(3), prompt="a green cat", source_prompt="a red dog")
    result = execute(
        method,
        replace(inputs),
        config=settings[method],
        backbone="tiny-sdxl",
        frames=3,
        folder=tmp_path,
        use_cache=False,
    )
    assert result.frames.shape == (3, 64, 64, 3) and result.frames.std() > 1
