"""The page of what every method needs on every backbone and card, made from the shipped table."""

from __future__ import annotations

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.running.preflight import Asked, asked_for, in_time, nearest
from motionkit.settings.need import GIB, Choice, Need, choose, free_bytes, rate_of

CARDS = (8, 12, 16, 24, 40, 80)
FRAMES = 16
_WORDS = {
    "offload": "offload",
    "checkpointing": "checkpointing",
    "vae_slicing": "slices",
    "vae_tiling": "tiles",
    "batched": "two calls",
}
HEAD = """# What fits which card

Computed, not measured on hardware: passes of the real networks at their real sizes with tensors that hold no
values, forward and backward, count what is alive at the worst moment and every operation ([how, and what such a
pass cannot show](gpu.md)). Seconds are operations over an assumed effective rate in half precision: {rates}.

Each row is a run of {frames} frames at the backbone's own size with the method's default settings. A cell says the
most memory in GiB, what is held back for it, and the time; where a run does not fit, the nearest setting that does.
`motionkit fits` gives the same for any size, length, setting and card (`gpu=<N>gb` takes any number), stage by
stage.

Held back: *offload*, parts that do not compute wait in the CPU's memory; *two calls*, the halves of guidance one
after the other; *slices*, few frames pass the autoencoder at a time; *checkpointing*, activations are computed
twice while something is tuned; *tiles*, frames pass the autoencoder in tiles.

"""


def page() -> str:
    """The page as Markdown."""
    rates = ", ".join(f"{rate_of(card):g} TFLOP/s at {card} GB" for card in CARDS)
    lines = [HEAD.format(rates=rates, frames=FRAMES)]
    cells = [f"{card} GB" for card in CARDS]
    lines += ["| method | backbone | TFLOP | " + " | ".join(cells) + " |", "|---" * (3 + len(cells)) + "|"]
    lines += [row for spec in registry.METHODS.every() for name in spec.backbones if (row := _row(spec.name, name))]
    again = "The table behind it, and this page, are made by `benchmarks/card_sizes.py` (`--count` counts anew)."
    return "\n".join(lines) + f"\n\n{again}\n"


def _row(method: str, backbone: str) -> str:
    spec, facts = registry.spec(method), catalog.get(backbone)
    need, asked = asked_for(spec, backbone, FRAMES, facts.default_frame)
    if need is None:
        return ""
    cells = [_cell(need, asked, float(card)) for card in CARDS]
    return f"| {method} | {backbone}, {facts.frame_name} | {need.tflop(Choice()):,.0f} | " + " | ".join(cells) + " |"


def _cell(need: Need, asked: Asked, vram_gb: float) -> str:
    choice, fits = choose(need, vram_gb, {})
    peak = need.peak(choice)
    if not fits:
        return f"no ({peak.gib:.1f} of {free_bytes(vram_gb) / GIB:.1f}): {nearest(asked, vram_gb)}"
    plain = Choice()
    held = [word for name, word in _WORDS.items() if getattr(choice, name) != getattr(plain, name)]
    return (
        f"{peak.gib:.1f}, {', '.join(held) or 'nothing held back'}, {in_time(need.seconds(choice, rate_of(vram_gb)))}"
    )
