"""Clips on disk, and the `sprites` verb."""

import json

import numpy as np
import pytest
from PIL import Image

from motionkit.cli import main
from motionkit.media import read_clip


def test_an_example_is_a_whole_transfer_problem(tmp_path, capsys):
    assert main(["sprites", f"output={tmp_path}", "source=cat", "driving=rhino", "motion=run", "frames=4"]) == 0
    clips = {name: read_clip(tmp_path / f"{name}.mp4") for name in ("source", "driving", "truth")}
    assert all(c.frames.shape == (4, 128, 128, 3) for c in clips.values())
    assert np.abs(clips["truth"].frames.astype(int) - clips["source"].frames).max() > 60
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert labels["truth"]["motion"] == labels["driving"]["motion"] != labels["source"]["motion"]
    assert labels["truth"]["character"] == labels["source"]["character"]


def test_a_dataset_holds_clips_masks_and_labels(tmp_path):
    assert main(["sprites", "what=dataset", f"output={tmp_path}", "count=2", "split=val", "frames=3", "size=64"]) == 0
    assert len(list(tmp_path.glob("*.mp4"))) == len(list(tmp_path.glob("*.json"))) == 2
    assert len(list(tmp_path.glob("*-mask.png"))) == 2


def test_the_sheet_shows_every_kind(tmp_path):
    assert main(["sprites", "what=sheet", f"output={tmp_path}", "size=32"]) == 0
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_the_sheet_of_styles_shows_many_looks(tmp_path):
    assert main(["sprites", "what=styles", f"output={tmp_path}", "size=32"]) == 0
    sheet = np.asarray(Image.open(tmp_path / "styles.png"))
    assert sheet.shape[:2] == (7 * 32, 10 * 32)
    drawings = sheet[-32:].astype(int)
    assert (np.ptp(drawings, axis=-1) == 0).all() and len(np.unique(sheet[:128].reshape(-1, 3), axis=0)) > 2000


@pytest.mark.parametrize(
    "words",
    [
        ["what=movie"],
        ["source=hose"],
        ["count=0", "what=dataset"],
        ["size=big"],
        ["colour"],
        ["split=all", "what=dataset"],
    ],
)
def test_mistakes_get_one_line(words, tmp_path, capsys):
    assert main(["sprites", f"output={tmp_path}/x", *words]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 1 and err[0].startswith("motionkit: error:")
