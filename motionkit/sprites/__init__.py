"""A procedural world of articulated characters whose motions, keypoints, flow and captions are known exactly."""

from motionkit.sprites.kinds import (
    BIPEDS as BIPEDS,
    COLOURS as COLOURS,
    HELD_OUT_KINDS as HELD_OUT_KINDS,
    KINDS as KINDS,
    LETTERS as LETTERS,
    QUADRUPEDS as QUADRUPEDS,
    TRAIN_KINDS as TRAIN_KINDS,
    Character as Character,
    character as character,
)
from motionkit.sprites.motions import (
    HELD_OUT_MOTIONS as HELD_OUT_MOTIONS,
    MOTIONS as MOTIONS,
    TRAIN_MOTIONS as TRAIN_MOTIONS,
    Motion as Motion,
)
from motionkit.sprites.skeleton import BONES as BONES
from motionkit.sprites.world import SpriteClip as SpriteClip, render_clip as render_clip
