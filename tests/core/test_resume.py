"""A run that is killed without warning leaves no half file and goes on from its last checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_methods

from motionkit.running.execute import execute

SCRIPT = """
import sys
from motionkit import media
from motionkit.running.execute import execute
from motionkit.transfer import Inputs
import fake_methods
from conftest import moving_square
frames = moving_square()
inputs = Inputs(media.from_frames(frames[0], is_image=True, name="ref"), media.from_frames(frames, 6.0, "drive"))
execute(fake_methods.SPEC, inputs, config={"fit": {"steps": 6, "pause": 0.4}}, size=32, folder=sys.argv[1])
"""


def start(tmp_path):
    """A slow run in a process that can be killed."""
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": str(here), "BLEND_LOG": str(tmp_path / "log"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "run")], env=environment)


def steps(tmp_path):
    log = tmp_path / "log"
    return log.read_text().split("\n")[:-1] if log.exists() else []


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path, own_cache, inputs, monkeypatch):
    killed = start(tmp_path)
    deadline = time.monotonic() + 60
    while len(steps(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = len(steps(tmp_path))
    assert 3 <= before < 6
    assert not list((tmp_path / "run").glob("result*")) and not (tmp_path / "run" / "manifest.json").exists()
    assert {p.name.split("-")[0] for p in own_cache.rglob("*.safetensors")} == {"prepare", "fit"}  # fit: a checkpoint

    def go_on(folder, log, **how):
        monkeypatch.setenv("BLEND_LOG", str(log))
        config = {"fit": {"steps": 6, "pause": 0.0}}
        done = execute(fake_methods.SPEC, inputs, config=config, size=32, folder=folder, **how)
        return done.manifest["output"]["sha256"]

    resumed = go_on(tmp_path / "run", tmp_path / "log")
    # A step is logged just after its checkpoint; the kill may fall between the two, never more than one step.
    assert len(steps(tmp_path)) - before in (6 - before, 5 - before)
    assert not list(own_cache.rglob("*.partial.safetensors"))
    assert go_on(tmp_path / "whole", tmp_path / "whole log", use_cache=False) == resumed != ""
    assert len((tmp_path / "whole log").read_text().split()) >= 6
