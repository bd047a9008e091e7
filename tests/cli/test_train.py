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

    known, spec = dict(registry._scan()[0]), registry.spec("warp")
    spec = replace(spec, trainer="own_trainer:train", train_config="own_trainer:Options")
    known["warp"] = replace(known["warp"], spec=spec)
    monkeypatch.setattr(registry, "_scan", lambda: (known, ()))
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
    ],
)
def test_mistakes_get_one_line(cli, work, trainer, words, says):
    code, out, err = cli("train", "gpu=cpu", *words)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
    assert not trainer
