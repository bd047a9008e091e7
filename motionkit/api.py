"""The Python front door: `motionkit.load(...)` gives a method with its settings, ready to be called on files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.running.lazy_backbone import choose_backbone
from motionkit.settings.config import method_settings
from motionkit.transfer import Inputs, Result

if TYPE_CHECKING:
    from motionkit.backbones.lora_files import LoraOptions
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.media import Clip


class Method:
    """A method with its backbone, memory plan and settings; call it on one request after another."""

    def __init__(
        self,
        name: str,
        backbone: str | None = None,
        gpu: Any = "auto",
        backbone_path: str | None = None,
        motion: MotionOptions | None = None,
        backbone_lora: LoraOptions | str | None = None,
        **settings: Any,
    ) -> None:
        self.spec = registry.spec(name)
        self.settings = method_settings(self.spec, settings)
        if isinstance(backbone_lora, str):
            from motionkit.backbones.lora_files import LoraOptions

            backbone_lora = LoraOptions(backbone_lora)
        self._road = {
            "backbone": choose_backbone(self.spec, backbone),
            "backbone_path": backbone_path,
            "motion": motion,
            "lora": backbone_lora,
            "gpu": gpu,
        }

    def __call__(
        self,
        reference: Clip | str | Path | None = None,
        driving: Clip | str | Path | None = None,
        prompt: str = "",
        *,
        source_prompt: str = "",
        negative_prompt: str = "",
        seed: int = 0,
        **options: Any,
    ) -> Result:
        """Run the method.

        Args:
            reference, driving: a path, or a clip that was read or made with `motionkit.media`.
            options: ready-made maps (poses, masks, ...), and frames, size, fps, folder, output, progress, use_cache as
                in `motionkit.running.execute.execute`.

        Raises:
            UserError: anything that the user can mend, in one line.
        """
        from motionkit.running.execute import execute
        from motionkit.transfer import MAPS

        maps = {name: options.pop(name) for name in MAPS if name in options}
        inputs = Inputs(_clip(reference), _clip(driving), prompt, source_prompt, negative_prompt, **maps)
        return execute(self.spec, inputs, config=self.settings, seed=seed, **self._road, **options)


def load(name: str, backbone: str | None = None, gpu: Any = "auto", **settings: Any) -> Method:
    """A method by name, with its settings; nothing heavy loads before the first call.

    Raises:
        UserError: unknown method, backbone or setting, each with the nearest known name.
    """
    return Method(name, backbone, gpu, **settings)


def _clip(value: Clip | str | Path | None) -> Clip | None:
    from motionkit import media

    return media.read_clip(value) if isinstance(value, str | Path) else value
