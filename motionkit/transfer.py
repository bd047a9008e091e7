"""The contract: what a method declares, what it is given, and the three steps that it takes.

A method is a `MethodSpec` (facts, importable without torch) and a `Transfer` (prepare, fit, generate). Files, caching,
progress, resume, manifests and the command line exist once, in the toolkit; a method writes none of them again.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from motionkit.context import Progress as Progress
from motionkit.context import RunContext as RunContext
from motionkit.context import Tensors as Tensors
from motionkit.errors import UserError
from motionkit.settings.demand import Demand as Demand
from motionkit.weights.hashing import hash_path

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image

    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.catalog import BackboneSpec
    from motionkit.media import Clip, Sound

MAPS = ("poses", "masks", "depth", "correspondence", "keypoints")


@dataclass(frozen=True)
class Requirement:
    """One field of `Inputs` that a method needs or uses, and what it should show."""

    name: str
    note: str = ""


@dataclass(frozen=True)
class Need:
    """What a method asks of a backbone that it does not know by name.

    Attributes:
        fact: an attribute of `BackboneSpec`.
        among: its value is one of these; where it is a tuple, one of its items is.
        why: one line that says why the method has no meaning without it.
    """

    fact: str
    among: tuple[Any, ...]
    why: str

    def met(self, backbone: BackboneSpec) -> bool:
        """Whether that backbone has it; none has a fact that is not there."""
        value = getattr(backbone, self.fact, None)
        return not set(self.among).isdisjoint(value if isinstance(value, tuple) else (value,))


@dataclass(frozen=True)
class Stage:
    """A cached step: its output is kept under a key made of exactly these inputs and settings.

    Attributes:
        name: "prepare" or "fit".
        inputs: the `Inputs` fields that the step reads.
        settings: the configuration fields that the step reads, as dotted prefixes; ("*",) is all of them.
        seeded: whether the seed changes the output.
    """

    name: str
    inputs: tuple[str, ...]
    settings: tuple[str, ...] = ("*",)
    seeded: bool = True


# What `MethodSpec.status` may be, and what a user should know of it.
STATUSES = {"working": "", "reproducing": "the paper's numbers are not reached yet"}


@dataclass(frozen=True)
class MethodSpec:
    """The facts about a method: everything that can be known without loading it.

    Attributes:
        transfer, config, trainer: "package.module:attribute", imported on use; config is a torch-free dataclass,
            trainer a function of one `motionkit.training.job.TrainJob` that returns the path of the trained weights.
        train_config: a torch-free dataclass of the trainer's own settings (`train.` on the command line).
        converter: a function of (source, target, options) that makes weights of other people's files (`convert`).
        requires, uses: inputs without which it refuses to start, and inputs that it takes when they are there.
        backbones: names of the backbones it runs on; () when it needs none.
        refuses: family of backbones -> one line that says why the method cannot run on any of them.
        no_backbones: the same for single backbones of a family on which it does run.
        suits: what makes it run on a backbone of which it says nothing else, such as another package's; () for none.
        samplers: names of the samplers that its mathematics allows, () for any; `sampler_reason` says why no other.
        any_sampler: settings by dotted name, and the value of each with which any sampler is allowed all the same.
        conf: a Hydra search path of a third party, such as "pkg://their_package.conf".
        status: one of `STATUSES`.
        stochastic: whether another seed gives another video.
        stride: every so many frames of a driving video at 24 frames per second or so, as the paper takes them; None
            where it does not say: a fast clip is then lowered to 8 frames per second.
        most: frames that are taken where no number is given, by backbone or by "preset=NAME"; 10 for any other.
        edits: whether the driving clip itself is edited: on full-size weights its own shape then decides the size.
        mattes: whether `generate` says where the subject is (`run.matte`), so that it can be cut out.
        distinct_frames: whether a driving clip with fewer frames than asked for is refused, not shown slower.
        demands: "package.module:function" of (settings, frames) -> list of `Demand`: what a run computes, for a plan by
            need and for `motionkit fits`; its module imports no torch at the top.
        version: raise it when the method's output changes; cached stages of older versions are then left alone.
    """

    name: str
    title: str
    summary: str
    paper_url: str
    citation: str
    licence: str
    transfer: str
    config: str
    requires: tuple[Requirement, ...] = ()
    uses: tuple[Requirement, ...] = ()
    backbones: tuple[str, ...] = ()
    default_backbone: str | None = None
    refuses: Mapping[str, str] = field(default_factory=dict)
    no_backbones: Mapping[str, str] = field(default_factory=dict)
    suits: tuple[Need, ...] = ()
    stages: tuple[Stage, ...] = ()
    trainer: str | None = None
    train_config: str | None = None
    converter: str | None = None
    demands: str | None = None
    conf: str | None = None
    status: str = "working"
    stochastic: bool = True
    distinct_frames: bool = False
    stride: int | None = None
    most: Mapping[str, int] = field(default_factory=dict)
    edits: bool = False
    mattes: bool = False
    year: int = 0
    version: str = "1"
    samplers: tuple[str, ...] = ()
    sampler_reason: str = ""
    any_sampler: Mapping[str, Any] = field(default_factory=dict)

    def stage(self, name: str) -> Stage | None:
        """The declared stage of that name, or None when its output is not cached."""
        return next((stage for stage in self.stages if stage.name == name), None)

    def most_frames(self, backbone: str | None, settings: Any) -> int | None:
        """How many frames are taken at most where a request gives no number; None is the toolkit's own default."""
        asked = (f"preset={getattr(settings, 'preset', '')}", backbone or "")
        return next((self.most[key] for key in asked if key in self.most), None)

    def refusal(self, backbone: BackboneSpec) -> str:
        """Why it does not run on that backbone, in one line; "" where it does, or where it says nothing."""
        if not self.backbones or backbone.name in self.backbones:
            return ""
        said = self.no_backbones.get(backbone.name) or self.refuses.get(backbone.family)
        return said or next((need.why for need in self.suits if not need.met(backbone)), "")

    def runs_on(self, backbone: BackboneSpec) -> bool:
        """Whether it runs on that backbone: one that it names, or one that has all that it asks for."""
        return backbone.name in self.backbones or (bool(self.suits) and not self.refusal(backbone))

    def check_inputs(self, inputs: Inputs) -> None:
        """Name the first required input that is missing.

        Raises:
            UserError: an input in `requires` is not there.
        """
        present = inputs.present()
        for need in self.requires:
            if need.name not in present:
                raise self.missing(need)

    def check_length(self, inputs: Inputs, frames: int | None) -> None:
        """Refuse a driving clip that is too short, for a method that uses no frame twice.

        Raises:
            UserError: it has fewer frames than asked for.
        """
        clip = inputs.driving
        if self.distinct_frames and frames is not None and clip is not None and 1 < len(clip) < frames:
            raise UserError(
                f"frames={frames}, but the driving clip has only {len(clip)}: give frames={len(clip)} or a longer clip"
            )

    def missing(self, need: Requirement) -> UserError:
        """The one line for a required input that is not there."""
        note = f" ({need.note})" if need.note else ""
        return UserError(f"{self.name} needs {need.name}{note}: give it as {need.name}=...")

    def used(self, inputs: Inputs) -> tuple[str, ...]:
        """The names of those given inputs that this method reads."""
        declared = {need.name for need in (*self.requires, *self.uses)}
        return tuple(name for name in inputs.present() if name in declared)


