"""Still and animated pictures of every mode, whole and broken, and folders of them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from motionkit.errors import UserError
from motionkit.media import Limits, read_clip


def refused(path, *words, limits=None):
    with pytest.raises(UserError) as caught:
        read_clip(path, limits)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def save(path, picture, **options):
    picture.save(path, **options)
    return path


def png_header(width, height):
    """A PNG that promises a size and holds no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + b"\x00\x00\x01\x00IDAT"
    )


@pytest.fixture
def picture(moving):
    return Image.fromarray(moving[0])


@pytest.mark.parametrize("suffix, exact", [("png", True), ("jpg", False), ("webp", False), ("gif", True)])
def test_reads_stills(tmp_path, picture, suffix, exact):
    clip = read_clip(save(tmp_path / f"a.{suffix}", picture))
    assert clip.is_image and clip.frames.shape == (1, 48, 64, 3)
    difference = np.abs(clip.frames[0].astype(int) - np.asarray(picture))
    assert difference.max() == 0 if exact else difference.mean() < 10


def test_grey_sixteen_bit_cmyk_and_palette(tmp_path, picture):
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    deep = read_clip(save(tmp_path / "deep.png", Image.fromarray(ramp))).frames[0]
    assert (deep[..., 0] == np.rint(ramp / 257)).all() and (deep[..., 0] == deep[..., 2]).all()
    grey = read_clip(save(tmp_path / "grey.png", picture.convert("L"))).frames[0]
    assert (grey[..., 0] == np.asarray(picture.convert("L"))).all()
    bits = read_clip(save(tmp_path / "bits.png", picture.convert("1"))).frames[0]
    assert set(np.unique(bits)) <= {0, 255}
    cmyk = read_clip(save(tmp_path / "cmyk.jpg", picture.convert("CMYK"), quality=95)).frames[0]
    assert np.abs(cmyk.astype(int) - np.asarray(picture)).mean() < 10
    palette = read_clip(save(tmp_path / "p.png", picture.quantize(8))).frames[0]
    assert np.abs(palette.astype(int) - np.asarray(picture)).max() <= 2


def test_transparency_lies_over_white(tmp_path, picture):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4], pixels[4:, :4] = (200, 40, 0, 255), (200, 40, 0, 128)
    frame = read_clip(save(tmp_path / "a.png", Image.fromarray(pixels))).frames[0]
    assert frame[0, 0].tolist() == [200, 40, 0] and frame[7, 7].tolist() == [255, 255, 255]
    assert frame[5, 0].tolist() == [227, 147, 127]  # half way between the colour and white
    palette = picture.quantize(8)
    palette.info["transparency"] = palette.getpixel((0, 0))
    frame = read_clip(save(tmp_path / "p.png", palette)).frames[0]
    assert frame[0, 0].tolist() == [255, 255, 255]
    grey = read_clip(save(tmp_path / "la.png", Image.new("LA", (4, 4), (0, 0)))).frames[0]
    assert grey.min() == 255


@pytest.mark.parametrize(
    "tag, shape, corner", [(6, (64, 48), (0, -1)), (8, (64, 48), (-1, 0)), (3, (48, 64), (-1, -1))]
)
def test_exif_orientation_is_honoured(tmp_path, picture, tag, shape, corner):
    exif = Image.Exif()
    exif[0x0112] = tag
    frame = read_clip(save(tmp_path / "a.jpg", picture, exif=exif, quality=95)).frames[0]
    assert frame.shape[:2] == shape
    assert np.abs(frame[corner].astype(int) - [0, 200, 0]).max() < 20


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations_keep_their_frame_times(tmp_path, moving, suffix):
    pictures = [Image.fromarray(f) for f in moving]
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(
        tmp_path / f"a.{suffix}",
        pictures[0],
        save_all=True,
        append_images=pictures[1:],
        duration=[100, 100, 500, 100, 100, 300],
        loop=0,
        **options,
    )
    clip = read_clip(path)
    assert not clip.is_image and (clip.frames == moving).all()
    assert clip.duration == pytest.approx(1.2)
    assert clip.times == pytest.approx([0, 0.1, 0.2, 0.7, 0.8, 0.9])


def test_gif_frames_without_time_last_as_long_as_in_browsers(tmp_path, moving):
    pictures = [Image.fromarray(f) for f in moving]
    path = save(tmp_path / "a.gif", pictures[0], save_all=True, append_images=pictures[1:], duration=0)
    assert read_clip(path).fps == pytest.approx(10)


@pytest.mark.parametrize("disposal, left_over", [(1, True), (2, False)])
def test_gif_disposal(tmp_path, disposal, left_over):
    frames = []
    for index in range(3):
        pixels = np.zeros((8, 24, 4), np.uint8)
        pixels[:, 8 * index : 8 * index + 8] = (200, 40, 0, 255)
        frames.append(Image.fromarray(pixels))
    path = save(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:], duration=100, disposal=disposal)
    last = read_clip(path).frames[2]
    assert last[0, 20].tolist() == [200, 40, 0]
    assert (last[0, 2].tolist() == [200, 40, 0]) == left_over


