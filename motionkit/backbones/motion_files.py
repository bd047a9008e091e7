"""Finds AnimateDiff's motion modules; checks their number of frames and that they fit a UNet. Torch for files alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motionkit.backbones import folders
from motionkit.backbones.spec import BackboneSpec
from motionkit.backbones.tiny_sizes import ADAPTER
from motionkit.errors import MissingWeights, UserError, unknown
from motionkit.weights import places
from motionkit.weights.finding import Wanted, find
from motionkit.weights.model_files import MODEL, read_json, refuse_pickle, weight_files

SCHEDULES = ("module", "base")
FILES = (".safetensors", ".ckpt", ".pt", ".pth")  # of modules in one file, as AnimateDiff's authors publish them
_KNOWN = {(320, 640, 1280, 1280): "SD 1.5", (320, 640, 1280): "SD XL"}
_BYTES = 1.9  # GB, the larger of the published files


@dataclass(frozen=True)
class MotionOptions:
    """What may be said about the motion modules of a backbone.

    Attributes:
        adapter: a folder with a diffusers MotionAdapter (or with one in `motion_adapter/`), a file as AnimateDiff's
            authors publish them, or a hub id; None takes the one that comes with the base folder, else the one that
            the backbone names.
        per_frame_norm: the modules' group norm over each frame alone (AnimateDiff's main code) or over the whole clip
            (diffusers, and AnimateDiff's XL code); None is what the backbone's modules were trained with.
        schedule: "module": the betas that the modules were trained with; "base": those of the image model's folder.
    """

    adapter: str | None = None
    per_frame_norm: bool | None = None
    schedule: str = "module"

    def check(self, spec: BackboneSpec) -> None:
        """Refuse options that this backbone does not have. Raises: UserError."""
        if self.schedule not in SCHEDULES:
            raise unknown("value of backbone.motion_schedule", self.schedule, SCHEDULES)
        given = {
            "motion_adapter": self.adapter,
            "per_frame_motion_norm": self.per_frame_norm,
            "motion_schedule": self.schedule if self.schedule != "module" else None,
        }
        if not spec.base:
            for key, value in given.items():
                if value is not None:
                    raise UserError(f"{spec.name} has no motion modules: leave backbone.{key} out")
        if spec.made_up and self.adapter:
            raise UserError(f"{spec.name} draws its motion modules from the seed: leave backbone.motion_adapter out")

    def per_frame(self, spec: BackboneSpec) -> bool:
        """The norm that takes effect."""
        return spec.per_frame_motion_norm if self.per_frame_norm is None else self.per_frame_norm


def wanted(spec: BackboneSpec, base: Path | None = None) -> Wanted:
    """A backbone's motion modules as weights to be found; `base` is the folder of the image model."""
    shipped = None
    if base is not None and (base / "motion_adapter").is_dir():  # as diffusers' pipelines are saved
        shipped = base / "motion_adapter"
    elif spec.asset:
        shipped = places.assets() / spec.asset / "motion_adapter"
    return Wanted(
        f"{spec.name}: motion modules",
        missing_in=lambda folder: inventory(spec, folder)[1],
        checked=lambda folder: _checked(spec, folder),
        shipped=shipped,
        hub_id=spec.motion_id,
        size=f"up to {_BYTES:.3g} GB",
        setting="backbone.motion_adapter",
        accepts="a folder, a file or a hub id owner/name",
    )


def locate(spec: BackboneSpec, base: Path | None, options: MotionOptions | None = None, online: bool = False) -> Path:
    """The folder that holds the motion modules' config.json and weights, or the one file that they are in.

    Args:
        base: the folder of the image model, which may bring modules along.

    Raises: as `weights.finding.find`.
    """
    return find(wanted(spec, base), options.adapter if options else None, online or None)


def _checked(spec: BackboneSpec, folder: Path) -> Path:
    if folder.is_file():
        if folder.suffix not in FILES:
            raise UserError(
                f"{spec.name}: {folder} is not a file of motion modules: its name must end in {', '.join(FILES)}"
            )
        return folder
    if not (folder / "config.json").is_file() and (folder / "motion_adapter").is_dir():
        folder = folder / "motion_adapter"
    if missing := inventory(spec, folder)[1]:
        raise MissingWeights(f"{spec.name}: {folder} lacks {', '.join(missing)}: it holds no motion modules")
    return folder


def inventory(spec: BackboneSpec, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The modules' files by name, and the names of those that `folder` lacks. Raises: UserError for pickled weights."""
    if folder.is_file():
        return {"file": folder}, []
    weights = weight_files(folder, MODEL, pickled=True)
    if not weights:
        refuse_pickle(spec.name, folder)
        weights = [folder / f"{MODEL}.safetensors"]
    wanted = [folder / "config.json", *weights]
    return {f.name: f for f in wanted if f.is_file()}, [f.name for f in wanted if not f.is_file()]


def max_frames(spec: BackboneSpec, path: str | None = None, options: MotionOptions | None = None) -> int | None:
    """How many frames a backbone's motion modules have positions for; None for a backbone without any.

    Raises: as `locate`.
    """
    if not spec.base:
        return None
    if spec.made_up:
        return int(ADAPTER["motion_max_seq_length"])
    folder = locate(spec, folders.locate(spec, path), options)
    if folder.is_file():
        from motionkit.backbones.motion_original import frames_of

        return frames_of(folder)
    return int(read_json(folder / "config.json").get("motion_max_seq_length", 32))


def check_frames(spec: BackboneSpec, frames: int, limit: int | None) -> None:
    """Refuse more frames than the motion modules have positions for. Raises: UserError."""
    if limit is not None and frames > limit:
        raise UserError(
            f"{spec.name}: its motion modules support {limit} frames, the clip has {frames}: "
            f"give frames={limit} or fewer"
        )


def check_match(spec: BackboneSpec, base: Path, unet: dict[str, Any], folder: Path, adapter: dict[str, Any]) -> None:
    """Whether motion modules fit an image UNet, told from the two configurations. Raises: UserError."""
    if channels := adapter.get("conv_in_channels"):
        raise UserError(
            f"{spec.name}: the motion modules in {folder} come with an input layer of {channels} channels "
            f"(an image-to-video model), which is not supported"
        )
    widths, own = tuple(unet["block_out_channels"]), tuple(adapter.get("block_out_channels", (320, 640, 1280, 1280)))
    if widths != own:
        raise UserError(
            f"{spec.name}: the motion modules in {folder} are for {_kind(own)}, the UNet in {base} is of "
            f"{_kind(widths)}: give others as backbone.motion_adapter, or another backbone.path"
        )
    for ours, theirs, default in (
        ("layers_per_block", "motion_layers_per_block", 2),
        ("norm_num_groups", "motion_norm_num_groups", 32),
    ):
        a, b = unet.get(ours, default), adapter.get(theirs, default)
        if _spread(a, len(widths)) != _spread(b, len(widths)):
            raise UserError(
                f"{spec.name}: the motion modules in {folder} have {theirs} {b}, the UNet in {base} has "
                f"{ours} {a}: they are for another model"
            )


def _kind(widths: tuple[int, ...]) -> str:
    numbers = f"widths {', '.join(map(str, widths))}"
    return f"{_KNOWN[widths]} ({numbers})" if widths in _KNOWN else numbers


def _spread(value: Any, count: int) -> list[int]:
    return list(value) if isinstance(value, list | tuple) else [value] * count
