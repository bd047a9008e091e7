"""Names of version 0.1 that have moved or changed: importing one still works, and says what it is now."""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

MOVED = {
    "motionkit.backbones.animatex": "motionkit.methods.animatex.net",
    "motionkit.backbones.animatex.lend": "motionkit.methods.animatex.net.missing_parts",
    "motionkit.backbones.eight_bit": "motionkit.weights.eight_bit",
    "motionkit.backbones.files": "motionkit.backbones.folders",
    "motionkit.backbones.half": "motionkit.backbones.mixed_precision",
    "motionkit.backbones.weights": "motionkit.weights.reading",
    "motionkit.backbones.words": "motionkit.backbones.tiny_tokenizer",
    "motionkit.bench": "motionkit.table.bench",
    "motionkit.cache": "motionkit.running.cache",
    "motionkit.compare": "motionkit.table.compare",
    "motionkit.config": "motionkit.settings.config",
    "motionkit.demo": "motionkit.cli.demo",
    "motionkit.fitting": "motionkit.running.canvas",
    "motionkit.gpu": "motionkit.settings.gpu",
    "motionkit.handle": "motionkit.running.lazy_backbone",
    "motionkit.hashing": "motionkit.weights.hashing",
    "motionkit.jobs": "motionkit.data.job_list",
    "motionkit.manifest": "motionkit.running.manifest",
    "motionkit.methods.animatex.scene": "motionkit.methods.animatex.poses",
    "motionkit.methods.flipsketch.keep": "motionkit.methods.flipsketch.recording_cache",
    "motionkit.methods.vidmp3.plain": "motionkit.methods.vidmp3.no_networks",
    "motionkit.methods.vidmp3.scene": "motionkit.methods.vidmp3.guided_unet",
    "motionkit.methods.vidmp3.stored": "motionkit.methods.vidmp3.pack_tensors",
    "motionkit.metrics.suite": "motionkit.metrics.measures",
    "motionkit.output": "motionkit.media.output_files",
    "motionkit.perception.one_of": "motionkit.perception.follow_subject",
    "motionkit.perception.paper": "motionkit.perception.page",
    "motionkit.presets": "motionkit.settings.presets",
    "motionkit.progress": "motionkit.context",
    "motionkit.road": "motionkit.running.stage_runner",
    "motionkit.run": "motionkit.running.execute",
    "motionkit.training.arms_text_to_image": "motionkit.training.recipes.arms_text_to_image",
    "motionkit.training.auxiliary": "motionkit.training.recipes.auxiliary",
    "motionkit.training.captioned": "motionkit.training.recipes.captioned",
    "motionkit.training.clip_judge": "motionkit.training.recipes.clip_judge",
    "motionkit.training.colour_decoder": "motionkit.training.recipes.colour_decoder",
    "motionkit.training.drawings": "motionkit.training.recipes.drawings",
    "motionkit.training.fold_latents": "motionkit.training.recipes.fold_latents",
    "motionkit.training.handover": "motionkit.training.recipes.handover",
    "motionkit.training.judges": "motionkit.training.recipes.judges",
    "motionkit.training.pocket_animatediff": "motionkit.training.recipes.pocket_animatediff",
    "motionkit.training.pocket_decoder": "motionkit.training.recipes.pocket_decoder",
    "motionkit.training.pocket_maps": "motionkit.training.recipes.pocket_maps",
    "motionkit.training.pocket_maps_figures": "motionkit.training.recipes.pocket_maps_figures",
    "motionkit.training.pocket_modelscope": "motionkit.training.recipes.pocket_modelscope",
    "motionkit.training.pocket_pose": "motionkit.training.recipes.pocket_pose",
    "motionkit.training.pocket_pose_figures": "motionkit.training.recipes.pocket_pose_figures",
    "motionkit.training.pocket_sd": "motionkit.training.recipes.pocket_sd",
    "motionkit.training.pocket_vae": "motionkit.training.recipes.pocket_vae",
    "motionkit.training.queue": "motionkit.training.recipes.queue",
    "motionkit.training.sprite_batches": "motionkit.training.recipes.sprite_batches",
    "motionkit.training.stage": "motionkit.training.recipes.stage",
    "motionkit.training.text_figures": "motionkit.training.recipes.text_figures",
    "motionkit.training.verb_critic": "motionkit.training.recipes.verb_critic",
    "motionkit.training.video_batches": "motionkit.training.recipes.video_batches",
    "motionkit.trainjob": "motionkit.training.job",
}

