"""The sprite world: deterministic, fast, and true to what it says of its pictures."""

import time

import numpy as np
import pytest

from motionkit.sprites import (
    BIPEDS,
    HELD_OUT_KINDS,
    HELD_OUT_MOTIONS,
    KINDS,
    MOTIONS,
    QUADRUPEDS,
    Motion,
    character,
    render_clip,
)
from motionkit.sprites.sampling import SPLITS, kinds_of, motions_of, split_of, stream


def test_the_cast_is_as_large_as_promised():
    assert len(QUADRUPEDS) >= 8 and len(BIPEDS) >= 6 and len(MOTIONS) >= 10
    assert any(k.startswith("letter") for k in KINDS) and "flag" in KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("setting", ["easy", "full"])
def test_every_kind_is_drawn_inside_the_frame_and_moves(kind, setting):
    clip = render_clip(character(5, kind, setting), Motion("walk"), 10, 128)
    assert clip.frames.shape == (10, 128, 128, 3) and clip.frames.dtype == np.uint8
    share = clip.mask.mean((1, 2))
    assert share.min() > 0.015, "the subject is there"
    border = np.concatenate([clip.mask[:, [0, -1]].ravel(), clip.mask[:, :, [0, -1]].ravel()])
    assert border.mean() < 0.06, "and nearly all of it is inside"
    assert np.abs(np.diff(clip.frames.astype(int), axis=0)).max() > 30


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("kind", ["horse", "person"])
def test_every_motion_is_large_enough_to_see(kind, name):
    clip = render_clip(character(5, kind), Motion(name), 10, 128)
    travel = np.linalg.norm(clip.keypoints - clip.keypoints.mean(0), axis=-1).max()
    assert travel > 5, "at least one point travels 5 pixels from its mean"


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_character():
    a, b = (render_clip(character(7, "cat"), Motion("run", 0.2), 4) for _ in range(2))
    assert np.array_equal(a.frames, b.frames) and np.array_equal(a.keypoints, b.keypoints)
    assert not np.array_equal(a.frames, render_clip(character(8, "cat"), Motion("run", 0.2), 4).frames)


@pytest.mark.parametrize("kind", ["giraffe", "robot", "letter K", "flag"])
def test_exact_flow_moves_the_source_frame_onto_the_target(kind):
    clip = render_clip(character(3, kind), Motion("wave" if kind != "flag" else "walk"), 6, 128)
    places, valid = clip.flow(4, 0)
    x, y = (np.rint(places[..., i]).astype(int).clip(0, 127) for i in (0, 1))
    moved = clip.frames[0][y, x].astype(int)
    inner = valid & clip.mask[4]
    # Away from edges: where the neighbourhood shows a single part, the colour must be the same paint.
    smooth = np.abs(clip.frames[4].astype(int) - np.roll(clip.frames[4].astype(int), 2, 0)).max(-1) < 4
    error = np.abs(moved - clip.frames[4]).max(-1)[inner & smooth]
    still = np.abs(clip.frames[0].astype(int) - clip.frames[4]).max(-1)[inner & smooth]
    assert len(error) > 100 and np.mean(error > 12) < 0.12
    assert np.mean(error) < np.mean(still)


def test_keypoints_lie_on_the_character():
    clip = render_clip(character(3, "bear"), Motion("walk"), 5, 128)
    ij = np.rint(clip.keypoints).astype(int)
    assert clip.mask[np.arange(5)[:, None], ij[..., 1], ij[..., 0]].mean() > 0.95
    jac = clip.jacobians
    assert np.allclose(np.linalg.det(jac), 1) and np.allclose(jac @ jac.swapaxes(-1, -2), np.eye(2))


def test_openpose_joints_where_the_character_has_them():
    assert not np.isnan(render_clip(character(1, "person"), Motion("walk"), 2).openpose).any()
    assert np.isnan(render_clip(character(1, "flag"), Motion("walk"), 2).openpose).all()
    clip = render_clip(character(1, "person"), Motion("wave", 0.25), 2)
    assert clip.openpose[0, 4, 1] < clip.openpose[0, 2, 1], "the waving wrist is above its shoulder"


def test_the_same_motion_drives_every_character():
    motion = Motion("jump", 0.1)
    hops = []
    for kind in ("horse", "cat", "person"):
        y = render_clip(character(2, kind), motion, 10).keypoints[:, 0, 1]
        hops.append(int(np.argmin(y)))
    assert max(hops) - min(hops) <= 1, "all are in the air in the same frame"


def test_depth_correspondence_and_lines():
    clip = render_clip(character(2, "elephant"), Motion("walk"), 2)
    assert (clip.depth[~clip.mask] == 0).all() and clip.depth[clip.mask].min() > 0 and clip.depth.max() <= 1
    assert (clip.correspondence[~clip.mask] == 0).all() and 0 < clip.correspondence.max() <= 1
    lines = clip.lines()
    assert lines.shape == clip.frames.shape and 0.5 < (lines > 200).mean() < 0.99 and (lines < 60).any()


def test_splits_share_no_character_and_hold_out_kinds_and_motions():
    seen = {}
    for split in SPLITS[:3]:
        draws = stream(0, split)
        seen[split] = [next(draws) for _ in range(300)]
        assert all(split_of(c.key) == split for c, _ in seen[split])
        assert {c.kind for c, _ in seen[split]} == set(kinds_of(split))
        assert {m.name for _, m in seen[split]} == set(motions_of(split))
    train_kinds = {c.kind for c, _ in seen["train"]}
    assert not train_kinds & set(HELD_OUT_KINDS) and set(HELD_OUT_KINDS) <= {c.kind for c, _ in seen["test"]}
    assert not {m.name for _, m in seen["train"]} & set(HELD_OUT_MOTIONS)
    keys = [{c.key for c, _ in seen[s]} for s in SPLITS[:3]]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]


def test_it_renders_500_frames_a_second_on_one_core():
    who, motion = character(3, "horse"), Motion("walk")
    render_clip(who, motion, 10)
    start = time.process_time()
    for _ in range(10):
        render_clip(who, motion, 10, 128)
    assert 100 / (time.process_time() - start) > 500


@pytest.mark.parametrize(
    "call",
    [
        lambda: character(0, "unicorn"),
        lambda: character(0, setting="hard"),
        lambda: character(0, colour="mauve"),
        lambda: Motion("moonwalk"),
        lambda: render_clip(character(0), Motion("walk"), 0),
    ],
)
def test_wrong_names_and_numbers_are_refused(call):
    with pytest.raises(ValueError):
        call()
