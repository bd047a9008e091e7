"""Colours come out as a viewer shows them: profiles, transparency and matrices are honoured."""

import struct

import av
import numpy as np
import pytest
from PIL import Image

from motionkit.media import read_clip


def adobe_rgb():
    """An ICC profile of Adobe RGB (1998): its primaries adapted to D50, gamma 2.2."""

    def s15(value):
        return struct.pack(">i", round(value * 65536))

    def xyz(*values):
        return b"XYZ \0\0\0\0" + b"".join(map(s15, values))

    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.19921875 * 256)) + b"\0\0"
    name = b"Adobe RGB (1998)\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {
        b"desc": desc + bytes(-len(desc) % 4),
        b"wtpt": xyz(0.95045, 1.0, 1.08905),
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457),
        b"rTRC": gamma,
        b"gTRC": gamma,
        b"bTRC": gamma,
    }
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(data))
        body += data
    header = struct.pack(">I", at + len(body)) + b"ADBE\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    header += s15(0.9642) + s15(1.0) + s15(0.8249)
    return header + bytes(128 - len(header)) + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("suffix, mode", [("png", "RGB"), ("png", "RGBA"), ("jpg", "RGB"), ("png", "P")])
def test_a_colour_profile_is_honoured(tmp_path, suffix, mode):
    picture = Image.new("RGB", (16, 16), (122, 199, 98))  # sRGB's (60, 200, 90), as Adobe RGB writes it
    path = tmp_path / f"a.{suffix}"
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    picture.save(path, icc_profile=adobe_rgb(), **({"quality": 98} if suffix == "jpg" else {}))
    assert np.abs(read_clip(path).frames[0, 8, 8].astype(int) - [60, 200, 90]).max() <= 4


def test_a_profile_that_is_srgb_or_broken_changes_nothing(tmp_path):
    from PIL import ImageCms

    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile, said in (("own", own, 0), ("broken", b"not a profile" * 20, 1)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png", icc_profile=profile)
        clip = read_clip(tmp_path / f"{name}.png")
        assert (clip.frames[0] == pixels).all() and len(clip.notes) == said
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png", icc_profile=adobe_rgb())  # a profile of another kind
    assert (read_clip(tmp_path / "grey.png").frames[0, ..., 0] == pixels[..., 0]).all()


def test_the_colour_key_of_a_deep_grey_picture(tmp_path):
    grey = np.full((8, 8), 1000, np.uint16)
    grey[2:6, 2:6] = 30000
    Image.fromarray(grey).save(tmp_path / "a.png", transparency=1000)
    clip = read_clip(tmp_path / "a.png")
    assert clip.frames[0, 0, 0].tolist() == [255] * 3 and clip.frames[0, 4, 4].tolist() == [117] * 3
    assert clip.transparent


def see_through(count=3):
    """Frames whose hidden colour is green, with a red square to be seen."""
    frames = np.zeros((count, 64, 64, 4), np.uint8)
    frames[..., 1] = 200
    frames[:, 16:48, 16:48] = (200, 0, 0, 255)
    return frames


@pytest.mark.parametrize("codec, name", [("libvpx-vp9", "vp9"), ("libvpx", "vp8")])
def test_hidden_colour_stays_hidden(tmp_path, make, codec, name):
    clip = read_clip(make(tmp_path / f"{name}.webm", see_through(), codec, "yuva420p", options={"auto-alt-ref": "0"}))
    assert np.abs(clip.frames[0, 2, 2].astype(int) - 255).max() <= 12
    assert np.abs(clip.frames[0, 32, 32].astype(int) - [200, 0, 0]).max() <= 12
    assert clip.transparent


def test_a_video_of_many_lines_that_does_not_say_is_bt709(tmp_path):
    for height, matrix in ((720, "ITU709"), (480, "ITU601")):
        path = tmp_path / f"{height}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=8)
            stream.width, stream.height, stream.pix_fmt, stream.options = 64, height, "yuv420p", {"crf": "4"}
            for index in range(2):
                frame = av.VideoFrame.from_ndarray(np.full((height, 64, 3), (200, 40, 0), np.uint8), format="rgb24")
                frame = frame.reformat(format="yuv420p", dst_colorspace=matrix)
                frame.colorspace, frame.pts = 2, index  # unspecified, as most files are
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        assert np.abs(read_clip(path).frames[0, 8, 8].astype(int) - (200, 40, 0)).max() <= 4
