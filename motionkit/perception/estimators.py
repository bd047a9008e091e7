"""Estimators as declared parts: the protocol, the facts about each of them, and how one is found by name.

A part of this kind is called "kind.word", such as "pose.dwpose": the kind says what it finds, the word is what a user
writes (`method.pose.backend=dwpose`). Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from motionkit.errors import UserError, unknown
from motionkit.registry import ESTIMATORS, load_object
from motionkit.weights.finding import Wanted
from motionkit.weights.hashing import hash_files

if TYPE_CHECKING:
    import numpy as np
    import torch

    from motionkit.backbones.base import VideoBackbone


class Kind(NamedTuple):
    """What estimators of one kind have in common.

    Attributes:
        what: the word of messages, as in "unknown pose estimator".
        settings: "package.module:Class" of the dataclass that they read.
    """

    what: str
    settings: str


KINDS: Mapping[str, Kind] = {
    "pose": Kind("pose estimator", "motionkit.perception.pose.estimate:PoseSettings"),
    "masks": Kind("mask backend", "motionkit.perception.masks:MaskSettings"),
    "depth": Kind("depth backend", "motionkit.perception.depth:DepthSettings"),
    "correspondence": Kind("correspondence backend", "motionkit.perception.correspondence:CorrespondenceSettings"),
    "drawing": Kind("sketch source", "motionkit.perception.sketch:SketchSettings"),
    "flow": Kind("optical flow", "motionkit.perception.flow:FlowSettings"),
}


@dataclass(frozen=True)
class EstimatorSpec:
    """The facts about an estimator.

    Attributes:
        name: "kind.word", the kind one of `KINDS`.
        loader: "package.module:Class" of an `Estimator` that is made without arguments, imported on use.
        licence: of the code and the weights.
        knows: what it can see, such as "people" or "sprites only".
        needs: its weights, for `motionkit doctor`; those that ship with a package are `Wanted.shipped`.
        settings: "package.module:Class" of the dataclass that it reads, where that is not its kind's own. It takes
            its kind's fields over; what it has besides keeps its defaults where a user gives the kind's own settings.
        paper_url: where it is described.

    Raises:
        ValueError: the name has no known kind, or no word.
    """

    name: str
    summary: str
    loader: str
    licence: str
    knows: str
    needs: tuple[Wanted, ...] = ()
    settings: str = ""
    paper_url: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS or not self.word:
            raise ValueError(f"an estimator is called KIND.WORD with a kind of {', '.join(KINDS)}, not {self.name!r}")

    @property
    def kind(self) -> str:
        """What it finds: one of `KINDS`."""
        return self.name.partition(".")[0]

    @property
    def word(self) -> str:
        """What a user writes to ask for it."""
        return self.name.partition(".")[2]


@dataclass(frozen=True)
class View:
    """The inputs of an estimator.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB.
        targets: of flow, the pictures (F, H, W, 3) uint8 that each frame is compared with.
        masks: of correspondence, the subject (F, H, W) bool, some of it in frame 0.
        subject: who is meant, in a few words; "" where nothing is said.
        backbone: of correspondence, the loaded model, where there is one.
        side: of drawings, the longer side in pixels at which they will be drawn.
        device: where networks run.  dtype: of their weights; None is float32.
        progress: told (done, total).
    """

    frames: np.ndarray
    targets: np.ndarray | None = None
    masks: np.ndarray | None = None
    subject: str = ""
    backbone: VideoBackbone | None = None
    side: int = 256
    device: torch.device | str = "cpu"
    dtype: torch.dtype | None = None
    progress: Callable[[int, int], None] | None = None


class Lines(NamedTuple):
    """What an estimator of drawings finds.

    Attributes:
        mask: (H', W') bool of the picture's aspect, True on lines.
        widths: whether their widths were drawn; else they have no meaning.
    """

    mask: np.ndarray
    widths: bool


class Estimator(Protocol):
    """Estimates one kind of thing in frames; a subclass without weights needs `read` alone.

    `settings` is always an instance of the dataclass that its `EstimatorSpec` names.
    """

    def check(self, settings: Any) -> None:
        """Refuse everything that can be refused before any work. Raises: UserError, MissingWeights, one line."""
        self.weights(settings)

    def weights(self, settings: Any) -> dict[str, Path]:
        """The weight files that decide the output, by name; loads nothing. Raises: MissingWeights, UserError."""
        return {}

    def facts(self, settings: Any) -> dict[str, Any]:
        """Which weights these are, as JSON for manifests. Raises: as `weights`."""
        return {name: {"sha256": digest} for name, digest in hash_files(self.weights(settings)).items()}

    def read(self, view: View, settings: Any) -> Any:
        """Run it on frames.

        Returns:
            By its kind: pose, a `perception.pose.PoseClip` of F frames; masks, (F, H, W) bool; depth, (F, H, W)
            float32, at least 0, larger is nearer; correspondence, a `perception.files.Correspondence`; drawing, `Lines`
            of frame 0; flow, (F, H, W, 2) float32 f in pixels, x first, with frame(x) = target(x + f(x)).

        Raises:
            UserError, MissingWeights: one line that says what to do.
        """
        ...


class Words(Mapping[str, str]):
    """The words that a setting takes, with what each means: its own, then those of the registered estimators of a kind.

    The registry is asked at each use, so that estimators of other packages are among them.
    """

    def __init__(self, kind: str, own: Mapping[str, str] | None = None) -> None:
        self.kind, self._own = kind, dict(own or {})

    def _all(self) -> dict[str, str]:
        return self._own | {spec.word: spec.summary for spec in specs(self.kind)}

    def __getitem__(self, word: str) -> str:
        return self._all()[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def broken(self, word: str) -> str:
        """Why the package of that word cannot be used; "" for any other word."""
        found = [f for f in ESTIMATORS.failures() if f.name == f"{self.kind}.{word}"]
        return f"its package {found[0].dist} cannot be loaded: {found[0].error}" if found else ""

    def check(self, word: str) -> None:
        """Refuse a word that is none of these. Raises: UserError with the nearest, or why its plugin is broken."""
        if word in self:
            return
        name = f"{self.kind}.{word}"
        if any(failure.name == name for failure in ESTIMATORS.failures()):
            ESTIMATORS.get(name)
        raise unknown(KINDS[self.kind].what, str(word), self)


def specs(kind: str) -> list[EstimatorSpec]:
    """The registered estimators of a kind, those of the toolkit first."""
    found = [ESTIMATORS.registered(name) for name in ESTIMATORS.names() if name.startswith(f"{kind}.")]
    return [part.spec for part in sorted(found, key=lambda part: part.dist != "motionkit")]


class Asked:
    """A new instance of the estimator with that word; it is given the settings that it declares.

    Raises:
        UserError: no estimator of that kind and word, or its plugin is broken.
    """

    def __init__(self, kind: str, word: str) -> None:
        Words(kind).check(word)
        self.spec = ESTIMATORS.get(f"{kind}.{word}")
        self._estimator: Estimator = load_object(self.spec.loader)()

    def check(self, settings: Any) -> None:
        """As `Estimator.check`."""
        self._estimator.check(self._own(settings))

    def weights(self, settings: Any) -> dict[str, Path]:
        """As `Estimator.weights`."""
        return self._estimator.weights(self._own(settings))

    def facts(self, settings: Any) -> dict[str, Any]:
        """The estimator's word, and as `Estimator.facts`."""
        return {"backend": self.spec.word, **self._estimator.facts(self._own(settings))}

    def read(self, view: View, settings: Any) -> Any:
        """As `Estimator.read`."""
        return self._estimator.read(view, self._own(settings))

    def array(self, view: View, settings: Any, dtype: str, channels: tuple[int, ...] = ()) -> np.ndarray:
        """What `read` returns where that is an array of each frame's pixels.

        Raises:
            UserError: it is of another shape or type: the estimator is broken.
        """
        found, shape = self.read(view, settings), (*view.frames.shape[:3], *channels)
        if getattr(found, "shape", None) != shape or found.dtype != dtype:
            given = f"{getattr(found, 'dtype', type(found).__name__)} {getattr(found, 'shape', '')}".strip()
            raise UserError(f"{KINDS[self.spec.kind].what} {self.spec.word} gave {given}, not {dtype} {shape}")
        return found

    def _own(self, settings: Any) -> Any:
        if not self.spec.settings:
            return settings
        schema = load_object(self.spec.settings)
        if isinstance(settings, schema):
            return settings
        names = {item.name for item in fields(schema)}
        return schema(**{f.name: getattr(settings, f.name) for f in fields(settings) if f.name in names})
