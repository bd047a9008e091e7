"""The sizes of an Animate-X network: the released ones, the pocket's, and how they are written to a file. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from motionkit.errors import UserError, unknown

CLASS_NAME = "AnimateXNetwork"
TEMPORAL = ("transformer", "mamba")
MOTION = ("block", "attention")
QUERIES = ("both", "keypoints", "learned", "features")
FOLDED = 12  # channels of a picture whose squares of two by two pixels are folded into channels
REFERENCE_MODES = ("local", "latent", "both")


@dataclass(frozen=True)
class IndicatorConfig:
    """The implicit pose indicator (paper section 3.2; the authors' code decides where the two differ).

    Attributes:
        width: of keypoint encoder and resampler.  tokens: of motion per frame.  dropout: of the keypoint encoder.
        encoder_layers, encoder_heads, feedforward: of the transformer over keypoints.
        depth, heads, head_dim, expansion: of the perceiver layers that read the image features.
        query: what reads: "both", learned tokens plus the keypoints' queries; one of the two alone ("keypoints",
            "learned": w/o LQ and w/o DQ of table 4); "features": learned tokens plus the image features, which read
            the keypoints (KV_Q of table 5).
    """

    width: int = 1024
    tokens: int = 4
    encoder_layers: int = 3
    encoder_heads: int = 8
    feedforward: int = 1024
    dropout: float = 0.1
    depth: int = 8
    heads: int = 16
    head_dim: int = 64
    expansion: int = 4
    query: str = "both"

    def __post_init__(self) -> None:
        """Raises: UserError for an unknown query."""
        if self.query not in QUERIES:
            raise unknown("query of the implicit pose indicator", self.query, QUERIES)


@dataclass(frozen=True)
class AnimateXConfig:
    """Everything that a network is built from; the defaults are the released model's.

    Attributes:
        channels, attention: of each level, from the finest; whether it has attention (the middle always has).
        layers: ResBlocks per level on the way down, one more on the way up.
        head_dim: of every attention.  first_heads: of the temporal layer after the first convolution.
        groups: of every group norm.  context_dim: of text and image tokens.  feature_dim: of the pooled image features.
        image_tokens: made of the reference's features.
        reference_grid: tokens along a side of a grid over the reference's latent and pose, read in place of those
            `image_tokens`; 0 for none, as released.
        latent_channels: of the autoencoder.
        factor: pixels per latent along a side, a multiple of 4.
        concat_channels: of the reference and pose branches beside the latents.
        folded_poses: pose pictures stand beside the latents as they are, folded to 12 channels of the latents' size, in
            place of both branches; the reference is read as a grid then, and not beside the latents.
        branch_channels, branch_depth: width of those branches' convolutions, layers of their mixing over frames.
        motion: "block", a whole transformer block as released, or "attention" alone: x + CA(x, f_i), as in the paper.
        motion_scale: how much the motion attention adds (`our_weight` in the authors' code).
        parallel: motion attention beside the appearance attention, not behind it (PA of table 5).
        temporal: "transformer" as released, or "mamba" as in the paper.  mamba: its sizes, see `mamba.MambaTemporal`.
        dropout: in training, of the ResBlocks and temporal convolutions.
        indicator: sizes of the implicit pose indicator.
        reference: how the reference entered in training, a word of REFERENCE_MODES; "" where that is not known.
    """

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    attention: tuple[bool, ...] = (True, True, True, False)
    layers: int = 2
    head_dim: int = 64
    first_heads: int = 8
    groups: int = 32
    context_dim: int = 1024
    feature_dim: int = 1024
    image_tokens: int = 4
    reference_grid: int = 0
    latent_channels: int = 4
    factor: int = 8
    concat_channels: int = 8
    folded_poses: bool = False
    branch_channels: int = 32
    branch_depth: int = 1
    motion: str = "block"
    motion_scale: float = 1.0
    parallel: bool = False
    temporal: str = "transformer"
    mamba: Mapping[str, Any] = field(default_factory=dict)
    dropout: float = 0.1
    indicator: IndicatorConfig = IndicatorConfig()
    reference: str = ""

    def __post_init__(self) -> None:
        """Refuse sizes that build nothing. Raises: UserError."""
        if self.reference not in ("", *REFERENCE_MODES):
            raise unknown("reference mode", self.reference, REFERENCE_MODES)
        if self.temporal not in TEMPORAL:
            raise unknown("temporal module", self.temporal, TEMPORAL)
        if self.motion not in MOTION:
            raise unknown("motion attention", self.motion, MOTION)
        if len(self.channels) != len(self.attention) or not self.channels:
            raise UserError(
                f"an Animate-X network of {len(self.channels)} levels needs as many entries in attention, "
                f"not {len(self.attention)}"
            )
        odd = [c for c in self.channels if c <= 0 or c % self.groups or c % self.head_dim]
        if odd:
            raise UserError(
                f"an Animate-X level has {odd[0]} channels, no multiple of groups={self.groups} and "
                f"head_dim={self.head_dim}"
            )
        if self.factor % 4 or self.factor <= 0:
            raise UserError(f"an Animate-X network needs 4, 8, 12, ... pixels per latent, not factor={self.factor}")

        if self.folded_poses and (self.concat_channels != FOLDED or not self.reference_grid):
            raise UserError(
                f"folded poses of an Animate-X network need concat_channels={FOLDED} and a reference_grid, "
                f"not {self.concat_channels} and {self.reference_grid}"
            )

    @property
    def slot_channels(self) -> int:
        """Channels that enter the UNet: latents and what is beside them."""
        return self.latent_channels + self.concat_channels

    def entered(self, asked: str) -> str:
        """How the reference enters: as asked; for "auto" as the network was trained, "local" where that is not said."""
        return (self.reference or "local") if asked == "auto" else asked

    def unet(self) -> dict[str, Any]:
        """The arguments of diffusers' UNet3DConditionModel."""
        down = tuple("CrossAttnDownBlock3D" if attends else "DownBlock3D" for attends in self.attention)
        up = tuple("CrossAttnUpBlock3D" if attends else "UpBlock3D" for attends in reversed(self.attention))
        return {
            "in_channels": self.slot_channels,
            "out_channels": self.latent_channels,
            "layers_per_block": self.layers,
            "block_out_channels": self.channels,
            "down_block_types": down,
            "up_block_types": up,
            "cross_attention_dim": self.context_dim,
            "attention_head_dim": self.head_dim,
            "norm_num_groups": self.groups,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for config.json; what only ablations change is left out where it is as published."""
        values = asdict(self) | {"mamba": dict(self.mamba)}
        if not self.parallel:
            del values["parallel"]
        if not self.reference:
            del values["reference"]
        for name in ("reference_grid", "folded_poses"):
            if not values[name]:
                del values[name]
        if self.indicator.query == "both":
            del values["indicator"]["query"]
        return {"_class_name": CLASS_NAME, **values, "channels": list(self.channels), "attention": list(self.attention)}


def from_dict(values: Mapping[str, Any]) -> AnimateXConfig:
    """A configuration from plain values; keys that are not there keep the released model's.

    Raises: UserError for unknown keys and for sizes that build nothing.
    """
    given = {k: v for k, v in values.items() if not k.startswith("_")}
    inner = given.pop("indicator", {})
    for kind, found in ((AnimateXConfig, given), (IndicatorConfig, inner)):
        known = [f.name for f in fields(kind)]
        for name in found:
            if name not in known:
                raise unknown("key of an Animate-X network", name, known)
    for name in ("channels", "attention"):
        if name in given:
            given[name] = tuple(given[name])
    try:
        return AnimateXConfig(**given, indicator=IndicatorConfig(**inner))
    except TypeError as error:
        raise UserError(f"sizes of an Animate-X network: {error}") from error


RELEASED = AnimateXConfig()
# The 3D UNet of pocket-modelscope, 128 px: its weights are the start (see `start.from_video_unet`).
POCKET = AnimateXConfig(
    channels=(48, 96, 192),
    attention=(False, True, True),
    layers=1,
    head_dim=16,
    groups=16,
    context_dim=128,
    feature_dim=96,
    factor=4,
    motion="attention",
    dropout=0.0,
    indicator=IndicatorConfig(
        width=96,
        encoder_layers=1,
        encoder_heads=4,
        feedforward=192,
        dropout=0.0,
        depth=2,
        heads=4,
        head_dim=24,
        expansion=2,
    ),
)
# The one that is trained at image level first: the reference as a grid of tokens, pose pictures as they are.
POCKET_GRID = replace(POCKET, reference_grid=16, concat_channels=FOLDED, folded_poses=True, branch_depth=0)
TINY = AnimateXConfig(
    channels=(8, 16),
    attention=(True, False),
    layers=1,
    head_dim=4,
    first_heads=2,
    groups=4,
    context_dim=16,
    feature_dim=16,
    factor=4,
    branch_channels=8,
    indicator=IndicatorConfig(
        width=16, encoder_layers=1, encoder_heads=2, feedforward=16, depth=1, heads=2, head_dim=8, expansion=2
    ),
)
