"""The inflated UNet and the DDIM loops against recorded outputs of Tune-A-Video's public code."""

import copy

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.upsampling import Upsample2D

from motionkit.backbones.inflate import FrameContext, SparseCausalProcessor, inflate
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.sampling import ddim_invert

METHOD = "anamodiff"
FILE = "tav_io.safetensors"


def video_unet(golden):
    """The inflated net with the recorded weights, loaded strictly by their reference names."""
    video = inflate(UNet2DConditionModel(**golden.config("tav_config.json")["unet"]))
    weights = golden.tensors("tav_weights.safetensors")
    video.unet.load_state_dict({k: v for k, v in weights.items() if not k.startswith("iso.")}, strict=True)
    return video.eval()


def scheduler(golden):
    return DDIMScheduler(**golden.config("tav_config.json")["scheduler"])


def fold(clip):
    return clip.transpose(1, 2).flatten(0, 1)  # (BF,C,h,w)


def unfold(frames, count):
    return frames.unflatten(0, (-1, count)).transpose(1, 2)  # (B,C,F,h,w)


def isolated(golden, name):
    prefix = f"iso.{name}."
    weights = golden.tensors("tav_weights.safetensors")
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def whole(golden):
    """The forward pass, and what every part of the net gives during it."""
    io = golden.tensors(FILE)
    video = video_unet(golden)
    sample, text = io["in.sample"], io["in.encoder_hidden_states"]
    frames, seen = sample.shape[2], {}
    modules = dict(video.unet.named_modules())
    for name in io:
        if name.startswith("tap.unet."):
            part = name.removeprefix("tap.unet.").removesuffix(".out")
            modules[part].register_forward_hook(lambda m, x, y, name=name: seen.__setitem__(name, y))
    yield "out.sample", video(sample, io["in.timesteps"], text)
    for name, value in seen.items():
        value = value[0] if isinstance(value, tuple) else value
        if value.ndim == 4:
            yield name, unfold(value, frames)
        else:  # the time embedding: one for each clip in the reference, repeated for each frame here
            assert torch.equal(value[::frames].repeat_interleave(frames, 0), value)
            yield name, value[::frames]


def one_frame(golden):
    io = golden.tensors(FILE)
    first = io["in.sample"][:, :, :1]
    yield "out.sample_frame0_only", video_unet(golden)(first, io["in.timesteps"], io["in.encoder_hidden_states"])


def without_time(golden):
    """Both ways of switching the new layers off, with one frame and with all."""
    io = golden.tensors(FILE)
    video = video_unet(golden)
    given = io["in.timesteps"], io["in.encoder_hidden_states"]
    outs = [m.attn_temp.to_out[0] for m in video.unet.modules() if hasattr(m, "attn_temp")]
    for layer in outs:
        layer.weight.zero_()
    yield "out.temporal_weight_zero_bias_kept", video(io["in.sample"], *given)
    for layer in outs:
        layer.bias.zero_()
    yield "out.temporal_weight_and_bias_zero", video(io["in.sample"], *given)
    yield "out.temporal_weight_and_bias_zero_frame0_only", video(io["in.sample"][:, :, :1], *given)


def parts(golden):
    """Every tapped module on its own, from its recorded input."""
    io = golden.tensors(FILE)
    video = video_unet(golden)
    frames = io["in.sample"].shape[2]
    video.context.frames, video.context.anchor = frames, 0
    modules = dict(video.unet.named_modules())
    text = io["in.encoder_hidden_states"].repeat_interleave(frames, 0)
    for name in [n for n in io if n.startswith("tap.") and n.endswith(".in")]:
        path = name.removeprefix("tap.").removesuffix(".in")
        x, out = io[name], f"tap.{path}.out"
        x = fold(x) if x.ndim == 5 else x
        module, kind = modules[path], path.rpartition(".")[2]
        if ".resnets." in path and kind.isdigit():
            y = module(x, io["tap.unet.time_embedding.out"].repeat_interleave(frames, 0))
        elif kind == "attn2":
            y = module(x, encoder_hidden_states=text)
        elif kind in ("attn1", "attn_temp", "ff") or ".downsamplers." in path:
            y = module(x)
        elif ".transformer_blocks." in path:
            y = module(x, encoder_hidden_states=text)
        else:
            y = module(x, encoder_hidden_states=text, return_dict=False)[0]
        yield out, unfold(y, frames) if io[out].ndim == 5 else y