_CHOICES, _SCHEMAS = "motionkit.running.choices", "motionkit.cli.schemas"
NAMES = {  # of an old module, those that its new place does not hold, or holds under another name
    "motionkit.config": {
        "method_settings": _CHOICES,
        **dict.fromkeys(("RequestConfig", "TransferConfig", "TrainConfig"), _SCHEMAS),
    },
    "motionkit.methods.animatex.scene": {"Scene": "motionkit.methods.animatex.poses:AlignedPoses"},
    "motionkit.methods.vidmp3.scene": {
        "Scene": "motionkit.methods.vidmp3.guided_unet:GuidedUNet",
        "tuned_scene": "motionkit.methods.vidmp3.guided_unet:tuned_unet",
    },
    "motionkit.fitting": {
        "Fitted": "motionkit.running.canvas:CanvasInputs",
        "fit": "motionkit.running.canvas:place_inputs",
    },
}
RENAMED = {  # in a module that is where it was: old name -> new name
    "motionkit.data": {"Options": "ReadOptions"},
    "motionkit.report": {"Entry": "MethodResult"},
}

VERBS = ("bench", "compare")  # functions of the package that have the name of an old module


def _found(place: str, name: str) -> Any:
    """The object at "module" (under the same name) or "module:name"."""
    path, _, other = place.partition(":")
    return getattr(importlib.import_module(path), other or name)


def renamed(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module in `RENAMED`: an old name gives the object of the new one, with a warning."""

    def find(name: str) -> Any:
        if (new := RENAMED[module].get(name)) is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {new}: import that", FutureWarning, stacklevel=2)
        return getattr(importlib.import_module(module), new)

    return find


class _Verb:
    """A function of the package; what it has not, the old module of its name has."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._old = f"motionkit.{name}"

    def __call__(self, *given: Any, **words: Any) -> Any:
        return self.__wrapped__(*given, **words)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return repr(self.__wrapped__)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        warnings.warn(f"{self._old} is now {MOVED[self._old]}: import {name} from there", FutureWarning, stacklevel=2)
        return getattr(importlib.import_module(MOVED[self._old]), name)


@functools.cache
def verb(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the package's attribute: `import motionkit.compare as old; old.Cell` still finds the class."""
    return _Verb(name, function)


class _Package(ModuleType):
    """The package: importing an old module of a verb's name does not put that module in the function's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in VERBS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def new_name(name: str) -> str | None:
    """Where a module is now: of the table, or inside a package of the table; None for a name that has not moved."""
    if name in MOVED:
        return MOVED[name]
    package, _, inner = name.rpartition(".")
    above = sys.modules.get(package) if package in MOVED else None
    return f"{MOVED[package]}.{inner}" if hasattr(above, "__path__") else None


class _Forward(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the module's new place for an old name.

    First in line: the finder of files would load a second copy of what lies in a package under its old name.
    """

    def __init__(self) -> None:
        self.specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A spec for a name that has moved, or None."""
        new = new_name(name)
        if new is None or (name not in MOVED and importlib.util.find_spec(new) is None):
            return None
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The module at its new place."""
        new = new_name(spec.name)
        assert new is not None
        warnings.warn(f"{spec.name} is now {new}: import it from there", FutureWarning, stacklevel=4)
        module = importlib.import_module(new)
        for name, place in NAMES.get(spec.name, {}).items():
            setattr(module, name, _found(place, name))
        self.specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module has been run under its own name, which it gets back here."""
        assert module.__spec__ is not None
        module.__spec__ = self.specs.pop(module.__spec__.name)


def install() -> None:
    """Make the old names importable, once, and keep them out of the way of functions."""
    if not any(isinstance(finder, _Forward) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Forward())
    sys.modules["motionkit"].__class__ = _Package
