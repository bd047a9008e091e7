"""Runners: each cell in a process of its own, on this machine or as jobs; what dies leaves its reason."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from motionkit.errors import UserError
from motionkit.table.bench import Entry
from motionkit.table.bench.engine import run
from motionkit.table.bench.runners import Cluster, Joblib, Serial, Submitit, make_runner


def row(label="obedient", **settings):
    return Entry(label, "obedient", settings=settings)


def test_serial_cells_do_not_share_a_process(small, tmp_path):
    rows = [row("hungry", megabytes=400), row("lean"), row("dead", how="die"), row("wrong", how="refuse")]
    done = run(replace(small, pairs=1), rows, tmp_path / "bench", runner=Serial(threads=1))
    hungry, lean, dead, wrong = (one.cells[0] for one in done.rows)
    assert hungry.record["rss_mb"] > lean.record["rss_mb"] + 300, "the lean cell ran after the hungry one"
    assert lean.record["threads"] == 1 and lean.figures["psnr"] > 0
    assert "SIGKILL" in dead.reason
    assert wrong.reason == "the clip is too green"


def test_joblib_runs_cells_side_by_side(small, tmp_path):
    pytest.importorskip("joblib")
    log = tmp_path / "log"
    rows = [row("good", log=str(log)), row("dead", how="die")]
    done = run(replace(small, pairs=1), rows, tmp_path / "bench", runner=Joblib(workers=2))
    assert done.rows[0].cells[0].figures["l1"] >= 0 and log.read_text() == "made\n"
    assert len(done.failed) == 1 and "SIGKILL" in done.failed[0].reason


@pytest.mark.slow
def test_submitit_s_local_executor_runs_the_cells_as_jobs(small, tmp_path):
    pytest.importorskip("submitit")
    log = tmp_path / "log"
    runner = make_runner("submitit", tmp_path / "bench", 1, 1, Cluster("local", minutes=5))
    assert isinstance(runner, Submitit)
    runner = replace(runner, poll_seconds=0.5)
    rows = [row("good", log=str(log)), row("wrong", how="refuse")]
    done = run(replace(small, pairs=1), rows, tmp_path / "bench", runner=runner)
    assert done.rows[0].cells[0].figures["l1"] >= 0 and log.read_text() == "made\n"
    assert [one.reason for one in done.failed] == ["the clip is too green"]
    assert list((tmp_path / "bench" / "jobs").glob("*_result.pkl")), "it ran as a job"
    assert not run(replace(small, pairs=1), rows[:1], tmp_path / "bench", runner=runner).failed
    assert log.read_text() == "made\n"


class EndedJob:
    job_id = "42"

    def exception(self):
        return TimeoutError("the job\nwas over its time")


def test_a_job_that_is_ended_from_outside_leaves_its_reason(small, here, light, tmp_path):
    done = run(replace(small, pairs=1), [row("good"), row("bad", how="refuse")], tmp_path / "b", runner=here)
    finished, failed = (one.cells[0].cell for one in done.rows)
    untouched = replace(finished, key="0" * 64)
    Submitit(tmp_path)._look_at(EndedJob(), [finished, failed, untouched])
    assert "job 42" in untouched.failure() and "TimeoutError" in untouched.failure()
    assert not finished.failure() and failed.failure() == "the clip is too green"


def test_cells_are_shared_among_jobs():
    cells = list(range(10))
    slurm = Submitit(Path("jobs"), 3, cluster=Cluster(cells=4))._shares(cells)
    local = Submitit(Path("jobs"), 3, cluster=Cluster("local"))._shares(cells)
    assert [len(share) for share in slurm] == [4, 4, 2] and len(local) == 3
    assert sorted(sum(slurm, [])) == sorted(sum(local, [])) == cells
    assert len(Submitit(Path("jobs"), 3, cluster=Cluster("local"))._shares(cells[:1])) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("sequential",), "unknown runner 'sequential'.*known: joblib, serial, submitit"),
        (("joblib", 0), "workers=0: give a whole number from 1 on"),
        (("serial", 1, 0), "threads=0: give a whole number from 1 on"),
        (("submitit", 1, 1, Cluster("pbs")), "unknown cluster.kind 'pbs'.*known: local, slurm"),
        (("submitit", 1, 1, Cluster(cells=0)), "cluster.cells and cluster.minutes are whole numbers from 1 on"),
    ],
)
def test_mistakes_are_one_line(given, says, tmp_path):
    pytest.importorskip("submitit")
    name, *rest = given
    with pytest.raises(UserError, match=says):
        make_runner(name, tmp_path, *rest)


@pytest.mark.parametrize("name", ["joblib", "submitit"])
def test_a_missing_extra_says_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"pip install 'motionkit\[{name}\]'"):
        make_runner(name, tmp_path)


def test_no_slurm_on_this_machine_is_one_line(small, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    runner = make_runner("submitit", tmp_path, cluster=Cluster("slurm"))
    with pytest.raises(UserError, match="cluster.kind=slurm.*cluster.kind=local"):
        run(replace(small, pairs=1), [row()], tmp_path / "bench", runner=runner)
