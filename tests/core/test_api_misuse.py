"""What a notebook user may get wrong in a Python call: each thing ends in one line, or does what was meant."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import motionkit
from motionkit.errors import UserError
from motionkit.running.given_clips import clip_of
from motionkit.running.request import Request, check_values

CLIP = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def still(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return motionkit.load("still", gpu="cpu")


WRONG = {
    "fps": [float("inf")],
    "prompt": ["\udcff"],
    "start": [[1], object()],
    "output": [3],
    "folder": [3],
    "masks": [CLIP],
    "progress": [3, "terminal", object()],
    "sampler": ["nope", 3],
    "audio": ["x"],
    "use_cache": ["no", 0],
    "output_metadata": ["false"],
    "alpha": ["yes", 3],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_by_its_name(still, name, value):
    with pytest.raises(UserError, match=name):
        still(CLIP, CLIP, frames=4, **{name: value})


@pytest.mark.parametrize(
    "value", [torch.rand(4, 3, 32, 32, device="meta"), torch.rand(4, 3).to_sparse()], ids=["meta", "sparse"]
)
def test_a_tensor_without_plain_numbers_is_no_clip(value):
    with pytest.raises(UserError, match="dense"):
        clip_of(value, "driving")


@pytest.mark.parametrize("name", [3, None, ["still"], object()])
def test_a_method_is_given_by_its_name(name):
    with pytest.raises(UserError, match="name"):
        motionkit.load(name)
    with pytest.raises(UserError, match="name"):
        motionkit.compare([name], reference=CLIP, driving=CLIP)


def test_options_of_the_backbone_that_are_no_paths():
    for word, value in (("motion_adapter", 3), ("backbone_embeddings", 3)):
        with pytest.raises(UserError, match=word.removeprefix("backbone_")):
            motionkit.load("vidmp3", "tiny-animatediff-sd15", "cpu", **{word: value})
    with pytest.raises(UserError, match="KEY=VALUE"):
        motionkit.load("vidmp3", tune=3)


def test_numbers_of_numpy_are_numbers(still):
    result = still(CLIP, CLIP, seed=np.int64(3), frames=np.int32(4))
    assert (result.manifest["seed"], result.manifest["frames"]) == (3, 4)
    assert type(Request("still", seed=np.uint8(3)).seed) is int


def test_the_home_folder_is_meant_by_its_sign(still, tmp_path):
    result = still(CLIP, CLIP, frames=4, output="~/a.mp4", folder="~/run")
    result.save("~/b.gif")
    home = tmp_path / "home"
    assert all((home / name).exists() for name in ("a.mp4", "run/result.mp4", "b.gif"))
    assert not (tmp_path / "~").exists()


def test_a_picture_of_floats_from_nought_to_one_is_not_black():
    grey = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    assert np.array_equal(clip_of(Image.fromarray(grey), "reference").frames[0, ..., 0].ravel(), np.arange(256))
    with pytest.raises(UserError, match="floats"):
        clip_of(Image.fromarray(300 * grey), "reference")


def test_a_comparison_takes_any_iterable_and_says_where_it_writes(still):
    done = motionkit.compare((name for name in ["still"]), CLIP, CLIP, frames=4, gpu="cpu", folder="~/c")
    assert [entry.name for entry in done.entries] == ["still"] and "home" in str(done.folder)
    with pytest.raises(UserError, match="folder="):
        motionkit.compare(["still"], CLIP, CLIP, output="x.mp4")


@pytest.mark.parametrize(
    ("word", "value"), [("seeds", 3), ("workers", "x"), ("workers", 1.5), ("backbones", 3), ("folder", 3)]
)
def test_a_benchmark_is_refused_by_its_word(word, value):
    with pytest.raises(UserError, match=word):
        motionkit.bench(["still"], pairs=1, **{word: value})


def test_values_are_checked_before_anything_is_read():
    with pytest.raises(UserError, match="use_cache"):
        check_values(Request("still", use_cache="no"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_script_without_a_guard_runs_once(tmp_path, workers):
    """The processes of the cells do not run it again."""
    script = tmp_path / "mine.py"
    script.write_text(
        "import motionkit, numpy\nprint('begun', flush=True)\n"
        f"made = motionkit.bench(['still'], pairs=numpy.int64(2), frames=4, gpu='cpu', workers={workers})\n"
        "print(made.page.exists(), flush=True)\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout.split()) == (0, ["begun", "True"]), done.stderr
