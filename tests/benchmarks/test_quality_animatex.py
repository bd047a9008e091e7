"""Animate-X's benchmark at small size: its pairs, its cells, what it concludes."""

import json
from functools import partial

import numpy as np
import pytest

from motionkit.errors import UserError
from motionkit.metrics import bootstrap_interval, pose
from motionkit.sprites import BIPEDS
from motionkit.sprites.sampling import split_of

shipped = pytest.mark.skipif(not pose.available(), reason="the judges' weights are not in this checkout")


@pytest.fixture(scope="module")
def bench(script):
    module = script("quality_animatex")
    module.bootstrap_interval = partial(bootstrap_interval, resamples=100)
    return module


def test_pairs_are_held_out_characters_driven_by_themselves_or_by_another_body(bench):
    for index in range(4):
        own, cross = (bench.make_pair(which, index, 0, 2) for which in bench.SETS)
        for pair in (own, cross):
            assert split_of(pair.truth.character.key) == "test"
            assert (pair.truth.character.kind in BIPEDS) == bool(index % 2)
        assert np.array_equal(own.reference, own.truth.frames[0]) and np.array_equal(own.driving, own.truth.frames)
        assert not np.array_equal(cross.driving, cross.truth.frames)
        again = bench.make_pair("cross", index, 0, 2)
        assert np.array_equal(again.driving, cross.driving) and again.truth.motion == cross.truth.motion


def test_the_gap_and_the_directions(bench):
    def row(**values):
        return {name: {"psnr": value} for name, value in values.items()}

    rows = {"still": row(a=17, b=15), "bound": row(a=27, b=25), "animatex": row(a=22, b=21)}
    assert bench.gap_closed(rows) == 0.55 and bench.gap_closed(rows, which="a") == 0.5
    assert bench.gap_closed({"still": {}}) is None
    pairs = [f"cross-{i}" for i in range(6)]
    rows = {
        "full": row(**dict.fromkeys(pairs, 20)),
        "no-epi": row(**dict.fromkeys(pairs, 18)),
        "no-ipi": row(**{pairs[0]: 19}),
    }
    found = {d["without"]: d for d in bench.directions(rows)}
    assert found["no-epi"]["verdict"] == "seen" and found["no-epi"]["psnr"][0] == 2.0 and found["no-epi"]["n"] == 6
    assert found["no-ipi"]["verdict"] == "too few" and "no-realign" not in found


def test_rows_that_are_none_are_refused(bench):
    with pytest.raises(UserError, match="no row 'warp'; known: still"):
        bench.main(["--rows", "still,warp"])


@shipped
def test_it_runs_on_the_tiny_backbone_and_goes_on_where_it_was(bench, tmp_path, capsys, monkeypatch):
    words = ["--pairs", "1", "--frames", "2", "--backbone", "tiny-animatex", "--size", "32", "--folder", str(tmp_path)]
    words += ["--config", '{"nobody": "blank", "sample": {"steps": 1}}', "--rows", "still,copy,bound,animatex"]
    words += ["--sheet", str(tmp_path / "sheet.png")]
    first = bench.main(words)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == json.loads(json.dumps(first))
    assert set(first["self"]["psnr"]) == {"still", "copy", "bound", "animatex"} and first["gap_closed"] is not None
    assert first["self"]["psnr"]["copy"][0] == 100 and first["cross"]["keypoints"]["still"][0] > 0
    assert (tmp_path / "sheet.png").is_file()
    made = len((tmp_path / "cells.jsonl").read_text().splitlines())
    monkeypatch.setattr(bench, "execute", None)
    again = bench.main(words)
    assert again["self"]["psnr"] == first["self"]["psnr"] and made == 4
    assert len((tmp_path / "cells.jsonl").read_text().splitlines()) == made
