"""The table of cells: it resumes, a failed cell is told and tried again, and nothing is measured twice."""

from dataclasses import replace
from threading import Thread

import numpy as np
import pytest

from motionkit.errors import Cancelled, UserError
from motionkit.metrics import psnr
from motionkit.table.bench import Cell, Entry, make_case
from motionkit.table.bench.cell import perform, video_of
from motionkit.table.bench.engine import run


def row(label="obedient", **settings):
    return Entry(label, "obedient", settings=settings)


def made(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_figures_costs_and_inputs_of_each_cell(small, here, light, tmp_path):
    entry = row(roll=3)
    done = run(small, [entry, Entry("still", "still")], tmp_path / "bench", runner=here)
    assert not done.failed and [len(one.cells) for one in done.rows] == [2, 2]
    first = done.rows[0].cells[0]
    case = make_case("transfer", 0, frames=2, size=64)
    video = np.roll(case.inputs.driving.frames, 3, 2)
    assert np.array_equal(video_of(first.cell), video)
    assert first.figures["psnr"] == pytest.approx(psnr(video, case.truth))
    assert first.record["inputs_used"] == ["driving", "prompt"] and first.record["method"]["version"] == "7"
    assert 0 < first.record["cpu_seconds"] and 0 < first.record["seconds"] and first.record["rss_mb"] > 50
    assert first.record["case"]["kind"] == case.facts["kind"] and first.record["from_cache"] == []
    assert done.rows[0].values("psnr").keys() == {(0, 0), (1, 0)}


def test_a_second_start_reads_back_and_measures_again_only_under_other_metrics(small, here, light, tmp_path):
    log, told = tmp_path / "log", []
    one = run(small, [row(log=str(log))], tmp_path / "bench", runner=here)
    again = run(small, [row(log=str(log))], tmp_path / "bench", runner=here, say=told.append)
    assert made(log) == 2 and again.rows[0].values("l1") == one.rows[0].values("l1")
    assert told[1:] == ["2 cells, 0 to run"]
    run(replace(small, pairs=3), [row(log=str(log))], tmp_path / "bench", runner=here)
    assert made(log) == 3, "a larger run takes the cells of a smaller one"
    light(version=2)
    newer = run(small, [row(log=str(log))], tmp_path / "bench", runner=here)
    assert made(log) == 3 and newer.metrics.hash != one.metrics.hash and not newer.failed


def test_figures_that_lacked_weights_are_taken_once_those_are_here(small, here, light, tmp_path):
    metrics = light()
    metrics.__dict__["missing"] = {"l1": "L1 needs weights: l1.pt"}
    lacking = run(small, [row()], tmp_path / "bench", runner=here)
    assert lacking.rows[0].values("psnr") and not lacking.rows[0].values("l1")
    light()
    assert run(small, [row()], tmp_path / "bench", runner=here).rows[0].values("l1")


def test_two_starts_in_one_folder_make_each_cell_once(small, here, light, tmp_path):
    log = tmp_path / "log"
    starts = [Thread(target=run, args=(small, [row(log=str(log))], tmp_path / "bench", None, here)) for _ in range(3)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert made(log) == 2 and not run(small, [row(log=str(log))], tmp_path / "bench", runner=here).failed


def test_a_cell_that_lost_a_frame_is_made_again(small, here, light, tmp_path):
    log = tmp_path / "log"
    done = run(small, [row(log=str(log))], tmp_path / "bench", runner=here)
    next((done.rows[0].cells[0].cell.folder / "frames").iterdir()).unlink()
    run(small, [row(log=str(log))], tmp_path / "bench", runner=here)
    assert made(log) == 3


@pytest.mark.parametrize(
    ("how", "says"), [("refuse", "the clip is too green"), ("raise", "RuntimeError: a <b>bold</b> defect, in ")]
)
def test_a_failed_cell_is_told_does_not_stop_the_rest_and_is_tried_again(how, says, small, here, light, tmp_path):
    cure, told = tmp_path / "cure", []
    bad = row("bad", how=how, until=str(cure))
    done = run(small, [bad, row("good")], tmp_path / "bench", runner=here, say=told.append)
    assert len(done.failed) == 2 and all(one.reason.startswith(says) for one in done.failed)
    assert not any(one.reason for one in done.rows[1].cells)
    assert any(f"bad, case 0, seed 0: failed: {says}" in line for line in told)
    assert ((done.failed[0].cell.folder / "error.txt").exists()) == (how == "raise")
    cure.touch()
    assert not run(small, [bad, row("good")], tmp_path / "bench", runner=here).failed


def test_a_refused_row_has_its_reason_and_no_cells(small, here, light, tmp_path):
    told = []
    done = run(small, [Entry("a", "anamodiff", "animatex"), row()], tmp_path / "b", runner=here, say=told.append)
    assert done.rows[0].refused.startswith("anamodiff does not run on animatex") and not done.rows[0].cells
    assert len(done.rows[1].cells) == 2 and not done.failed and told[1].startswith("a: refused: anamodiff")


def test_equal_rows_share_their_cells(small, here, light, tmp_path):
    log = tmp_path / "log"
    done = run(small, [row("one", log=str(log)), row("two", log=str(log))], tmp_path / "bench", runner=here)
    assert made(log) == 2 and done.rows[0].values("l1") == done.rows[1].values("l1")


def test_an_interrupted_run_keeps_what_is_finished(small, here, light, tmp_path):
    log, cure = tmp_path / "log", tmp_path / "cure"
    rows = [row("good", log=str(log)), row("stop", how="stop", until=str(cure))]
    with pytest.raises(Cancelled, match="same command resumes"):
        run(small, rows, tmp_path / "bench", runner=here)
    assert made(log) == 1
    cure.touch()
    assert not run(small, rows, tmp_path / "bench", runner=here).failed and made(log) == 2


def test_cells_planned_for_another_kind_of_machine_are_not_mixed_in(small, here, light, tmp_path):
    done = run(replace(small, pairs=1), [row()], tmp_path / "bench", runner=here)
    elsewhere = replace(done.rows[0].cells[0].cell, key="f" * 64, computed_in=("cuda", "float16", None))
    assert isinstance(elsewhere, Cell)
    perform(elsewhere)
    assert elsewhere.failure().startswith("planned for ('cuda', 'float16'), but this machine would compute in")


def test_a_method_s_own_size_is_brought_to_the_protocol_s(small, here, light, tmp_path):
    protocol = replace(small, pairs=1, frames=2, size=96)
    entry = Entry("tiny", "flipsketch", "tiny-modelscope", {"sample": {"steps": 2}, "align": {"enabled": False}})
    done = run(protocol, [entry], tmp_path / "bench", runner=here)
    assert not done.failed, done.failed[0].reason
    cell = done.rows[0].cells[0]
    assert cell.record["size"] == {"height": 64, "width": 64} and video_of(cell.cell).shape == (2, 96, 96, 3)


def test_what_cannot_run_at_all_is_one_line(small, here, light, tmp_path):
    with pytest.raises(UserError, match="called 'x'"):
        run(small, [row("x"), row("x")], tmp_path / "bench", runner=here)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="not a folder"):
        run(small, [row()], tmp_path / "file" / "bench", runner=here)
