"""Names of version 0.1 that have moved or changed: importing one still works, and says what it is now."""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

MOVED = {
    "motionkit.backbones.animatex.lend": "motionkit.backbones.animatex.missing_parts",
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
    "motionkit.metrics.suite": "motionkit.metrics.measures",
    "motionkit.output": "motionkit.media.output_files",
    "motionkit.perception.one_of": "motionkit.perception.follow_subject",
    "motionkit.perception.paper": "motionkit.perception.page",
    "motionkit.presets": "motionkit.settings.presets",
    "motionkit.progress": "motionkit.context",
    "motionkit.road": "motionkit.running.stage_runner",
    "motionkit.run": "motionkit.running.execute",
    "motionkit.trainjob": "motionkit.training.job",
}

_CHOICES, _SCHEMAS = "motionkit.running.choices", "motionkit.cli.schemas"
NAMES = {  # of an old module, those that its new place does not hold, or holds under another name
    "motionkit.config": {
        "method_settings": _CHOICES,
        **dict.fromkeys(("RequestConfig", "TransferConfig", "TrainConfig"), _SCHEMAS),
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


class _Forward(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the module's new place for an old name; last in line, so that a module that exists is never touched."""

    def __init__(self) -> None:
        self.specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A spec for a name that has moved, or None."""
        return importlib.machinery.ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The module at its new place."""
        warnings.warn(f"{spec.name} is now {MOVED[spec.name]}: import it from there", FutureWarning, stacklevel=4)
        module = importlib.import_module(MOVED[spec.name])
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
        sys.meta_path.append(_Forward())
    sys.modules["motionkit"].__class__ = _Package
