"""Inversion and denoising: there and back, what is kept, strength of the guide, and another size of the subject."""

import numpy as np
import pytest
import torch
from test_tune import config, material, tuned
from vidmp3_requests import textured

from motionkit.backbones import load
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance
from motionkit.methods.vidmp3.edit import Asked, Keep, Source, denoise, invert
from motionkit.methods.vidmp3.guided_unet import tuned_unet
from motionkit.methods.vidmp3.resize import follow_grid, plates, resize, scaled_grid, shrink, widen
from motionkit.settings.gpu import Plan
from motionkit.sprites import character, render_clip
from motionkit.sprites.motions import Motion


@pytest.fixture(scope="module")
def tiny():
    return load("tiny-animatediff-sd15", Plan())


@pytest.fixture
def guided(tiny, tmp_path):
    pack, _ = tuned(tiny, config(), tmp_path)
    _, maps, gates = material()
    return tuned_unet(tiny, pack, maps, gates, config().guide)


def asked(tiny, prompt="a red dog", scale=1.0, batched=False, **values):
    guidance = Guidance(scale, batched=batched)
    return Asked(tiny.encode_text([prompt]), tiny.encode_text([""]), guidance, **values)


def test_the_source_prompt_gives_the_source_back(tiny, guided):
    latents, _, _ = material()
    text = tiny.encode_text(["a red dog"])
    gaps = []
    for steps in (8, 32):
        noise = invert(guided, DDIM(tiny.scheduler), latents, text, steps)
        back = denoise(guided, DDIM(tiny.scheduler), noise, asked(tiny), steps)
        gaps.append(float((back[0].transpose(0, 1) - latents).norm() / latents.norm()))
    assert gaps[1] < 0.2 and gaps[1] < 0.6 * gaps[0]


def test_a_late_start_keeps_more_of_the_source(tiny, guided):
    latents, _, _ = material()
    text, gaps = tiny.encode_text(["a red dog"]), []
    for start_t in (1000, 600, 200):
        noise = invert(guided, DDIM(tiny.scheduler), latents, text, 10, start_t)
        edit = denoise(guided, DDIM(tiny.scheduler), noise, asked(tiny, "a green cat", scale=3.0, start_t=start_t), 10)
        gaps.append(float((edit[0].transpose(0, 1) - latents).norm()))
    assert gaps[0] > gaps[1] > gaps[2] > 0


def test_prompt_guidance_and_strength_count(tiny, guided):
    latents, _, _ = material()
    noise = invert(guided, DDIM(tiny.scheduler), latents, tiny.encode_text(["a red dog"]), 2)
    plain = denoise(guided, DDIM(tiny.scheduler), noise, asked(tiny), 2)
    for other in (asked(tiny, "a green cat"), asked(tiny, strength=0.0), asked(tiny, "a red dog", scale=3.0)):
        assert (denoise(guided, DDIM(tiny.scheduler), noise, other, 2) - plain).abs().max() > 1e-4
    both = [
        denoise(guided, DDIM(tiny.scheduler), noise, asked(tiny, "a cat", scale=3.0, batched=b), 2)
        for b in (False, True)
    ]
    torch.testing.assert_close(both[0], both[1], rtol=1e-4, atol=1e-5)


def test_what_is_kept_is_the_source_exactly(tiny, guided):
    latents, _, _ = material()
    clean = latents.transpose(0, 1)[None]
    noise = invert(guided, DDIM(tiny.scheduler), latents, tiny.encode_text(["a red dog"]), 3)
    top = DDIM(tiny.scheduler).grid(3)[0].level
    source = Source.of(clean, noise, top)
    torch.testing.assert_close(source.at(top), noise, rtol=1e-4, atol=1e-5)
    free = torch.zeros(1, 1, 3, 8, 8)
    free[..., :4] = 1
    edited = denoise(guided, DDIM(tiny.scheduler), noise, asked(tiny, "a green cat", scale=3.0), 3, Keep(source, free))
    assert torch.equal(edited[..., 4:], clean[..., 4:])
    assert (edited[..., :4] - clean[..., :4]).abs().max() > 1e-3
    some = denoise(
        guided, DDIM(tiny.scheduler), noise, asked(tiny, "a green cat", scale=3.0), 3, Keep(source, free, until=0.5)
    )
    assert (some[..., 4:] - clean[..., 4:]).abs().max() > 1e-3


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_a_scaled_subject_has_another_area_and_the_same_foot(scale, draw):
    _, mask, _ = textured(3)
    masks = shrink(torch.from_numpy(mask)[:, None].float(), (32, 32))
    noise = torch.randn(3, 4, 32, 32, generator=draw)
    found = resize(noise, torch.zeros_like(noise), noise, masks, scale, 0.5, 0.0, draw)
    areas = found.subject.sum((1, 2, 3)) / masks.sum((1, 2, 3))
    assert torch.allclose(areas, torch.full((3,), scale**2), rtol=0.25)
    for before, after in zip(masks[:, 0], found.subject[:, 0], strict=True):
        rows = [m.any(1).nonzero().max() for m in (before, after)]
        columns = [m.any(0).nonzero().float().mean() for m in (before, after)]
        assert abs(int(rows[0] - rows[1])) <= 1 and abs(float(columns[0] - columns[1])) <= 1
    outside = (found.subject == 0).expand_as(found.clean)
    assert (found.clean[outside] == 0).all()  # the background
    assert 0.8 < found.noise.std() < 1.2
    untouched = ((found.subject == 0) & (masks == 0)).expand_as(noise)
    assert torch.equal(found.noise[untouched], noise[untouched])


def test_fresh_noise_moves_with_the_subject(draw):
    _, mask, _ = textured(3)
    masks = shrink(torch.from_numpy(mask)[:, None].float(), (32, 32))
    found = resize(
        torch.zeros(3, 4, 32, 32), torch.zeros(3, 4, 32, 32), torch.zeros(3, 4, 32, 32), masks, 1.01, 1.0, 0.0, draw
    )
    step = int(masks[1, 0].any(0).nonzero().min() - masks[0, 0].any(0).nonzero().min())
    first, second = (n[:, 14:20, 6:12] for n in (found.noise[0], torch.roll(found.noise[1], -step, -1)))
    assert step == 2 and torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1] > 0.9
    assert torch.allclose(follow_grid(masks)[0], scaled_grid(masks * 0, 0.5)[0])


def test_the_background_behind_a_moving_sprite_comes_back():
    clip = render_clip(character(3, "horse"), Motion("run"), 6, 64)
    wide = widen(torch.from_numpy(clip.mask)[:, None].float(), 0.05)[:, 0].numpy() > 0.5
    bare = plates(clip.frames, wide)
    ground = clip.frames[0, 0, 0].astype(int)
    assert np.abs(bare.astype(int) - ground).mean() < 0.25 * np.abs(clip.frames.astype(int) - ground).mean()
    assert np.array_equal(bare[~wide], clip.frames[~wide])
