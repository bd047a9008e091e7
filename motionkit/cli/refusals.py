"""Refuses arguments that Hydra would misread or answer with a cryptic error, and says what to give instead."""

from __future__ import annotations

import re
from collections.abc import Sequence

from motionkit.cli.keys import nearest, values
from motionkit.errors import UserError, unknown

_GROUPS = ("method", "backbone", "gpu", "data")
_LISTS = ("methods", "backbones", "ablations", "bench.seeds")
_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
# What Hydra reads as a number, a truth or a table, and not as the name of a group's option.
_NO_NAME = re.compile(r"[+-]?[\d_.]+(e[+-]?\d+)?|true|false|nan|[+-]?inf|\{.*", re.IGNORECASE | re.DOTALL)


def check_words(verb: str, overrides: Sequence[str], multirun: bool = False) -> None:
    """Refuse a group that is left out, null, a list, or named the long way; and one output for all jobs of a sweep.

    Raises:
        UserError: the first such word.
    """
    for word in overrides:
        key, _, value = word.lstrip("+~").partition("=")
        group, _, rest = key.partition(".")
        if multirun and key == "output":
            raise UserError(
                f"{word}: every job of a sweep would write there: leave output= out, the folder of each "
                "job holds its result"
            )
        if group in _GROUPS and rest == "name":
            raise UserError(f"{word}: choose the {group} by {group}={'NAME' if value in ('', 'null') else value}")
        if key in _FOLDERS and not value.strip("'\" "):
            raise UserError(f"{word}: give a folder, or leave {key}= out")
        if key in _LISTS:
            _check_list(word, key, value.strip())
        if key in (*_GROUPS, "bench"):
            _check_group(verb, word, key, value.strip(), multirun)


def _check_list(word: str, key: str, value: str) -> None:
    """Refuse a list in a list, a table, or an entry that is nothing."""
    inside = [entry.strip() for entry in value.strip("[]").split(",")]
    if value.startswith("{") or re.search(r"[\[,]\s*[\[{]", value) or "null" in inside:
        form = "[0,1]" if key == "bench.seeds" else "[NAME,NAME]"
        raise UserError(f"{word}: give one list, {key}={form}")


def _check_group(verb: str, word: str, key: str, value: str, multirun: bool) -> None:
    if value.startswith("["):
        names = value.strip("[]")
        if multirun:
            raise UserError(f"{word}: a sweep takes no brackets: give {key}={names}")
        raise UserError(_one_method(verb, word) if key == "method" else f"{word}: give one name: {key}=NAME")
    if word.startswith("~") or value in ("", "null"):
        raise UserError(f"{word}: {verb} needs a {key}: give {key}=NAME")
    if word.startswith("+"):
        raise UserError(f"{word}: give {key}={value}, without +")
    for name in value.split(",") if multirun else [value]:
        _check_name(verb, word, key, name.strip())
    if re.search(r"[/\\]", value) and not re.search(r"[,()]", value):
        own = "; weights of your own are backbone.path=FOLDER" if key == "backbone" else ""
        name = re.split(r"[/\\]", value)[-1] or "NAME"
        raise UserError(f"{word}: choose a {key} by its name: give {key}={name}{own}")


def _check_name(verb: str, word: str, key: str, name: str) -> None:
    """Refuse what is no name of an option, and a card that is told in other tools' words."""
    if key == "gpu" and re.fullmatch(r"(cuda|gpu)(:\d+)?", name):
        device = "" if name == "gpu" else f", or gpu.device={name.replace('gpu', 'cuda')}"
        raise UserError(f"{word}: give gpu=auto{device}")
    size = re.fullmatch(r"([1-9]\d{0,3}) ?(gi?b?)?", name, re.IGNORECASE)
    if key == "gpu" and size and name != f"{size[1]}gb":
        card = "" if size[2] else f", or gpu.device=cuda:{size[1]} for the card of that number"
        raise UserError(f"{word}: give gpu={size[1]}gb for a card of that size{card}")
    if _NO_NAME.fullmatch(name):
        raise unknown(key, name, values(verb, key))


def unknown_key(verb: str, key: str, words: Sequence[str]) -> UserError | None:
    """The error for a key that the verb does not take, with what may have been meant; None when nothing is similar."""
    given = {word.lstrip("+~").partition("=")[0]: word.partition("=")[2] for word in words}
    key = next((typed for typed in given if typed.startswith(f"{key}.")), key)  # of an unknown group, as it was typed
    near = nearest(verb, key, words)
    if not near:
        return None
    value = given.get(key) or "VALUE"
    if value.startswith("[") and near[0] in _GROUPS:  # which take one name
        value = "NAME"
    meant = " or ".join(map(repr, near))
    return UserError(f"unknown key {key!r} (did you mean {meant}?): give {near[0]}={value}")


def several(verb: str, word: str, sweeps: bool) -> UserError:
    """What to give in place of `key=one,two`, which only a sweep reads."""
    key, _, value = word.partition("=")
    sweep = ", or add -m for a sweep" if sweeps else ""
    if key in _LISTS:
        return UserError(f"{word}: a list needs brackets: give {key}=[{value}]")
    if key == "method":
        return UserError(_one_method(verb, word) + sweep)
    if key == "size" and (sides := re.fullmatch(r"(\d+),(\d+)", value)):
        return UserError(f"{word}: give WIDTHxHEIGHT, size={sides[1]}x{sides[2]}{sweep}")
    as_list = f", or {key}=[{value}] for a list" if "." in key else ""
    return UserError(f"{word}: give one value{as_list}{sweep}")


def _one_method(verb: str, word: str) -> str:
    beside = "; `motionkit compare methods=[NAME,NAME]` runs several" if verb == "transfer" else ""
    return f"{word}: {verb} takes one method: give method=NAME{beside}"
