"""Videos as other programs make them, whole and broken."""

import os
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from motionkit.errors import UserError
from motionkit.media import Limits, Wanted, read_clip

GREEN = np.array([0, 200, 0])
RED = np.array([200, 40, 0])


def near(pixel, colour, slack=12):
    return np.abs(pixel.astype(int) - colour).max() <= slack


def refused(path, *words, limits=None):
    with pytest.raises(UserError) as caught:
        read_clip(path, limits)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    for word in words:
        assert word in message, message
    return message


@pytest.mark.parametrize(
    "name, codec, pix_fmt",
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "libx264", "yuv444p"),
        ("ten.mp4", "libx265", "yuv420p10le"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("jpeg.avi", "mjpeg", "yuvj420p"),
        ("wrong-name.png", "libx264", "yuv420p"),
    ],
)
def test_reads_containers_codecs_and_pixel_formats(tmp_path, make, moving, name, codec, pix_fmt):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    if name.endswith(".png"):
        made = make(tmp_path / "x.mp4", moving, codec, pix_fmt)
        path = made.rename(tmp_path / name)  # the content decides, not the name
    else:
        path = make(tmp_path / name, moving, codec, pix_fmt, options=options)
    clip = read_clip(path)
    assert clip.frames.shape == moving.shape and clip.frames.dtype == np.uint8
    assert clip.fps == pytest.approx(8, rel=0.01) and clip.times is None and not clip.is_image
    assert np.abs(clip.frames.astype(int) - moving).mean() < 8
    assert clip.name == path.stem and clip.notes == ()


@pytest.mark.parametrize(
    "name, codec, pix_fmt",
    [
        ("a.avi", "msmpeg4", "yuv420p"),
        ("two.avi", "msmpeg4v2", "yuv420p"),
        ("c.avi", "cinepak", "rgb24"),
        ("a.wmv", "wmv2", "yuv420p"),
        ("one.wmv", "wmv1", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("one.mpg", "mpeg1video", "yuv420p"),
        ("a.ts", "mpeg2video", "yuv420p"),
        ("a.m2ts", "libx264", "yuv420p"),
        ("a.3gp", "h263", "yuv420p"),
        ("four.3gp", "mpeg4", "yuv420p"),
        ("a.mjpeg", "mjpeg", "yuvj420p"),
    ],
)
def test_reads_what_older_programs_write(tmp_path, make, moving, name, codec, pix_fmt):
    frames = np.repeat(np.repeat(moving, 3, 1), 3, 2)[:, :, 8:184] if codec == "h263" else moving  # 176 x 144 alone
    rate = 8 if name.endswith(("avi", "wmv", "3gp")) else 25
    path = make(tmp_path / name, frames, codec, pix_fmt, rate=rate)
    if codec == "msmpeg4":  # as DivX 3 named the same
        path.write_bytes(path.read_bytes().replace(b"MP43", b"DIV3"))
    clip = read_clip(path)
    assert clip.fps == pytest.approx(rate, rel=0.01) and clip.notes == () and near(clip.frames[0, 4, 4], GREEN)
    if codec == "h263":  # whose pixels are 12:11
        assert clip.frames.shape == (6, 144, 192, 3)
    else:
        assert clip.frames.shape == frames.shape and np.abs(clip.frames.astype(int) - frames).mean() < 8


def test_a_photo_with_a_second_picture_behind_it_is_a_photo(tmp_path, moving):
    pictures = [Image.fromarray(frame) for frame in moving[:2]]
    pictures[0].save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=pictures[1:])
    clip = read_clip(tmp_path / "phone.jpg")
    assert clip.is_image and clip.frames.shape == (1, 48, 64, 3)


def test_same_pixels_same_hash_and_another_fps_another(tmp_path, make, moving):
    one = read_clip(make(tmp_path / "one.mp4", moving))
    two = read_clip(make(tmp_path / "two.mp4", moving))
    assert one.sha256 == two.sha256
    assert read_clip(make(tmp_path / "three.mp4", moving, rate=12)).sha256 != one.sha256


