"""Poses of reference and driving, fitted to each other and drawn."""

import json

import numpy as np
import pytest

from motionkit.errors import UserError
from motionkit.media import from_frames, letterbox, resample
from motionkit.methods.animatex.config import AnimateXSettings
from motionkit.methods.animatex.poses import (
    arrange,
    estimator_of,
    overlaid,
    placed,
    read_driving,
    read_reference,
    restored,
    skeletons,
    stored,
)
from motionkit.perception.pose import PoseClip, PoseSettings
from motionkit.perception.pose.files import save
from motionkit.sprites import Motion, character, render_clip
from tests.standing import STANDING


def standing(frames=3, size=(100, 100), shift=0.0, hidden=()):
    points = STANDING / 100
    clip = np.stack([points + [shift + 0.01 * f, 0] for f in range(frames)])
    clip[:, list(hidden)] = np.nan
    return PoseClip.of(clip, size)


class TestArrange:
    def test_safe_puts_the_driving_where_the_reference_stands(self):
        aligned = arrange(standing(), standing(1, shift=0.2), "auto")
        assert aligned.reference_known and aligned.facts["align"] == "safe" and len(aligned.poses) == 4
        assert np.allclose(aligned.poses.points[1], aligned.poses.points[0])  # the first frame fits the reference
        assert np.allclose(np.diff(aligned.poses.points[1:], axis=0)[..., 0], 0.01)  # and the motion is as it was

    def test_without_a_pose_of_its_own_the_first_driving_pose_with_a_body_stands_in(self):
        driving = standing()
        driving.xy[0], driving.seen[0] = -1, False
        aligned = arrange(driving, None, "auto")
        assert not aligned.reference_known and aligned.facts["reference_pose"] == "the driving's, frame 1"
        assert np.array_equal(aligned.poses.xy[0], driving.xy[1]) and np.array_equal(aligned.poses.xy[1:], driving.xy)

    @pytest.mark.parametrize("mode", ["safe", "compat"])
    def test_an_alignment_that_was_asked_for_is_not_left_out(self, mode):
        with pytest.raises(UserError, match=f"method.align={mode} needs"):
            arrange(standing(), None, mode)

    def test_auto_leaves_poses_alone_that_share_no_joint_and_says_so(self):
        legs, arms = standing(hidden=range(8)), standing(1, hidden=range(8, 18))
        aligned = arrange(legs, arms, "auto")
        assert aligned.facts["align"] == "none" and "not aligned" in aligned.facts["notes"][-1]
        with pytest.raises(UserError, match="two joints"):
            arrange(legs, arms, "safe")

    def test_compat_with_missing_joints_says_what_to_do(self):
        with pytest.raises(UserError, match="use align=safe"):
            arrange(standing(hidden=[5, 2, 8, 11, 1]), standing(1), "compat")