@dataclass
class Inputs:
    """One request; the same one serves every method of a comparison.

    Attributes:
        reference: image or video of the character that is to move.
        driving: video of the motion.
        prompt, source_prompt, negative_prompt: what the result shows, what the driving video shows, what to avoid.
        poses, masks, depth, correspondence, keypoints: paths of ready-made maps that replace the estimators.
    """

    reference: Clip | None = None
    driving: Clip | None = None
    prompt: str = ""
    source_prompt: str = ""
    negative_prompt: str = ""
    poses: str | None = None
    masks: str | None = None
    depth: str | None = None
    correspondence: str | None = None
    keypoints: str | None = None

    def present(self) -> tuple[str, ...]:
        """The names of the fields that were given."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return tuple(k for k, v in given.items() if v is not None and not (isinstance(v, str) and not v.strip()))

    def hash_of(self, name: str) -> str:
        """SHA-256 of one field's content: decoded pixels of a clip, text, or the bytes of a file or folder."""
        value = getattr(self, name)
        if value in (None, ""):
            return "none"
        if name in MAPS:
            return hash_path(Path(value))
        return hashlib.sha256(value.encode()).hexdigest() if isinstance(value, str) else value.sha256


class Transfer(abc.ABC):
    """A method: declared facts and up to three steps.

    The inputs have already been brought to `run.frames` frames of `run.height` x `run.width` pixels (letterboxed), and
    the result is cut back to the aspect of the reference, or of the driving clip where the method does not read one.
    `backbone` loads its weights on first use, so a step that comes from the cache loads nothing.
    """

    spec: ClassVar[MethodSpec]

    def __init__(self, config: Any, backbone: VideoBackbone | None, run: RunContext) -> None:
        self.config = config
        self._backbone = backbone
        self.run = run

    @property
    def backbone(self) -> VideoBackbone:
        """The backbone; only a method that declares `backbones` may ask for it."""
        if self._backbone is None:
            raise UserError(f"{self.spec.name} needs a backbone; it runs on {self.spec.backbones}")
        return self._backbone

    def check(self, inputs: Inputs) -> None:  # noqa: B027 (nothing more to check is a fine default)
        """Refuse inputs that cannot work, before weights load; cheap.

        Raises:
            UserError: one line that says what to do.
        """

    def weights(self) -> Mapping[str, Path]:
        """The method's own weight files (not the backbone's): they are hashed into cache keys and the manifest."""
        return {}

    @abc.abstractmethod
    def prepare(self, inputs: Inputs) -> Tensors:
        """Perceive: everything that depends on the clips and not on the wanted result."""

    def picture(self, inputs: Inputs) -> np.ndarray | None:
        """What the backbone has to know how to draw, (H, W, 3) uint8: the first frame of the first clip that is read.

        Called after `prepare`. None where there is nothing of the kind.
        """
        used = self.spec.used(inputs)
        clips = [getattr(inputs, name) for name in ("reference", "driving") if name in used]
        return next((clip.frames[0] for clip in clips if clip is not None), None)

    def fit(self, inputs: Inputs, prepared: Tensors) -> Tensors:
        """Tune on this pair of clips; a method that tunes nothing keeps this default."""
        return {}

    @abc.abstractmethod
    def generate(self, inputs: Inputs, prepared: Tensors, fitted: Tensors) -> torch.Tensor:
        """Make the video: (F, 3, H, W) floats in [0, 1]."""


