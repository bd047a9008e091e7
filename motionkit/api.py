"""The Python front door: `motionkit.load(...)` gives a method with its settings, ready to be called on files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.running.choices import BackboneChoice, choose
from motionkit.running.clips import read
from motionkit.running.request import Request, check_values, execute
from motionkit.transfer import MAPS, Inputs, Result

if TYPE_CHECKING:
    from motionkit.backbones.lora_files import LoraOptions
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.context import Progress
    from motionkit.media import Clip


class Method:
    """A method with its backbone, memory plan and settings; call it on one request after another.

    Attributes:
        request: what is asked in every call; a call adds its inputs and options.
    """

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
        if isinstance(backbone_lora, str):
            from motionkit.backbones.lora_files import LoraOptions

            backbone_lora = LoraOptions(backbone_lora)
        asked = BackboneChoice(backbone, backbone_path, motion=motion, lora=backbone_lora)
        self.spec, self.settings, choice = choose(Request(name, config=settings, backbone=asked))
        self.request = Request(self.spec, config=self.settings, backbone=choice, gpu=gpu)

    def __call__(
        self,
        reference: Clip | str | Path | None = None,
        driving: Clip | str | Path | None = None,
        prompt: str = "",
        *,
        source_prompt: str = "",
        negative_prompt: str = "",
        seed: int = 0,
        online: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> Result:
        """Run the method.

        Args:
            reference, driving: a path, or a clip that was read or made with `motionkit.media`.
            online: may missing weights of the backbone be downloaded?
            options: ready-made maps (poses, masks, ...); start, end, reference_start, reference_end (seconds as a
                number or text, or frames as "60f"); frames, size, fps, folder, output, audio, alpha, loop and the other
                fields of `motionkit.running.request.Request`.

        Raises:
            UserError: anything that the user can mend, in one line.
        """
        given: dict[str, Any] = {name: options.pop(name) for name in MAPS if name in options}
        given |= {"reference": reference, "driving": driving, "prompt": prompt}
        inputs = Inputs(**given, source_prompt=source_prompt, negative_prompt=negative_prompt)
        choice = replace(self.request.backbone, online=online)
        request = replace(self.request, inputs=inputs, backbone=choice, seed=seed, **options)
        check_values(request)
        return execute(read(request, self.spec.stride), progress)


def load(name: str, backbone: str | None = None, gpu: Any = "auto", **settings: Any) -> Method:
    """A method by name, with its settings; nothing heavy loads before the first call.

    Raises:
        UserError: unknown method, backbone or setting, each with the nearest known name.
    """
    return Method(name, backbone, gpu, **settings)
