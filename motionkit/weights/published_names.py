"""How authors' files call the layers that diffusers and transformers call otherwise: pure names, no torch.

Sources of the names: CompVis/latent-diffusion and Stability-AI/generative-models (`input_blocks`, `encoder.down`),
mlfoundations/open_clip (`transformer.resblocks`), guoyww/AnimateDiff (`temporal_transformer`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_IN_BLOCK = re.compile(
    r"(down|up)_blocks\.(?P<block>\d+)\.(?P<kind>resnets|attentions|downsamplers|upsamplers)\.(?P<j>\d+)\.(?P<rest>.+)"
)
_IN_MIDDLE = re.compile(r"mid_block\.(?P<kind>resnets|attentions)\.(?P<j>\d+)\.(?P<rest>.+)")
_VAE = {"conv_shortcut": "nin_shortcut", "conv_norm_out": "norm_out"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "text_projection.weight": "text_projection",
}
_OPEN_CLIP_LAYER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
_QKV = ("q_proj", "k_proj", "v_proj")


def unet_names(names: Iterable[str]) -> dict[str, str]:
    """Each name of an image UNet in diffusers -> the same layer's in the authors' UNet; names it has not are left out.

    Args:
        names: all layers, or all weights, of one UNet: how many layers a block has is read off them.
    """
    names = list(names)
    first = (re.match(r"down_blocks\.0\.resnets\.(\d+)\.", name) for name in names)
    per_block = 1 + max((int(found[1]) for found in first if found), default=0)
    attended = {found[1] for name in names if (found := re.match(r"up_blocks\.(\d+)\.attentions\.", name))}
    made = ((name, _unet_name(name, per_block, attended)) for name in names)
    return {name: other for name, other in made if other}


def _unet_name(name: str, per_block: int, attended: set[str]) -> str | None:
    if found := _IN_BLOCK.fullmatch(name):
        i, j, kind, rest = int(found["block"]), int(found["j"]), found["kind"], found["rest"]
        if kind == "downsamplers":
            return f"input_blocks.{(per_block + 1) * (i + 1)}.0.{rest.replace('conv', 'op', 1)}"
        if kind == "upsamplers":
            after = 2 if found["block"] in attended else 1
            return f"output_blocks.{(per_block + 1) * i + per_block}.{after}.{rest}"
        down = name.startswith("down_blocks")
        place = f"input_blocks.{(per_block + 1) * i + j + 1}" if down else f"output_blocks.{(per_block + 1) * i + j}"
        return f"{place}.0.{_resnet(rest)}" if kind == "resnets" else f"{place}.1.{rest}"
    if found := _IN_MIDDLE.fullmatch(name):
        if found["kind"] == "attentions":
            return f"middle_block.1.{found['rest']}"
        return f"middle_block.{2 * int(found['j'])}.{_resnet(found['rest'])}"
    return _renamed(name, _UNET)


def _resnet(rest: str) -> str:
    return _renamed(rest, _RESNET) or rest


def _renamed(name: str, table: dict[str, str]) -> str | None:
    """The name with its beginning, up to a dot, as the table has it; None where the table has no such beginning."""
    for old, new in table.items():
        if name == old or name.startswith(f"{old}."):
            return new + name.removeprefix(old)
    return None


def vae_names(names: Iterable[str]) -> dict[str, str]:
    """Each name of diffusers' AutoencoderKL -> the same layer's in the authors' autoencoder."""
    names = list(names)
    ups = (re.match(r"decoder\.up_blocks\.(\d+)\.", name) for name in names)
    last = max((int(found[1]) for found in ups if found), default=0)
    return {name: _vae_name(name, last) for name in names}


def _vae_name(name: str, last: int) -> str:
    half, _, rest = name.partition(".")
    if found := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)", rest):
        side, i, kind, j, below = found.groups()
        level = int(i) if side == "down" else last - int(i)
        if kind != "resnets":
            return f"{half}.{side}.{level}.{side}sample.{below}"
        return f"{half}.{side}.{level}.block.{j}.{_renamed(below, _VAE) or below}"
    if found := re.fullmatch(r"mid_block\.resnets\.(\d+)\.(.+)", rest):
        return f"{half}.mid.block_{int(found[1]) + 1}.{_renamed(found[2], _VAE) or found[2]}"
    if found := re.fullmatch(r"mid_block\.attentions\.0\.(.+)", rest):
        return f"{half}.mid.attn_1.{_renamed(found[1], _VAE_ATTENTION) or found[1]}"
    return f"{half}.{_renamed(rest, _VAE) or rest}"


def open_clip_name(name: str) -> tuple[str, int | None]:
    """A text encoder's name in transformers -> that in open_clip, and which third of it (q, k, v) it is, or None.

    open_clip keeps its text projection the other way round: (width, projection).
    """
    name = name.removeprefix("text_model.")
    if name in _OPEN_CLIP:
        return _OPEN_CLIP[name], None
    if found := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", name):
        place, rest = f"transformer.resblocks.{found[1]}", found[2]
        for third, projection in enumerate(_QKV):
            if rest.startswith(f"self_attn.{projection}."):
                return f"{place}.attn.in_proj_{rest.rpartition('.')[2]}", third
        rest = rest.replace("self_attn.out_proj", "attn.out_proj")
        return f"{place}.{_renamed(rest, _OPEN_CLIP_LAYER) or rest}", None
    return name.replace("final_layer_norm", "ln_final"), None


def motion_name(name: str) -> str:
    """A name of diffusers' motion modules -> AnimateDiff's; a name of another layer stays as it is."""
    if "motion_modules." not in name:
        return name
    name = re.sub(r"(motion_modules\.\d+)\.", r"\1.temporal_transformer.", name)
    for theirs, old in ((".norm1", ".norms.0"), (".norm2", ".norms.1"), (".norm3", ".ff_norm")):
        name = name.replace(theirs, old)
    name = name.replace(".pos_embed.pe", ".attention_blocks.0.pos_encoder.pe")
    return name.replace(".attn1.", ".attention_blocks.0.").replace(".attn2.", ".attention_blocks.1.")
