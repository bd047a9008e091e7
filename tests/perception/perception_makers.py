"""Drawings as people have them and pictures that are none, all made here; and contact sheets to look at them.

`python tests/perception/perception_makers.py FOLDER` writes sheets: what went in, and what was read at 256 and 128 px.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from motionkit.errors import UserError
from motionkit.sprites import render_clip
from motionkit.sprites.sampling import stream

# ---------------------------------------------------------------- line art, dark on white, any size


def sprite(seed, size=256, setting="easy"):
    """One frame of a sprite clip: `.frames` is the picture, `.lines()` its line drawing."""
    character, motion = next(iter(stream(seed, "judge", setting)))
    return render_clip(character, motion, 1, size)


def doodle(rng, height=256, width=256, thickness=3.0, colour=(0, 0, 0), kind=None):
    """Free-hand figures as (H, W, 3) uint8: wobbly closed and open curves, stick people, houses, faces."""
    scale = 2 if max(height, width) <= 1200 else 1
    page = np.full((height * scale, width * scale, 3), 255, np.uint8)
    kind = kind or ("person", "house", "face", "flower", "curls")[rng.integers(5)]
    for path in FIGURES[kind](rng):
        points = _wobble(rng, np.asarray(path, float))
        points = points * 0.8 * min(height, width) + [0.5 * width, 0.5 * height]
        line = np.rint(points * scale * 16).astype(np.int32)
        cv2.polylines(page, [line], False, colour, max(1, round(thickness * scale)), cv2.LINE_AA, 4)
    return cv2.resize(page, (width, height), interpolation=cv2.INTER_AREA)


def _wobble(rng, points):
    """Points of a path, made dense and shaken as by a hand; the figure spans -0.5 to 0.5."""
    steps = np.maximum(2, (np.linalg.norm(np.diff(points, axis=0), axis=1) * 80).astype(int))
    dense = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(points[:-1], points[1:], steps, strict=True)]
    dense = np.concatenate([*dense, points[-1:]])
    shake = cv2.GaussianBlur(rng.normal(0, 1, (len(dense) + 60, 2)), (1, 0), 1, sigmaY=8)[30:-30] if len(dense) else 0
    return dense + 0.03 * shake


def _ring(x, y, r, squash=1.0, turns=1.0):
    a = np.linspace(0, 2 * np.pi * turns, 48)
    return np.stack([x + r * np.cos(a), y + squash * r * np.sin(a)], -1)


def _person(rng):
    sway = rng.uniform(-0.1, 0.1)
    neck, hip = (0, -0.22), (sway, 0.12)
    arms = [[(-0.28, rng.uniform(-0.3, 0.2)), (0, -0.12), (0.28, rng.uniform(-0.3, 0.2))]]
    return [
        _ring(0, -0.34, 0.12),
        [neck, hip],
        [(-0.2, 0.48), hip, (0.2, 0.48)],
        *arms,
        _ring(-0.04, -0.36, 0.012),
        _ring(0.04, -0.36, 0.012),
    ]


def _house(rng):
    door = rng.uniform(-0.15, 0.15)
    return [
        [(-0.35, 0.45), (-0.35, -0.05), (0.35, -0.05), (0.35, 0.45), (-0.35, 0.45)],
        [(-0.42, -0.05), (0, -0.45), (0.42, -0.05)],
        [(door - 0.07, 0.45), (door - 0.07, 0.2), (door + 0.07, 0.2), (door + 0.07, 0.45)],
        _ring(-0.22, 0.1, 0.06),
    ]


def _face(rng):
    smile = np.stack([np.linspace(-0.2, 0.2, 20), 0.2 + 0.1 * np.cos(np.linspace(-1.5, 1.5, 20))], -1)
    return [
        _ring(0, 0, 0.45, rng.uniform(0.9, 1.1)),
        _ring(-0.16, -0.1, 0.05),
        _ring(0.16, -0.1, 0.05),
        [(0, -0.05), (-0.04, 0.08), (0.03, 0.09)],
        smile,
    ]


def _flower(rng):
    petals = int(rng.integers(5, 9))
    around = [(0.22 * np.cos(a), -0.2 + 0.22 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, petals, endpoint=False)]
    return [
        _ring(0, -0.2, 0.1),
        *[_ring(x, y, 0.1) for x, y in around],
        [(0, 0.02), (0.03, 0.25), (0, 0.5)],
        _ring(0.12, 0.25, 0.1, 0.4),
    ]


def _curls(rng):
    out = []
    for _ in range(int(rng.integers(3, 7))):
        a = np.linspace(0, rng.uniform(4, 14), 60)
        r = np.linspace(0.02, rng.uniform(0.1, 0.25), 60)
        x, y = rng.uniform(-0.25, 0.25, 2)
        out.append(np.stack([x + r * np.cos(a), y + r * np.sin(a)], -1))
    return out


FIGURES = {"person": _person, "house": _house, "face": _face, "flower": _flower, "curls": _curls}

# ---------------------------------------------------------------- what happens to paper


def lit(rng, shape, shadow=0.5, hard=False):
    """Light on a page, (H, W, 1) in (0, 1]: a slope, and the soft or hard shadow of a hand."""
    height, width = shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)
    light = 0.85 + 0.3 * slope
    side = rng.uniform(0, 2 * np.pi)
    edge = (x / width - 0.5) * np.cos(side) + (y / height - 0.5) * np.sin(side) + 0.1 * np.sin(6 * y / height)
    soft = 0.01 if hard else 0.12
    light = light * (1 - shadow / (1 + np.exp(-(edge - rng.uniform(0, 0.2)) / soft)))
    return light.clip(0.05, 1)[..., None]


def phone(rng, page, shadow=0.5, hard=False, noise=6.0, blur=0.8, quality=80, tint=None):
    """A phone photo of a page: uneven light, tinted paper, soft focus, sensor noise, JPEG."""
    tint = np.asarray(tint if tint is not None else (0.82, 0.8, 0.74)) * rng.uniform(0.9, 1.05)
    picture = page.astype(np.float32) * tint * lit(rng, page.shape, shadow, hard)
    picture = cv2.GaussianBlur(picture, (0, 0), blur * max(page.shape) / 512)
    grain = rng.normal(0, noise, page.shape) * np.sqrt(picture / 255 + 0.1)
    return jpeg((picture + grain).clip(0, 255).astype(np.uint8), quality)


def pencil(rng, page, strength=0.5):
    """Ink turned into graphite: paler, and rough from the paper's tooth."""
    tooth = cv2.GaussianBlur(rng.normal(0, 1, page.shape[:2]), (0, 0), 1.0 + max(page.shape) / 1000)
    tooth = (strength * (1 + 0.35 * tooth / tooth.std())).clip(0.1, 1)[..., None]
    return (255 - (255 - page) * tooth).clip(0, 255).astype(np.uint8)


