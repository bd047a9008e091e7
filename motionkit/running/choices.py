"""Looks up what a request names, from declarations alone: no file is read, and torch is not imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from motionkit import registry
from motionkit.errors import UserError
from motionkit.running.lazy_backbone import LazyBackbone, choose_backbone
from motionkit.settings.config import typed
from motionkit.transfer import MethodSpec

if TYPE_CHECKING:
    from motionkit.backbones.lora_files import Loras
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.backbones.part_files import PartOptions
    from motionkit.running.request import Request
    from motionkit.settings.gpu import Plan


@dataclass(frozen=True)
class BackboneChoice:
    """What a request says of its backbone.

    Attributes:
        name: of `motionkit backbones`; None is the method's default.
        path: a local folder with its weights, or another hub id; None is where the backbone says.
        online: may missing files be downloaded?
        motion: which motion modules, for AnimateDiff.
        lora: one or several, merged into the weights.
        parts: an autoencoder, and taught words, from other files.
    """

    name: str | None = None
    path: str | None = None
    online: bool = False
    motion: MotionOptions | None = None
    lora: Loras | None = None
    parts: PartOptions | None = None

    @property
    def own(self) -> bool:
        """Whether it asks for other weights than those that go with the name."""
        return any(given is not None for given in (self.path, self.motion, self.lora, self.parts))

    def typed(self) -> dict[str, str]:
        """Its motion modules and LoRA as they are typed, with names of files and not their places on this machine."""
        said: dict[str, str] = {}
        if motion := self.motion:
            said |= {"backbone.motion_adapter": Path(motion.adapter).name} if motion.adapter else {}
            if motion.per_frame_norm is not None:
                said["backbone.per_frame_motion_norm"] = str(motion.per_frame_norm).lower()
            said |= {"backbone.motion_schedule": motion.schedule} if motion.schedule != "module" else {}
        if lora := self.lora:
            names, scales = [Path(one.path).name for one in lora.each], [f"{one.scale:g}" for one in lora.each]
            said |= {"backbone.lora": _listed(names), "backbone.lora_scale": _listed(scales)}
        if parts := self.parts:
            words = [Path(path).name for path in parts.embeddings]
            said |= {"backbone.vae": Path(parts.vae).name} if parts.vae else {}
            said |= {"backbone.embeddings": _listed(words)} if words else {}
        return said

    def lazy(self, plan: Plan) -> LazyBackbone | None:
        """The backbone, not loaded; None without a name. Raises: UserError for options that mean nothing for it."""
        given = (self.path, self.online, self.motion, self.lora, self.parts)
        return LazyBackbone(self.name, plan, *given) if self.name else None


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"[{','.join(words)}]"


class Chosen(NamedTuple):
    """What a request names, looked up: the method's facts, its settings, and the backbone by its own name."""

    spec: MethodSpec
    settings: Any
    backbone: BackboneChoice


def choose(request: Request, prefix: str = "method.") -> Chosen:
    """Look up what a request names.

    Args:
        prefix: what stands before a setting's key where it was given.

    Raises:
        UserError: no such method, setting or backbone, or the method does not run on it.
    """
    spec = registry.spec_of(request.method)
    settings = method_settings(spec, request.config, prefix)
    return Chosen(spec, settings, replace(request.backbone, name=choose_backbone(spec, request.backbone.name)))


def method_settings(spec: MethodSpec, given: Any = None, prefix: str = "method.") -> Any:
    """A method's configuration dataclass, checked, from nothing, a mapping, or a finished one.

    Raises:
        UserError: an unknown setting (with the nearest one) or a value that does not fit; keys begin with `prefix`.
    """
    schema = registry.settings_class(spec)
    try:
        return typed(schema, given, "method.")
    except UserError as error:
        if prefix == "method.":
            raise
        raise UserError(str(error).replace("method.", prefix)) from error
    except Exception as error:  # of another package's dataclass, where it refuses a value in its own way
        raise _refused(spec, error) from error


def usual_settings(spec: MethodSpec) -> Any:
    """A method's settings where nothing is given, made by their class alone. Raises: UserError."""
    schema = registry.settings_class(spec)
    try:
        return schema()
    except UserError:
        raise
    except Exception as error:
        raise _refused(spec, error) from error


def _refused(spec: MethodSpec, error: Exception) -> UserError:
    return UserError(f"the settings of {spec.name} are refused: {type(error).__name__}: {error}")
