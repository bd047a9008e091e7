"""Iterative frame alignment: what moves, what does not, and that it is the published loop."""

import pytest
import torch
from sketch_models import clip, denoise, text, video_unet

from motionkit.methods.flipsketch.align import align, checkpointed


def predict(x):
    return denoise(x, 500, text())


def setting(frames=4, **sizes):
    """Latents, and a first frame with the prediction that it has alone."""
    first = clip(1, **sizes, seed=5)
    with torch.no_grad():
        target = denoise(first, 500, text(3))[0, :, 0]
    return clip(frames, **sizes), first[0, :, 0], target


def authors(latents, first, target, iterations=10, lr=1e-3):
    """The authors' loop as it is written: each iteration keeps its input, so the last update is lost."""
    z = latents[:, :, 1:].clone().requires_grad_(True)
    optimiser = torch.optim.Adam([z], lr=lr)
    for _ in range(iterations):
        optimiser.zero_grad()
        current = torch.cat([first[None, :, None], z], 2)
        loss = torch.nn.functional.mse_loss(predict(current)[:, :, 0], target[None])
        kept = current.detach().clone()
        loss.backward()
        optimiser.step()
    return kept


def test_nine_updates_are_the_authors_ten_iterations():
    latents, first, target = setting()
    ours = align(predict, latents, first, target, updates=3)
    theirs = authors(latents, first, target, iterations=4)
    assert (ours - theirs).abs().max() < 1e-6
    assert (ours[:, :, 1:] - latents[:, :, 1:]).abs().max() > 1e-3


def test_only_the_latents_get_gradients():
    latents, first, target = setting()
    before = latents.clone()
    with torch.no_grad():  # as inside a denoising loop
        align(predict, latents, first, target, updates=1)
    assert torch.equal(latents, before)
    assert all(weight.grad is None and not weight.requires_grad for weight in video_unet().parameters())


def test_it_may_end_when_the_loss_stalls():
    latents, first, target = setting()
    losses = {}
    for stall in (0.0, 1e-4, 0.9):
        seen = []
        align(predict, latents, first, target, updates=5, stall=stall, watch=lambda *told: seen.append(told))  # noqa: B023
        losses[stall] = [float(loss) for loss, _ in seen]
    assert len(losses[0.0]) == 5 and losses[1e-4] == losses[0.0][: len(losses[1e-4])]
    assert losses[0.9] == losses[0.0][:1]  # the first update lowers it by less than nine tenths
    drops = [1 - after / before for before, after in zip(losses[0.0], losses[0.0][1:], strict=False)]
    assert len(losses[1e-4]) == next((i + 1 for i, drop in enumerate(drops) if drop < 1e-4), 5)


@pytest.mark.parametrize("size", [{"height": 8, "width": 8}, {"height": 4, "width": 12}])
def test_the_loss_falls_and_frame_0_is_the_references(size):
    latents, first, target = setting(**size)
    losses = []
    out = align(predict, latents, first, target, updates=4, lr=1e-2, watch=lambda loss, _: losses.append(loss.item()))
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.99 * losses[0]
    assert torch.equal(out[0, :, 0], first) and out.shape == latents.shape


def test_without_updates_or_other_frames_only_frame_0_is_set():
    latents, first, target = setting()
    assert torch.equal(align(predict, latents, first, target, updates=0)[:, :, 1:], latents[:, :, 1:])
    alone = align(predict, latents[:, :, :1], first, target)
    assert torch.equal(alone, first[None, :, None])


def test_the_papers_norm_moves_as_the_mean_does():
    latents, first, target = setting()
    mean, norm = (align(predict, latents, first, target, updates=2, loss=loss) for loss in ("mse", "norm"))
    assert (mean - norm).abs().max() < 1e-4


def test_in_bfloat16_large_elements_do_not_move():
    """The app's precision: above 0.5 an update of 1e-3 rounds to nothing."""
    latents, first, target = setting()
    latents = latents.bfloat16().float()
    out = align(predict, latents, first, target, updates=2, precision="bfloat16")
    moved = (out != latents)[:, :, 1:]
    large, small = latents[:, :, 1:].abs() > 0.6, latents[:, :, 1:].abs() < 0.2
    assert moved[large].float().mean() < 0.01 and moved[small].float().mean() > 0.95
    full = align(predict, latents, first, target, updates=2)
    assert (full != latents)[:, :, 1:][large].float().mean() > 0.95


def test_the_scale_for_half_precision_changes_nothing():
    latents, first, target = setting()
    plain, scaled = (align(predict, latents, first, target, updates=2, half=half) for half in (False, True))
    assert (plain - scaled).abs().max() < 1e-6


def test_checkpointing_saves_activations_and_gives_the_same():
    latents, first, target = setting()
    saved = {}
    unet, out = video_unet(), {}
    forwards = {name: module.forward for name, module in unet.named_modules()}
    for on in (False, True):
        kept = []
        with (
            torch.autograd.graph.saved_tensors_hooks(lambda t, k=kept: (k.append(t.numel()), t)[1], lambda t: t),
            checkpointed(unet, on),
        ):
            out[on] = align(predict, latents, first, target, updates=1)
        saved[on] = sum(kept)
    assert torch.equal(out[False], out[True]) and saved[True] < 0.5 * saved[False]
    assert {name: module.forward for name, module in unet.named_modules()} == forwards


def test_it_can_be_cancelled_between_updates():
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align(predict, *setting(), updates=5, check=check)
    assert len(calls) == 2
