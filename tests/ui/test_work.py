"""The line of jobs: one at a time, in order; cancelled is not failed; a defect does not stop the others."""

import threading
import time

import numpy as np
import pytest

from motionkit.errors import UserError
from motionkit.ui.work import CANCELLED, DONE, FAILED, OVER, RUNNING, WAITING, Job, Line, Watch


def until(said, seconds=10):
    for _ in range(int(seconds / 0.01)):
        if said():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")


def over(job):
    until(lambda: job.state in OVER)
    return job.state


def test_one_job_runs_at_a_time_and_the_others_know_their_place():
    line, go, inside = Line(), threading.Event(), []

    def work(job):
        inside.append(job)
        assert len(inside) == 1
        go.wait(10)
        inside.remove(job)

    jobs = [line.add(Job(str(number), work)) for number in range(3)]
    until(lambda: jobs[0].state == RUNNING)
    assert [job.state for job in jobs] == [RUNNING, WAITING, WAITING] and [line.before(job) for job in jobs] == [
        0,
        1,
        2,
    ]
    go.set()
    assert [over(job) for job in jobs] == [DONE] * 3


def test_cancel_reads_as_cancelled_waiting_or_running():
    from motionkit.context import Reporter

    line = Line()

    def work(job):
        reporter = Reporter(job.watch)
        for step in range(10_000):
            reporter.tick("denoise", step, 10_000)
            time.sleep(0.001)

    running, waiting = line.add(Job("a", work)), line.add(Job("b", work))
    until(lambda: running.watch.facts())
    line.cancel(waiting.id)
    line.cancel(running.id)
    line.cancel("no such job")
    assert over(running) == over(waiting) == CANCELLED and running.line == ""
    assert over(line.add(Job("c", lambda job: None))) == DONE


def test_a_cancelled_job_never_starts_whatever_the_moment():
    line, ran = Line(), []
    jobs = [line.add(Job(str(number), lambda job: ran.append(job))) for number in range(200)]
    for job in jobs:
        line.cancel(job.id)
    for job in jobs:
        over(job)
    assert {job.state for job in jobs} <= {DONE, CANCELLED}
    until(lambda: line.idle)
    assert [job for job in jobs if job.state == DONE] == ran  # what reads as cancelled did not run to its end


def test_what_is_shown_is_a_copy_that_nothing_changes_any_more():
    from motionkit.ui.showing import view

    line, stop, problems = Line(), threading.Event(), []

    def work(job):
        rows = [{"state": "waiting"}]
        for number in range(3000):
            rows[0]["state"] = str(number)
            job.show(**{f"name{number}": rows, "rows": rows})
            job.add({"method": number, "rows": rows})
            job.watch.start("stage", 2)
        stop.set()

    job = line.add(Job("a", work))
    while not stop.is_set() and job.state not in OVER and not problems:
        state = view(line, job)
        problems += [one for one in state["cells"] if one["rows"][0]["state"] != str(one["method"])]
    assert over(job) == DONE and not problems
    first = view(line, job)
    first["rows"][0]["state"] = "changed"
    assert view(line, job)["rows"][0]["state"] == "2999"


@pytest.mark.parametrize(("error", "said"), [(UserError("give\n a clip"), "give a clip"), (ValueError("x"), "defect")])
def test_a_failure_is_one_line(error, said, caplog):
    line = Line()

    def work(job):
        raise error

    job = line.add(Job("a", work))
    assert over(job) == FAILED and said in job.line and "\n" not in job.line


def test_stages_say_how_long_is_left_and_what_it_looks_like():
    watch = Watch()
    watch.start("denoise", 10)
    watch.stages[0]["began"] -= 5
    watch.step("denoise", 5, np.zeros((4, 8, 3), np.uint8))
    stage = watch.facts()[0]
    assert stage["done"] == 5 and 4.5 < stage["left"] < 5.5 and watch.picture.startswith("data:image/png")
    watch.end("denoise")
    assert watch.facts()[0]["over"] and watch.facts()[0]["left"] is None
