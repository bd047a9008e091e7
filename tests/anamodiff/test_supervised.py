"""The recipe with the sprite world's truth: labels stay true under augmentation, and the shipped nets earned theirs."""

import numpy as np
import pytest
import torch

from motionkit.diffusion.warp import warp
from motionkit.methods.anamodiff.keypoints import Keypoints
from motionkit.methods.anamodiff.supervised import (
    by_style,
    evaluate_keypoints,
    frames01,
    pairs,
    place_anew,
    shared_clips,
    truth_keypoints,
)
from motionkit.methods.anamodiff.weights import load_network, pocket_folder
from motionkit.training.recipes.sprite_batches import clips


def test_keypoints_move_with_the_picture():
    size = 128
    frames = torch.zeros(4, 3, size, size)
    value = torch.tensor([[20.0, 30.0], [80.0, 64.0], [50.0, 90.0]]).expand(4, 3, 2) * 2 / (size - 1) - 1
    for b in range(4):
        frames[b, 0, 64, 80] = 1.0
    jacobian = torch.eye(2).expand(4, 3, 2, 2)
    moved, points = place_anew(frames, Keypoints(value, jacobian), torch.Generator().manual_seed(3))
    for b in range(4):
        y, x = np.unravel_index(moved[b, 0].argmax(), (size, size))
        there = (points.value[b, 1] + 1) / 2 * (size - 1)
        assert abs(there[0] - x) <= 1.5 and abs(there[1] - y) <= 1.5
    # A bone frame turns with the picture: the offset between two points turns by the same rotation.
    before, after = value[0, 2] - value[0, 1], points.value[0, 2] - points.value[0, 1]
    turned = points.jacobian[0, 0] @ before
    assert torch.allclose(turned / turned.norm(), after / after.norm(), atol=1e-4)


def test_the_exact_flow_warps_one_moment_onto_the_other():
    data = pairs("test", 0, 0, 8, "train", 32)
    small = torch.nn.functional.avg_pool2d(data.source, 4), torch.nn.functional.avg_pool2d(data.target, 4)
    seen = (data.weight > 0.9)[:, None]
    error = ((warp(small[0], data.flow, padding="border") - small[1]).abs() * seen).mean()
    still = ((small[0] - small[1]).abs() * seen).mean()
    assert error < 0.6 * still


def test_truth_keypoints_are_in_range():
    data = clips("test", 0, 0, 6)
    points = truth_keypoints(data, 0)
    assert points.value.shape == (6, 12, 2) and points.jacobian.shape == (6, 12, 2, 2)
    assert points.value.abs().max() < 1.1
    assert frames01(data, 0).max() <= 1


def test_the_shipped_detector_finds_the_joints_of_unseen_characters():
    detector, facts = load_network(pocket_folder() / "keypoints.safetensors", "keypoints")
    figures = evaluate_keypoints(detector, count=24)
    assert figures["median_px"] < 2 * facts["figures"]["median_px"]
    assert figures["median_px"] == pytest.approx(0.8, abs=0.8)


def test_settings_take_turns_and_one_named_twice_shows_other_characters():
    data = shared_clips("test", 0, 3, 7, ("easy", "wild", "wild"))
    assert [c.character.setting for c in data] == ["easy", "wild", "wild"] * 2 + ["easy"]
    assert len({c.character.key for c in data}) == 7
    alone, before = shared_clips("test", 0, 3, 4), clips("test", 0, 3, 4)
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(alone, before, strict=True))


@pytest.mark.parametrize("setting", ["wild", "foreign"])
def test_flow_and_keypoints_are_true_where_the_renderer_varies(setting):
    data = pairs("test", 0, 0, 8, "test", 32, setting=setting)
    small = torch.nn.functional.avg_pool2d(data.source, 4), torch.nn.functional.avg_pool2d(data.target, 4)
    seen = (data.weight > 1.5)[:, None]  # cells of the subject
    error = ((warp(small[0], data.flow, padding="border") - small[1]).abs() * seen).sum()
    still = ((small[0] - small[1]).abs() * seen).sum()
    assert error < 0.75 * still
    assert torch.allclose(torch.linalg.det(data.kp_source.jacobian), torch.ones(8, 12), atol=1e-4)