@dataclass(repr=False)
class Result:
    """The outcome of a run: frames (F, H, W, 3) uint8 RGB, their rate, the manifest, and where it is on disk.

    `alpha` (F, H, W) uint8 says where the subject is, None where that was not asked for or is not known; `sound` is the
    driving clip's; `loop` as `motionkit.media.output_files.Finish`.
    """

    frames: np.ndarray
    fps: float
    manifest: dict[str, Any]
    folder: Path
    shown: dict[str, np.ndarray] = field(default_factory=dict)
    label: str = ""
    alpha: np.ndarray | None = None
    sound: Sound | None = None
    loop: str = "none"

    def __repr__(self) -> str:
        count, height, width = self.frames.shape[:3]
        method = (self.manifest.get("method") or {}).get("name")
        made = f"of {method}: " if method else ""
        return f"<Result {made}{count} frames of {width}x{height} px at {self.fps:g} fps, in {self.folder}>"

    def to_pil(self) -> list[Image.Image]:
        """Its frames as Pillow pictures: RGB, or RGBA where `alpha` is known."""
        import numpy as np
        from PIL import Image

        if self.alpha is None:
            return [Image.fromarray(frame) for frame in self.frames]
        return [Image.fromarray(np.dstack(pair)) for pair in zip(self.frames, self.alpha, strict=True)]

    def _repr_html_(self) -> str:
        """In a notebook: the video, playing; its first frame and its path when it is too large for a page."""
        from motionkit.report.text import in_notebook

        return in_notebook(self.frames, self.fps, repr(self))

    def save(self, path: str | Path) -> Path:
        """Write the video by suffix: mp4, webm, mov, gif, webp, png, or none for a folder of numbered png frames."""
        from motionkit.media.output_files import local_path, write_result

        more: dict[str, Any] = {"alpha": self.alpha, "sound": self.sound, "loop": self.loop}
        place = local_path(path) if isinstance(path, str) and path.startswith("~") else Path(path)
        return write_result(place, self.frames, self.fps, self.label, **more)
