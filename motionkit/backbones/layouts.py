"""Which files a backbone's folder holds, part by part, in the layout of the hub. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from motionkit.weights.model_files import MODEL, TEXT

Layout = Mapping[str, tuple[str, ...]]
TOKENIZER = ("vocab.json", "merges.txt", "tokenizer_config.json")
OPTIONAL = ("special_tokens_map.json",)  # where older tokenizers keep the padding token

SD: Layout = {
    "vae": ("config.json", MODEL),
    "unet": ("config.json", MODEL),
    "text_encoder": ("config.json", TEXT),
    "tokenizer": TOKENIZER,
    "scheduler": ("scheduler_config.json",),
}
OLDER: Layout = {**SD, "tokenizer": (*TOKENIZER, *OPTIONAL)}
SDXL: Layout = {**SD, "text_encoder_2": ("config.json", TEXT), "tokenizer_2": TOKENIZER}
