"""A small folder of each data set in the layout that its reader documents."""

import sys
from pathlib import Path

import pytest

from motionkit import media

sys.path.insert(0, str(Path(__file__).parent))

from data_folders import OPTIONS, clip  # noqa: E402


@pytest.fixture
def mgif(tmp_path):
    for split, names in (("train", ["00001"]), ("test", ["00007", "00008", "00009"])):
        (tmp_path / "moving-gif" / split).mkdir(parents=True)
        for name in names:
            media.write_gif(tmp_path / "moving-gif" / split / f"{name}.gif", clip(int(name)), 8)
    return tmp_path


@pytest.fixture
def tiktok(tmp_path):
    for name in ("00001", "00335", "00340"):
        media.write_frames(tmp_path / "TikTok_dataset" / name / "images", clip(int(name)))
        media.write_frames(tmp_path / "TikTok_dataset" / name / "masks", clip(0))
    return tmp_path


@pytest.fixture
def fashion(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in range(2):
            media.write_video(tmp_path / split / f"91+{split}{number}S.mp4", clip(number), 8)
    return tmp_path


@pytest.fixture
def a2bench(tmp_path):
    for folder in ("images", "videos", "prompts"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate(("banana", "panda")):
        media.write_image(tmp_path / "images" / f"{name}.png", clip(90 + number)[0])
        media.write_video(tmp_path / "videos" / f"{name}.mp4", clip(number), 8)
    (tmp_path / "prompts" / "panda.txt").write_text("a panda\ndancing")
    return tmp_path


@pytest.fixture
def videoswap(tmp_path):
    home = tmp_path / "datasets" / "paper_evaluation"
    media.write_frames(home / "animal" / "cat_head_turn" / "frames", clip(1, 70))
    media.write_frames(home / "object" / "car" / "frames", clip(2, 6))
    file = tmp_path / "options" / "test_videoswap" / "animal" / "2001" / "2001.yml"
    file.parent.mkdir(parents=True)
    file.write_text(OPTIONS)
    return tmp_path
