"""Replaces the autoencoder of a loaded backbone, and adds words of textual inversion to it.

Textual inversion: Gal et al., arXiv 2208.01618. Layouts: diffusers' (word -> vectors), AUTOMATIC1111's
(`string_to_param`, `emb_params`), and SD XL's pair (`clip_l`, `clip_g`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AddedToken

from motionkit.backbones.part_files import PartOptions
from motionkit.errors import UserError
from motionkit.weights.model_files import MODEL, first_line
from motionkit.weights.one_file import OneFile, Source, fill
from motionkit.weights.published_names import vae_names
from motionkit.weights.reading import OLD_ATTENTION, load_model, read_config

_PREFIX = "first_stage_model."


def read_vae(path: str, current: AutoencoderKL) -> AutoencoderKL:
    """The autoencoder of a folder, or of a file with the current one's configuration; in the current one's type.

    Raises: UserError in one line for another kind of autoencoder, and for damaged files.
    """
    place, dtype = Path(path).expanduser(), current.dtype
    if place.is_dir():
        config = read_config(place / "config.json", "AutoencoderKL")
        found: Any = load_model(lambda: AutoencoderKL.from_config(config), [place], MODEL, dtype)
    else:
        held = OneFile(place)
        prefix = _PREFIX if any(key.startswith(_PREFIX) for key in held.shapes) else ""

        def find(names: Any) -> dict[str, Source]:
            theirs = {name: prefix + other for name, other in vae_names(names).items()}
            every = {name: (key, name, _older(name)) for name, key in theirs.items()}
            return {name: Source(next((k for k in keys if k in held.shapes), keys[0])) for name, keys in every.items()}

        found, used = fill(lambda: AutoencoderKL.from_config(current.config), held, find, dtype, "autoencoder")
        left = [key for key in held.shapes if key not in used and re.match(rf"{prefix}(en|de)coder\.", key)]
        if left:
            raise UserError(f"{place} holds {len(left)} weights that do not belong to the autoencoder, e.g. {left[0]}")
    for key in ("latent_channels", "block_out_channels", "scaling_factor"):
        own, other = current.config[key], found.config[key]
        if (len(own) != len(other)) if key == "block_out_channels" else own != other:
            raise UserError(
                f"{place} does not fit this model: its autoencoder has {key} {other}, the model's has {own}"
            )
    return found


def _older(name: str) -> str:
    """The name of an autoencoder's weight in diffusers before 0.18, which sd-vae-ft-mse's own file still has."""
    if "mid_block.attentions" in name:
        for old, new in OLD_ATTENTION.items():
            name = name.replace(new, old)
    return name


def read_words(path: str) -> tuple[str, dict[int, Tensor]]:
    """The word that a file teaches, and its vectors (n, width) by width. Raises: UserError for another file."""
    file = Path(path).expanduser()
    try:
        content: Any = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file} is damaged or cut short ({first_line(error)})") from error
    except Exception as error:  # torch names a refused pickle in many ways
        raise UserError(f"{file} is not a file of plain tensors; for safety, nothing else is loaded") from error
    word, values = file.stem, list[Any]()
    if isinstance(content, dict) and isinstance(content.get("string_to_param"), dict):
        values = list(content["string_to_param"].values())
    elif isinstance(content, dict) and set(content) <= {"clip_l", "clip_g", "emb_params"}:
        values = list(content.values())
    elif isinstance(content, dict) and len(content) == 1:
        ((word, value),) = content.items()
        values = [value]
    vectors = [
        v.detach().float().reshape(-1, v.shape[-1]) for v in values if isinstance(v, Tensor) and v.dim()
    ]  # each (n, width)
    if not vectors or len(vectors) != len(values) or not str(word).strip():
        raise UserError(f"{file} holds no textual inversion")
    if len({v.shape[1] for v in vectors}) < len(vectors):
        raise UserError(f"{file} teaches several words, {len(vectors)} in all: give a file for each of them")
    if not all(torch.isfinite(v).all() for v in vectors):
        raise UserError(f"{file} holds NaN or infinity: the file is damaged or its training broke")
    return str(word), {v.shape[1]: v for v in vectors}


@torch.no_grad()
def teach(backbone: Any, path: str) -> None:
    """Add a file's word to the tokenizers and text encoders, as one new token for each of its vectors.

    Raises: UserError for a file of another model, and for a word that the tokenizer already knows.
    """
    word, vectors = read_words(path)
    pairs = [(backbone.tokenizer, backbone.text_encoder)]
    if hasattr(backbone, "text_encoder_2"):
        pairs.append((backbone.tokenizer_2, backbone.text_encoder_2))
    widths = [encoder.config.hidden_size for _, encoder in pairs]
    if sorted(widths) != sorted(vectors) or len({len(rows) for rows in vectors.values()}) != 1:
        raise UserError(
            f"{path} is for another model: it is for text encoders of width {', '.join(map(str, vectors))}, those of "
            f"{backbone.spec.name} have {', '.join(map(str, widths))}"
        )
    tokens = [word, *(f"{word}_{i}" for i in range(1, len(next(iter(vectors.values())))))]
    for (tokenizer, encoder), width in zip(pairs, widths, strict=True):
        rows, first = vectors[width], encoder is backbone.text_encoder or tokenizer is not backbone.tokenizer
        if known := [token for token in tokens if first and token in tokenizer.get_vocab()]:
            raise UserError(
                f"{path} defines the word {known[0]!r}, which the tokenizer already knows: rename the file or its word"
            )
        tokenizer.add_tokens([AddedToken(token, single_word=True, normalized=True) for token in tokens])
        _grow(encoder, len(tokenizer), int(tokenizer.eos_token_id))
        table = encoder.get_input_embeddings().weight
        table[tokenizer.convert_tokens_to_ids(tokens)] = rows.to(table.device, table.dtype)
    backbone.taught[word] = " ".join(tokens)


def _grow(encoder: Any, rows: int, end: int) -> None:
    """Make room for `rows` tokens, and find the end of a text by the id `end`, as it may no longer be the highest."""
    table = encoder.get_input_embeddings()
    if (more := rows - table.num_embeddings) > 0:
        empty = table.weight.new_zeros(more, table.embedding_dim)
        table.weight = nn.Parameter(torch.cat([table.weight, empty]), requires_grad=False)
        table.num_embeddings = encoder.config.vocab_size = rows
    for module in encoder.modules():
        if hasattr(module, "eos_token_id"):
            module.eos_token_id = end


def spelled(text: str, taught: Mapping[str, str]) -> str:
    """A prompt in which every added word, also in capitals, is replaced by all of its tokens; no part of a word is."""
    for word, tokens in taught.items():
        if tokens != word:
            found = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
            text = found.sub(tokens.replace("\\", r"\\"), text)
    return text


def put(backbone: Any, options: PartOptions) -> None:
    """Put the parts into a backbone, permanently. Raises: as `read_vae` and `teach`."""
    if options.vae:
        backbone.change_vae(read_vae(options.vae, backbone.vae))
    if options.embeddings and not backbone.spec.reads_text:
        raise UserError(f"{backbone.spec.name} reads no prompt: leave backbone.embeddings out")
    for path in options.embeddings:
        teach(backbone, path)
