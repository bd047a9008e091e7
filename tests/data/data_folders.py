"""Frames that survive any codec, and an option file in the form of VideoSwap's repository."""

import numpy as np

OPTIONS = """
name: 2001
datasets:
  path: datasets/paper_evaluation/animal/cat_head_turn/frames
  prompt: a kitten sitting on a wooden floor
  num_frames: 16
  total_frames: 64
train:
  optimizer: {lr: !!float 5e-4}
val:
  editing_config:
    editing_prompts:
      kitten_to_catA: {replace: kitten -> <catA1> <catA2>, tap_path: ~}
      kitten_to_jeep: {replace: kitten -> silver jeep}
"""


def clip(seed, frames=5, height=16, width=24):
    """Frames of one plain colour each, which survive any codec."""
    colours = np.random.default_rng(seed).integers(40, 216, (frames, 1, 1, 3))
    return np.broadcast_to(colours, (frames, height, width, 3)).astype(np.uint8)
