"""DDIM in both directions: against diffusers, and there and back on a model."""

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, FlowMatchEulerDiscreteScheduler

from motionkit.backbones import load
from motionkit.backbones.noise_levels import level_at, target_of, to_eps_x0
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance, guide, text_model
from motionkit.diffusion.inversion import invert
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.sampling import ddim_invert, ddim_sample
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan

SD = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
ZERO_SNR = SD | {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "steps_offset": 0}


def scheduler(prediction_type="epsilon", **changes):
    return DDIMScheduler(**SD | changes, prediction_type=prediction_type)


def model(x, t):  # stands for a network: smooth in x and t
    return 0.7 * torch.sin(x * 1.3 + t / 400) + 0.1 * x.roll(1, -1)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


SETTINGS = [
    scheduler(),
    scheduler("v_prediction"),
    scheduler(set_alpha_to_one=True),
    scheduler("v_prediction", timestep_spacing="trailing", steps_offset=0),
    DDIMScheduler(**ZERO_SNR, prediction_type="v_prediction"),
]
IDS = ["sd", "v", "alpha-to-one", "trailing", "zero-snr"]


@pytest.mark.parametrize("steps", [1, 4, 10, 50])
@pytest.mark.parametrize("ours", SETTINGS, ids=IDS)
def test_sampling_is_diffusers_ddim(ours, steps):
    x = expected = noise(2, 4, 8, 8)
    theirs = DDIMScheduler.from_config(ours.config)
    theirs.set_timesteps(steps)
    for t in theirs.timesteps:
        expected = theirs.step(model(expected, int(t)), int(t), expected).prev_sample
    assert [step.t for step in DDIM(ours).grid(steps)] == theirs.timesteps.tolist()
    torch.testing.assert_close(ddim_sample(model, ours, x, steps), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 4, 10, 50])
@pytest.mark.parametrize("ours", SETTINGS, ids=IDS)
def test_inversion_is_diffusers_inverse_ddim(ours, steps):
    x = expected = noise(2, 4, 8, 8) / 2
    theirs = DDIMInverseScheduler.from_config(ours.config)
    theirs.set_timesteps(steps)
    path = [expected]
    for t in theirs.timesteps:
        expected = theirs.step(model(expected, int(t)), int(t), expected).prev_sample
        path.append(expected)
    found = ddim_invert(model, ours, x, steps, all=True)
    torch.testing.assert_close(found, torch.stack(path), rtol=1e-4, atol=1e-4)
    assert torch.equal(found[-1], ddim_invert(model, ours, x, steps))


