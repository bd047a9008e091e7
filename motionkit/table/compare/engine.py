"""The table of cells: which methods, at which common size, one after another, then the outcome."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.context import Progress
from motionkit.errors import UserError, unknown
from motionkit.media.output_files import check_writable
from motionkit.report import MethodResult
from motionkit.running import canvas
from motionkit.running.choices import Chosen, method_settings
from motionkit.running.clips import is_read, read
from motionkit.running.execute import request_of
from motionkit.running.lazy_backbone import choose_backbone
from motionkit.running.preflight import Row, before
from motionkit.running.request import Request, check_values, plan_for
from motionkit.table.compare.cell import Cell, Shared
from motionkit.table.compare.outcome import GRID, REPORT, measured, place_truth, write
from motionkit.table.store import CELLS
from motionkit.transfer import Inputs, MethodSpec

if TYPE_CHECKING:
    import numpy as np

    from motionkit.backbones.catalog import BackboneSpec
    from motionkit.media import Clip
    from motionkit.running.canvas import CanvasInputs


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of a comparison: its folder, an entry per method, and why some failed (method -> reason).

    Attributes:
        still: (H, W, 3) uint8, the middle frame of its grid; None when there was nothing to show.
    """

    folder: Path
    entries: list[MethodResult]
    failed: Mapping[str, str] = field(default_factory=dict)
    still: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / REPORT

    def __repr__(self) -> str:
        made = ", ".join(entry.name for entry in self.entries if entry.name not in self.failed)
        lost = f"; failed: {', '.join(self.failed)}" if self.failed else ""
        return f"<Comparison of {made}{lost}: {self.report}>"

    def _repr_html_(self) -> str:
        from motionkit.report.text import file_in_notebook

        return file_in_notebook(self.folder / GRID, repr(self))


def compare(
    methods: Sequence[str | MethodSpec],
    inputs: Inputs,
    settings: Mapping[str, Any] | None = None,
    folder: str | Path = "runs/compare",
    truth: Clip | None = None,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda line: None,
    **keywords: Any,
) -> Comparison:
    """Run every method on one request; leaves report.html, grid.mp4, metrics.json and a folder for each cell.

    The grid is left out when there is nothing to show: no clip was given, and no method made one.

    A cell that fails is reported and does not stop the rest. Cells that an earlier start has finished are read back,
    so the same call after a kill, or with one more method, computes only what is missing.

    Args:
        methods: names, or the facts of methods that are not registered; each once.
        settings: method name -> those of its settings that differ from the defaults.
        truth: the true video, of the reference's shape, when it is known.
        say: gets the memory plan and one line per cell as it begins.
        keywords: as of `motionkit.execute`; `backbone` is for every method that needs one (None: each method's
            default).

    Raises:
        UserError: the request cannot work for any cell: an unknown method or setting, a bad size, a truth of another
            shape or of one frame, a folder that cannot be written.
        Cancelled: stopped by the user; finished cells are kept for the next start.
    """
    return compare_request(methods, request_of("", inputs, **keywords), settings, folder, truth, progress, say)


def compare_request(
    methods: Sequence[str | MethodSpec],
    request: Request,
    settings: Mapping[str, Any] | None = None,
    folder: str | Path = "runs/compare",
    truth: Clip | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda line: None,
    each: Callable[[MethodResult], None] = lambda entry: None,
) -> Comparison:
    """The same on a request, whose method and config are left to each of `methods`; `each` gets an entry when made."""
    folder = Path(folder)
    check_writable(folder)
    check_values(request)
    table = choose_methods(methods, settings or {})
    common = _common_backbone(table, request.backbone.name, request.size)
    request = request if is_read(request) else read(request, say=say)
    placed = canvas.place_inputs(request.inputs, common, request.frames, request.size, request.fps)
    for line in placed.lines:
        say(line)
    true_frames = place_truth(truth, placed) if truth is not None else None
    for line in plan_for(request.gpu, common.name if common else None).lines():
        say(line)
    for line in _preflight(table, request, placed):
        say(line)
    shared = Shared(_at(request, placed), placed)
    entries = []
    for index, (spec, chosen) in enumerate(table, 1):
        say(f"[{index}/{len(table)}] {spec.name}")
        entry = Cell(spec, chosen, shared, folder / CELLS).entry(progress)
        if entry.reason:
            say(f"  {spec.name} failed: {entry.reason}")
        entries.append(measured(entry, placed, true_frames))
        each(entries[-1])
        gc.collect()  # free the weights of one cell before the next one loads its own
    still = write(folder, shared, entries, true_frames)
    return Comparison(folder, entries, {entry.name: entry.reason for entry in entries if entry.reason}, still)


def _preflight(table: Sequence[tuple[MethodSpec, Any]], request: Request, placed: CanvasInputs) -> list[str]:
    """What each method needs of this machine's card; nothing on a CPU."""
    rows: list[Row] = []
    for spec, settings in table:
        with contextlib.suppress(UserError):  # that cell will say so itself
            choice = replace(request.backbone, name=choose_backbone(spec, request.backbone.name))
            shape = (placed.frames, placed.height, placed.width)
            rows.append((spec.name, Chosen(spec, settings, choice), *shape))
    return before(rows, request.gpu)


def _at(request: Request, placed: CanvasInputs) -> Request:
    """The request at the common size, with results of one shape."""
    size = (placed.height, placed.width)
    return replace(request, frames=placed.frames, size=size, fps=placed.fps, common=True)


def choose_methods(methods: Sequence[str | MethodSpec], settings: Mapping[str, Any]) -> list[tuple[MethodSpec, Any]]:
    """Each method with its settings, all of them checked before the first one runs.

    Raises:
        UserError: no method, an unknown one, one twice, or a setting that does not fit.
    """
    if isinstance(methods, str):
        raise UserError(f"methods={methods!r}: give a list of names, such as ['{methods}']")
    specs = [registry.spec_of(method) for method in methods]
    names = [spec.name for spec in specs]
    if not names:
        raise UserError("no method to compare: give methods=[still,warp]")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"methods has {twice[0]!r} twice: name each method once")
    for name in settings:
        if name not in names:
            raise unknown("method in settings", name, names)
    return [(spec, method_settings(spec, settings.get(spec.name), f"settings.{spec.name}.")) for spec in specs]


def _common_backbone(
    table: Sequence[tuple[MethodSpec, Any]], backbone: str | None, size: int | str | tuple[int, int] | None
) -> BackboneSpec | None:
    """The backbone whose default size all cells share, so that their pixels can be compared; None without backbones."""
    found: dict[str, BackboneSpec] = {}
    for spec, _ in table:
        try:
            name = choose_backbone(spec, backbone)
        except UserError:
            continue  # reported by that cell itself
        if name is not None:
            found[name] = catalog.get(name)
    if size is None and len({spec.default_frame for spec in found.values()}) > 1:
        listed = ", ".join(f"{name} {spec.frame_name}" for name, spec in sorted(found.items()))
        raise UserError(f"the backbones of these methods work at different sizes ({listed}): choose one with size=")
    return max(found.values(), key=lambda spec: spec.size_multiple, default=None)
