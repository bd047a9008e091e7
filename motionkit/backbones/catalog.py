"""The list of backbones: facts that can be read without loading torch or any weight."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from motionkit.backbones.spec import BackboneConfig as BackboneConfig
from motionkit.backbones.spec import BackboneSpec as BackboneSpec
from motionkit.errors import unknown

_SD = "motionkit.backbones.sd:load"
_MODELSCOPE = "motionkit.backbones.modelscope:load"
_MOTION, _TINY_MOTION = "motionkit.backbones.animatediff:load", "motionkit.backbones.tiny_motion:load"
_OPENRAIL = "CreativeML Open RAIL-M (use restrictions)"
_SD1 = (("cross_attention_dim", 768),)
_SPECS = (
    BackboneSpec(
        "tiny-sd",
        "sd",
        "Stable Diffusion's classes at toy size, random seeded weights: for tests, draws nothing",
        "none: made from the seed",
        64,
        16,
        "motionkit.backbones.tiny:load",
        "Apache-2.0",
        0.001,
    ),
    BackboneSpec(
        "pocket-sd",
        "sd",
        "a small Stable Diffusion of this project's sprite world, 128 px: it draws only that",
        "shipped with motionkit",
        128,
        16,
        _SD,
        "Apache-2.0",
        0.03,
        asset="pocket-sd",
    ),
    BackboneSpec(
        "sd14",
        "sd",
        "Stable Diffusion 1.4, 512 px",
        "hub: CompVis/stable-diffusion-v1-4",
        512,
        64,
        _SD,
        _OPENRAIL,
        4.3,
        hub_id="CompVis/stable-diffusion-v1-4",
        expects=_SD1,
    ),
    BackboneSpec(
        "sd15",
        "sd",
        "Stable Diffusion 1.5, 512 px",
        "hub: stable-diffusion-v1-5/stable-diffusion-v1-5",
        512,
        64,
        _SD,
        _OPENRAIL,
        2.1,
        hub_id="stable-diffusion-v1-5/stable-diffusion-v1-5",
        hub_variant="fp16",
        expects=_SD1,
    ),
    BackboneSpec(
        "sdxl",
        "sdxl",
        "Stable Diffusion XL base 1.0, 1024 px",
        "hub: stabilityai/stable-diffusion-xl-base-1.0",
        1024,
        64,
        _SD,
        "CreativeML Open RAIL++-M (use restrictions)",
        6.9,
        hub_id="stabilityai/stable-diffusion-xl-base-1.0",
        hub_variant="fp16",
        expects=(("cross_attention_dim", 2048),),
    ),
    BackboneSpec(
        "tiny-modelscope",
        "modelscope",
        "ModelScope's video classes at toy size, random seeded weights: for tests",
        "none: made from the seed",
        64,
        16,
        "motionkit.backbones.tiny:load",
        "Apache-2.0",
        0.001,
    ),
    BackboneSpec(
        "pocket-modelscope",
        "modelscope",
        "a small ModelScope of this project's sprite world, 128 px: draws only that",
        "shipped with motionkit",
        128,
        16,
        _MODELSCOPE,
        "Apache-2.0",
        0.03,
        asset="pocket-modelscope",
    ),
    BackboneSpec(
        "modelscope",
        "modelscope",
        "ModelScope text-to-video 1.7B, 256 px: a denoiser of whole clips",
        "hub: damo-vilab/text-to-video-ms-1.7b",
        256,
        64,
        _MODELSCOPE,
        "CC BY-NC 4.0 (no commercial use)",
        3.7,
        hub_id="damo-vilab/text-to-video-ms-1.7b",
        hub_variant="fp16",
        expects=(("cross_attention_dim", 1024),),
    ),
    BackboneSpec(
        "tiny-animatediff-sd15",
        "animatediff",
        "AnimateDiff's classes on tiny-sd, random seeded weights: for tests",
        "none: made from the seed",
        64,
        16,
        _TINY_MOTION,
        "Apache-2.0",
        0.001,
        base="tiny-sd",
        per_frame_motion_norm=True,
    ),
    BackboneSpec(
        "tiny-animatediff-sdxl",
        "animatediff-xl",
        "AnimateDiff's classes in XL's plan, toy size, random: for tests",
        "none: made from the seed",
        64,
        16,
        _TINY_MOTION,
        "Apache-2.0",
        0.001,
        base="sdxl",
    ),
    BackboneSpec(
        "pocket-animatediff",
        "animatediff",
        "pocket-sd with motion modules, 128 px: draws clips of the sprite world",
        "shipped with motionkit",
        128,
        16,
        _MOTION,
        "Apache-2.0",
        0.03,
        asset="pocket-animatediff",
        base="pocket-sd",
    ),
    BackboneSpec(
        "animatediff-sd15",
        "animatediff",
        "Stable Diffusion 1.5 with AnimateDiff's motion modules v3, 512 px",
        "hub: stable-diffusion-v1-5/stable-diffusion-v1-5 and guoyww/animatediff-motion-adapter-v1-5-3",
        512,
        64,
        _MOTION,
        f"{_OPENRAIL}; motion modules Apache-2.0",
        3.9,
        hub_id="stable-diffusion-v1-5/stable-diffusion-v1-5",
        hub_variant="fp16",
        expects=_SD1,
        base="sd15",
        motion_id="guoyww/animatediff-motion-adapter-v1-5-3",
        per_frame_motion_norm=True,
    ),
    BackboneSpec(
        "animatediff-sdxl",
        "animatediff-xl",
        "Stable Diffusion XL with AnimateDiff's motion modules (beta), 1024 px",
        "hub: stabilityai/stable-diffusion-xl-base-1.0 and guoyww/animatediff-motion-adapter-sdxl-beta",
        1024,
        64,
        _MOTION,
        "CreativeML Open RAIL++-M (use restrictions); motion modules Apache-2.0",
        7.9,
        hub_id="stabilityai/stable-diffusion-xl-base-1.0",
        hub_variant="fp16",
        expects=(("cross_attention_dim", 2048),),
        base="sdxl",
        motion_id="guoyww/animatediff-motion-adapter-sdxl-beta",
    ),
    BackboneSpec(
        "tiny-animatex",
        "animatex",
        "Animate-X's classes at toy size, random seeded weights: for tests",
        "none: made from the seed",
        64,
        16,
        "motionkit.backbones.animatex.tiny:load",
        "Apache-2.0",
        0.001,
        sizes="motionkit.backbones.animatex.tiny_sizes:architecture",
    ),
    BackboneSpec(
        "tiny-animatex-mamba",
        "animatex",
        "the same with Mamba in place of attention along time, as in the paper",
        "none: made from the seed",
        64,
        16,
        "motionkit.backbones.animatex.tiny:load",
        "Apache-2.0",
        0.001,
        sizes="motionkit.backbones.animatex.tiny_sizes:architecture",
    ),
    BackboneSpec(
        "pocket-animatex",
        "animatex",
        "a small Animate-X of this project's sprite world, 128 px: moves only sprites",
        "shipped with motionkit",
        128,
        16,
        "motionkit.backbones.animatex.backbone:load",
        "Apache-2.0",
        0.05,
        asset="pocket-animatex",
    ),
    BackboneSpec(
        "pocket-animatex-mamba",
        "animatex",
        "the same with Mamba in place of attention along time, as in the paper",
        "shipped with motionkit",
        128,
        16,
        "motionkit.backbones.animatex.backbone:load",
        "Apache-2.0",
        0.05,
        asset="pocket-animatex-mamba",
    ),
    BackboneSpec(
        "animatex",
        "animatex",
        "Animate-X, 512x768 px: any character by the skeletons of a video",
        "hub: Shuaishuai0219/Animate-X (animate-x_ckpt.pth, to be converted once)",
        512,
        64,
        "motionkit.backbones.animatex.backbone:load",
        "see the authors' model card; parts: OpenRAIL++-M (SD 2.1)",
        7.9,
        hub_id="Shuaishuai0219/Animate-X",
        converter="motionkit.backbones.animatex.convert:run",
        portrait=True,
    ),
)
_BY_NAME = MappingProxyType({spec.name: spec for spec in _SPECS})


def specs() -> Mapping[str, BackboneSpec]:
    """Every backbone by name, in the order of the list."""
    return _BY_NAME


def get(name: str) -> BackboneSpec:
    """The backbone of that name. Raises: UserError with the nearest name and the whole list."""
    if name not in _BY_NAME:
        raise unknown("backbone", name, _BY_NAME)
    return _BY_NAME[name]


def families() -> dict[str, tuple[str, ...]]:
    """Family -> the names of its backbones, both in the order of the list."""
    return {f: tuple(s.name for s in _SPECS if s.family == f) for f in dict.fromkeys(s.family for s in _SPECS)}
