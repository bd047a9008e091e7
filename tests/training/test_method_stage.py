"""A method's own trainer as a stage: variants, what is kept, what is not repeated, and the weights it sees."""

import json
import shutil
import sys

import pytest

from motionkit.errors import UserError
from motionkit.training.recipes import method_stage
from motionkit.training.recipes.assembled import NOT_SHIPPED, assemble
from motionkit.training.recipes.stage import UNFINISHED
from motionkit.training.recipes.stages import STAGES

# Stands in for `python -m motionkit`: writes what it was given, and what a trainer would leave.
TRAINER = """
import json, os, pathlib, sys
words = dict(w.split("=", 1) for w in sys.argv[2:])
folder = pathlib.Path(words["output"])
folder.mkdir(parents=True, exist_ok=True)
(folder / "lora.safetensors").write_text(json.dumps([words, sorted(os.listdir(os.environ["MOTIONKIT_ASSETS"]))]))
if words.get("seed") == "13":
    raise SystemExit(1)
(folder / "record.json").write_text(json.dumps({"steps": 3, "seconds": 1, "figures": {"error": 0.5}, "options": {}}))
"""


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    """A set with latents of its own, in the current folder, and a trainer that takes no time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fake" / "motionkit").mkdir(parents=True)
    (tmp_path / "fake" / "motionkit" / "__main__.py").write_text(TRAINER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    folder = tmp_path / "set"
    for name in ("pocket-sd", "pocket-modelscope"):
        (folder / name).mkdir(parents=True)
        (folder / name / "scheduler.json").write_text("{}")
    return folder


def _run(monkeypatch, *words):
    command = ["method_stage", "--folder", "runs/lora", "--set", "set", "--needs", "pocket-modelscope", *words]
    monkeypatch.setattr(sys, "argv", command)
    method_stage.main()


def test_variants_get_the_common_words_first():
    found = method_stage.variants(["method=a", "steps=2", "variant:full", "variant:none", "indicator=false"])
    assert found == {"full": ["method=a", "steps=2"], "none": ["method=a", "steps=2", "indicator=false"]}
    assert method_stage.variants(["method=a"]) == {"": ["method=a"]}


def test_a_training_leaves_its_file_and_its_record(small_set, monkeypatch):
    take = ("--take", "lora.safetensors", "flipsketch/lora.safetensors")
    _run(monkeypatch, *take, "--", "method=flipsketch", "steps=3")
    words, assets = json.loads((small_set / "flipsketch" / "lora.safetensors").read_text())
    assert words["method"] == "flipsketch" and words["gpu"] == "cpu"
    assert {"pocket-modelscope", "judges"} <= set(assets)
    assert "pocket-animatediff" not in assets  # nothing old is mixed in
    record = json.loads((small_set / "records" / "lora.json").read_text())
    assert record["figures"] == {"error": 0.5} and "method=flipsketch" in record["words"]


def test_what_is_finished_is_not_repeated(small_set, monkeypatch, tmp_path):
    words = ("--", "method=animatex", "seed=1", "variant:one", "variant:two", "seed=13")
    with pytest.raises(UserError, match="record"):
        _run(monkeypatch, *words)
    assert not (small_set / "records" / "lora.json").exists()
    (tmp_path / "runs" / "lora" / "one" / "lora.safetensors").unlink()
    _run(monkeypatch, *words[:-1])
    assert not (tmp_path / "runs" / "lora" / "one" / "lora.safetensors").exists()  # it was not trained again
    record = json.loads((small_set / "records" / "lora.json").read_text())
    assert set(record["variants"]) == {"one", "two"}


def test_a_stage_without_what_it_stands_on_is_refused(small_set, monkeypatch):
    with pytest.raises(UserError, match="train-pocket"):
        _run(monkeypatch, "--needs", "pocket-animatex", "--", "method=animatex")


def test_a_stage_of_a_set_without_latents_stands_on_what_is_shipped(small_set, monkeypatch):
    shutil.rmtree(small_set)
    take = ("--needs", "pocket-animatex", "--take", "lora.safetensors", "flipsketch/lora.safetensors")
    _run(monkeypatch, *take, "--", "method=flipsketch", "steps=3")
    _, assets = json.loads((small_set / "flipsketch" / "lora.safetensors").read_text())
    assert {"pocket-sd", "pocket-animatex", "judges"} <= set(assets)
    with pytest.raises(UserError, match="train-pocket"):
        _run(monkeypatch, "--needs", "pocket-nothing", "--", "method=animatex")


def test_a_signal_goes_to_the_trainer(small_set, monkeypatch, tmp_path):
    import os
    import signal
    import threading

    waits = TRAINER + "\nimport signal, time\nsignal.signal(signal.SIGTERM, lambda *a: exit(130))\n"
    waits = (
        waits.replace('(folder / "record.json")', '(folder / "not yet")') + "(folder / 'up').touch(); time.sleep(60)"
    )
    (tmp_path / "fake" / "motionkit" / "__main__.py").write_text(waits)

    def stop():
        while not (tmp_path / "runs" / "lora" / "up").exists():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(SystemExit) as ended:
        _run(monkeypatch, "--", "method=animatex")
    assert ended.value.code == UNFINISHED and not (small_set / "records").exists()


def test_the_set_as_if_it_were_shipped(tmp_path):
    package, chosen = tmp_path / "package", tmp_path / "set"
    for file in ("judges/pose.safetensors", "anamodiff/keypoints.safetensors", "anamodiff/lofnet.safetensors"):
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text("old")
    for file in ("anamodiff/keypoints.safetensors", "pocket-sd/unet/model", *(f"{n}/x" for n in NOT_SHIPPED)):
        (chosen / file).parent.mkdir(parents=True, exist_ok=True)
        (chosen / file).write_text("new")
    made = assemble(chosen, tmp_path / "assets", package)
    found = {str(p.relative_to(made)): p.read_text() for p in made.rglob("*") if p.is_file()}
    assert found == {
        "judges/pose.safetensors": "old",
        "anamodiff/keypoints.safetensors": "new",  # the flow network on other latents is left out
        "pocket-sd/unet/model": "new",
    }
    assert (package / "anamodiff" / "keypoints.safetensors").read_text() == "old"


def test_the_queue_names_real_settings():
    from motionkit.methods.animatex.train_config import TrainOptions as Animate
    from motionkit.methods.flipsketch.train_config import TrainOptions as Sketch

    known = {"animatex": Animate, "flipsketch": Sketch}
    for stage in (s for s in STAGES if s.module.endswith("method_stage")):
        words = list(stage.options[stage.options.index("--") + 1 :])
        for name, given in method_stage.variants(words).items():
            values = dict(word.split("=", 1) for word in given)
            options = known[values["method"]]
            for key in (k.removeprefix("train.").split(".")[0] for k in values if k.startswith("train.")):
                assert key in options.__dataclass_fields__, (stage.name, name, key)
