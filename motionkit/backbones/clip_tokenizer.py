"""CLIP's own tokenizer, of the vocabulary that comes with motionkit: for checkpoints in one file, which hold none.

Radford et al., arXiv 2103.00020; rules of github.com/openai/CLIP (MIT). Ids: 256 bytes, the same at a word's end, one
for each rule, begin, end: 49,408.
"""

from __future__ import annotations

import gzip

from transformers import CLIPTokenizer

from motionkit.backbones.tiny_tokenizer import BEGIN, END, byte_symbols
from motionkit.errors import MissingWeights
from motionkit.weights import places

MERGES = places.PACKAGE / "clip" / "merges.txt.gz"
_LENGTH = 77


def clip_tokenizer(pad: str = END) -> CLIPTokenizer:
    """As the tokenizer folders of the hub. SD XL's second one pads with "!" (id 0), as open_clip does with 0.

    Raises: MissingWeights where the installation lacks the vocabulary.
    """
    if not MERGES.is_file():
        raise MissingWeights(f"no vocabulary at {MERGES}: install motionkit again")
    lines = gzip.decompress(MERGES.read_bytes()).decode("utf-8").splitlines()[1:]  # the first is a version
    merges = [tuple(line.split()) for line in lines]
    letters = sorted(byte_symbols())  # those that print as themselves come first
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), BEGIN, END]
    return CLIPTokenizer(
        {piece: i for i, piece in enumerate(pieces)},
        merges,  # type: ignore[arg-type]  # pairs, as the tokenizers library takes them
        pad_token=pad,
        model_max_length=_LENGTH,
        do_lower_case=True,
        add_prefix_space=False,
        errors="replace",
    )
