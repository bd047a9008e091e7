"""Where AnimateDiff's motion modules lie, how many frames they know, and which image UNets they fit. No torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motionkit.backbones import files
from motionkit.backbones.catalog import BackboneSpec
from motionkit.errors import MissingWeights, UserError, unknown
from motionkit.weights.hashing import hash_json

SCHEDULES = ("module", "base")
_KNOWN = {(320, 640, 1280, 1280): "SD 1.5", (320, 640, 1280): "SD XL"}
_BYTES = 1.9  # GB, the larger of the published files


@dataclass(frozen=True)
class MotionOptions:
    """What may be said about the motion modules of a backbone.

    Attributes:
        adapter: a folder with a diffusers MotionAdapter (or with one in `motion_adapter/`), or a hub id; None takes the
            one that comes with the base folder, else the one that the backbone names.
        per_frame_norm: the modules' group norm over each frame alone (AnimateDiff's main code) or over the whole clip
            (diffusers, and AnimateDiff's XL code); None is what the backbone's modules were trained with.
        schedule: "module": the betas that the modules were trained with; "base": those of the image model's folder.
    """

    adapter: str | None = None
    per_frame_norm: bool | None = None
    schedule: str = "module"

    def check(self, spec: BackboneSpec) -> None:
        """Refuse what means nothing for this backbone. Raises: UserError."""
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
        if made_up(spec) and self.adapter:
            raise UserError(f"{spec.name} makes its motion modules from the seed: leave backbone.motion_adapter out")

    def per_frame(self, spec: BackboneSpec) -> bool:
        """The norm that takes effect."""
        return spec.per_frame_motion_norm if self.per_frame_norm is None else self.per_frame_norm


def made_up(spec: BackboneSpec) -> bool:
    """Whether the weights come from a seed."""
    return spec.hub_id is None and spec.asset is None


def locate(spec: BackboneSpec, base: Path | None, options: MotionOptions | None = None, online: bool = False) -> Path:
    """The folder that holds the motion modules' config.json and weights.

    Args:
        base: the folder of the image model, which may bring modules along (as diffusers' pipelines are saved).

    Raises:
        MissingWeights: naming the files and the command that gets them.
        UserError: a file in place of a folder, or pickled weights.
    """
    given = options.adapter if options else None
    if given and Path(given).expanduser().exists():
        return _local(spec, Path(given).expanduser())
    if given and (given.count("/") != 1 or given.startswith((".", "~", "/")) or given.endswith("/")):
        raise MissingWeights(
            f"{spec.name}: no folder {given} (backbone.motion_adapter is a folder or a hub id owner/name)"
        )
    if not given and base is not None and (base / "motion_adapter").is_dir():
        return _local(spec, base / "motion_adapter")
    if not given and spec.asset:
        return _local(spec, files.ASSETS / spec.asset / "motion_adapter")
    online = online or os.environ.get("MOTIONKIT_ONLINE") == "1"
    return _cached(spec, given or spec.motion_id or "", online, bool(given))


def _local(spec: BackboneSpec, folder: Path) -> Path:
    if folder.is_file():
        raise UserError(
            f"{spec.name}: {folder} is one file; motionkit reads folders in diffusers' layout. Convert it once with: "
            f'python -c "from diffusers import MotionAdapter as M; '
            f"M.from_single_file('{folder}').save_pretrained('{folder.stem}')\""
        )
    if not (folder / "config.json").is_file() and (folder / "motion_adapter").is_dir():
        folder = folder / "motion_adapter"
    if missing := inventory(spec, folder)[1]:
        raise MissingWeights(f"{spec.name}: {folder} lacks {', '.join(missing)}: it holds no motion modules")
    return folder


def _cached(spec: BackboneSpec, hub_id: str, online: bool, given: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        folder = Path(snapshot_download(hub_id, cache_dir=HF_HUB_CACHE, local_files_only=True))
    except Exception:  # not there, or there in part: both mean the same here
        folder = Path(HF_HUB_CACHE) / "nothing"
    missing = inventory(spec, folder)[1]
    if missing and online:
        try:
            return _local(spec, Path(snapshot_download(hub_id, cache_dir=HF_HUB_CACHE, allow_patterns=missing)))
        except UserError:
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise MissingWeights(f"{spec.name}: the download of {hub_id} failed: {reason}") from error
    if missing:
        neither = f"{hub_id} is no folder here, and " if given else ""
        raise MissingWeights(
            f"{spec.name}: {neither}the motion modules are not in the hub cache {HF_HUB_CACHE}: {', '.join(missing)}. "
            f"Get them with: hf download {hub_id} {' '.join(missing)}  (up to {_BYTES:.3g} GB; or let motionkit do it: "
            f"MOTIONKIT_ONLINE=1; or give backbone.motion_adapter=FOLDER)"
        )
    return folder


def inventory(spec: BackboneSpec, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The modules' files by name, and the names of those that `folder` lacks. Raises: UserError for pickled weights."""
    weights = files.weight_files(folder, files.MODEL)
    if not weights:
        files.refuse_pickle(spec, folder)
        weights = [folder / f"{files.MODEL}.safetensors"]
    wanted = [folder / "config.json", *weights]
    return {f.name: f for f in wanted if f.is_file()}, [f.name for f in wanted if not f.is_file()]


def max_frames(spec: BackboneSpec, path: str | None = None, options: MotionOptions | None = None) -> int | None:
    """How many frames a backbone's motion modules have positions for; None for a backbone without any.

    Raises: as `locate`.
    """
    if not spec.base:
        return None
    if made_up(spec):
        from motionkit.backbones.tiny_motion import ADAPTER

        return int(ADAPTER["motion_max_seq_length"])
    folder = locate(spec, files.locate(spec, path), options)
    return int(files.read_json(folder / "config.json").get("motion_max_seq_length", 32))


def check_frames(spec: BackboneSpec, frames: int, limit: int | None) -> None:
    """Refuse more frames than the motion modules have positions for. Raises: UserError."""
    if limit is not None and frames > limit:
        raise UserError(
            f"{spec.name}: its motion modules know {limit} frames, the clip has {frames}: give frames={limit} or fewer"
        )


def fingerprint(
    spec: BackboneSpec, path: str | None = None, seed: int = 0, options: MotionOptions | None = None
) -> str:
    """SHA-256 of the image model, the motion modules and the options; no weight is loaded. Raises: as `locate`."""
    options = options or MotionOptions()
    said = {"name": spec.family, "per_frame_norm": options.per_frame(spec), "schedule": options.schedule}
    if made_up(spec):
        from motionkit.backbones.tiny import OUTPUT_SCALE
        from motionkit.backbones.tiny_motion import ADAPTER, architecture

        sizes = [architecture(spec.family), ADAPTER, OUTPUT_SCALE]
        return hash_json(said | {"name": spec.name, "architecture": sizes, "seed": seed})
    present, _ = inventory(spec, locate(spec, files.locate(spec, path), options))
    return hash_json(said | {"base": files.fingerprint(replace(spec, base=None), path), **files.hash_files(present)})


def check_match(spec: BackboneSpec, base: Path, unet: dict[str, Any], folder: Path, adapter: dict[str, Any]) -> None:
    """Whether motion modules fit an image UNet, told from the two configurations. Raises: UserError."""
    if channels := adapter.get("conv_in_channels"):
        raise UserError(
            f"{spec.name}: the motion modules in {folder} come with an input layer of {channels} channels "
            f"(an image-to-video model), which does not fit here"
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
