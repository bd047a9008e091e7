"""One method on the request of a comparison: run it, or read it back when an earlier start has finished it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motionkit.context import Progress
from motionkit.errors import UserError
from motionkit.report import MethodResult
from motionkit.running.canvas import CanvasInputs
from motionkit.running.request import Request, RunPlan, check
from motionkit.table.store import CellFolder, configuration, reason_of
from motionkit.transfer import MethodSpec
from motionkit.weights.hashing import hash_json


@dataclass(frozen=True)
class Shared:
    """What all cells of a comparison have in common.

    Attributes:
        request: what each method is asked, with the size, rate and number of frames of `fitted`; method and settings
            are the cell's own.
        fitted: the inputs at the common working size.
    """

    request: Request
    fitted: CanvasInputs


@dataclass(frozen=True)
class Cell:
    """A method with its settings on the shared request; `root` is the folder of all cells."""

    spec: MethodSpec
    settings: Any
    shared: Shared
    root: Path

    def entry(self, progress: Progress | None = None) -> MethodResult:
        """The cell's part of the report; a failure becomes its reason, and never an exception.

        Raises:
            Cancelled: the user stopped the run.
        """
        folder: CellFolder | None = None
        try:
            plan = check(self.request, progress)
            folder = self.folder(plan)
            with folder.alone():  # another start that makes it is waited for
                if folder.is_finished:
                    with contextlib.suppress(UserError, OSError):  # a frame that was damaged since: made again
                        return self._read(folder)
                folder.keep(folder.run(plan))
                return self._read(folder)
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # whatever one method does, the others shall run
            return MethodResult(self.spec.name, folder.manifest() if folder else {}, reason=reason_of(error, folder))

    @property
    def request(self) -> Request:
        """What this method is asked."""
        return replace(self.shared.request, method=self.spec, config=self.settings)

    def folder(self, plan: RunPlan) -> CellFolder:
        """Where this cell lies: everything that the video depends on, but no input that the method does not read."""
        given = {key: plan.inputs.hash_of(key) for key in self.spec.used(plan.inputs)}
        key = hash_json(configuration(plan) | {"inputs": given})
        return CellFolder(self.root / f"{self.spec.name}-{key[:12]}")

    def _read(self, folder: CellFolder) -> MethodResult:
        return MethodResult(self.spec.name, folder.manifest(), folder.frames(), shown=folder.shown())
