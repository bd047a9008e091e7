"""VIDMP3 on an image model: new layers along time carry the motion, are tuned and kept in packs."""

import numpy as np
import pytest
import torch
from torch import nn

from motionkit.backbones import load
from motionkit.errors import UserError
from motionkit.media import from_frames
from motionkit.methods.vidmp3.inject import GuideContext, Subject, install
from motionkit.methods.vidmp3.trainable import make_trainable, trainable_names
from motionkit.methods.vidmp3.unets import inflated_blocks, own_unet, untuned
from motionkit.running.execute import execute
from motionkit.settings.gpu import Plan
from motionkit.testing.clips import moving_shapes
from motionkit.transfer import Inputs

QUICK = {
    "steps": 2,
    "tune": {"steps": 3, "lr": 0.02, "unet_lr": 0.01},
    "maps": {"long_side": 16},
    "guide": {"strength": 1.0},
    "sample": {"guidance": 2.0, "negative": ""},
}


@pytest.fixture(scope="module")
def tiny():
    return load("tiny-sd", Plan())


def edit(folder, prompt="a green cat", use_cache=False, gpu="cpu", **changes):
    settings = {k: dict(v) if isinstance(v, dict) else v for k, v in QUICK.items()}
    for key, value in changes.items():
        settings[key] = settings.get(key, {}) | value if isinstance(value, dict) else value
    inputs = Inputs(driving=moving_shapes(3), prompt=prompt, source_prompt="a red dog")
    return execute(
        "vidmp3", inputs, config=settings, backbone="tiny-sd", frames=3, folder=folder, use_cache=use_cache, gpu=gpu
    )


def test_it_begins_as_the_image_model_and_shares_its_memory(tiny, draw):
    unet, text = own_unet(tiny), tiny.encode_text(["a cat"])
    clip = torch.randn(1, 4, 3, 16, 16, generator=draw)
    install(unet, sparse_causal=False).look(clip)
    with torch.no_grad():
        torch.testing.assert_close(tiny.denoise(clip, 500, text, unet=unet), tiny.denoise(clip, 500, text))
    assert unet.conv_in.weight.data_ptr() == tiny.unet.conv_in.weight.data_ptr()
    own = dict(own_unet(tiny, {"conv_in.weight"}).named_parameters())
    assert own["conv_in.weight"].data_ptr() != tiny.unet.conv_in.weight.data_ptr()
    assert not inflated_blocks(tiny.unet) and not any(p.requires_grad for p in own.values())


@pytest.mark.parametrize("side", [8, 72])  # 72 x 72 places are more than one call takes elsewhere
def test_the_motion_enters_the_new_layers_where_its_gate_is_open(side, tiny, draw):
    unet, text = own_unet(tiny), tiny.encode_text(["a cat", "a dog"])
    for block in inflated_blocks(unet):
        nn.init.eye_(block.attn_temp.to_out[0].weight)
    injection = install(unet)
    clip = torch.randn(2, 4, 2, side, side, generator=draw)
    phi = {site: torch.randn(2, width, generator=draw) for site, width in injection.sites.items()}
    assert list(phi) and all(site.endswith(".attn_temp") for site in phi)

    @torch.no_grad()
    def made(*subjects):
        injection.guide(*subjects, scale=1.0)
        injection.look(clip)
        return tiny.denoise(clip, 500, text, unet=unet)

    alone, guided = made(), made(phi)
    assert (guided - alone).abs().amax() > 1e-3
    torch.testing.assert_close(made(Subject(phi, torch.ones(2, 16, 16))), guided, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made(Subject(phi, torch.zeros(1, 16, 16))), alone, atol=1e-5, rtol=1e-4)


def test_what_is_tuned_is_what_tune_a_video_tunes(tiny):
    names = trainable_names(untuned(tiny))
    new = [name for name in names if ".attn_temp." in name]
    assert len(new) == 5 * len(inflated_blocks(untuned(tiny)))  # W_Q, W_K, W_V, and the out-projection with its bias
    assert all(name.endswith(("attn1.to_q.weight", "attn2.to_q.weight")) for name in names if name not in new)
    weights = make_trainable(own_unet(tiny, names))
    assert list(weights) == names and all(weight.requires_grad for weight in weights.values())
    assert GuideContext().rows > 10**9


def test_an_edit_its_cache_its_guide_and_its_pack(tmp_path):
    first = edit(tmp_path / "a", use_cache=True, save_pack=str(tmp_path / "pack"))
    second = edit(tmp_path / "b", prompt="a blue bird", use_cache=True)
    assert second.manifest["from_cache"] == ["prepare", "fit"]
    assert first.frames.shape == (3, 64, 64, 3) and not np.array_equal(first.frames, second.frames)
    taken = edit(tmp_path / "c", pack=str(tmp_path / "pack"))
    assert np.array_equal(taken.frames, first.frames) and not any("remark" in key for key in taken.manifest["notes"])
    weak = edit(tmp_path / "d", use_cache=True, guide={"edit_strength": 0.0})
    assert weak.manifest["from_cache"] == ["prepare", "fit"] and not np.array_equal(weak.frames, first.frames)
    with pytest.raises(UserError, match="was tuned on tiny-sd and does not fit tiny-modelscope"):
        clip = from_frames(moving_shapes(3).frames, 8.0, "shapes")
        execute(
            "vidmp3",
            Inputs(driving=clip, prompt="a cat", source_prompt="a dog"),
            backbone="tiny-modelscope",
            config=QUICK | {"pack": str(tmp_path / "pack")},
            folder=tmp_path / "e",
        )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tune": {"temporal": "values"}}, "method.tune.temporal=values.* projections or auto"),
        ({"tune": {"ends": True}}, "method.tune.ends is for motion modules"),
        ({"guide": {"sites": "attn1"}}, "leave method.guide.sites out"),
    ],
)
def test_settings_without_meaning_are_refused_before_weights_load(changes, says, tmp_path, monkeypatch):
    monkeypatch.setattr("motionkit.backbones.load", lambda *a, **k: pytest.fail("weights were loaded"))
    with pytest.raises(UserError, match=says):
        edit(tmp_path, **changes)
