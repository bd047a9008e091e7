"""What a file is, told from its first bytes and never from its name."""

from __future__ import annotations

import mmap
from pathlib import Path

from motionkit.errors import UserError
from motionkit.media.limits import shown

# FFmpeg demuxer names; nothing else is ever probed, so a playlist cannot make us open other files.
CONTAINERS = {
    "mp4": "mov,mp4,m4a,3gp,3g2,mj2",
    "mkv": "matroska,webm",
    "avi": "avi",
    "wmv": "asf",
    "mpg": "mpeg",
    "mpv": "mpegvideo",
    "ts": "mpegts",
    "mjpeg": "mjpeg",
}
IMAGES = ("PNG", "JPEG", "WEBP", "GIF")  # Pillow's names
ACCEPTED = "mp4, mov, webm, mkv, avi, wmv, mpg, ts, 3gp, gif, png, jpg or webp"
CONVERT = "convert it: ffmpeg -i IN -pix_fmt yuv420p OUT.mp4"

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\x1aE\xdf\xa3", "mkv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wmv"),
    (b"\x00\x00\x01\xba", "mpg"),
    (b"\x00\x00\x01\xb3", "mpv"),
)
_TS_SYNC = ((0, 188), (4, 192))  # a packet begins with "G"; cameras put a time of four bytes before each
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_STILL_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")
_REFUSED = (
    (b"BM", "a BMP picture; save it as PNG"),
    (b"II*\x00", "a TIFF or raw photo; save it as PNG or JPEG"),
    (b"MM\x00*", "a TIFF or raw photo; save it as PNG or JPEG"),
    (b"%PDF", "a PDF; export the picture as PNG"),
    (b"PK\x03\x04", "a zip archive; unpack it and give a file from it"),
    (b"#EXTM3U", "a playlist; give the video file itself"),
    (b"ffconcat", "a playlist; give the video file itself"),
    (b"OggS", f"an Ogg file; {CONVERT}"),
    (b"FLV", f"a Flash video; {CONVERT}"),
    (b".RMF", f"a RealMedia file; {CONVERT}"),
)


def sniff(path: Path) -> str:
    """One of `IMAGES` or a key of `CONTAINERS`. Raises: UserError: the file is something else; says what it is and what
    to do.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{shown(path)}: cannot be read ({error.strerror})") from None
    for start, kind in _STARTS:
        if head.startswith(start):
            return "mjpeg" if kind == "JPEG" and _is_stream(path) else kind
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        return "WEBP" if head[8:12] == b"WEBP" else "avi"
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        raise UserError(f"{shown(path)}: is a HEIC or AVIF photo; save it as PNG or JPEG")
    if head[4:8] in _MP4_BOXES:
        return "mp4"
    if any(head[at : at + 1] == b"G" == head[at + step : at + step + 1] for at, step in _TS_SYNC) and not _is_text(
        head
    ):
        return "ts"
    raise UserError(f"{shown(path)}: is {_what(head)}")


def _what(head: bytes) -> str:
    for start, text in _REFUSED:
        if head.startswith(start):
            return text
    lowered = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if lowered.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page, not a video or picture; open its address in a browser and save the file itself"
    if lowered.startswith((b"<?xml", b"<svg")):
        return "an XML or SVG file; export it as PNG"
    if _is_text(head):
        return f"a text file; give a {ACCEPTED}"
    return f"of an unsupported kind; if it is a video, {CONVERT}"


def _is_text(head: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)


def _is_stream(path: Path) -> bool:
    """Whether JPEG pictures follow each other without anything between them: motion JPEG.

    Phones also append a second picture to a photo, for depth or light, and mark it (MPF).
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"\xff\xd9\xff\xd8\xff") > 0 and data.find(b"MPF\0", 0, 2**17) < 0
