"""Several processes train what one does with as many batches to a step, agree on a stop, and one of them writes."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from motionkit.training.loop import LoopSettings
from motionkit.training.workers import Workers
from tests.training import two_processes

BATCH_NORM = ("running", "num_batches")  # buffers that saw the batches of one process only
SCRIPT = Path(__file__).with_name("two_processes.py")


def launch(*words):
    """Runs the script in two processes; returns what they print."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(SCRIPT)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def same(one, two, but=()):
    assert one.keys() == two.keys() and one
    for name in one:
        if not any(part in name for part in but):
            torch.testing.assert_close(one[name], two[name], atol=1e-6, rtol=1e-5)


def test_alone_nothing_is_asked_of_others(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    workers, weight = Workers(), torch.nn.Parameter(torch.ones(2))
    workers.average([weight])
    assert (workers.rank, workers.world, weight.grad) == (0, 1, None)
    assert workers.any(True) and not workers.any(False)
    with workers.first_alone():
        workers.wait()


def test_several_of_accelerate_that_are_one_are_told(monkeypatch, caplog):
    from argparse import Namespace

    launch = pytest.importorskip("accelerate.utils.launch")
    asked = dict.fromkeys(
        "no_python module mpirun_hostfile debug main_process_ip main_process_port use_mps_device".split()
    )
    asked |= dict.fromkeys("dynamo_backend dynamo_mode".split(), "no") | dict.fromkeys("gpu_ids".split(), "all")
    asked |= {"cpu": True, "use_cpu": True, "num_machines": 1, "mixed_precision": "no", "training_script": "x"}
    asked |= {"training_script_args": [], "num_cpu_threads_per_process": 1, "enable_cpu_affinity": False}
    asked |= {f"dynamo_use_{word}": False for word in ("fullgraph", "dynamic", "regional_compilation")}
    for count, told in ((2, True), (1, False)):
        caplog.clear()
        monkeypatch.setattr(os, "environ", dict(os.environ))
        _, environment = launch.prepare_simple_launcher_cmd_env(Namespace(**asked, num_processes=count))
        with monkeypatch.context() as patched:
            patched.setattr(os, "environ", environment)
            assert Workers("cpu").world == 1
        assert ("torchrun" in caplog.text) == told


def test_two_processes_are_one_with_two_batches_to_a_step(tmp_path):
    said = launch("loop", tmp_path / "two")
    assert "rank 0 done" in said and "rank 1 done" in said
    one = two_processes.small(tmp_path / "one", accumulate=2).run().state_dict()
    first, second = (torch.load(tmp_path / "two" / f"rank{i}.pt", weights_only=True) for i in range(2))
    same(first, one, but=BATCH_NORM)
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
    assert len((tmp_path / "two" / "curve.csv").read_text().split()) == 5 and not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_after_the_same_step(tmp_path):
    said = launch("loop", tmp_path, 1)  # process 1 gets it in step 1
    assert all(f"rank {i} cancelled: stopped after step 2 of 4" in said for i in range(2)), said
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2
    resumed = two_processes.small(tmp_path, accumulate=2)
    resumed.to_the_end()
    assert resumed.finished and len((tmp_path / "curve.csv").read_text().split()) == 5


@pytest.mark.slow
def test_two_processes_train_a_sketch_lora(tmp_path):
    from motionkit.sprites.export import write_drawings

    write_drawings(tmp_path / "clips", 3, frames=3, size=32)
    said = launch("flipsketch", tmp_path / "two", tmp_path / "clips")
    assert "after 2 steps" in said and "process 1 ended" in said
    two_processes.flipsketch(tmp_path / "one", tmp_path / "clips", accumulate=2)
    same(*(load_file(tmp_path / n / "lora.safetensors") for n in ("one", "two")))


@pytest.mark.slow
def test_two_processes_train_keypoints_and_flow(tmp_path, monkeypatch):
    from motionkit.methods.anamodiff import train

    said = launch("anamodiff", tmp_path / "two", 1.0)
    assert "warp error" in said and "process 1 ended" in said
    monkeypatch.setattr(train, "LoopSettings", partial(LoopSettings, accumulate=2))
    two_processes.anamodiff(tmp_path / "one", 1.0)
    for file in ("keypoints.safetensors", "lofnet.safetensors"):
        same(*(load_file(tmp_path / n / file) for n in ("one", "two")), but=BATCH_NORM)
    assert "process 1 ended" in launch("anamodiff", tmp_path / "both")
    assert (tmp_path / "both" / "flow" / "last.pt").is_file()


def test_gradients_are_exchanged_in_buckets(monkeypatch):
    from torch import nn

    from motionkit.training import workers

    parameters = [nn.Parameter(torch.zeros(n)) for n in (10, 20, 5, 400, 3)]
    parameters.append(nn.Parameter(torch.zeros(4, dtype=torch.float64)))
    for i, parameter in enumerate(parameters[:-1]):
        parameter.grad = torch.full_like(parameter, float(i))
    held = list(workers.buckets(parameters, size=150))
    assert [[len(g) for g in bucket] for bucket in held] == [[10, 20, 5], [400], [3], [4]]
    assert parameters[-1].grad is not None and held[-1][0].dtype == torch.float64  # a missing one is zero
    sent = []
    monkeypatch.setattr(workers.dist, "all_reduce", lambda flat: sent.append(flat.numel()) or flat.mul_(6))
    two = workers.Workers()
    two.world = 2
    two.average(parameters)
    assert sent == [438, 4]  # five small ones at once, the other type by itself
    assert [float(p.grad[0]) for p in parameters] == [0.0, 3.0, 6.0, 9.0, 12.0, 0.0]
