"""Depth of frames: the network as it is on disk, larger is nearer, frames alone."""

import numpy as np
import pytest
import tiny_networks
import torch

from motionkit.errors import MissingWeights, UserError
from motionkit.perception.depth import DepthSettings, estimate_depth
from motionkit.perception.networks import IMAGENET, NETWORKS, load
from motionkit.perception.pixels import to_pixels
from motionkit.sprites import render_clip
from motionkit.sprites.sampling import stream


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(tiny_networks.seeded(tiny_networks.depth_anything, tmp_path_factory.mktemp("nets") / "da"))


@pytest.fixture
def frames(rng):
    return rng.integers(0, 256, (3, 42, 56, 3)).astype(np.uint8)


def test_it_is_the_networks_answer_at_the_clips_size(weights, frames):
    settings = DepthSettings(weights=weights, size=56)
    found = estimate_depth(frames, settings)
    assert found.shape == (3, 42, 56) and found.dtype == np.float32 and found.min() >= 0
    model, _ = load(NETWORKS["depth_anything"], weights)
    with torch.no_grad():
        wanted = model(to_pixels(frames, 42, 56, *IMAGENET)).predicted_depth  # this size is already one of theirs
    assert np.allclose(found, wanted.numpy(), atol=1e-4) and found.std() > 1e-3


def test_neither_batches_nor_other_frames_change_it(weights, frames):
    settings = DepthSettings(weights=weights, size=56, batch=4)
    seen = []
    together = estimate_depth(frames, settings, progress=lambda done, total: seen.append((done, total)))
    apart = estimate_depth(frames[1:2], DepthSettings(weights=weights, size=56, batch=1))
    assert np.allclose(together[1], apart[0], atol=1e-5) and seen == [(3, 3)]
    large = estimate_depth(frames[:, :, :40], settings)
    assert large.shape == (3, 42, 40)


def test_metric_networks_are_turned_around(tmp_path, frames):
    folder = tiny_networks.seeded(tiny_networks.depth_anything, tmp_path / "metric", kind="metric")
    found = estimate_depth(frames, DepthSettings(weights=str(folder), size=56))
    model, _ = load(NETWORKS["depth_anything"], str(folder))
    with torch.no_grad():
        metres = model(to_pixels(frames, 42, 56, *IMAGENET)).predicted_depth.numpy()
    assert np.corrcoef(found.ravel(), metres.ravel())[0, 1] < -0.9


def test_settings_files_and_facts(weights, frames, tmp_path, monkeypatch):
    assert [DepthSettings(path=p).on(pocket) for p, pocket in (("x", True), (None, True), (None, False))] == [
        "files",
        "pocket",
        "depth_anything",
    ]
    given = DepthSettings(weights=weights)
    assert "depth_anything/model.safetensors" in given.files() and given.facts()["backend"] == "depth_anything"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights, match="hf download depth-anything/Depth-Anything-V2-Small-hf"):
        DepthSettings().files()
    for bad, told in (
        ({"backend": "midas"}, "unknown depth backend"),
        ({"backend": "files"}, "give depth="),
        ({"size": 20}, "outside"),
        ({"batch": 0}, "below 1"),
    ):
        with pytest.raises(UserError, match=told):
            estimate_depth(frames, DepthSettings(**bad))
    with pytest.raises(ValueError, match="uint8"):
        estimate_depth(frames / 255, given)


def test_files_and_the_sprite_network(frames, tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 9, 56, dtype=np.float32), (3, 42, 56))
    np.savez(tmp_path / "depth.npz", depth=ramp)
    assert np.allclose(estimate_depth(frames, DepthSettings(path=str(tmp_path / "depth.npz"))), ramp)
    character, motion = next(stream(5, "test"))
    clip = render_clip(character, motion, frames=3, size=128)
    found = estimate_depth(clip.frames, DepthSettings(), pocket=True)
    assert found.shape == clip.mask.shape
    assert found[clip.mask].mean() > 0.2 > found[~clip.mask].mean()