def test_figures_of_all_styles_keep_their_names_apart():
    seen = []

    def measure(style):
        seen.append(style)
        return {"mean_px": float(len(seen)), "n": 4}

    assert by_style(measure) == {"mean_px": 1.0, "n": 4, "wild_mean_px": 2.0, "foreign_mean_px": 3.0}
    assert seen == ["easy", "wild", "foreign"]


def test_the_flow_stage_learns_visibility_on_the_sets_latents(tmp_path, monkeypatch):
    import json
    import sys

    import torch
    from diffusers import AutoencoderKL

    from motionkit.methods.anamodiff import lofnet_stage
    from motionkit.methods.anamodiff.weights import load_network
    from motionkit.training.recipes import pocket_sd
    from motionkit.training.recipes.pocket_vae import CONFIG

    monkeypatch.chdir(tmp_path)
    sizes = dict(block_out_channels=(16, 16, 32), norm_num_groups=8, attention_head_dim=(2, 2, 4))
    monkeypatch.setattr(pocket_sd, "UNET", pocket_sd.UNET | sizes)
    folder = tmp_path / "benchmarks" / "pocket" / "set"
    torch.manual_seed(0)
    AutoencoderKL(**CONFIG | dict(block_out_channels=(16,))).save_pretrained(folder / "pocket-sd" / "vae")
    model, *_ = pocket_sd.build(folder / "pocket-sd", 0, False, "cpu")
    pocket_sd.export(model, folder / "pocket-sd")
    monkeypatch.setattr(
        sys, "argv", ["lofnet_stage", "--folder", "runs/pocket/anamodiff-lofnet", "--steps", "2", "--batch", "4"]
    )
    monkeypatch.setattr(lofnet_stage, "CONFIG", lofnet_stage.CONFIG | dict(block_expansion=8, max_features=16))
    lofnet_stage.main()
    net, facts = load_network(folder / "anamodiff" / "lofnet.safetensors", "lofnet")
    assert net.occlusion is not None and facts["figures"]["n"] == 64
    assert json.loads((folder / "records" / "anamodiff-lofnet.json").read_text())["figures"]["flow_px"] > 0


def test_the_keypoint_stage_leaves_its_network_and_its_figures(tmp_path, monkeypatch):
    import json
    import sys

    from motionkit.methods.anamodiff import keypoint_stage

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keypoint_stage, "by_style", lambda measure: measure("wild"))
    monkeypatch.setattr(
        keypoint_stage, "evaluate_keypoints", lambda net, setting: evaluate_keypoints(net, count=4, setting=setting)
    )
    small = keypoint_stage.KEYPOINT_CONFIG | dict(block_expansion=8, max_features=16)
    monkeypatch.setattr(keypoint_stage, "KEYPOINT_CONFIG", small)
    monkeypatch.setattr(sys, "argv", ["keypoint_stage", "--steps", "2", "--batch", "4"])
    keypoint_stage.main()
    folder = tmp_path / "benchmarks" / "pocket" / "set"
    net, facts = load_network(folder / "anamodiff" / "keypoints.safetensors", "keypoints")
    record = json.loads((folder / "records" / "anamodiff-keypoints.json").read_text())
    assert facts["figures"] == record["figures"] and record["steps"] == 2 and record["figures"]["mean_px"] > 0


def test_pairs_say_what_the_source_shows():
    data = pairs("visible test", 0, 0, 4, "train", 32)
    assert data.visible.shape == (4, 32, 32) and data.visible.min() == 0 and data.visible.max() == 1
    assert (data.visible[data.weight == 0] == 0).all()  # what has no weight in the flow is hidden
