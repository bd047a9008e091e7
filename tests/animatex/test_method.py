"""Animate-X as a Transfer on the tiny backbone: what a run leaves, windows, guidance, inputs and refusals."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

from motionkit.errors import MissingWeights, UserError
from motionkit.media import from_frames
from motionkit.methods.animatex.config import PRESETS
from motionkit.methods.animatex.net.backbone import AnimateXBackbone
from motionkit.perception.pose import PoseSettings, read_poses
from motionkit.perception.pose.files import save
from motionkit.running.execute import execute
from motionkit.testing import sample_inputs
from motionkit.weights import places


def run(inputs, backbone="tiny-animatex", frames=4, seed=0, size=None, **config):
    given = {"sample": {"steps": 2}} | config
    return execute("animatex", inputs, config=given, backbone=backbone, frames=frames, seed=seed, size=size)


def test_a_run_shows_poses_and_says_how_they_came_about(request_, own_cache):
    result = run(request_)
    assert result.frames.shape == (4, 64, 64, 3) and result.frames.std() > 5
    assert result.manifest["config"]["window"] == {"size": 32, "overlap": 8}  # the preset's, as it was used
    poses = result.manifest["notes"]["poses"]
    assert poses["align"] == "safe" and poses["reference_pose"] == "its own" and poses["alignment"]["scale"][0] > 0
    assert set(result.manifest["notes"]["settings"]) == set(PRESETS["released"])
    assert result.shown["skeletons"].shape == (5, 64, 64, 3) and result.shown["skeletons"].max() > 100
    assert result.shown["poses-read"].shape == result.shown["poses-aligned"].shape == (4, 64, 64, 3)
    again = run(request_, seed=1)
    assert again.manifest["from_cache"] == ["prepare"] and not np.array_equal(again.frames, result.frames)


@pytest.mark.parametrize("mode", ["local", "latent", "both"])
def test_each_reference_mode_sees_the_reference(request_, mode):
    red = request_.reference.frames.copy()
    red[..., 0] = 255
    other = replace(request_, reference=from_frames(red, 8.0, "red", True))
    # Only the pictures differ: the same pose, and nothing of the features.
    first, second = (run(r, reference_mode=mode, indicator=False, reference_pose="driving") for r in (request_, other))
    assert not np.array_equal(first.frames, second.frames)
    assert first.manifest["notes"]["settings"]["reference_mode"] == mode


def test_the_reference_can_be_in_the_noise_that_it_begins_with(request_):
    plain = run(request_)
    assert not np.array_equal(run(request_, sample={"steps": 2, "prior": 949}).frames, plain.frames)


def test_the_indicator_can_be_left_out(request_):
    assert not np.array_equal(run(request_).frames, run(request_, indicator=False).frames)


def counted(inputs, **config):
    """The frames of each call of the network, and of each preparation."""
    calls, made = [], []
    denoise, prepare = AnimateXBackbone.denoise, AnimateXBackbone.prepare

    def denoising(self, latents, t, *rest, **named):
        calls.append((len(latents), latents.shape[2]))
        return denoise(self, latents, t, *rest, **named)

    def preparing(self, conditions, **named):
        made.append(conditions.frames)
        return prepare(self, conditions, **named)

    with mock.patch.object(AnimateXBackbone, "denoise", denoising):
        with mock.patch.object(AnimateXBackbone, "prepare", preparing):
            result = run(inputs, **config)
    return result, calls, made


def test_long_clips_are_made_in_windows_and_prepared_once(request_):
    result, calls, made = counted(request_, frames=7, window={"size": 4, "overlap": 2})
    assert result.manifest["notes"]["windows"] == 3 and calls == [(1, 4)] * (2 * 3 * 2)
    assert made == [4, 4, 4, 4]  # three windows, and one for all of them without conditions
    assert len(result.frames) == 7


def test_both_passes_in_one_call_give_the_same(request_):
    one, calls, _ = counted(request_, sample={"steps": 2, "batched": "on"})
    two, more, _ = counted(request_, sample={"steps": 2, "batched": "off"})
    assert calls == [(2, 4)] * 2 and more == [(1, 4)] * 4
    assert np.abs(one.frames.astype(int) - two.frames).max() <= 1


def test_a_guidance_of_one_needs_one_pass(request_):
    _, calls, made = counted(request_, sample={"steps": 3, "guidance": 1.0})
    assert len(calls) == 4 and made == [4]  # three steps are four where 3 does not divide 1000


def test_guidance_may_count_in_a_part_of_the_steps(request_):
    """Of the timesteps 1, 251, 501, 751 the two in between: six calls of the network in place of eight."""
    whole, every, _ = counted(request_, sample={"steps": 4})
    part, calls, _ = counted(request_, sample={"steps": 4, "guidance_interval": [0.2, 0.6]})
    assert (len(every), len(calls)) == (8, 6) and not np.array_equal(part.frames, whole.frames)
    none, calls, _ = counted(request_, sample={"steps": 4, "guidance_interval": [0.6, 0.7]})
    assert len(calls) == 4
    assert np.array_equal(none.frames, run(request_, sample={"steps": 4, "guidance": 1.0}).frames)


@pytest.mark.parametrize(
    "sampler", ["dpmpp-2m", "dpmpp-2m-lu", "unipc", "euler-trailing", "ddim-trailing", "lcm", "tcd"]
)
def test_any_sampler_walks_from_its_noise_to_frames(request_, sampler):
    config = {"sample": {"steps": 3, "guidance": 1.0}}
    made = execute("animatex", request_, config=config, backbone="tiny-animatex", frames=4, sampler=sampler)
    assert made.frames.shape == (4, 64, 64, 3) and made.frames.std() > 1 and made.manifest["sampler"] == sampler
    assert not np.array_equal(made.frames, run(request_, **config).frames)


def test_ready_made_poses_replace_the_estimator(request_, tmp_path):
    poses = read_poses(request_.driving.frames, PoseSettings(), pocket=True)
    file = save(poses, tmp_path / "poses.npz")
    given = run(replace(request_, poses=str(file)))
    assert np.array_equal(given.frames, run(request_).frames) and given.manifest["inputs_used"][-1] == "poses"
    moved = poses.with_points(poses.xy + [0.1, 0])
    other = run(replace(request_, poses=str(save(moved, tmp_path / "moved.npz"))), align="none")
    assert not np.array_equal(other.frames, run(request_, align="none").frames)


def test_frames_that_are_not_square_work(request_):
    assert run(request_, size=(64, 96)).frames.shape == (4, 64, 64, 3)  # cut back to the reference's shape


class TestRefusals:
    def refused(self, says, inputs, kind=UserError, **config):
        with pytest.raises(kind, match=says) as caught:
            run(inputs, **config)
        assert "\n" not in str(caught.value)

    def test_nobody_in_the_driving(self):
        self.refused("nobody was found in the driving clip", sample_inputs(4, 64))

    def test_a_reference_without_pose_in_strict_mode(self, request_):
        still = replace(request_, reference=sample_inputs(4, 64).reference)
        self.refused("nobody was found in the reference", still, reference_pose="strict")
        self.refused("method.align=safe needs the reference's own pose", still, align="safe")

    def test_files_that_hold_no_poses(self, request_, tmp_path):
        for name, content, says in (
            ("poses.pkl", b"cos\nsystem\n", "pickled poses are never read"),
            ("poses.txt", b"1 2", "poses are read from"),
            ("poses.npz", b"broken", "holds no poses that can be read"),
        ):
            (tmp_path / name).write_bytes(content)
            self.refused(says, replace(request_, poses=str(tmp_path / name)))
        self.refused("no such file", request_, reference_pose=str(tmp_path / "absent.npz"))

    def test_an_estimator_that_is_not_here(self, request_, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        self.refused("DWPose's weights: not in the hub cache", request_, MissingWeights, pose={"backend": "dwpose"})

    def test_sizes_that_the_network_cannot_take(self, request_):
        self.refused("size=100: tiny-animatex needs multiples of 16", request_, size=100)

    def test_a_model_that_is_not_here(self, request_, tmp_path, monkeypatch):
        (tmp_path / "perception").symlink_to(places.PACKAGE / "perception")
        monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path))
        self.refused("pocket-animatex: this installation lacks", request_, MissingWeights, backbone="pocket-animatex")
        self.refused(
            "convert the authors' checkpoint", request_, MissingWeights, backbone="animatex", pose={"backend": "pocket"}
        )


def test_what_the_released_preset_leaves_to_differ_is_said(request_):
    from motionkit.running.choices import BackboneChoice
    from motionkit.running.request import Request, check

    for preset, said in (("released", True), ("best", False)):
        told = []
        check(Request("animatex", request_, {"preset": preset}, BackboneChoice("tiny-animatex")), say=told.append)
        assert any("differs" in line and "stretched" in line for line in told) == said


def test_skeletons_are_drawn_at_the_driving_clips_own_size(request_):
    large = replace(request_, driving=from_frames(request_.driving.frames.repeat(4, 1).repeat(4, 2), 8.0))
    thin, thick = (run(large, draw={"side": side}).shown["skeletons"] for side in (-1, 0))
    assert (thin > 0).mean() < (thick > 0).mean()
