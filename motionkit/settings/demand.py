"""What a method declares of its cost: which network it calls in which step, on what, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """A kind of call of a network in one step of a run, and how often a run makes it.

    Attributes:
        stage: "prepare", "fit" or "generate".  what: in a few words, such as "tuning step".
        calls: in one run.  frames: of the clip that passes.  clips: that pass side by side.
        once: "package.module:function" of (backbone, settings, run, clips) that builds what is needed for clips of
            `run.frames` frames and returns a function that makes the call; values do not count, shapes do.
        tunes: a backward pass follows, which checkpointing makes smaller.
        guided: the two halves of guidance, which may go side by side; `clips` is for one of them.
        halves: "on" where the settings have them go together and "off" one after the other, whatever the plan says.
        part: which of the backbone's models computes.  smaller: the setting that shortens its clip, if one does.
        like: the `what` of another demand whose call takes as much: one of them is counted.
    """

    stage: str
    what: str
    calls: int
    frames: int
    once: str
    clips: int = 1
    tunes: bool = False
    guided: bool = False
    part: str = "unet"
    smaller: str = ""
    like: str = ""
    halves: str = "auto"

    @property
    def counted(self) -> str:
        """The `what` under which its call is counted."""
        return self.like or self.what
