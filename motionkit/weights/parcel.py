"""What of a training's folder is sent to the hub, and what never is: pickles, secrets, paths of this machine. No torch.

`record.json` says which files are the weights (`TrainJob.made`); these, the curve and a record without paths go out,
and nothing else of the folder.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from motionkit.errors import UserError
from motionkit.weights.model_files import read_json

RECORD, SAMPLES = "record.json", "samples"
_TEXTS = (".json", ".txt", ".csv", ".md", ".model")
_KINDS = (".safetensors", ".mp4", *_TEXTS)
_HEADER = 100_000_000  # bytes of a safetensors header, as its format allows
_SECRETS = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bsk-[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\bxox[abprs]-[\w-]{10,}|\bAIza[\w-]{35}|-----BEGIN [A-Z ]*PRIVATE KEY"
)
_ROOTS = "home|root|Users|mnt|media|tmp|var|work|workspace|scratch|data|opt|srv|gpfs|lustre"
_PLACES = re.compile(rf"(?<![\w.:/<])(?:~|/(?:{_ROOTS}))/[^\s\"'<>]+" r"|(?<!\w)[A-Za-z]:\\[\w .-]+\\[^\s\"'<>]+")


@dataclass(frozen=True)
class Parcel:
    """What would be sent.

    Attributes:
        record: of the training, without paths; `made` says how its weights are used.
        files: name in the repository -> the file, or its bytes.
        remarks: what the user should know of the content, a line each.
    """

    record: dict[str, Any]
    files: dict[str, Path | bytes] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        held = self.files[name]
        return len(held) if isinstance(held, bytes) else held.stat().st_size


def pack(folder: Path, samples: bool = False) -> Parcel:
    """The files of a finished training.

    Args:
        folder: that `motionkit train` wrote.
        samples: whether the last sample clips of a tracker go with it; they show training or held-out clips.

    Raises:
        UserError: no finished training, a pickle or another kind of file among the weights, or a file that holds a
            secret or a path of this machine.
    """
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder} has no {RECORD}: give the folder of a finished `motionkit train`")
    record = read_json(folder / RECORD)
    made = record.get("made")
    if not isinstance(made, dict) or not isinstance(made.get("files"), list) or not _whole(made):
        raise UserError(
            f"{folder / RECORD} does not say what the weights are (it is of an older version): the same "
            "motionkit train command with that output= writes it anew, without training again"
        )
    files = _weights(folder, [str(name) for name in made["files"]])
    for curve in (folder / "curve.csv", *sorted(folder.glob("*/curve.csv"))):
        if curve.is_file():
            files["-".join(curve.relative_to(folder).parts)] = curve
    files |= _samples(folder) if samples else {}
    for name, file in files.items():
        _check(file, name)
    clean = shortened(record)
    text = json.dumps(clean, indent=1, sort_keys=True) + "\n"
    _refuse(text, folder / RECORD)
    files[RECORD] = text.encode()
    return Parcel(clean, {name: files[name] for name in sorted(files)}, tuple(_remarks(record, samples)))


def _whole(made: dict[str, Any]) -> bool:
    """Whether a record says all that the model card needs."""
    words = ("method", "backbone", "key", *(("setting",) if made.get("data") == "sprites" else ()))
    return all(isinstance(made.get(word), str) for word in words)


def _weights(folder: Path, names: list[str]) -> dict[str, Path | bytes]:
    """Files by their names in the repository, where a folder's files lie at the root."""
    found: dict[str, Path | bytes] = {}
    for name in names:
        place = folder / name
        if not place.resolve().is_relative_to(folder.resolve()) or not place.exists():
            raise UserError(f"{folder / RECORD} names {name}, which is not in {folder}")
        inside = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        root = place if place.is_dir() else place.parent
        for file in inside:
            if not file.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{file} is a link to a file outside {folder}: it is not sent; remove it")
            if (inner := file.relative_to(root).as_posix()) in found:
                raise UserError(f"{folder / RECORD} names two files that would both be {inner} in the repository")
            found[inner] = file
    if not found:
        raise UserError(f"{folder} holds no weights: the training did not finish")
    return found


def _samples(folder: Path) -> dict[str, Path | bytes]:
    """The last clip of each name."""
    last = {file.stem.rpartition("-")[0]: file for file in sorted((folder / SAMPLES).glob("*.mp4"))}
    return {f"{SAMPLES}/{file.name}": file for file in last.values()}


def _check(file: Path | bytes, name: str) -> None:
    assert isinstance(file, Path)
    with file.open("rb") as stream:
        start = stream.read(16)
        pickled = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
        if pickled or start[:4] == b"PK\x03\x04" or file.suffix in (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"):
            raise UserError(f"{file} is a pickle or an archive, which can run code where it is read: it is not sent")
        if file.suffix not in _KINDS or any(part.startswith(".") for part in PurePath(name).parts):
            raise UserError(f"{file} is no kind of file that weights need ({', '.join(_KINDS)}): remove it")
        if file.suffix == ".safetensors":
            _refuse(_metadata(file, start), file)
        elif file.suffix in _TEXTS:
            _refuse(file.read_text(encoding="utf-8", errors="replace"), file)


def _metadata(file: Path, start: bytes) -> str:
    """The words in a safetensors file's header."""
    size = int.from_bytes(start[:8], "little")
    if size > min(_HEADER, file.stat().st_size):
        raise UserError(f"{file} is no safetensors file: it is not sent")
    with file.open("rb") as stream:
        stream.seek(8)
        head = stream.read(size)
    try:
        return json.dumps(json.loads(head).get("__metadata__", {}), ensure_ascii=False)
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} is no safetensors file: it is not sent") from error


def _refuse(text: str, file: Path) -> None:
    """Raises: UserError where a text holds a secret (which is not repeated) or a path of this machine."""
    if found := _SECRETS.search(text):
        raise UserError(f"{file} holds what looks like a secret ({found[0][:6]}...): remove it there")
    unescaped = text.replace("\\\\", "\\").replace('\\"', '"')
    if found := _PLACES.search(unescaped) or _home(unescaped):
        raise UserError(f"{file} holds a path of this machine ({found[0]}): remove it there")


def _home(text: str) -> re.Match[str] | None:
    try:
        home = str(Path.home())
    except RuntimeError:  # there is none
        return None
    return re.search(re.escape(home) + r"[/\\]\S*", text) if len(home) > 4 else None


def shortened(value: Any) -> Any:
    """A record whose absolute paths are only their last part.

    >>> shortened({"cache": "/home/me/cache", "base": "owner/name", "steps": 3})
    {'cache': 'cache', 'base': 'owner/name', 'steps': 3}
    """
    if isinstance(value, dict):
        return {key: shortened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shortened(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"(~|/|[A-Za-z]:\\)[^\n]*", value):
        return re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return value


def _remarks(record: dict[str, Any], samples: bool) -> list[str]:
    lines = []
    if isinstance(said := record.get("captions"), list) and said:
        lines.append(f"the record and the weights' file hold {len(said)} captions of the training clips")
    return [*lines, "the sample clips show training or held-out clips"] if samples else lines
