"""The scripts of benchmarks/: each can be read, and the one that measures VIDMP3's cost runs."""

from pathlib import Path

import pytest

from motionkit import registry

SCRIPTS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_can_be_read(script, path):
    module = script(path.stem)
    assert module.__doc__ and callable(module.main)


@pytest.mark.slow
def test_a_second_prompt_on_a_clip_costs_less(script):
    if "vidmp3" not in registry.names():
        pytest.skip("vidmp3 is not installed")
    small = ["--frames", "4", "--backbone", "tiny-animatediff-sd15", "--config", '{"steps": 2, "tune": {"steps": 1}}']
    speed = script("speed_vidmp3").main([*small, "--threads", "1"])
    assert 0 < speed["second_edit_s"] < speed["first_edit_s"] and speed["peak_mb"] > 100


def test_fitted_poses_are_nearer_to_the_truth_than_poses_as_they_are(script):
    fitting = script("pose_fitting").main(["--pairs", "4"])
    assert fitting["safe"]["n"] == 4 and 0 < fitting["estimated truth"]["mean"] < 3
    assert fitting["safe"]["mean"] < 6 < fitting["none"]["mean"]
