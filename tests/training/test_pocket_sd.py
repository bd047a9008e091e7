"""Training of pocket-sd: captions, which weights Muon takes, and stages that stop, hand over, go on and finish."""

import argparse
import json
import signal

import pytest
import torch
from diffusers import AutoencoderKL

from motionkit.sprites.kinds import rng_of
from motionkit.training.loop import Loop
from motionkit.training.recipes import captioned, pocket_sd
from motionkit.training.recipes.fold_latents import fold, statistics
from motionkit.training.recipes.pocket_vae import CONFIG
from motionkit.training.recipes.sprite_batches import clips
from motionkit.training.recipes.stage import UNFINISHED, run_stage
from motionkit.training.recipes.text_figures import grid, sample, subject_gradient, x0_errors


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("set") / "pocket-sd"
    vae = AutoencoderKL(**CONFIG | dict(block_out_channels=(16,))).eval()
    fold(vae, *statistics(vae, 32))
    vae.save_pretrained(folder / "vae")
    return folder


@pytest.fixture
def small(monkeypatch):
    sizes = dict(block_out_channels=(16, 16, 32), norm_num_groups=8, attention_head_dim=2)
    monkeypatch.setattr(pocket_sd, "UNET", pocket_sd.UNET | sizes)


def _loop(base, folder, steps, head=True, seed=0):
    model, vae, tokenizer = pocket_sd.build(base, seed, head, "cpu")
    loss = pocket_sd.make_loss(model, vae, tokenizer, 4, 0, "cpu")
    return Loop(model, loss, pocket_sd.recipe(folder, steps, 1e-3, ema=0.5, log_every=1))


def test_captions_have_the_right_article():
    said = {captioned.caption(c, rng_of(i)) for i, c in enumerate(clips("captions", 0, 0, 200))}
    assert any("an orange" in words for words in said) and not any("a orange" in words for words in said)
    assert {word for words in said for word in words.split()} <= set(captioned.WORDS)


def test_muon_trains_inner_weights_alone(base, small, tmp_path):
    loop = _loop(base, tmp_path, 2)
    taken = {id(p) for group in loop.muon.param_groups for p in group["params"]}
    names = {name for name, p in loop.model.named_parameters() if id(p) in taken}
    assert "unet.down_blocks.1.resnets.0.conv1.weight" in names
    assert not [n for n in names if not n.startswith("unet.") or "conv_in" in n or "time_embedding" in n]
    assert "unet.mid_block.resnets.0.norm1.weight" not in names


def test_the_head_is_trained_along(base, small, tmp_path):
    loop = _loop(base, tmp_path, 3)
    before = {k: v.clone() for k, v in loop.model.state_dict().items()}
    loop.run()
    assert (tmp_path / "curve.csv").read_text().startswith("step,seconds,loss,mse,parts")
    for name in ("head.net.2.weight", "unet.mid_block.resnets.0.conv1.weight", "unet.conv_in.weight"):
        assert not torch.equal(loop.model.state_dict()[name], before[name])
    plain = _loop(base, tmp_path / "plain", 1, head=False)
    plain.run()
    assert not any("head" in k for k in plain.model.state_dict())


def test_figures_and_pictures(base, small, tmp_path):
    model, vae, tokenizer = pocket_sd.build(base, 0, True, "cpu")
    found = x0_errors(model.eval(), vae, tokenizer, 4)
    assert set(found) == {"x0_0.8", "x0_2", "x0_5"} and all(v > 0.1 for v in found.values())
    made = sample(model, vae, tokenizer, ["a red cat", "an orange bird", "a blue bear"])
    assert made.shape == (3, 3, 128, 128) and made.abs().max() <= 1
    assert grid(made, 2).size == (256, 256)


def test_gradient_is_measured_around_the_subject():
    x = torch.zeros(2, 3, 64, 64)
    x[0, :, 20:40, 20:40] = 1
    x[1, :, 20:40, 20:40] = 0.5
    found = subject_gradient(x)
    assert found[0] == pytest.approx(2 * found[1].item(), rel=1e-3)


def test_a_stage_stops_hands_over_goes_on_and_finishes(base, small, tmp_path):
    args = argparse.Namespace(folder=tmp_path / "runs" / "pocket-sd", set=tmp_path / "set", handover=tmp_path / "over")
    first = _loop(base, args.folder, 4)
    plain = first.loss

    def interrupted(step):
        if step == 1:
            signal.raise_signal(signal.SIGTERM)
        return plain(step)

    first.loss = interrupted
    with pytest.raises(SystemExit) as stopped:
        run_stage(first, args, lambda model: None)
    assert stopped.value.code == UNFINISHED and not (args.set / "records").exists()
    assert json.loads((args.handover / "pocket-sd" / "state.json").read_text())["step"] == 2
    first.checkpoint.unlink()  # another machine
    second, exported = _loop(base, args.folder, 4, seed=3), []
    run_stage(second, args, exported.append, {"batch": 4})
    assert second.step == 4 and second.begun == 2 and exported == [second.ema]
    record = json.loads((args.set / "records" / "pocket-sd.json").read_text())
    assert record["steps"] == 4 and record["batch"] == 4
    assert len((args.set / "records" / "pocket-sd.csv").read_text().splitlines()) == 5
    assert not (args.handover / "pocket-sd").exists()
