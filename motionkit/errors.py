"""The errors that a user meets: each one is a single line that says what to do."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable

_LONGEST = 700  # characters of a list of names


class UserError(Exception):
    """A mistake that the user can fix; the command line prints it as one line and exits with code 2."""


class MissingWeights(UserError):
    """Weights are not on this machine; the message says which, and how to get them."""


class Cancelled(Exception):
    """The user stopped the run; the command line exits with code 130."""


def told(error: BaseException) -> str:
    """An error that nobody expected, in one line: its kind, what it says, and the notes on where it came up."""
    said = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return ", ".join([said, *getattr(error, "__notes__", [])])


def in_one_line(command: Callable[[], object]) -> None:
    """Run the command of a script; a user's mistake ends it with one line and code 2, a stop with code 130.

    Raises:
        SystemExit: see above.
    """
    try:
        command()
    except Cancelled as error:
        print(f"motionkit: {error}", file=sys.stderr)
        raise SystemExit(130) from None
    except UserError as error:
        print(f"motionkit: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for an unknown name, with the nearest known name and the list of known ones."""
    known = sorted(known)
    return UserError(f"unknown {what} {name!r}{nearest(name, known)}; known: {_listed(known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A question with the most similar known word, to be appended to a message; "" where none is similar."""
    folded = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    return f" (did you mean {folded[near[0]]!r}?)" if near else ""


def _listed(names: list[str]) -> str:
    """The names, or where they are many the first of them and how many there are."""
    whole, few = ", ".join(names), 0
    if len(whole) <= _LONGEST:
        return whole or "none"
    while len(", ".join(names[: few + 1])) <= _LONGEST // 2:
        few += 1
    return f"{', '.join(names[:few])} ... ({len(names)} in all)"
