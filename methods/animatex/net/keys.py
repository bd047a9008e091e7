"""The names of the weights in the authors' checkpoint, for each of ours.

Facts about their layout: github.com/antgroup/animate-x (Apache-2.0), tools/modules/unet. Their lists count modules:
input block 0 is the first convolution, then come `layers` blocks per level and one for each change of resolution.
"""

from __future__ import annotations

from collections.abc import Iterator

from motionkit.methods.animatex.net.config import AnimateXConfig

BUFFERS = ("pose_embedding_before.pos_embed.pos_table",)  # sinusoids, computed anew here
REFERENCE_BRANCH = ("slot_latent.", "slot_pose.")  # our names of what takes the reference as a latent
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_MOTION = ("norm", "proj_in", "transformer_blocks", "proj_out")  # each ends in _p there
_BRANCHES = {
    "local": ("local_image_embedding", "local_image_embedding_after"),
    "pose": ("dwpose_embedding", "dwpose_embedding_after"),
    "slot_pose": ("randomref_pose2_embedding", "randomref_pose2_embedding_after"),
    "slot_latent": ("randomref_embedding2", "randomref_embedding_after2"),
}
_MIXER = {"norm": "0.norm", "qkv": "0.fn.to_qkv", "out": "0.fn.to_out.0", "mlp.0": "1.net.0.0", "mlp.2": "1.net.2"}
_FIXED = {
    "unet.time_embedding.linear_1": "time_embed.0",
    "unet.time_embedding.linear_2": "time_embed.2",
    "unet.conv_in": "input_blocks.0.0",
    "unet.transformer_in": "input_blocks.0.1",
    "unet.conv_norm_out": "out.0",
    "unet.conv_out": "out.2",
    "image_tokens": "pre_image_condition",
    "indicator.keypoints.embed": "pose_embedding_before.increase_embed_dim",
    "indicator.keypoints.encoder": "pose_embedding_before.encoder",
    "indicator.keypoints.query": "pose_embedding_before.pre_image_condition_p",
    "indicator.resampler": "pose_embedding_after",
}


def prefixes(config: AnimateXConfig) -> dict[str, str]:
    """Beginning of our name -> beginning of theirs, for every module; a longer beginning goes before a shorter one."""
    table = dict(_FIXED)
    for layer in range(config.indicator.depth):
        ours, theirs = f"indicator.resampler.layers.{layer}", f"pose_embedding_after.layers.{layer}"
        table |= {f"{ours}.attention": f"{theirs}.0", f"{ours}.mlp": f"{theirs}.1"}
    for ours, (conv, after) in _BRANCHES.items():
        table[f"{ours}.conv"] = conv
        for layer in range(config.branch_depth):
            table |= {f"{ours}.mix.{layer}.{o}": f"{after}.layers.{layer}.{a}" for o, a in _MIXER.items()}
    return table | dict(_down(config)) | dict(_middle()) | dict(_up(config))


def authors_name(ours: str, table: dict[str, str]) -> str:
    """Their name of one of our weights. Raises: KeyError for a weight that their layout does not have."""
    parts = ours.split(".")
    for count in range(len(parts) - 1, 0, -1):
        if (found := table.get(".".join(parts[:count]))) is not None:
            return ".".join([found, *parts[count:]])
    if ours == "indicator.resampler.latents":
        return "pose_embedding_after.latents"
    raise KeyError(ours)


def _down(config: AnimateXConfig) -> Iterator[tuple[str, str]]:
    number = 1
    for level, attends in enumerate(config.attention):
        for layer in range(config.layers):
            yield from _layer(f"unet.down_blocks.{level}", layer, f"input_blocks.{number}", attends)
            number += 1
        if level < len(config.attention) - 1:
            yield f"unet.down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.op"
            number += 1


def _middle() -> Iterator[tuple[str, str]]:
    yield from _layer("unet.mid_block", 0, "middle_block", attends=True)
    yield from _resnet("unet.mid_block", 1, "middle_block.3")


def _up(config: AnimateXConfig) -> Iterator[tuple[str, str]]:
    number = 0
    for level, attends in enumerate(reversed(config.attention)):
        for layer in range(config.layers + 1):
            yield from _layer(f"unet.up_blocks.{level}", layer, f"output_blocks.{number}", attends)
            number += 1
        if level < len(config.attention) - 1:
            place = 3 if attends else 1  # behind ResBlock, spatial and temporal transformer, or behind the ResBlock
            yield f"unet.up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{number - 1}.{place}.conv"


def _layer(ours: str, layer: int, theirs: str, attends: bool) -> Iterator[tuple[str, str]]:
    yield from _resnet(ours, layer, f"{theirs}.0")
    if attends:
        yield f"{ours}.attentions.{layer}", f"{theirs}.1"
        for name in _MOTION:
            yield f"{ours}.attentions.{layer}.motion.{name}", f"{theirs}.1.pose_attention.{name}_p"
        yield f"{ours}.temp_attentions.{layer}", f"{theirs}.2"


def _resnet(ours: str, layer: int, theirs: str) -> Iterator[tuple[str, str]]:
    for name, other in _RESNET.items():
        yield f"{ours}.resnets.{layer}.{name}", f"{theirs}.{other}"
    yield f"{ours}.temp_convs.{layer}", f"{theirs}.temopral_conv"  # sic
