"""FlipSketch's stages against recorded outputs of the authors' published code."""

import functools

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel

from motionkit.backbones import catalog
from motionkit.backbones.modelscope import ModelScopeBackbone
from motionkit.diffusion import inversion as toolkit
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance, guide, text_model
from motionkit.methods.flipsketch.align import align
from motionkit.methods.flipsketch.compose import Composer
from motionkit.methods.flipsketch.config import InvertConfig
from motionkit.methods.flipsketch.invert import invert, sketch_latents
from motionkit.methods.flipsketch.loop import DenoiseSettings, denoise, start
from motionkit.methods.flipsketch.reference import Schedule, recorder, walk
from motionkit.settings.gpu import Plan

METHOD = "flipsketch"
FILE, POST = "tensors.safetensors", "postprocess.safetensors"
SPATIAL = "mid_block.attentions.0.transformer_blocks.0.attn1"
TEMPORAL = "mid_block.temp_attentions.0.transformer_blocks.0.attn1"


class Case:
    """The recorded models behind the backbone interface, and the recorded run's settings."""

    def __init__(self, golden):
        self.io, run = golden.tensors(FILE), golden.config("run_config.json")
        unet = UNet3DConditionModel(**golden.config("unet_config.json"))
        unet.load_state_dict(golden.tensors("unet.safetensors"))
        vae = AutoencoderKL(**golden.config("vae_config.json"))
        vae.load_state_dict(golden.tensors("vae.safetensors"))
        known = {k: v for k, v in golden.config("scheduler_config.json").items() if k != "skip_prk_steps"}
        self.backbone = ModelScopeBackbone(
            catalog.get("modelscope"),
            Plan(),
            vae=vae,
            unet=unet,
            text_encoder=torch.nn.Identity(),
            tokenizer=None,
            scheduler=DDIMScheduler(**known),
            fingerprint="",
        )
        self.sampler, self.run, self.lambda_ = DDIM(self.backbone.scheduler), run, run["lambda_"]
        self.composer = Composer(self.backbone.denoise, unet, lambda_=self.lambda_)
        self.grid = self.sampler.grid(run["num_inference_steps"])
        self.schedule = Schedule(run["num_inference_steps"], run["num_frames"], run["tau1"], run["tau2"] + 1)
        self.text = {name: self.io[f"{name}_embeds"] for name in ("prompt", "null", "negative")}


@functools.cache
def case_of(golden):
    return Case(golden)


def first_latents(golden):
    """What the autoencoder is fed, and its posterior."""
    case = case_of(golden)
    vae, seen = case.backbone.vae, []
    hook = vae.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    config = InvertConfig(copies=5, input_range="unit", sample="posterior")
    clip = sketch_latents(case.backbone, case.io["sketch_rgb"].numpy(), config)
    hook.remove()
    yield "vae_input", torch.cat(seen)
    posterior = vae.encode(case.io["vae_input"]).latent_dist
    yield "vae_posterior_mean", posterior.mean
    yield "vae_posterior_logvar", posterior.logvar
    assert clip.shape == case.io["sketch_latents"].shape
    spread = posterior.std * vae.config.scaling_factor
    away = (clip[0].transpose(0, 1) - posterior.mean * vae.config.scaling_factor) / spread
    recorded = (case.io["sketch_latents"][0].transpose(0, 1) - posterior.mean * vae.config.scaling_factor) / spread
    for sample in (away, recorded):  # both are draws of that posterior: standard normal, and not twice the same
        assert abs(sample.mean()) < 0.15 and abs(sample.std() - 1) < 0.15
    assert (away[0] - away[1]).abs().max() > 0.1


def timesteps(golden):
    yield "timesteps", torch.tensor([step.t for step in case_of(golden).grid])


def inversion(golden):
    case = case_of(golden)
    clip, null = case.io["sketch_latents"], case.text["null"]
    steps = case.run["num_inference_steps"]
    model = text_model(case.backbone.denoise, null)
    yield "inversion_trajectory", toolkit.invert(model, case.sampler, clip, steps, all=True)
    yield "inverted_noise", invert(model, case.sampler, clip, steps)[0]


def alignment(golden):
    case = case_of(golden)
    latents = start(case.io["init_noise"], case.io["inverted_noise"])
    for i in range(case.run["tau1"]):
        t, name = case.grid[i].t, f"step{i:02d}"
        first = case.io[f"{name}.inv_in"][0, :, 0]
        seen = []
        with case.composer.installed():
            target = case.composer.plain(first[None, :, None], t, case.text["null"])[0, :, 0]

            def predict(x, t=t):
                return case.composer.plain(x, t, case.text["prompt"])

            out = align(
                predict,
                latents,
                first,
                target,
                updates=case.run["align_iters"] - 1,
                lr=case.run["align_lr"],
                watch=lambda loss, gradient: seen.append((loss, gradient.clone())),  # noqa: B023
            )
            last = (predict(out)[:, :, 0] - target).square().mean()
        yield f"{name}.align_target", target[None]
        yield f"{name}.align_losses", torch.stack([*(loss for loss, _ in seen), last])
        yield f"{name}.align_grad0", seen[0][1]
        yield f"{name}.align_latents_out", out
        yield f"{name}.latents_in", out
        latents = case.io[f"{name}.latents_out"]


