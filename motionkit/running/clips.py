"""The clips of a request: which part of each is wanted, whether it is a file still to be read or in memory already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from motionkit.errors import UserError

if TYPE_CHECKING:
    from motionkit.media import Clip, Wanted

EXCERPT = ("start", "end", "reference_start", "reference_end", "audio")


@dataclass(frozen=True)
class Excerpt:
    """The part of its clips that a request asks for.

    Attributes:
        frames, fps, stride: as `motionkit.running.canvas.fit`.
        start, end, reference_start, reference_end: seconds (2.5, "1:05") or frames ("60f") of the driving clip and of a
            reference video; of the latter a method that wants one picture sees the frame at `reference_start`.
        audio: whether the driving clip's sound is kept.
    """

    frames: int | None = None
    fps: float | None = None
    start: float | str | None = None
    end: float | str | None = None
    reference_start: float | str | None = None
    reference_end: float | str | None = None
    audio: bool = True
    stride: int | None = None

    def read(
        self, reference: Clip | str | Path | None, driving: Clip | str | Path | None
    ) -> tuple[Clip | None, Clip | None]:
        """Both clips, the driving one read first: its number of frames is the most that a reference video keeps.

        Raises:
            UserError: a file cannot be read, a number or a time cannot be.
        """
        from motionkit import media
        from motionkit.running import canvas

        canvas.check_numbers(self.frames, self.fps)
        for name, clip in (("", driving), ("reference_", reference)):
            if clip is None and (said := [k for k in ("start", "end") if getattr(self, name + k) is not None]):
                raise UserError(
                    f"{name}{said[0]}= needs {'reference' if name else 'driving'}=, a clip to take a part of"
                )
        part = media.Wanted(self.start, self.end, self.frames, self.fps, self.stride, sound=self.audio)
        driving = self._part(driving, part)
        most = self.frames or (len(driving) if driving is not None else media.part.MOST)
        wanted = media.Wanted(self.reference_start, self.reference_end, most=most, stride=self.stride, key="reference_")
        return self._part(reference, wanted), driving

    def truth(self, path: str | Path) -> Clip:
        """The true video of a comparison: the same part of it as of the driving clip."""
        from motionkit import media

        return self._read(path, media.Wanted(self.start, self.end, self.frames, self.fps, self.stride))

    def _part(self, clip: Clip | str | Path | None, wanted: Wanted) -> Clip | None:
        from motionkit import media

        if isinstance(clip, media.Clip):
            taken = media.take(clip, wanted, repeat=False)
            return taken if wanted.sound else replace(taken, sound=None)
        return self._read(clip, wanted) if isinstance(clip, str | Path) else clip

    def _read(self, path: str | Path, wanted: Wanted) -> Clip:
        from motionkit import media

        return media.read_clip(path, wanted=wanted, fps=self.fps)
