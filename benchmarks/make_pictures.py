"""Draws the README's pictures from the shipped example: `python benchmarks/make_pictures.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motionkit.cli.demo import EXAMPLE
from motionkit.errors import in_one_line
from motionkit.media import read_clip, write_image
from motionkit.report.tiles import Panel
from motionkit.report.tiles import contact_sheet as labelled_sheet
from motionkit.running.execute import execute
from motionkit.sprites import BIPEDS, MOTIONS, QUADRUPEDS
from motionkit.sprites.export import contact_sheet
from motionkit.transfer import Inputs

OUT = Path(__file__).parent / "pictures"


def main() -> None:
    """Writes sprites.png, transfer.png, vidmp3.png and animatex.png."""
    OUT.mkdir(exist_ok=True)
    kinds = (*QUADRUPEDS, *BIPEDS, "letter A", "letter K", "flag")
    write_image(OUT / "sprites.png", contact_sheet(kinds, tuple(MOTIONS), 80))
    clips = {name: read_clip(EXAMPLE / f"{name}.mp4") for name in ("driving", "source", "truth")}
    rows = {"driving": clips["driving"].frames, "source": clips["source"].frames}
    inputs = Inputs(reference=clips["source"], driving=clips["driving"], prompt="orange giraffe")
    for method in ("warp", "anamodiff"):
        rows[method] = execute(method, inputs, gpu="cpu", seed=0, size=128).frames
    rows["truth"] = clips["truth"].frames
    panels = [Panel(name, np.asarray(frames)) for name, frames in rows.items()]
    write_image(OUT / "transfer.png", labelled_sheet(panels))
    edits()
    poses()


def poses() -> None:
    """Writes animatex.png: a driving clip, its poses as read and as fitted, the result, the truth."""
    clips = {name: read_clip(EXAMPLE / f"{name}.mp4") for name in ("driving", "source", "truth")}
    made = execute("animatex", Inputs(reference=clips["source"], driving=clips["driving"]), gpu="cpu", seed=0)
    rows = {
        "driving": clips["driving"].frames,
        "poses read": made.shown["poses-read"],
        "fitted to the reference": made.shown["poses-aligned"],
        "animatex": made.frames,
        "truth": clips["truth"].frames,
    }
    write_image(OUT / "animatex.png", labelled_sheet([Panel(name, np.asarray(f)) for name, f in rows.items()]))


def edits() -> None:
    """Writes vidmp3.png: a clip, what the guide sees of it, and two edits."""
    clip = read_clip(EXAMPLE / "driving.mp4")
    rows = {"clip": clip.frames}
    for prompt in ("a blue horse running", "a green turtle running"):
        inputs = Inputs(driving=clip, prompt=prompt, source_prompt="a purple cat running")
        made = execute("vidmp3", inputs, config={"subject": "cat"}, gpu="cpu", seed=0)
        strips = np.split(made.shown["maps"], 5, axis=1)  # frame, correspondence, depth, mask, product
        rows |= {"correspondence": strips[1], "depth": strips[2], prompt: made.frames}
    write_image(OUT / "vidmp3.png", labelled_sheet([Panel(name, np.asarray(f)) for name, f in rows.items()]))


if __name__ == "__main__":
    in_one_line(main)