class TestReading:
    def test_a_file_is_placed_where_the_letterbox_put_the_picture(self, tmp_path):
        points = np.full((2, 18, 2), 0.5)
        points[:, 1] = (0.25, 0.0)
        poses = PoseClip.of(points, (100, 200))
        picture = np.zeros((2, 100, 200, 3), np.uint8)
        picture[:, 0:4, 48:52] = 255  # what the neck is on
        fitted = letterbox(from_frames(picture), 64, 64)[0]
        file = save(poses, tmp_path / "poses.npz")
        found = read_driving(fitted, AnimateXSettings(), file, True, "cpu", 8.0)
        x, y = (found.points[0, 1] * 64).round().astype(int)
        assert fitted.frames[0, y, x].max() > 80 and fitted.frames[0, 40, 40].max() == 0
        assert placed(poses, 100, 200) is poses

    @pytest.mark.parametrize("kind", ["npz", "openpose", "canvas"])
    def test_a_file_that_states_no_size_belongs_to_the_clip_as_it_was_given(self, kind, tmp_path):
        """A neck at (63.5, 45.5) of 640 x 360 pixels, letterboxed to 128: whichever way the file says it."""
        fitted = letterbox(from_frames(np.zeros((1, 360, 640, 3), np.uint8)), 128, 128)[0]
        again = letterbox(resample(fitted, frames=1), 128, 128)[0]
        assert fitted.source_size == again.source_size == (360, 640)
        neck = np.full((1, 18, 2), np.nan)
        neck[0, 1] = (317.5 / 640, 87.5 / 360)
        file = tmp_path / "poses.npz"
        if kind == "npz":
            np.savez(file, points=neck)
        else:
            file, body = tmp_path / "poses.json", np.zeros((18, 3))
            canvas, scale = ({"canvas_width": 1280, "canvas_height": 720}, 2) if kind == "canvas" else ({}, 1)
            body[1] = (317.5 * scale, 87.5 * scale, 1)
            file.write_text(json.dumps([{"people": [{"pose_keypoints_2d": body.ravel().tolist()}], **canvas}]))
        for clip in (fitted, again):
            driving = read_driving(clip, AnimateXSettings(), file, True, "cpu", 8.0)
            reference = read_reference(clip, AnimateXSettings(reference_pose=str(file)), True, "cpu")
            for found in (driving, reference):
                assert found.points[0, 1] * 128 == pytest.approx([63.5, 45.5], abs=0.01)

    def test_pixels_of_a_larger_picture_are_refused(self, tmp_path):
        body = np.ones((18, 3)) * [900, 700, 1]
        (tmp_path / "poses.json").write_text(json.dumps([{"people": [{"pose_keypoints_2d": body.ravel().tolist()}]}]))
        clip = letterbox(from_frames(np.zeros((1, 180, 320, 3), np.uint8)), 64, 64)[0]
        with pytest.raises(UserError, match="far outside a picture of 320 x 180: state canvas_width"):
            read_driving(clip, AnimateXSettings(), tmp_path / "poses.json", True, "cpu", 8.0)

    def test_more_poses_than_frames_are_taken_evenly_and_noted(self, tmp_path):
        file = save(standing(9), tmp_path / "poses.npz")
        clip = from_frames(np.zeros((3, 100, 100, 3), np.uint8))
        found = read_driving(clip, AnimateXSettings(), file, True, "cpu", 8.0)
        assert np.allclose(found.xy, standing(9).xy[[0, 3, 6]]) and "9 poses of the file" in found.notes[-1]

    def test_nobody_is_refused_or_left_blank(self):
        grey = from_frames(np.full((2, 64, 64, 3), 127, np.uint8))
        with pytest.raises(UserError, match="found in the driving clip"):
            read_driving(grey, AnimateXSettings(), None, True, "cpu", 8.0)
        blank = read_driving(grey, AnimateXSettings(nobody="blank"), None, True, "cpu", 8.0)
        assert blank.empty.all() and "nobody was found in 2 of 2 frames" in blank.notes[-1]
        assert skeletons(blank, 64, 64, 0, False).max() == 0

    def test_bars_around_a_clip_are_not_looked_at(self):
        """A tall clip on a wide canvas: an estimator that looks for a body that fills its picture still finds it."""
        made, pad = render_clip(character(12, "person"), Motion("walk"), 2), 48
        tall = from_frames(np.pad(made.frames, ((0, 0), (pad, pad), (0, 0), (0, 0)), mode="edge"))
        clip, box = letterbox(tall, 128, 160)
        wanted = (made.openpose + [0, pad]) * box.height / tall.height + [box.left, box.top]
        driving = read_driving(clip, AnimateXSettings(), None, True, "cpu", 8.0)
        reference = read_reference(clip, AnimateXSettings(reference_pose="strict"), True, "cpu")
        for found, truth in ((driving, wanted), (reference, wanted[:1])):
            assert found.size == (128, 160) and not found.empty.any()
            assert np.linalg.norm(found.pixels()[:, :18] - truth, axis=-1).mean() < 3

    def test_the_references_pose_by_word(self, horse, tmp_path):
        picture, grey = from_frames(horse.frames[0]), from_frames(np.full((64, 64, 3), 127, np.uint8))
        assert read_reference(picture, AnimateXSettings(), True, "cpu") is not None
        assert read_reference(picture, AnimateXSettings(reference_pose="driving"), True, "cpu") is None
        assert read_reference(grey, AnimateXSettings(), True, "cpu") is None
        with pytest.raises(UserError, match="found in the reference"):
            read_reference(grey, AnimateXSettings(reference_pose="strict"), True, "cpu")
        file = save(standing(1), tmp_path / "own.json")
        found = read_reference(grey, AnimateXSettings(reference_pose=str(file)), True, "cpu")
        assert found is not None and np.allclose(found.points, standing(1).points)


def test_poses_of_a_file_leave_the_references_to_an_estimator(horse, tmp_path):
    config = AnimateXSettings(pose=PoseSettings(backend="files"))
    assert estimator_of(config).backend == "auto"
    assert read_reference(from_frames(horse.frames[0]), config, True, "cpu") is not None


def test_skeletons_are_drawn_at_the_asked_side():
    thick, fine = (skeletons(standing(1), 100, 100, side, False) for side in (0, 400))
    assert thick.shape == fine.shape == (1, 100, 100, 3)
    assert 0 < (fine.max(-1) > 60).sum() < 0.5 * (thick.max(-1) > 60).sum()


def test_overlays_show_frames_and_skeletons():
    drawn = skeletons(standing(2), 50, 50, 0, False)
    shown = overlaid(np.full((2, 50, 50, 3), 90, np.uint8), drawn)
    assert shown.min() == 30 and shown.max() > 200


def test_stored_poses_come_back():
    poses = standing(2, hidden=(3,))
    again = restored(**stored(poses))
    assert np.array_equal(again.xy, poses.xy) and np.array_equal(again.seen, poses.seen) and again.size == poses.size
