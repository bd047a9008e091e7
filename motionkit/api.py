"""The Python front door: `motionkit.load(...)` gives a method with its settings, ready to be called on clips."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.errors import UserError
from motionkit.running import keywords
from motionkit.running.choices import BackboneChoice, choose
from motionkit.running.clips import read
from motionkit.running.given_backbone import backbone_of
from motionkit.running.given_clips import INPUTS, inputs_of
from motionkit.running.request import OPTIONS, Request, check_values, execute
from motionkit.running.step_callback import StepCallback
from motionkit.settings.synonyms import PIPELINE
from motionkit.transfer import Result

if TYPE_CHECKING:
    from motionkit.backbones.lora_files import LoraOptions, LoraStack
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.context import Progress

_CALL = (*INPUTS, *OPTIONS, "online", "progress")
_LATER = dict.fromkeys(_CALL, "in the call, not to load()")
_EARLIER = dict.fromkeys(("backbone", "gpu", "backbone_path", "motion_adapter", "backbone_lora"), "to load()")


class Method:
    """A method with its backbone, memory plan and settings; call it on one request after another.

    Attributes:
        request: what is asked in every call; a call adds its inputs and options.
        settings: the method's, as its dataclass.
    """

    def __init__(
        self,
        name: str,
        backbone: Any = None,
        gpu: Any = "auto",
        backbone_path: str | os.PathLike[str] | None = None,
        motion_adapter: MotionOptions | str | None = None,
        backbone_lora: LoraOptions | LoraStack | str | Sequence[Any] | None = None,
        backbone_vae: str | os.PathLike[str] | None = None,
        backbone_embeddings: str | Sequence[str] | None = None,
        **words: Any,
    ) -> None:
        spec = registry.spec_of(name)
        from motionkit.backbones.lora_files import loras_of
        from motionkit.backbones.motion_files import MotionOptions
        from motionkit.backbones.part_files import parts_of

        if words.get("motion", ...) is None:  # as version 0.1 had it by default
            del words["motion"]
        if isinstance(words.get("motion"), MotionOptions):
            warnings.warn("MotionOptions are given as motion_adapter= now, not as motion=", FutureWarning, stacklevel=3)
            motion_adapter = words.pop("motion")
        known = keywords.sort(registry.settings_class(spec), words, ("backbone",), _LATER)
        if backbone is None:
            backbone = known.fields.get("backbone")
        if isinstance(motion_adapter, str | os.PathLike):
            motion_adapter = MotionOptions(os.fspath(motion_adapter))
        if not isinstance(motion_adapter, MotionOptions | None):
            raise UserError(f"motion_adapter is a {type(motion_adapter).__name__}: give a path, or MotionOptions")
        named, place = backbone_of(spec, backbone, backbone_path)
        parts = parts_of(backbone_vae, backbone_embeddings)
        asked = BackboneChoice(named, place, motion=motion_adapter, lora=loras_of(backbone_lora), parts=parts)
        self._given = known.settings
        self.spec, self.settings, choice = choose(Request(spec, config=self._given, backbone=asked))
        memory = keywords.with_memory(gpu, known.memory)
        self.request = Request(self.spec, config=self.settings, backbone=choice, gpu=memory)
        self._interrupt = False

    def __repr__(self) -> str:
        on = f", backbone={self.request.backbone.name!r}" if self.request.backbone.name else ""
        return f"<motionkit.load({self.spec.name!r}{on}), gpu: {keywords.short(self.request.gpu)}>"

    def __getattr__(self, name: str) -> Any:
        more = f": {PIPELINE[name]} does that" if name in PIPELINE else ""
        raise AttributeError(f"a method of motionkit has no {name}{more}")

    def to(self, *places: Any, device: Any = None, dtype: Any = None) -> Method:
        """Move the method to another device ("cuda", "mps", "cpu") or dtype; nothing loads.

        Raises:
            UserError: neither a device nor a type, or its memory plan is fixed.
        """
        given = {"device": device, "dtype": dtype}
        for place in places:
            word = keywords.memory_word(place)
            given["dtype" if word in keywords.DTYPES else "device"] = place
        memory = {key: keywords.memory_word(value) for key, value in given.items() if value is not None}
        if not memory:
            raise UserError('to() needs a device or a type: .to("cuda")')
        self.request = replace(self.request, gpu=keywords.with_memory(self.request.gpu, memory, moved=True))
        return self

    def __call__(
        self,
        reference: Any = None,
        driving: Any = None,
        prompt: str = "",
        *,
        seed: int | None = None,
        online: bool = False,
        progress: Progress | None = None,
        **options: Any,
    ) -> Result:
        """Run the method.

        Args:
            reference, driving: a path, or a clip: of `motionkit.media`, a Pillow picture, an array, a tensor, or a list
                of pictures (`motionkit.running.given_clips.clip_of`).
            seed: None is 0, or the `generator`'s.
            online: may missing weights of the backbone be downloaded?
            options: source_prompt, negative_prompt; ready-made maps (poses, masks, ...); start, end, reference_start,
                reference_end (seconds as a number or text, or frames as "60f"); frames, size, fps, folder, output,
                audio, alpha, loop and the other fields of `motionkit.running.request.Request`; settings of the method,
                for this call; and the same by diffusers' words: num_inference_steps, guidance_scale, num_frames,
                height and width, generator, callback_on_step_end (`motionkit.running.step_callback`).

        Raises:
            UserError: anything that the user can fix, in one line.
        """
        given = {"reference": reference, "driving": driving, "prompt": prompt, "seed": seed, "progress": progress}
        words = {name: value for name, value in given.items() if value is not None} | options
        request, watcher = self._asked(words, online)
        check_values(request)
        return execute(read(request, self.spec.stride), watcher)

    def _asked(self, words: Mapping[str, Any], online: bool) -> tuple[Request, Progress | None]:
        """The request of a call, and who watches it."""
        asked = keywords.sort(type(self.settings), words, _CALL, _EARLIER)
        said = asked.fields
        inputs = inputs_of(said)
        watcher = said.pop("progress", None)
        if callable(watcher) and not hasattr(watcher, "step"):
            watcher = StepCallback(watcher, self)
        config = self.settings
        if asked.settings:
            config = choose(Request(self.spec, config=keywords.merged(self._given, asked.settings))).settings
        choice = replace(self.request.backbone, online=online)
        gpu = keywords.with_memory(self.request.gpu, asked.memory, moved=True)
        return replace(self.request, inputs=inputs, config=config, backbone=choice, gpu=gpu, **said), watcher


def load(name: str, backbone: Any = None, gpu: Any = "auto", **settings: Any) -> Method:
    """A method by name, with its settings; nothing heavy loads before the first call.

    Args:
        backbone: a name of `motionkit backbones`, or a folder with weights of a model that the method runs on.
        gpu: a name of conf/gpu, a mapping of its settings, or a plan; also as `device` and `torch_dtype`.
        settings: of the method, which go before everything else of their name; backbone_path, motion_adapter (a folder
            with AnimateDiff's modules, or `MotionOptions`), backbone_lora (a path, or a list of paths or of pairs path,
            scale), backbone_vae, backbone_embeddings; and num_inference_steps, guidance_scale.

    Raises:
        UserError: unknown method, backbone or setting, each with the nearest known name.
    """
    return Method(name, backbone, gpu, **settings)