def chalk(rng, page):
    """White on a smeared green board."""
    smear = cv2.GaussianBlur(rng.normal(0, 1, page.shape[:2]), (0, 0), max(page.shape) / 20)
    board = np.array([42, 62, 50]) + 10 * (smear / smear.std())[..., None]
    ink = (255 - page.astype(np.float32)) / 255 * rng.uniform(0.75, 0.95)
    picture = board * (1 - ink) + 235 * ink + rng.normal(0, 4, page.shape)
    return picture.clip(0, 255).astype(np.uint8)


def on_table(rng, page, border=0.12):
    """A page lying on dark wood that fills the rest of the photo."""
    height, width = page.shape[:2]
    top, left = round(border * height), round(border * width)
    out = np.empty((height + 2 * top, width + 2 * left, 3), np.float32)
    grain = cv2.GaussianBlur(rng.normal(0, 1, out.shape[:2]), (0, 0), 2, sigmaY=30)
    out[:] = np.array([92, 62, 40]) * (1 + 0.15 * grain / grain.std())[..., None]
    out[top : top + height, left : left + width] = page
    return out.clip(0, 255).astype(np.uint8)


def ruled(page, pitch=0.05, colour=(190, 205, 235)):
    """Pale blue rules under the ink."""
    out = page.copy()
    for y in np.arange(pitch, 1, pitch):
        row = round(y * page.shape[0])
        rows = slice(row, row + max(1, page.shape[0] // 400))
        out[rows] = np.minimum(out[rows], colour)
    return out


def jpeg(picture, quality):
    """The picture after a JPEG file."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


# ---------------------------------------------------------------- pictures that are no drawings


def natural(rng, height=256, width=256, grey=False, exponent=1.0):
    """Noise with the spectrum of photographs (Field 1987): amplitude 1 / f ** exponent."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(fx, fy), 1 / max(height, width)) ** exponent
    planes = []
    for _ in range(3):
        wave = np.fft.irfft2(amplitude * np.exp(2j * np.pi * rng.uniform(size=amplitude.shape)), (height, width))
        planes.append((wave - wave.mean()) / wave.std())
    shared = planes[0][..., None]
    mixed = np.repeat(shared, 3, -1) if grey else shared + 0.5 * np.stack(planes, -1)
    return (rng.uniform(90, 160) + rng.uniform(35, 60) * mixed).clip(0, 255).astype(np.uint8)


def leaves(rng, height=256, width=256, grey=False, least=0.03):
    """Dead leaves (Lee, Mumford, Huang 2001): discs of power-law sizes that hide each other, as objects do."""
    out = np.full((height, width, 3), 128, np.uint8)
    for _ in range(500):
        radius = int(min(0.35, least * rng.uniform() ** -0.6) * max(height, width))
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        colour = rng.integers(20, 240, 3)
        colour = [int(colour[0])] * 3 if grey else [int(c) for c in colour]
        cv2.circle(out, centre, max(2, radius), colour, -1, cv2.LINE_AA)
    return (out * lit(rng, out.shape, 0.3)).astype(np.uint8)


def gradient(rng, height=256, width=256):
    """A sky: colours fading into each other, a sun, film grain."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    up, down = rng.integers(30, 250, 3), rng.integers(30, 250, 3)
    t = (y * rng.uniform(0.6, 1) + x * rng.uniform(0, 0.4)).clip(0, 1)[..., None]
    sun = np.exp(-((x - rng.uniform(0.2, 0.8)) ** 2 + (y - rng.uniform(0.2, 0.8)) ** 2) / rng.uniform(0.005, 0.03))
    picture = up * (1 - t) + down * t + 90 * sun[..., None] + rng.normal(0, 3, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8)


def portrait(rng, height=256, width=256, grey=False):
    """A shaded head before a wall: soft light on large ellipses."""
    y, x = np.mgrid[0:height, 0:width] / min(height, width)
    skin, hair, wall, shirt = (rng.integers(a, b, 3) for a, b in ((150, 220), (20, 80), (90, 220), (40, 200)))
    out = np.ones((height, width, 1)) * wall * (0.8 + 0.3 * x[..., None])
    cx, cy = 0.5 * width / min(height, width), 0.45
    for colour, dx, dy, rx, ry in ((shirt, 0, 0.5, 0.4, 0.3), (hair, 0, -0.05, 0.24, 0.28), (skin, 0, 0, 0.18, 0.24)):
        inside = ((x - cx - dx) / rx) ** 2 + ((y - cy - dy) / ry) ** 2
        alpha = (1 / (1 + np.exp((inside - 1) * 30)))[..., None]
        out = out * (1 - alpha) + alpha * colour * (1.1 - 0.5 * (x - cx + 0.2))[..., None].clip(0, 1.2)
    for side in (-0.07, 0.07):
        eye = np.exp(-(((x - cx - side) / 0.025) ** 2 + ((y - cy + 0.03) / 0.015) ** 2))[..., None]
        out = out * (1 - 0.8 * eye)
    out = out + rng.normal(0, 4, out.shape)
    out = np.repeat(out.mean(-1, keepdims=True), 3, -1) if grey else out
    return out.clip(0, 255).astype(np.uint8)


# ---------------------------------------------------------------- the two families


def drawings(seed):
    """Pairs (name, picture): one of each kind of drawing, different for each seed."""
    rng = np.random.default_rng(seed)
    big = lambda t=4.0, **k: doodle(rng, 768, 1024, t, **k)  # noqa: E731
    small = lambda t=2.5, **k: doodle(rng, 256, 256, t, **k)  # noqa: E731
    colour = [(200, 30, 30), (20, 60, 190), (20, 130, 50), (230, 160, 0), (140, 40, 160)][rng.integers(5)]
    return [
        ("sprite lines 128", sprite(seed, 128).lines()[0]),
        ("sprite lines 256", sprite(seed, 256).lines(3)[0]),
        ("doodle", small()),
        ("hairline", small(1.0)),
        ("thick marker", small(9.0)),
        ("coloured", small(3.0, colour=colour)),
        ("jpeg", jpeg(small(), 50)),
        ("photo", phone(rng, big())),
        ("photo, hard shadow", phone(rng, big(5.0), 0.55, hard=True)),
        ("photo, dark", phone(rng, big(5.0), 0.3, noise=9, tint=(0.45, 0.42, 0.38))),
        ("photo, coloured", phone(rng, big(6.0, colour=colour))),
        ("pencil", phone(rng, pencil(rng, big(5.0)), 0.3, noise=3)),
        ("pale pencil scan", pencil(rng, big(4.0), 0.3)),
        ("on a table", phone(rng, on_table(rng, big(6.0)), 0.3)),
        ("ruled paper", phone(rng, ruled(big(5.0)), 0.3, noise=3)),
        ("chalkboard", chalk(rng, big(7.0))),
        ("white on black", 255 - small()),
        ("large scan, thin", doodle(rng, 1500, 2000, 3.0)),
        ("wide", doodle(rng, 200, 600, 3.0)),
    ]


def pictures(seed):
    """Pairs (name, picture) of what is no line drawing, different for each seed."""
    rng = np.random.default_rng(10_000 + seed)
    return [
        ("sprite", sprite(seed, 128).frames[0]),
        ("sprite 256", sprite(seed + 500, 256).frames[0]),
        ("sprite full", sprite(seed, 128, "full").frames[0]),
        ("sprite full 256", sprite(seed + 500, 256, "full").frames[0]),
        ("natural", natural(rng, exponent=rng.uniform(0.8, 1.6))),
        ("natural grey", natural(rng, grey=True, exponent=rng.uniform(0.8, 1.6))),
        ("leaves", leaves(rng)),
        ("leaves grey", leaves(rng, grey=True)),
        ("leaves large", leaves(rng, 384, 512, least=0.08)),
        ("gradient", gradient(rng)),
        ("portrait", portrait(rng)),
        ("portrait grey", portrait(rng, 320, 240, grey=True)),
    ]


def sheet(rows, cell=256):
    """Rows of pictures of any size as one (H, W, 3) picture, each fitted into a cell."""
    out = np.full((len(rows) * (cell + 4), max(map(len, rows)) * (cell + 4), 3), 120, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            scale = cell / max(picture.shape[:2])
            size = tuple(max(1, round(s * scale)) for s in picture.shape[1::-1])
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
            out[r * (cell + 4) :, c * (cell + 4) :][: small.shape[0], : small.shape[1]] = small
    return out


def main(folder):
    """Write the sheets."""
    from motionkit.perception.sketch import read_drawing

    folder = Path(folder)
    for family, made in (("drawings", drawings(3)), ("pictures", pictures(3))):
        rows = []
        for name, picture in made:
            try:
                results = [read_drawing(picture, size=(side, side)) for side in (256, 128)]
            except UserError as error:
                print(family, name, error)
                rows.append([picture, *[np.full((8, 8, 3), 120, np.uint8)] * 2])
                continue
            print(family, name, results[0].notes)
            rows.append([picture, *(r.image for r in results)])
        pairs = [sum(rows[i : i + 2], []) for i in range(0, len(rows), 2)]
        for part in range(0, len(pairs), 4):
            path = folder / f"{family}-{part // 4}.png"
            cv2.imwrite(str(path), sheet(pairs[part : part + 4])[..., ::-1])


if __name__ == "__main__":
    main(sys.argv[1])
