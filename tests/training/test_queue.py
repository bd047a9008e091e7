"""The queue runs what is not finished, in order, and stops with a stage that stops or fails."""

import os
import signal
import subprocess
import sys
import time

import pytest

from motionkit.errors import UserError
from motionkit.training.recipes import queue
from motionkit.training.recipes.queue import Stage
from motionkit.training.recipes.stage import UNFINISHED


class _Script(Stage):
    """A stage that runs a line of Python."""

    def command(self, second=None, workers=None):
        return [sys.executable, "-c", self.module]


def _stage(name, folder, status=0, finishes=True):
    mark = f"import pathlib; pathlib.Path(r'{folder}', '{name}.ran').touch(); "
    end = f"p = pathlib.Path(r'{folder}', 'records'); p.mkdir(exist_ok=True); (p / '{name}.json').touch(); "
    return _Script(name, mark + (end if finishes else "") + f"raise SystemExit({status})", 1, "none")


def test_what_is_finished_is_not_run_again(tmp_path):
    stages = (_stage("a", tmp_path), _stage("b", tmp_path))
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").touch()
    assert "all" in queue.run(stages, tmp_path)
    assert not (tmp_path / "a.ran").exists() and (tmp_path / "b.ran").exists()


def test_a_stopped_stage_ends_the_run(tmp_path):
    stages = (_stage("a", tmp_path, UNFINISHED, finishes=False), _stage("b", tmp_path))
    assert "stopped in a" in queue.run(stages, tmp_path)
    assert not (tmp_path / "b.ran").exists()


@pytest.mark.parametrize(("status", "finishes"), [(1, True), (0, False)])
def test_a_failure_is_told(tmp_path, status, finishes):
    with pytest.raises(UserError, match="stage a"):
        queue.run((_stage("a", tmp_path, status, finishes), _stage("b", tmp_path)), tmp_path)
    assert not (tmp_path / "b.ran").exists()


def test_stages_have_modules_and_names_of_their_own():
    from importlib.util import find_spec

    assert len({s.name for s in queue.STAGES}) == len(queue.STAGES)
    assert all(find_spec(s.module) for s in queue.STAGES)


def test_a_signal_goes_to_the_stage(tmp_path):
    inner = (
        f"import signal, time, pathlib; signal.signal(signal.SIGTERM, lambda *a: exit({UNFINISHED})); "
        f"pathlib.Path(r'{tmp_path}', 'up').touch(); time.sleep(60)"
    )
    outer = (
        "import sys; from motionkit.training.recipes import queue\n"
        "class S(queue.Stage):\n"
        "    def command(self, second=None, workers=None): return [sys.executable, '-c', self.module]\n"
        f"import pathlib; print(queue.run((S('a', {inner!r}, 1, 'none'),), pathlib.Path(r'{tmp_path}')))"
    )
    process = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "up").exists():
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    assert "stopped in a" in process.communicate(timeout=30)[0]


def test_time_that_is_up_stops_the_stage(tmp_path):
    inner = f"import signal, time; signal.signal(signal.SIGTERM, lambda *a: exit({UNFINISHED})); time.sleep(60)"
    begun = time.monotonic()
    assert "stopped in a" in queue.run((_Script("a", inner, 1, "none"),), tmp_path, seconds=3)
    assert time.monotonic() - begun < 30


def test_a_gpu_gets_larger_batches():
    stage = next(s for s in queue.STAGES if s.name == "pocket-sd")
    plain, fast = stage.command(), stage.command(workers=12)
    assert "cuda" not in plain and "--batch" not in plain
    assert fast[fast.index("--workers") + 1] == "12" and "cuda" in fast and "--batch" in fast
