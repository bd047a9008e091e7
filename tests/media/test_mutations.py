"""Files with a few wrong bytes end in a clip or in one line, never in anything else."""

import time

import numpy as np
import pytest
from PIL import Image

from motionkit.errors import UserError
from motionkit.media import Limits, Sound, Wanted, read_clip, write_video

COPIES = 40


@pytest.fixture(scope="module")
def whole(make, tmp_path_factory):
    """One small file of noise per kind."""
    folder = tmp_path_factory.mktemp("whole")
    frames = np.random.default_rng(0).integers(0, 255, (5, 32, 48, 3), np.uint8)
    make(folder / "a.mp4", frames)
    make(folder / "a.mkv", frames)
    make(folder / "a.webm", frames, "libvpx-vp9")
    make(folder / "a.avi", frames, "mpeg4")
    make(folder / "div3.avi", frames, "msmpeg4")
    make(folder / "div2.avi", frames, "msmpeg4v2")
    make(folder / "cinepak.avi", frames, "cinepak", "rgb24")
    make(folder / "a.wmv", frames, "wmv2")
    make(folder / "one.wmv", frames, "wmv1")
    make(folder / "a.mpg", frames, "mpeg2video", rate=25)
    make(folder / "one.mpg", frames, "mpeg1video", rate=25)
    make(folder / "a.ts", frames, "mpeg2video", rate=25)
    make(folder / "a.m2ts", frames, rate=25)
    make(folder / "a.3gp", np.tile(frames, (1, 5, 4, 1))[:, :144, :176], "h263")
    make(folder / "a.mjpeg", frames, "mjpeg", "yuvj420p", rate=25)
    sound = Sound(np.sin(np.arange(20_000)[:, None] / 9).astype(np.float32), 32_000)
    alpha = np.tile(np.uint8([0, 255]), (5, 32, 24))
    for suffix in ("mp4", "webm", "mov"):
        write_video(folder / f"loud.{suffix}", frames, 8, sound=sound, alpha=alpha)
    pictures = [Image.fromarray(frame) for frame in frames]
    for suffix in ("gif", "webp", "png"):
        pictures[0].save(folder / f"a.{suffix}", save_all=True, append_images=pictures[1:], duration=100)
    pictures[0].save(folder / "a.jpg")
    return folder


def mutate(data, rng):
    data = bytearray(data)
    for _ in range(rng.integers(1, 12)):
        reach = 600 if rng.random() < 0.6 else len(data)  # headers more often than pixels
        at = int(rng.integers(0, min(len(data), reach)))
        kind = rng.integers(0, 3)
        if kind == 0:
            data[at] = int(rng.integers(256))
        elif kind == 1:
            data[at : at + 4] = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"][rng.integers(3)]
        else:
            del data[at : at + int(rng.integers(1, 50))]
    return bytes(data)


NAMES = ["a.mp4", "a.mkv", "a.webm", "a.avi", "a.gif", "a.webp", "a.png", "a.jpg"]
LOUD = ["loud.mp4", "loud.webm", "loud.mov"]  # with sound, and two of them with transparency
OLDER = "div3.avi div2.avi cinepak.avi a.wmv one.wmv a.mpg one.mpg a.ts a.m2ts a.3gp a.mjpeg".split()


@pytest.mark.parametrize("name", NAMES + OLDER)
def test_wrong_bytes(whole, tmp_path, name):
    suffix = name.partition(".")[2]
    rng = np.random.default_rng(len(suffix) + ord(suffix[0]))
    data = (whole / name).read_bytes()
    outcomes = set()
    for _ in range(COPIES):
        (tmp_path / "b").write_bytes(mutate(data, rng))
        try:
            clip = read_clip(tmp_path / "b", Limits(max_memory=2**26))
            assert clip.frames.dtype == np.uint8 and len(clip) >= 1 and np.isfinite(clip.fps)
            outcomes.add("read")
            part = read_clip(tmp_path / "b", Limits(max_memory=2**26), Wanted(start="1f", frames=2))
            assert 1 <= len(part) <= 2
        except UserError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes or name in OLDER  # those hardly have a header to be wrong


@pytest.mark.slow
def test_thousands_of_wrong_files(whole, tmp_path, capsys):
    """Wrong bytes and files that end too early, of every kind, in whole and in part, with sound."""
    counts = dict.fromkeys(("read", "read in part", "refused"), 0)
    limits, began = Limits(max_memory=2**26), time.monotonic()
    names = NAMES + OLDER + LOUD
    for name in names:
        data, rng = (whole / name).read_bytes(), np.random.default_rng(20)
        for copy in range(-(-3300 // len(names))):
            wrong = data[: int(rng.integers(1, len(data)))] if copy % 3 == 0 else mutate(data, rng)
            (tmp_path / "b").write_bytes(wrong)
            for wanted, outcome in ((None, "read"), (Wanted(start="1f", frames=3, sound=True), "read in part")):
                try:
                    assert len(read_clip(tmp_path / "b", limits, wanted)) >= 1
                    counts[outcome] += 1
                except UserError as error:
                    assert "\n" not in str(error) and len(str(error)) < 500
                    counts["refused"] += 1
    with capsys.disabled():
        print(f"\n{sum(counts.values()) // 2} wrong files in {time.monotonic() - began:.0f} s: {counts}")
    assert sum(counts.values()) >= 6000 and min(counts.values()) > 300
