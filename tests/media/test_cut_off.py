"""Files that end too early say so; files that only look it do not."""

import struct

import av
import numpy as np
import pytest
from PIL import Image

from motionkit.errors import UserError
from motionkit.media import Limits, Wanted, read_clip


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 255, (24, 64, 96, 3), np.uint8)


@pytest.mark.parametrize("suffix, codec", [("mkv", "libx264"), ("webm", "libvpx-vp9")])
def test_a_quarter_of_a_second_that_is_missing_is_said(tmp_path, make, noise, suffix, codec):
    path = make(tmp_path / f"a.{suffix}", noise, codec, rate=8, options={"g": "1"})
    assert not read_clip(path).notes
    data = path.read_bytes()
    found = []
    for share in (0.97, 0.93, 0.85):
        (tmp_path / f"b.{suffix}").write_bytes(data[: int(len(data) * share)])
        clip = read_clip(tmp_path / f"b.{suffix}")
        lost = 24 - len(clip)
        said = any("cut off" in note for note in clip.notes)
        assert said == (lost > 1) or lost == 1
        found.append(lost)
    assert any(2 <= lost <= 3 for lost in found)  # less than the half second that was let pass


def test_sound_that_outlasts_the_picture_is_no_damage(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * index, np.uint8), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16000
        container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    clip = read_clip(path)
    assert len(clip) == 8 and not clip.notes


def test_an_edit_list_is_no_damage(tmp_path):
    path = tmp_path / "a.mp4"
    options = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, "yuv420p", {"bf": "0", "g": "100"}

        def write(packets):
            for packet in packets:
                packet.pts -= round(0.5 / packet.time_base)  # four frames before the beginning
                packet.dts = packet.pts
                container.mux(packet)

        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * index, np.uint8), format="rgb24")
            frame.pts = index
            write(stream.encode(frame))
        write(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 20
    clip = read_clip(path)
    assert len(clip) == 16 and not clip.notes
    data = bytearray(path.read_bytes())
    assert read_clip(path, wanted=Wanted(frames=4)).notes[0].startswith("frames 0-0.5 s of 2 s")
    del data


def gif(path, moving, **options):
    pictures = [Image.fromarray(frame) for frame in moving]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, **options)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_cut_anywhere_ends_in_a_clip_or_one_line(tmp_path, moving, suffix):
    data = gif(tmp_path / f"a.{suffix}", moving)
    outcomes = {"read": 0, "refused": 0}
    for end in range(1, len(data), 1 if suffix == "gif" else max(1, len(data) // 150)):
        (tmp_path / f"b.{suffix}").write_bytes(data[:end])
        try:
            clip = read_clip(tmp_path / f"b.{suffix}")
            assert len(clip) >= 1 and (len(clip) == 6 or clip.notes or clip.is_image)
            outcomes["read"] += 1
        except UserError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] and (outcomes["read"] or suffix == "webp")


def huge_gif(canvas, frames):
    """Frames of one pixel on a huge canvas: a small file that takes long to draw."""
    head = b"GIF89a" + struct.pack("<HH", canvas, canvas) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    control = b"\x21\xf9\x04\x04\x0a\0\0\0"
    picture = b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0" + b"\x02\x02\x44\x01\0"
    return head + (control + picture) * frames + b"\x3b"


def test_animations_that_would_take_minutes_are_refused_at_once(tmp_path):
    import time

    for name, data, word in (
        ("canvas", huge_gif(4000, 1500), "canvas"),
        ("many", huge_gif(8, 390_000), "frames"),
        ("late", huge_gif(4000, 1500), None),
    ):
        path = tmp_path / f"{name}.gif"
        path.write_bytes(data)
        began = time.process_time()
        if word:
            with pytest.raises(UserError, match=word):
                read_clip(path)
        else:
            assert len(read_clip(path, wanted=Wanted(frames=4, fps=10))) == 4
        assert time.process_time() - began < 8
    (tmp_path / "few.gif").write_bytes(huge_gif(100, 3))
    assert len(read_clip(tmp_path / "few.gif")) == 3
    with pytest.raises(UserError, match="canvas"):
        read_clip(tmp_path / "few.gif", Limits(max_drawn=29_999))
