"""The Animate-X network: a 3D UNet with motion attention at its sites, and the branches that feed it.

Paper: Tan et al., Animate-X, arXiv 2410.10306. Authors' code: github.com/antgroup/animate-x (Apache-2.0); where it
differs from the paper the code is followed. Shape legend: B clips, F frames, T = F + 1 slots of time with the
reference's first, H x W pixels, h x w latents, D context width.
"""

from __future__ import annotations

import torch
from diffusers import UNet3DConditionModel
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from torch import Tensor, nn

from motionkit.methods.animatex.net.adapters import (
    FoldedPictures,
    ReferenceGrid,
    latent_branch,
    pixel_branch,
    token_maker,
)
from motionkit.methods.animatex.net.conditions import Conditions, Keep, Prepared
from motionkit.methods.animatex.net.config import AnimateXConfig
from motionkit.methods.animatex.net.indicator import JOINTS, ImplicitPoseIndicator
from motionkit.methods.animatex.net.sites import AppearanceMotion
from motionkit.methods.animatex.net.temporal import temporal_module


class AnimateXNetwork(nn.Module):
    """Predicts v for noisy latents of clips; what does not depend on the step is prepared once per clip.

    Attributes:
        config: its sizes.  unet: diffusers' UNet3DConditionModel with `AppearanceMotion` at its sites.
        indicator: the implicit pose indicator.  image_tokens: context tokens of the reference's features.
        local, pose: branches of the reference's pixels and of the pose images, beside the noise.
        slot_latent, slot_pose: branches of the reference's latent and of its pose image, in slot 0.
    """

    def __init__(self, config: AnimateXConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = build_unet(config)
        self.indicator = ImplicitPoseIndicator(config.indicator, config.feature_dim, config.context_dim)
        self.image_tokens = token_maker(config.feature_dim, config.context_dim, config.image_tokens)
        if config.reference_grid:
            self.grid = ReferenceGrid(config)
        if config.folded_poses:
            self.pose: nn.Module = FoldedPictures(config)
        else:
            self.local, self.pose = (pixel_branch(config, config.concat_channels) for _ in range(2))
        self.slot_pose = pixel_branch(config, config.slot_channels)
        self.slot_latent = latent_branch(config, config.slot_channels)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return next(self.parameters()).dtype

    def sites(self) -> list[AppearanceMotion]:
        """The places of the motion attention, in the order of their numbers."""
        found = [module for module in self.unet.modules() if isinstance(module, AppearanceMotion)]
        return sorted(found, key=lambda site: site.site)

    def prepare(self, conditions: Conditions, keep: Keep | None = None) -> Prepared:
        """Everything of the clips that is the same at every step; `keep` drops conditions, for training.

        Raises: ValueError for shapes that do not belong together.
        """
        conditions.check()
        context = torch.cat([conditions.text, self.reference_tokens(conditions, keep)], dim=1)  # (B, L + 4, D)
        motion = self.motion_tokens(conditions, keep)
        pairs = [site.keys_values(context, motion) for site in self.sites()]
        context_kept, motion_kept = zip(*pairs, strict=True)
        return Prepared(
            len(context),
            conditions.frames,
            self.beside(conditions, keep),
            self.slot(conditions, keep),
            context_kept,
            motion_kept,
        )

    def forward(self, noisy: Tensor, t: int | Tensor, prepared: Prepared) -> Tensor:
        """v (B, C, F, h, w) for noisy latents of that shape at timestep t, an int or (B,).

        Raises: ValueError when `prepared` is of another batch, number of frames or size.
        """
        x = self.assemble(noisy, prepared)
        times = torch.as_tensor(t, device=x.device).expand(len(x))
        unread = x.new_empty(len(x), 0, 0)  # the sites read kept keys and values; diffusers only repeats this one
        out = self.unet(x, times, unread, cross_attention_kwargs={"prepared": prepared}, return_dict=False)[0]
        return out[:, :, 1:]

    def assemble(self, noisy: Tensor, prepared: Prepared) -> Tensor:
        """What enters the UNet: latents with the branches beside them, slot 0 first, (B, 12, T, h, w)."""
        batch, _, frames, *size = noisy.shape
        if (batch, frames) != (prepared.batch, prepared.frames):
            made = f"{prepared.batch} of {prepared.frames}"
            raise ValueError(f"{batch} clip(s) of {frames} frames, but {made} were prepared")
        for part in (prepared.concat, prepared.slot):
            if part is not None and part.shape[-2:] != noisy.shape[-2:]:
                raise ValueError(f"latents of {size[1]}x{size[0]}, but {part.shape[-1]}x{part.shape[-2]} were prepared")
        concat, slot = prepared.concat, prepared.slot
        if concat is None:
            concat = noisy.new_zeros(batch, self.config.concat_channels, frames, *size)
        if slot is None:
            slot = noisy.new_zeros(batch, self.config.slot_channels, 1, *size)
        clip = torch.cat([noisy, concat.to(noisy.dtype)], dim=1)  # (B, 12, F, h, w)
        return torch.cat([slot.to(noisy.dtype), clip], dim=2)  # (B, 12, T, h, w)

    # the parts of `prepare`

    def reference_tokens(self, conditions: Conditions, keep: Keep | None = None) -> Tensor:
        """Context tokens (B, 4, D) of the reference's features, or (B, S, D) of its places; zeros without it."""
        text = conditions.text
        if self.config.reference_grid:
            return self.grid_tokens(conditions, keep)
        if conditions.clip_ref is None:
            return text.new_zeros(len(text), self.config.image_tokens, text.shape[-1])
        tokens = self.image_tokens(conditions.clip_ref).reshape(len(text), self.config.image_tokens, -1)  # (B, 4, D)
        return tokens if keep is None else _masked(tokens, keep.image)

    def grid_tokens(self, conditions: Conditions, keep: Keep | None = None) -> Tensor:
        """Tokens (B, S, D) of the reference's places; without its latent zeros, without its pose a blank picture."""
        text, latent = conditions.text, conditions.reference_latent
        if latent is None:
            return text.new_zeros(len(text), self.config.reference_grid**2, text.shape[-1])
        side = [n * self.config.factor for n in latent.shape[-2:]]
        pose = latent.new_zeros(len(text), 3, *side)
        if conditions.pose_images is not None:
            pose = conditions.pose_images[:, :, 0].to(latent)
        tokens = self.grid(latent, pose)
        return tokens if keep is None else _masked(tokens, keep.image)

    def motion_tokens(self, conditions: Conditions, keep: Keep | None = None) -> Tensor:
        """Motion tokens f_i (B T, 4, D); zero keypoints and features stand for missing ones.

        They are made in the precision of the indicator's weights, whatever autocast says around it.
        """
        text, slots = conditions.text, conditions.frames + 1
        keypoints, features = conditions.keypoints, conditions.clip_frames
        if keypoints is None:
            keypoints = text.new_zeros(len(text), slots, 2, JOINTS)
        if features is None:
            features = text.new_zeros(len(text), slots, self.config.feature_dim)
        if keep is not None:
            keypoints, features = _masked(keypoints, keep.rest), _masked(features, keep.rest)
        dtype = self.indicator.resampler.latents.dtype
        with torch.autocast(text.device.type, enabled=False):
            return self.indicator(keypoints.to(dtype), features.to(dtype)).to(text.dtype)

    def beside(self, conditions: Conditions, keep: Keep | None = None) -> Tensor | None:
        """The channels beside the noise, (B, 8, F, h, w): the reference's pixels (if it has a branch) and the poses."""
        parts = []
        if conditions.reference is not None and not self.config.folded_poses:
            # the same in every frame: one is computed
            local = self.local(conditions.reference[:, :, None]).expand(-1, -1, conditions.frames, -1, -1)
            parts.append(local if keep is None else _masked(local, keep.local))
        if conditions.pose_images is not None:
            pose = self.pose(conditions.pose_images[:, :, 1:])
            parts.append(pose if keep is None else _masked(pose, keep.pose))
        return sum(parts[1:], parts[0]) if parts else None

    def slot(self, conditions: Conditions, keep: Keep | None = None) -> Tensor | None:
        """Slot 0, (B, 12, 1, h, w): the reference's latent and pose; None (zeros) without its latent."""
        if conditions.reference_latent is None:
            return None
        slot = self.slot_latent(conditions.reference_latent[:, :, None])
        if conditions.pose_images is not None:
            slot = slot + self.slot_pose(conditions.pose_images[:, :, :1])
        return slot if keep is None else _masked(slot, keep.rest)


def build_unet(config: AnimateXConfig) -> UNet3DConditionModel:
    """diffusers' video UNet with motion attention at its sites and the configuration's temporal modules."""
    unet = UNet3DConditionModel(**config.unet())
    unet.transformer_in = temporal_module(config, config.channels[0], config.first_heads)
    site = 0
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        for i, attention in enumerate(getattr(block, "attentions", ())):
            channels = attention.in_channels
            block.attentions[i] = AppearanceMotion(config, channels, site)
            block.temp_attentions[i] = temporal_module(config, channels, channels // config.head_dim)
            site += 1
    _set_dropout(unet, config.dropout)
    return unet


def _set_dropout(unet: UNet3DConditionModel, share: float) -> None:
    """Dropout of ResBlocks and temporal convolutions, where the authors have it (diffusers' default differs)."""
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D | TemporalConvLayer):
            for inner in module.modules():
                if isinstance(inner, nn.Dropout):
                    inner.p = share


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    return x * mask.to(x).reshape(-1, *[1] * (x.ndim - 1))  # (B, 1, ...)
