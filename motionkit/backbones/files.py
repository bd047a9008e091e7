"""Where a backbone's files lie: local folder, package, hub cache; what is missing, and their fingerprint. No torch."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.backbones.catalog import BackboneSpec
from motionkit.errors import MissingWeights, UserError
from motionkit.hashing import hash_json, hash_path
from motionkit.output import temporary_beside
from motionkit.places import cache_home

if TYPE_CHECKING:
    from motionkit.backbones.motion_files import MotionOptions

MODEL, TEXT = "diffusion_pytorch_model", "model"
_TOKENIZER = ("vocab.json", "merges.txt", "tokenizer_config.json")
_OPTIONAL = ("special_tokens_map.json",)  # where older tokenizers keep the padding token
ASSETS = Path(__file__).parents[1] / "assets"
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")
LAYOUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "sd": {
        "vae": ("config.json", MODEL),
        "unet": ("config.json", MODEL),
        "text_encoder": ("config.json", TEXT),
        "tokenizer": _TOKENIZER,
        "scheduler": ("scheduler_config.json",),
    }
}
LAYOUTS["modelscope"] = LAYOUTS["sd"] | {"tokenizer": (*_TOKENIZER, *_OPTIONAL)}
LAYOUTS["sdxl"] = LAYOUTS["sd"] | {"text_encoder_2": ("config.json", TEXT), "tokenizer_2": _TOKENIZER}
LAYOUTS |= {"animatediff": LAYOUTS["sd"], "animatediff-xl": LAYOUTS["sdxl"]}  # motion modules: see motion_files
LAYOUTS["animatex"] = LAYOUTS["modelscope"] | {"image_encoder": ("config.json", TEXT)}


def locate(spec: BackboneSpec, path: str | None = None, online: bool = False) -> Path:
    """The folder with all of the backbone's files: `path` (folder or hub id), else the package, else the hub cache.

    Nothing is downloaded unless `online` or MOTIONKIT_ONLINE=1.
    Raises: MissingWeights naming every missing file and the command that gets them; UserError for what is not a folder
    in hub layout, and for pickled weights.
    """
    if path and Path(path).expanduser().exists():
        return _local(spec, Path(path).expanduser())
    if path and (path.count("/") != 1 or path.startswith((".", "~", "/")) or path.endswith("/")):
        raise MissingWeights(f"{spec.name}: no folder {path} (backbone.path is a folder or a hub id owner/name)")
    if not path and spec.asset:
        folder = ASSETS / spec.asset
        if missing := inventory(spec, folder)[1]:
            raise MissingWeights(
                f"{spec.name}: this installation lacks {', '.join(missing)} in {folder}: install motionkit again, "
                f"or give backbone.path=FOLDER"
            )
        return folder
    hub_id = path or spec.hub_id
    if spec.converter and not path:
        raise MissingWeights(
            f"{spec.name}: its folder is made once of the authors' checkpoint ({spec.weights}): motionkit convert "
            f"{spec.name} CHECKPOINT FOLDER, then give backbone.path=FOLDER"
        )
    if hub_id is None:
        raise MissingWeights(f"{spec.name}: give the folder with its weights as backbone.path=FOLDER")
    return _cached(spec, hub_id, online or os.environ.get("MOTIONKIT_ONLINE") == "1", bool(path))


def _local(spec: BackboneSpec, folder: Path) -> Path:
    if folder.is_file() and spec.converter:
        raise UserError(
            f"{spec.name}: {folder} is one file; make a folder of it once: motionkit convert {spec.name} "
            f"{folder} FOLDER, then give backbone.path=FOLDER"
        )
    if folder.is_file():
        convert = (
            f'. Convert it once with: python -c "from diffusers import StableDiffusion{"XL" * (spec.family == "sdxl")}'
            f"Pipeline as P; P.from_single_file('{folder}').save_pretrained('{folder.stem}')\""
        )
        other = f" ({', '.join(LAYOUTS[spec.family])})"
        raise UserError(
            f"{spec.name}: {folder} is one file; motionkit reads folders in the hub's layout"
            f"{other if spec.family == 'modelscope' else convert}"
        )
    if missing := inventory(spec, folder)[1]:
        if not any((folder / part).is_dir() for part in LAYOUTS[spec.family]):
            raise MissingWeights(
                f"{spec.name}: {folder} is not a model folder in the hub's layout: it has none of the folders "
                f"{', '.join(LAYOUTS[spec.family])}"
            )
        raise MissingWeights(f"{spec.name}: {folder} lacks {', '.join(missing)}")
    return folder


def _cached(spec: BackboneSpec, hub_id: str, online: bool, path_given: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        folder = Path(snapshot_download(hub_id, cache_dir=HF_HUB_CACHE, local_files_only=True))
    except Exception:  # not there, or there in part: both mean the same here
        folder = Path(HF_HUB_CACHE) / "nothing"
    missing = inventory(spec, folder)[1]
    if missing and online:
        try:
            wanted = missing + _optional(spec)
            return _local(spec, Path(snapshot_download(hub_id, cache_dir=HF_HUB_CACHE, allow_patterns=wanted)))
        except UserError:
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise MissingWeights(f"{spec.name}: the download of {hub_id} failed: {reason}") from error
    if missing:
        words = " ".join(missing + _optional(spec))
        neither = f"{hub_id} is no folder here, and " if path_given else ""
        raise MissingWeights(
            f"{spec.name}: {neither}not in the hub cache {HF_HUB_CACHE}: {', '.join(missing)}. "
            f"Get them with: hf download {hub_id} {words}  (about {spec.approx_gb:.3g} GB in all; "
            f"or let motionkit do it: MOTIONKIT_ONLINE=1; or give backbone.path=FOLDER)"
        )
    return folder


def _optional(spec: BackboneSpec) -> list[str]:
    return [f"{part}/{name}" for part, names in LAYOUTS[spec.family].items() for name in names if name in _OPTIONAL]


def part_folders(folder: Path, part: str) -> list[Path]:
    """Where the files of a part are looked for, in order: a file or a weight that one lacks is taken from the next.

    There are further places only for the models in the package, which share parts to stay small: the folder of the
    package that their shared.json names, and those that this one's shared.json names in turn. In anyone else's folder
    a shared.json means nothing.
    """
    own = [folder / part]
    if folder.resolve().parent != ASSETS.resolve() or not (folder / "shared.json").is_file():
        return own
    other = read_json(folder / "shared.json").get(part)
    if not other:
        return own
    lender, _, name = str(other).rpartition("/")
    return [*own, *part_folders(ASSETS / lender, name)]


def part_file(folder: Path, part: str, name: str) -> Path:
    """A file of a part, in the first of its folders that has it (in the part's own when none has)."""
    places = [place / name for place in part_folders(folder, part)]
    return next((file for file in places if file.is_file()), places[0])


def inventory(spec: BackboneSpec, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The files that the backbone reads, and those that `folder` lacks, by relative name.

    Raises: UserError where weights exist only as a pickle.
    """
    present: dict[str, Path] = {}
    missing: list[str] = []
    for part, names in LAYOUTS[spec.family].items():
        if part_file(folder, part, "tokenizer.json").is_file():  # the newer file in place of vocab.json and merges.txt
            names = ("tokenizer.json", "tokenizer_config.json")
        for name in names:
            found = _found(spec, folder, part, name)
            lost = [key for key, file in found.items() if not file.is_file()]
            missing += lost if name not in _OPTIONAL else []
            present |= {key: file for key, file in found.items() if key not in lost}
    return present, missing


def _found(spec: BackboneSpec, folder: Path, part: str, name: str) -> dict[str, Path]:
    """Relative name and place of a file of the layout; weights may be several files, in several folders."""
    if name not in (MODEL, TEXT):
        return {f"{part}/{name}": part_file(folder, part, name)}
    found: dict[str, Path] = {}
    for place in part_folders(folder, part):
        own = place == folder / part
        found |= {f"{'' if own else 'shared/'}{part}/{file.name}": file for file in weight_files(place, name)}
    if not found:
        refuse_pickle(spec, folder / part)
        variant = f".{spec.hub_variant}" if spec.hub_variant else ""
        lost = f"{part}/{name}{variant}.safetensors"
        found = {lost: folder / lost}
    return found


def weight_files(folder: Path, stem: str) -> list[Path]:
    """The safetensors files of one component: the full file, its half-precision variant, or the shards of an index."""
    for variant in ("", ".fp16"):
        if (file := folder / f"{stem}{variant}.safetensors").is_file():
            return [file]
        if (index := folder / f"{stem}.safetensors.index{variant}.json").is_file():
            shards = sorted(set(read_json(index).get("weight_map", {}).values()))
            if bad := [name for name in shards if Path(name).name != name]:
                raise UserError(f"{index} names files outside its folder: {', '.join(bad)}")
            return [folder / name for name in shards]
    return []


def refuse_pickle(spec: BackboneSpec, folder: Path) -> None:
    """Say what to do where a folder's weights are pickled. Raises: UserError."""
    found = sorted(p for p in folder.glob("*") if p.suffix in _PICKLES)
    if found:
        target = found[0].parent / ((TEXT if "encoder" in folder.name else MODEL) + ".safetensors")
        raise UserError(
            f"{spec.name}: {found[0]} is a pickle, which can run any code, and is not read. Get the safetensors files, "
            f'or convert one that you trust: python -c "import torch; from safetensors.torch import save_file; '
            f"save_file({{k: v.contiguous().clone() for k, v in torch.load('{found[0]}', weights_only=True).items()}}, "
            f"'{target}')\""
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises: UserError when it is not one."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"cannot read {path}: not a JSON object")
    return data


def fingerprint(spec: BackboneSpec, path: str | None = None, seed: int = 0, motion: MotionOptions | None = None) -> str:
    """SHA-256 of what decides the backbone's output: configurations and weights, or the seed of a made-up one.

    Loads no weight. Hashes of large files are remembered by resolved path, size and modification time.
    Raises: as `locate`.
    """
    if spec.base:
        from motionkit.backbones import motion_files

        return motion_files.fingerprint(spec, path, seed, motion)
    if spec.hub_id is None and spec.asset is None and path is None:
        from motionkit.backbones.tiny import OUTPUT_SCALE, architecture

        return hash_json({"name": spec.name, "architecture": [architecture(spec.family), OUTPUT_SCALE], "seed": seed})
    present, _ = inventory(spec, locate(spec, path))
    return hash_json(hash_files(present))


def hash_files(present: dict[str, Path]) -> dict[str, str]:
    """SHA-256 of each file by its name; those of large files are remembered."""
    memory = _Remembered()
    parts = {name: memory.hash(file) for name, file in present.items()}
    memory.save()
    return parts


class _Remembered:
    """File hashes kept between runs in the cache folder; an unreadable or unwritable memory only costs time."""

    def __init__(self) -> None:
        self.file = cache_home() / "file-hashes.json"
        try:
            known = json.loads(self.file.read_text())
        except (OSError, ValueError):
            known = None
        self.known: dict[str, str] = known if isinstance(known, dict) else {}
        self.size = len(self.known)

    def hash(self, file: Path) -> str:
        stat = file.stat()
        key = f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
        if stat.st_size < 1 << 20:
            return hash_path(file)
        if key not in self.known:
            self.known[key] = hash_path(file)
        return self.known[key]

    def save(self) -> None:
        if len(self.known) == self.size:
            return
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with temporary_beside(self.file) as temporary:
                temporary.write_text(json.dumps(self.known))
