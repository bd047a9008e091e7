"""What other tools call a setting, and which of several of one name is meant: for hints and for Python calls."""

from __future__ import annotations

from collections.abc import Iterable

# What other tools call it -> the last part of its name here.
ALSO = {
    "num_inference_steps": "steps",
    "inference_steps": "steps",
    "ddim_steps": "steps",
    "guidance_scale": "guidance",
    "cfg": "guidance",
    "cfg_scale": "guidance",
    "num_frames": "frames",
    "length": "frames",
    "height": "size",
    "width": "size",
    "resolution": "size",
    "frame_rate": "fps",
    "image": "reference",
    "input": "reference",
    "source": "reference",
    "ref": "reference",
    "video": "driving",
    "pose": "poses",
    "mask": "masks",
    "out": "output",
    "outdir": "output",
    "output_dir": "output",
    "model": "backbone",
    "torch_dtype": "dtype",
    "precision": "dtype",
    "generator": "seed",
    "callback_on_step_end": "progress",
    "learning_rate": "lr",
    "batch_size": "batch",
    "max_steps": "steps",
    "dataset": "data",
}
_FIRST = ("sample", "generate", "recipe")  # of settings of one name, those of these parts are meant most often


def likeliest(key: str) -> tuple[bool, bool, int]:
    """A sorting key for dotted names with one last part: the one that is meant most often comes first."""
    parts = key.split(".")
    return len(parts) > 1, not any(part in _FIRST for part in parts[:-1]), len(parts)


def setting_for(word: str, known: Iterable[str]) -> str | None:
    """The setting among dotted names that another tool's word stands for; None where there is none.

    >>> setting_for("num_inference_steps", ["lora.steps", "sample.steps"])
    'sample.steps'
    """
    own = ALSO.get(word)
    return min((key for key in known if key.rpartition(".")[2] == own), key=likeliest, default=None)
