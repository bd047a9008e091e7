"""The denoising loop: batches, guidance, pinned frames, and each part's own effect."""

import pytest
import torch
from sketch_models import clip, denoise, sampler, text, video_unet

from motionkit.diffusion.guidance import Guidance
from motionkit.errors import UserError
from motionkit.methods.flipsketch.compose import Composer
from motionkit.methods.flipsketch.loop import Options, start
from motionkit.methods.flipsketch.loop import denoise as loop
from motionkit.methods.flipsketch.reference import Schedule, recorder, walk

QUICK = Options(Guidance(3.0), updates=1)


def go(noise, schedule=None, options=QUICK, **settings):
    """From noise to latents with the reference branch of one fixed sketch; settings go to the composer."""
    schedule = schedule or Schedule(4, 3, 2, 3)
    composer, inverted = Composer(denoise, video_unet(), **settings), clip(1, seed=5)
    with composer.installed():
        reference = walk(composer, sampler(), inverted, schedule, text(3))
        found = recorder(composer, sampler(), reference, schedule, text(3))
        out = loop(composer, sampler(), start(noise, inverted), reference, found, schedule, text(), text(3), options)
    return out, reference


def test_each_video_of_a_batch_is_what_it_is_alone():
    noise = torch.cat([clip(3, seed=1), clip(3, seed=8)])
    both = go(noise)[0]
    for i in range(2):
        assert (both[i : i + 1] - go(noise[i : i + 1])[0]).abs().max() < 1e-3
    assert (both[0] - both[1]).abs().max() > 0.1


@pytest.mark.parametrize("both_passes", [False, True])
def test_guidance_in_one_call_or_in_two(both_passes):
    noise = torch.cat([clip(3, seed=1), clip(3, seed=8)])
    ways = (Options(Guidance(3.0, batched=batched), both_passes, updates=1) for batched in (True, False))
    one, two = (go(noise, options=options)[0] for options in ways)
    assert (one - two).abs().max() < 1e-3
    assert (one - go(noise)[0]).abs().max() > 1e-2 or not both_passes


def test_without_guidance_the_second_pass_is_left_out(monkeypatch):
    calls = []
    real = Composer.plain
    monkeypatch.setattr(Composer, "plain", lambda self, *given: (calls.append(1), real(self, *given))[1])
    go(clip(3), Schedule(4, 3, 0, 4), Options(Guidance(1.0)))
    assert not calls
    go(clip(3), Schedule(4, 3, 0, 4), Options(Guidance(2.0)))
    assert len(calls) == 4


def test_alignment_and_composition_count():
    schedules = [Schedule(4, 3, aligned, composed) for aligned in (0, 2) for composed in (0, 3)]
    outs = [go(clip(3), schedule)[0] for schedule in schedules]
    assert all((x - y).abs().max() > 1e-2 for i, x in enumerate(outs) for y in outs[:i])
    off = go(clip(3), Schedule(4, 3, 2, 3), Options(Guidance(3.0), aligned=False))[0]
    assert (off - outs[1]).abs().max() < 1e-4


def test_a_pinned_frame_0_is_the_references():
    out, reference = go(clip(3), Schedule(4, 3, 2, 3, pinned=True))
    assert torch.equal(out[0, :, 0], reference.path[-1]) and len(reference.path) == 5
    free, _ = go(clip(3))
    assert (free[0, :, 0] - reference.path[-1]).abs().max() > 1e-2


def test_the_start_shares_variance_with_the_reference():
    noise, inverted = clip(3, 32, 32, batch=2), clip(1, 32, 32, seed=5)
    paper = start(noise, inverted)
    assert torch.equal(paper[:, :, 1:], noise[:, :, 1:]) and torch.equal(paper[1, :, 0], inverted[0, :, 0])
    shared = start(noise, inverted, 0.7)
    assert shared.std() == pytest.approx(1, abs=0.05)
    alike = torch.corrcoef(torch.stack([shared[0, :, 1].flatten(), inverted[0, :, 0].flatten()]))[0, 1]
    assert alike == pytest.approx(0.7**0.5, abs=0.05)


def test_one_frame_and_one_step():
    assert go(clip(1), Schedule(3, 1, 1, 2))[0].shape == (1, 4, 1, 8, 8)
    assert go(clip(2), Schedule(1, 2, 1, 1))[0].isfinite().all()


def test_a_model_that_breaks_is_named():
    composer, schedule = Composer(lambda x, t, e: x * float("nan"), video_unet()), Schedule(2, 2, 0, 0)
    with composer.installed():
        reference = walk(composer, sampler(), clip(1), schedule, text(3))
        with pytest.raises(UserError, match="denoising .*step 1 of 2"):
            loop(composer, sampler(), clip(2), reference, lambda i: None, schedule, text(), text(3), QUICK)
