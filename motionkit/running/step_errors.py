"""Says in which step of which method an unexpected error came up, and keeps a method from ending the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from motionkit import registry
from motionkit.errors import Cancelled, UserError
from motionkit.transfer import MethodSpec


@contextmanager
def noted(spec: MethodSpec, step: str) -> Iterator[None]:
    """Run code of a method: an error that is not the user's gets a note with step, method and package.

    Args:
        step: what the code does, such as "prepare".

    Raises:
        RuntimeError: the code called `sys.exit`.
    """
    try:
        yield
    except (UserError, Cancelled):
        raise
    except (Exception, SystemExit) as error:
        left = RuntimeError(f"it called sys.exit({error.code!r})") if isinstance(error, SystemExit) else error
        package = registry.dist_of(spec)
        left.add_note(f"in {step} of {spec.name}" + (f" of {package}" if package else ""))
        raise left from (error if left is not error else error.__cause__)
