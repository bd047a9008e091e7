"""`motionkit push`: weights that were trained here, to a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from motionkit.cli.given import given_of
from motionkit.cli.table import table
from motionkit.errors import UserError

if TYPE_CHECKING:
    from motionkit.weights.parcel import Parcel

HELP = """usage: motionkit push FOLDER OWNER/NAME [key=value ...]

Sends what `motionkit train` wrote into FOLDER: the weights, the curve, the record of the training, and a model card
that is made of it. Training states, caches and clips stay here; a pickle, or a file that holds a secret or a path of
this machine, is refused. Without dry_run=false nothing is sent: the files and the card are shown.

  dry_run=true            whether to show only what would be sent
  licence=ID              of the weights, as the hub names it (apache-2.0, cc-by-nc-4.0, ...); needed to send them
  private=true            whether a repository that is made now is private
  samples=false           whether the last sample clips (see tracker= of train) go with it

The hub's own login is used: hf auth login, or HF_TOKEN.
"""
_KEYS = ("dry_run", "licence", "private", "samples")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    words = [word for word in argv if "=" not in word or Path(word).exists()]
    given = given_of("push", [word for word in argv if word not in words], _KEYS)
    if len(words) != 2:
        raise UserError(f"push takes FOLDER OWNER/NAME (got {' '.join(words) or 'nothing'}): see motionkit push --help")
    folder, repository = Path(words[0]).expanduser(), words[1]
    if not _NAME.fullmatch(repository):
        raise UserError(f"{repository} is no repository of the hub: give OWNER/NAME of letters, digits, - _ and .")
    dry, private, samples = (
        _switch(given, *pair) for pair in (("dry_run", True), ("private", True), ("samples", False))
    )
    licence = given.get("licence", "")
    if not re.fullmatch(r"[a-z0-9.+-]*", licence):
        raise UserError(f"licence={licence}: give the hub's word for it, such as apache-2.0")
    if not dry and not licence:
        raise UserError(
            "push needs licence=ID, such as apache-2.0: nobody else can say what your weights may be used for"
        )
    from motionkit.report.model_card import model_card
    from motionkit.weights.parcel import pack

    parcel = pack(folder, samples)
    parcel.files["README.md"] = model_card(parcel.record, repository, licence).encode()
    if dry:
        _show(parcel, repository, private)
    else:
        print(send(parcel, repository, private))
    return 0


def _switch(given: dict[str, str], key: str, default: bool) -> bool:
    value = given.get(key, str(default).lower())
    if value not in ("true", "false"):
        raise UserError(f"{key}={value}: give true or false")
    return value == "true"


def _show(parcel: Parcel, repository: str, private: bool) -> None:
    rows = [(name, f"{parcel.size(name) / 1e6:.2f} MB") for name in parcel.files]
    print(f"to {repository} ({'private' if private else 'public'} if it is new), nothing is sent:")
    print(table(("file", "size"), rows))
    for line in parcel.remarks:
        print(f"note: {line}")
    card = parcel.files["README.md"]
    print(f"\n{card.decode() if isinstance(card, bytes) else ''}\nto send it: dry_run=false licence=ID")


def send(parcel: Parcel, repository: str, private: bool) -> str:
    """Make the repository where it is not there, and commit the files in one commit; returns its address.

    Raises:
        UserError: the hub refuses, or cannot be reached, in one line.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        added = [CommitOperationAdd(name, held) for name, held in parcel.files.items()]
        api.create_commit(repository, added, commit_message="Weights trained with motionkit")
    except Exception as error:  # no network, no login, no right to it: its errors share no class
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"the hub did not take {repository}: {reason} (hf auth login?)") from error
    return str(address)
