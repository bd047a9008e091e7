"""Figure 2 of VIDMP3 (arXiv 2510.12069) drawn again: a cube's path learnt from C x D, and tried on other clips.

    python benchmarks/toy_vidmp3.py --seeds 3 --picture benchmarks/pictures/toy_vidmp3.png

Losses are against the path of the training clip, in units in which the path's own mean scores 1: they should fall for
other shapes and sizes, and rise for another motion. The table also has the paper's ablations of the guide's input and
ours of its design. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from motionkit.errors import in_one_line
from motionkit.media import write_image
from motionkit.methods.vidmp3.toy import OTHER_SHAPES, toy_clips
from motionkit.methods.vidmp3.toy_fit import Course, learn
from motionkit.metrics import bootstrap_interval

VARIANTS = {
    "product, faces (the paper)": ("faces", {}),
    "product, polar wheel": ("polar", {}),
    "product, uv1": ("uv1", {}),
    "correspondence only": ("faces", {"inputs": "correspondence"}),
    "depth only": ("faces", {"inputs": "depth"}),
    "concat (4 channels)": ("faces", {"inputs": "concat"}),
    "correspondence only, polar": ("polar", {"inputs": "correspondence"}),
    "concat, polar": ("polar", {"inputs": "concat"}),
    "biases on": ("faces", {"bias": True}),
    "encoding not masked": ("faces", {"mask_position": False}),
    "no division by alpha": ("faces", {"divide": False}),
    "no encoding": ("faces", {"position": False}),
}
COLUMNS = ("train", "shape", "shape max", "size", "motion", "motion min", "rotation", "across", "along")
PAPER, INK, FAINT = (255, 255, 255), (30, 30, 30), (225, 225, 225)
CURVES = {"train": (30, 90, 200), "shape": (20, 150, 70), "motion": (210, 50, 40)}
NAMES = {"train": "original", "shape": "other shape, same motion", "motion": "same shape, other motion"}


def row_of(courses: list[Course]) -> dict[str, float]:
    """Means over seeds; "max" and "min" are the extremes of all seeds."""
    row = {group: float(np.mean([c.mean(group) for c in courses])) for group in ("train", "shape", "size", "motion")}
    row["shape max"] = max(max(c.last("shape")) for c in courses)
    row["motion min"] = min(min(c.last("motion")) for c in courses)
    for name in ("rotation", "across", "along"):
        row[name] = float(np.mean([c.losses["factor"][name][-1] for c in courses]))
    row["separation"] = min(c.separation() for c in courses)
    return {name: round(value, 4) for name, value in row.items()}


def strips(seed: int, picks: int = 6, zoom: int = 2) -> list[tuple[str, np.ndarray]]:
    """Frames of C x D of the original, of another shape and of another motion, labelled."""
    clips = toy_clips(seed)
    shape = next(iter(OTHER_SHAPES))
    chosen = (
        ("original", clips["train"]["cube"]),
        (f"same motion, {shape}", clips["shape"][shape]),
        ("other motion", clips["motion"]["motion 1"]),
    )
    rows = []
    for label, maps in chosen:
        at = np.linspace(0, len(maps.image) - 1, picks).round().astype(int)
        frames = (maps.image[at] + 1 - maps.mask[at]).clamp(0, 1)  # on white
        tiles = (frames.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8).repeat(zoom, 1).repeat(zoom, 2)
        tiles[:, [0, -1]] = tiles[:, :, [0, -1]] = FAINT
        rows.append((label, np.concatenate(list(tiles), 1)))
    return rows


def plot(courses: list[Course], width: int, height: int) -> Image.Image:
    """Loss over training steps, mean of the seeds and of each group's clips, on a logarithmic scale."""
    image = Image.new("RGB", (width, height), PAPER)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    left, right, top, bottom = 46, width - 12, 14, height - 40
    steps, low, high = courses[0].steps, -2.3, 0.7

    def place(step: float, loss: float) -> tuple[float, float]:
        x = left + (right - left) * step / steps[-1]
        return x, bottom - (bottom - top) * (np.log10(max(loss, 10**low)) - low) / (high - low)

    for tick in (0.01, 0.1, 1.0):
        y = place(0, tick)[1]
        pen.line([(left, y), (right, y)], FAINT)
        pen.text((left - 6, y), f"{tick:g}", INK, font, anchor="rm")
    for tick in range(0, steps[-1] + 1, max(1, steps[-1] // 5)):
        pen.text((place(tick, 1)[0], bottom + 6), str(tick), INK, font, anchor="mt")
    pen.text(((left + right) / 2, height - 4), "training steps", INK, font, anchor="mb")
    pen.rectangle((left, top, right, bottom), outline=(150, 150, 150))
    for row, (group, colour) in enumerate(CURVES.items()):
        each = np.array([list(c.losses[group].values()) for c in courses]).reshape(-1, len(steps))
        for course in each:
            faint = tuple(int(c + 0.72 * (255 - c)) for c in colour)
            pen.line([place(s, v) for s, v in zip(steps, course, strict=True)], faint, 1)
        pen.line([place(s, v) for s, v in zip(steps, each.mean(0), strict=True)], colour, 3)
        x, y = left + 14, bottom - 60 + 18 * row
        pen.line([(x, y), (x + 22, y)], colour, 3)
        pen.text((x + 30, y), NAMES[group], INK, font, anchor="lm")
    return image


def figure(courses: list[Course], seed: int) -> np.ndarray:
    """Frames to the left, losses to the right, as in the paper."""
    rows, font, bar = strips(seed), ImageFont.load_default(13), 22
    side = rows[0][1].shape[0] + bar
    width, height = rows[0][1].shape[1] + 24, side * len(rows) + 16
    sheet = Image.new("RGB", (width + 460, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, (label, strip) in enumerate(rows):
        pen.text((12, 8 + i * side + bar / 2), label, INK, font, anchor="lm")
        sheet.paste(Image.fromarray(strip), (12, 8 + i * side + bar))
    sheet.paste(plot(courses, 460, height), (width, 0))
    return np.asarray(sheet)


def table(rows: dict[str, dict[str, float]]) -> Iterable[str]:
    """The lines of the table."""
    yield "| " + " | ".join(("mean of the seeds", *COLUMNS, "least motion / worst shape")) + " |"
    yield "|" + "---|" * (len(COLUMNS) + 2)
    for name, row in rows.items():
        cells = [f"{row[c]:.3f}" for c in COLUMNS] + [f"{row['separation']:.1f}"]
        yield f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="only the figure, without the ablations")
    parser.add_argument("--picture", type=Path, default=Path("toy_vidmp3.png"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    began, rows, first = time.process_time(), {}, []
    for name, (colours, options) in list(VARIANTS.items())[: 1 if args.quick else None]:
        every = 0 if first else 5
        courses = [learn(s, colours, args.iterations, every=every, **options)[1] for s in range(args.seeds)]
        rows[name], first = row_of(courses), first or courses
    write_image(args.picture, figure(first, seed=0))
    print(f"{args.seeds} seeds, {args.iterations} steps; 1.0 is what the path's own mean scores\n")
    print("\n".join(table(rows)))
    print("\nThe paper's setting, every clip, with 95 % bootstrap intervals:")
    for group in first[0].losses:
        values = [v for c in first for v in c.last(group)]
        low, high = bootstrap_interval(values)[1:]
        print(f"  {group}: {np.mean(values):.3f} [{low:.3f}, {high:.3f}] (n = {len(values)})")
    seconds = round(time.process_time() - began, 1)
    print(f"\n{args.picture}; {seconds} s of processor time")
    print(json.dumps({"seeds": args.seeds, "iterations": args.iterations, "cpu_s": seconds, "rows": rows}))


if __name__ == "__main__":
    in_one_line(main)
