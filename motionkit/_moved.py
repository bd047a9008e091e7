"""Names of modules of version 0.1 that have moved: importing one still works, and says where it is now."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

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
    "motionkit.output": "motionkit.media.output_files",
    "motionkit.presets": "motionkit.settings.presets",
    "motionkit.progress": "motionkit.context",
    "motionkit.road": "motionkit.running.stage_runner",
    "motionkit.run": "motionkit.running.execute",
    "motionkit.trainjob": "motionkit.training.job",
}

_CHOICES, _SCHEMAS = "motionkit.running.choices", "motionkit.cli.schemas"
NAMES = {  # of an old module, those that its new place does not hold
    "motionkit.config": {
        "method_settings": _CHOICES,
        **dict.fromkeys(("RequestConfig", "TransferConfig", "TrainConfig"), _SCHEMAS),
    }
}


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
            setattr(module, name, getattr(importlib.import_module(place), name))
        self.specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module has been run under its own name, which it gets back here."""
        assert module.__spec__ is not None
        module.__spec__ = self.specs.pop(module.__spec__.name)


def install() -> None:
    """Make the old names importable, once."""
    if not any(isinstance(finder, _Forward) for finder in sys.meta_path):
        sys.meta_path.append(_Forward())