def steps(golden):
    """Each pass and each DDIM step, from its recorded inputs."""
    case = case_of(golden)
    guidance = case.run["guidance_scale"]
    for i, step in enumerate(case.grid):
        name = f"step{i:02d}"
        x, ref = case.io[f"{name}.latents_in"], case.io[f"{name}.inv_in"]
        assert ref.shape[2] == case.schedule.first(i)
        with case.composer.installed():
            uncond = case.composer.plain(x, step.t, case.text["negative"])
            ref_uncond = case.composer.plain(ref, step.t, case.text["negative"])
            if i < case.schedule.composed:
                ref_cond, recording = case.composer.record(ref, step.t, case.text["null"])
                cond = case.composer.composed(x, step.t, case.text["prompt"], recording)
                both = torch.cat([x, x]), torch.cat([case.text["negative"], case.text["prompt"]])
                batched = case.composer.composed(both[0], step.t, both[1], recording, first=1)
                torch.testing.assert_close(batched, torch.cat([uncond, cond]), atol=1e-5, rtol=0)
                yield f"{name}.eps_ref_cond", ref_cond
                guided = guide(ref_uncond, ref_cond, guidance)
                yield f"{name}.inv_out", case.sampler.step(guided, step, ref)
            else:
                cond = case.composer.plain(x, step.t, case.text["prompt"])
                yield f"{name}.inv_out", ref
        yield f"{name}.eps_uncond", uncond
        yield f"{name}.eps_ref_uncond", ref_uncond
        yield f"{name}.eps_cond", cond
        guided = guide(uncond, cond, guidance)
        yield f"{name}.latents_out", case.sampler.step(guided, step, x)


def attention(golden):
    """One spatial and one temporal layer: what goes in, and what comes out when composed."""
    case = case_of(golden)
    sites = {"attn_spatial": SPATIAL, "attn_temporal": TEMPORAL}
    seen = {}
    hooks = [
        case.backbone.unet.get_submodule(name).register_forward_hook(
            lambda _, given, out, kind=kind: seen.setdefault(kind, []).append((given[0].clone(), out.clone()))
        )
        for kind, name in sites.items()
    ]
    x, ref, t = case.io["step00.latents_in"], case.io["step00.inv_in"], case.grid[0].t
    with case.composer.installed():
        _, recording = case.composer.record(ref, t, case.text["null"])
        case.composer.composed(x, t, case.text["prompt"], recording)
    for hook in hooks:
        hook.remove()
    for kind, ((ref_in, _), (gen_in, gen_out)) in seen.items():
        yield f"{kind}.ref_in", ref_in
        yield f"{kind}.gen_in", gen_in
        yield f"{kind}.gen_out_composed", gen_out


def whole(golden):
    """From the sketch's latents to frames, with nothing recorded in between."""
    case = case_of(golden)
    null = case.text["null"]
    with case.composer.installed():
        model = text_model(case.composer.plain, null)
        noise = invert(model, case.sampler, case.io["sketch_latents"], case.schedule.steps)[0]
        reference = walk(case.composer, case.sampler, noise, case.schedule, null)
        recordings = recorder(case.composer, case.sampler, reference, case.schedule, null)
        options = DenoiseSettings(
            Guidance(case.run["guidance_scale"]), updates=case.run["align_iters"] - 1, lr=case.run["align_lr"]
        )
        latents = denoise(
            case.composer,
            case.sampler,
            start(case.io["init_noise"], noise),
            reference,
            recordings,
            case.schedule,
            case.text["prompt"],
            case.text["negative"],
            options,
        )
    yield "final_latents", latents
    frames = case.io["final_latents"][0].transpose(0, 1) / case.backbone.vae.config.scaling_factor
    yield "decoded_video", case.backbone.vae.decode(frames).sample.transpose(0, 1)[None]


STAGES = [first_latents, timesteps, inversion, alignment, steps, attention, whole]
INPUTS = ("sketch_rgb", "sketch_latents", "init_noise", "prompt_embeds", "null_embeds", "negative_embeds")


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.__name__)
def test_stage(golden, stage):
    golden.compare(FILE, golden.run(stage))


def test_every_recorded_tensor_is_compared(golden):
    states = (".inv_in", ".latents_in")  # of the step before; after an alignment they are compared there
    recorded = {name for name in golden.tensors(FILE) if name not in INPUTS and not name.endswith(states)}
    compared = {name for stage in STAGES for name in golden.run(stage)}
    assert not recorded - compared


def test_the_wrong_readings_would_be_seen(golden):
    """At step 0 each wrong reading of the composition is far outside the tolerance."""
    case, io = case_of(golden), golden.tensors(FILE)
    x, ref, t, recorded = io["step00.latents_in"], io["step00.inv_in"], case.grid[0].t, io["step00.eps_cond"]
    wrong = {
        "no lambda": ({"lambda_": 0.0}, 5),
        "constant factor": ({"ramp": "constant"}, 5),
        "attn2 too": ({"layers": "all"}, 5),
        "not spatial": ({"spatial": False}, 5),
        "not temporal": ({"temporal": False}, 5),
        "one-frame reference": ({}, 1),
    }
    for name, (options, frames) in wrong.items():
        composer = Composer(case.backbone.denoise, case.backbone.unet, **{"lambda_": case.lambda_} | options)
        with torch.no_grad(), composer.installed():
            recording = composer.record(ref[:, :, :frames], t, case.text["null"])[1]
            out = composer.composed(x, t, case.text["prompt"], recording)
        assert (out - recorded).abs().max() > 5e-3, name


def test_the_finished_frames(golden):
    from motionkit.perception.sketch import binarise_parity

    io = golden.tensors(POST)
    ours = binarise_parity(io["frames_rgba"].numpy())
    packed = np.packbits(ours[..., 0] == 255, axis=-1)
    assert np.array_equal(packed, io["binary_packed"].numpy())
    for frame, white, threshold in zip(io["frames_rgba"].numpy(), ours, io["otsu_threshold"].tolist(), strict=True):
        grey = 255 - cv2.cvtColor(255 - cv2.resize(frame, (1024, 1024))[..., :3], cv2.COLOR_RGB2GRAY)
        assert np.array_equal(white[..., 0] == 255, grey > threshold)
