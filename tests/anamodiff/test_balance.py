"""D_w's window by the size of the latents, its weight by what is predicted, and what the manifest says of both."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler

from motionkit.backbones.tiny_sizes import ARCHITECTURE
from motionkit.diffusion.warp import identity_grid
from motionkit.methods.anamodiff import balance
from motionkit.methods.anamodiff.config import AnaMoDiffConfig, LoraConfig
from motionkit.methods.anamodiff.nets import build
from motionkit.methods.anamodiff.tune import Material, gradient_norms, parts, tune
from motionkit.settings.gpu import Plan

SD = DDIMScheduler(**ARCHITECTURE["scheduler"])  # Stable Diffusion 1.x's own schedule


def snr(t):
    alpha = SD.alphas_cumprod[t].double()
    return alpha / (1 - alpha)


def test_the_window_of_the_papers_size_is_the_papers():
    assert all(balance.same_layout(SD, t, 64 * 64) == t for t in (0, 400, 800, 850, 999))


@pytest.mark.parametrize(("t", "side", "wanted"), [(800, 32, 631), (850, 32, 693), (850, 16, 500), (850, 128, 979)])
def test_the_window_moves_to_where_the_layout_is_as_noisy(t, side, wanted):
    found = balance.same_layout(SD, t, side * side)
    assert found == wanted
    step = abs(float(snr(found).log() - snr(found - 1).log()))
    assert abs(float((snr(found) * side**2).log() - (snr(t) * 64**2).log())) <= step


def test_averaged_latents_have_the_layouts_noise():
    """The closed form against a draw: cells of a constant picture, as noisy at both sizes."""
    made = torch.Generator().manual_seed(0)
    ratios = []
    for side, t in ((64, 800), (32, 631)):
        noise = torch.randn(4000, side, side, generator=made).unflatten(1, (4, -1)).unflatten(3, (4, -1)).mean((2, 4))
        ratios.append(float(snr(t).sqrt() / noise.std()))
    assert ratios[0] == pytest.approx(ratios[1], rel=0.02)


def test_the_window_stays_where_it_is_stated_and_below_its_end():
    lora = AnaMoDiffConfig().on("sd15").lora
    assert balance.windowed(lora, SD, 32 * 32).warped_low == 693
    assert balance.windowed(lora, SD, 512 * 512).warped_low == 999
    assert balance.windowed(replace(lora, warped_window="stated"), SD, 32 * 32).warped_low == 850
    assert balance.windowed(AnaMoDiffConfig(preset="paper").on("pocket-sd").lora, SD, 16 * 16).warped_low == 850


@pytest.mark.parametrize("t", [850, 931])
def test_an_error_of_the_clean_latents_weighs_as_with_v_prediction(t):
    """The gradient at the output of the weighted epsilon loss is that of the v loss, for one error of x0."""
    level = [x.double() for x in (SD.alphas_cumprod[t].sqrt(), (1 - SD.alphas_cumprod[t]).sqrt())]
    off = torch.tensor(0.3, dtype=torch.float64)
    eps_error, v_error = level[0] / level[1] * off, off / level[1]
    factor = balance.evened(SimpleNamespace(prediction_type="epsilon", scheduler=SD), torch.tensor([t]))
    assert factor * 2 * float(eps_error) == pytest.approx(2 * float(v_error), rel=1e-5)
    assert balance.evened(SimpleNamespace(prediction_type="v_prediction", scheduler=SD), torch.tensor([t])) == 1


@pytest.fixture
def run(tmp_path):
    from motionkit.context import RunContext

    return RunContext(0, 4, 64, 64, 8.0, Plan(), tmp_path)


def lora(**changes):
    settings = {"steps": 4, "rank": 2, "clip_frames": 2, "warped_weight": 1.0, "source_high": 1000} | changes
    return AnaMoDiffConfig(lora=LoraConfig(**settings)).on("tiny-sd")


def material():
    clip = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    return Material(clip, clip.flip(0), identity_grid(16, 16).expand(4, -1, -1, -1))


def test_both_norms_are_in_the_manifest_and_change_nothing(tiny, run, monkeypatch):
    config, text = lora(), tiny.encode_text(["a dog"])
    fitted = tune(build(tiny, config.lora, config.video, run), tiny, text, material(), config.lora, run)
    told = run.notes["gradients"]["source and warped, by step"]
    assert told.keys() == {"0", "2"} and all(norm > 0 for pair in told.values() for norm in pair)
    monkeypatch.setattr("motionkit.methods.anamodiff.tune.gradient_norms", lambda *a: [1.0, 1.0])
    again = tune(build(tiny, config.lora, config.video, run), tiny, text, material(), config.lora, run)
    assert all(torch.equal(fitted[name], again[name]) for name in fitted)


def test_the_balance_is_in_the_warped_losss_gradient_alone(tiny, run):
    text, norms = tiny.encode_text(["a dog"]), []
    for kind in ("none", "prediction"):
        config = lora(warped_balance=kind)
        net = build(tiny, config.lora, config.video, run)
        chosen = parts(0, config.lora, material(), torch.Generator().manual_seed(0))
        norms.append(gradient_norms(net, tiny, text, chosen))
    factor = balance.evened(tiny, chosen[1].t)
    assert factor > 5
    assert norms[1][0] == norms[0][0] and norms[1][1] == pytest.approx(factor * norms[0][1], rel=1e-4)
