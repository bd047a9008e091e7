"""Public vision networks from a local folder or the hub's cache: finding, checking and strict loading.

Nothing is downloaded unless MOTIONKIT_ONLINE=1, and nothing pickled is read. Imports no torch by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from motionkit.errors import MissingWeights, UserError
from motionkit.weights.finding import Wanted, find
from motionkit.weights.hashing import hash_files, hash_json
from motionkit.weights.model_files import first_line, pickles, read_json, weight_files

if TYPE_CHECKING:
    import torch

PREPROCESSOR = "preprocessor_config.json"
_OTHER_PREPROCESSOR = "processor_config.json"  # where newer versions of transformers save it, beneath "image_processor"
_STEM = "model"
_WANTED = ("*.json", f"{_STEM}*.safetensors")
_PICKLE = "pytorch_model.bin"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # what all of these networks were trained with


@dataclass(frozen=True)
class Network:
    """A vision network of transformers, or one of our own in a hub folder of that kind.

    Attributes:
        title: its name for people.  architecture: the class in transformers.  model_type: what config.json calls it.
        hub_id, size, licence: of the default weights.
        setting: how a user names other weights.  instead: what works without any.
        prepares: whether its preprocessor configuration is needed (else ImageNet's mean and deviation hold).
        module: a package that the class needs besides transformers; it is in the extra `vidmp3`.
        pickled: whether pytorch_model.bin is read where there is no safetensors file (tensors only, nothing is run).
    """

    title: str
    architecture: str
    model_type: str
    hub_id: str
    size: str
    licence: str
    setting: str
    instead: str
    prepares: bool = False
    module: str | None = None
    pickled: bool = False


NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        "sam2": Network(
            "SAM 2",
            "Sam2VideoModel",
            "sam2_video",
            "facebook/sam2.1-hiera-small",
            "0.18 GB",
            "Apache-2.0",
            "masks.weights",
            "masks=FOLDER with ready-made masks",
        ),
        "mask2former": Network(
            "Mask2Former",
            "Mask2FormerForUniversalSegmentation",
            "mask2former",
            "facebook/mask2former-swin-large-coco-panoptic",
            "0.87 GB",
            "code MIT, weights: see their page",
            "masks.classes",
            "masks=FOLDER with ready-made masks",
            prepares=True,
            module="scipy",
        ),
        "depth_anything": Network(
            "Depth Anything",
            "DepthAnythingForDepthEstimation",
            "depth_anything",
            "depth-anything/Depth-Anything-V2-Small-hf",
            "0.10 GB",
            "Apache-2.0 (Base and Large: CC BY-NC 4.0)",
            "depth.weights",
            "depth=FOLDER with ready-made depth",
        ),
        "dinov2": Network(
            "DINOv2",
            "Dinov2Model",
            "dinov2",
            "facebook/dinov2-base",
            "0.35 GB",
            "Apache-2.0",
            "correspondence.weights",
            "correspondence=FILE with a ready-made one",
        ),
    }
)

# Written here (`motionkit.perception.birefnet`, `.rmbg`), for transformers has no such classes of its own.
BIREFNET = Network(
    "BiRefNet",
    "BiRefNet",
    "BiRefNet",  # its config.json names the class and no type
    "ZhengPeng7/BiRefNet",
    "0.44 GB",
    "MIT",
    "masks.weights",
    "masks=FOLDER with ready-made masks",
)
RMBG = Network(
    "RMBG",
    "BriaRMBG",
    "SegformerForSemanticSegmentation",  # what its config.json says, though it is no Segformer
    "briaai/RMBG-1.4",
    "0.18 GB",
    "bria-rmbg-1.4: no commercial use without BRIA's agreement",
    "masks.weights",
    "masks=FOLDER with ready-made masks",
)


def wanted(network: Network) -> Wanted:
    """A network's files as weights to be found."""
    return Wanted(
        f"{network.setting}: {network.title} weights",
        missing_in=lambda folder: _missing(network, folder),
        checked=lambda folder: _checked(network, folder),
        hub_id=network.hub_id,
        patterns=_WANTED,
        size=f"about {network.size}, {network.licence}",
        setting=network.setting,
        instead=network.instead,
    )


def locate(network: Network, path: str | Path | None = None, fetch: bool = True) -> Path:
    """The folder with a network's weights: `path` (a folder or a hub id), else its own hub id in the hub's cache.

    With `fetch` and MOTIONKIT_ONLINE=1 what is not there is downloaded.

    Raises: as `weights.finding.find`; UserError where the folder holds another kind of model, or only pickled weights.
    """
    return find(wanted(network), path, None if fetch else False)


def _missing(network: Network, folder: Path) -> list[str]:
    """The names of the weight files that a folder lacks."""
    found = weight_files(folder, _STEM)
    if not found and network.pickled and (folder / _PICKLE).is_file():
        return []
    return [file.name for file in found if not file.is_file()] if found else [f"{_STEM}.safetensors"]


def _checked(network: Network, folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise MissingWeights(f"{folder} is not a {network.title} folder: it has no config.json")
    config = read_json(folder / "config.json")
    kinds = [config.get("model_type"), *(config.get("architectures") or ())]
    if network.model_type not in kinds:
        found = next(filter(None, kinds), None)
        raise UserError(f"{folder} holds a model of type {found!r}, not {network.title} ({network.model_type!r})")
    if lost := _missing(network, folder):
        if not weight_files(folder, _STEM) and (found := pickles(folder)):
            raise UserError(
                f"{folder} has its weights only as a pickle ({found[0].name}), which can run any code and is not read: "
                f"get {_STEM}.safetensors"
            )
        raise MissingWeights(f"{folder} lacks its weights: {lost[0]}")
    if network.prepares and preprocessor(folder) is None:
        raise MissingWeights(f"{folder} lacks {PREPROCESSOR}")
    return folder


def preprocessor(folder: Path) -> Path | None:
    """The file that says how pictures are prepared, where a folder has one."""
    return next((folder / n for n in (PREPROCESSOR, _OTHER_PREPROCESSOR) if (folder / n).is_file()), None)


def files(network: Network, path: str | None = None) -> dict[str, Path]:
    """The files that decide what the network computes: "title/name" -> file. Raises: as `locate`."""
    folder = locate(network, path)
    found = [folder / "config.json", *weight_files(folder, _STEM)]
    found += [file for file in (preprocessor(folder),) if file is not None]
    return {f"{network.model_type}/{file.name}": file for file in found}


def facts(network: Network, path: str | None = None) -> dict[str, Any]:
    """Which weights these are, for manifests: id or folder, and a hash over their files. Raises: as `locate`."""
    found = hash_files(files(network, path))
    folder = Path(path).expanduser() if path and Path(path).expanduser().is_dir() else None
    return {"weights": folder.name if folder else path or network.hub_id, "sha256": hash_json(found)}


def need_module(network: Network) -> None:
    """Raises: MissingWeights when a package that the network needs cannot be imported."""
    import importlib

    if network.module is None:
        return
    try:
        importlib.import_module(network.module)
    except ImportError as error:
        raise MissingWeights(
            f"{network.title} needs {network.module}: pip install 'motionkit[vidmp3]', or {network.instead}"
        ) from error


def load(
    network: Network,
    path: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[Any, Path]:
    """The network in eval mode without gradients, and its folder.

    Raises:
        MissingWeights: as `locate` and `need_module`.
        UserError: files that are damaged, or that lack weights or have other shapes than the configuration says.
    """
    import torch
    import transformers

    from motionkit.weights.building import LOCK

    folder = locate(network, path)
    need_module(network)
    try:
        with LOCK, _quietly():
            model, found = getattr(transformers, network.architecture).from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=None if network.pickled else True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # damaged files end in many kinds of error
        raise UserError(f"{folder} is not a usable {network.title} folder: {first_line(error)}") from error
    lost = sorted(str(name) for name in found["missing_keys"] or ())
    if lost:  # transformers would continue with random numbers in their place
        few = f"it lacks {len(lost)} weights, e.g. {lost[0]}"
        raise UserError(f"{folder} is not a usable {network.title} folder: {few}")
    return model.to(device, dtype or torch.float32).eval().requires_grad_(False), folder


@contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' progress bars and warnings; what they warn of is an error here."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def normalisation(
    folder: Path, usual: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each colour in [0, 1]: those of the folder's preprocessor, else the usual ones."""
    file = preprocessor(folder)
    given = read_json(file) if file else {}
    given = given.get("image_processor", given)
    mean, deviation = (given.get(name) for name in ("image_mean", "image_std"))
    return tuple(mean or usual[0]), tuple(deviation or usual[1])
