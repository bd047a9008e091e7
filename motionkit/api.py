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
            options: ready-made maps (poses, masks, ...); start, end, reference_start, reference_end (seconds as a
                number or text, or frames as "60f") and audio, see `motionkit.running.clips.Excerpt`; and frames, size,
                fps, folder, output, progress, use_cache as in `motionkit.execute`.

        Raises:
            UserError: anything that the user can mend, in one line.
        """
        from motionkit.running.clips import EXCERPT, Excerpt
        from motionkit.running.execute import check_types, execute
        from motionkit.transfer import MAPS

        frames, fps = options.get("frames"), options.get("fps")
        check_types({"seed": seed, "frames": frames, "fps": fps})
        part = {name: options.pop(name) for name in EXCERPT if name in options}
        reference, driving = Excerpt(frames, fps, **part, stride=self.spec.stride).read(reference, driving)

        maps = {name: options.pop(name) for name in MAPS if name in options}
        inputs = Inputs(reference, driving, prompt, source_prompt, negative_prompt, **maps)
        return execute(self.spec, inputs, config=self.settings, seed=seed, **self._road, **options)


def load(name: str, backbone: str | None = None, gpu: Any = "auto", **settings: Any) -> Method:
    """A method by name, with its settings; nothing heavy loads before the first call.

    Raises:
        UserError: unknown method, backbone or setting, each with the nearest known name.
    """
    return Method(name, backbone, gpu, **settings)
