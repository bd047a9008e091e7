"""Batches of clips: drawings and colours, lengths by step, and the same batch when it was made ahead."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from motionkit.training.recipes.captioned import LENGTH
from motionkit.training.recipes.pocket_vae import CONFIG
from motionkit.training.recipes.video_batches import Lengths, VideoBatches, rendered


class _Tokenizer:
    """Word lengths in place of ids."""

    def __call__(self, said, **_):
        ids = torch.tensor([[len(w) for w in words.split()] + [0] * (LENGTH - len(words.split())) for words in said])
        return type("Coded", (), {"input_ids": ids})


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return AutoencoderKL(**CONFIG | dict(block_out_channels=(16,))).eval()


def test_drawings_are_called_so_and_lengths_change_with_the_step():
    lengths = Lengths(2, 3, 10)
    made = rendered("video test", 0, 12, 0.5, lengths, 9)
    assert made.pixels.shape == (12, 2, 128, 128, 3) and made.subject.shape == (12, 1, 2, 32, 32)
    grey = np.ptp(made.pixels.astype(int), axis=-1).max((1, 2, 3)) == 0
    assert 2 < grey.sum() < 10
    for words, is_grey in zip(made.said, grey, strict=True):
        assert not words.startswith("a drawing") or is_grey
    assert rendered("video test", 0, 2, 0.5, lengths, 10).pixels.shape[1] == 3


def test_made_ahead_is_the_same(vae):
    common = ("video test", vae, _Tokenizer(), 2, 0, "cpu", 0.3)
    here = VideoBatches(*common, same=True)
    ahead = VideoBatches(*common, Lengths(2, 2, 0), 1, True)
    try:
        for a, b in zip(here.at(4, 2), ahead.at(4, 2), strict=True):
            assert torch.equal(a, b)
        assert ahead.at(5, 3).noisy.shape[2] == 3  # another length than was made ahead
    finally:
        ahead.ahead.close()


def test_a_share_of_the_clips_begins_where_the_cycle_does():
    from motionkit.training.recipes.sprite_batches import clips

    plain = [c for step in range(12) for c in clips("starts", 0, step, 4, 2)]
    begun = [c for step in range(12) for c in clips("starts", 0, step, 4, 2, begun=0.5)]
    assert all(
        a.character.kind == b.character.kind and a.motion.name == b.motion.name
        for a, b in zip(plain, begun, strict=True)
    )
    first = [b.motion.phase == 0 for b in begun]
    assert 0.3 < np.mean(first) < 0.7 and not any(c.motion.phase == 0 for c in plain)
    kept = [(a, b) for a, b, zero in zip(plain, begun, first, strict=True) if not zero]
    assert all(np.array_equal(a.frames, b.frames) for a, b in kept)
