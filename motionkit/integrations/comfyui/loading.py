"""A node for each method: backbone, weights, memory and settings go in, a method that can run comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from motionkit import registry
from motionkit.api import Method, load
from motionkit.errors import UserError
from motionkit.integrations.comfyui import host, widgets
from motionkit.running.lazy_backbone import backbones_of, choose_backbone
from motionkit.settings import named_files
from motionkit.settings.gpu import TIERS
from motionkit.transfer import MethodSpec

TYPE = "MOTIONKIT_METHOD"  # what its output and the other nodes' inputs are called
CATEGORY = "motionkit"


@dataclass(frozen=True)
class Loaded:
    """A method with its settings, as it goes from node to node; weights load when it runs.

    Attributes:
        settings: dotted name -> value, those that were changed.
        path, lora: weights of the user's own, as `motionkit.load` takes them.
    """

    name: str
    backbone: str = "auto"
    gpu: str = "auto"
    path: str | None = None
    lora: tuple[str, float] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def method(self) -> Method:
        """It, ready to be called. Raises: UserError, as `motionkit.load`."""
        backbone = None if self.backbone == "auto" else self.backbone
        loras = [self.lora] if self.lora else None
        return load(self.name, backbone, self.gpu, backbone_path=self.path, backbone_lora=loras, **self.settings)


class Load:
    """Loads one method; `make` fills in which."""

    spec: ClassVar[MethodSpec]
    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = (TYPE,)
    RETURN_NAMES = ("method",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, widgets.Declared]]:
        """Memory and settings; backbone and weights for a method that stands on one."""
        gpus = ["auto", "cpu", *(name for name in TIERS if name != "cpu")]
        required: dict[str, Any] = {
            "gpu": (gpus, {"default": "auto", "tooltip": "The plan for this machine's memory."})
        }
        optional: dict[str, Any] = {}
        if cls.spec.backbones:
            names = ["auto", *backbones_of(cls.spec)]
            said = f"What it stands on; auto is {choose_backbone(cls.spec, None)}."
            required = {"backbone": (names, {"default": "auto", "tooltip": said}), **required}
            optional = _weights()
        settings = widgets.settings_of(*cls._config())
        if taken := {*required, *optional} & {*settings}:
            raise UserError(
                f"{cls.spec.name}: a setting may not be called {taken.pop()}, as that is said of every method"
            )
        return {"required": required, "optional": optional | settings}

    @classmethod
    def _config(cls) -> tuple[type, str | None]:
        return registry.settings_class(cls.spec), choose_backbone(cls.spec, None)

    def load(
        self,
        gpu: str = "auto",
        backbone: str = "auto",
        backbone_checkpoint: str = host.NONE,
        backbone_lora: str = host.NONE,
        backbone_lora_scale: float = 1.0,
        **values: Any,
    ) -> tuple[Loaded]:
        """The method with what was chosen. Raises: UserError, for settings that do not fit it."""
        path, tuned = host.chosen("checkpoints", backbone_checkpoint), host.chosen("loras", backbone_lora)
        config, usual = self._config()
        settings = widgets.given(config, usual, values)
        named_files.check(config, settings, host.may_name, host.HOW, prefix="")
        loaded = Loaded(self.spec.name, backbone, gpu, path, (tuned, backbone_lora_scale) if tuned else None, settings)
        loaded.method()  # refuses now what cannot work
        return (loaded,)


def _weights() -> dict[str, widgets.Declared]:
    checkpoint = "Weights of your own for the backbone, from ComfyUI's checkpoints."
    return {
        "backbone_checkpoint": (host.listed("checkpoints"), {"default": host.NONE, "tooltip": checkpoint}),
        "backbone_lora": (host.listed("loras"), {"default": host.NONE, "tooltip": "A LoRA for the backbone."}),
        "backbone_lora_scale": (
            "FLOAT",
            {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.05, "tooltip": "Its strength."},
        ),
    }


def make(spec: MethodSpec) -> type[Load]:
    """The node class of a method, from its facts."""
    said = f"{spec.summary} Licence of its weights: {spec.licence}" if spec.licence else spec.summary
    return type(f"Load_{spec.name}", (Load,), {"spec": spec, "DESCRIPTION": said, "__doc__": spec.summary})
