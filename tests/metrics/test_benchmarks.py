"""The quality benchmarks at small size: what they ask for, what they keep, what they conclude."""

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from motionkit import registry
from motionkit.errors import UserError
from motionkit.metrics import bootstrap_interval, clipscorer
from motionkit.sprites import TRAIN_KINDS, TRAIN_MOTIONS
from motionkit.sprites.sampling import split_of

shipped = pytest.mark.skipif(not clipscorer.available(), reason="the judge's weights are not in this checkout")


FOLDER = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))  # as for a script that is run there


def script(name):
    path = FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


flip, video, common = script("quality_flipsketch"), script("quality_pocket_modelscope"), sys.modules["common"]


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(common, "bootstrap_interval", partial(bootstrap_interval, resamples=100))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_script_can_be_read(path):
    module = script(path.stem)
    assert module.__doc__ and (path.stem == "common" or callable(module.main))


def test_subject_masks_grow_by_two_pixels_each_way():
    mask = np.zeros((1, 9, 9), bool)
    mask[0, 4, 4] = True
    grown = common.grown(mask)
    assert sorted(zip(*np.nonzero(grown[0]), strict=True)) == [(2, 4), (4, 2), (4, 4), (4, 6), (6, 4)]
    assert mask.sum() == 1


def test_sketches_are_held_out_first_frames_with_their_prompt():
    sketches = [flip.make_sketch(i, 0, 3) for i in range(24)]
    assert len({s.prompt for s in sketches}) == 24
    assert {s.clip.character.kind for s in sketches} == set(TRAIN_KINDS)
    assert {s.clip.motion.name for s in sketches} == set(TRAIN_MOTIONS)
    for s in sketches:
        assert split_of(s.clip.character.key) == "test" and np.array_equal(s.drawing, s.truth[0])
        assert s.clip.character.kind in s.prompt and clipscorer.motion_in(s.prompt) == s.clip.motion.name
        assert set(np.unique(s.drawing[:2])) == {255} and (s.drawing < 64).mean() > 0.01
    assert np.array_equal(flip.make_sketch(5, 0, 3).truth, sketches[5].truth)
    assert not np.array_equal(flip.make_sketch(5, 1, 3).drawing, sketches[5].drawing)


def test_cells_survive_a_stop_in_the_middle_of_a_line(tmp_path):
    clip = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    cells = flip.Cells(tmp_path)
    cells.put("aa", clip, {"seconds": 1.5})
    with (tmp_path / "cells.jsonl").open("a") as out:
        out.write('{"key": "bb", "seco')
    again = flip.Cells(tmp_path)
    kept, row = again.get("aa")
    assert np.array_equal(kept, clip) and row["seconds"] == 1.5 and again.get("bb") is None
    (tmp_path / "aa.npz").unlink()
    assert flip.Cells(tmp_path).get("aa") is None


def test_settings_merge_without_losing_their_neighbours():
    assert flip.merged({"align": {"updates": 3}, "a": 1}, {"align": {"enabled": False}, "b": 2}) == {
        "align": {"updates": 3, "enabled": False},
        "a": 1,
        "b": 2,
    }
    assert flip.variants_of("no-spatial,best") == (["best"], ["no-spatial"])
    with pytest.raises(UserError, match="no variant 'fast'"):
        flip.variants_of("best,fast")


def test_directions_are_read_off_paired_differences(capsys):
    high, low = ({i: {"consistency": base + i / 10} for i in range(6)} for base in (0.4, 0.3))
    rows = {"no-align": high, "no-composition": low}
    seen = flip.direction(rows, "consistency", "no-composition", "no-align", -1, "it loses")
    assert seen["verdict"] == "seen" and seen["n"] == 6 and seen["difference"][0] == pytest.approx(-0.1)
    assert flip.direction(rows, "consistency", "no-composition", "no-align", 1, "it wins")["verdict"] == "not seen"
    mixed = {i: {"consistency": cell["consistency"] + (0.3 if i == 0 else -0.02)} for i, cell in high.items()}
    found = flip.direction({"a": mixed, "b": high}, "consistency", "a", "b", 1, "it wins")
    assert found["verdict"] == "in direction"
    assert flip.direction(rows, "consistency", "best", "no-align", 1, "nothing to compare") is None
    few = {name: dict(list(cells.items())[:2]) for name, cells in rows.items()}
    said = flip.direction(few, "consistency", "no-composition", "no-align", -1, "it loses")
    assert said["verdict"] == "too few"


