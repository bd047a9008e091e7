"""Measures against a renderer's truth, and of what the clip judge sees of a prompt."""

import doctest

import numpy as np
import pytest

from motionkit.metrics import by_renderer, by_verdict, clipscorer, pose
from motionkit.metrics.measure import Request
from motionkit.metrics.protocols import get
from motionkit.sprites import Motion, character, render_clip

shipped = pytest.mark.skipif(
    not (clipscorer.available() and pose.available()), reason="the judges' weights are not in this checkout"
)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(by_renderer).failed == 0 and doctest.testmod(by_renderer).attempted > 2


def test_subject_masks_grow_by_two_pixels_each_way():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 4, 4] = True
    found = by_renderer.grown(mask)
    assert sorted(zip(*np.nonzero(found[0]), strict=True)) == [(2, 4), (4, 2), (4, 4), (4, 6), (6, 4)]
    assert mask.sum() == 1


def test_a_motion_is_the_same_whatever_the_body_and_the_place():
    truth = render_clip(character(3, "horse", "easy", "red"), Motion("run", 0.1, 1.0, 1.0), 16).keypoints
    assert by_renderer.paths_alike(truth, truth) == pytest.approx((1.0, 0.0))
    match, error = by_renderer.paths_alike(truth * 0.5 + [7.0, -3.0], truth)  # half as large, elsewhere
    assert match == pytest.approx(1.0) and error > 0.5
    assert by_renderer.paths_alike(truth[::-1], truth)[0] < 0.9
    assert by_renderer.paths_alike(np.repeat(truth[:1], 16, 0), truth)[0] == 0.0


def test_a_measure_is_asked_only_where_what_it_needs_is_known():
    video = np.zeros((4, 32, 32, 3), np.uint8)
    assert not Request(video).has("mask") and not Request(video).has("source_prompt")
    asked = Request(video, known={"mask": lambda: np.ones((4, 32, 32), bool)}, source_prompt="a horse")
    assert asked.has("mask") and not asked.has("keypoints") and asked.has("source_prompt")
    assert set(get("known-v1").video(video, truth=video)) == {"psnr", "ssim", "l1", "motion_ratio_truth"}


def test_an_empty_mask_has_no_figure():
    video = np.zeros((2, 16, 16, 3), np.uint8)
    empty = Request(video, truth=video, known={"mask": lambda: np.zeros((2, 16, 16), bool)})
    assert by_renderer.KNOWN_SUBJECT_PSNR.of(empty) is None


@shipped
def test_right_is_what_the_prompt_names_and_nothing_where_it_names_none():
    clip = render_clip(character(3, "horse", "easy", "red"), Motion("walk", 0.1, 1.0, 1.0), 10).frames
    right = Request(clip, prompt="a red horse walking")
    assert (
        by_verdict.KIND_RIGHT.of(right) == by_verdict.COLOUR_RIGHT.of(right) == by_verdict.MOTION_RIGHT.of(right) == 1
    )
    wrong = Request(clip, prompt="a horse dancing", source_prompt="a red horse")
    assert by_verdict.BOTH_RIGHT.of(wrong) == 0 and by_verdict.COLOUR_RIGHT.of(wrong) is None
    assert by_verdict.SOURCE_KIND_AGREEMENT.of(wrong) > 0.5
    assert by_verdict.KIND_RIGHT.of(Request(clip, prompt="a thing")) is None


@shipped
def test_a_frozen_video_is_steady_and_has_no_path():
    clip = render_clip(character(3, "horse", "easy", "red"), Motion("walk", 0.1, 1.0, 1.0), 6).frames
    frozen = Request(np.repeat(clip[:1], 6, 0), truth=clip, reference=clip[0])
    assert by_verdict.STEADY_IDENTITY.of(frozen) == pytest.approx(1) == by_verdict.FIRST_FRAME_IDENTITY.of(frozen)
    assert by_verdict.JOINT_PATH.of(frozen) == by_verdict.PATH_OVER_TRUTH.of(frozen) == 0
    assert by_verdict.EARLY_CONSISTENCY.of(frozen) == pytest.approx(1, abs=1e-5)
    assert by_verdict.FIRST_FRAME_INK.of(frozen) == 1
    assert by_verdict.STEADY_IDENTITY.of(Request(clip[:1])) is None
