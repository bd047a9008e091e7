"""The Animate-X network, its parts and its sampling against recorded outputs of the authors' published code."""

import functools
from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler

from motionkit.backbones.noise_levels import V, level_at, target_of, to_eps_x0
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance
from motionkit.diffusion.loop import denoise
from motionkit.methods.animatex.net import AnimateXConfig, AnimateXNetwork, Conditions, IndicatorConfig, join
from motionkit.methods.animatex.net.backbone import SCHEDULE
from motionkit.methods.animatex.net.convert import rename

METHOD = "animatex"
INPUTS, OUTPUTS = "inputs.safetensors", "outputs.safetensors"
TIGHT_V = 2e-5  # the recording's own rounding is 3e-6


def config_of(recorded):
    """Our configuration for the authors' constructor arguments."""
    c = recorded["constructor"]
    encoder, resampler = c["dw_kw"], c["rs_kw"]
    return AnimateXConfig(
        channels=tuple(c["dim"] * m for m in c["dim_mult"]),
        attention=tuple(0.5**level in c["attn_scales"] for level in range(len(c["dim_mult"]))),
        layers=c["num_res_blocks"],
        head_dim=c["head_dim"],
        first_heads=c["num_heads"],
        context_dim=c["context_dim"],
        feature_dim=resampler["embedding_dim"],
        motion_scale=c["our_weight"],
        branch_depth=c["adapter_transformer_layers"],
        indicator=IndicatorConfig(
            width=resampler["dim"],
            encoder_layers=encoder["num_encoder_layers"],
            encoder_heads=encoder["nhead"],
            feedforward=encoder["dim_feedforward"],
            depth=resampler["depth"],
            heads=resampler["heads"],
            head_dim=resampler["dim_head"],
            expansion=resampler["ff_mult"],
        ),
    )


class Case:
    """The recorded network, loaded strictly by the authors' names, and its conditions."""

    def __init__(self, golden):
        self.io, self.recorded = golden.tensors(INPUTS), golden.config("config.json")
        self.config = config_of(self.recorded)
        self.network = AnimateXNetwork(self.config).eval().requires_grad_(False)
        weights = {name: value.float() for name, value in golden.tensors("weights.safetensors").items()}
        self.network.load_state_dict(rename(self.config, weights), strict=True)
        self.all = Conditions(
            self.io["zero_y"],
            self.recorded["frames"],
            self.io["ref_pixels"],
            self.io["ref_latent"],
            self.io["pose_images"],
            self.io["keypoints"],
            self.io["clip_ref"],
            self.io["clip_frames"].transpose(0, 1),
        )
        self.scheduler = DDIMScheduler(**SCHEDULE)
        self.conditions = {
            "cond_released": self.all.with_reference("local"),
            "cond_paper_ref": self.all.with_reference("latent"),
            "cond_all": self.all.with_reference("both"),
            "uncond": self.all.empty(),
            "cond_no_pose_images": replace(self.all.with_reference("local"), pose_images=None),
        }

    def v(self, name):
        prepared = self.network.prepare(self.conditions[name])
        return self.network(self.io["noisy_latent"], self.io["t"], prepared)


@functools.cache
def case_of(golden):
    return Case(golden)


def predictions(golden):
    case = case_of(golden)
    for name in case.conditions:
        yield f"v.{name}", case.v(name)


