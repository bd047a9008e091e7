"""The clips of a request: which part of each is wanted, whether it is a file still to be read or in memory already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from motionkit.errors import UserError

if TYPE_CHECKING:
    from motionkit.media import Clip, Wanted
    from motionkit.running.request import Request

CLIPS = ("reference", "driving")
PART = ("start", "end", "reference_start", "reference_end")
EXCERPT = (*PART, "audio")


@dataclass(frozen=True)
class Excerpt:
    """The part of its clips that a request asks for.

    Attributes:
        frames, fps, stride: as `motionkit.running.canvas.place_inputs`.
        start, end, reference_start, reference_end: seconds (2.5, "1:05") or frames ("60f") of the driving clip and of a
            reference video; of the latter a method that wants one picture sees the frame at `reference_start`.
        audio: whether the driving clip's sound is kept.
        most: frames of the driving clip where no number is given; None is `motionkit.media.part.MOST`.
    """

    frames: int | None = None
    fps: float | None = None
    start: float | str | None = None
    end: float | str | None = None
    reference_start: float | str | None = None
    reference_end: float | str | None = None
    audio: bool = True
    stride: int | None = None
    most: int | None = None

    def read(
        self, reference: Clip | str | Path | None, driving: Clip | str | Path | None
    ) -> tuple[Clip | None, Clip | None]:
        """Both clips, the driving one read first: its number of frames is the most that a reference video keeps.

        Raises:
            UserError: a file cannot be read, a number or a time is impossible.
        """
        from motionkit import media
        from motionkit.running import canvas

        canvas.check_numbers(self.frames, self.fps)
        for name, clip in (("", driving), ("reference_", reference)):
            if clip is None and (said := [k for k in ("start", "end") if getattr(self, name + k) is not None]):
                raise UserError(
                    f"{name}{said[0]}= needs {'reference' if name else 'driving'}=, the clip to take a part of"
                )
        part = media.Wanted(self.start, self.end, self.frames, self.fps, self.stride, self._most, sound=self.audio)
        driving = self._part(driving, part)
        most = self.frames or (len(driving) if driving is not None else self._most)
        wanted = media.Wanted(self.reference_start, self.reference_end, most=most, stride=self.stride, key="reference_")
        return self._part(reference, wanted), driving

    def truth(self, path: str | Path) -> Clip:
        """The true video of a comparison: the same part of it as of the driving clip."""
        from motionkit import media

        return self._read(path, media.Wanted(self.start, self.end, self.frames, self.fps, self.stride, self._most))

    @property
    def _most(self) -> int:
        from motionkit import media

        return self.most or media.part.MOST

    def _part(self, clip: Clip | str | Path | None, wanted: Wanted) -> Clip | None:
        from motionkit import media

        if isinstance(clip, str | Path):
            taken = self._read(clip, wanted)
        elif isinstance(clip, media.Clip):
            taken = media.take(clip, wanted, repeat=False)
            taken = taken if wanted.sound else replace(taken, sound=None)
        else:
            return clip
        if taken.is_image and (wanted.start is not None or wanted.end is not None):
            bound = "start" if wanted.start is not None else "end"
            raise UserError(f"{wanted.key}{bound}= takes a part of a clip, but {taken.name} is a single picture")
        return taken

    def _read(self, path: str | Path, wanted: Wanted) -> Clip:
        from motionkit import media

        return media.read_clip(path, wanted=wanted, fps=self.fps)


def excerpt(request: Request, stride: int | None = None, most: int | None = None) -> Excerpt:
    """The part of its clips that a request asks for."""
    part = {name: getattr(request, name) for name in EXCERPT}
    return Excerpt(request.frames, request.fps, **part, stride=stride, most=most)


def is_read(request: Request) -> bool:
    """Whether its clips are in memory, and no part of them is still to be taken."""
    paths = any(isinstance(getattr(request.inputs, name), str | Path) for name in CLIPS)
    return request.audio and not paths and all(getattr(request, name) is None for name in PART)


def read(
    request: Request, stride: int | None = None, say: Callable[[str], None] | None = None, most: int | None = None
) -> Request:
    """The request with its clips read, and of each the part that it asks for.

    Args:
        stride, most: the method's.
        say: gets a line for each note on a clip: that it is cut off, say.

    Raises:
        UserError: a file cannot be read, a number or a time is impossible.
    """
    given = request.inputs
    reference, driving = excerpt(request, stride, most).read(given.reference, given.driving)
    for name, clip in (("reference", reference), ("driving", driving)):
        say_notes(name, clip, say)
    whole = {name: None for name in PART}
    inputs = replace(given, reference=reference, driving=driving)
    return replace(request, inputs=inputs, audio=True, **whole)  # type: ignore[arg-type]


def say_notes(name: str, clip: Clip | None, say: Callable[[str], None] | None) -> None:
    """Pass on the notes that were made while a clip was read."""
    for note in clip.notes if clip is not None and say is not None else ():
        say(f"{name}: {note}")  # type: ignore[misc]
