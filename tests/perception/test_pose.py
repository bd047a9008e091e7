"""Poses: the record, files, choosing people, drawing, safe alignment, and what a user is told."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from motionkit.errors import MissingWeights, UserError
from motionkit.perception.pose import PoseClip, PoseSettings, align, draw, files, read_poses
from motionkit.perception.pose.align import BONES
from motionkit.perception.pose.clip import FACE
from motionkit.perception.pose.draw import COLOURS, canvas
from motionkit.perception.pose.estimate import check, choose_backend
from motionkit.perception.pose.people import choose
from motionkit.perception.pose.skeleton import assemble
from tests.standing import STANDING


def standing(frames=1, size=(100, 100), scale=1.0, shift=(0.0, 0.0), full=False):
    """A person in pixels of `size`, larger and elsewhere by choice."""
    height, width = size
    one = ((STANDING - [50, 25]) * scale + [50, 25] + shift) / [width, height]
    points = np.repeat(one[None], frames, 0)
    more = {}
    if full:
        rng = np.random.default_rng(0)
        more = {"feet": points[:, [13, 10]] + 0.02, "hands": points[:, [[7] * 21, [4] * 21]]}
        more["faces"] = points[:, [0] * 68]
        more = {name: value + 0.01 * rng.random(value.shape) for name, value in more.items()}
    return PoseClip.of(points, size, **more)


def hide(clip, *joints, frames=slice(None)):
    seen = clip.seen.copy()
    rows = np.arange(len(clip))[frames]
    seen[np.ix_(np.atleast_1d(rows), list(joints))] = False
    return clip.with_points(clip.xy, seen)


def lengths(clip, frame=0):
    points = clip.pixels()[frame]
    return {b.name: np.linalg.norm(points[b.child] - points[b.parent]) for b in BONES}


# ---- the record


def test_parts_missing_joints_and_the_sentinel():
    clip = hide(standing(2, full=True), 4, frames=1)
    assert clip.points.shape == (2, 18, 2) and clip.hands.shape == (2, 2, 21, 2) and clip.faces.shape == (2, 68, 2)
    assert np.isnan(clip.points[1, 4]).all() and not np.isnan(clip.points[0]).any()
    keypoints = clip.keypoints()
    assert keypoints.shape == (2, 2, 18) and keypoints.dtype == np.float32
    assert (keypoints[1, :, 4] == -1).all() and np.allclose(keypoints[0, 0], clip.points[0, :, 0])
    assert np.array_equal(PoseClip.of(clip.points, clip.size, clip.feet, clip.hands, clip.faces).xy, clip.xy)


def test_the_record_refuses_what_does_not_fit_together():
    with pytest.raises(ValueError, match="a part has shape"):
        PoseClip.of(np.zeros((2, 18, 2)), (4, 4), feet=np.zeros((2, 3, 2)))
    with pytest.raises(ValueError, match="finite"):
        PoseClip(np.full((1, 130, 2), np.nan), np.ones((1, 130), bool), (4, 4))


def test_gaps_are_filled_between_neighbours_and_not_at_the_ends():
    clip = standing(5)
    xy = clip.xy.copy()
    xy[3] += 0.2
    clip = hide(clip.with_points(xy), *range(18), frames=[0, 2, 4])
    filled = clip.filled()
    assert np.allclose(filled.points[2], (clip.points[1] + clip.points[3]) / 2)
    assert list(filled.empty) == [True, False, False, False, True]


# ---- assembly


def test_neck_and_feet_need_both_of_their_points():
    rng = np.random.default_rng(0)
    points, scores = rng.random((1, 133, 2)) * 50, np.ones((1, 133))
    xy, seen = assemble(points, scores, (50, 50))
    assert seen.all() and np.allclose(xy[0, 1] * 50, points[0, [5, 6]].mean(0))
    assert np.allclose(xy[0, 18] * 50, points[0, [17, 18]].mean(0))  # left toes, before the neck is put in
    scores[0, [5, 18]] = 0.1
    xy, seen = assemble(points, scores, (50, 50))
    assert not seen[0, [1, 5, 18]].any() and (xy[0, [1, 5, 18]] == -1).all() and seen[0, [2, 19]].all()


# ---- drawing


def test_a_skeleton_is_drawn_where_it_is_and_unseen_joints_are_not():
    clip = standing(size=(100, 100))
    picture = draw(clip, 100, 100)[0]
    assert picture.shape == (100, 100, 3) and tuple(picture[90, 43]) == COLOURS[10][::-1]
    hidden = draw(hide(clip, 9, 10), 100, 100)[0]
    assert not hidden[80:, 38:48].any() and hidden[80:, 52:62].any()
    assert not draw(hide(clip, *range(18)), 100, 100).any()


def test_pictures_of_another_size_are_stretched_and_lines_keep_their_share():
    clip = standing(size=(100, 100))
    fine = draw(clip, 64, 48, at=(400, 300))[0]
    assert fine.shape == (64, 48, 3) and 0 < (fine.max(-1) > 40).mean() < (draw(clip, 64, 48)[0].max(-1) > 40).mean()


def test_points_far_outside_are_left_out_and_do_not_overflow():
    clip = standing()
    xy = clip.xy.copy()
    xy[0, 4] = 1e30
    drawn = canvas(clip.with_points(xy), 0, 100, 100)
    assert np.array_equal(drawn, canvas(hide(clip, 4), 0, 100, 100))


def test_face_points_are_drawn_only_when_asked():
    clip = standing(full=True)
    assert (draw(clip, 100, 100, faces=True) != draw(clip, 100, 100)).any()


# ---- alignment


def test_safe_alignment_gives_the_references_lengths_and_place_in_its_aspect():
    reference = standing(size=(200, 100), scale=1.5, shift=(-10, 30))
    driving = standing(3, size=(100, 300), full=True)
    moved = driving.xy.copy()
    moved[2, 4] += [0.02, -0.1]
    aligned, fit = align(driving.with_points(moved), reference)
    assert aligned.size == reference.size and len(aligned) == 3 and not fit.skipped
    assert np.abs(aligned.pixels()[0, :18] - reference.pixels()[0, :18]).max() < 1e-6
    assert fit.scale[0] == pytest.approx(1.5) and all(r == pytest.approx(1) for r in fit.ratios.values())
    shift = (aligned.pixels() - aligned.pixels()[0])[2, 4]  # motion grows with the body
    assert np.allclose(shift, 1.5 * np.array([6, -10]))


def test_safe_alignment_fits_each_bone():
    short = standing(scale=1.0)
    xy = short.xy.copy()
    for knee, ankle, hip in ((9, 10, 8), (12, 13, 11)):
        xy[0, knee] = xy[0, hip] + (xy[0, knee] - xy[0, hip]) * 0.5
        xy[0, ankle] = xy[0, knee] + (short.xy[0, ankle] - short.xy[0, knee]) * 0.5
    reference = short.with_points(xy)
    aligned, _ = align(standing(2), reference)
    for name, length in lengths(reference).items():
        assert lengths(aligned, 1)[name] == pytest.approx(length), name


@pytest.mark.parametrize("who", ["driving", "reference", "both"])
def test_hidden_joints_do_not_spoil_a_safe_alignment(who):
    driving, reference = standing(4), standing(scale=1.2)
    clean, _ = align(driving, reference)
    lost = (4, 10, 16)
    if who != "reference":
        driving = hide(driving, *lost)
    if who != "driving":
        reference = hide(reference, *lost)
    aligned, fit = align(driving, reference)
    others = [j for j in range(18) if j not in lost]
    assert np.abs(aligned.xy[:, others] - clean.xy[:, others]).max() < 1e-9
    assert {"arm4", "ll2", "head16"} == set(fit.skipped) and all(fit.ratios[name] == 1 for name in fit.skipped)
    assert (aligned.xy[~aligned.seen] == -1).all()


def test_an_empty_first_frame_is_no_anchor():
    driving = hide(standing(3), *range(18), frames=0)
    aligned, fit = align(driving, standing(scale=1.3))
    assert fit.anchor == 1 and aligned.empty[0] and not aligned.empty[1:].any()
    assert lengths(aligned, 1)["arm3"] == pytest.approx(1.3 * lengths(standing())["arm3"])


def test_a_reference_in_mid_leap_is_laid_beside_the_leap():
    """Measured on the first frame, the whole clip would hang in the air, or the leap sink into the ground."""
    ground, air = standing(scale=1.2), standing(scale=1.2, shift=(0, -20))
    bent = ground.xy[0].copy()
    bent[[9, 12]], bent[[10, 13]] = bent[[8, 11]] + [0.12, 0], bent[[8, 11]] + [0.12, 0.12]  # knees drawn up
    bent[[3, 6], 1] -= 0.3
    bent[[4, 7], 1] -= 0.55  # arms raised
    leap = np.stack([ground.xy[0], ground.xy[0], bent - [0, 0.2], bent - [0, 0.25], ground.xy[0]])
    driving = ground.with_points(leap, np.repeat(ground.seen, 5, 0))
    reference = air.with_points((bent - [0, 0.2])[None])
    aligned, fit = align(driving, reference)
    assert fit.anchor == 2 and np.abs(aligned.xy[2:4, :18].mean(0) - reference.xy[0, :18]).max() < 0.1
    assert aligned.xy[0, 1, 1] - reference.xy[0, 1, 1] > 0.1  # on the ground before the leap


def test_of_poses_that_are_alike_the_first_gives_the_place():
    walk = np.repeat(standing().xy, 8, 0)
    walk[1::2, [9, 12], 0] += 0.1  # two poses in turn, each further on
    walk += np.arange(8)[:, None, None] * [0.02, 0]
    driving = standing(8).with_points(walk)
    aligned, fit = align(driving, standing(shift=(3, 0)))
    assert fit.anchor == 0 and aligned.xy[0, 1, 0] == pytest.approx(standing(shift=(3, 0)).xy[0, 1, 0], abs=0.05)


@pytest.mark.parametrize("on_four_legs", [True, False])
def test_the_head_of_a_body_on_four_legs_is_carried_as_the_reference_carries_its(on_four_legs):
    def body(neck):
        points = np.zeros((18, 2))
        way = np.array([1.0, 0.0] if on_four_legs else [0.0, -1.0])
        points[[1, 2, 5]], points[[8, 11]] = [60, 40], [60, 40] - 40 * way
        points[[3, 6]], points[[4, 7]] = points[1] + [0, 15], points[1] + [0, 30]
        points[[9, 12]], points[[10, 13]] = points[8] + [0, 15], points[8] + [0, 30]
        points[[0, 14, 15, 16, 17]] = points[1] + 20 * np.array([np.cos(neck), -np.sin(neck)])
        points[[14, 16]] += [2, -2]
        return points

    nods = np.stack([body(0.2 + 0.1 * i) for i in range(4)])  # a low neck that rises
    driving, reference = (PoseClip.of(p / 100, (100, 100)) for p in (nods, body(1.3)[None]))
    aligned, fit = align(driving, reference)
    necks = aligned.pixels()[:, 0] - aligned.pixels()[:, 1]
    angles = np.arctan2(-necks[:, 1], necks[:, 0])
    assert np.allclose(np.diff(angles), 0.1)  # the nod stays
    assert (fit.head_turn != 0) == on_four_legs
    assert np.allclose(angles, (1.3 if on_four_legs else 0.2) + 0.1 * np.arange(4))


def test_without_a_torso_the_shoulders_or_any_bone_give_the_scale():
    without_hips = hide(standing(), 8, 11)
    assert align(without_hips, standing(scale=1.4))[1].scale[0] == pytest.approx(1.4)
    only_legs = hide(standing(), 1, 2, 5, 8, 0, 14, 15, 16, 17)
    assert align(only_legs, standing(scale=0.8))[1].scale[0] == pytest.approx(0.8)


def test_the_face_goes_with_the_nose():
    driving, reference = standing(full=True), standing()
    xy = reference.xy.copy()
    xy[0, [0, 14, 15, 16, 17], 1] -= 0.1
    aligned, _ = align(driving, reference.with_points(xy))
    moved = aligned.xy[0, FACE] - driving.xy[0, FACE]
    assert np.allclose(moved, [0, -0.1], atol=1e-9)


def test_compat_takes_unseen_joints_for_joints_at_minus_one():
    driving, reference = hide(standing(2, full=True), 4, 30), hide(standing(), 17)
    aligned, fit = align(driving, reference, "compat")
    eye, ear = driving.xy[0, 15], driving.xy[0, 17]
    expected = np.linalg.norm(reference.xy[0, 15] + 1) / np.linalg.norm(ear - eye)
    assert fit.ratios["head17"] == pytest.approx(expected) and expected > 10
    assert (aligned.xy[0, 4] != -1).all() and not aligned.seen[0, 4] and aligned.seen[0, 30]
    assert (aligned.keypoints()[0, :, 4] == -1).all()


def test_alignments_that_cannot_be_say_so():
    nobody = hide(standing(), *range(18))
    with pytest.raises(UserError, match="two joints"):
        align(standing(), nobody)
    with pytest.raises(UserError, match="use align=safe"):
        align(hide(standing(), *range(18)), standing(), "compat")
    with pytest.raises(UserError, match="unknown alignment 'save'"):
        align(standing(), standing(), "save")
    assert align(standing(), nobody, "none")[1] is None


@settings(max_examples=40, deadline=None)
@example(4130)  # a head is to be turned, and the neck is hidden in some frames
@given(st.integers(0, 2**32 - 1))
def test_safe_alignment_is_always_finite(seed):
    rng = np.random.default_rng(seed)
    clips = [PoseClip.of(rng.random((f, 18, 2)), (50 + int(rng.integers(200)), 80)) for f in (3, 1)]
    clips = [c.with_points(c.xy, c.seen & (rng.random(c.seen.shape) < 0.7)) for c in clips]
    try:
        aligned, _ = align(*clips)
    except UserError:
        assert (clips[0].seen & clips[1].seen)[:, :18].sum(1).max() < 2
        return
    assert np.isfinite(aligned.xy).all() and np.array_equal(aligned.seen, clips[0].seen)


# ---- people


def test_the_tracked_person_is_followed_and_not_swapped():
    big, small = np.array([0, 0, 40, 80.0]), np.array([60, 20, 80, 60.0])
    boxes = [np.stack([small, big]), np.stack([small * 1.5, big + 5]), small[None] + 300]
    boxes += [np.zeros((0, 4)), big[None] + 9]
    assert choose(boxes, "tracked") == [1, 1, None, None, 0]
    assert choose(boxes, "first") == [0, 0, 0, None, 0]
    assert choose(boxes, "largest") == [1, 1, 0, None, 0]


# ---- files


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_poses_survive_a_file(tmp_path, suffix):
    clip = hide(standing(3, full=True), 4, 18, 30, frames=1)
    path = files.save(clip, tmp_path / f"poses{suffix}")
    again = read_poses(np.zeros((3, 100, 100, 3), np.uint8), PoseSettings(), file=path, fps=8.0)
    assert np.array_equal(again.seen, clip.seen) and np.abs(again.xy - clip.xy).max() < 1e-6
    assert again.size == clip.size and again.fps == 8.0 and not list(tmp_path.glob("*.part"))


def test_a_plain_npz_of_the_authors_arrays_is_read(tmp_path):
    clip = standing(2, full=True)
    bodies, faces = np.where(np.isnan(clip.points), -1, clip.points), clip.faces[:, None]
    np.savez(tmp_path / "a.npz", bodies=bodies, hands=clip.hands, faces=faces)
    read = files.load(tmp_path / "a.npz", (100, 100))
    assert np.allclose(read.points, clip.points) and np.allclose(read.faces, clip.faces) and np.isnan(read.feet).all()


def openpose(points, joints=18, certainty=0.9, **more):
    body = np.zeros((joints, 3))
    body[: len(points), :2], body[: len(points), 2] = points, certainty
    return {"pose_keypoints_2d": body.ravel().tolist(), **more}


def test_openpose_json_is_read_with_18_or_25_joints_and_several_people(tmp_path):
    near, far = STANDING * 2, STANDING * 0.5
    frames = [{"people": [openpose(far), openpose(near)], "canvas_width": 200, "canvas_height": 200}, {"people": []}]
    (tmp_path / "a.json").write_text(json.dumps(frames))
    clip = files.load(tmp_path / "a.json", (200, 200))
    assert np.allclose(clip.points[0], STANDING / 100) and clip.empty[1] and "2 people" in clip.notes[0]
    folder = tmp_path / "frames"
    folder.mkdir()
    many = np.arange(75, dtype=float).reshape(25, 3)[:, :2] + 1
    for i in range(2):
        (folder / f"{i:03d}_keypoints.json").write_text(json.dumps({"people": [openpose(many, 25)]}))
    clip = files.load(folder, (100, 100))
    assert len(clip) == 2 and np.allclose(clip.points[0, 8] * 100, many[9])
    assert np.allclose(clip.feet[0, 0] * 100, many[[19, 20]].mean(0))


def bad(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, dict):
        np.savez(path, **content)
    else:
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("a.pkl", b"\x80\x04.", "pickled poses are never read"),
        ("a.txt", b"x", "poses are read from .npz, .json or a folder"),
        ("a.json", b"{", "holds no poses that can be read"),
        ("a.json", b"[]", "it lists no frames"),
        ("a.json", b'{"points": [[1, 2]]}', "holds no poses"),
        ("a.json", b'[{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}]', "1 body joints, not 18 or 25"),
        ("a.npz", b"PK\x03\x04 nothing", "holds no poses that can be read"),
        ("a.npz", {"points": np.zeros((2, 17, 2))}, "not (F, 18, 2)"),
        ("a.npz", {"points": np.full((2, 18, 2), 300.0)}, "give fractions"),
        ("a.npz", {"points": np.array([{}] * 2, object)}, "holds no poses"),
        ("a.npz", {"points": np.zeros((2, 18, 2)), "faces": np.zeros((3, 68, 2))}, "as many of each part"),
    ],
)
def test_files_that_are_no_poses_get_one_line(tmp_path, name, content, says):
    path = bad(tmp_path, name, content)
    with pytest.raises(UserError) as error:
        read_poses(np.zeros((2, 8, 8, 3), np.uint8), PoseSettings(), file=path)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_file_with_another_number_of_frames_is_refused(tmp_path):
    path = files.save(standing(3), tmp_path / "a.npz")
    with pytest.raises(UserError, match="3 poses.* 5 frames"):
        read_poses(np.zeros((5, 8, 8, 3), np.uint8), PoseSettings(), file=path)


def test_nobody_anywhere_is_refused_and_nobody_in_some_frames_is_noted(tmp_path):
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    path = files.save(hide(standing(4), *range(18)), tmp_path / "a.npz")
    with pytest.raises(UserError, match="nobody was found"):
        read_poses(frames, PoseSettings(), file=path)
    files.save(hide(standing(4), *range(18), frames=[1, 2]), path)
    kept = read_poses(frames, PoseSettings(), file=path)
    assert kept.empty.sum() == 2 and "2 of 4 frames of the driving clip (1, 2): left" in kept.notes[0]
    filled = read_poses(frames, PoseSettings(gaps="fill"), file=path)
    assert not filled.empty.any() and "filled" in filled.notes[0]


# ---- settings


def test_the_estimator_is_chosen_by_what_is_there(tmp_path):
    assert choose_backend(PoseSettings()) == "dwpose" and choose_backend(PoseSettings(), pocket=True) == "pocket"
    assert choose_backend(PoseSettings("openpose"), pocket=True) == "openpose"
    assert choose_backend(PoseSettings(), file=tmp_path / "a.npz") == "files"
    for wrong, says in (
        (PoseSettings("dwpse"), "did you mean 'dwpose'"),
        (PoseSettings(person="all"), "unknown person"),
        (PoseSettings(gaps="x"), "unknown treatment of gaps"),
        (PoseSettings("files"), "needs a file"),
    ):
        with pytest.raises(UserError, match=says):
            choose_backend(wrong)


@pytest.mark.parametrize("name, first", [("dwpose", "yolox_l.onnx"), ("openpose", "body_pose_model.pth")])
def test_missing_weights_say_what_to_get(tmp_path, monkeypatch, name, first):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    with pytest.raises(MissingWeights, match=f"hf download .*{first}"):
        check(PoseSettings(name))
    with pytest.raises(MissingWeights, match=f"lacks {first}"):
        check(PoseSettings(name, weights=str(tmp_path)))
    with pytest.raises(MissingWeights, match="no folder"):
        check(PoseSettings(name, weights=str(tmp_path / "nowhere")))
