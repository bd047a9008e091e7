"""`motionkit train`: the job that a trainer gets, and who has none."""

import sys
from dataclasses import replace

import pytest

from motionkit import registry

TRAINER = """
from dataclasses import dataclass

@dataclass
class Options:
    rate: float = 0.1

JOBS = []

def train(job):
    JOBS.append(job)
    return job.folder / "weights.safetensors"
"""


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """Gives `warp` a trainer; returns the list of jobs that it got."""
    (tmp_path / "own_trainer.py").write_text(TRAINER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_trainer", raising=False)
    import own_trainer

    known, spec = dict(registry.METHODS._scan()[0]), registry.spec("warp")
    spec = replace(spec, trainer="own_trainer:train", train_config="own_trainer:Options")
    known["warp"] = replace(known["warp"], spec=spec)
    real = registry.Group._scan
    monkeypatch.setattr(registry.Group, "_scan", lambda self: (known, ()) if self is registry.METHODS else real(self))
    return own_trainer.JOBS


def test_a_trainer_gets_a_typed_job(cli, work, trainer):
    code, out, err = cli("train", "method=warp", "steps=5", "train.rate=0.5", "output=my weights", "gpu=cpu", "seed=4")
    assert code == 0, err
    (job,) = trainer
    assert (job.steps, job.seed, job.options.rate, job.data.name, job.resume) == (5, 4, 0.5, "sprites", True)
    assert job.folder == work / "my weights" and out.strip() == str(work / "my weights" / "weights.safetensors")
    assert type(job.config).__name__ == "WarpConfig" and job.plan.device == "cpu"


def test_a_folder_of_clips_is_short_for_the_group(cli, work, trainer):
    (work / "my, clips").mkdir()
    assert cli("train", "method=warp", "data=my, clips/", "gpu=cpu")[0] == 0
    assert trainer[0].data.name == "folder" and trainer[0].data.path == str(work / "my, clips")
    assert cli("train", "method=warp", "data=sprites", "data.setting=full", "gpu=cpu")[0] == 0
    assert trainer[1].data.setting == "full"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["method=still"], "still has nothing to train; these have: "),
        (["method=warp", "train.rat=1"], "unknown key 'train.rat' (did you mean 'train.rate'?)"),
        (["method=warp", "steps=abc"], "steps=abc: give a whole number"),
        (["method=warp", "data=absent/"], "data: no such folder"),
        (["method=warp", "data=spirtes"], "unknown data 'spirtes' (did you mean 'sprites'?)"),
        (["method=warp", "data=folder"], "data.path"),
        (["method=warp", "steps=0"], "steps=0: give 1 or more, or leave steps= out"),
        (["method=warp", "steps=-1"], "steps=-1: give 1 or more"),
        (["method=warp", "size=0"], "size=0: give 1 or more"),
        (["method=warp", "seed=-1"], "seed=-1 is outside 0 to 2^63 - 1"),
        (["method=warp", "data.setting=nope", "output=out"], "data.setting=nope: give easy or full"),
        (["method=warp", "output="], "output= is empty"),
        (["method=warp", "tracker=tensorbord"], "tracker=tensorbord is unknown"),
        (["method=warp", "validate=-1"], "validate=-1"),
    ],
)
def test_mistakes_get_one_line(cli, work, trainer, words, says):
    code, out, err = cli("train", "gpu=cpu", *words)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
    assert not trainer and not (work / "out").exists() and not list(work.glob("runs/train/*"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["output=my weights"], "{work}/my weights: the same command resumes"),
        (["output=out", "resume=false"], "the same command, without resume=false, resumes"),
        ([], "the same command, with output={work}/runs/train/"),
    ],
    ids=["named", "again", "unnamed"],
)
def test_ctrl_c_says_how_to_go_on(cli, work, trainer, monkeypatch, words, says):
    def stop(job):
        job.folder.mkdir(exist_ok=True)
        (job.folder / "last.pt").write_text("")
        job.progress.tick("train", 1, 5)  # from here on nothing is refused
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["own_trainer"], "train", stop)
    code, out, err = cli("train", "method=warp", "gpu=cpu", *words)
    plan, *_, line = err.splitlines()
    assert (code, out) == (130, "") and line.startswith("motionkit: cancelled; ") and plan.startswith("gpu=cpu: ")
    assert says.format(work=work) in line


def test_ctrl_c_before_anything_was_kept_leaves_no_folder(cli, work, trainer, monkeypatch):
    def stop(job):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["own_trainer"], "train", stop)
    code, _, err = cli("train", "method=warp", "gpu=cpu")
    assert code == 130 and "cancelled before" in err and not list(work.glob("runs/train/*"))


def test_a_configuration_is_shown_without_a_method(cli, work):
    code, out, _ = cli("train", "--cfg", "job")
    assert code == 0 and "steps: null" in out
