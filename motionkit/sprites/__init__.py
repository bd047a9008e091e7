"""A procedural world of articulated characters whose motions, keypoints, flow and captions are known exactly."""

from motionkit.sprites.kinds import BIPEDS as BIPEDS
from motionkit.sprites.kinds import COLOURS as COLOURS
from motionkit.sprites.kinds import HELD_OUT_KINDS as HELD_OUT_KINDS
from motionkit.sprites.kinds import KINDS as KINDS
from motionkit.sprites.kinds import LETTERS as LETTERS
from motionkit.sprites.kinds import QUADRUPEDS as QUADRUPEDS
from motionkit.sprites.kinds import TRAIN_KINDS as TRAIN_KINDS
from motionkit.sprites.kinds import Character as Character
from motionkit.sprites.kinds import character as character
from motionkit.sprites.motions import HELD_OUT_MOTIONS as HELD_OUT_MOTIONS
from motionkit.sprites.motions import MOTIONS as MOTIONS
from motionkit.sprites.motions import TRAIN_MOTIONS as TRAIN_MOTIONS
from motionkit.sprites.motions import Motion as Motion
from motionkit.sprites.skeleton import BONES as BONES
from motionkit.sprites.world import SpriteClip as SpriteClip
from motionkit.sprites.world import render_clip as render_clip
