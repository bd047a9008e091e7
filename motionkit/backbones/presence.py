"""Whether a backbone's weights are on this machine."""

from __future__ import annotations

from motionkit.backbones import folders, motion_files
from motionkit.backbones.catalog import BackboneSpec
from motionkit.errors import MissingWeights, UserError


def presence(spec: BackboneSpec) -> tuple[str, str]:
    """Whether the weights are here, in a word or two, and the whole line that says what is missing."""
    if spec.made_up:
        return "none needed", "random, from a seed"
    try:
        folder = folders.locate(spec)
        modules = [str(motion_files.locate(spec, folder))] if spec.base else []
        return "here", ", ".join([str(folder), *modules])
    except MissingWeights as error:
        return "missing", str(error)
    except UserError as error:
        return "unusable", str(error)
