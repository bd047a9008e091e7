"""Chooses the backbone of a method, and loads its weights on first use."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError

if TYPE_CHECKING:
    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.lora_files import Loras
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.backbones.part_files import PartOptions
    from motionkit.settings.gpu import Plan
    from motionkit.transfer import MethodSpec


def idle_backbone(spec: MethodSpec, name: str | None) -> str:
    """A line for a backbone that was asked for and that the method does not have; "" otherwise."""
    if spec.backbones or name in (None, "", "auto", "pocket", "tiny"):
        return ""
    return f"{spec.name} runs without a backbone: backbone={name} changes nothing"


def choose_backbone(spec: MethodSpec, name: str | None) -> str | None:
    """The backbone's name for a method: the one asked for, its default, or None when it needs none.

    "auto" or None asks for the default; "pocket" and "tiny" for the method's backbone of that kind.

    Raises:
        UserError: no such backbone, or the method cannot run on it, with the reason and those on which it can.
    """
    if not spec.backbones:
        if idle_backbone(spec, name):
            catalog.get(str(name))  # refuses a word that is no backbone
        return None
    if name in (None, "", "auto"):
        return _installed(spec, spec.default_backbone or spec.backbones[0])
    assert name is not None
    for candidate in spec.backbones:
        if name == candidate or (name in ("pocket", "tiny") and candidate.startswith(f"{name}-")):
            return _installed(spec, candidate)
    if spec.runs_on(backbone := catalog.get(name)):
        return name
    reason = spec.refusal(backbone)
    because = f": {reason}" if reason else ""
    raise UserError(f"{spec.name} does not run on {name}{because}; it runs on {', '.join(backbones_of(spec))}")


def _installed(spec: MethodSpec, name: str) -> str:
    """The name of a backbone of a method's own list. Raises: UserError where no installed package has it."""
    if name not in catalog.specs():
        broken = [f for f in registry.BACKBONES.failures() if f.name == name]
        why = f"cannot be loaded: {broken[0].error}" if broken else "is of no installed package"
        instead = f"give backbone={there[0]}" if (there := backbones_of(spec)) else "install the package that has it"
        raise UserError(f"{spec.name} names the backbone {name}, which {why}: {instead}")
    return name


def backbones_of(spec: MethodSpec) -> list[str]:
    """Every installed backbone that a method runs on: those that it names, then other packages' that suit it."""
    known = catalog.specs()
    others = [name for name, found in known.items() if name not in spec.backbones and spec.runs_on(found)]
    return [*(name for name in spec.backbones if name in known), *others]


class LazyBackbone:
    """A backbone that is loaded when something other than its declared facts is used."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        path: str | None = None,
        online: bool = False,
        motion: MotionOptions | None = None,
        lora: Loras | None = None,
        parts: PartOptions | None = None,
    ) -> None:
        self.spec = catalog.get(name)
        self.lora, self.parts_given = lora, parts
        self._plan, self._path, self._online, self._motion = plan, path, online, motion
        if motion:
            motion.check(self.spec)
        if lora:
            lora.check()
        if parts:
            parts.check()
        self._loaded: VideoBackbone | None = None

    @property
    def own_weights(self) -> bool:
        """Whether its weights are those that its name stands for, not another folder's."""
        return self._path is None

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._loaded is not None

    def check_frames(self, frames: int) -> None:
        """Refuse a clip that is longer than the backbone's motion modules support, before weights load.

        Raises:
            UserError: too many frames; MissingWeights: the modules are not here.
        """
        from motionkit.backbones import motion_files

        if self.spec.base:
            self._fetch()
            motion_files.check_frames(self.spec, frames, motion_files.max_frames(self.spec, self._path, self._motion))

    def _fetch(self) -> None:
        from motionkit.backbones import folders, motion_files

        if self._online:
            folder = folders.locate(self.spec, self._path, online=True)
            if self.spec.base:
                motion_files.locate(self.spec, folder, self._motion, online=True)

    def unknown_words(self, *texts: str) -> list[str]:
        """Words of these texts that the backbone was not trained on, where it has a list of words; loads no weights.

        Words of textual inversion that are given with it (`backbone.embeddings`) are known.
        Raises: UserError for a file that teaches none.
        """
        from motionkit.backbones import tiny_tokenizer
        from motionkit.weights import places

        place = self._path or (places.assets() / self.spec.asset if self.spec.asset else None)
        known = tiny_tokenizer.known_words(Path(place).expanduser()) if place else ()
        if not known:
            return []
        text = " ".join(texts)
        if self.parts_given and self.parts_given.embeddings:
            from motionkit.backbones.parts import read_words, spelled

            taught = {read_words(file)[0]: "" for file in self.parts_given.embeddings}
            text = spelled(text, taught)
        return tiny_tokenizer.unknown_words(text, known)

    def fingerprint(self) -> str:
        """The hash of the weights, without loading them where that can be done."""
        from motionkit import backbones

        if self._loaded is not None:
            return self._loaded.fingerprint()
        self._fetch()
        return backbones.fingerprint(self.spec, self._path, motion=self._motion, lora=self.lora, parts=self.parts_given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._loaded is None:
            from motionkit import backbones

            gc.collect()  # frees the weights of an earlier run before these are loaded
            more: dict[str, Any] = {"motion": self._motion, "lora": self.lora, "parts": self.parts_given}
            try:
                self._loaded = backbones.load(self.spec, self._plan, self._path, **more)
            except Exception as error:
                error.add_note(f"while {self.spec.name} of {registry.BACKBONES.dist_of(self.spec)} was loaded")
                raise
        return getattr(self._loaded, name)
