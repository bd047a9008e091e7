"""RMBG: the published layout, key by key, a tiny file of it, and masks of what stands in front."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from motionkit.errors import MissingWeights, UserError
from motionkit.perception import rmbg
from motionkit.perception.masks import MaskSettings, segment

CONFIG = {"model_type": "SegformerForSemanticSegmentation", "architectures": ["BriaRMBG"], "in_ch": 3, "out_ch": 1}


def tiny(folder, width=8):
    """A folder in the layout of the hub's, with an eighth of the channels."""
    folder.mkdir()
    torch.manual_seed(0)
    net = rmbg.ForegroundNet(width)
    save_file(net.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    normal = {"image_mean": [0.5, 0.5, 0.5], "image_std": [1, 1, 1], "size": {"width": 1024, "height": 1024}}
    (folder / "preprocessor_config.json").write_text(json.dumps(normal))
    return folder


def published():
    """Every tensor of RMBG-1.4 with its shape, from the description of IS-Net and not from this code."""
    shapes = {}

    def block(name, channels, out):
        shapes.update({f"{name}.conv_s1.weight": (out, channels, 3, 3), f"{name}.conv_s1.bias": (out,)})
        kinds = ("weight", "bias", "running_mean", "running_var")
        shapes.update({f"{name}.bn_s1.{kind}": (out,) for kind in kinds} | {f"{name}.bn_s1.num_batches_tracked": ()})

    def stage(name, depth, channels, inside, out):
        block(f"{name}.rebnconvin", channels, out)
        block(f"{name}.rebnconv1", out, inside)
        for i in range(2, depth + 1):
            block(f"{name}.rebnconv{i}", inside, inside)
        for i in range(2, depth):
            block(f"{name}.rebnconv{i}d", 2 * inside, inside)
        block(f"{name}.rebnconv1d", 2 * inside, out)

    shapes.update({"conv_in.weight": (64, 3, 3, 3), "conv_in.bias": (64,)})
    stage("stage1", 7, 64, 32, 64)
    stage("stage2", 6, 64, 32, 128)
    stage("stage3", 5, 128, 64, 256)
    stage("stage4", 4, 256, 128, 512)
    stage("stage5", 4, 512, 256, 512)
    stage("stage6", 4, 512, 256, 512)
    stage("stage5d", 4, 1024, 256, 512)
    stage("stage4d", 4, 1024, 128, 256)
    stage("stage3d", 5, 512, 64, 128)
    stage("stage2d", 6, 256, 32, 64)
    stage("stage1d", 7, 128, 16, 64)
    for i, channels in enumerate((64, 64, 128, 256, 512, 512), 1):
        shapes.update({f"side{i}.weight": (1, channels, 3, 3), f"side{i}.bias": (1,)})
    return shapes


def test_the_whole_published_list_of_tensors_fits():
    with torch.device("meta"):
        state = rmbg.ForegroundNet().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published()
    assert sum(value.numel() for name, value in state.items() if "tracked" not in name) == pytest.approx(
        44.0e6, rel=0.01
    )


def test_a_file_is_read_strictly(tmp_path, monkeypatch):
    folder = tiny(tmp_path / "net")
    net, _ = rmbg.load(str(folder))
    state = load_file(folder / "model.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items() if "tracked" not in name)
    state.pop("stage3.rebnconv2.conv_s1.bias")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(UserError, match="not a usable RMBG folder.*stage3.rebnconv2.conv_s1.bias"):
        rmbg.load(str(folder))
    (folder / "config.json").write_text(json.dumps({"model_type": "sam2_video"}))
    with pytest.raises(UserError, match="sam2_video"):
        rmbg.load(str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights, match="bria-rmbg-1.4"):
        rmbg.load()


@pytest.mark.parametrize("size", [(64, 64), (63, 97), (33, 40)])
def test_the_net_keeps_any_size_and_sees_the_whole_picture(size):
    torch.manual_seed(0)
    net = rmbg.ForegroundNet(8).eval()
    x = torch.randn(1, 3, *size).requires_grad_(True)
    out = net(x)
    assert out.shape == (1, 1, *size)
    out[0, 0, size[0] // 2, size[1] // 2].backward()
    assert (x.grad[0, :, 0].abs().sum() > 0) and (x.grad[0, :, -1].abs().sum() > 0)


def test_masks_follow_the_picture_and_the_manifest_shows_the_licence(tmp_path, monkeypatch):
    monkeypatch.setattr(rmbg, "SIDE", 64)
    settings = MaskSettings("rmbg", weights=str(tiny(tmp_path / "net")), smallest=0)
    facts = settings.facts()["rmbg"]
    assert "commercial" in facts["licence"] and len(facts["sha256"]) == 64
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 72, 3), np.uint8)
    net, _ = rmbg.load(settings.weights)
    net.side1.bias.data -= net(torch.zeros(1, 3, 64, 64)).median()  # a random one says the same everywhere
    monkeypatch.setattr(rmbg, "load", lambda path, device="cpu": (net, tmp_path / "net"))
    masks = segment(frames, "a fox", settings)
    assert masks.shape == (2, 48, 72) and masks.dtype == bool
    assert 0 < masks.mean() < 1 and (masks[0] != masks[1]).any()
    assert (segment(frames[1:], "", settings) == masks[1:]).all()  # each frame alone, and no name is read
