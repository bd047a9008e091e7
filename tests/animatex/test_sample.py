"""Sampling: timesteps, windows over clips of any length, offset noise, the guided loop, frames of short clips."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance
from motionkit.diffusion.schedule import Step
from motionkit.diffusion.solvers import DPMSolver, EvenDPMSolver
from motionkit.errors import UserError
from motionkit.methods.animatex import sample

ONE = Guidance(1.0)


def test_thirty_steps_visit_thirty_one_timesteps():
    assert sample.visited(30)[:3] == [991, 958, 925] and len(sample.visited(30)) == 31
    assert sample.visited(50) == list(range(981, 0, -20))
    assert sample.visited(1) == [1] and sample.visited(1000)[0] == 999
    for wrong in (0, 1001):
        with pytest.raises(UserError, match="between 1 and 1000"):
            sample.visited(wrong)


@given(st.integers(1, 400), st.integers(1, 40), st.data())
def test_windows_cover_every_frame_and_overlap_as_asked(frames, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    spans = sample.windows(frames, size, overlap)
    assert spans[0][0] == 0 and spans[-1][1] == frames
    assert all(stop - first == min(size, frames) for first, stop in spans)
    for (_, stop), (first, _) in zip(spans, spans[1:], strict=False):
        assert first <= stop - overlap and (first == stop - overlap or (first, frames) == (frames - size, spans[-1][1]))
    assert len(set(spans)) == len(spans)


def test_windows_that_cannot_be_are_refused():
    for frames, size, overlap in ((0, 4, 1), (8, 4, 4), (8, 4, -1), (8, 0, 0)):
        with pytest.raises(UserError, match="0 <= overlap < size"):
            sample.windows(frames, size, overlap)


def test_windows_are_averaged_frame_by_frame_before_guidance():
    asked = []

    def model(x, step, half, window):
        asked.append(window)
        return x * 0 + (10 if half == "cond" else 1) * window[0]

    whole, x = sample.averaged(model, sample.windows(10, 6, 2)), torch.randn(1, 4, 10, 2, 2)
    uncond, cond = (whole(x, Step(0, 5, None, None), half) for half in ("uncond", "cond"))
    assert asked == [(0, 6), (4, 10)] * 2
    assert uncond[0, 0, :, 0, 0].tolist() == [0] * 4 + [2] * 2 + [4] * 4
    assert torch.equal(cond, 10 * uncond)


def test_a_model_that_sees_frames_alone_does_not_notice_the_windows():
    noise = torch.randn(1, 4, 13, 3, 2, generator=torch.Generator().manual_seed(0))

    def model(x, step, half, window):
        at = torch.arange(*window).reshape(1, 1, -1, 1, 1)
        return 0.3 * x.cos() + 0.01 * at if half == "cond" else 0.2 * x.sin() - step.t / 5000

    whole = sample.sample(model, noise, 4, size=13)
    assert torch.allclose(sample.sample(model, noise, 4, size=5, overlap=2), whole, atol=1e-5)


def test_guidance_is_between_and_beyond_both_halves():
    noise = torch.randn(1, 4, 2, 3, 2)
    given_v = torch.randn(2, *noise.shape)
    given = dict(zip(("uncond", "cond"), given_v, strict=True))
    results = [
        sample.sample(lambda x, step, half, w: given[half], noise, 1, guidance=Guidance(g)) for g in (0.0, 1.0, 2.5)
    ]
    assert torch.allclose(results[2], results[0] + 2.5 * (results[1] - results[0]), atol=1e-4)


def test_a_perfect_model_is_followed_to_its_clean_latents():
    clean = torch.randn(1, 4, 2, 3, 2)
    schedule = sample.scheduler()

    def model(x, step, half, window):
        a = schedule.alphas_cumprod[step.t]
        eps = (x - a.sqrt() * clean) / (1 - a).sqrt()
        return a.sqrt() * eps - (1 - a).sqrt() * clean

    steps = []
    out = sample.sample(model, torch.randn_like(clean), 30, progress=lambda done, total: steps.append((done, total)))
    assert (out - clean).abs().max() < 0.1 and steps[-1] == (31, 31)  # the last step ends at alpha 0.99915


def gaussian(mean, deviation):
    """The exact v of data with that mean and deviation, and where its way from the noise ends."""

    def model(x, step, half, window):
        a, b = step.level
        clean = (mean * b**2 + deviation**2 * a * x) / (a**2 * deviation**2 + b**2)
        return a * (x - a * clean) / b - b * clean

    def end(noise, level):
        return level.signal * mean + (level.signal**2 * deviation**2 + level.noise**2) ** 0.5 * noise

    return model, end


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.4), (0.0, 1.0), (0.5, 0.1)])
def test_a_second_order_sampler_needs_half_the_steps_for_the_same_end(mean, deviation):
    """Steps even in log signal over noise: nearer to the exact end after 15 than DDIM after 30, and than steps even in
    time, whose last one, of first order, is long."""
    noise, schedule = torch.randn(1, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0)), sample.scheduler()
    (model, end), errors, calls = gaussian(mean, deviation), {}, {}
    for name, made, steps in (("lu", EvenDPMSolver, 15), ("time", DPMSolver, 15), ("ddim", DDIM, 30)):
        sampler, seen = made(schedule), []
        walked = sample.grid(schedule, steps) if made is DDIM else sampler.grid(steps)
        out = sample.sample(
            lambda *given, seen=seen: seen.append(1) or model(*given), noise, steps, sampler=sampler, guidance=ONE
        )
        errors[name], calls[name] = (out - end(noise, walked[-1].below)).abs().mean().item(), len(seen)
    assert calls == {"lu": 15, "time": 15, "ddim": 31}
    assert errors["lu"] < 0.7 * errors["ddim"] and errors["lu"] < errors["time"], errors


def test_guidance_on_a_part_of_the_steps_and_half_of_them_save_what_they_say():
    """Operations as torch counts them, of a network of one convolution."""
    net, noise, schedule = torch.nn.Conv3d(4, 4, 3, padding=1), torch.randn(1, 4, 2, 8, 8), sample.scheduler()
    counted = {}
    for name, sampler, steps, between in (
        ("plain", None, 30, (0, 1000)),
        ("part", None, 30, (100, 700)),
        ("half", DPMSolver(schedule), 15, (0, 1000)),
    ):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            guidance = Guidance(2.5, between=between)
            sample.sample(lambda x, *rest: net(x), noise, steps, sampler=sampler, guidance=guidance)
        counted[name] = counter.get_total_flops()
    one = counted["plain"] / 62
    inside = sum(100 <= t <= 700 for t in sample.visited(30))
    assert counted["half"] == 30 * one and counted["part"] == (31 + inside) * one == 50 * one


@pytest.mark.parametrize("steps", [500, 1000])
def test_the_noisiest_timestep_stays_finite(steps):
    noise = torch.randn(1, 4, 1, 2, 2)
    out = sample.sample(lambda x, step, half, w: (0.2 if half == "cond" else 0.1) * x, noise, steps)
    assert torch.isfinite(out).all()


def test_nan_is_named_with_its_step():
    with pytest.raises(UserError, match="sampling .*step 1 of 4"):
        sample.sample(lambda x, step, half, w: x * float("nan"), torch.randn(1, 4, 2, 2, 2), 4)


def test_offset_noise_shares_a_number_in_each_frame_and_channel():
    def noise(strength):
        return sample.offset_noise((1, 4, 6, 8, 8), torch.Generator().manual_seed(1), strength)

    difference = noise(0.1) - noise(0.0)
    assert torch.allclose(difference, difference[..., :1, :1].expand_as(difference), atol=1e-6)
    assert 0.05 < difference[..., 0, 0].std() < 0.2 and torch.equal(noise(0.1), noise(0.1))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_frames_share_so_much_of_the_noise(share):
    noise = sample.offset_noise((1, 4, 6, 32, 32), torch.Generator().manual_seed(1), 0.0, share)
    flat = noise[0].transpose(0, 1).flatten(1)  # (F, 4 h w)
    together = torch.corrcoef(flat)
    assert flat.std() == pytest.approx(1, abs=0.05)
    assert together[0, 1:].mean() == pytest.approx(share, abs=0.05)
    if share == 1:
        assert torch.equal(flat[0], flat[5])
        with_offset = sample.offset_noise((1, 4, 6, 8, 8), torch.Generator().manual_seed(1), 0.1, share)
        assert torch.equal(with_offset[:, :, 0], with_offset[:, :, 5])


def test_noise_that_is_not_shared_is_as_published():
    torch.manual_seed(2)
    base, offset = torch.randn(1, 4, 6, 8, 8), torch.randn(1, 4, 6, 1, 1)
    made = sample.offset_noise((1, 4, 6, 8, 8), torch.Generator().manual_seed(2), 0.1, 0.0)
    assert torch.equal(made, base + 0.1 * offset)


def test_short_clips_get_a_smaller_stride_then_repeat_their_end():
    assert sample.frame_indices(100, 4, 2) == [0, 2, 4, 6]
    assert sample.frame_indices(7, 4, 4) == [0, 2, 4, 6]
    assert sample.frame_indices(5, 4, 3) == [0, 1, 2, 3]
    assert sample.frame_indices(3, 5, 2) == [0, 1, 2, 2, 2]
    assert sample.frame_indices(9, 1, 5) == [0]
    with pytest.raises(UserError, match="at least 1"):
        sample.frame_indices(0, 4)