def places(network):
    """Recorded name -> (module, its input or its output, axes: frames in the batch or as an axis of their own)."""
    unet = network.unet
    first, down = unet.down_blocks[0], unet.down_blocks[0].downsamplers[0]
    found = {
        "in0.conv.in": (unet.conv_in, "in", 4),
        "in0.conv": (unet.conv_in, "out", 4),
        "in0.temporal": (unet.transformer_in, "out", 5),
        "in1.res": (first.temp_convs[0], "out", 4),
        "in1.res.temporal_conv": (first.temp_convs[0], "out", 5),
        "in1.res.temporal_conv.in": (first.temp_convs[0], "in", 5),
        "time_embed": (unet.time_embedding, "out", 2),
        "in1.spatial.motion.in": (first.attentions[0].motion.norm, "in", 4),
        "in1.spatial.motion": (first.attentions[0], "out", 4),
        "in1.spatial": (first.attentions[0], "out", 4),
        "in1.temporal": (first.temp_attentions[0], "out", 5),
        "in2.down": (down, "out", 4),
        "mid.res0": (unet.mid_block.temp_convs[0], "out", 4),
        "mid.spatial": (unet.mid_block.attentions[0], "out", 4),
        "mid.temporal": (unet.mid_block.temp_attentions[0], "out", 5),
        "mid.res1": (unet.mid_block.temp_convs[1], "out", 4),
        "image_tokens": (network.image_tokens, "out", 3),
        "ipi.pose_encoder": (network.indicator.keypoints, "out", 4),
        "ipi.output": (network.indicator, "out", 3),
    }
    number = 0
    for block in unet.up_blocks:
        for layer, convolution in enumerate(block.temp_convs):
            last, axes = convolution, 4
            if hasattr(block, "temp_attentions"):
                last, axes = block.temp_attentions[layer], 5
            if layer == len(block.temp_convs) - 1 and block.upsamplers:
                last, axes = block.upsamplers[0], 4
            found[f"out{number}"] = (last, "out", axes)
            number += 1
    for name, branch in (
        ("local_image", network.local),
        ("dwpose", network.pose),
        ("randomref", network.slot_latent),
        ("randomref_pose", network.slot_pose),
    ):
        found |= {f"branch.{name}.conv": (branch.conv, "out", 4), f"branch.{name}.after": (branch.mix[-1], "out", 3)}
    return found


def taps(golden, run, case, prefix):
    """The recorded intermediates of one run, in the shapes of the recording."""
    recorded, seen, hooks = golden.tensors(OUTPUTS), {}, []
    slots = case.all.frames + 1

    def watch(name, axes, x):
        x = x[0] if isinstance(x, tuple) else x
        if axes == 5 and x.ndim == 4:
            x = x.unflatten(0, (-1, slots)).transpose(1, 2)  # (B, C, T, h, w)
        if name == "ipi.pose_encoder":
            x = x.flatten(0, 1)
        wanted = recorded[f"{prefix}.{name}"].shape
        seen[f"{prefix}.{name}"] = x.expand(wanted).clone()  # the reference's branch is computed on one frame

    for name, (module, side, axes) in places(case.network).items():
        if f"{prefix}.{name}" not in recorded:
            continue
        if side == "in":
            hooks.append(
                module.register_forward_pre_hook(lambda _, given, name=name, axes=axes: watch(name, axes, given[0]))
            )
        else:
            hooks.append(
                module.register_forward_hook(lambda _, given, out, name=name, axes=axes: watch(name, axes, out))
            )
    case.v(run)
    for hook in hooks:
        hook.remove()
    return seen


def inside(golden):
    case = case_of(golden)
    for prefix, run in (("rel", "cond_released"), ("ref", "cond_paper_ref"), ("un", "uncond")):
        yield from taps(golden, run, case, prefix).items()


def second_sample(golden):
    """The second sample's indicator: in a batch with the first one."""
    case = case_of(golden)
    keypoints = torch.cat([case.io["keypoints"], case.io["keypoints_2"]])
    features = torch.cat([case.io["clip_frames"], case.io["clip_frames_2"]], dim=1).transpose(0, 1)
    queries = case.network.indicator.keypoints(keypoints)
    yield "ipi.second.pose_encoder", queries[1]
    yield "rel.ipi.pose_encoder", queries[0]
    first, second = case.network.indicator(keypoints, features).chunk(2)
    yield "ipi.second.output", second
    yield "rel.ipi.output", first


