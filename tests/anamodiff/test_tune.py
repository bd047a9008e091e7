"""Two-level tuning: which noise each loss sees, that it learns, and that a killed fit goes on exactly."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motionkit.backbones import mixed_precision
from motionkit.context import NullProgress, Reporter, RunContext
from motionkit.diffusion.warp import identity_grid
from motionkit.errors import Cancelled, UserError
from motionkit.methods.anamodiff import tune as tuning
from motionkit.methods.anamodiff.config import AnaMoDiffConfig, LoraConfig
from motionkit.methods.anamodiff.nets import build
from motionkit.methods.anamodiff.tune import Material, Part, load_tuned, loss_of, parts, trainable, tune
from motionkit.methods.anamodiff.variations import variations
from motionkit.settings.gpu import Plan


def config(**lora):
    return AnaMoDiffConfig(
        lora=LoraConfig(**{"steps": 12, "rank": 2, "clip_frames": 3, "source_high": 1000, "warped_weight": 1.0} | lora)
    ).on("tiny-sd")


def material(frames=5, anchor=False, stills=False):
    g = torch.Generator().manual_seed(5)
    clip = torch.randn(frames, 4, 16, 16, generator=g)
    grid = identity_grid(16, 16).expand(frames, -1, -1, -1)
    return Material(clip, clip.flip(0), grid, clip[0] if anchor else None, clip if stills else None)


class Memory:
    """A checkpoint in memory, as the run's own keeps it on disk."""

    def __init__(self):
        self.kept = None

    def load(self):
        return self.kept

    def save(self, tensors):
        self.kept = {name: value.detach().clone() for name, value in tensors.items()}


def run_context(tmp_path, checkpoint=None, progress=None):
    run = RunContext(0, 5, 64, 64, 8.0, Plan(), tmp_path, Reporter(progress or NullProgress()))
    if checkpoint is not None:
        run.checkpoints = lambda stage: checkpoint
    return run


@settings(max_examples=60, deadline=None)
@given(
    low=st.integers(0, 998),
    width=st.integers(1, 1000),
    seed=st.integers(0, 2**32),
    step=st.integers(0, 11),
    stills=st.booleans(),
    anchor=st.booleans(),
    share=st.floats(0, 1),
)
def test_each_loss_stays_in_its_range_of_noise(low, width, seed, step, stills, anchor, share):
    high = min(low + width, 1000)
    lora = config(warped_low=low, warped_high=high, source_low=100, source_high=300, shared_noise=share).lora
    source, warped = parts(step, lora, material(anchor=anchor, stills=stills), torch.Generator().manual_seed(seed))
    assert ((warped.t >= low) & (warped.t < high)).all()
    assert ((source.t >= 100) & (source.t < 300)).all()
    for part in (source, warped):
        assert part.clean.shape == part.noise.shape and len(part.t) == len(part.clean)
    assert source.clean.shape[2] == (1 if stills else 3) and warped.clean.shape[2] == 3
    if anchor:
        assert torch.equal(warped.clean[0, :, 0], material().source[0])


def test_every_timestep_of_the_range_can_be_drawn():
    lora = config(warped_low=995, warped_high=1000).lora
    drawn = {int(parts(s, lora, material(), torch.Generator().manual_seed(s))[1].t) for s in range(80)}
    assert drawn == {995, 996, 997, 998, 999}


def test_sequential_training_begins_with_the_source_alone():
    lora = config(schedule="sequential").lora
    counts = [len(parts(step, lora, material(), torch.Generator().manual_seed(step))) for step in range(12)]
    assert counts == [1] * 6 + [2] * 6
    assert len(parts(0, config(warped_weight=0.0).lora, material(), torch.Generator().manual_seed(0))) == 1


def test_a_clip_that_is_too_short_goes_to_and_fro():
    lora = config(clip_frames=6).lora
    short = material(frames=3)
    part = parts(0, lora, short, torch.Generator().manual_seed(0))[0]
    assert torch.equal(part.clean[0].transpose(0, 1), short.source[[0, 1, 2, 1, 0, 1]])


def test_noise_that_moves_with_still_content_is_the_same_in_all_frames():
    lora = config(shared_noise=1.0).lora
    noise = parts(0, lora, material(), torch.Generator().manual_seed(0))[1].noise
    torch.testing.assert_close(noise[:, :, 0], noise[:, :, 1])
    apart = parts(0, config(shared_noise=0.0).lora, material(), torch.Generator().manual_seed(0))[1].noise
    assert (apart[:, :, 0] - apart[:, :, 1]).abs().mean() > 0.5


def test_the_tuned_weights_are_adapters_and_temporal_outputs(tiny, tmp_path):
    net = build(tiny, config().lora, config().video, run_context(tmp_path))
    names = list(trainable(net))
    kinds = {site: sum(f".{site}." in n and "lora_A" in n for n in names) for site in ("attn1", "attn2", "attn_temp")}
    assert kinds["attn1"] == kinds["attn2"] == kinds["attn_temp"] > 0
    assert all("lora_" in n or "attn_temp.to_out.0.base_layer" in n for n in names)
    only = build(tiny, config(targets="attn2").lora, config().video, run_context(tmp_path))
    assert all(".attn2." in n for n in trainable(only))