@pytest.mark.parametrize("degrees, corner", [(90, (-1, 0)), (180, (-1, -1)), (270, (0, -1)), (0, (0, 0))])
def test_rotation_is_applied(tmp_path, make, moving, degrees, corner):
    clip = read_clip(make(tmp_path / "a.mp4", moving, rotate=degrees))  # counter-clockwise
    assert clip.frames.shape[1:3] == ((64, 48) if degrees % 180 else (48, 64))
    for row, column in [(0, 0), (0, -1), (-1, 0), (-1, -1)]:
        assert near(clip.frames[0, row, column], GREEN) == ((row, column) == corner)


def test_pixels_become_square(tmp_path, make, moving):
    wide = read_clip(make(tmp_path / "wide.mp4", moving, aspect=(2, 1)))
    tall = read_clip(make(tmp_path / "tall.mp4", moving, aspect=(1, 2)))
    assert wide.frames.shape[1:3] == (48, 128) and tall.frames.shape[1:3] == (96, 64)


def test_uneven_timestamps_are_kept(tmp_path, make, moving):
    milli = Fraction(1, 1000)
    path = make(tmp_path / "a.mkv", moving[:4], pts=[0, 100, 200, 700], time_base=milli, rate=1000)
    clip = read_clip(path)
    assert clip.times == pytest.approx([0, 0.1, 0.2, 0.7], abs=2e-3)
    assert clip.fps == pytest.approx(4 / clip.duration)


def test_a_start_that_is_not_zero_is_taken_off(tmp_path, make, moving):
    clip = read_clip(make(tmp_path / "a.mkv", moving, pts=range(800, 806)))
    assert clip.times is None and clip.fps == pytest.approx(8, rel=0.01)


def test_alpha_lies_over_white(tmp_path, make):
    frames = np.zeros((3, 64, 64, 4), np.uint8)
    frames[:, 16:48, 16:48] = (200, 0, 0, 255)
    clip = read_clip(make(tmp_path / "a.webm", frames, "libvpx-vp9", "yuva420p"))
    assert near(clip.frames[0, 2, 2], 255) and near(clip.frames[0, 32, 32], (200, 0, 0))


def test_odd_sizes_and_one_and_two_frames(tmp_path, make, moving):
    odd = np.ascontiguousarray(moving[:, :47, :63])
    clip = read_clip(make(tmp_path / "odd.mkv", odd, "ffv1", "bgr0"))
    assert (clip.frames == odd).all()
    for count in (1, 2):
        clip = read_clip(make(tmp_path / f"{count}.mp4", moving[:count]))
        assert len(clip) == count and clip.fps == pytest.approx(8, rel=0.01) and not clip.is_image


def test_large_frames_are_shrunk_and_keep_their_shape(tmp_path, make, moving):
    clip = read_clip(make(tmp_path / "a.mp4", moving), Limits(longest_side=32))
    assert clip.frames.shape == (6, 24, 32, 3) and near(clip.frames[0, 2, 2], GREEN)


def test_cover_picture_before_the_video_is_passed_over(tmp_path, make, moving):
    clip = read_clip(make(tmp_path / "a.mp4", moving, cover=True))
    assert clip.frames.shape == moving.shape


def test_sound_only_is_refused(tmp_path, make):
    refused(make(tmp_path / "a.mp4", [], sound=True), "no video")
    refused(make(tmp_path / "b.mp4", [], sound=True, cover=True), "no video")


def test_cut_off_files(tmp_path, make):
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 96, 3), np.uint8)
    data = make(tmp_path / "late-index.mp4", noise).read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "half.mp4", "cut off")
    whole = make(tmp_path / "early-index.mkv", noise)
    data = whole.read_bytes()
    (tmp_path / "half.mkv").write_bytes(data[: len(data) // 2])
    clip = read_clip(tmp_path / "half.mkv")
    assert 1 <= len(clip) < 20 and (clip.frames[0] == read_clip(whole).frames[0]).all()
    assert any("cut off" in note for note in clip.notes)


def test_damage_is_counted_and_told(tmp_path, make):
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 96, 3), np.uint8)
    data = bytearray(make(tmp_path / "a.mp4", noise).read_bytes())
    middle = data.find(b"mdat") + len(data) // 3
    data[middle : middle + 6000] = bytes(6000)
    (tmp_path / "b.mp4").write_bytes(data)
    clip = read_clip(tmp_path / "b.mp4")
    assert any("damaged" in note for note in clip.notes)


