"""The work of one cell: run the method, keep the frames, measure time and memory, compute the metrics."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit import registry
from motionkit.errors import UserError
from motionkit.media.framing import resize
from motionkit.media.output_files import write_json
from motionkit.running.request import check
from motionkit.table.bench import tasks
from motionkit.table.bench.entry import settled
from motionkit.table.bench.planned import FAILED, RECORD, Cell, metrics_of, plan_facts, request_of
from motionkit.table.store import reason_of
from motionkit.transfer import MethodSpec, Result

if TYPE_CHECKING:
    from motionkit.settings.gpu import Plan


def perform(cell: Cell) -> None:
    """Run a cell and compute its metrics, as far as that is not done; a failure is kept as its reason.

    Another start that is at work on the same cell is waited for, or left alone where the cell's turn says so; what that
    one has made or failed at is not tried again.

    Raises:
        Cancelled: the user stopped it.
    """
    try:
        with cell.kept.alone(wait=cell.turn is None or cell.turn.wait) as mine:
            if mine and not (cell.turn and cell.has_ended):
                _try(cell)
    except KeyboardInterrupt as error:
        reason_of(error)


def _try(cell: Cell) -> None:
    try:
        case = case_of(cell)
        if not cell.is_made:
            _make(cell, case)
        measure(cell, case)
        (cell.folder / FAILED).unlink(missing_ok=True)  # of an earlier try
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # whatever one cell does, the others must run
        cell.fail(reason_of(error, cell.kept))


def case_of(cell: Cell) -> tasks.Case:
    """The request of a cell, with its true video."""
    asked = cell.protocol
    return tasks.make_case(asked.task, cell.index, asked.pair_seed, asked.frames, asked.size)


def video_of(cell: Cell) -> np.ndarray:
    """A finished cell's frames at the protocol's size: (F, S, S, 3) uint8."""
    frames, side = cell.kept.frames(), cell.protocol.size
    return np.stack([resize(frame, side, side) for frame in frames])  # (F, S, S, 3)


def _make(cell: Cell, case: tasks.Case) -> None:
    chosen = settled(cell.entry, tasks.get(cell.protocol.task), cell.options.online)
    request = request_of(cell.protocol, cell.seed, cell.options, chosen)
    began = time.process_time()  # of all threads of this process
    seed = cell.seed if not cell.entry.yardstick else 1000 * cell.seed + cell.index  # different noise for each case
    inputs, settings = cell.entry.inputs(case), cell.entry.settings_for(case)
    plan = check(replace(request, inputs=inputs, config=settings, seed=seed))
    _check_machine(cell, plan.memory)
    (cell.folder / RECORD).unlink(missing_ok=True)
    result = cell.kept.run(plan)
    seconds = time.process_time() - began
    cell.kept.keep(result)
    write_json(cell.folder / RECORD, _record(cell, case, chosen.spec, result, seconds))  # last: the cell is made


def _check_machine(cell: Cell, plan: Plan) -> None:
    """Refuse to compute on a machine other than the cell was planned for: the cell's key depends on it.

    Raises:
        UserError: device, dtype or GPU differ.
    """
    here = (plan.device, plan.dtype, plan.autocast)
    other = "start the benchmark on a machine of the same kind, or with gpu=cpu"
    if cell.computed_in and here != cell.computed_in:
        raise UserError(f"planned for {cell.computed_in[:2]}, but this machine would compute in {here[:2]}: {other}")
    facts = {} if plan.device == "cpu" else plan_facts(plan)
    if differs := [f"{key}={facts.get(key)}" for key, value in cell.plan.items() if facts.get(key) != value]:
        raise UserError(f"planned for another GPU, this machine has {', '.join(differs)}: {other}")


def _record(cell: Cell, case: tasks.Case, spec: MethodSpec, result: Result, cpu_seconds: float) -> dict[str, Any]:
    facts, memory = result.manifest, result.manifest["peak_memory"]
    return {
        "key": cell.key,
        "label": cell.entry.label,
        "method": {"name": spec.name, "version": spec.version, "distribution": registry.dist_of(spec)},
        "backbone": facts["backbone"],
        "weights": facts.get("weights"),
        **({"lora": facts["lora"]} if facts["lora"] else {}),
        "case": {"index": cell.index, **case.facts},
        "seed": cell.seed,
        "seconds": facts["seconds"],
        "cpu_seconds": round(cpu_seconds, 3),
        "rss_mb": memory["rss_mb"],
        "cuda_mb": memory.get("cuda_mb"),
        "from_cache": facts["from_cache"],
        "inputs_used": [cell.entry.sees] if cell.entry.sees else facts["inputs_used"],
        "size": facts["size"],
        "plan": facts["plan"],
        "threads": _threads(),
    }


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def measure(cell: Cell, case: tasks.Case | None = None) -> None:
    """Compute the metrics of a finished cell, unless they are there.

    Raises:
        UserError: weights of metrics that are there but cannot be used.
    """
    metrics = metrics_of(cell.protocol, cell.options)
    if cell.figures(metrics.key) is not None:
        return
    case = case or case_of(cell)
    inputs, video = case.inputs, video_of(cell)
    figures = metrics.video(
        video,
        driving=inputs.driving.frames if inputs.driving else None,
        truth=case.truth,
        reference=inputs.reference.frames[0] if inputs.reference else None,
        prompt=inputs.prompt,
        source_prompt=inputs.source_prompt,
        known=case.known,
    )
    write_json(cell.figures_path(metrics.key), {"metrics": metrics.key, "figures": dict(figures)})
