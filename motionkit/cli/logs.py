"""Warnings of the toolkit and of the libraries below it: on stderr, each once, as plain lines."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class _Once(logging.StreamHandler):
    """Writes each message to stderr the first time that it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()
        self.setFormatter(logging.Formatter("%(message)s"))
        self.addFilter(self._new)

    @property
    def stream(self) -> TextIO:
        """The current stderr."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        pass

    def _new(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text in self.said:
            return False
        self.said.add(text)
        return True


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Within the block, warnings from `logging` and `warnings` are lines on stderr; stdout is left to results."""
    handler, root = _Once(), logging.getLogger()
    before, shown = root.level, warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: object, **more: object) -> None:
        text = " ".join(str(message).split())
        handler.handle(logging.LogRecord("warnings", logging.WARNING, "", 0, text, (), None))

    root.addHandler(handler)
    root.setLevel(max(before, logging.WARNING))
    warnings.showwarning = show  # type: ignore[assignment]
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        warnings.showwarning = shown
