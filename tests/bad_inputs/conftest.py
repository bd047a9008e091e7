"""A working folder with good inputs, and files that are bad in one way each."""

import sys
from pathlib import Path

import av
import numpy as np
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


def write_sound(path):
    """An mp4 that holds a second of silence and no video."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)


def write_huge_header(path):
    """A PNG of a few hundred bytes whose header promises 50000 x 50000 pixels."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)))


def cut(path, part=0.5):
    """Keep only the first part of a file."""
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(len(data) * part)])
