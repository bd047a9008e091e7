"""The choices in MotionGuide, injection and tuning, as plain data; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from motionkit.errors import UserError, unknown

INPUTS = {"product": 3, "concat": 4, "correspondence": 3, "depth": 1}  # what the guide sees -> its channels
HEADS = ("per_width", "per_site", "shared")
SITES = ("all", "attn1", "attn2")
BLOCKS = ("all", "down", "mid", "up")
TEMPORAL = ("auto", "values", "projections")
INFLATED = ("sd",)  # families of image models, whose UNet gets new layers along time, as Tune-A-Video's


@dataclass(frozen=True)
class GuideOptions:
    """MotionGuide's design; everything below `heads` is there for ablations and keeps its default otherwise.

    Attributes:
        inputs: product (C x D, the paper), concat (C and D side by side), correspondence (C), depth (D).
        heads: per_width (one final linear layer for each width of the temporal layers), per_site (one for each layer),
            shared (one for all, then a projection for each layer).
        stem: channels of the three convolutions before the positional encoding.
        encoding: channels of the positional encoding, a multiple of 4.
        post: channels of the convolution after it, and of the motion vector.
        bias: give convolutions and heads a bias: the background then adds (1 - alpha) / alpha of it to each vector.
        position: concatenate a positional encoding at all.
        mask_position: zero it outside the subject; without it the subject's size leaks as with a bias.
        divide: divide the pooled features by alpha.
        activate: ReLU after `post`.
    """

    inputs: str = "product"
    heads: str = "per_width"
    stem: tuple[int, int, int] = (32, 64, 128)
    encoding: int = 64
    post: int = 256
    bias: bool = False
    position: bool = True
    mask_position: bool = True
    divide: bool = True
    activate: bool = True

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
    """Which weights of the UNet are tuned (spec of the paper's section 4: W_Q and W_V, or more for SDXL).

    Attributes:
        temporal: values (W_V of the temporal attentions: the paper's SD 1.5), projections (W_Q, W_K, W_V and the
            out-projection: the paper's SDXL, and what Tune-A-Video tunes where those layers are new), auto (by the
            UNet).
        ends: also the motion modules' own proj_in and proj_out.
        rank: 0 tunes the weights themselves; above 0 a LoRA of this rank on exactly the same layers.
    """

    temporal: str = "auto"
    ends: bool = False
    rank: int = 0

    def __post_init__(self) -> None:
        one_of("choice of temporal weights", self.temporal, TEMPORAL)
        if self.rank < 0:
            raise UserError(f"a LoRA of rank {self.rank}: give 0 for none, or a positive rank")


def one_of(what: str, name: str, known: tuple[str, ...] | dict[str, int]) -> None:
    """Raises: UserError when `name` is not one of `known`."""
    if name not in known:
        raise unknown(what, name, known)
