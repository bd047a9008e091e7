"""BiRefNet: the published layout, key by key, its parts against other implementations, a tiny file of it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from motionkit.errors import MissingWeights, UserError
from motionkit.perception import birefnet, networks, rmbg
from motionkit.perception.masks import MaskSettings, segment
from motionkit.perception.swin import Swin

TINY = (8, (2, 1, 1, 1), (1, 2, 2, 4), 4)
CONFIG = {
    "architectures": ["BiRefNet"],
    "auto_map": {"AutoConfig": "BiRefNet_config.BiRefNetConfig", "AutoModelForImageSegmentation": "birefnet.BiRefNet"},
    "bb_pretrained": False,
}


def published(width=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48), window=12):
    """Every tensor of the authors' file with its shape, from their description and not from this code."""
    shapes = {}

    def weigh(name, *shape, bias=True):
        shapes.update({f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {}))

    def norm(name, size):
        kinds = ("weight", "bias", "running_mean", "running_var")
        shapes.update({f"{name}.{kind}": (size,) for kind in kinds} | {f"{name}.num_batches_tracked": ()})

    weigh("bb.patch_embed.proj", width, 3, 4, 4)
    weigh("bb.patch_embed.norm", width)
    for i, (depth, head) in enumerate(zip(depths, heads, strict=True)):
        c = width * 2**i
        for j in range(depth):
            at = f"bb.layers.{i}.blocks.{j}"
            shapes[f"{at}.attn.relative_position_bias_table"] = ((2 * window - 1) ** 2, head)
            shapes[f"{at}.attn.relative_position_index"] = (window**2, window**2)
            weigh(f"{at}.norm1", c), weigh(f"{at}.norm2", c)
            weigh(f"{at}.attn.qkv", 3 * c, c), weigh(f"{at}.attn.proj", c, c)
            weigh(f"{at}.mlp.fc1", 4 * c, c), weigh(f"{at}.mlp.fc2", c, 4 * c)
        if i < 3:
            weigh(f"bb.layers.{i}.downsample.norm", 4 * c)
            weigh(f"bb.layers.{i}.downsample.reduction", 2 * c, 4 * c, bias=False)
        weigh(f"bb.norm{i}", c)

    def look(name, kernel):
        for part, out in (("offset_conv", 2 * kernel**2), ("modulator_conv", kernel**2)):
            weigh(f"{name}.atrous_conv.{part}", out, 64, kernel, kernel)
        weigh(f"{name}.atrous_conv.regular_conv", 256, 64, kernel, kernel, bias=False)
        norm(f"{name}.bn", 256)

    def block(name, channels, out):
        weigh(f"{name}.conv_in", 64, channels, 3, 3), norm(f"{name}.bn_in", 64)
        look(f"{name}.dec_att.aspp1", 1)
        for i, kernel in enumerate((1, 3, 7)):
            look(f"{name}.dec_att.aspp_deforms.{i}", kernel)
        weigh(f"{name}.dec_att.global_avg_pool.1", 256, 64, 1, 1, bias=False)
        norm(f"{name}.dec_att.global_avg_pool.2", 256)
        weigh(f"{name}.dec_att.conv1", 64, 5 * 256, 1, 1, bias=False), norm(f"{name}.dec_att.bn1", 64)
        weigh(f"{name}.conv_out", out, 64, 3, 3), norm(f"{name}.bn_out", out)

    a, b, c, d = (width * 2**i for i in (4, 3, 2, 1))  # both sizes of the picture side by side
    block("squeeze_module.0", a + b + c + d, a)
    for level, channels, out in ((4, a + a // 8, b), (3, b + a // 8, c), (2, c + b // 8, d), (1, d + c // 8, d // 2)):
        block(f"decoder.decoder_block{level}", channels, out)
    for level, seen, out in ((5, 3072, a // 8), (4, 768, a // 8), (3, 192, b // 8), (2, 48, c // 8), (1, 3, d // 8)):
        weigh(f"decoder.ipt_blk{level}.conv1", 64, seen, 3, 3)
        weigh(f"decoder.ipt_blk{level}.conv_out", out, 64, 3, 3)
    for level, out in ((4, b), (3, c), (2, d)):
        weigh(f"decoder.lateral_block{level}.conv", out, out, 1, 1)
        weigh(f"decoder.conv_ms_spvn_{level}", 1, out, 1, 1)
        weigh(f"decoder.gdt_convs_{level}.0", 16, out, 3, 3), norm(f"decoder.gdt_convs_{level}.1", 16)
        for part in ("pred", "attn"):
            weigh(f"decoder.gdt_convs_{part}_{level}.0", 1, 16, 1, 1)
    weigh("decoder.conv_out1.0", 1, d // 2 + d // 8, 1, 1)
    return shapes


def idle(name):
    return name.startswith(birefnet._IDLE) or name.endswith(birefnet._MADE)


@pytest.mark.parametrize("sizes", [(), (96, (2, 2, 6, 2), (3, 6, 12, 24), 7), TINY])
def test_the_whole_published_list_of_tensors_fits(sizes):
    """BiRefNet and BiRefNet_lite: their files have 885 and 178 MB in float32."""
    told = published(*sizes)
    with torch.device("meta"):
        own = birefnet.build({name: torch.empty(shape) for name, shape in told.items()}).state_dict()
    assert {k: tuple(v.shape) for k, v in own.items() if not idle(k)} == {k: v for k, v in told.items() if not idle(k)}
    if not sizes:  # the index of each window counts two numbers of float32
        count = sum(np.prod(shape, dtype=int) * (2 if "index" in name else 1) for name, shape in told.items())
        assert 4 * count / 1e6 == pytest.approx(885, abs=2)


def test_the_encoder_is_that_of_another_implementation():
    """The one in transformers, whose weights have other names, on a picture that fills no whole windows."""
    from transformers import SwinBackbone, SwinConfig

    width, depths, heads, window = TINY
    torch.manual_seed(0)
    ours = Swin(*TINY).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    config = SwinConfig(
        embed_dim=width,
        depths=list(depths),
        num_heads=list(heads),
        window_size=window,
        image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    theirs = SwinBackbone(config).eval()
    names = {
        "patch_embed.proj": "swin.embeddings.patch_embeddings.projection",
        "patch_embed.norm": "swin.embeddings.norm",
        "layers.": "swin.encoder.layers.",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "attn.relative_position_bias_table": "attention.relative_position_bias.relative_position_bias_table",
        "attn.proj": "attention.o_proj",
    }
    state = {}
    for name, value in ours.state_dict().items():
        if name.startswith("norm"):
            name = f"hidden_states_norms.stage{int(name[4]) + 1}.{name.split('.')[1]}"
        for old, new in names.items():
            name = name.replace(old, new)
        if "qkv" in name:
            parts = zip("qkv", value.chunk(3), strict=True)
            state |= {name.replace("attn.qkv", f"attention.{part}_proj"): rows for part, rows in parts}
        else:
            state[name] = value
    lost, other = theirs.load_state_dict(state, strict=False)
    assert not other and set(lost) <= {"swin.layernorm.weight", "swin.layernorm.bias"}, (lost, other)
    pixels = torch.randn(2, 3, 72, 44)
    with torch.no_grad():
        for a, b in zip(ours(pixels), theirs(pixels).feature_maps, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_deformable_convolution_that_is_not_deformed_is_a_convolution(kernel):
    torch.manual_seed(0)
    layer, x = birefnet.Deformable(3, 5, kernel), torch.randn(2, 3, 6, 9)
    for other in (layer.offset_conv, layer.modulator_conv):
        torch.nn.init.zeros_(other.weight), torch.nn.init.zeros_(other.bias)
    plain = layer.regular_conv
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-4, atol=1e-5)
    with torch.no_grad():  # every tap looks one row down and two columns to the right, and counts 2 sigmoid(1) times
        layer.offset_conv.bias[0::2], layer.offset_conv.bias[1::2] = 1.0, 2.0
        layer.modulator_conv.bias.fill_(1.0)
    pad = kernel // 2
    moved = functional.pad(x, (pad, pad + 2, pad, pad + 1))[:, :, 1:, 2:]
    expected = functional.conv2d(moved, plain.weight) * 2 * torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():  # half a place to the right: the mean of two neighbours, zeros beyond the border
        layer.offset_conv.bias[0::2], layer.offset_conv.bias[1::2] = 0.0, 0.5
    wide = functional.pad(x, (pad, pad + 1, pad, pad))
    between = (wide[..., :-1] + wide[..., 1:]) / 2
    if kernel == 1:  # of wider ones, taps left of the border see half of the first column
        expected = functional.conv2d(between, plain.weight) * 2 * torch.tensor(1.0).sigmoid()
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def tiny(folder, half=True):
    """A folder in the layout of the hub's, with a small encoder; weights in half precision, as published."""
    folder.mkdir()
    g = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in published(*TINY).items():
        value = torch.randn(shape, generator=g) * 0.1
        value = value.abs() + 0.5 if name.endswith(("norm1.weight", "running_var")) else value
        state[name] = value.half() if half else value
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def test_the_patches_of_the_picture_come_colour_by_colour():
    """A picture's patches of one place are channels: colour, then row, then column (2 x 2 patches of 2 x 2 here)."""
    decoder = birefnet.Decoder([16, 16, 16, 16])
    held, picture = [], torch.arange(3 * 64 * 64.0).view(1, 3, 64, 64)
    decoder._part = lambda name, x: held.append(x) or x[:, :1]
    decoder._with_picture(torch.zeros(1, 1, 2, 2), picture, 5)
    cut = held[0]
    assert cut.shape == (1, 3 * 32 * 32, 2, 2)
    assert torch.equal(cut[0, 1 * 1024 + 5 * 32 + 7], picture[0, 1, 10:12, 14:16])


def test_a_file_is_read_strictly(tmp_path, monkeypatch):
    folder = tiny(tmp_path / "net")
    net, _ = birefnet.BiRefNetMasks().load(str(folder), "cpu")
    state = load_file(folder / "model.safetensors")
    assert all(torch.equal(value, state[name].float()) for name, value in net.state_dict().items() if not idle(name))
    lost = "decoder.decoder_block2.dec_att.aspp_deforms.1.atrous_conv.offset_conv.bias"
    state.pop(lost)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(UserError, match=f"not a usable BiRefNet folder.*{lost}"):
        birefnet.BiRefNetMasks().load(str(folder), "cpu")
    save_file({"conv_in.weight": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(UserError, match="not a usable BiRefNet folder"):
        birefnet.BiRefNetMasks().load(str(folder), "cpu")
    (folder / "config.json").write_text(json.dumps({"architectures": ["BriaRMBG"]}))
    with pytest.raises(UserError, match="BriaRMBG.*not BiRefNet"):
        networks.locate(networks.BIREFNET, folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(MissingWeights, match="MIT"):
        networks.locate(networks.BIREFNET)


def test_masks_follow_the_picture_and_the_manifest_shows_the_licence(tmp_path, monkeypatch):
    monkeypatch.setattr(rmbg, "SIDE", 64)
    settings = MaskSettings("birefnet", weights=str(tiny(tmp_path / "net")), smallest=0)
    facts = settings.facts()["birefnet"]
    assert facts["licence"] == "MIT" and len(facts["sha256"]) == 64
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 72, 3), np.uint8)
    net, folder = birefnet.BiRefNetMasks().load(settings.weights, "cpu")
    net.decoder.conv_out1[0].bias.data -= net(torch.zeros(1, 3, 64, 64)).median()  # a random one says one thing
    monkeypatch.setattr(birefnet.BiRefNetMasks, "load", lambda self, path, device: (net, folder))
    masks = segment(frames, "a fox", settings)
    assert masks.shape == (2, 48, 72) and masks.dtype == bool
    assert 0 < masks.mean() < 1 and (masks[0] != masks[1]).any()
    assert (segment(frames[1:], "", settings) == masks[1:]).all()  # each frame alone, and no name is read
