"""`motionkit.compare` and `motionkit.bench`, beside the old modules of the same names."""

import importlib
import inspect
import subprocess
import sys

import pytest
from PIL import Image

import motionkit
from motionkit.errors import UserError


def test_compare_as_a_function(inputs, tmp_path):
    methods, picture = ["still", "warp"], Image.fromarray(inputs.reference.frames[0])
    done = motionkit.compare(
        methods, picture, inputs.driving, truth=inputs.driving, folder=tmp_path, gpu="cpu", num_frames=4
    )
    assert len(repr(done)) < 200 and "still, warp" in repr(done) and "video/mp4" in done._repr_html_()
    assert done.report.is_file() and [entry.name for entry in done.entries] == methods and not done.failed
    for words, says in (
        ({"num_inference_steps": 3}, "settings="),
        ({"nothing": 3}, "unknown keyword 'nothing'"),
        ({"methods": [motionkit.load("still")]}, "give names"),
        ({"settings": {"warp": {"nothing": 1}}}, "settings.warp.nothing"),
    ):
        with pytest.raises(UserError, match=says):
            given = {"methods": methods, "reference": picture, "driving": inputs.driving} | words
            motionkit.compare(folder=tmp_path, gpu="cpu", **given)
    with pytest.raises(UserError, match="truth is a int"):
        motionkit.compare(methods, picture, inputs.driving, truth=3, folder=tmp_path, gpu="cpu")


def test_bench_as_a_function(tmp_path):
    done = motionkit.bench(["still"], pairs=1, frames=4, size=64, folder=tmp_path, gpu="cpu")
    assert done.page.is_file() and not done.outcome.failed
    assert [row.entry.label for row in done.outcome.rows] == ["still"]
    assert len(repr(done)) < 200 and "sprites of still" in repr(done) and "image/png" in done._repr_html_()
    again = motionkit.bench("still", pairs=1, frames=4, size=64, folder=tmp_path, gpu="cpu")
    assert again.page == done.page
    for words, says in (({"name": "sprits"}, "did you mean 'sprites'"), ({"pairs": 0}, "bench.pairs=0")):
        with pytest.raises(UserError, match=says):
            motionkit.bench(["still"], folder=tmp_path, **words)


@pytest.mark.parametrize(("name", "word"), [("compare", "Cell"), ("bench", "Entry")])
def test_the_old_module_of_the_same_name_does_not_take_the_functions_place(name, word):
    sys.modules.pop(f"motionkit.{name}", None)
    with pytest.warns(FutureWarning, match=f"motionkit.table.{name}"):
        module = importlib.import_module(f"motionkit.{name}")
    assert inspect.ismodule(module) and module is importlib.import_module(f"motionkit.table.{name}")
    function = getattr(motionkit, name)
    assert callable(function) and function is getattr(motionkit, name)
    assert "methods" in inspect.signature(function).parameters
    with pytest.warns(FutureWarning, match=f"motionkit.table.{name}"):
        assert getattr(function, word) is getattr(module, word)
    assert not hasattr(function, "_no_such_name")


def test_every_way_in_which_a_plugin_of_version_0_1_imports_it():
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import motionkit.compare as old; from motionkit.compare import Cell; import motionkit.compare\n"
        "import motionkit.table.compare as new\n"
        "assert old.Cell is Cell is new.Cell is motionkit.compare.Cell\n"
        "from motionkit import compare\n"
        "assert callable(compare) and 'driving' in __import__('inspect').signature(compare).parameters\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
