"""`motionkit convert`: published checkpoints in motionkit's own layout."""

from __future__ import annotations

from pathlib import Path

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError, unknown

HELP = """usage: motionkit convert NAME SOURCE TARGET [key=value ...]

Converts a published checkpoint to safetensors, once. No code in the checkpoint is run.

  animatex SOURCE FOLDER     the authors' Animate-X checkpoint (.pth) to a model folder, for backbone.path=FOLDER
                             dtype=float16|bfloat16|float32   of the written weights
                             base=FOLDER|ID                   a Stable Diffusion 2.1, for autoencoder and text encoder
                             image_encoder=FOLDER|ID          a CLIP ViT-H/14
                             config=FILE.json                 sizes, for a network that is not the released one
  anamodiff SOURCE FILE      a first-order-model checkpoint (.pth.tar) to keypoints.safetensors
                             pad=0 temperature=0.1            of its heads

Parts that are not given are looked for in the hub's cache; for missing ones, the download command is printed.

example: motionkit convert animatex animate-x_ckpt.pth animatex && motionkit transfer ... backbone.path=animatex
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    words = [word for word in argv if not _is_option(word)]
    if len(words) != 3:
        raise UserError(f"convert takes NAME SOURCE TARGET (got {len(words)} words): see motionkit convert --help")
    options = dict(word.split("=", 1) for word in argv if _is_option(word))
    run = registry.load_object(converter(words[0]))
    print(run(Path(words[1]).expanduser(), Path(words[2]).expanduser(), options))
    return 0


def converter(name: str) -> str:
    """The path of the function that converts files for a backbone or a method. Raises: UserError for another name."""
    found = {spec.name: spec.converter for spec in catalog.specs().values() if spec.converter}
    specs = [registry.spec(method) for method in registry.names()]
    found |= {spec.name: spec.converter for spec in specs if spec.converter}
    if name not in found:
        raise unknown("checkpoint to convert", name, found)
    return found[name]


def _is_option(word: str) -> bool:
    key, equals, _ = word.partition("=")
    return bool(equals) and key.isidentifier()
