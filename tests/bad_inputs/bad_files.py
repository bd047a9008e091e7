"""Calling the command line with one word changed, judging how it ended, and making files that are bad in one way."""

import struct
import zlib
from pathlib import Path

import av
import numpy as np

from motionkit.cli import main

GOOD = ["method=warp", "reference=me.png", "driving=moves.mp4", "output=out.mp4", "gpu=cpu", "progress=none"]


def transfer(words):
    """The exit code of `motionkit transfer` with `words` over good ones."""
    if words and words[0].startswith("!"):
        return main([words[0][1:], *GOOD])
    keys = {word.partition("=")[0] for word in words if "=" in word}
    return main(["transfer", *(word for word in GOOD if word.partition("=")[0] not in keys), *words])


def one_line(capsys, start="motionkit: error: "):
    """The one line of error; everything else on stderr must be the memory plan, or what part of a clip is used."""
    errors = capsys.readouterr().err
    assert "Traceback" not in errors and "internal error" not in errors, errors
    lines = [line for line in errors.splitlines() if not line.startswith(("gpu=", "driving: frames "))]
    assert len(lines) == 1 and lines[0].startswith(start), errors
    return lines[0]


def nothing_made(here):
    """No video of any kind, under the final name or a temporary one."""
    videos = [path for path in here.rglob("*") if path.is_file() and path.name.startswith(("out", ".out", "result"))]
    assert not videos, videos


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

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)))


def cut(path, part=0.5):
    """Keep only the first part of a file."""
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: int(len(data) * part)])
