"""The varied renderer: `wild` and `foreign` tell the truth about their own pictures, and the others keep their bits."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from motionkit.sprites import BONES, KINDS, MOTIONS, Motion, character, render_clip
from motionkit.sprites.kinds import article
from motionkit.sprites.looks import Stage
from motionkit.sprites.sampling import random_character, stream

BITS = {
    "easy": "7d386a3345f97c337c10e54d321ce7bf266f765bc6414d7096855decb18af1d8",
    "full": "afee466ccea6225e8109b5ae01c57a6a786f0b620d8da14d22d31f61beaa151f",
}


@pytest.mark.parametrize("setting", BITS)
def test_the_settings_that_weights_were_trained_on_keep_their_bits(setting):
    digest = hashlib.sha256()
    for i, kind in enumerate(KINDS):
        clip = render_clip(character(40 + i, kind, setting), Motion(list(MOTIONS)[i % len(MOTIONS)], 0.2), 3, 96)
        for array in (clip.frames, clip.parts, clip.lines(3)):
            digest.update(array.tobytes())
        for array in (clip.keypoints, np.nan_to_num(clip.openpose), clip.jacobians):
            digest.update(np.round(array, 6).tobytes())
    draws = stream(3, "test", setting)
    for _ in range(20):
        who, motion = next(draws)
        digest.update(repr((who.key, who.colour, who.background, motion)).encode())
    assert digest.hexdigest() == BITS[setting]


@pytest.mark.parametrize("setting", ["wild", "foreign"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_inside_the_frame(setting, kind):
    clip = render_clip(character(5, kind, setting), Motion("walk"), 4, 128)
    assert clip.frames.shape == (4, 128, 128, 3) and clip.frames.dtype == np.uint8
    assert clip.mask.mean((1, 2)).min() > 0.01, "the subject is there"
    border = np.concatenate([clip.mask[:, [0, -1]].ravel(), clip.mask[:, :, [0, -1]].ravel()])
    assert border.mean() < 0.1, "and nearly all of it is inside"
    again = render_clip(character(5, kind, setting), Motion("walk"), 4, 128)
    assert np.array_equal(clip.frames, again.frames) and np.array_equal(clip.parts, again.parts)


@pytest.mark.parametrize("setting", ["wild", "foreign"])
def test_points_joints_and_parts_agree_with_the_picture(setting):
    on, own = [], []
    for seed in range(40):
        clip = render_clip(character(seed, None, setting), Motion("walk", 0.1 * (seed % 10)), 1, 128)
        spots = np.rint(clip.keypoints[0]).astype(int).clip(0, 127)
        on.append(clip.mask[0][spots[:, 1], spots[:, 0]].mean())
        own.append(clip.parts[0][spots[3, 1], spots[3, 0]])  # the near elbow
        ends = [BONES.index(b) for b in ("arm_near", "forearm_near", "leg_far", "shin_far")]
        assert np.allclose(clip.openpose[0, [3, 4, 12, 13]], clip.keypoints[0, ends])
        middle = clip.openpose[0, [1, 8]].mean(0)
        assert np.allclose(middle, clip.keypoints[0, BONES.index("torso")]), "the torso's point is half way to the hips"
    assert np.mean(on) > 0.93
    assert np.isin(own, [BONES.index("arm_near"), BONES.index("forearm_near")]).mean() > 0.8


@pytest.mark.parametrize("setting", ["wild", "foreign"])
def test_what_is_painted_is_what_the_mask_says(setting):
    """A pixel that is the same before a black and a white stage shows the character."""
    shares = []
    for seed in range(12):
        who = character(seed, None, setting)
        plain = replace(who.look, shadow=0.0, blur=0.0, jpeg=0, grain=0.0, low=1.0, light=0.0, strokes=0, fill="solid")
        plain = replace(plain, contrast=1.0, bright=0.0)
        clips = []
        for level in (0, 255):
            look = replace(plain, stage=Stage(colour=(level,) * 3))
            clips.append(render_clip(replace(who, look=look), Motion("walk"), 1, 128))
        painted = np.abs(clips[0].frames[0].astype(int) - clips[1].frames[0]).max(-1) < 128
        mask = clips[0].mask[0]
        shares.append((painted & mask).sum() / (painted | mask).sum())
    assert np.mean(shares) > 0.93 and min(shares) > 0.8, shares


def test_a_mirrored_character_faces_left_and_keeps_its_near_side():
    who = character(3, "horse", "foreign")
    clips = []
    for mirror in (False, True):
        look = replace(who.look, camera=replace(who.look.camera, mirror=mirror, place=(0.5, 0.8)))
        clips.append(render_clip(replace(who, look=look), Motion("walk"), 2))
    right, left = clips
    head, hip = BONES.index("head"), BONES.index("leg_near")
    assert right.keypoints[0, head, 0] > right.keypoints[0, hip, 0]
    assert left.keypoints[0, head, 0] < left.keypoints[0, hip, 0]
    assert np.allclose(right.keypoints[..., 1], left.keypoints[..., 1], atol=0.5)
    assert np.allclose(np.linalg.det(left.jacobians), 1), "frames of bones stay rotations"


def test_flow_is_exact_under_a_camera():
    clip = render_clip(character(11, "cat", "foreign"), Motion("walk"), 5)
    places, valid = clip.flow(3, 0)
    x, y = (np.rint(places[..., i]).astype(int).clip(0, 127) for i in (0, 1))
    inner = valid & clip.mask[3]
    assert inner.sum() > 100 and (clip.parts[0][y, x] == clip.parts[3])[inner].all()
    error = np.abs(clip.frames[0][y, x].astype(int) - clip.frames[3]).max(-1)[inner]
    assert np.median(error) < 12


def test_wild_characters_differ_in_how_they_are_drawn():
    looks = [character(seed, "horse", "wild").look for seed in range(60)]
    assert {look.pen for look in looks} == {"none", "part", "union"}
    assert len({look.stage.kind for look in looks}) >= 8
    assert any(look.camera.mirror for look in looks) and any(look.jpeg for look in looks)
    assert np.std([look.camera.extent for look in looks]) > 0.05


@pytest.mark.parametrize("split", ["train", "val", "judge"])
def test_no_training_sees_the_foreign_style(split):
    with pytest.raises(ValueError, match="test split"):
        random_character(np.random.default_rng(0), split, "foreign")
    assert random_character(np.random.default_rng(0), "test", "foreign").look is not None


def test_captions_say_an_before_a_vowel():
    assert [article(w) for w in ("orange", "red", "elephant", "Ape")] == ["an", "a", "an", "an"]
    clip = render_clip(character(1, "horse", colour="orange"), Motion("walk"), 1, 32)
    assert clip.caption == "an orange horse walking" and clip.character.caption.startswith("an orange horse on ")
