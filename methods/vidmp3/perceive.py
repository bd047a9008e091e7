"""From frames to what the guide sees: masks, depth and correspondence of each subject, and pictures of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor

from motionkit.errors import UserError
from motionkit.perception.correspondence import correspond
from motionkit.perception.depth import estimate_depth
from motionkit.perception.masks import FRONT, segment
from motionkit.perception.networks import BIREFNET
from motionkit.transfer import Inputs

from . import no_networks
from .config import VidMP3Config
from .maps import build_maps, clean_masks, normalise_depth, steady_depth, wheel_on

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.catalog import BackboneSpec
    from motionkit.context import RunContext

_TILE = 160  # pixels, longer side of a picture in the report
_FIELDS = ("masks", "depth", "correspondence")


@dataclass(frozen=True)
class Eyes:
    """What perceives on a backbone: the settings of the three rooms, their ready-made files filled in.

    Attributes:
        given: the rooms whose files came with the request, and are hashed as its inputs.
        bare: without networks, where no file is given.
        pocket: the backbone is of the sprite world.
        backbone: what is declared of it.
    """

    config: VidMP3Config
    given: tuple[str, ...]
    bare: bool
    pocket: bool
    backbone: BackboneSpec

    @classmethod
    def of(cls, config: VidMP3Config, inputs: Inputs | None, backbone: BackboneSpec) -> Eyes:
        """For a request (None: its files are not known yet) on a backbone."""
        given = {name: getattr(inputs, name) for name in _FIELDS} if inputs else {}
        rooms = {name: replace(getattr(config, name), path=path) for name, path in given.items() if path}
        simple = config.perceive == "plain" or (config.perceive == "auto" and backbone.made_up)
        return cls(replace(config, **rooms), tuple(rooms), simple, backbone.name.startswith("pocket-"), backbone)

    def room(self, name: str) -> Any:
        """The settings of "masks", "depth" or "correspondence"."""
        return getattr(self.config, name)

    def networks(self, name: str) -> bool:
        """Whether one of the rooms' back ends is used, and not the one without networks."""
        room = self.room(name)
        return not (self.bare and room.backend == "auto" and not room.path)

    def _where(self, name: str) -> dict[str, Any]:
        more: dict[str, Any] = {"backbone": self.backbone} if name == "correspondence" else {}
        if name == "masks":
            more = {"subject": self.config.names[0]}
        return {"pocket": self.pocket} | more

    def check(self) -> None:
        """Refuse invalid settings. Raises: UserError, one line."""
        for name in filter(self.networks, _FIELDS):
            self.room(name).check(**self._where(name))
        if len(self.config.names) > 1:
            if self.bare and self.networks("masks") is False:
                raise UserError(
                    "method.perceive=plain cannot separate several subjects: give masks= with a folder for each"
                )
            if self.room("masks").started:
                raise UserError("method.masks.box, point and start are for one subject: leave method.subjects out")
            for name in self.config.names:
                room = self.masks_of(name)
                if self.networks("masks") and room.on(pocket=self.pocket, subject=name) in (FRONT, "rmbg"):
                    raise UserError(
                        f"the subject {name!r} is not among the segmenter's classes, and the foreground segmenter "
                        "cannot separate several subjects: give masks= with a folder for each"
                    )
                if self.networks("masks"):
                    room.check(pocket=self.pocket, subject=name)

    def remark(self) -> str:
        """A warning where the subject is taken to be the foreground, not found by its name; else ""."""
        room = self.room("masks")
        if not self.networks("masks") or room.backend != "auto" or room.on(**self._where("masks")) != FRONT:
            return ""
        name, front = self.config.names[0], f"{BIREFNET.title} (weights {BIREFNET.licence})"
        said = f"{name!r} is not among the segmenter's classes" if name else "no subject is named"
        return f"{said}: the foreground is used instead, found by {front}; method.masks.* change that"

    def weights(self) -> dict[str, Path]:
        """Every file besides the inputs that the maps depend on. Raises: MissingWeights, UserError."""
        found: dict[str, Path] = {}
        for name in filter(self.networks, _FIELDS):
            room = self.room(name)
            found |= {f"{name}/{file}": path for file, path in room.files(**self._where(name)).items()}
            if name not in self.given and room.on(**self._where(name)) == "files":
                found[f"{name}/files"] = Path(room.path).expanduser()
            if start := getattr(room, "start", None):
                found[f"{name}/start"] = Path(start).expanduser()
        return found

    def facts(self) -> dict[str, Any]:
        """The estimators and weights, for the manifest."""
        return {
            name: self.room(name).facts(**self._where(name)) if self.networks(name) else {"backend": "plain"}
            for name in _FIELDS
        }

    def masks_of(self, subject: str) -> Any:
        """The mask settings for one of several subjects: ready-made ones lie below their folder by the subject's name.

        Raises:
            UserError: no such file or folder.
        """
        room = self.room("masks")
        if len(self.config.names) == 1 or not room.path:
            return room
        folder = Path(room.path).expanduser()
        found = [p for p in sorted(folder.glob("*")) if p.stem == subject] if folder.is_dir() else []
        if not found:
            raise UserError(
                f"masks={room.path}: several subjects need a folder of masks for each, and none is "
                f"called {subject!r} in it"
            )
        return replace(room, path=str(found[0]))