def sampling(golden):
    """Guided DDIM, each step from the recorded latent before it, and whole."""
    case, recorded = case_of(golden), golden.tensors(OUTPUTS)
    steps, scale = case.recorded["ddim_timesteps"], case.recorded["guide_scale"]
    sampler, guidance = DDIM(case.scheduler), Guidance(scale, batched=True)
    grid = sampler.grid(steps)
    yield "ddim4.timesteps", torch.tensor([step.t for step in grid])
    uncond = case.network.prepare(case.conditions["uncond"])
    for name in ("released", "paper_ref"):
        both = join([uncond, case.network.prepare(case.conditions[f"cond_{name}"])])

        def model(x, step, half, both=both):
            return case.network(x, step.t, both)

        x = case.io["noise_init"]
        for i, step in enumerate(grid):
            v = guidance(model, x, step)
            yield f"ddim4.{name}.step{i}.x0", to_eps_x0(V, v, x, step.level)[1]
            yield f"ddim4.{name}.step{i}.x_next", sampler.step(v, step, x)
            x = recorded[f"ddim4.{name}.step{i}.x_next"]
        yield f"ddim4.{name}.final", denoise(model, sampler, case.io["noise_init"], grid, guidance)


def forward_process(golden):
    case, recorded = case_of(golden), golden.tensors(OUTPUTS)
    x0, noise, t = recorded["qsample.x0"], case.io["noise_init"], recorded["qsample.t"]
    level = level_at(case.scheduler, t, x0)
    yield "qsample.xt", level.mix(x0, noise)
    yield "qsample.v_target", target_of(V, x0, noise, level)


STAGES = [predictions, inside, second_sample, sampling, forward_process]


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.__name__)
def test_stage(golden, stage):
    golden.compare(OUTPUTS, golden.run(stage))


def test_predictions_agree_to_the_recordings_own_rounding(golden):
    recorded = golden.tensors(OUTPUTS)
    for name, v in golden.run(predictions).items():
        assert (v - recorded[name]).abs().max() < TIGHT_V, name


def test_every_recorded_tensor_is_compared(golden):
    given = ("qsample.t", "qsample.x0", "ipi.batch2_reference_defect.pose_encoder")
    compared = {name for stage in STAGES for name in golden.run(stage)}
    assert set(golden.tensors(OUTPUTS)) - compared == set(given)


def test_a_batch_of_two_is_not_mixed_up_as_the_authors_is(golden):
    """Their encoder interleaves frames and samples; ours gives each sample what it gives it alone."""
    results, recorded = golden.run(second_sample), golden.tensors(OUTPUTS)
    ours = torch.cat([results["rel.ipi.pose_encoder"], results["ipi.second.pose_encoder"]])
    assert (ours - recorded["ipi.batch2_reference_defect.pose_encoder"]).abs().max() > 0.01


def test_a_batch_of_two_clips_is_each_clip_alone(golden):
    case = case_of(golden)
    first = case.conditions["cond_all"]
    second = replace(
        first,
        keypoints=case.io["keypoints_2"],
        clip_frames=case.io["clip_frames_2"].transpose(0, 1),
        clip_ref=case.io["clip_frames_2"][:1],
        pose_images=first.pose_images.flip(2),
        reference=first.reference.flip(3),
        reference_latent=first.reference_latent.flip(3),
    )
    names = ("text", "reference", "reference_latent", "pose_images", "keypoints", "clip_ref", "clip_frames")
    both = Conditions(frames=first.frames, **{n: torch.cat([getattr(first, n), getattr(second, n)]) for n in names})
    noisy = torch.cat([case.io["noisy_latent"], case.io["noise_init"]])
    with torch.no_grad():
        together = case.network(noisy, torch.tensor([501, 77]), case.network.prepare(both))
        alone = [
            case.network(x, t, case.network.prepare(c))
            for x, t, c in zip(noisy.split(1), (501, 77), (first, second), strict=True)
        ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    assert (alone[0] - alone[1]).abs().max() > 0.1
