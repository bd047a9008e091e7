"""DDIM in both directions: against diffusers, and there and back on a model."""

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler

from motionkit.backbones import load
from motionkit.diffusion.inversion import ddim_invert
from motionkit.diffusion.sampling import ddim_sample, guide, guided, text_predictor
from motionkit.diffusion.schedule import alpha_at, move, rungs, to_eps_x0
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
    assert [rung.t for rung in rungs(ours, steps)] == theirs.timesteps.tolist()
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
    for rung in rungs(ours, 10):
        eps, x0 = to_eps_x0(ours.config.prediction_type, prediction, x, rung.alpha)
        again = rung.alpha.sqrt() * x0 + (1 - rung.alpha).sqrt() * eps
        torch.testing.assert_close(again, x, rtol=1e-4, atol=1e-4)
        below = move(ours, prediction, x, rung.alpha, rung.alpha_below)
        torch.testing.assert_close(below, rung.alpha_below.sqrt() * x0 + (1 - rung.alpha_below).sqrt() * eps)


def test_the_loops_reach_the_recorded_levels():
    ours = scheduler()
    assert [r.t for r in rungs(ours, 8)] == [876, 751, 626, 501, 376, 251, 126, 1]
    assert rungs(ours, 8)[-1].alpha_below == ours.alphas_cumprod[0]
    assert float(ours.alphas_cumprod[981]) ** 0.5 == pytest.approx(0.076, abs=1e-3)


@pytest.fixture(scope="module")
def tiny():
    return load("tiny-sd", Plan())


def there_and_back(backbone, steps, clip):
    predict = text_predictor(backbone, backbone.encode_text(["a green turtle"]))
    noised = ddim_invert(predict, backbone.scheduler, clip, steps)
    back = ddim_sample(predict, backbone.scheduler, noised, steps)
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
    predict = text_predictor(tiny, tiny.encode_text(["a cat"]))
    grid = rungs(tiny.scheduler, 20, start_t=600)
    assert grid[0].t == 551 and len(grid) == 12
    noised = ddim_invert(predict, tiny.scheduler, clip, 20, stop_t=600)
    back = ddim_sample(predict, tiny.scheduler, noised, 20, start_t=600)
    assert float((back - clip).pow(2).mean().sqrt()) < 0.08
    path = ddim_invert(predict, tiny.scheduler, clip, 20, all=True)
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

    with pytest.raises(UserError, match=r"broke at step 3 of 10 \(t=\d+\)"):
        loop(breaks, scheduler(), noise(1, 4, 4, 4), 10)
    assert len(calls) == 3


def test_bad_step_counts_and_starts():
    with pytest.raises(UserError, match="between 1 and 1000"):
        rungs(scheduler(), 0)
    with pytest.raises(UserError, match="between 1 and 1000"):
        rungs(scheduler(), 1001)
    with pytest.raises(UserError, match="nothing to do"):
        rungs(scheduler(timestep_spacing="trailing"), 4, start_t=100)
    with pytest.raises(ValueError, match="clip_sample"):
        rungs(DDIMScheduler(clip_sample=True), 10)


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
    assert torch.equal(guided(lambda x, t: (u, c), 7.5, 0.7)(u, 1), guide(u, c, 7.5, 0.7))


def test_guided_text_prediction_is_two_predictions_mixed(tiny):
    text, negative = tiny.encode_text(["a red bird"]), tiny.encode_text([""])
    x = noise(1, 4, 2, 16, 16)
    mixed = text_predictor(tiny, text, negative, scale=5.0)(x, 400)
    torch.testing.assert_close(
        mixed, guide(tiny.denoise(x, 400, negative), tiny.denoise(x, 400, text), 5.0), rtol=1e-4, atol=1e-4
    )
    assert torch.equal(text_predictor(tiny, text)(x, 400), tiny.denoise(x, 400, text))
    with pytest.raises(ValueError, match="negative"):
        text_predictor(tiny, text, scale=2.0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_targets_and_predictions_are_inverse(tiny, kind):
    ours = scheduler(kind)
    x0, eps = noise(3, 4, 2, 4, 4), noise(3, 4, 2, 4, 4, seed=1)
    t = torch.tensor([1, 500, 981])
    x = ours.add_noise(x0, eps, t)
    target = eps if kind == "epsilon" else ours.get_velocity(x0, eps, t)
    found_eps, found_x0 = to_eps_x0(kind, target, x, alpha_at(ours, t, x))
    torch.testing.assert_close(found_eps, eps, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found_x0, x0, rtol=1e-3, atol=1e-3)
