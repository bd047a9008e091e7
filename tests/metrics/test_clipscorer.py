"""The clip judge: what prompts name, its network on any clip, and its rulers with the shipped weights."""

import numpy as np
import pytest
import torch

from motionkit import metrics
from motionkit.errors import MissingWeights
from motionkit.metrics import clipscorer
from motionkit.metrics.judges import ClipNet, load_judge
from motionkit.sprites import MOTIONS, Motion, character, render_clip
from motionkit.sprites.world import DOING
from motionkit.training.recipes.clip_judge import pairs
from motionkit.weights.small_nets import save_net

shipped = pytest.mark.skipif(not clipscorer.available(), reason="the judge's weights are not in this checkout")
GROUPS = {"motion": ["walk", "nod"], "kind": ["cat", "robot", "bird"], "colour": ["red", "blue"]}


def test_a_prompt_names_its_motion_in_any_form():
    for name in MOTIONS:
        for said in (DOING[name], name, f"{name}s", DOING[name].upper()):
            assert clipscorer.motion_in(f"a drawing of a horse, {said}!") == name
    assert clipscorer.motion_in("a walker at the runway") is None
    assert clipscorer.motion_in("walking, then jumping") == "walk"  # the first one counts


def test_the_network_takes_any_number_of_frames():
    torch.manual_seed(0)
    net = ClipNet(GROUPS).eval()
    assert sum(p.numel() for p in net.parameters()) < 1.2e6
    for frames in (2, 10, 17):
        motion, joints = net.moves(torch.rand(2, frames, 3, 64, 64))
        assert motion.shape == (2, 2) and joints.shape == (2, frames, 12, 2)
    said, who = net.looks(torch.rand(3, 3, 128, 128))
    assert said["kind"].shape == (3, 3) and said["colour"].shape == (3, 2) and "motion" not in said
    assert torch.allclose(who.norm(dim=-1), torch.ones(3))


def test_a_saved_judge_says_the_same_and_a_missing_one_is_named(tmp_path):
    torch.manual_seed(0)
    net = ClipNet(GROUPS).eval()
    save_net(tmp_path / "clipscorer.safetensors", net, {"groups": GROUPS}, {"motion_colour": 0.5})
    again, figures = load_judge("clipscorer", tmp_path / "clipscorer.safetensors")
    x = torch.rand(1, 8, 3, 64, 64)
    assert figures == {"motion_colour": 0.5}
    assert torch.allclose(again.moves(x)[0], net.moves(x)[0], atol=0.02)
    with pytest.raises(MissingWeights, match="make train-clipscorer"):
        load_judge("clipscorer", tmp_path / "none.safetensors")


def test_refusals():
    for wrong in (np.zeros((8, 8, 3), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            clipscorer.judge(wrong)
    video = np.zeros((3, 16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="no frame"):
        clipscorer.reference_consistency(video, video[0], first=3)
    with pytest.raises(ValueError, match="two frames"):
        clipscorer.joint_path(video[:1])


@shipped
@pytest.mark.parametrize("form", ["colour", "lines"])
def test_it_is_as_good_as_it_says(form):
    stated = clipscorer.stated_accuracy()
    assert all(stated[f"{group}_{form}"] >= 0.9 for group in ("motion", "still", "kind"))
    data = pairs("clip judge test", 11, 0, 30, 10, "test")
    videos = [c.frames if form == "colour" else c.lines(2) for c in data]
    verdicts = [clipscorer.judge(v) for v in videos]
    for group, true in (("motion", [c.motion.name for c in data]), ("kind", [c.character.kind for c in data])):
        right = sum(v.best(group) == t for v, t in zip(verdicts, true, strict=True)) / len(data)
        assert right >= stated[f"{group}_{form}"] - 0.15
    errors = [np.linalg.norm(v.joints - c.keypoints, axis=-1).mean() for v, c in zip(verdicts, data, strict=True)]
    assert np.mean(errors) < stated[f"joints_px_{form}"] + 2
    own, other = [], []
    for i in range(0, len(videos), 2):  # neighbours are of one kind
        own.append(clipscorer.reference_consistency(videos[i], videos[i][0]))
        other.append(clipscorer.reference_consistency(videos[i], videos[i + 1][0]))
    assert np.mean(own) > np.mean(other) + 0.1 and np.mean(np.array(own) > np.array(other)) >= 0.8


@shipped
def test_a_still_clip_is_consistent_and_does_not_move_and_others_are_worse():
    clip = render_clip(character(5, "cat"), Motion("dance"), 8, 128).lines(2)
    other = render_clip(character(6, "robot"), Motion("dance"), 8, 128).lines(2)
    still = np.repeat(clip[:1], 8, 0)
    assert clipscorer.judge(still).best("motion") == "still" and clipscorer.judge(clip).best("motion") == "dance"
    assert clipscorer.reference_consistency(still, clip[0]) == pytest.approx(1, abs=1e-4)
    assert clipscorer.joint_path(still) < 0.2 * clipscorer.joint_path(clip)
    assert clipscorer.reference_consistency(clip, clip[0]) > clipscorer.reference_consistency(other, clip[0]) + 0.3
    frozen, moving = (clipscorer.motion_agreement(v, "a cat dancing") for v in (still, clip))
    assert frozen < 0.2 < moving
    assert clipscorer.motion_agreement(clip, "a cat") is None and clipscorer.kind_agreement(clip, "a thing") is None
    assert clipscorer.kind_agreement(clip, "a cat dancing") > clipscorer.kind_agreement(other, "a cat dancing")


@shipped
def test_size_and_padding_change_little():
    clip = render_clip(character(5, "horse"), Motion("walk"), 8, 128).frames
    large = clip.repeat(2, 1).repeat(2, 2)
    wide = np.concatenate([clip[:, :, :1].repeat(32, 2), clip, clip[:, :, -1:].repeat(32, 2)], 2)
    narrow = clip[:, :, 20:108]  # padded back to a square with its border colour
    one, two, three = (clipscorer.judge(v) for v in (clip, large, narrow))
    assert two.best("motion") == three.best("motion") == one.best("motion") == "walk"
    assert np.abs(two.joints / 2 - one.joints).max() < 2 and np.abs(three.joints + [20, 0] - one.joints).mean() < 4
    assert clipscorer.judge(wide).joints.shape == (8, 12, 2)


@shipped
def test_reference_and_prompt_are_read():
    clip = render_clip(character(5, "horse"), Motion("walk"), 8, 128).lines(2)
    values = metrics.measure(clip, reference=clip[0], prompt="a drawing of a horse walking")
    assert values["first_frame"] == pytest.approx(1) and values["reference_consistency"] > 0.7
    assert values["motion_agreement"] > 0.5 and values["kind_agreement"] > 0.3
    assert set(values) <= set(metrics.facts())
    assert "motion_agreement" not in metrics.measure(clip, prompt="a portrait")
    assert "reference_consistency" not in metrics.measure(clip)
