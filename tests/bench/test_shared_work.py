"""Several starts in one folder share the cells: none waits while another cell is free, none is made twice."""

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from threading import Thread

from motionkit.table.bench import Entry
from motionkit.table.bench.cell import perform
from motionkit.table.bench.engine import run
from motionkit.table.bench.planned import Turn, cells_of
from motionkit.table.bench.runners import Serial

START = [sys.executable, "-c", "import sys; from motionkit.cli import main; sys.exit(main(sys.argv[1:]))"]


def row(label="obedient", **settings):
    return Entry(label, "obedient", settings=settings)


def test_two_processes_share_the_cells_of_tiny_backbones(tmp_path):
    log = tmp_path / "log"
    words = ["bench", "bench.pairs=4", "bench.frames=2", "bench.size=64", "gpu=cpu", "threads=1", "output=out"]
    words += ["methods=[obedient,flipsketch]", "backbones=[tiny-modelscope]", f"settings.obedient.log={log}"]
    words += ["settings.obedient.seconds=4", "settings.flipsketch.sample.steps=1"]
    words += ["settings.flipsketch.align.enabled=false"]
    starts = [subprocess.Popen([*START, *words], cwd=tmp_path, text=True, stderr=subprocess.PIPE) for _ in range(2)]
    said = [start.communicate(timeout=600)[1] for start in starts]
    assert [start.returncode for start in starts] == [0, 0], said
    made = Counter(log.read_text().split("\n")[:-1])
    assert sum(made.values()) == 4, "each cell once"
    assert len(made) == 2, "both took some"
    tables = list((tmp_path / "out").glob("results-*/results.json"))
    assert len(tables) == 1 and not any(cell["reason"] for cell in json.loads(tables[0].read_text())["cells"])


def test_a_cell_that_another_is_at_work_on_is_left_for_later(small, here, light, tmp_path):
    cells = cells_of(row(), small, tmp_path / "b")
    with cells[0].kept.alone() as held:
        assert held and cells[0].kept.is_busy and not cells[1].kept.is_busy
        perform(replace(cells[0], turn=Turn("", cells[0].last_try)))  # comes back at once
        assert not cells[0].is_made
    assert not cells[0].kept.is_busy


def test_it_waits_for_what_is_left_and_does_not_make_it_again(small, here, light, tmp_path):
    log, order = tmp_path / "log", []
    entry = row(log=str(log))
    first = cells_of(entry, small, (tmp_path / "b").absolute())[0]

    def hold():
        with first.kept.alone():
            order.append("held")
            time.sleep(1.5)
            order.append("released")

    other = Thread(target=hold)
    other.start()
    while not order:
        time.sleep(0.01)
    done = run(small, [entry], tmp_path / "b", runner=here, say=order.append)
    other.join()
    assert not done.failed and log.read_text().count("made") == 2
    assert order[0] == "held" and "case 1" in order[3] and order.index("released") > 3
    assert "case 0" in order[-1]


def test_a_cell_that_another_start_failed_at_meanwhile_is_not_tried_again(small, here, light, tmp_path):
    entry = row(how="raise", until=str(tmp_path / "cure"))
    cell = cells_of(entry, replace(small, pairs=1), tmp_path / "b")[0]
    mine = replace(cell, turn=Turn("", cell.last_try, wait=True))  # planned before the other failed
    perform(cell)
    (tmp_path / "cure").touch()  # a try now would not fail
    perform(mine)
    assert mine.has_ended and mine.failure().startswith("RuntimeError") and not mine.is_made
    perform(replace(mine, turn=Turn("", mine.last_try)))  # the next start tries again
    assert mine.is_made and not mine.failure()


def test_no_process_is_started_for_a_cell_that_is_busy_or_has_ended(small, light, tmp_path, monkeypatch):
    from motionkit.table.bench import isolation

    monkeypatch.setattr(isolation.multiprocessing, "get_context", None)
    cell = cells_of(row(), replace(small, pairs=1), tmp_path / "b")[0]
    mine = replace(cell, turn=Turn("", cell.last_try))
    with cell.kept.alone():
        assert list(Serial().run([mine])) == [mine]
    cell.fail("it could not be")
    assert list(Serial().run([mine])) == [mine]
