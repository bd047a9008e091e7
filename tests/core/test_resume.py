"""A run that is killed without warning leaves no half file and goes on from its last checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import sys
from motionkit import media
from motionkit.running.execute import execute
from motionkit.transfer import Inputs
import fake_methods
from conftest import moving_square
frames = moving_square()
inputs = Inputs(media.from_frames(frames[0], is_image=True), media.from_frames(frames, 6.0))
config = {"fit": {"steps": 6, "pause": float(sys.argv[2])}}
print(execute(fake_methods.SPEC, inputs, config=config, size=32, folder=sys.argv[1]).manifest["output"]["sha256"])
"""


def start(tmp_path, pause):
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": str(here), "BLEND_LOG": str(tmp_path / "log"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "run"), str(pause)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def steps(tmp_path):
    log = tmp_path / "log"
    return log.read_text().split("\n")[:-1] if log.exists() else []


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path, own_cache):
    killed = start(tmp_path, pause=0.4)
    deadline = time.monotonic() + 60
    while len(steps(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = len(steps(tmp_path))
    assert 3 <= before < 6
    assert not list((tmp_path / "run").glob("result*")) and not (tmp_path / "run" / "manifest.json").exists()
    assert {p.name.split("-")[0] for p in own_cache.rglob("*.safetensors")} == {"prepare", "fit"}  # fit: a checkpoint

    resumed = start(tmp_path, pause=0)
    first_hash = resumed.communicate(timeout=60)[0]
    # A step is logged just after its checkpoint; the kill may fall between the two, never more than one step.
    assert len(steps(tmp_path)) - before in (6 - before, 5 - before)
    assert not list(own_cache.rglob("*.partial.safetensors"))

    whole = start(tmp_path / "whole", pause=0)
    (tmp_path / "whole").mkdir()
    assert whole.communicate(timeout=60)[0] == first_hash != ""
