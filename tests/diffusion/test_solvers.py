"""Samplers against diffusers' own trajectories, their timesteps in closed form, and which method runs with which."""

from types import SimpleNamespace

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.diffusion.ddim import TrailingDDIM
from motionkit.diffusion.euler import Euler
from motionkit.diffusion.guidance import bare
from motionkit.diffusion.inversion import invert
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.samplers import choose_sampler, make_sampler, refusal, walks
from motionkit.diffusion.solvers import LCM, DPMSolver
from motionkit.errors import UserError

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SD = BETAS | {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
SCHEDULES = {
    "sd": DDIMScheduler(**SD),
    "v": DDIMScheduler(**SD, prediction_type="v_prediction"),
    "linear": DDIMScheduler(**SD | {"beta_schedule": "linear"}),  # AnimateDiff's
    "trailing": DDIMScheduler(**SD | {"timestep_spacing": "trailing", "steps_offset": 0}),
    "linspace": DDIMScheduler(**SD | {"timestep_spacing": "linspace"}),
    "zero-snr": DDIMScheduler(
        **SD | {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}, prediction_type="v_prediction"
    ),
}
THEIRS = {
    "ddim-leading": ("DDIMScheduler", {"timestep_spacing": "leading"}),
    "ddim-trailing": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp-2m-lu": ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-trailing": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}
EXACT = ("dpmpp-2m", "dpmpp-2m-lu", "unipc", "lcm", "tcd")


def model(x, t):  # stands for a network: smooth in x and t
    return 0.7 * torch.sin(x * 1.3 + float(t) / 400) + 0.1 * x.roll(1, -1)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def theirs(name, schedule, steps, x, seed=1):
    """What a diffusers pipeline does: (timesteps, the clean latents)."""
    kind, changes = THEIRS[name]
    scheduler = getattr(diffusers, kind).from_config(schedule.config, **changes)
    scheduler.set_timesteps(steps)
    x = x * scheduler.init_noise_sigma
    extra = {"generator": torch.Generator().manual_seed(seed)} if name in ("lcm", "tcd") else {}
    for t in scheduler.timesteps:
        x = scheduler.step(model(scheduler.scale_model_input(x, t), t), t, x, **extra).prev_sample
    return scheduler.timesteps.tolist(), x


def ours(name, schedule, seed=1):
    backbone = SimpleNamespace(
        spec=catalog.get("tiny-sd"), scheduler=schedule, prediction_type=schedule.config.prediction_type
    )
    return make_sampler(backbone, name, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [3, 4, 10, 20])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("name", THEIRS)
def test_the_walk_is_diffusers(name, schedule, steps):
    if name.startswith("ddim") and 1000 % steps:
        pytest.skip("diffusers steps off its own timesteps where their spacing is uneven; ours goes to the next one")
    x = noise(2, 4, 3, 8, 8)
    times, expected = theirs(name, schedule, steps, x)
    sampler = ours(name, schedule)
    grid = sampler.grid(steps)
    found = denoise(bare(model), sampler, sampler.initial_scale * x, grid)
    assert [step.t for step in grid] == times
    if name in EXACT:
        assert torch.equal(found, expected)
    else:
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", THEIRS)
def test_levels_are_those_that_latents_are_noised_to(name):
    """Of a model that knows the clean latents each sampler's states lie on its own levels."""
    schedule = SCHEDULES["sd"]
    clean, eps, sampler = noise(2, 4, 8), noise(2, 4, 8, seed=1), ours(name, schedule)
    grid = sampler.grid(10, start_t=700)
    assert grid[0].t <= 700 and grid[0].index == 0
    if name not in ("lcm", "tcd"):
        x = grid[0].level.mix(clean, eps)
        for step in grid:
            torch.testing.assert_close(x, step.level.mix(clean, eps), rtol=1e-3, atol=2e-3)
            x = sampler.step(eps, step, x)
        torch.testing.assert_close(x, grid[-1].below.mix(clean, eps), rtol=1e-3, atol=2e-3)
    for step in grid if name != "dpmpp-2m-lu" else ():  # whose levels lie between timesteps
        alpha = schedule.alphas_cumprod[int(step.t)]
        torch.testing.assert_close(step.level.signal, alpha.sqrt(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(step.level.noise, (1 - alpha).sqrt(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_few_step_weights_get_the_timesteps_that_they_were_distilled_at(steps):
    """LCM: of 50 timesteps 19, 39, ... 999 every (50 / n)-th from the top; Lightning and Hyper-SD: 1000 k / n - 1."""
    schedule = SCHEDULES["sd"]
    distilled = [20 * (k + 1) - 1 for k in range(50)][::-1]
    consistent = [distilled[int(50 * i / steps)] for i in range(steps)]
    trailing = [round(1000 - 1000 * i / steps) - 1 for i in range(steps)]
    for name, times in {
        "lcm": consistent,
        "tcd": consistent,
        "euler-trailing": trailing,
        "ddim-trailing": trailing,
    }.items():
        assert [step.t for step in ours(name, schedule).grid(steps)] == times, name
    assert consistent[0] == trailing[0] == 999
    if steps == 8:
        assert consistent == [999, 879, 759, 639, 499, 379, 259, 139]
        assert trailing == [999, 874, 749, 624, 499, 374, 249, 124]


def test_a_second_order_walk_needs_half_the_steps():
    """On normal data, whose exact prediction and exact way from noise to data are known."""
    schedule, deviation, x = SCHEDULES["trailing"], 0.5, noise(1, 4, 1, 8, 8)

    def gaussian(x, t):  # the noise that is expected in x
        alpha = schedule.alphas_cumprod[int(t)]
        return (1 - alpha).sqrt() / (alpha * deviation**2 + 1 - alpha) * x

    errors, spread = {}, (schedule.alphas_cumprod * deviation**2 + 1 - schedule.alphas_cumprod).sqrt()
    for name, steps, walked in (("ddim", 20, 18), ("dpmpp-2m", 10, 9), ("unipc", 10, 9)):
        sampler = ours(name, schedule)
        grid = sampler.grid(steps)
        assert grid[walked].t == 99  # below it each takes a first-order step to clean latents
        there = denoise(bare(gaussian), sampler, x, grid[:walked])
        errors[name] = float((there - spread[99] / spread[999] * x).abs().mean())
    assert errors["dpmpp-2m"] < 0.5 * errors["ddim"] and errors["unipc"] < 0.5 * errors["ddim"], errors


@pytest.mark.parametrize("kind", [Euler, TrailingDDIM])
def test_those_whose_steps_go_both_ways_invert(kind):
    sampler, x, gaps = kind(SCHEDULES["v"]), noise(1, 4, 2, 8, 8) / 2, []
    for steps in (25, 100):
        back = denoise(bare(model), sampler, invert(bare(model), sampler, x, steps), sampler.grid(steps))
        gaps.append(float((back - x).norm() / x.norm()))
    assert gaps[1] < 0.5 * gaps[0]


def test_a_walk_begins_anew_and_knows_its_steps():
    sampler, x = DPMSolver(SCHEDULES["sd"]), noise(1, 4, 8, 8)
    grid = sampler.grid(6)
    first, second = (denoise(bare(model), sampler, x, grid) for _ in range(2))
    assert torch.equal(first, second)
    sampler.step(x, grid[0], x)
    with pytest.raises(ValueError, match="in order"):
        sampler.step(x, grid[2], x)
    old = sampler.grid(4)
    sampler.grid(6)
    with pytest.raises(ValueError, match="latest grid"):
        sampler.step(x, old[0], x)


def test_noise_comes_from_the_generator_alone():
    x, schedule = noise(1, 4, 8, 8), SCHEDULES["sd"]
    made = [ours("lcm", schedule, seed) for seed in (1, 1, 2)]
    results = [denoise(bare(model), sampler, x, sampler.grid(4)) for sampler in made]
    assert torch.equal(results[0], results[1]) and not torch.allclose(results[0], results[2])


@pytest.mark.parametrize(
    ("name", "steps"), [("lcm", 51), ("tcd", 51), ("dpmpp-2m", 1000), ("unipc", 1001), ("euler", 0)]
)
def test_steps_that_a_schedule_does_not_have_are_refused(name, steps):
    with pytest.raises(UserError, match="steps"):
        ours(name, SCHEDULES["sd"]).grid(steps)


def test_clipping_schedules_are_refused():
    with pytest.raises(ValueError, match="clip_sample"):
        LCM(DDIMScheduler(clip_sample=True))
    with pytest.raises(ValueError, match="clip_sample"):
        Euler(DDIMScheduler(clip_sample=True))


# method x sampler


def test_each_cell_runs_or_has_a_reason():
    methods = [spec for spec in map(registry.spec, registry.names()) if spec.backbones]
    for method in methods:
        for sampler in registry.SAMPLERS.every():
            why, tiny = refusal(method, sampler), catalog.get(next(b for b in method.backbones if b.startswith("tiny")))
            if why or not walks(method, sampler):
                with pytest.raises(UserError, match=sampler.name):
                    choose_sampler(method, tiny, sampler.name)
            else:
                assert choose_sampler(method, tiny, sampler.name) == sampler.name
    free = {sampler.name for sampler in registry.SAMPLERS.every() if not refusal(registry.spec("animatex"), sampler)}
    assert free >= {*THEIRS, "ddim"}
    for name in ("anamodiff", "flipsketch", "vidmp3"):
        assert "invert" in refusal(registry.spec(name), registry.SAMPLERS.get("dpmpp-2m"))
        assert not refusal(registry.spec(name), registry.SAMPLERS.get("ddim-trailing"))


def test_a_method_that_does_not_invert_is_free():
    anamodiff, tiny = registry.spec("anamodiff"), catalog.get("tiny-sd")
    assert choose_sampler(anamodiff, tiny, "lcm", {"sample.start": "noised_warp"}) == "lcm"
    with pytest.raises(UserError, match=r"ddim-trailing, not lcm: .*invert.*method\.sample\.start=noised_warp"):
        choose_sampler(anamodiff, tiny, "lcm", {"sample.start": "inverted"})


@pytest.mark.parametrize("steps", [61, 103, 206, 434])
def test_trailing_steps_that_rounding_would_make_one_more_of(steps):
    """numpy's arange(1000, 0, -1000 / 61) has 62 entries, the last of them t = -1."""
    schedule = SCHEDULES["trailing"]
    for name in ("ddim-trailing", "euler-trailing"):
        grid = ours(name, schedule).grid(steps)
        assert len(grid) == steps and grid[0].t == 999 and min(step.t for step in grid) >= 0, name
        assert grid[-1].below.noise < grid[-1].level.noise
    for name in ("dpmpp-2m", "unipc"):
        if len(diffusers_times(name, schedule, steps)) > steps:
            with pytest.raises(UserError, match=f"{steps} steps"):
                ours(name, schedule).grid(steps)


def diffusers_times(name, schedule, steps):
    scheduler = getattr(diffusers, THEIRS[name][0]).from_config(schedule.config)
    scheduler.set_timesteps(steps)
    return scheduler.timesteps