def test_apng_fallback_picture_is_not_a_frame(tmp_path, moving):
    pictures = [Image.fromarray(f) for f in moving[:3]]
    fallback = Image.new("RGB", (64, 48), "blue")
    path = save(tmp_path / "a.png", fallback, save_all=True, default_image=True, append_images=pictures, duration=100)
    clip = read_clip(path)
    assert (clip.frames == moving[:3]).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_cut_off_pictures_are_refused(tmp_path, suffix):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = save(tmp_path / f"whole.{suffix}", noise).read_bytes()
    (tmp_path / f"half.{suffix}").write_bytes(data[: len(data) // 2])
    refused(tmp_path / f"half.{suffix}", "damaged")
    (tmp_path / f"start.{suffix}").write_bytes(data[:16])
    refused(tmp_path / f"start.{suffix}", "damaged")


def test_cut_off_animation_gives_what_is_there_and_tells(tmp_path, moving):
    pictures = [Image.fromarray(f) for f in moving]
    path = save(tmp_path / "a.gif", pictures[0], save_all=True, append_images=pictures[1:], duration=100)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.8)])
    clip = read_clip(path)
    assert 1 <= len(clip) <= 6
    assert (clip.frames[0] == moving[0]).all()


@pytest.mark.parametrize("width, height", [(60000, 60000), (2**31 - 1, 1), (11600, 11600)])
def test_huge_promises_are_refused_before_decoding(tmp_path, width, height):
    (tmp_path / "a.png").write_bytes(png_header(width, height))
    refused(tmp_path / "a.png", "limit")
    (tmp_path / "a.gif").write_bytes(b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x00\x00\x00")
    refused(tmp_path / "a.gif")


def test_limits(tmp_path, moving, picture):
    path = save(tmp_path / "a.png", picture)
    refused(path, "limit", limits=Limits(max_picture=48 * 64 - 1))
    assert read_clip(path, Limits(longest_side=32)).frames.shape == (1, 24, 32, 3)
    pictures = [Image.fromarray(f) for f in moving]
    animation = save(tmp_path / "a.gif", pictures[0], save_all=True, append_images=pictures[1:], duration=100)
    refused(animation, "6 frames", limits=Limits(max_frames=5))
    refused(animation, "lasts", limits=Limits(max_seconds=0.3))
    refused(animation, "MiB", limits=Limits(max_memory=6 * 48 * 64 * 3 - 1))


def test_folder_of_numbered_pictures(tmp_path, moving):
    for number in (10, 9, 2, 1):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"junk")
    clip = read_clip(tmp_path)
    assert clip.frames[:, 0, 0, 0].tolist() == [1, 2, 9, 10] and clip.fps == 8 and clip.name == tmp_path.name
    Image.new("RGB", (9, 8)).save(tmp_path / "frame11.png")
    refused(tmp_path, "frame11.png", "one size")
    (tmp_path / "frame11.png").write_bytes(b"<html>")
    refused(tmp_path, "frame11.png", "web page")


def test_folder_without_pictures(tmp_path):
    refused(tmp_path, "holds no")


def test_folder_limits(tmp_path):
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    refused(tmp_path, "3 frames", limits=Limits(max_frames=2))
    refused(tmp_path, "together", limits=Limits(max_bytes=100))


def test_white_strokes_on_nothing_are_laid_over_black_and_told(tmp_path):
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[4:12, 7:9] = 255
    pixels[12, 7:9] = (255, 255, 255, 100)
    clip = read_clip(save(tmp_path / "chalk.png", Image.fromarray(pixels)))
    assert clip.frames[0, 8, 8].tolist() == [255] * 3 and clip.frames[0, 0, 0].tolist() == [0] * 3
    assert clip.frames[0, 12, 8].tolist() == [100] * 3
    assert "laid over black" in clip.notes[0]
    pixels[8, 8, :3] = 0  # one dark pixel is something to see on white
    clip = read_clip(save(tmp_path / "mixed.png", Image.fromarray(pixels)))
    assert clip.frames[0, 0, 0].tolist() == [255] * 3 and not clip.notes
    nothing = read_clip(save(tmp_path / "nothing.png", Image.new("RGBA", (8, 8), (255, 255, 255, 0))))
    assert nothing.frames.min() == 255 and not nothing.notes


@pytest.mark.parametrize(
    "name, mode, side",
    [("photo.jpg", "RGB", 5000), ("drawing.png", "1", 8160), ("drawing.png", "P", 5000), ("clear.png", "RGBA", 4500)],
)
def test_large_pictures_are_decoded_smaller(tmp_path, name, mode, side):
    small = Image.new("RGB", (100, 100), "white")
    small.paste((200, 40, 0), (0, 0, 50, 50))
    big = small.resize((side, side), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    options = {"exif": exif} if mode != "P" else {}
    if mode == "RGBA":
        big.putalpha(Image.fromarray(np.repeat(np.linspace(0, 255, side, dtype=np.uint8)[None], side, 0)))
    clip = read_clip(save(tmp_path / name, big.convert(mode, **({"dither": 0} if mode == "1" else {})), **options))
    assert clip.frames.shape == (1, 1024, 1024, 3) and clip.transparent == (mode == "RGBA")
    square = clip.frames[0, 100, 100] if mode == "P" else clip.frames[0, 900, 900]
    expected = {"1": [0, 0, 0]}.get(mode, [200, 40, 0])
    if mode != "RGBA":
        assert np.abs(square.astype(int) - expected).max() <= 12


def test_a_large_deep_grey_picture_is_decoded_smaller(tmp_path):
    grey = np.full((4200, 4200), 10_000, np.uint16)
    grey[:, :2100] = 60_000
    clip = read_clip(save(tmp_path / "a.png", Image.fromarray(grey)))
    assert clip.frames.shape == (1, 1024, 1024, 3)
    assert clip.frames[0, 5, [5, 1000], 0].tolist() == [233, 39]
