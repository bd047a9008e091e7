"""Pictures of the clip as it is denoised: shown to who asks for them, and never a change of the result."""

import numpy as np
import pytest
import torch

import motionkit
from motionkit.context import NullProgress
from motionkit.diffusion import preview
from motionkit.testing import moving_shapes, picture


class Watcher(NullProgress):
    previews = 0.0

    def __init__(self):
        self.seen = []

    def step(self, stage, done, preview=None):
        if preview is not None:
            self.seen.append((stage, preview))


@pytest.mark.parametrize("method", ["anamodiff", "vidmp3"])
def test_the_result_is_the_same_with_pictures_and_without(method, tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    steps = {"vidmp3": {"tune": {"steps": 1}, "steps": 2}, "anamodiff": {"lora": {"steps": 1}, "sample": {"steps": 2}}}
    made = motionkit.load(method, backbone="tiny", gpu="cpu", **steps[method])
    given = {"reference": picture(64, 64), "driving": moving_shapes(4, 64, 64), "prompt": "a cat", "frames": 4}
    watcher = Watcher()
    plain = made(**given, use_cache=False, folder=tmp_path / "a")
    watched = made(**given, use_cache=False, folder=tmp_path / "b", progress=watcher)
    assert np.array_equal(plain.frames, watched.frames)
    assert watcher.seen
    stage, seen = watcher.seen[-1]
    assert seen.dtype == np.uint8 and seen.ndim == 3 and seen.shape[2] == 3 and seen.shape[1] == 4 * seen.shape[0]


def test_nobody_is_told_outside_the_block():
    calls = []
    with preview.watched(lambda clean: calls.append(clean)):
        assert preview._WATCHER.get() is not None
    assert preview._WATCHER.get() is None


def test_colours_that_are_linear_in_the_latents_are_found_again():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 4, 16, 16, generator=generator) / 4
    truth = torch.rand(4, 3, generator=generator) / 4
    frames = (torch.einsum("fchw,cd->fdhw", latents, truth) + 0.5).repeat_interleave(8, 2).repeat_interleave(8, 3)
    seen = preview.picture(latents.movedim(0, 1), preview.colours(latents, frames))
    wanted = torch.cat(list(frames[:, :, ::8, ::8].movedim(1, -1)), 1).numpy() * 255
    assert np.abs(seen - wanted.clip(0, 255)).max() < 8
