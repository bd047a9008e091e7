"""Makers of odd media files; each file is made in the test that reads it."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest


def encode(
    path,
    frames,
    codec="libx264",
    pix_fmt="yuv420p",
    rate=8,
    pts=None,
    time_base=None,
    rotate=None,
    aspect=None,
    options=None,
    cover=False,
    sound=False,
):
    """Write a file with PyAV as some other program would: no tags, no padding, whatever timing is asked for."""
    container = av.open(str(path), "w")
    if cover:
        picture = container.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
    stream = None
    if len(frames):
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = pix_fmt, options or {}
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
        if rotate is not None:
            stream.set_display_rotation(rotate)
    audio = container.add_stream("aac", rate=16000, layout="mono") if sound else None
    if cover:
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
        container.mux(picture.encode(frame.reformat(format="yuvj420p")))
        container.mux(picture.encode(None))
    for index, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba" if pixels.shape[-1] == 4 else "rgb24")
        frame.pts = index if pts is None else pts[index]
        if time_base is not None:
            frame.time_base = time_base
        container.mux(stream.encode(frame))
    if audio is not None:
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16000
        container.mux(audio.encode(silence))
        container.mux(audio.encode(None))
    if stream is not None:
        container.mux(stream.encode(None))
    container.close()
    return path


@pytest.fixture(scope="session")
def make():
    return encode


@pytest.fixture(scope="session")
def moving():
    """(6, 48, 64, 3): a white square walks over red; the top left corner is green in every frame."""
    frames = np.empty((6, 48, 64, 3), np.uint8)
    frames[:] = (200, 40, 0)
    frames[:, :12, :16] = (0, 200, 0)
    for index, frame in enumerate(frames):
        frame[24:40, 8 * index : 8 * index + 16] = 255
    return frames
