"""Word-level vocabularies in CLIP's own file format, so that small text encoders use the stock tokenizer class; and
which words such a vocabulary knows.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from motionkit.backbones import folders
from motionkit.weights.model_files import read_json

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"
OPEN = 8192  # a vocabulary of so many pieces reads any word; CLIP's has 49,408


def byte_symbols() -> list[str]:
    """The 256 printable characters that stand for the bytes 0..255 in byte-level BPE files (GPT-2's table)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


def vocabulary(words: Iterable[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Ids by piece, and merge rules, such that CLIP's byte-pair encoding makes each given word exactly one token.

    Any other text falls back to pieces of known words, letters and bytes. Ids: 0..511 bytes, then the pieces in order
    of first need (words sorted), begin = size - 2, end = padding = size - 1.
    Raises: ValueError for an entry that is not a lower-case run of letters (CLIP splits digits and marks off).
    """
    ordered = sorted(set(words))
    for word in ordered:
        if not word.isalpha() or word != word.lower():
            raise ValueError(f"{word!r} is not one run of lower-case letters, so it cannot be one CLIP token")
    letters = byte_symbols()
    merges = _merges(ordered, letters)
    pieces = letters + [x + _WORD_END for x in letters] + list(dict.fromkeys(a + b for a, b in merges)) + [BEGIN, END]
    return {piece: i for i, piece in enumerate(pieces)}, merges


def build_tokenizer(words: Iterable[str], folder: str | os.PathLike[str], model_max_length: int = 77) -> int:
    """Write the `vocabulary` of these words as a `CLIPTokenizer` folder; returns the vocabulary size.

    `model_max_length` counts the begin and end tokens. Raises: as `vocabulary`.
    """
    vocab, merges = vocabulary(words)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    special = {"bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": END}
    config = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": model_max_length}
    config |= {"do_lower_case": True, "add_prefix_space": False, "errors": "replace"}
    _write_json(folder / "vocab.json", vocab)
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", special)
    return len(vocab)


def known_words(folder: Path) -> tuple[str, ...]:
    """The words that a backbone's tokenizer was built of, sorted; none where it reads any word.

    Args:
        folder: of the backbone (see `folders.locate`).
    """
    file = folders.part_file(folder, "tokenizer", "vocab.json")
    if not file.is_file():
        return ()
    pieces = read_json(file)
    if len(pieces) >= OPEN:
        return ()
    words = (piece.removesuffix(_WORD_END) for piece in pieces if piece.endswith(_WORD_END))
    return tuple(sorted(word for word in words if word.isascii() and word.isalpha() and len(word) > 1))


def unknown_words(text: str, known: Iterable[str]) -> list[str]:
    """Words of a text, in order and once each, that are not known; single letters and what is no letter are not words.

    >>> unknown_words("a zebra, running: a ZEBRA", ["running"])
    ['zebra']
    """
    known = set(known)
    found = dict.fromkeys(word for word in re.findall(r"[^\W\d_]{2,}", text.lower()))
    return [word for word in found if word not in known]


def _merges(words: list[str], letters: list[str]) -> list[tuple[str, str]]:
    """Merges that leave each word whole: a rule is added only where the rules so far stop short of one piece.

    A new rule ranks below all older ones, so it never disturbs a word that the older rules already join.
    """
    ranks: dict[tuple[str, str], int] = {}
    for word in words:
        symbols = [letters[b] for b in word.encode("utf-8")]
        pieces = _apply(symbols[:-1] + [symbols[-1] + _WORD_END], ranks)
        while len(pieces) > 1:
            ranks[pieces[0], pieces[1]] = len(ranks)
            pieces = _apply(pieces, ranks)
    return list(ranks)


def _apply(pieces: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding: join the best-ranked neighbours, leftmost first, until no rule fits."""
    while len(pieces) > 1:
        rank, i = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(zip(pieces, pieces[1:], strict=False)))
        if rank == len(ranks):
            break
        pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]
    return pieces


def _write_json(path: Path, data: Mapping[str, object]) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
