"""Which keys each verb takes and which values they have, out of the declared settings: for hints and completion."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import typing
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

from motionkit import registry
from motionkit.errors import UserError
from motionkit.settings.schema import Fact, facts
from motionkit.settings.synonyms import ALSO, likeliest

SCHEMAS = {
    "transfer": "motionkit.cli.schemas:TransferConfig",
    "train": "motionkit.cli.schemas:TrainConfig",
    "compare": "motionkit.cli.compare:CompareConfig",
    "bench": "motionkit.cli.bench:BenchConfig",
    "fits": "motionkit.cli.fits:FitsConfig",
}
_OPTIONS = {
    "sprites": "what output source driving motion colour seed count split setting size frames lines",
    "new-method": "output backbone",
    "doctor": "extras",
    "cache": "age size",
    "push": "dry_run licence private samples",
    "data": "task split ids pairs seed frames",
}
CARDS = ("8gb", "12gb", "16gb", "24gb", "40gb", "80gb")  # usual ones; any number will do
_GROUPS = {
    "backbone": "motionkit.backbones.catalog:BackboneConfig",
    "gpu": "motionkit.settings.gpu:GpuConfig",
    "data": "motionkit.training.job:DataConfig",
}


def keys(verb: str, words: Sequence[str] = ()) -> list[str]:
    """Every key of a verb by its dotted name; a method's own settings are those of the method among the words.

    Raises:
        UserError: the method is not known, or cannot be loaded.
    """
    if verb not in SCHEMAS:
        return _OPTIONS.get(verb, "").split()
    schema = registry.load_object(SCHEMAS[verb])
    found = [name for name in dotted(schema) if name not in ("settings", "weights", "least", "method", "train")]
    for group, path in _GROUPS.items():
        if group in found:
            found += [f"{group}.{name}" for name in dotted(registry.load_object(path)) if name != "name"]
    if verb in ("transfer", "train"):
        found += ["method", *_method_keys(verb, method_of(words))]
    if verb == "bench":
        found += [f"bench.{name}" for name in ("pairs", "frames", "size", "seeds", "variants")]
    if verb in ("compare", "bench"):
        for name in registry.names():
            with contextlib.suppress(UserError):  # of a broken package, which says so where its method is asked for
                found += [f"settings.{key.replace('method', name, 1)}" for key in _method_keys("transfer", name)]
    return found


def method_of(words: Iterable[str]) -> str:
    """The method that the words choose, or the default one."""
    chosen = [word.partition("=")[2] for word in words if word.startswith("method=")]
    return chosen[-1] if chosen else "anamodiff"


def _method_keys(verb: str, name: str) -> list[str]:
    spec = registry.spec(name)
    found = [f"method.{key}" for key in dotted(registry.settings_class(spec)) if key != "name"]
    if verb == "train" and spec.train_config:
        found += [f"train.{key}" for key in dotted(registry.load_object(spec.train_config))]
    return found


def dotted(schema: Any, above: str = "") -> list[str]:
    """The fields of a dataclass and of those inside it, by dotted names."""
    kinds = typing.get_type_hints(schema)
    names: list[str] = []
    for field in dataclasses.fields(schema):
        kind = kinds[field.name]
        if dataclasses.is_dataclass(kind):
            names += dotted(kind, f"{above}{field.name}.")
        else:
            names.append(f"{above}{field.name}")
    return names


def values(verb: str, key: str, words: Sequence[str] = ()) -> list[str]:
    """The words that a key takes, where there is a fixed list; else none."""
    from motionkit.backbones import catalog

    if key in ("method", "methods"):
        return registry.names()
    if verb == "new-method" and key == "backbone":
        return ["true"]
    if key in ("backbone", "backbones"):
        return ["auto", "pocket", "tiny", *catalog.specs()]
    known = {
        "gpu": (*CARDS, "auto", "cpu", "mps"),
        "data": ("sprites", "folder"),
        "what": ("example", "dataset", "drawings", "foreign-drawings", "sheet", "styles"),
        "pen": ("ruler", "hand"),
        "split": ("train", "val", "test"),
        "setting": ("easy", "full", "wild", "foreign"),
        "extras": ("true",),
        **{key: ("true", "false") for key in ("dry_run", "private", "samples")},
        "task": ("self", "cross", "edit"),
    }
    if key in known:
        return list(known[key])
    if key in ("bench", "ablations"):
        folder = resources.files("motionkit.conf") / ("bench" if key == "bench" else "ablation")
        return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))
    fact = _fact(verb, key, words)
    if fact is None:
        return []
    switch = fact.hint is bool or bool in typing.get_args(fact.hint)
    return ["true", "false"] if switch else [str(word) for word in fact.known.choices]


def _fact(verb: str, key: str, words: Sequence[str]) -> Fact | None:
    """The declaration of a key; None for an unknown one."""
    group, _, rest = key.partition(".")
    path = _GROUPS.get(group) if rest else None
    if group in ("method", "train") and rest:
        spec = registry.spec(method_of(words))
        path = spec.config if group == "method" else spec.train_config
    path, name = (path, rest) if path else (SCHEMAS.get(verb), key)
    known = facts(registry.load_object(path)) if path else []
    return next((fact for fact in known if fact.name == name), None)


def nearest(verb: str, key: str, words: Sequence[str] = ()) -> list[str]:
    """The keys of a verb that an unknown key may have meant, the likeliest first; at most three.

    Settings of that very name in some group come first (`steps`: `method.sample.steps`), also by the names that other
    tools have for them, then what is spelt alike.
    """
    try:
        known = list(dict.fromkeys([*keys(verb, words), *(("method",) if verb in ("transfer", "train") else ())]))
    except UserError:
        return []
    last = key.rpartition(".")[2].replace("-", "_").lower()
    wanted = {last, ALSO.get(last, last)}
    same = [name for name in known if name.rpartition(".")[2] in wanted]
    if not same:
        whole = difflib.get_close_matches(key, known, n=2, cutoff=0.8)
        ends = {name.rpartition(".")[2] for name in known}
        close = difflib.get_close_matches(last, ends, n=2, cutoff=0.75)
        return whole or [name for name in sorted(known, key=likeliest) if name.rpartition(".")[2] in close][:3]
    return sorted(same, key=lambda name: (not name.startswith("bench."), *likeliest(name)))[:3]
