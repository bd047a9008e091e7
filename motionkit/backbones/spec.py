"""What is declared of a backbone, and what can be asked of one; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from motionkit.backbones import layouts
from motionkit.settings.setting import setting

SPATIAL, CROSS, TEMPORAL = ROLES = ("spatial_self", "cross", "temporal_self")  # of attention


@dataclass(frozen=True)
class BackboneSpec:
    """What is known of a backbone before it is loaded; registered by its name in the group `motionkit.backbones`.

    Attributes:
        name: the word on the command line; "tiny-..." for one whose weights are drawn from a seed.
        family: the kind that it is of, such as "sd".
        summary, weights, licence: one line each; `weights` says where they come from.
        default_size: side in pixels.  size_multiple: height and width are multiples of this.
        portrait: its default frames are 1.5 times as high as wide; default_size is their width.
        hub_id: repository on the Hugging Face hub, or None.
        asset: folder below `motionkit/assets`, or the whole path of one in a package of its own, or None.
        layout: part of that folder -> its files (see `layouts`).
        loader: "package.module:function" of `(spec, plan, path, seed, online) -> VideoBackbone`, imported on use.
        approx_gb: size of the weight files in GB (10^9 bytes).  hub_variant: "fp16" where the hub has smaller files.
        expects: (field of the UNet's configuration, value) that tell this model from its relatives.
        unet_class: the class that this configuration names.
        pipeline: diffusers' pipeline that makes a folder from a single-file checkpoint, or "".
        one_file: name in `motionkit/assets/configs` for its single-file checkpoints, or "" where it reads none.
        reads_text: whether a prompt guides it.  makes_clips: whether it denoises the frames of a clip together.
        roles: of its attention layers, some of ROLES.
        sd1_unet, xl_unet: whether its layers within a frame are SD 1.x's or XL's, under diffusers' names.
        upcast: parts that stay in float32 where the others are float16, such as an autoencoder that overflows.
        familiar_db: for a model of a small world: the PSNR in dB at which its autoencoder reproduces pictures of it; a
            picture below that is unlike them.
        latent_channels: of its autoencoder.  time_stride: frames of video for each frame of latents after the first.
        predictions: what its network may predict (its own files say which).  sampler: its default.
        base: for AnimateDiff, the image backbone of the same shape.  motion_id: the hub's repository of its modules.
        per_frame_motion_norm: whether those were trained with group norms over each frame alone.
        converter: "package.module:function" that makes its folder from the authors' file (`motionkit convert`).
        sizes: "package.module:function" of the family -> all sizes of a model whose weights are drawn from the seed.
        shapes: "package.module" of a network that is no class of diffusers', for counts without weights:
            `network(config)` makes it, `assemble(spec, plan, parts)` the backbone, `toy(name)` its toy configuration.
        quick_decoder: the hub's repository of a small decoder of its latents, for looks at what is being made.
        conf: a Hydra search path of a third party, such as "pkg://their_package.conf".
        row: where it stands in lists, lowest first; those of other packages come after motionkit's own.
    """

    name: str
    family: str
    summary: str
    weights: str
    default_size: int
    size_multiple: int
    loader: str
    licence: str
    approx_gb: float
    hub_id: str | None = None
    asset: str | None = None
    hub_variant: str = ""
    expects: tuple[tuple[str, int], ...] = ()
    latent_channels: int = 4
    time_stride: int = 1
    predictions: tuple[str, ...] = ("epsilon", "v_prediction")
    sampler: str = "ddim"
    base: str | None = None
    motion_id: str | None = None
    per_frame_motion_norm: bool = False
    converter: str | None = None
    portrait: bool = False
    sizes: str = "motionkit.backbones.tiny_sizes:architecture"
    familiar_db: float | None = None
    layout: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: layouts.SD, hash=False)
    unet_class: str = "UNet2DConditionModel"
    pipeline: str = ""
    one_file: str = ""
    reads_text: bool = True
    makes_clips: bool = False
    roles: tuple[str, ...] = (SPATIAL, CROSS)
    sd1_unet: bool = False
    xl_unet: bool = False
    upcast: tuple[str, ...] = ()
    shapes: str = ""
    quick_decoder: str | None = None
    conf: str | None = None
    row: float = 1000

    @property
    def inflatable(self) -> bool:
        """Whether its UNet makes single pictures and can be given temporal layers (`inflate`)."""
        return (self.sd1_unet or self.xl_unet) and not self.makes_clips

    @property
    def attends_in_time(self) -> bool:
        """Whether it has temporal attention, or can be given some."""
        return TEMPORAL in self.roles or self.inflatable

    def held_frames(self, frames: int) -> int:
        """How many frames its latents hold of so many: one more than a multiple of its time stride, from below.

        A clip has at least one stride after its first frame; a single frame stays one.
        """
        strides = max(1, (frames - 1) // self.time_stride) if frames > 1 else 0
        return 1 + strides * self.time_stride

    @property
    def made_up(self) -> bool:
        """Whether its weights are drawn from a seed."""
        return self.hub_id is None and self.asset is None

    @property
    def default_frame(self) -> tuple[int, int]:
        """(height, width) in pixels of the frames that it was made for."""
        return self.default_size * 3 // 2 if self.portrait else self.default_size, self.default_size

    @property
    def frame_name(self) -> str:
        """The same as people write it: "128 px", or "512x768 px", width first."""
        height, width = self.default_frame
        return f"{width}x{height} px" if self.portrait else f"{width} px"


@dataclass
class BackboneConfig:
    """The `backbone` group: which one, and with which weights."""

    name: str = setting("Which backbone; `motionkit backbones` lists them.", "pocket-sd")
    path: str | None = setting(
        "The weights: a local folder in the hub's layout, a hub id or, for some, one file; null is the default.",
        None,
        file="read",
    )
    online: bool = setting("Whether missing files may be downloaded (also: MOTIONKIT_ONLINE=1).", False)
    motion_adapter: str | None = setting(
        "AnimateDiff's motion modules: a folder, the authors' file or a hub id; null is the backbone's own.",
        None,
        file="read",
    )
    per_frame_motion_norm: bool | None = setting(
        "AnimateDiff: whether the modules normalise each frame separately; null is as they were trained.", None
    )
    motion_schedule: str = setting(
        "AnimateDiff: whose noise schedule is used.",
        "module",
        choices={"module": "the one that the modules were trained with", "base": "the image model's"},
    )
    vae: str | None = setting(
        "A file or folder with another autoencoder; null is the backbone's own.", None, file="read"
    )
    embeddings: Any = setting(
        "A textual inversion file, or [A,B] for several; prompts use it by its word; null for none.", None, file="read"
    )
    lora: Any = setting("A LoRA file, or a folder that holds one; [A,B] for several; null for none.", None, file="read")
    lora_scale: Any = setting(
        "The LoRA's strength; 1 is as it was trained; [0.8,0.5] gives one number for each of several.", 1.0
    )
