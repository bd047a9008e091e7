"""Runs one case and says what came out, in terms that do not change when modules move."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.identity.cases import PROMPTS, Case

RECIPES = {"pocket_sd": "motionkit.training.recipes.pocket_sd", "pocket_maps": "motionkit.training.recipes.pocket_maps"}
BATCH, SEED = 4, 0  # of a recipe's first step
SMALL = 32  # pixels, the longest side of frames that are kept for other machines


@dataclass
class Outcome:
    """What a case made.

    Attributes:
        hashes: of frames, stages or weights, equal to the last bit or not.
        figures: measured values, equal to the last digit where the environment is.
        small: (F, h, w, 3) float32, frames averaged over squares of pixels; empty where there are none.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    small: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 1, 3), np.float32))


def run(case: Case, assets: Path, folder: Path) -> Outcome:
    """Run a case; `assets` holds the example and the weights, `folder` is an empty place to work in."""
    return {"transfer": transfer, "compare": compare, "train": train, "recipe": recipe}[case.kind](case, assets, folder)


def transfer(case: Case, assets: Path, folder: Path) -> Outcome:
    """Frames, the video before it is rounded to them, and each stage's content hash as the manifest has it."""
    import motionkit

    method = motionkit.load(case.method, case.backbone, case.gpu, **case.settings)
    clips = (part(assets / "example" / name, case.options["frames"]) for name in ("source.mp4", "driving.mp4"))
    with generated(method.spec.transfer) as arrays:
        result = method(*clips, **PROMPTS, **case.options, seed=3, folder=folder / "run", use_cache=False)
    stages = {name: result.manifest["stages"][name]["content"] for name in ("prepare", "fit")}
    made = {name: hash_arrays({name: array}) for name, array in (arrays | {"frames": result.frames}).items()}
    return Outcome(stages | made, small=shrink(result.frames))


def part(file: Path, frames: int) -> Any:
    """That many frames spread over a clip: which part of a longer one a method would take is not what is guarded."""
    from motionkit import media

    return media.resample(media.read_clip(file), frames=frames)


@contextmanager
def generated(transfer: str) -> Iterator[dict[str, np.ndarray]]:
    """What the `generate` of a `Transfer` ("module:class", as its spec has it) returns, kept as "video"."""
    module, _, name = transfer.partition(":")
    kind = getattr(importlib.import_module(module), name)
    real, kept = kind.generate, {}

    def generate(self: Any, *given: Any) -> Any:
        video = real(self, *given)
        kept["video"] = video.detach().float().cpu().numpy()
        return video

    with mock.patch.object(kind, "generate", generate):
        yield kept


def compare(case: Case, assets: Path, folder: Path) -> Outcome:
    """Every figure of every method against the example's truth."""
    from motionkit import media

    example = assets / "example"
    files = {"reference": "source.mp4", "driving": "driving.mp4", "truth": "truth.mp4"}
    for key, file in files.items():
        media.write_frames(folder / key, part(example / file, 4).frames)
    clips = [f"{key}={folder / key}" for key in files]
    texts = [f"{key}={value}" for key, value in PROMPTS.items()]
    motionkit_command("compare", *case.words, *clips, *texts, "gpu=cpu", "cache=false", f"output={folder / 'out'}")
    cells = json.loads((folder / "out" / "metrics.json").read_text())["cells"]
    return Outcome(figures=numbers({cell["method"]: cell["metrics"] for cell in cells}))


def train(case: Case, assets: Path, folder: Path) -> Outcome:
    """The weights that a trainer writes, and its own figures."""
    from safetensors.numpy import load_file

    out = folder / "out"
    motionkit_command("train", *case.words, "gpu=cpu", "progress=none", f"output={out}")
    files = [file for file in sorted(out.rglob("*.safetensors")) if "cache" not in file.parts]
    hashes = {file.relative_to(out).as_posix(): hash_arrays(load_file(file)) for file in files}
    return Outcome(hashes, numbers(json.loads((out / "record.json").read_text())["figures"]))


def recipe(case: Case, assets: Path, folder: Path) -> Outcome:
    """The loss of the first step of a pocket recipe."""
    import torch

    module = importlib.import_module(RECIPES[case.method])
    torch.manual_seed(SEED)
    if case.method == "pocket_maps":
        loss = module.make_loss(module.MapsNet(), BATCH, SEED, "cpu")
    else:
        from diffusers import AutoencoderKL
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(assets / "pocket-sd" / "tokenizer")
        vae = AutoencoderKL.from_pretrained(assets / "pocket-sd" / "vae").float().eval()
        loss = module.make_loss(module.TextToImage(len(tokenizer)), vae, tokenizer, BATCH, SEED, "cpu")
    value, logs = loss(0)
    return Outcome(figures={"loss": value.item()} | numbers(logs))


def motionkit_command(*words: str) -> None:
    """`motionkit WORDS` in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "motionkit", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"motionkit {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


def hash_arrays(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of named arrays: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def shrink(frames: np.ndarray) -> np.ndarray:
    """Frames (F, H, W, 3) uint8 averaged over squares until no side is longer than SMALL; float32 levels."""
    step = -(-max(frames.shape[1:3]) // SMALL)
    count, high, wide = len(frames), frames.shape[1] // step, frames.shape[2] // step
    cut = frames[:, : high * step, : wide * step].astype(np.float32)
    return cut.reshape(count, high, step, wide, step, 3).mean((2, 4))  # (F, h, w, 3)


def numbers(tree: Any, above: str = "") -> dict[str, float]:
    """Every number of nested tables and lists under its dotted name."""
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for name, below in items for k, v in numbers(below, f"{above}.{name}".lstrip(".")).items()}
    return {above: float(tree)} if isinstance(tree, int | float) and not isinstance(tree, bool) else {}
