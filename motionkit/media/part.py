"""Which part of a clip is used and how densely: one rule for files that are read in part and for clips in memory."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real

import numpy as np

from motionkit.errors import UserError

MOST = 10  # frames, where no number is given
HOW = "change it with start=, end=, frames= or fps="  # what a line says where a part is taken
USABLE = 8.0  # frames per second that a faster clip is lowered to
FAST = 2 * USABLE  # up to this rate a clip keeps its own: leaving out single frames would judder
Moment = float | int | str  # seconds as a number or as text: "2.5", "2.5s", "1:05.5"; or frames: "60f"


@dataclass(frozen=True)
class Wanted:
    """Which part of a clip is asked for; by default `most` frames from its start at a usable rate.

    Attributes:
        start, end: the part's bounds, see `Moment`; None is the clip's own start and end.
        frames: this many frames; with `end` (and no `fps`) evenly over the part, else from `start` on.
        fps: frames per second that are taken; without `frames` as many as the part holds.
        stride: every so many frames of a fast clip, as the method's paper takes them; None lowers it to `USABLE`.
        most: frames, where neither `frames` nor `fps` says how many.
        key: of the request that says it, for messages: "" for start= and end=, "reference_" for reference_start=.
        sound: whether the part's sound is read too.
    """

    start: Moment | None = None
    end: Moment | None = None
    frames: int | None = None
    fps: float | None = None
    stride: int | None = None
    most: int = MOST
    key: str = ""
    sound: bool = False


@dataclass(frozen=True)
class Part:
    """`count` instants, one every 1 / `fps` seconds from `start` on, of a clip that lasts `whole` seconds."""

    start: float
    fps: float
    count: int
    whole: float

    @property
    def end(self) -> float:
        """Second at which the last of its frames ends."""
        return self.start + self.count / self.fps

    @property
    def instants(self) -> np.ndarray:
        """(count,) float64 seconds. The small step keeps a frame's own start from falling to the frame before it."""
        return self.start + np.arange(self.count) / self.fps + 1e-6

    def without_repeats(self, rate: float) -> Part:
        """The same part of a clip of `rate` frames per second, at that rate if it asks for more than is there."""
        if self.fps <= rate * (1 + 1e-6):
            return self
        wanted, there = math.ceil((self.end - self.start) * rate - 1e-6), round((self.whole - self.start) * rate)
        return Part(self.start, rate, max(1, min(wanted, there)), self.whole)

    @property
    def line(self) -> str:
        """What is used, in words; "" when that is the whole clip."""
        if self.start < 1e-3 and self.end > self.whole - 0.5 / self.fps:
            return ""
        return (
            f"frames {_seconds(self.start)}-{_seconds(min(self.end, self.whole))} s of {_seconds(self.whole)} s at "
            f"{_seconds(self.fps)} fps; {HOW}"
        )


def choose(wanted: Wanted, whole: float, rate: float, times: np.ndarray | None = None) -> Part | None:
    """The part that is wanted of a clip of `whole` seconds at `rate` frames per second.

    Args:
        times: (F,) seconds at which frames appear, when they are uneven.

    Returns:
        The part; None for the clip exactly as it is: even, and just as many frames as are wanted.

    Raises:
        UserError: bounds that are not times, or an empty part.
    """
    start, end = _bounds(wanted, whole, rate, times)
    lasts, total = end - start, max(1, round(whole * rate))
    if times is None:
        there = max(1, round(lasts * rate))
    else:
        there = max(1, int(((times >= start - 1e-6) & (times < end - 1e-6)).sum()))
    count = wanted.frames or (max(1, round(lasts * wanted.fps)) if wanted.fps else min(there, wanted.most))
    if count == there == total and times is None and not (wanted.fps and not wanted.frames):
        return None
    return Part(start, _rate(wanted, count, there, lasts, rate, times is None), count, whole)


def _rate(wanted: Wanted, count: int, there: int, lasts: float, rate: float, even: bool) -> float:
    spread = count / lasts
    if count == there:
        return rate if even else spread
    if wanted.fps:
        return wanted.fps if count / wanted.fps <= lasts + 0.5 / wanted.fps else spread
    if wanted.end is not None or count > there:
        return spread
    usable = rate if rate <= FAST else rate / wanted.stride if wanted.stride else USABLE
    return min(rate, max(usable, spread))


def _bounds(wanted: Wanted, whole: float, rate: float, times: np.ndarray | None) -> tuple[float, float]:
    start = 0.0 if wanted.start is None else _instant(wanted.start, f"{wanted.key}start", rate, times)
    end = whole if wanted.end is None else _instant(wanted.end, f"{wanted.key}end", rate, times)
    if start >= whole - 1e-6:
        raise UserError(f"{wanted.key}start={wanted.start} is beyond the clip, which lasts {_seconds(whole)} s")
    if end <= start + 1e-6:
        raise UserError(f"{wanted.key}end={wanted.end} is not after {wanted.key}start={wanted.start or 0}")
    if end > whole + 0.5 / rate:
        raise UserError(f"{wanted.key}end={wanted.end} is beyond the clip, which lasts {_seconds(whole)} s")
    return start, min(end, whole)


def _instant(given: Moment, name: str, rate: float, times: np.ndarray | None) -> float:
    value, unit = moment(given, name)
    if unit == "s":
        return value
    if times is not None and value < len(times):
        return float(times[int(value)])
    return value / rate


def moment(given: Moment, name: str = "start") -> tuple[float, str]:
    """(value, "s" or "f") of a `Moment`.

    Raises:
        UserError: it is not a time.
    """
    if isinstance(given, Real) and not isinstance(given, bool) and np.isfinite(given) and given >= 0:
        return float(given), "s"
    text = str(given).strip().lower()
    if clock := re.fullmatch(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{1,2}(?:\.\d*)?)", text):
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3]), "s"
    if plain := re.fullmatch(r"(\d{1,7}(?:\.\d{0,9})?)s?", text):
        return float(plain[1]), "s"
    if frames := re.fullmatch(r"(\d{1,7})f", text):
        return float(frames[1]), "f"
    raise UserError(f"{name}={given}: give seconds, such as 2.5 or 1:05, or frames, such as 60f")


def _seconds(value: float) -> str:
    return f"{round(value, 2):g}"
