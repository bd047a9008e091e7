"""Quick whole runs of the method on the tiny backbones."""

from dataclasses import replace

import numpy as np

from motionkit.media import from_frames
from motionkit.methods.vidmp3 import SPEC
from motionkit.running.execute import execute
from motionkit.testing.clips import MOVES, moving_shapes
from motionkit.transfer import Inputs

QUICK = {
    "steps": 2,
    "tune": {"steps": 2, "lr": 0.02, "unet_lr": 0.01},
    "maps": {"long_side": 16},
    "guide": {"strength": 1.0},
    "sample": {"guidance": 2.0, "negative": ""},
}
REQUEST = Inputs(driving=moving_shapes(3), prompt="a green cat", source_prompt="a red dog")


def edit(folder, *, backbone="tiny-animatediff-sd15", use_cache=False, frames=3, seed=0, request=None, **changes):
    """One edit; `changes` are fields of the request or settings, the latter merged into QUICK."""
    # A path of masks, depth or correspondence is the request's; a table is settings.
    fields = [k for k, v in changes.items() if k in Inputs.__dataclass_fields__ and not isinstance(v, dict)]
    given = {k: changes.pop(k) for k in fields}
    road = {k: changes.pop(k) for k in ("lora", "gpu", "progress") if k in changes}
    settings = {k: dict(v) if isinstance(v, dict) else v for k, v in QUICK.items()}
    for key, value in changes.items():
        settings[key] = settings.get(key, {}) | value if isinstance(value, dict) else value
    return execute(
        SPEC,
        replace(request or REQUEST, **given),
        config=settings,
        backbone=backbone,
        seed=seed,
        frames=frames,
        folder=folder,
        use_cache=use_cache,
        **road,
    )


def shape_masks(frames=3, side=64):
    """The true masks (frames, side, side) bool of the disc and of the bar in `moving_shapes`."""
    clip = moving_shapes(frames, side, side, colours=((255, 0, 0), (0, 0, 255)), background=(0, 0, 0)).frames
    disc, bar = clip[..., 0] > 200, (clip[..., 2] > 200) & (clip[..., 0] < 100)
    return disc, bar


def textured(frames=4, side=64, move="right"):
    """A textured square that moves over a plain ground, its true mask, and its steps in pixels."""
    noise = np.random.default_rng(0).integers(40, 200, (6, 6, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    clip, mask = np.full((frames, side, side, 3), 240, np.uint8), np.zeros((frames, side, side), bool)
    dx, dy = (round(4 * v) for v in MOVES[move])
    for i in range(frames):
        x, y = 8 + i * dx, 20 + i * dy
        clip[i, y : y + 24, x : x + 24], mask[i, y : y + 24, x : x + 24] = noise, True
    return from_frames(clip, 8.0, "square"), mask, (dx, dy)