def isolated_attention(golden):
    io = golden.tensors(FILE)
    x = io["iso.sc_attn.in"]
    width = x.shape[-1]
    context = FrameContext()
    layer = Attention(
        width, heads=width // 4, dim_head=4, processor=SparseCausalProcessor(context)
    )  # 4 wide, as recorded
    layer.load_state_dict(isolated(golden, "sc_attn"), strict=True)
    context.frames = 4
    yield "iso.sc_attn.out_f4", layer(x)
    context.frames = 1
    yield "iso.sc_attn.out_f1", layer(x[: len(io["iso.sc_attn.out_f1"])])


def isolated_upsampling(golden):
    clip = golden.tensors(FILE)["iso.upsample.in"]
    layer = Upsample2D(clip.shape[1], use_conv=True)
    layer.load_state_dict(isolated(golden, "upsample"), strict=True)
    yield "iso.upsample.out", unfold(layer(fold(clip)), clip.shape[2])


def ladder(golden):
    """Schedule, single steps, and the inversion, each step from the recorded latent before it."""
    io = golden.tensors(FILE)
    noise_schedule = scheduler(golden)
    yield "ddim.alphas_cumprod", noise_schedule.alphas_cumprod
    sampler = DDIM(noise_schedule)
    grid = sampler.grid(len(io["ddim.timesteps"]))
    yield "ddim.timesteps", torch.tensor([step.t for step in grid])
    for name, step in (("first", grid[-1]), ("last", grid[0])):
        yield f"ddim.next_step_{name}", sampler.back(io["ddim.step_eps"], step, io["ddim.z0"])
    video, text = video_unet(golden), io["in.encoder_hidden_states"][:1]
    path, recorded = [io["ddim.z0"]], io["ddim.inverted_all"][:, None]  # recorded without the batch axis
    for before, step in zip(recorded, reversed(grid), strict=False):
        path.append(sampler.back(video(before, step.t, text), step, before))
    yield "ddim.inverted_all", torch.cat(path)


def loops(golden):
    """Sampling from the recorded inverted latent, with and without guidance."""
    io = golden.tensors(FILE)
    video = video_unet(golden)
    text, empty = io["in.encoder_hidden_states"][:1], io["ddim.uncond"]
    sampler = DDIM(scheduler(golden))
    grid, start = sampler.grid(len(io["ddim.timesteps"])), io["ddim.inverted_all"][-1:]

    def model(x, step, half):
        return video(x, step.t, text if half == "cond" else torch.cat([empty, text]))

    for name in [n for n in io if n.startswith("ddim.denoised_cfg")]:
        guidance = Guidance(float(name.removeprefix("ddim.denoised_cfg")), batched=True)
        yield name, denoise(model, sampler, start, grid, guidance)


STAGES = [whole, one_frame, without_time, parts, isolated_attention, isolated_upsampling, ladder, loops]
INPUTS = ("in.", "ddim.z0", "ddim.step_eps", "ddim.uncond", "iso.sc_attn.in", "iso.upsample.in")


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.__name__)
def test_stage(golden, stage):
    golden.compare(FILE, golden.run(stage), loop=stage is loops)


def test_every_recorded_tensor_is_compared(golden):
    io = golden.tensors(FILE)
    taps = {n for n in io if n.startswith("tap.") and n.endswith(".in")}
    recorded = {n for n in io if not n.startswith(INPUTS)} - taps
    compared = {name for stage in STAGES for name in golden.run(stage)}
    assert not recorded - compared


def test_the_whole_inversion_stays_near_the_recorded_one(golden):
    """Errors of single steps add up along the loop; the bound is relative for that reason."""
    io = golden.tensors(FILE)
    video, text = video_unet(golden), io["in.encoder_hidden_states"][:1]
    path = ddim_invert(
        lambda x, t: video(x, t, text), scheduler(golden), io["ddim.z0"], len(io["ddim.timesteps"]), all=True
    )
    recorded = io["ddim.inverted_all"][:, None]
    assert (path - recorded).abs().max() <= 1e-4 * recorded.abs().max()


def test_one_frame_without_time_is_the_image_net(golden):
    """With one frame and silent temporal layers the inflated net is the stock 2-D UNet with the same weights."""
    io = golden.tensors(FILE)
    video = video_unet(golden)
    plain = UNet2DConditionModel(**golden.config("tav_config.json")["unet"]).eval()
    weights = copy.deepcopy(video.unet.state_dict())
    plain.load_state_dict({k: v for k, v in weights.items() if k in plain.state_dict()}, strict=True)
    first, text = io["in.sample"][:, :, 0], io["in.encoder_hidden_states"]
    expected = plain(first, io["in.timesteps"], encoder_hidden_states=text).sample
    recorded = io["out.temporal_weight_and_bias_zero_frame0_only"][:, :, 0]
    assert (expected - recorded).abs().max() < golden.tolerance("out.temporal_weight_and_bias_zero_frame0_only")
