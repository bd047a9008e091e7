"""A measure of one video, as a declared part: its fact, its function, and the networks that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from motionkit.errors import MissingWeights
from motionkit.media import from_frames, letterbox
from motionkit.metrics.needs import locate
from motionkit.settings.fact import Fact

if TYPE_CHECKING:
    from motionkit.metrics.clipscorer import Verdict

Weights = Mapping[str, str]
LAST = 1000
KNOWN = ("mask", "keypoints", "driving_keypoints")  # what a renderer knows of a true clip, and of the driving one


@dataclass(frozen=True)
class Request:
    """One video and what it is compared with; what several measures share is computed once.

    Attributes:
        video, truth: (F, H, W, 3) uint8 of one shape.
        driving: (F, h, w, 3) uint8 with the same number of frames; a measure that needs it is asked only without truth.
        reference: (h, w, 3) uint8, the picture that the video should keep to.
        prompt: what was asked for.
        weights: where the user keeps a set of weights, by its name in `motionkit.metrics.needs.NEEDS`.
        source_prompt: what the driving video shows.
        known: what only a renderer knows, each made when it is asked for: "mask" (F, H, W) bool, where the true subject
            is; "keypoints" and "driving_keypoints" (F, 12, 2) pixels, its joints in the true and the driving video.
    """

    video: np.ndarray
    driving: np.ndarray | None = None
    truth: np.ndarray | None = None
    reference: np.ndarray | None = None
    prompt: str = ""
    weights: Weights = field(default_factory=dict)
    source_prompt: str = ""
    known: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether what a fact needs (`Fact.needs`) is there to measure by; "nothing" always is."""
        if name in KNOWN:
            return name in self.known
        if name in ("nothing", "prompt", "source_prompt"):
            return name == "nothing" or bool(getattr(self, name))
        return getattr(self, name) is not None and (name != "driving" or self.truth is None)

    @property
    def moves(self) -> bool:
        """Whether there are two frames to compare."""
        return len(self.video) > 1

    @property
    def true(self) -> np.ndarray:
        """The true video, of a measure that needs it."""
        assert self.truth is not None
        return self.truth

    @property
    def driven(self) -> np.ndarray:
        """The driving video, of a measure that needs it."""
        assert self.driving is not None
        return self.driving

    @property
    def kept(self) -> np.ndarray:
        """The reference, of a measure that needs it."""
        assert self.reference is not None
        return self.reference

    @property
    def still(self) -> np.ndarray:
        """The reference at the size of the video: (1, H, W, 3) uint8, letterboxed."""
        return letterbox(from_frames(self.kept[None]), *self.video.shape[1:3])[0].frames

    @cached_property
    def joints(self) -> dict[str, float | None]:
        """Keypoint error and PCK by one run of the pose judge."""
        from motionkit.metrics import pose

        return pose.against(self.video, self.true)

    @cached_property
    def verdict(self) -> Verdict:
        """What the clip judge says of the video."""
        from motionkit.metrics import clipscorer

        return clipscorer.judge(self.video)

    @cached_property
    def identities(self) -> np.ndarray:
        """(F, 64) unit vectors: who is in each frame, by the clip judge."""
        from motionkit.metrics import clipscorer

        return clipscorer.identity(self.video)

    @cached_property
    def found_joints(self) -> np.ndarray:
        """(F, 12, 2) pixels: the joints that the pose judge finds."""
        from motionkit.metrics import pose

        return pose.estimate(self.video)[..., :2]


@dataclass(frozen=True)
class Measure:
    """One figure of one video, registered as an entry point of `motionkit.metrics`.

    Attributes:
        call: the function; None where there is no value on this video. It imports torch, if at all, when called.
        judges: shipped networks of the sprite world that it is made by (their bytes are part of a protocol's hash).
        needs: names in `motionkit.metrics.needs.NEEDS`, weights that do not come with the package.
        column: its place in a comparison's table, low numbers first; None: shown only by a protocol that names it.
        sparse: it has a value on some videos only, and a comparison leaves it out where it has none.
    """

    fact: Fact
    call: Callable[[Request], float | None]
    judges: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    column: int | None = LAST
    sparse: bool = False

    @property
    def name(self) -> str:
        """The name by which protocols and tables refer to it."""
        return self.fact.name

    def of(self, request: Request) -> float | None:
        """The figure; None where there is none or it is not finite. Raises what the function raises."""
        try:
            value = self.call(request)
            return float(value) if value is not None and np.isfinite(value) else None
        except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            error.add_note(f"in the metric {self.name}")
            raise


def lacks(fact: Fact, judges: Sequence[str], needs: Sequence[str], weights: Weights) -> str:
    """The one line that says which weights a figure lacks on this machine; "" when it has all."""
    if judges:
        from motionkit.metrics.judges import weights_path

        for judge in judges:
            if not (path := weights_path(judge)).is_file():
                return f"{fact.title} needs the sprite judge {path.name}: train it with `make train-{judge}`"
    for need in needs:
        try:
            locate(need, weights.get(need))
        except MissingWeights as error:
            return f"{fact.title}: {error}"
    return ""
