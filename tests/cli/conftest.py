"""A working folder of each test's own with two small clips in it, and the command line run in this process."""

import os

import numpy as np
import pytest


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The folder that motionkit is started in: ref.png, drive.mp4, and a cache of its own."""
    from motionkit import media

    frames = np.full((6, 24, 32, 3), 200, np.uint8)
    for index in range(6):
        frames[index, 8:16, 2 + 3 * index : 10 + 3 * index] = (220, 40, 40)
    folder = tmp_path / "work"
    folder.mkdir()
    media.write_image(folder / "ref.png", frames[0])
    media.write_video(folder / "drive.mp4", frames, 6)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def cli(capsys):
    """Run `motionkit WORDS`: (exit code, stdout, stderr)."""
    from motionkit.cli import main

    def call(*words):
        before = dict(os.environ)
        code = main(list(words))
        assert dict(os.environ) == before
        out, err = capsys.readouterr()
        return code, out, err

    return call
