"""Keywords of a Python call, under motionkit's names or diffusers', sorted by what they set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.errors import UserError, unknown
from motionkit.settings.setting import walk
from motionkit.settings.synonyms import ALSO, INSTEAD, setting_for

MEMORY = ("device", "dtype")  # of the gpu group
_SIDES = ("height", "width")
_ALIASES = {"half": "float16", "fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "float": "float32"}
DTYPES = ("float32", "float16", "bfloat16")


@dataclass
class Sorted:
    """Keywords by what they set, under motionkit's names.

    Attributes:
        fields: those that the caller knows.
        settings: of the method, nested as in its configuration.
        memory: device and dtype, as words of the gpu group.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, str] = field(default_factory=dict)


def sort(config: type, words: Mapping[str, Any], fields: Iterable[str], elsewhere: Mapping[str, str]) -> Sorted:
    """Sort keywords; another tool's keyword with the value None is ignored.

    Args:
        config: the dataclass of the method's settings.
        fields: names that the caller knows itself; they go before settings of the same name.
        elsewhere: name -> where it is given instead, to be said in the refusal.

    Raises:
        UserError: an unknown keyword, with the nearest one; one without a meaning here; two for one setting.
    """
    fields, names = tuple(fields), [name for name, _, _ in walk(config)]
    tops = {name.partition(".")[0] for name in names}
    found = Sorted()
    for word, given in sorted(_sides(words).items(), key=lambda item: item[0] not in tops):
        value = plain(given)
        if word in fields:
            _put(found.fields, word, value, word)
        elif word in tops or word in names:
            _put_setting(found.settings, word, value, word)
        elif word in (*MEMORY, *ALSO, *INSTEAD) and value is None:
            continue
        elif word in MEMORY or ALSO.get(word) in MEMORY:
            _put(found.memory, ALSO.get(word, word), memory_word(value), word)
        elif ALSO.get(word) in fields:
            _put(found.fields, ALSO[word], _seed(value) if word == "generator" else value, word)
        elif ALSO.get(word) not in elsewhere and (key := setting_for(word, names)):
            _put_setting(found.settings, key, value, word)
        else:
            raise _refusal(word, (*fields, *tops, *MEMORY), elsewhere)
    return found


def plain(value: Any) -> Any:
    """A number of numpy or torch, also in a list or pair, as Python's; anything else as it is."""
    if isinstance(value, list | tuple):
        return (list if isinstance(value, list) else tuple)(plain(one) for one in value)
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _refusal(word: str, known: Iterable[str], elsewhere: Mapping[str, str]) -> UserError:
    own = ALSO.get(word, word)
    if own in elsewhere:
        return UserError(f"{word}= is given {elsewhere[own]}" + (f", as {own}=" if own != word else ""))
    if word in INSTEAD:
        return UserError(f"{word}= is not taken here: {INSTEAD[word]}")
    if word in ALSO:
        return UserError(f"{word}= stands for {own} here, which cannot be set in this call: leave it out")
    return unknown("keyword", word, {*known, *ALSO})


def _put(place: dict[str, Any], key: str, value: Any, word: str) -> None:
    if key in place:
        raise UserError(f"{word}= sets {key}, which another keyword sets too: give only one of them")
    place[key] = value


def _put_setting(settings: dict[str, Any], key: str, value: Any, word: str) -> None:
    *above, last = key.split(".")
    for part in above:
        if not isinstance(below := settings.get(part, {}), Mapping):
            raise UserError(f"{word}= stands for {key} here, but {part} is a {type(below).__name__}: set it there")
        settings[part] = dict(below)
        settings = settings[part]
    _put(settings, last, value, word)


def _sides(words: Mapping[str, Any]) -> dict[str, Any]:
    """The same words with height and width as one size.

    Raises:
        UserError: one without the other, or beside a size.
    """
    given = {name: words[name] for name in _SIDES if words.get(name) is not None}
    rest = {name: value for name, value in words.items() if name not in _SIDES}
    if not given:
        return rest
    if len(given) < len(_SIDES):
        raise UserError(f"{next(iter(given))}= alone is not a size: give height= and width=, or size=")
    if rest.get("size") is not None:
        raise UserError("size= is given together with height= and width=: give only one of them")
    return rest | {"size": (given["height"], given["width"])}


def _seed(generator: Any) -> int:
    """The seed of a `torch.Generator`."""
    if not hasattr(generator, "initial_seed"):
        raise UserError(f"generator is a {type(generator).__name__}: give one torch.Generator, or seed=NUMBER")
    return int(generator.initial_seed())


def memory_word(value: Any) -> str:
    """A device or a type as the gpu group has it: `torch.float16` is "float16", a card's number "cuda:N"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"cuda:{value}"
    text = str(value).removeprefix("torch.")
    return _ALIASES.get(text, text)


def with_memory(gpu: Any, memory: Mapping[str, str], moved: bool = False) -> Any:
    """A request's `gpu` with another device or dtype.

    Args:
        moved: a tier that is at odds with the device gives way to the one that fits.

    Raises:
        UserError: `gpu` is a finished plan.
    """
    if not memory:
        return gpu
    if isinstance(gpu, str):
        given = {"name": gpu}
    elif isinstance(gpu, Mapping):
        given = dict(gpu)
    elif type(gpu).__name__ == "GpuConfig":
        given = {f.name: getattr(gpu, f.name) for f in dataclasses.fields(gpu)}
    else:
        raise UserError(f"gpu is a {type(gpu).__name__}, which sets device and dtype: leave both out")
    kind, tier = memory.get("device", "").partition(":")[0], given.get("name", "auto")
    if moved and kind and tier != "auto" and kind != (tier if tier in ("cpu", "mps") else "cuda"):
        given["name"] = "auto"
    return given | dict(memory)


def short(gpu: Any) -> str:
    """A request's `gpu` in a few words."""
    if isinstance(gpu, Mapping):
        return " ".join(str(value) for value in gpu.values() if value is not None)
    return str(getattr(gpu, "name", gpu))


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, overridden by others."""
    out = dict(base)
    for key, value in more.items():
        below = out.get(key)
        out[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return out
