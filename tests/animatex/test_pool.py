"""The explicit pose indicator: the pool of poses, realignment, each operation, probabilities, determinism."""

import numpy as np
import pytest

from motionkit.errors import UserError
from motionkit.methods.animatex import rescale
from motionkit.methods.animatex.pool import GROUPS, IndicatorSettings, PosePool, transform
from motionkit.perception.pose import PoseClip
from motionkit.perception.pose.clip import BODY, FACE, FEET
from tests.standing import STANDING


def clip(frames=4, stretch=(1.0, 1.0), size=(100, 100), hidden=(), seed=0):
    """A body that sways, its proportions stretched, some joints hidden."""
    rng = np.random.default_rng(seed)
    points = STANDING * stretch / [size[1], size[0]] + 0.01 * rng.normal(size=(frames, 18, 2))
    points[:, list(hidden)] = np.nan
    return PoseClip.of(points, size)


def alone(*names, **more):
    """Settings in which exactly the groups of these names act, surely, without realignment."""
    return IndicatorSettings(1.0, realign=False, groups=names, each=1.0, **more)


def length(poses, a, b):
    return np.linalg.norm(poses.pixels()[:, a] - poses.pixels()[:, b], axis=-1)


def pool_of(*clips):
    return PosePool(clips or (clip(8, seed=1), clip(8, (0.6, 1.1), seed=2)), per_clip=2)


def test_the_pool_keeps_some_poses_of_each_clip_with_enough_joints():
    mixed = clip(5, hidden=range(14))
    pool = PosePool([clip(8), mixed], per_clip=3)
    assert len(pool) == 3 and all(len(p) == 1 for p in pool.poses)
    with pytest.raises(UserError, match="anchor poses"):
        PosePool([mixed])
    again = PosePool.of_arrays(**pool.arrays())
    assert all(np.array_equal(a.xy, b.xy) and a.size == b.size for a, b in zip(again.poses, pool.poses, strict=True))
    with pytest.raises(UserError, match="arrays do not match"):
        PosePool.of_arrays(np.zeros((1, 3, 2)), np.zeros((1, 3)), np.ones((1, 2)))


def test_lambda_is_the_share_of_clips_that_change():
    pool, rng, poses = pool_of(), np.random.default_rng(0), clip()
    changed = [not transform(poses, pool, IndicatorSettings(0.7), rng)[1].nothing for _ in range(300)]
    assert 0.6 < np.mean(changed) < 0.8
    same, change = transform(poses, pool, IndicatorSettings(0.0), rng)
    assert same is poses and change.nothing
    assert not any(transform(poses, pool, IndicatorSettings(1.0), rng)[1].anchor is None for _ in range(20))


def test_the_same_generator_gives_the_same_poses_and_another_others():
    pool, poses = pool_of(), clip()
    runs = [transform(poses, pool, IndicatorSettings(1.0), np.random.default_rng(s))[0].xy for s in (3, 3, 4)]
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


def test_leaving_a_group_out_leaves_the_other_draws_alone():
    pool, poses = pool_of(), clip()
    for seed in range(12):
        full = transform(poses, pool, IndicatorSettings(1.0), np.random.default_rng(seed))[1]
        for group, names in GROUPS.items():
            others = tuple(g for g in GROUPS if g != group)
            less = transform(poses, pool, IndicatorSettings(1.0, groups=others), np.random.default_rng(seed))[1]
            kept = [o for o in full.operations if o[0] not in (*names, "add")]
            assert [o for o in less.operations if o[0] != "add"] == kept and less.anchor == full.anchor