def test_parts_together_and_apart_have_the_same_gradients(tiny, tmp_path):
    """One forward for both losses is only faster."""
    text = tiny.encode_text(["a dog"])
    chosen = parts(0, config().lora, material(), torch.Generator().manual_seed(0))
    gradients = []
    for groups in ([chosen], [chosen[:1], chosen[1:]]):
        net = build(tiny, config().lora, config().video, run_context(tmp_path))
        losses = [x for group in groups for x in loss_of(net, tiny, text, group)]
        gradients.append((losses, [p.grad for p in trainable(net).values()]))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    for one, two in zip(gradients[0][1], gradients[1][1], strict=True):
        torch.testing.assert_close(one, two, atol=1e-7, rtol=1e-3)


def held_loss(net, backbone, text, clip):
    """D_s on fixed noise and timesteps."""
    g = torch.Generator().manual_seed(99)
    clean = clip.transpose(0, 1)[None]
    noise = [torch.randn(clean.shape, generator=g) for _ in range(6)]
    chosen = [Part(clean, n, torch.tensor([t]), 1.0) for n, t in zip(noise, (50, 200, 400, 600, 800, 950), strict=True)]
    with torch.no_grad():
        return sum(loss_of(net, backbone, text, chosen, backward=False))


def test_tuning_lowers_the_loss_on_the_source(tiny, tmp_path):
    text, clip = tiny.encode_text(["a dog"]), material(frames=3)
    lora = config(steps=12, rank=8, lr=3e-2).lora
    net = build(tiny, lora, config().video, run_context(tmp_path))
    before = held_loss(net, tiny, text, clip.source)
    tune(net, tiny, text, clip, lora, run_context(tmp_path))
    after = held_loss(net, tiny, text, clip.source)
    # Only attention learns in a net whose random output layer is fixed: a little, but on every noise level together.
    assert after < 0.99 * before


def test_a_fit_that_was_killed_ends_as_an_uninterrupted_one(tiny, tmp_path):
    text, lora = tiny.encode_text(["a dog"]), config(steps=7, save_every=2, shared_noise=0.5).lora

    def fit(checkpoint=None, stop=None):
        class Stop(NullProgress):
            seen = 0

            def step(self, stage, done, preview=None):
                Stop.seen = done

            def cancelled(self):
                return stop is not None and Stop.seen >= stop

        run = run_context(tmp_path, checkpoint, Stop())
        return tune(build(tiny, lora, config().video, run), tiny, text, material(), lora, run)

    whole = fit()
    checkpoint = Memory()
    with pytest.raises(Cancelled):
        fit(checkpoint, stop=4)
    assert int(checkpoint.kept["step"]) == 4
    resumed = fit(checkpoint)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[n], resumed[n]) for n in whole)


def test_a_scaled_loss_tunes_the_same(tiny, tmp_path, monkeypatch):
    """For float16; a power of two changes no bit in float32."""

    def fit():
        lora = config(steps=2, lr=1e-2).lora
        net = build(tiny, lora, config().video, run_context(tmp_path))
        return tune(net, tiny, tiny.encode_text(["a dog"]), material(), lora, run_context(tmp_path))

    plain, scales = fit(), []
    monkeypatch.setattr(tuning, "loss_scale", lambda backbone: scales.append(1024.0) or 1024.0)
    scaled = fit()
    assert scales and all(torch.equal(plain[name], scaled[name]) for name in plain)


def test_float16_alone_scales_its_loss(tiny):
    class Planned:
        def __init__(self, **plan):
            self.plan = Plan(**plan)

    assert (
        mixed_precision.loss_scale(tiny)
        == mixed_precision.loss_scale(Planned(dtype="bfloat16", autocast="bfloat16"))
        == 1
    )
    assert mixed_precision.loss_scale(Planned(dtype="float16", autocast="float16")) == 1024


def test_folded_adapters_compute_the_same(tiny, tmp_path):
    text, lora = tiny.encode_text(["a dog"]), config(steps=3, lr=1e-2).lora
    net = build(tiny, lora, config().video, run_context(tmp_path))
    fitted = tune(net, tiny, text, material(), lora, run_context(tmp_path))
    folded = build(tiny, lora, config().video, run_context(tmp_path))
    load_tuned(folded, fitted)
    x = torch.randn(1, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(folded(x, 500, text), net(x, 500, text), atol=1e-5, rtol=1e-4)


def test_a_fit_that_diverges_says_so(tiny, tmp_path):
    broken = dataclasses.replace(material(), source=torch.full((5, 4, 16, 16), torch.nan))
    lora = config(steps=2).lora
    net = build(tiny, lora, config().video, run_context(tmp_path))
    with pytest.raises(UserError, match="diverged.*method.lora.lr"):
        tune(net, tiny, tiny.encode_text(["a dog"]), broken, lora, run_context(tmp_path))


def test_variations_begin_with_the_image_and_stay_near_it(draw):
    frame = torch.zeros(3, 32, 32)
    frame[:, 8:24, 8:24] = 1
    many = variations(frame, 16, draw)
    assert many.shape == (16, 3, 32, 32) and torch.equal(many[0], frame)
    assert (many[1:] - frame).abs().amax((1, 2, 3)).min() > 0.01
    assert (many.mean((1, 2, 3)) - frame.mean()).abs().max() < 0.15
