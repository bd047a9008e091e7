"""A working folder with good inputs, and files that are bad in one way each."""

import sys
from pathlib import Path

import pytest

from motionkit import media
from motionkit.testing import moving_shapes, picture

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: me.png and moves.mp4 are good; the cache and the hub cache are empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    media.write_image(tmp_path / "me.png", picture(32, 48).frames[0])
    media.write_video(tmp_path / "moves.mp4", moving_shapes(4, 32, 48).frames, 8.0)
    return tmp_path


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """tiny-sd's random weights as a folder in the hub's layout."""
    import torch

    from motionkit.backbones.tiny import components

    folder = tmp_path_factory.mktemp("model")
    with torch.random.fork_rng(devices=[]):
        for name, part in components().items():
            part.save_pretrained(folder / name)
    return folder
