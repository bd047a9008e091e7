"""Samplers as parts: flow-euler against diffusers and a closed form, the loop's hooks, and which sampler a run gets."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from motionkit import registry
from motionkit.backbones import catalog, load
from motionkit.backbones.noise_levels import level_at, prediction_of
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.flow_euler import FlowEuler
from motionkit.diffusion.guidance import Guidance, bare
from motionkit.diffusion.inversion import invert
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.samplers import choose_sampler, make_sampler
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
FLOW = replace(catalog.get("tiny-sd"), name="flow", predictions=("flow_prediction",), sampler="flow-euler")


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# flow-euler


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 5, 28])
def test_flow_euler_is_diffusers(steps, shift):
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    sampler, x = FlowEuler(FlowMatchEulerDiscreteScheduler(shift=shift)), noise(2, 16, 3, 4, 4)
    theirs.set_timesteps(steps)
    grid, expected = sampler.grid(steps), x
    torch.testing.assert_close(torch.tensor([step.t for step in grid]), theirs.timesteps)

    def velocity(latents, t):
        return 0.7 * torch.sin(latents * 1.3 + float(t) / 400)

    for t in theirs.timesteps:
        expected = theirs.step(velocity(expected, t), t, expected).prev_sample
    torch.testing.assert_close(denoise(bare(velocity), sampler, x, grid), expected, rtol=1e-4, atol=1e-4)


def gaussian_flow(mean, spread):
    """The velocity E[eps - x0 | x] of data N(mean, spread^2), which is linear in x."""

    def velocity(x, t):
        sigma = t / 1000
        away = (x - (1 - sigma) * mean) / ((1 - sigma) ** 2 * spread**2 + sigma**2)
        return sigma * away - (mean + (1 - sigma) * spread**2 * away)

    return velocity


def test_gaussian_data_come_out_as_the_closed_form_says():
    """The flow carries noise z to mean + spread z; Euler's error halves with twice the steps."""
    mean, spread, z = 1.5, torch.logspace(-0.7, 0.3, 512), noise(512)
    sampler, model = FlowEuler(FlowMatchEulerDiscreteScheduler()), bare(gaussian_flow(mean, spread))
    errors = [float((denoise(model, sampler, z, sampler.grid(n)) - mean - spread * z).abs().mean()) for n in (50, 100)]
    assert errors[1] < 0.02 and errors[1] / errors[0] == pytest.approx(0.5, abs=0.1)


def test_flow_inversion_comes_back():
    sampler, model = FlowEuler(FlowMatchEulerDiscreteScheduler(shift=2.0)), bare(gaussian_flow(0.3, 0.8))
    x, gaps = 0.3 + 0.8 * noise(512), []
    for steps in (25, 100):
        back = denoise(model, sampler, invert(model, sampler, x, steps), sampler.grid(steps))
        gaps.append(float((back - x).norm() / x.norm()))
    assert gaps[1] < 0.05 and gaps[1] < 0.5 * gaps[0]


def test_a_flow_may_start_part_of_the_way():
    sampler = FlowEuler(FlowMatchEulerDiscreteScheduler())
    grid = sampler.grid(10, start_t=500)
    assert grid[0].t <= 500 < sampler.grid(10)[-len(grid) - 1].t and grid[0].index == 0
    assert float(grid[0].level.noise) == pytest.approx(grid[0].t / 1000)
    at = level_at(sampler.scheduler, grid[0].t, noise(2, 3))
    assert torch.allclose(at.signal, grid[0].level.signal) and at.signal.shape == (1, 1)
    with pytest.raises(UserError, match="no step is left"):
        sampler.grid(4, start_t=0.5)


@pytest.mark.parametrize("odd", ["use_karras_sigmas", "use_dynamic_shifting", "stochastic_sampling"])
def test_a_flow_schedule_of_another_kind_is_refused(odd):
    scheduler = FlowMatchEulerDiscreteScheduler(**{odd: True})
    with pytest.raises(ValueError, match=odd):
        FlowEuler(scheduler)


def test_what_a_schedules_model_predicts():
    assert prediction_of(FlowMatchEulerDiscreteScheduler()) == "flow_prediction"
    assert prediction_of(DDIMScheduler(prediction_type="v_prediction")) == "v_prediction"
    with pytest.raises(ValueError, match="sample"):
        prediction_of(DDIMScheduler(prediction_type="sample"))