def test_realigned_poses_have_the_anchors_body_and_the_clips_motion():
    one, anchor = clip(1, seed=3), clip(1, (0.7, 1.3), size=(150, 90))
    moved = np.repeat(one.xy, 5, 0) + 0.03 * np.arange(5)[:, None, None]  # a body whose bones keep their lengths
    driving = one.with_points(moved, np.repeat(one.seen, 5, 0))
    only = IndicatorSettings(1.0, rescale=False)
    out, change = transform(driving, PosePool([anchor]), only, np.random.default_rng(0))
    assert change.anchor == 0 and not change.operations and out.size == anchor.size
    for a, b in ((2, 3), (3, 4), (8, 9), (1, 0)):
        assert length(out, a, b) == pytest.approx(np.full(5, length(anchor, a, b)[0]))
    still = np.abs(np.diff(driving.xy[:, BODY], axis=0)).max()
    assert np.abs(np.diff(out.xy[:, BODY], axis=0)).max() > 0.3 * still


FACTORS = {  # operation -> bones (pairs of joints) that change, and some that do not
    "body": ([], [(2, 3), (8, 9), (1, 0)]),
    "shoulders": ([(1, 2), (1, 5)], [(2, 3), (3, 4), (8, 9)]),
    "neck": ([(1, 0)], [(0, 14), (14, 16), (1, 2)]),
    "face": ([(0, 14), (14, 16)], [(1, 0), (2, 3)]),
    "arms": ([(2, 3), (3, 4), (5, 6), (6, 7)], [(1, 2), (8, 9)]),
    "legs": ([(8, 9), (9, 10), (11, 12), (12, 13)], [(2, 3), (1, 8)]),
}


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("factor", [0.5, 1.4])
def test_each_length_operation_changes_its_own_bones_on_every_frame(name, factor):
    poses = clip()
    xy = np.where(poses.seen[..., None], poses.xy, np.nan)
    rescale.LENGTHS[name](xy, factor)
    out = poses.with_points(xy)
    longer, same = FACTORS[name]
    for a, b in longer:
        assert np.allclose(length(out, a, b), factor * length(poses, a, b)), (a, b)
    for a, b in same:
        assert np.allclose(length(out, a, b), length(poses, a, b)), (a, b)
    if name == "body":

        def trunk(c):
            return np.linalg.norm(c.pixels()[:, [8, 11]].mean(1) - c.pixels()[:, 1], axis=-1)

        assert np.allclose(trunk(out), factor * trunk(poses))


def test_factors_come_from_the_stated_range():
    rng, poses, seen = np.random.default_rng(1), clip(), []
    for _ in range(200):
        change = transform(poses, pool_of(), alone("arm_leg", low=0.8, high=1.1), rng)[1]
        seen += [factor for _, factor in change.operations]
    assert len(seen) == 400 and 0.8 <= min(seen) < 0.83 and 1.07 < max(seen) <= 1.1


def test_dropped_parts_are_gone_on_every_frame_and_vary():
    rng, poses, names = np.random.default_rng(0), clip(), set()
    for _ in range(60):
        out, change = transform(poses, pool_of(), alone("drop"), rng)
        name = change.operations[0][1]
        names.add(name)
        assert not out.seen[:, rescale.PARTS[name]].any() and (out.xy[:, rescale.PARTS[name]] == -1).all()
        others = [j for j in range(18) if j not in rescale.PARTS[name]]
        assert np.array_equal(out.xy[:, others], poses.xy[:, others])
    assert names == {"right arm", "left arm", "right leg", "left leg", "face", "arms", "legs"}  # there are no feet


def test_added_limbs_hang_where_the_body_is():
    poses, rng = clip(hidden=(3, 4)), np.random.default_rng(0)
    anchor = clip(1, seed=5)
    for _ in range(20):
        out, change = transform(poses, PosePool([anchor]), alone("add"), rng)
        name = change.operations[0][1]
        if name == "right arm":
            assert out.seen[:, [3, 4]].all()
            ratio = length(out, 2, 3) / length(anchor, 2, 3)
            assert np.allclose(ratio, ratio[0]) and 0.8 < ratio[0] < 1.25
        else:
            assert name == "feet" and out.seen[:, FEET].all()
            assert np.allclose(length(out, 13, 18), rescale.FOOT * length(out, 12, 13))
    full, change = transform(out, PosePool([anchor]), alone("add"), rng)
    assert full.seen[:, :20].all() and len(change.operations) == 1  # the arm or the feet, whichever was missing