@pytest.mark.parametrize("ours", SETTINGS[:4], ids=IDS[:4])
def test_a_step_up_and_down_with_one_prediction_is_exact(ours):
    x, prediction = noise(1, 4, 8, 8), noise(1, 4, 8, 8, seed=1)
    sampler = DDIM(ours)
    for step in sampler.grid(10):
        eps, x0 = to_eps_x0(sampler.kind, prediction, x, step.level)
        torch.testing.assert_close(step.level.mix(x0, eps), x, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(sampler.step(prediction, step, x), step.below.mix(x0, eps))
        back = sampler.back(prediction, step, x)
        torch.testing.assert_close(back, step.level.mix(*reversed(to_eps_x0(sampler.kind, prediction, x, step.below))))


def test_the_loops_reach_the_recorded_levels():
    ours = scheduler()
    grid = DDIM(ours).grid(8)
    assert [step.t for step in grid] == [876, 751, 626, 501, 376, 251, 126, 1]
    assert grid[-1].below.signal == ours.alphas_cumprod[0].sqrt() and [step.index for step in grid] == [*range(8)]
    assert float(ours.alphas_cumprod[981]) ** 0.5 == pytest.approx(0.076, abs=1e-3)


@pytest.fixture(scope="module")
def tiny():
    return load("tiny-sd", Plan())


def there_and_back(backbone, steps, clip):
    model, sampler = text_model(backbone.denoise, backbone.encode_text(["a green turtle"])), DDIM(backbone.scheduler)
    noised = invert(model, sampler, clip, steps)
    back = denoise(model, sampler, noised, sampler.grid(steps))
    return float((back - clip).pow(2).mean().sqrt() / clip.std()), noised


def test_inversion_then_sampling_returns_the_latent(tiny):
    """Relative error of tiny-sd on a 4-frame clip; it falls with the number of steps (a first-order method)."""
    clip = noise(1, 4, 4, 16, 16)
    errors = {steps: there_and_back(tiny, steps, clip)[0] for steps in (10, 20, 50, 100)}
    print({steps: round(error, 4) for steps, error in errors.items()})
    assert errors[10] > errors[20] > errors[50] > errors[100]
    assert errors[10] < 0.12 and errors[50] < 0.05 and errors[100] < 0.03


def test_partial_way_up_and_down(tiny):
    clip = noise(1, 4, 2, 16, 16)
    model, sampler = text_model(tiny.denoise, tiny.encode_text(["a cat"])), DDIM(tiny.scheduler)
    grid = sampler.grid(20, start_t=600)
    assert grid[0].t == 551 and len(grid) == 12
    noised = invert(model, sampler, clip, 20, stop_t=600)
    back = denoise(model, sampler, noised, grid)
    assert float((back - clip).pow(2).mean().sqrt()) < 0.08
    path = invert(model, sampler, clip, 20, all=True)
    assert torch.equal(path[len(grid)], noised)


def test_progress_and_its_cancellation():
    seen = []
    ddim_sample(model, scheduler(), noise(1, 4, 4, 4), 5, progress=lambda i, n: seen.append((i, n)))
    ddim_invert(model, scheduler(), noise(1, 4, 4, 4), 3, progress=lambda i, n: seen.append((i, n)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (1, 3), (2, 3), (3, 3)]

    def stop(i, n):
        if i == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ddim_sample(model, scheduler(), noise(1, 4, 4, 4), 5, progress=stop)


@pytest.mark.parametrize("loop", [ddim_sample, ddim_invert])
def test_nan_is_stopped_at_its_step(loop):
    calls = []

    def breaks(x, t):
        calls.append(t)
        return model(x, t) if len(calls) < 3 else torch.full_like(x, float("nan"))

    with pytest.raises(UserError, match=r"step 3 of 10 \(t=\d+\)"):
        loop(breaks, scheduler(), noise(1, 4, 4, 4), 10)
    assert len(calls) == 3


def test_bad_step_counts_and_starts():
    with pytest.raises(UserError, match="between 1 and 1000"):
        DDIM(scheduler()).grid(0)
    with pytest.raises(UserError, match="between 1 and 1000"):
        DDIM(scheduler()).grid(1001)
    with pytest.raises(UserError, match="no step is left"):
        DDIM(scheduler(timestep_spacing="trailing")).grid(4, start_t=100)
    with pytest.raises(ValueError, match="clip_sample"):
        DDIM(DDIMScheduler(clip_sample=True))


def test_half_precision_latents_are_walked_in_float32():
    x = noise(1, 4, 4, 4)
    assert ddim_sample(model, scheduler(), x.half(), 4).dtype == torch.float32


def test_guidance():
    u, c = noise(2, 4, 3, 8, 8), noise(2, 4, 3, 8, 8, seed=1)
    assert torch.equal(guide(u, c, 0.0), u)
    torch.testing.assert_close(guide(u, c, 1.0), c)
    torch.testing.assert_close(guide(u, c, 7.5), u + 7.5 * (c - u))
    strong = guide(u, c, 7.5, rescale=1.0)
    torch.testing.assert_close(strong.std((1, 2, 3, 4)), c.std((1, 2, 3, 4)))
    torch.testing.assert_close(strong / strong.std(), guide(u, c, 7.5) / guide(u, c, 7.5).std(), rtol=0.02, atol=0.02)
    half = guide(u, c, 7.5, rescale=0.5).std()
    assert c.std() < half < guide(u, c, 7.5).std()
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    torch.testing.assert_close(guide(u, c, 7.5, 0.7), rescale_noise_cfg(guide(u, c, 7.5), c, 0.7))


@pytest.mark.parametrize("batched", [False, True])
def test_guided_text_prediction_is_two_predictions_mixed(tiny, batched):
    text, negative = tiny.encode_text(["a red bird"]), tiny.encode_text([""])
    x, step = noise(2, 4, 2, 16, 16), DDIM(tiny.scheduler).grid(5)[2]
    model = text_model(tiny.denoise, text, negative)
    expected = guide(*(tiny.denoise(x, step.t, states.expand(2, -1, -1)) for states in (negative, text)), 5.0, 0.5)
    mixed = Guidance(5.0, 0.5, batched)(model, x, step)
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-4)
    alone = text_model(tiny.denoise, text)
    assert torch.equal(Guidance(1.0)(alone, x, step), tiny.denoise(x, step.t, text.expand(2, -1, -1)))
    with pytest.raises(ValueError, match="negative"):
        Guidance(2.0, batched=batched)(alone, x, step)


def test_both_passes_go_together_on_a_gpu_or_where_that_is_asked_for():
    wanted = {("cpu", "auto"): False, ("cuda:0", "auto"): True, ("cpu", "on"): True, ("cuda:0", "off"): False}
    assert {key: Guidance.on(key[0], 2.0, batched=key[1]).batched for key in wanted} == wanted


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow_prediction"])
def test_targets_and_predictions_are_inverse(kind):
    flow = kind == "flow_prediction"
    ours = FlowMatchEulerDiscreteScheduler() if flow else scheduler(kind)
    x0, eps = noise(3, 4, 2, 4, 4), noise(3, 4, 2, 4, 4, seed=1)
    t = torch.tensor([1, 500, 981])
    level = level_at(ours, t, x0)
    x, target = level.mix(x0, eps), target_of(kind, x0, eps, level)
    if flow:
        assert torch.equal(target, eps - x0)
    else:
        assert torch.equal(x, ours.add_noise(x0, eps, t))
        assert torch.equal(target, eps if kind == "epsilon" else ours.get_velocity(x0, eps, t))
    found_eps, found_x0 = to_eps_x0(kind, target, x, level)
    torch.testing.assert_close(found_eps, eps, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found_x0, x0, rtol=1e-3, atol=1e-3)
