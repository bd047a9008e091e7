"""Training Animate-X on single pictures: pairs with their truth, supervised attention, and inflation to clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from motionkit.errors import UserError
from motionkit.methods.animatex import image_batches
from motionkit.methods.animatex.image_batches import (
    MOMENTS,
    ImagePairs,
    flow_cells,
    moments,
    poses_of,
    rendered,
    skeleton,
)
from motionkit.methods.animatex.image_net import ImageNet, inflated
from motionkit.methods.animatex.image_stage import attention_loss, conditions, grid_offsets, make_loss, true_tokens
from motionkit.methods.animatex.net import Conditions
from motionkit.methods.animatex.net.adapters import FoldedPictures
from motionkit.methods.animatex.net.config import POCKET, POCKET_GRID, from_dict
from motionkit.sprites.kinds import rng_of
from motionkit.training.loop import Loop
from motionkit.training.recipes.pocket_sd import recipe
from motionkit.training.recipes.pocket_vae import CONFIG

SMALL = replace(POCKET_GRID, channels=(16, 16, 32), groups=8, head_dim=8, context_dim=32)


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return AutoencoderKL(**CONFIG | dict(block_out_channels=(16,))).eval().requires_grad_(False)


@pytest.fixture
def net():
    torch.manual_seed(1)
    return ImageNet(SMALL, torch.randn(1, 4, 32))


def test_pairs_are_of_one_sprite_and_say_where_things_are(vae):
    pairs = ImagePairs(vae, 0, 8, split="val")
    one, again = pairs.at(3), pairs.at(3)
    assert torch.equal(one.pose, again.pose) and torch.equal(one.clean, again.clean)
    assert one.target.shape == (8, 3, 128, 128) and one.clean.shape == (8, 4, 32, 32)
    assert not torch.equal(one.reference, one.target)
    for i in range(8):  # the reference is another moment of the same clip
        clip = range(MOMENTS * (i // MOMENTS), MOMENTS * (i // MOMENTS) + MOMENTS)
        assert sum(torch.equal(one.reference[i], one.target[j]) for j in clip if j != i) >= 1
    colour = [x.permute(0, 2, 3, 1) for x in (one.target, one.reference)]
    errors = []
    for i in range(8):
        for row, column in one.visible[i, 0].nonzero().tolist():
            x, y = one.places[i, :, row, column].round().long().tolist()
            errors.append((colour[0][i, 4 * row + 1, 4 * column + 1] - colour[1][i, y, x]).abs().max().item())
    assert len(errors) > 200 and np.mean(np.array(errors) < 0.05) > 0.85  # the same colour there, edges apart


def test_a_batch_is_drawn_from_the_steps_before(vae):
    pairs = ImagePairs(vae, 0, 4)  # one sprite a step
    later = pairs.mixed(9, 8)
    shown = {tuple(x.flatten()[:2000].tolist()) for x in later.reference_latent}
    assert len(later.clean) == 8 and len(shown) >= 5
    known = [pairs.at(s) for s in range(10)]
    for target, reference, pose in zip(later.clean, later.reference_latent, later.pose, strict=True):
        own = [p for p in known for i in range(4) if torch.equal(p.clean[i], target) and torch.equal(p.pose[i], pose)]
        assert len(own) == 1 and any(torch.equal(x, reference) for x in own[0].clean)  # what belongs together stays so
    assert torch.equal(ImagePairs(vae, 0, 4).mixed(9, 8).clean, later.clean)  # whoever resumes sees the same
    assert not torch.equal(pairs.mixed(10, 8).clean, later.clean) and len(pairs.mixed(0, 8).clean) == 8


@torch.no_grad()
def test_folded_poses_are_the_picture_itself():
    pose = torch.rand(2, 3, 3, 128, 128)
    folded = FoldedPictures(SMALL)(pose)
    assert folded.shape == (2, 12, 3, 32, 32) and not list(FoldedPictures(SMALL).parameters())
    assert folded[1, 4 + 3, 2, 5, 6] == pytest.approx(pose[1, 1, 2, 22:24, 26:28].mean().item())
    with pytest.raises(UserError, match="concat_channels"):
        replace(SMALL, concat_channels=16)
    assert from_dict(SMALL.as_dict()) == SMALL and "folded_poses" not in replace(POCKET).as_dict()


def test_poses_jitter_in_training_only(monkeypatch):
    monkeypatch.setattr(image_batches, "EPI", replace(image_batches.EPI, probability=1.0))
    held, train = (rendered("jitter test", 0, split, 16, 0) for split in ("val", "train"))
    assert np.array_equal(held.pose, held.own_pose)
    assert not np.array_equal(train.pose, train.own_pose)  # some bodies were changed
    true = np.concatenate([skeleton(poses_of(c, 0.0, rng_of(0))) for c in moments("jitter test", 0, 0, 4)])
    assert not np.array_equal(true, train.own_pose)


def test_the_true_token_is_where_the_content_is():
    clip = moments("token test", 0, 0, 1)[0]
    places, visible = (torch.from_numpy(x) for x in flow_cells(clip, 1, 1))  # nothing moves
    tokens, counts = true_tokens(places[None], visible[None], 16)
    own = torch.arange(256)[None]
    assert counts.sum() > 10 and torch.equal(tokens[counts], own[counts])
    assert grid_offsets(places[None]).abs().max() == 0
    moved, _ = true_tokens(places[None] + torch.tensor([8.0, 16.0]).view(1, 2, 1, 1), visible[None], 16)
    assert moved[0, 17] == 17 + 1 + 32
    outside, counts = true_tokens(places[None] - 200, torch.ones(1, 1, 32, 32), 16)
    assert not counts.any() and outside.min() == 0


def test_attention_on_the_true_token_costs_less():
    tokens, counts = torch.arange(4)[None], torch.tensor([[True, True, False, True]])
    right = torch.zeros(1, 4, 6)
    right[0, range(4), range(2, 6)] = 1.0  # two words first
    wrong = right.roll(1, 1)
    assert attention_loss([right], tokens, counts) < 0.01 < attention_loss([right, wrong], tokens, counts)


def test_all_losses_train(net, vae, tmp_path):
    loss = make_loss(net, ImagePairs(vae, 0, 4), 0, 8)
    loop = Loop(net, loss, recipe(tmp_path, 6, 1e-3, ema=0.5, log_every=1, warmup=2))
    loop.run()
    head, *lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert head == "step,seconds,loss,mse,attention,parts,offset" and len(lines) == 6
    attention = [float(line.split(",")[4]) for line in lines]
    assert attention[-1] < attention[0]
    trained = [n for n, p in net.named_parameters() if p.grad is None]
    assert not trained, f"no gradient reaches {trained}"


@torch.no_grad()
def test_the_clip_network_begins_as_the_image_network(net, vae):
    for p in net.parameters():
        p.add_(0.02 * torch.randn(p.shape))
    data = ImagePairs(vae, 0, 4, split="val").at(0)
    net.eval()
    network = inflated(net).eval()
    assert from_dict(network.config.as_dict()) == SMALL
    noisy, t = torch.randn(4, 4, 32, 32), torch.full((4,), 300)
    first = replace(
        data,
        **{n: getattr(data, n)[:1].expand(4, -1, -1, -1) for n in ("reference", "reference_latent", "reference_pose")},
    )
    frames = net(noisy, t, *conditions(net, first))
    poses = torch.cat([data.reference_pose[:1], data.pose]).transpose(0, 1)[None]  # (1, 3, T, H, W)
    given = Conditions(
        net.words, 4, reference=data.reference[:1], reference_latent=data.reference_latent[:1], pose_images=poses
    )
    clip = network(noisy.transpose(0, 1)[None], 300, network.prepare(given))
    assert torch.allclose(clip[0].transpose(0, 1), frames, atol=1e-4)


def test_figures_and_a_sheet(net, vae, tmp_path):
    from motionkit.methods.animatex.image_figures import figures

    found = figures(net.eval(), vae, 16, tmp_path / "sheet.png")
    assert set(found) == {"x0", "net", "still", "autoencoder"} and len(found["x0"]) == 3
    assert found["still"]["subject"] > found["net"]["subject"]  # it is not trained
    other = figures(net.eval(), vae, 16, estimate=True)
    assert other["still"] == found["still"] and other["x0"] != found["x0"]  # other pose pictures, the same truth
    assert found["still"]["keypoints"] > 2 and (tmp_path / "sheet.png").exists()


def test_the_clip_stage_goes_on_from_pictures(vae, tmp_path, monkeypatch):
    import sys

    from safetensors.torch import load_file

    from motionkit.methods.animatex import clip_stage, image_stage
    from motionkit.methods.animatex.image_stage import export
    from motionkit.training.recipes import pocket_sd

    monkeypatch.chdir(tmp_path)
    sizes = dict(block_out_channels=(16, 16, 32), norm_num_groups=8, attention_head_dim=(2, 2, 4))
    monkeypatch.setattr(pocket_sd, "UNET", pocket_sd.UNET | sizes)
    monkeypatch.setattr(image_stage, "POCKET_GRID", replace(SMALL, context_dim=128))
    folder = tmp_path / "benchmarks" / "pocket" / "set"
    vae.save_pretrained(folder / "pocket-sd" / "vae")
    model, *_ = pocket_sd.build(folder / "pocket-sd", 0, False, "cpu")
    pocket_sd.export(model, folder / "pocket-sd")
    image, _ = image_stage.build(folder / "pocket-sd", 0)
    export(image, folder / "pose-image")
    options = ["--steps", "2", "--batch", "1", "--clips", "3"]
    monkeypatch.setattr(sys, "argv", ["clip_stage", "--folder", "runs/pocket/pocket-animatex", *options])
    clip_stage.main()
    made = load_file(folder / "pocket-animatex" / "unet" / "diffusion_pytorch_model.safetensors")
    assert any("temp_attentions" in k for k in made) and any(k.startswith("grid.") for k in made)
    assert (folder / "records" / "pocket-animatex.json").exists()
    assert clip_stage.rate("network.unet.down_blocks.1.temp_convs.0.conv1.2.weight") == 1
    assert clip_stage.rate("network.unet.down_blocks.1.resnets.0.conv1.weight") < 1


@pytest.mark.parametrize("name", ["pocket-animatex-mamba", "animatex-attention-twin"])
def test_new_layers_along_time_are_trained_as_the_network_around_them_was(name):
    """What the stage's words say is what the clip stage's options are, but for which weights learn."""
    from dataclasses import fields

    import yaml

    from motionkit.methods.animatex.clip_stage import OPTIONS
    from motionkit.methods.animatex.pool import IndicatorSettings
    from motionkit.training.recipes.stages import STAGES

    (stage,) = (s for s in STAGES if s.name == name)
    words = dict(word.split("=", 1) for word in stage.options if word.startswith("train."))
    said = {key.removeprefix("train."): yaml.safe_load(value) for key, value in words.items()}
    assert said.pop("learn") == "temporal"
    for key, value in OPTIONS.items():
        if key not in ("learn", "epi"):
            assert said[key] == value, key
    for field in fields(IndicatorSettings):
        value = getattr(OPTIONS["epi"], field.name)
        given = said.get(f"epi.{field.name}", field.default)
        assert (tuple(given) if isinstance(given, list) else given) == value, field.name
