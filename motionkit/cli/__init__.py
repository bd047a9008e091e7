"""The command line: a light dispatcher; a verb's module is imported only when the verb is called."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from dataclasses import dataclass

from motionkit.errors import Cancelled, UserError, unknown


@dataclass(frozen=True)
class Verb:
    """One word of the command line: its module has `main(argv) -> int` and, for --help, the text `HELP`."""

    module: str
    what: str


VERBS = {
    "transfer": Verb("motionkit.cli.transfer", "make one character perform the motion of another clip"),
    "compare": Verb("motionkit.cli.compare", "the same inputs through several methods, side by side"),
    "bench": Verb("motionkit.cli.bench", "every method on a fixed task with a known truth: a table"),
    "train": Verb("motionkit.cli.train", "train a method's own networks"),
    "convert": Verb("motionkit.cli.convert", "published checkpoints to safetensors in motionkit's layout"),
    "methods": Verb("motionkit.cli.methods", "the methods: what each one needs, uses and runs on"),
    "backbones": Verb("motionkit.cli.backbones", "the backbones: which weights are here, how to get the others"),
    "cache": Verb("motionkit.cli.cache", "what earlier runs left to be used again: look, and remove"),
    "doctor": Verb("motionkit.cli.doctor", "look at this installation"),
    "cite": Verb("motionkit.cli.cite", "BibTeX of a method, or of what a run used"),
    "sprites": Verb("motionkit.cli.sprites", "write example clips and data sets of the sprite world"),
    "new-method": Verb("motionkit.cli.new_method", "write a package with a method of your own, to start from"),
}
_LIST = "\n".join(f"  {name:<10} {verb.what}" for name, verb in VERBS.items())
HELP = f"""usage: motionkit VERB [key=value ...]

{_LIST}

  motionkit VERB --help     what a verb takes
  motionkit --version
  --debug                   with any verb: show the traceback of an error

example: motionkit transfer method=anamodiff reference=turtle.png driving=rhino.mp4 prompt="a green turtle"
"""


def console() -> None:
    """The `motionkit` script. A request to end (as a cluster sends it) stops a run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 (a defect), 2 (a mistake to mend), 130 (cancelled)."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        if debug:
            traceback.print_exc()
        return _report(error)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    name, rest = words[0], words[1:]
    if name == "--version":
        from motionkit import __version__

        print(f"motionkit {__version__}")
        return 0
    if name not in VERBS:
        raise unknown("verb", name, VERBS)
    module = importlib.import_module(VERBS[name].module)
    if any(word in ("-h", "--help") for word in rest):
        print(module.HELP, end="")
        return 0
    return module.main(rest)


def _report(error: BaseException) -> int:
    """The error as one line on stderr; returns the exit code."""
    if isinstance(error, Cancelled | KeyboardInterrupt):
        print(f"motionkit: {_one_line(error) or 'cancelled'}", file=sys.stderr)
        return 130
    if isinstance(error, UserError):
        print(f"motionkit: error: {_one_line(error)}", file=sys.stderr)
        return 2
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone, as in `... | head`
        return 1
    what = f"{type(error).__name__}: {_one_line(error)}"
    print(f"motionkit: error: {what} (a defect: run again with --debug to see where)", file=sys.stderr)
    return 1


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
