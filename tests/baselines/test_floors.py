"""What the floors draw: the reference again, and the reference moved exactly as the driving clip moves."""

import cv2
import numpy as np
import pytest

from motionkit import media
from motionkit.errors import UserError
from motionkit.methods.warp.config import FLOWS, PATHS
from motionkit.methods.warp.method import backward_warp, compose
from motionkit.perception.flow import dense_flow
from motionkit.running.execute import execute
from motionkit.testing import moving_shapes, picture
from motionkit.transfer import Inputs


def texture(seed, height=64, width=64):
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3)).astype(np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def sliding(frames=4, step=2, seed=0):
    """A wide texture seen through a window: the content moves `step` pixels to the right with each frame."""
    wide = texture(seed, 64, 64 + frames * step)
    windows = [wide[:, (frames - i) * step : (frames - i) * step + 64] for i in range(frames)]
    return media.from_frames(np.stack(windows), 8.0, "sliding")


def psnr(one, other):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2))


def test_still_is_the_first_frame_of_the_reference(tmp_path):
    reference = moving_shapes(5, 48, 64)
    result = execute("still", Inputs(reference, moving_shapes(3, 40, 40)), folder=tmp_path)
    assert result.frames.shape == (3, 48, 64, 3)
    assert all(np.array_equal(frame, reference.frames[0]) for frame in result.frames)


def test_still_needs_no_driving(tmp_path):
    assert len(execute("still", Inputs(picture()), frames=2, folder=tmp_path).frames) == 2


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("path", PATHS)
def test_warp_moves_the_reference_as_the_driving_moves(flow, path, tmp_path):
    reference = media.from_frames(texture(7), 8.0, "texture", is_image=True)
    settings = {"flow": flow, "path": path}
    result = execute("warp", Inputs(reference, sliding()), config=settings, folder=tmp_path, use_cache=False)
    assert np.array_equal(result.frames[0], reference.frames[0])
    for i, frame in enumerate(result.frames[1:], 1):
        moved = reference.frames[0][:, : 64 - 2 * i]
        inner = (slice(8, -8), slice(8, -8))
        assert psnr(frame[:, 2 * i :][inner], moved[inner]) > 28
    assert psnr(result.frames[3], reference.frames[0]) < 20


def test_warp_without_motion_is_the_reference(tmp_path):
    driving = media.from_frames(np.repeat(texture(1)[None], 3, axis=0))
    reference = picture()
    result = execute("warp", Inputs(reference, driving), folder=tmp_path, use_cache=False)
    assert all(np.array_equal(frame, reference.frames[0]) for frame in result.frames)


def test_the_border_repeats_outside_the_picture():
    ramp = np.repeat(np.arange(8, dtype=np.uint8)[None, :, None], 8, axis=0)
    left = np.full((8, 8, 2), (-3.0, 0.0), np.float32)
    assert backward_warp(ramp, left)[0].tolist() == [0, 0, 0, 0, 1, 2, 3, 4]


def test_composed_flows_add_up():
    one, other = (np.full((6, 6, 2), step, np.float32) for step in ((1.5, 0.0), (0.25, -1.0)))
    assert np.array_equal(compose(one, other), np.full((6, 6, 2), (1.75, -1.0), np.float32))


@pytest.mark.parametrize("shape", [(1, 1), (8, 64), (64, 8), (16, 320), (33, 65)])
@pytest.mark.parametrize("kind", FLOWS)
def test_small_and_flat_pictures_have_a_flow(shape, kind):
    grey = texture(3, 64, 320)[: shape[0], : shape[1], 0]
    flow = dense_flow(grey, grey, kind)
    assert flow.shape == (*shape, 2) and np.isfinite(flow).all()


def test_the_number_of_threads_does_not_matter():
    one, other = (frame[..., 0].copy() for frame in sliding(2).frames)
    before, flows = cv2.getNumThreads(), []
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            flows.append(dense_flow(one, other))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(*flows)


def test_unknown_choices_are_refused():
    with pytest.raises(UserError, match="method.flow=raft.*dis, farneback"):
        execute("warp", Inputs(picture(), moving_shapes()), config={"flow": "raft"})
