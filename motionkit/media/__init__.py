"""Reading, timing, framing and writing of pictures and videos; numpy arrays in and out, no torch.

Each name is loaded when it is first used, so that the command line can answer without numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motionkit.media import part as part
    from motionkit.media.animated import write_animation as write_animation
    from motionkit.media.animated import write_gif as write_gif
    from motionkit.media.clip import Clip as Clip
    from motionkit.media.clip import Sound as Sound
    from motionkit.media.clip import from_frames as from_frames
    from motionkit.media.framing import Box as Box
    from motionkit.media.framing import border_colour as border_colour
    from motionkit.media.framing import box_of as box_of
    from motionkit.media.framing import letterbox as letterbox
    from motionkit.media.framing import spills as spills
    from motionkit.media.framing import unletterbox as unletterbox
    from motionkit.media.limits import Limits as Limits
    from motionkit.media.matte import subject_mask as subject_mask
    from motionkit.media.part import Wanted as Wanted
    from motionkit.media.reading import read_clip as read_clip
    from motionkit.media.timing import resample as resample
    from motionkit.media.timing import steady as steady
    from motionkit.media.timing import take as take
    from motionkit.media.writing import replacing as replacing
    from motionkit.media.writing import write_frames as write_frames
    from motionkit.media.writing import write_image as write_image
    from motionkit.media.writing import write_video as write_video

_ROOMS = {
    "animated": "write_animation write_gif",
    "clip": "Clip Sound from_frames",
    "framing": "Box border_colour box_of letterbox spills unletterbox",
    "limits": "Limits",
    "matte": "subject_mask",
    "part": "Wanted",
    "reading": "read_clip",
    "timing": "resample steady take",
    "writing": "replacing write_frames write_image write_video",
}
_MODULE = {name: module for module, names in _ROOMS.items() for name in names.split()}
__all__ = ["part", *_MODULE]


def __getattr__(name: str) -> Any:
    if name == "part":
        return importlib.import_module("motionkit.media.part")
    if name not in _MODULE:
        raise AttributeError(f"module 'motionkit.media' has no attribute {name!r}")
    return getattr(importlib.import_module(f"motionkit.media.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
