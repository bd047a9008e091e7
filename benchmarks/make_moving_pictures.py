"""Draws the moving pictures of README.md and docs/: `python benchmarks/make_moving_pictures.py [NAME...]`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from motionkit.cli import demo
from motionkit.cli.demo import EXAMPLE
from motionkit.media import read_clip
from motionkit.report.tiles import Panel, grid
from motionkit.running.execute import execute
from motionkit.table.bench.tasks import make_case
from motionkit.transfer import Inputs

OUT = Path(__file__).parents[1] / "docs" / "pictures"
PROMPT, SOURCE = "orange giraffe running", "a purple cat running"
DRAWINGS = (0, 3)  # held-out cases of the protocol `drawing`
EDITS = ("a blue horse running", "a green turtle running")


def main(names: list[str]) -> None:
    """Writes the named pictures of `PICTURES`, all of them without names."""
    OUT.mkdir(exist_ok=True)
    for name in names or PICTURES:
        write(OUT / f"{name}.webp", PICTURES[name]())
        print(OUT / f"{name}.webp", (OUT / f"{name}.webp").stat().st_size)


def write(path: Path, video: np.ndarray, fps: float = 8) -> None:
    """A looping webp of frames (F, H, W, 3) uint8."""
    first, *rest = map(Image.fromarray, video)
    first.save(path, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, quality=80, method=6)


def clip(name: str) -> np.ndarray:
    """Frames of the shipped example, (10, 128, 128, 3) uint8."""
    return read_clip(EXAMPLE / f"{name}.mp4").frames


def request() -> Inputs:
    """The example's request, the same for every method."""
    source, driving = (read_clip(EXAMPLE / f"{name}.mp4") for name in ("source", "driving"))
    return Inputs(reference=source, driving=driving, prompt=PROMPT, source_prompt=SOURCE)


def made(method: str, inputs: Inputs | None = None, **more: object) -> np.ndarray:
    """A method's frames for a request."""
    return np.asarray(execute(method, inputs or request(), gpu="cpu", seed=0, **more).frames)


def hero() -> np.ndarray:
    """Driving clip, reference, truth and a floor above the four methods on that request, as `make demo` leaves them."""
    sys.argv[1:] = []  # which the demo would read
    if demo.main():  # finished methods are read back
        raise SystemExit("the demo failed: see above")
    panels = [Panel("driving clip", clip("driving")), Panel("reference", clip("source")[:1])]
    panels.append(Panel("true answer", clip("truth")))
    titles = {"warp": "warp (no network)", "anamodiff": "AnaMoDiff", "animatex": "Animate-X"}
    for name, title in (titles | {"vidmp3": "VIDMP3", "flipsketch": "FlipSketch"}).items():
        (cell,) = Path("runs/demo/cells").glob(f"{name}-*")
        panels.append(Panel(title, read_clip(cell / "frames", fps=8).frames))
    return grid(panels, 4)


def beside(method: str, title: str) -> np.ndarray:
    """A method that moves the reference, beside what it was given and the truth."""
    rows = [("driving clip", clip("driving")), ("reference", clip("source")[:1]), (title, made(method))]
    return grid([Panel(label, frames) for label, frames in (*rows, ("true answer", clip("truth")))], 4)


def animatex() -> np.ndarray:
    """A driving clip, its poses fitted to the reference, the result, the truth."""
    result = execute("animatex", request(), gpu="cpu", seed=0)
    rows = [("driving clip", clip("driving")), ("its poses, fitted", result.shown["poses-aligned"])]
    rows += [("Animate-X", result.frames), ("true answer", clip("truth"))]
    return grid([Panel(label, np.asarray(frames)) for label, frames in rows], 4)


def vidmp3() -> np.ndarray:
    """A clip, what the guide sees of it, and two edits."""
    driving = read_clip(EXAMPLE / "driving.mp4")
    panels = [Panel("clip: " + SOURCE, driving.frames)]
    for prompt in EDITS:
        inputs = Inputs(driving=driving, prompt=prompt, source_prompt=SOURCE)
        result = execute("vidmp3", inputs, config={"subject": "cat"}, gpu="cpu", seed=0)
        if len(panels) == 1:
            panels.append(Panel("its correspondence", np.split(result.shown["maps"], 5, axis=1)[1]))
        panels.append(Panel(prompt, result.frames))
    return grid(panels, 4)


def flipsketch() -> np.ndarray:
    """Two drawings, each beside what a sentence makes of it."""
    panels = []
    for number in DRAWINGS:
        inputs = make_case("drawing", number, frames=10, size=128).inputs
        panels += [Panel("drawing", inputs.reference.frames), Panel(inputs.prompt, made("flipsketch", inputs))]
    return grid(panels, 4)


PICTURES: dict[str, Callable[[], np.ndarray]] = {
    "still": lambda: beside("still", "still"),
    "warp": lambda: beside("warp", "warp"),
    "animatex": animatex,
    "anamodiff": lambda: beside("anamodiff", "AnaMoDiff"),
    "vidmp3": vidmp3,
    "flipsketch": flipsketch,
    "hero": hero,
}

if __name__ == "__main__":
    main(sys.argv[1:])
