"""Attention along time in training: where a clip shows the same content, and the loss that tells it."""

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention

from motionkit.sprites import Motion, character, render_clip
from motionkit.training.recipes.along_time import SAME, diagonal, same_content, time_loss, watch


@pytest.fixture(scope="module")
def clip():
    return render_clip(character(3, "horse"), Motion("walk"), 5)


def test_the_same_content_is_where_the_exact_flow_stands_still(clip):
    same = same_content([clip])[0]  # (h, w, F, F)
    assert same.shape == (32, 32, 5, 5) and same.diagonal(axis1=2, axis2=3).all()
    assert np.array_equal(same, same.swapaxes(2, 3))
    background = (clip.parts[:, 1::4, 1::4] < 0).all(0)
    assert same[background].all() and 0.02 < (~same.all((2, 3))).mean() < 0.5
    places, visible = clip.flow(2, 0)
    body = clip.parts[2] >= 0
    at = np.stack(np.meshgrid(np.arange(128), np.arange(128)), -1)
    still = (np.linalg.norm(places - at, axis=-1) < SAME) & visible.astype(bool)
    cells = body[1::4, 1::4]
    assert (same[..., 2, 0] == still[1::4, 1::4])[cells].mean() > 0.95


def test_the_loss_is_least_where_attention_is_on_what_is_the_same():
    same = torch.eye(4, dtype=torch.bool).expand(1, 8, 8, 4, 4).clone()
    same[:, :4] = True  # the upper half does not move
    even = torch.full((64, 4, 4), 0.25)
    sharp = torch.eye(4).expand(64, 4, 4)
    assert time_loss([sharp], same) == pytest.approx(0, abs=2e-3)
    assert time_loss([even], same) == pytest.approx(np.log(4), abs=5e-3)
    assert time_loss([even[:16], sharp], same) == pytest.approx(np.log(4) / 2, abs=5e-3)  # coarse cells, and fine ones
    assert time_loss([even], torch.ones_like(same)) == 0
    assert diagonal([sharp]) == pytest.approx(4) and diagonal([even]) == pytest.approx(1)


def test_watched_attention_computes_what_plain_attention_does():
    torch.manual_seed(0)
    layer = Attention(query_dim=16, heads=4, dim_head=4).eval()
    x = torch.randn(6, 5, 16)
    plain = layer(x)
    watched = watch(torch.nn.ModuleList([layer]))
    torch.testing.assert_close(layer(x), plain)
    (one,) = watched.take()
    assert one.shape == (6, 5, 5) and torch.allclose(one.sum(-1), torch.ones(6, 5)) and watched.take() == []
    with torch.no_grad():
        layer(x)
    assert watched.take() == []