def test_nothing_to_add_and_nothing_to_drop_is_no_operation():
    whole = clip()
    rng = np.random.default_rng(0)
    with_feet = transform(whole, pool_of(), alone("add"), rng)[0]
    assert transform(with_feet, pool_of(), alone("add"), rng)[1].nothing
    trunk_only = clip(hidden=(3, 4, 6, 7, 9, 10, 12, 13, 14, 15, 16, 17))
    assert transform(trunk_only, pool_of(), alone("drop"), rng)[1].nothing


def test_hidden_joints_stay_hidden_and_everything_finite():
    rng = np.random.default_rng(2)
    groups = tuple(g for g in GROUPS if g not in ("add",))
    for seed in range(40):
        hidden = np.flatnonzero(np.random.default_rng(seed).random(18) < 0.3)
        poses = clip(hidden=hidden, seed=seed)
        out, _ = transform(poses, pool_of(), IndicatorSettings(1.0, groups=groups, each=0.8), rng)
        assert np.isfinite(out.xy).all() and not out.seen[:, hidden].any() and (out.xy[~out.seen] == -1).all()
        assert np.abs(out.points[np.isfinite(out.points)]).max() < 4  # nothing was carried off by a hidden joint


def test_a_clip_that_shares_no_joint_with_the_anchor_is_not_realigned():
    legs, head = clip(hidden=(*range(8), *range(14, 18))), clip(1, hidden=range(2, 14))
    out, change = transform(legs, PosePool([head]), IndicatorSettings(1.0, rescale=False), np.random.default_rng(0))
    assert change.nothing and np.array_equal(out.xy, legs.xy)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"groups": ("arms",)}, "unknown group of pose operations"),
        ({"probability": 1.2}, "between 0 and 1"),
        ({"low": 0.0}, "0 < low <= high"),
        ({"low": 1.6}, "0 < low <= high"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, says):
    with pytest.raises(UserError, match=says):
        transform(clip(), pool_of(), IndicatorSettings(**wrong), np.random.default_rng(0))


def test_the_face_follows_the_neck():
    points = clip().points
    poses = PoseClip.of(points, (100, 100), faces=points[:, [0] * 68] + 0.01)
    xy = poses.xy.copy()
    rescale.neck(xy, 2.0)
    moved = xy[:, FACE] - poses.xy[:, FACE]
    assert np.allclose(moved, (xy[:, 0] - poses.xy[:, 0])[:, None]) and np.abs(moved).max() > 0.01


@pytest.mark.parametrize("size", [(60, 140), (150, 90)])
def test_a_body_is_changed_alike_in_frames_of_any_shape(size):
    """The same pixels of a square, a wide and a tall frame end at the same pixels: no length is one of fractions."""

    def inside(poses):
        return poses.with_points(poses.pixels() / size[::-1], poses.seen, size=size)

    driving = clip(5, (0.8, 0.9), hidden=(3, 4, 9, 10, *range(14, 18)), seed=3)
    square = pool_of()
    other = PosePool([inside(pose) for pose in square.poses], per_clip=1)
    assert len(other) == len(square)
    other.poses = [inside(pose) for pose in square.poses]  # in the same order
    done = set()
    for seed in range(16):
        a, b = (
            transform(poses, pool, IndicatorSettings(1.0), np.random.default_rng(seed))
            for poses, pool in ((driving, square), (inside(driving), other))
        )
        assert a[1] == b[1] and np.array_equal(a[0].seen, b[0].seen) and b[0].size == size
        assert np.allclose(a[0].pixels(), b[0].pixels(), atol=1e-6, equal_nan=True)
        done |= {name for name, _ in a[1].operations}
    assert done == set(rescale.ORDER)