# the loop


def test_hooks_see_every_step_in_order():
    sampler, seen = DDIM(DDIMScheduler(**SD)), []

    def note(name, change=0.0):
        def hook(x, step):
            seen.append((name, step.index))
            return x + change

        return hook

    def model(x, step, half):
        seen.append((half, step.index))
        return 0.1 * x

    x, grid = noise(1, 4, 2, 3, 3), sampler.grid(2)
    told = []
    hooks = {"before_step": note("before", 1.0), "after_step": note("after", 2.0)}
    out = denoise(model, sampler, x, grid, Guidance(3.0), **hooks, progress=lambda *n: told.append(n))
    each = ["before", "cond", "uncond", "after"]
    assert seen == [(name, i) for i in range(2) for name in each] and told == [(1, 2), (2, 2)]
    for step in grid:
        x = sampler.step(0.1 * (x + 1.0), step, x + 1.0) + 2.0
    torch.testing.assert_close(out, x)


def test_a_break_is_named_in_the_methods_word():
    sampler = DDIM(DDIMScheduler(**SD))
    with pytest.raises(UserError, match="painting .*step 1 of 3"):
        denoise(bare(lambda x, t: x * float("nan")), sampler, noise(1, 4, 1, 2, 2), sampler.grid(3), doing="painting")


# which sampler a run gets


def test_built_in_samplers_are_declared_as_a_guests_are():
    assert {"ddim", "flow-euler"} <= set(registry.SAMPLERS.names()) and not registry.SAMPLERS.failures()
    for name in registry.SAMPLERS.names():
        spec = registry.SAMPLERS.get(name)
        assert spec.summary and spec.predictions and callable(registry.load_object(spec.sampler))


@pytest.mark.parametrize("asked", [None, "auto", "ddim"])
def test_the_backbones_own_sampler_is_the_default(asked):
    tiny, animatex = catalog.get("tiny-animatex"), registry.spec("animatex")
    assert choose_sampler(animatex, tiny, asked) == "ddim"
    assert choose_sampler(registry.spec("still"), None, asked) is None


def test_samplers_that_cannot_be_are_refused_with_the_reason():
    animatex, free = registry.spec("animatex"), replace(registry.spec("animatex"), name="free")
    assert choose_sampler(free, FLOW, None) == "flow-euler"
    with pytest.raises(UserError, match="did you mean 'ddim'"):
        choose_sampler(animatex, catalog.get("tiny-animatex"), "dimm")
    with pytest.raises(UserError, match="tiny-animatex predicts"):
        choose_sampler(animatex, catalog.get("tiny-animatex"), "flow-euler")
    assert choose_sampler(registry.spec("vidmp3"), FLOW, None) == "flow-euler"
    for name in ("anamodiff", "flipsketch"):
        with pytest.raises(UserError, match=f"{name} needs sampler=ddim"):
            choose_sampler(registry.spec(name), FLOW, None)


def test_a_sampler_is_made_over_the_backbones_schedule():
    tiny = load("tiny-sd", Plan())
    assert isinstance(make_sampler(tiny), DDIM) and make_sampler(tiny).scheduler is tiny.scheduler
    with pytest.raises(UserError, match="predicts epsilon"):
        make_sampler(tiny, "flow-euler")
    flow = SimpleNamespace(spec=FLOW, scheduler=FlowMatchEulerDiscreteScheduler(), prediction_type="flow_prediction")
    assert isinstance(make_sampler(flow), FlowEuler)


def test_names_of_version_0_1_say_what_has_taken_their_place():
    from motionkit.diffusion.sampling import ddim_sample, guide

    assert callable(ddim_sample) and callable(guide)
    with pytest.raises(ImportError, match="Guidance"):
        from motionkit.diffusion.sampling import text_predictor  # noqa: F401
    with pytest.raises(ImportError, match="DDIM"):
        from motionkit.diffusion.schedule import rungs  # noqa: F401
    with pytest.raises(ImportError, match="diffusion.sampling"):
        from motionkit.diffusion.inversion import ddim_invert  # noqa: F401
