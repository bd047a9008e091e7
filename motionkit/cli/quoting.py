"""Between the shell and Hydra: flags in the order that Hydra needs, and free text that its grammar would misread."""

from __future__ import annotations

import difflib
import re
from dataclasses import fields

from motionkit.cli.schemas import TrainConfig, TransferConfig
from motionkit.errors import UserError, unknown
from motionkit.settings.config import literal
from motionkit.settings.synonyms import ALSO

TEXT = frozenset(
    "reference driving prompt source_prompt negative_prompt poses masks depth correspondence keypoints output "
    "truth report jobs".split()
)
KEYS = [*dict.fromkeys(field.name for kind in (TransferConfig, TrainConfig) for field in fields(kind)), "methods"]
_TEXT_ENDINGS = (".path", ".weights", ".folder", ".checkpoint")
_PLAIN_FLAGS = ("-m", "--multirun", "--run", "-r", "--resolve", "--hydra-help")
_VALUE_FLAGS = ("-c", "--cfg", "-p", "--package", "-cd", "--config-dir", "-i", "--info", "-cn", "--config-name")
_VALUES = {
    ("-c", "--cfg"): ("job", "hydra", "all"),
    ("-i", "--info"): ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
_MODES = ("-m", "--multirun", "-r", "--run", "-c", "--cfg", "-i", "--info")
SHOWS = ("-c", "--cfg", "-i", "--info", "--hydra-help")  # nothing runs
_SWEEP = re.compile(r"(choice|glob|range|interval|shuffle|sort)\(.*\)", re.DOTALL)
_QUOTED = re.compile(r"""(?P<q>['"]).*(?P=q)""", re.DOTALL)


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Flags (each with its value) and overrides, apart: Hydra wants them so.

    Raises:
        UserError: an unknown flag, a flag without its value or with one that Hydra does not know, flags that cannot
            stand together, or a word that is not key=value.
    """
    flags, overrides, rest = [], [], list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in _PLAIN_FLAGS:
            flags.append(word)
        elif name in _VALUE_FLAGS:
            if not equals and not rest:
                raise UserError(f"{name} needs a value")
            flags += [name, value if equals else rest.pop(0)]
            _check_value(*flags[-2:])
        elif word.startswith("-"):
            raise _no_flag(name, value if equals else next(iter(rest), ""))
        elif not name or not equals and not word.startswith("~"):
            raise UserError(f'{word!r} is not key=value (a value with spaces needs quotes around it: key="two words")')
        else:
            overrides.append(word)
    _check_together(flags)
    return flags, overrides


def _no_flag(name: str, value: str) -> UserError:
    """The error for an unknown flag: usually a key, written with dashes as in other programs."""
    bare = name.lstrip("-").replace("-", "_")
    if name in ("-sc", "--shell-completion"):
        return UserError("`motionkit completion bash` (or zsh, fish) prints the script that completes in a shell")
    flags = ("--help", "--debug", *_PLAIN_FLAGS, *_VALUE_FLAGS)
    likes_a_flag = bool(difflib.get_close_matches(name, flags, n=1, cutoff=0.8))
    near = difflib.get_close_matches(ALSO.get(bare, bare), KEYS, n=1, cutoff=0.6 if len(bare) > 1 else 1.0)
    if near and not likes_a_flag:
        shown = value if value and not value.startswith("-") and "=" not in value else "VALUE"
        return UserError(f"{name}: keys have no dashes: give {near[0]}={shown}")
    return unknown("option", name, flags)


def _check_value(flag: str, value: str) -> None:
    for names, known in _VALUES.items():
        if flag in names and value not in known:
            raise UserError(f"{flag} {value}: give {flag} followed by one of {', '.join(known)}")


def _check_together(flags: list[str]) -> None:
    modes = [flag for flag in flags if flag in _MODES]
    if len(modes) > 1:
        raise UserError(f"{modes[0]} cannot be combined with {modes[1]}: give only one of them")
    if "--resolve" in flags and not {"-c", "--cfg"} & set(flags):
        raise UserError("--resolve needs --cfg job: it only changes how a configuration is printed")
    if {"-p", "--package"} & set(flags) and not {"-c", "--cfg"} & set(flags):
        raise UserError("--package needs --cfg job: it only chooses what of a configuration is printed")


def is_multirun(flags: list[str]) -> bool:
    """Whether the flags ask for a sweep."""
    return "-m" in flags or "--multirun" in flags


def quote(override: str, multirun: bool = False) -> str:
    """An override whose value Hydra reads as the text that was typed, when its key takes free text.

    Text that is quoted already is left to Hydra, and so is null; in a sweep also choice(...) and its like, so that
    `prompt='"one","two"'` and `reference=choice(a.png,b.png)` sweep.
    """
    key, equals, value = override.partition("=")
    bare = key.lstrip("+~")
    if not equals or not (bare in TEXT or bare.endswith(_TEXT_ENDINGS)):
        return override
    if value == "null" or _QUOTED.fullmatch(value) or (multirun and _SWEEP.fullmatch(value)):
        return override
    return f"{key}={as_text(value)}"


def as_text(value: str) -> str:
    """A value quoted so that Hydra and OmegaConf give back exactly this text."""
    value = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + (r"\'" if m[2] else ""), literal(value))
    return f"'{value}'"
