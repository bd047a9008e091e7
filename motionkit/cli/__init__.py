"""The command line: a light dispatcher; a verb's module is imported only when the verb is called."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
import traceback
from dataclasses import dataclass

from motionkit.errors import Cancelled, UserError, told, unknown


@dataclass(frozen=True)
class Verb:
    """One word of the command line: its module has `main(argv) -> int` and, for --help, the text `HELP`."""

    module: str
    what: str


VERBS = {
    "transfer": Verb("motionkit.cli.transfer", "make one character perform the motion of another clip"),
    "compare": Verb("motionkit.cli.compare", "run the same inputs through several methods, side by side"),
    "bench": Verb("motionkit.cli.bench", "run every method on a fixed task with a known truth, and write a table"),
    "study": Verb("motionkit.cli.study", "write a blind study of comparisons, or count its votes"),
    "train": Verb("motionkit.cli.train", "train a method's own networks"),
    "convert": Verb("motionkit.cli.convert", "convert published checkpoints to safetensors in motionkit's layout"),
    "push": Verb("motionkit.cli.push", "send weights that were trained here to a repository of the hub"),
    "ui": Verb("motionkit.cli.ui", "start the web page: methods, comparisons, past runs, a blind study"),
    "methods": Verb("motionkit.cli.methods", "list the methods: what each one needs, uses and runs on"),
    "backbones": Verb("motionkit.cli.backbones", "list the backbones: which weights are here, how to get the others"),
    "fits": Verb("motionkit.cli.fits", "show what a run needs of a GPU, and whether a card holds it"),
    "cache": Verb("motionkit.cli.cache", "list or remove the cached steps of earlier runs"),
    "doctor": Verb("motionkit.cli.doctor", "check this installation"),
    "cite": Verb("motionkit.cli.cite", "print BibTeX of a method, or of what a run used"),
    "sprites": Verb("motionkit.cli.sprites", "write example clips and data sets of the sprite world"),
    "data": Verb("motionkit.cli.data", "list public data sets, or write one as jobs for compare"),
    "completion": Verb("motionkit.cli.completion", "print a script for completion in bash, zsh or fish"),
    "new-method": Verb("motionkit.cli.new_method", "create a package for a method of your own"),
}
_PLACES = {
    getattr(errno, name)
    for name in "EACCES EPERM ENOENT ENOTDIR EISDIR ENAMETOOLONG EROFS ENOSPC EDQUOT ELOOP EIO".split()
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
    """The `motionkit` script. SIGTERM and SIGHUP (from a cluster, or a terminal that closes) stop it as Ctrl-C does."""
    _open_streams()
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    code = main()
    leave = getattr(sys.modules.get("motionkit.training.workers"), "leave", sys.exit)
    leave(code)  # that of workers where a training may have shared its work; importing it now could fail


def _open_streams() -> None:
    """Open standard streams that were closed before the start on /dev/null, so that no file gets their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 (an internal error), 2 (a user's mistake), 130 (cancelled)."""
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
        with contextlib.suppress(OSError, ValueError):  # stderr may be gone
            if debug:
                traceback.print_exc()
            return _report(error)
        return 1


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
    from motionkit.cli.logs import plain_warnings

    with plain_warnings():
        return module.main(rest)


def _report(error: BaseException) -> int:
    """The error as one line on stderr; returns the exit code."""
    if isinstance(error, Cancelled | KeyboardInterrupt):
        print(f"motionkit: {_one_line(error) or 'cancelled'}", file=sys.stderr)
        return 130
    if isinstance(error, UserError):
        print(f"motionkit: error: {_one_line(error)}", file=sys.stderr)
        return 2
    if isinstance(error, BrokenPipeError):  # the reader has closed the pipe, as in `... | head`
        return _no_stdout()
    if isinstance(error, OSError) and error.errno in _PLACES:
        print(f"motionkit: error: {_place(error)}", file=sys.stderr)
        return 2 if error.filename else _no_stdout()
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # of Path.expanduser
        print(
            "motionkit: error: a path begins with ~, but there is no such home folder: give the full path",
            file=sys.stderr,
        )
        return 2
    again = "run again with --debug for the traceback"
    print(f"motionkit: error: {told(error)} (an internal error: {again})", file=sys.stderr)
    return 1


def _place(error: OSError) -> str:
    """An error of the file system, with the path."""
    if error.filename:
        path = str(error.filename)
        where = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
        path = path if len(path) <= 200 else path[:80] + "..."
        return f"{path}: {error.strerror}{where}: check the path, or use another"
    if isinstance(error, FileNotFoundError):
        return "the current folder no longer exists: change to another one"
    return f"the output cannot be written: {error.strerror}"


def _no_stdout() -> int:
    """Discard what stdout still holds, so that Python does not fail on it at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
