"""What is done for one cell: run the method, keep the frames, take time and memory, take the figures."""

from __future__ import annotations

import contextlib
import shutil
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motionkit import media, registry
from motionkit.errors import Cancelled, UserError
from motionkit.media.framing import resize
from motionkit.media.output_files import write_json, writing
from motionkit.running.canvas import Fitted
from motionkit.running.choices import Chosen
from motionkit.running.request import Request, check, plan_run
from motionkit.table.bench import tasks
from motionkit.table.bench.entry import FAILED, LOCK, RECORD, TRACE, Cell, Options, metrics_of, settled, side_of
from motionkit.table.bench.protocol import Protocol
from motionkit.table.compare.cell import FRAMES, configuration, is_finished, read_frames
from motionkit.transfer import MethodSpec, Result

if TYPE_CHECKING:
    from motionkit.settings.gpu import Plan


def configuration_of(protocol: Protocol, seed: int, options: Options, chosen: Chosen) -> dict[str, Any]:
    """Everything but the case that a row's videos depend on; raises UserError when its weights are not here."""
    request = request_of(protocol, seed, options, chosen)
    side = side_of(protocol, chosen.backbone.name)
    fitted = Fitted(request.inputs, None, protocol.frames, side, side, tasks.FPS)
    plan = plan_run(request, chosen, fitted)
    return configuration(plan) | ({} if plan.memory.device == "cpu" else {"plan": _plan_facts(plan.memory)})


def request_of(protocol: Protocol, seed: int, options: Options, chosen: Chosen) -> Request:
    """What a row is asked on every case; each case adds its inputs."""
    return Request(
        chosen.spec,
        config=chosen.settings,
        backbone=chosen.backbone,
        gpu=options.gpu,
        seed=seed,
        frames=protocol.frames,
        size=side_of(protocol, chosen.backbone.name),
        use_cache=options.use_cache,
        common=True,
    )


def _plan_facts(plan: Plan) -> dict[str, Any]:
    """What time and memory on a GPU depend on: the plan but for its name and remarks, and the card."""
    import torch

    from motionkit.settings.gpu import card_of

    card = torch.cuda.get_device_name(card_of(plan.device)) if torch.cuda.is_available() else ""
    left_out = ("name", "notes", *(["guidance"] if plan.batched else []))  # keys of cells from before it was there
    return {k: v for k, v in asdict(plan).items() if k not in left_out} | {"card": card}


def perform(cell: Cell) -> None:
    """Make a cell and take its figures, as far as that is not done; a failure is kept as its reason.

    Raises:
        Cancelled: the user stopped it.
    """
    try:
        with _alone(cell.folder):
            (cell.folder / FAILED).unlink(missing_ok=True)
            case = tasks.make_case(
                cell.protocol.task, cell.index, cell.protocol.pair_seed, cell.protocol.frames, cell.protocol.size
            )
            if not is_made(cell):
                _make(cell, case)
            _measure(cell, case)
    except (Cancelled, KeyboardInterrupt):
        raise Cancelled("cancelled; finished cells are kept, and the same command goes on from here") from None
    except UserError as error:
        cell.fail(" ".join(str(error).split()))
    except (Exception, SystemExit) as error:  # whatever one cell does, the others shall run
        cell.folder.mkdir(parents=True, exist_ok=True)
        (cell.folder / TRACE).write_text(traceback.format_exc(), encoding="utf-8")
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        cell.fail(f"{reason} (a defect: see {cell.folder.name}/{TRACE})")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a cell's folder: a second benchmark in the same output waits here, and finds the cell made.

    The lock is the operating system's and ends with its process; where there is none (Windows, some file systems of
    clusters), nothing is held.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    with file:
        with contextlib.suppress(OSError):  # the file system knows no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_made(cell: Cell) -> bool:
    """Whether a cell's video is whole and its record was written."""
    return bool(cell.record()) and is_finished(cell.folder)


def video_of(cell: Cell) -> np.ndarray:
    """A made cell's frames at the protocol's size: (F, S, S, 3) uint8."""
    frames, side = read_frames(cell.folder), cell.protocol.size
    return np.stack([resize(frame, side, side) for frame in frames])  # (F, S, S, 3)


def _make(cell: Cell, case: tasks.Case) -> None:
    chosen = settled(cell.entry, tasks.get(cell.protocol.task), cell.options.online)
    request = request_of(cell.protocol, cell.seed, cell.options, chosen)
    began = time.process_time()  # of all threads of this process
    plan = check(replace(request, inputs=case.inputs))
    _check_machine(cell, plan.memory)
    for name in (RECORD, TRACE):
        (cell.folder / name).unlink(missing_ok=True)
    shutil.rmtree(cell.folder / FRAMES, ignore_errors=True)
    result = plan.execute(cell.folder)
    seconds = time.process_time() - began
    media.write_frames(cell.folder / FRAMES, result.frames)
    write_json(cell.folder / RECORD, _record(cell, case, chosen.spec, result, seconds))  # last: the cell is made


def _check_machine(cell: Cell, plan: Plan) -> None:
    """A cluster's machine must compute as the one that planned the cell: its key says how.

    Raises:
        UserError: it would compute otherwise.
    """
    here = (plan.device, plan.dtype, plan.autocast)
    other = "start the benchmark on a machine of the same kind, or with gpu=cpu"
    if cell.computed_in and here != cell.computed_in:
        raise UserError(f"planned for {cell.computed_in[:2]}, but this machine would compute in {here[:2]}: {other}")
    facts = {} if plan.device == "cpu" else _plan_facts(plan)
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
        "inputs_used": facts["inputs_used"],
        "size": facts["size"],
        "plan": facts["plan"],
        "threads": _threads(),
    }


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _measure(cell: Cell, case: tasks.Case) -> None:
    metrics = metrics_of(cell.protocol, cell.options)
    if cell.figures(metrics.key) is not None:
        return
    inputs, video = case.inputs, video_of(cell)
    figures = metrics.video(
        video,
        driving=inputs.driving.frames if inputs.driving else None,
        truth=case.truth,
        reference=inputs.reference.frames[0] if inputs.reference else None,
        prompt=inputs.prompt,
    )
    write_json(cell.figures_path(metrics.key), {"metrics": metrics.key, "figures": dict(figures)})
