"""The choices in MotionGuide, injection and tuning, as plain data; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from motionkit.errors import UserError, unknown
from motionkit.settings.setting import setting

INPUTS = {"product": 3, "concat": 4, "correspondence": 3, "depth": 1}  # what the guide sees -> its channels
SEES = {  # the same -> what it means
    "product": "correspondence times depth (the paper)",
    "concat": "both, concatenated",
    "correspondence": "correspondence alone",
    "depth": "depth alone",
}
HEADS = {
    "per_width": "a final linear layer for each width of the temporal layers",
    "per_site": "one for each temporal layer",
    "shared": "one for all, then a projection for each temporal layer",
}
SITES = {"all": "both", "attn1": "the first", "attn2": "the second"}
BLOCKS = {"all": "all", "down": "the down blocks", "mid": "in the middle", "up": "on the way up"}
TEMPORAL = {
    "auto": "values, or projections if these layers are new",
    "values": "W_V (the paper's SD 1.5)",
    "projections": "W_Q, W_K, W_V and the out-projection (the paper's SDXL)",
}


@dataclass(frozen=True)
class GuideOptions:
    """MotionGuide's design; everything below `heads` is for ablations only."""

    inputs: str = setting("What the guide sees.", "product", choices=SEES)
    heads: str = setting("How the motion vector is mapped to each temporal layer.", "per_width", choices=HEADS)
    stem: tuple[int, int, int] = setting(
        "Channels of the three convolutions before the positional encoding.", (32, 64, 128)
    )
    encoding: int = setting("Channels of the positional encoding, a multiple of 4.", 64, low=4)
    post: int = setting("Channels of the convolution after it, and of the motion vector.", 256, low=1)
    bias: bool = setting(
        "Whether convolutions and heads have a bias; the background then adds (1 - alpha) / alpha of it to a vector.",
        False,
    )
    position: bool = setting("Whether a positional encoding is concatenated at all.", True)
    mask_position: bool = setting(
        "Whether it is zero outside the subject; otherwise the subject's size leaks, as with a bias.", True
    )
    divide: bool = setting("Whether the pooled features are divided by alpha.", True)
    activate: bool = setting("Whether a ReLU follows the last convolution.", True)

    def __post_init__(self) -> None:
        one_of("guide input", self.inputs, INPUTS)
        one_of("kind of heads", self.heads, HEADS)
        if self.encoding % 4 or self.encoding < 4:
            raise UserError(f"the positional encoding has {self.encoding} channels: make it a multiple of 4")

    @property
    def channels(self) -> int:
        """Channels of the guide's input."""
        return INPUTS[self.inputs]


@dataclass(frozen=True)
class TuneOptions:
    """Which weights of the UNet are tuned (spec of the paper's section 4: W_Q and W_V, or more for SDXL)."""

    temporal: str = setting("Which weights of temporal attention are tuned.", "auto", choices=TEMPORAL)
    ends: bool = setting("Whether the motion modules' own proj_in and proj_out are tuned too.", False)
    rank: int = setting(
        "0 tunes the weights themselves; above 0 a LoRA of this rank on the same layers, for small packs.",
        0,
        low=0,
        high=1024,
    )

    def __post_init__(self) -> None:
        one_of("choice of temporal weights", self.temporal, TEMPORAL)
        if self.rank < 0:
            raise UserError(f"tune.rank={self.rank}: give 0 for no LoRA, or a positive rank")


def one_of(what: str, name: str, known: Iterable[str]) -> None:
    """Raises: UserError when `name` is not one of `known`."""
    if name not in known:
        raise unknown(what, name, known)
