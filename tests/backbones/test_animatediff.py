"""What the AnimateDiff backbones promise, on their toys."""

import pytest
import torch
from torch import nn

from motionkit.backbones import fingerprint, get, load
from motionkit.backbones.animatediff import FrameGroupNorm
from motionkit.backbones.motion_files import MotionOptions
from motionkit.errors import UserError
from motionkit.running.lazy_backbone import LazyBackbone
from motionkit.settings.gpu import Plan

NAMES = ("tiny-animatediff-sd15", "tiny-animatediff-sdxl")


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=NAMES)
def tiny(request):
    return load(request.param, Plan())


def test_denoise_takes_clips_whole_and_texts_by_clip(tiny):
    text = tiny.encode_text(["a red cat", "a blue dog"])
    clip, times = randn(2, 4, 5, 16, 16), torch.tensor([500, 20])
    out = tiny.denoise(clip, times, text)
    assert out.shape == clip.shape and out.dtype == torch.float32 and out.std() > 0.02
    for b in range(2):  # neither clips nor their texts and times mix
        alone = tiny.denoise(clip[b : b + 1], int(times[b]), text[b : b + 1])
        torch.testing.assert_close(alone[0], out[b], rtol=1e-4, atol=1e-5)
    assert (tiny.denoise(clip, times, text.flip(0)) - out).abs().max() > 1e-3


def test_every_frame_hears_of_every_other_and_of_its_place(tiny):
    text = tiny.encode_text(["a red cat"])
    clip = randn(1, 4, 4, 16, 16).requires_grad_(True)
    tiny.denoise(clip, 300, text)[:, :, 1].pow(2).sum().backward()
    assert (clip.grad.abs().amax((0, 1, 3, 4)) > 0).all()
    same = randn(1, 4, 1, 16, 16).expand(-1, -1, 3, -1, -1)
    out = tiny.denoise(same, 300, text)
    assert (out[:, :, 0] - out[:, :, 2]).abs().max() > 1e-5  # equal frames differ by their positions alone


def test_without_motion_modules_it_is_the_image_model(tiny):
    from motionkit.backbones.base import VideoBackbone

    unet = tiny.fresh_unet()
    for name, parameter in unet.named_parameters():
        if "motion_modules" in name and "proj_out" in name:
            nn.init.zeros_(parameter)
    text, clip = tiny.encode_text(["a red cat"]), randn(1, 4, 3, 16, 16)
    whole = tiny.denoise(clip, 300, text, unet=unet)
    for f in range(3):
        alone = tiny.denoise(clip[:, :, f : f + 1], 300, text, unet=unet)
        torch.testing.assert_close(alone[:, :, 0], whole[:, :, f], rtol=1e-4, atol=1e-5)
    assert isinstance(tiny, VideoBackbone) and tiny.spec.family.startswith("animatediff")


def test_roles(tiny):
    sites = {role: tiny.attention_sites(role) for role in ("spatial_self", "cross", "temporal_self")}
    assert len(tiny.unet.attn_processors) == sum(map(len, sites.values()))
    assert all("motion_modules" in s.name for s in sites["temporal_self"])
    assert {s.name.rsplit(".", 1)[1] for s in sites["temporal_self"]} == {"attn1", "attn2"}
    assert all(s.module.to_k.in_features == s.width for s in sites["temporal_self"])  # self-attention, both of them
    assert all("motion_modules" not in s.name for s in sites["spatial_self"] + sites["cross"])
    assert len(sites["spatial_self"]) == len(sites["cross"])


def test_a_fresh_unet_shares_nothing_and_normalises_alike(tiny):
    text, clip = tiny.encode_text(["a red cat"]), randn(1, 4, 3, 16, 16)
    before, unet = tiny.denoise(clip, 300, text), tiny.fresh_unet()
    assert torch.equal(tiny.denoise(clip, 300, text, unet=unet), before)
    for parameter in unet.parameters():
        parameter.data.mul_(0.5)
    assert torch.equal(tiny.denoise(clip, 300, text), before)


def test_more_frames_than_positions(tiny):
    assert tiny.positions == 32
    text = tiny.encode_text([""])
    assert tiny.denoise(randn(1, 4, 32, 4, 4), 300, text).shape[2] == 32
    with pytest.raises(UserError, match="support 32 frames, the clip has 33: give frames=32 or fewer"):
        tiny.denoise(randn(1, 4, 33, 4, 4), 300, text)
    with pytest.raises(UserError, match="support 32 frames, the clip has 40"):
        LazyBackbone(tiny.spec.name, Plan()).check_frames(40)


def test_schedules_are_those_of_the_modules():
    betas = {name: load(name, Plan()).scheduler.config for name in NAMES}
    found = {name: (c["beta_schedule"], c["beta_start"], c["beta_end"]) for name, c in betas.items()}
    assert found == {NAMES[0]: ("linear", 0.00085, 0.012), NAMES[1]: ("scaled_linear", 0.00085, 0.020)}
    for config in betas.values():
        assert config["steps_offset"] == 1 and config["timestep_spacing"] == "leading"
        assert not config["clip_sample"] and not config["set_alpha_to_one"]
    base = load(NAMES[0], Plan(), motion=MotionOptions(schedule="base")).scheduler.config
    assert base["beta_schedule"] == "scaled_linear"