@pytest.mark.parametrize(
    "content, word",
    [
        (b"", "0 bytes"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"#EXTM3U\n#EXTINF:10,\nhttp://example.org/a.ts\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
        (b"hello\n", "text file"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04rest", "zip"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(200), "cut off"),
        (bytes(range(256)) * 4, "convert it"),
        (b"RIFF\x10\x00\x00\x00AVI " + bytes(40), "damaged"),
        (b"\x1aE\xdf\xa3" + bytes(60), "damaged"),
        (b"G" + bytes(187) + b"G" + bytes(187), "damaged"),
        (b"OggS" + bytes(40), "ffmpeg -i"),
        (b"FLV\x01" + bytes(40), "ffmpeg -i"),
    ],
)
def test_what_is_no_video_gets_one_line(tmp_path, content, word):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    refused(path, word)


def test_codecs_outside_the_list_are_refused(tmp_path, make, moving):
    refused(make(tmp_path / "a.avi", moving, "huffyuv", "rgb24", rate=25), "codec", "ffmpeg -i")


def test_limits_are_checked_on_the_header(tmp_path, make, moving):
    path = make(tmp_path / "a.mp4", moving)
    refused(path, "limit", limits=Limits(max_pixels=48 * 64 - 1))
    refused(path, "6 frames", limits=Limits(max_frames=5))
    refused(path, "lasts", limits=Limits(max_seconds=0.5))
    refused(path, "MiB", limits=Limits(max_memory=6 * 48 * 64 * 3 - 1))
    refused(path, "limit", limits=Limits(max_bytes=100))
    assert len(read_clip(path, Limits(max_pixels=48 * 64, max_frames=6, max_memory=6 * 48 * 64 * 3))) == 6


def test_long_gaps_count_as_duration(tmp_path, make, moving):
    milli = Fraction(1, 1000)
    path = make(tmp_path / "a.mp4", moving[:2], pts=[0, 400_000], time_base=milli, rate=1000)
    refused(path, "lasts 400 s")


def test_frames_beyond_the_header_are_counted_too(tmp_path, make, moving):
    path = make(tmp_path / "a.mkv", moving)  # matroska's header gives no number of frames
    refused(path, "frames or more", limits=Limits(max_frames=5))


def test_impossible_rates_are_refused(tmp_path, make, moving):
    path = make(tmp_path / "a.mp4", np.concatenate([moving] * 4), rate=1000)
    refused(path, "frames per second", "ffmpeg -r")
    with pytest.raises(UserError, match="frames per second"):
        read_clip(path, wanted=Wanted())  # of a part as well


@pytest.mark.parametrize(
    "name", ["ü ö.mp4", "two words.mp4", "-dash.mp4", "new\nline.mp4", "concat:a|b.mp4", "http:x.mp4", "per%20cent.mp4"]
)
def test_odd_names(tmp_path, make, moving, name, monkeypatch):
    made = make(tmp_path / "plain.mp4", moving)
    os.rename(made, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read_clip(name)) == 6
    (tmp_path / name).write_bytes(b"")
    refused(name, "0 bytes")


def test_only_local_files(tmp_path, make, moving):
    refused("https://example.org/a.mp4", "only local files")
    refused("", "no file given")
    refused(tmp_path / "nothing.mp4", "No such file")
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", "not an ordinary file")
    (tmp_path / "link.mp4").symlink_to(make(tmp_path / "a.mp4", moving))
    assert len(read_clip(tmp_path / "link.mp4")) == 6
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "gone.mp4")
    refused(tmp_path / "broken.mp4", "check the path")