@shipped
def test_a_table_is_made_once_and_then_read_back(tmp_path, monkeypatch, capsys):
    """The bounds bound: the method is played by a clip that is the truth with a mistake."""
    asked = []

    def execute(method, inputs, **options):
        asked.append((method, options["config"], inputs.prompt))
        sketch = next(s for s in (flip.make_sketch(i, 0) for i in range(2)) if s.prompt == inputs.prompt)
        frames = sketch.truth.copy()
        if options["config"].get("compose"):
            frames[3:] = frames[3:, :, ::-1]  # another posture: an ablation that hurts
        return SimpleNamespace(frames=frames)

    monkeypatch.setattr(flip, "execute", execute)
    monkeypatch.setattr(flip.registry, "spec", lambda name: SimpleNamespace(version="1"))
    argv = [
        "--pairs",
        "2",
        "--ablations",
        "1",
        "--folder",
        str(tmp_path),
        "--backbone",
        "tiny-modelscope",
        "--variants",
        "best,no-align,no-composition",
        "--sheet",
        str(tmp_path / "sheet.png"),
    ]
    first = flip.main(argv)
    assert len(asked) == 2 + 2 + 1 and asked[0][0] == "flipsketch" and (tmp_path / "sheet.png").is_file()
    assert first["consistency"]["still"][0] > 0.999 and first["motion_over_truth"]["still"][0] == 0
    assert first["motion_over_truth"]["truth"][0] == 1 and first["motion_agreement"]["truth"][0] > 0.5
    assert first["consistency"]["truth"] == first["consistency"]["best"] and first["first_frame_ink"]["best"][0] == 1
    assert first["consistency"]["no-composition"][0] < first["consistency"]["no-align"][0]
    assert {d["figure"] for d in first["directions"]} == {"consistency", "consistency_early"}
    again = flip.main(argv)
    assert len(asked) == 5 and again == first  # nothing was run again
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n"] == 2


@pytest.mark.slow
@shipped
def test_flipsketch_itself_at_small_size(tmp_path):
    if "flipsketch" not in registry.names():
        pytest.skip("flipsketch is not installed")
    out = flip.main(
        [
            "--pairs",
            "1",
            "--ablations",
            "1",
            "--frames",
            "4",
            "--backbone",
            "tiny-modelscope",
            "--folder",
            str(tmp_path),
            "--config",
            '{"sample": {"steps": 2}, "align": {"updates": 1}}',
        ]
    )
    assert {"best", "no-align", "no-composition", "lambda-1", "truth", "still"} <= out["consistency"].keys()


def test_captions_name_what_is_counted():
    asked = video.captions(60, 0, False) + video.captions(20, 0, True)
    assert {a.kind for a in asked} == set(TRAIN_KINDS) and {a.motion for a in asked[:60]} == set(TRAIN_MOTIONS)
    for a in asked:
        assert a.kind in a.caption and clipscorer.motion_in(a.caption) == a.motion
        assert ("drawing" in a.caption) == a.drawing and (a.colour in a.caption) != a.drawing
    assert video.captions(5, 0, False) == video.captions(60, 0, False)[:5]


@shipped
def test_samples_of_a_text_to_video_model_are_counted(tmp_path, capsys):
    argv = [
        "--captions",
        "2",
        "--drawings",
        "1",
        "--steps",
        "1",
        "--backbone",
        "tiny-modelscope",
        "--folder",
        str(tmp_path),
        "--sheet",
        str(tmp_path / "s.png"),
    ]
    out = video.main(argv)
    assert out["colour"]["n"] == 2 and out["drawings"]["n"] == 1 and "colour_right" not in out["drawings"]
    assert out["colour"]["both_right"][0] <= min(out["colour"][k][0] for k in ("kind_right", "motion_right"))
    assert out["judge_accuracy"] and (tmp_path / "s.png").is_file()
    assert len(list(tmp_path.glob("*.npz"))) == 3 and video.main(argv) == out