def test_the_norm_of_one_frame_and_of_the_clip():
    norm = nn.GroupNorm(2, 4)
    nn.init.normal_(norm.weight)
    x = randn(2, 4, 3, 5, 5) * torch.arange(1, 4).view(1, 1, 3, 1, 1)  # frames of unlike spread
    norm.__class__ = FrameGroupNorm
    out = norm(x)
    for f in range(3):
        expected = torch.nn.functional.group_norm(x[:, :, f], 2, norm.weight, norm.bias)
        torch.testing.assert_close(out[:, :, f], expected)
    norm.__class__ = nn.GroupNorm
    assert (norm(x) - out).abs().max() > 0.1


def test_the_norm_is_a_choice_with_a_default_that_copies_keep():
    clip = randn(1, 4, 3, 16, 16) * torch.arange(1, 4).view(1, 1, 3, 1, 1)
    outs = {}
    for choice in (None, True, False):
        backbone = load(NAMES[0], Plan(), motion=MotionOptions(per_frame_norm=choice))
        outs[choice] = backbone.denoise(clip, 300, backbone.encode_text(["a cat"]))
        copied = backbone.denoise(clip, 300, backbone.encode_text(["a cat"]), unet=backbone.fresh_unet())
        assert torch.equal(copied, outs[choice])
    assert torch.equal(outs[None], outs[True]) and not torch.equal(outs[True], outs[False])
    assert not load(NAMES[1], Plan()).per_frame_norm
    assert get("animatediff-sd15").per_frame_motion_norm and not get("animatediff-sdxl").per_frame_motion_norm


def test_fingerprints_and_seeds():
    state = torch.random.get_rng_state()
    a, b, c = (load(NAMES[0], Plan(), seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert a.fingerprint() == b.fingerprint() == fingerprint(NAMES[0]) != c.fingerprint()
    key = "down_blocks.0.motion_modules.0.proj_in.weight"
    assert torch.equal(a.unet.state_dict()[key], b.unet.state_dict()[key])
    assert not torch.equal(a.unet.state_dict()[key], c.unet.state_dict()[key])
    others = [MotionOptions(per_frame_norm=False), MotionOptions(schedule="base")]
    found = {fingerprint(name) for name in NAMES} | {fingerprint(NAMES[0], motion=o) for o in others}
    assert len(found) == 4 and fingerprint(NAMES[0], motion=MotionOptions(per_frame_norm=True)) in found
    assert LazyBackbone(NAMES[0], Plan(), motion=others[0]).fingerprint() == fingerprint(NAMES[0], motion=others[0])


def test_options_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match="tiny-sd has no motion modules: leave backbone.motion_adapter out"):
        load("tiny-sd", Plan(), motion=MotionOptions(adapter="x"))
    with pytest.raises(UserError, match="leave backbone.per_frame_motion_norm out"):
        LazyBackbone("tiny-sd", Plan(), motion=MotionOptions(per_frame_norm=True))
    with pytest.raises(UserError, match="from the seed: leave backbone.motion_adapter out"):
        load(NAMES[0], Plan(), motion=MotionOptions(adapter="x"))
    with pytest.raises(UserError, match="'bases' .did you mean 'base'"):
        load(NAMES[0], Plan(), motion=MotionOptions(schedule="bases"))
    with pytest.raises(UserError, match="leave backbone.path out"):
        load(NAMES[1], Plan(), path="somewhere")


def test_gradients_reach_motion_modules_and_latents(tiny):
    unet = tiny.fresh_unet()
    wanted = [p.requires_grad_(True) for n, p in unet.named_parameters() if "motion_modules" in n]
    x = randn(1, 4, 3, 16, 16).requires_grad_(True)
    tiny.denoise(x, 300, tiny.encode_text(["a cat"]), unet=unet).pow(2).mean().backward()
    assert all(p.grad is not None for p in wanted) and x.grad.abs().sum() > 0
    assert sum(p.grad is not None for p in unet.parameters()) == len(wanted)


def test_the_command_line_hands_the_options_over(tmp_path):
    from motionkit.cli import hydra_app
    from motionkit.cli.schemas import TransferConfig

    start = hydra_app.JobFolders(tmp_path, tmp_path)
    words = ["method=still", "backbone=animatediff-sd15", "backbone.motion_adapter=modules"]
    (tmp_path / "modules").mkdir()
    for more, norm in (([], None), (["backbone.per_frame_motion_norm=false"], False)):
        config = hydra_app.compose("transfer", TransferConfig, [*words, *more])
        assert start.motion(config.backbone) == MotionOptions(str(tmp_path / "modules"), norm)
    for name in ("pocket-sd", "pocket-animatediff"):
        assert start.motion(hydra_app.compose("transfer", TransferConfig, [f"backbone={name}"]).backbone) is None
