"""Tuned packs as the named tensors of a cached step, and whether one of a folder fits a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from motionkit.backbones import catalog
from motionkit.errors import UserError

from .pack import Pack, PackFacts, check_pack, load_pack, schedule_of
from .unets import untuned

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.catalog import BackboneSpec
    from motionkit.transfer import Tensors

_GUIDE, _DELTA, _FACTS = "guide.", "delta.", "facts"


def tensors_of(pack: Pack) -> Tensors:
    """A pack as tensors; its facts are JSON in bytes."""
    facts = torch.frombuffer(bytearray(json.dumps(asdict(pack.facts)).encode()), dtype=torch.uint8)
    found = {_FACTS: facts.clone()} | {_GUIDE + k: v for k, v in pack.guide.items()}
    return found | {_DELTA + k: v for k, v in pack.deltas.items()}


def pack_from(tensors: Mapping[str, torch.Tensor]) -> Pack:
    """The pack that `tensors_of` took apart."""
    raw = json.loads(bytes(tensors[_FACTS].numpy()).decode())
    facts = PackFacts(**raw | {"subjects": tuple(raw["subjects"])})
    guide, changes = (
        {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)} for start in (_GUIDE, _DELTA)
    )
    return Pack(facts, guide, changes)


def read(folder: str, spec: BackboneSpec, subjects: tuple[str, ...]) -> Pack:
    """A pack for that backbone and as many subjects; needs no weights but the pack's.

    Raises:
        UserError: no pack, a damaged one, or one of another kind of backbone or number of subjects.
    """
    pack = load_pack(Path(folder).expanduser())
    facts = pack.facts
    tuned_on = catalog.specs().get(facts.backbone)
    if tuned_on is not None and tuned_on.family != spec.family:
        raise UserError(
            f"method.pack={folder} was tuned on {facts.backbone} and does not fit {spec.name}: give "
            f"backbone={facts.backbone}, or tune again without method.pack"
        )
    if max(len(facts.subjects), 1) != len(subjects):
        own = ", ".join(facts.subjects) or "one subject"
        raise UserError(f"method.pack={folder} was tuned for {own}: give as many in method.subjects")
    return pack


def fit_to(pack: Pack, backbone: VideoBackbone) -> list[str]:
    """Remarks on a pack that is about to be used on this backbone, one line each.

    Raises:
        UserError: it is of a UNet of another layout.
    """
    shapes = {name: tuple(weight.shape) for name, weight in untuned(backbone).named_parameters()}
    schedule: dict[str, Any] = schedule_of(backbone.scheduler)
    return check_pack(pack, shapes, backbone.spec.name, backbone.fingerprint(), schedule)