@dataclass(frozen=True)
class Seen:
    """The maps of one subject.

    Attributes:
        mask: (F, 1, H, W) of 0 and 1, of the clip's size.
        image: (F, 4, h, w): correspondence colours and depth at the guide's resolution, 0 off the subject.
        small: (F, 1, h, w): the mask there.
        pictures: (F, 5 h', w', 3) uint8: frame, correspondence, depth, mask, and correspondence times depth.
    """

    mask: Tensor
    image: Tensor
    small: Tensor
    pictures: np.ndarray


def perceive(frames: np.ndarray, eyes: Eyes, backbone: VideoBackbone | None, run: RunContext) -> list[Seen]:
    """Estimate the maps of (F, H, W, 3) uint8 frames; one result for each subject.

    Raises:
        UserError: a subject that is not found, or not in the first frame; invalid settings or files.
        MissingWeights: a network's weights are missing.
    """
    config = eyes.config
    masks = [_masks(frames, name, eyes, run) for name in config.names]
    if eyes.networks("depth"):
        told = _tell(run, "depth")
        depth = estimate_depth(frames, config.depth, pocket=eyes.pocket, device=run.device, progress=told)
    else:
        depth = None  # of each subject by its own size
    return [
        _seen(frames, m, no_networks.depth_by_size(m) if depth is None else depth, n, eyes, backbone, run)
        for m, n in zip(masks, config.names, strict=True)
    ]


def _masks(frames: np.ndarray, name: str, eyes: Eyes, run: RunContext) -> np.ndarray:
    if eyes.networks("masks"):
        told = _tell(run, "masks")
        found = segment(frames, name, eyes.masks_of(name), pocket=eyes.pocket, device=run.device, progress=told)
    else:
        found = no_networks.segment(frames)
    return clean_masks(torch.from_numpy(found)[:, None].float())[:, 0].numpy() > 0.5


def _seen(
    frames: np.ndarray,
    masks: np.ndarray,
    depth: np.ndarray,
    name: str,
    eyes: Eyes,
    backbone: VideoBackbone | None,
    run: RunContext,
) -> Seen:
    config = eyes.config
    colours = _colours(frames, masks, name, eyes, backbone, run)
    mask = torch.from_numpy(masks)[:, None].float()  # (F,1,H,W)
    near = torch.from_numpy(depth)[:, None]
    near = normalise_depth(steady_depth(near, mask) if config.maps.steady else near, mask)
    maps = build_maps(colours, near, mask, "concat", config.maps.long_side)
    return Seen(mask, maps.image, maps.mask, _pictures(frames, colours, near, mask))


def _colours(
    frames: np.ndarray, masks: np.ndarray, name: str, eyes: Eyes, backbone: VideoBackbone | None, run: RunContext
) -> Tensor:
    """Correspondence as colours (F, 3, H, W) in [0, 1], 0 off the subject."""
    config = eyes.config
    if not masks[0].any():
        raise UserError("the first frame does not show the subject: start the clip where it is visible")
    if eyes.networks("correspondence"):
        found = correspond(
            frames,
            masks,
            config.correspondence,
            subject=name,
            backbone=backbone,
            pocket=eyes.pocket,
            device=run.device,
            progress=_tell(run, "correspondence"),
        )
        points, ready = found.points, found.colours
    else:
        points, ready = no_networks.follow(frames, masks), None
    if ready is not None:
        return torch.from_numpy(ready).permute(0, 3, 1, 2).float() * torch.from_numpy(masks)[:, None]  # (F,3,H,W)
    assert points is not None
    wheel = wheel_on(torch.from_numpy(masks[0]).float(), config.maps.colours)
    painted = wheel(torch.from_numpy(np.nan_to_num(points)).float())  # (F,H,W,3)
    return (painted * torch.from_numpy(masks)[..., None]).permute(0, 3, 1, 2)  # (F,3,H,W)


def _tell(run: RunContext, what: str) -> Callable[[int, int], None]:
    return lambda done, total: run.progress.tick(what, done, total)


def _pictures(frames: np.ndarray, colours: Tensor, depth: Tensor, mask: Tensor) -> np.ndarray:
    """The paper's Figure 4 for every frame, one map below the other."""
    source = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255  # (F,3,H,W)
    rows = [source, colours, depth.expand(-1, 3, -1, -1), mask.expand(-1, 3, -1, -1), colours * depth]
    stacked = torch.cat(rows, 2).clamp(0, 1).permute(0, 2, 3, 1)  # (F,5H,W,3)
    scale = min(1.0, _TILE / max(frames.shape[1:3]))
    size = (max(1, round(frames.shape[2] * scale)), 5 * max(1, round(frames.shape[1] * scale)))
    pictures = (stacked * 255).round().byte().numpy()
    return np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures])
