"""The shipped weights are as good as the records say, on characters that no training step showed."""

import pytest
import torch

from motionkit.backbones import load
from motionkit.metrics import pose, psnr, scorer
from motionkit.running.execute import plan_for
from motionkit.training.recipes.sprite_batches import clips
from motionkit.weights import places

ASSETS = places.PACKAGE


@pytest.fixture(scope="module")
def pocket():
    return load("pocket-sd", plan_for("cpu"))


def _pictures(count):
    return torch.cat([torch.from_numpy(c.frames) for c in clips("weights test", 3, 0, count, split="test")])


def test_all_pocket_weights_together_stay_under_60_mb():
    """Of these, .4 MB are a copy of a judge's part that perception holds until it has a network of its own training."""
    assert sum(p.stat().st_size for p in ASSETS.rglob("*.safetensors")) < 60e6


def test_the_autoencoder_reaches_34_db_with_latents_of_unit_variance(pocket):
    frames = _pictures(16)
    latents = pocket.encode(frames.permute(0, 3, 1, 2).float() / 255)
    assert latents.shape == (16, 4, 32, 32) and 0.8 < latents.std() < 1.3
    back = (pocket.decode(latents).permute(0, 2, 3, 1) * 255).round().byte()
    assert psnr(back.numpy(), frames.numpy()) > 34


def test_the_unet_predicts_noise_better_with_the_right_caption(pocket):
    """Denoising error at middle noise: far below that of predicting nothing, and lower with the true words."""
    data = clips("weights test", 4, 0, 16, split="test", kinds=["horse", "giraffe", "bird", "robot"], motions=["walk"])
    x = torch.cat([torch.from_numpy(c.frames) for c in data]).permute(0, 3, 1, 2).float() / 255
    z = pocket.encode(x)[:, :, None]  # (B, C, 1, h, w)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    t = torch.full((len(z),), 700)
    a = pocket.scheduler.alphas_cumprod[700]
    target = pocket.training_target(z, noise, t)
    words = [f"a {c.character.colour} {c.character.kind}" for c in data]
    error = {}
    for name, prompts in (("true", words), ("wrong", words[5:] + words[:5])):
        v = pocket.denoise(a.sqrt() * z + (1 - a).sqrt() * noise, t, pocket.encode_text(prompts))
        error[name] = (v - target).square().mean().item()
    assert error["true"] < 0.4 * target.square().mean().item()
    assert error["true"] < error["wrong"]


def test_the_judges_know_their_world():
    data = clips("weights test", 5, 0, 40, split="test")
    frames = torch.cat([torch.from_numpy(c.frames) for c in data]).numpy()
    seen = scorer.classify(frames)
    stated = scorer.stated_accuracy()
    for group, true in (("kind", [c.character.kind for c in data]), ("colour", [c.character.colour for c in data])):
        share = sum(s[group] == t for s, t in zip(seen, true, strict=True)) / len(data)
        assert share > stated[group] - 0.15
    points = pose.estimate(frames)
    error = torch.tensor([abs(points[i, :, :2] - c.keypoints[0]).max(-1) for i, c in enumerate(data)])
    assert points.shape == (40, 12, 3) and error.median() < 4


def test_a_judge_file_of_another_kind_is_refused(tmp_path):
    from safetensors.torch import save_file

    from motionkit.errors import MissingWeights, UserError
    from motionkit.metrics.judges import load_judge

    with pytest.raises(MissingWeights, match="make train-pose"):
        load_judge("pose", tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not a usable pose file"):
        load_judge("pose", tmp_path / "other.safetensors")
