"""The one interface through which methods use a latent diffusion model, whoever made it."""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention_processor import Attention
from einops import rearrange, repeat
from torch import Tensor
from torch.nn import functional

from motionkit.backbones import placement
from motionkit.backbones.noise_levels import level_at, prediction_of, target_of, to_eps_x0
from motionkit.backbones.spec import ROLES, BackboneSpec
from motionkit.errors import UserError
from motionkit.settings import gpu
from motionkit.weights.building import on_meta

if TYPE_CHECKING:
    from motionkit.backbones.lora import Lora
    from motionkit.backbones.lora_files import Loras
    from motionkit.backbones.part_files import PartOptions

_TEMPORAL = ("motion_modules", "temp_attentions", "transformer_in", "attn_temp")


@dataclass(frozen=True)
class AttentionSite:
    """One attention layer: its dotted name in the UNet, its role, channels of the queries, heads, and block.

    `block` is "down.0", "mid", "up.2", ..., counted from the input to the output, or "in" before the first of them.
    """

    name: str
    module: Attention
    role: str
    width: int
    heads: int
    block: str


class VideoBackbone(abc.ABC):
    """A latent diffusion model seen as a denoiser of clips.

    Images are (F, 3, H, W) floats in [0, 1]; latents (F', C, h, w) with h = H / factor, scaled to a standard deviation
    near 1, where C is `latent_channels` and F' = 1 + (F - 1) // `time_stride`, which is F at a stride of 1; clips of
    latents (B, C, F', h, w); text states (B, L, D), whatever the backbone needs packed into one tensor.

    Attributes:
        spec: what is declared of it.  plan: the memory plan in effect.
        vae, unet, text_encoder, tokenizer: the models as diffusers and transformers have them, in eval mode, no grads.
        scheduler: the noise schedule and its settings: diffusers' DDIMScheduler or FlowMatchEulerDiscreteScheduler.
        device: where it computes.  dtype: of the UNet's weights.
        patch: side of the pixel blocks folded into channels before the autoencoder (1 for SD).
        factor: pixels per latent, along a side.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        plan: gpu.Plan,
        *,
        vae: Any,
        unet: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        fingerprint: str,
    ) -> None:
        self.spec = spec
        self.vae, self.unet, self.text_encoder, self.tokenizer, self.scheduler = (
            vae,
            unet,
            text_encoder,
            tokenizer,
            scheduler,
        )
        self._fingerprint = fingerprint
        self.taught: dict[str, str] = {}  # words of textual inversion -> their tokens
        self.device = torch.device(plan.device)
        self.patch, self.factor = self.scales(vae)
        for part in self.parts():
            part.eval().requires_grad_(False)
        self.image_scheduler = scheduler  # the image model's, where motion modules brought their own
        self._resident: Any = None
        self.plan = placement.apply(plan, self)

    @staticmethod
    def scales(vae: Any) -> tuple[int, int]:
        """`patch` and `factor` of an autoencoder; overridden where it is of another class than AutoencoderKL."""
        patch = patch_of(vae)
        return patch, patch * 2 ** (len(vae.config.block_out_channels) - 1)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the UNet's weights."""
        return next(self.unet.parameters()).dtype

    def parts(self) -> list[Any]:
        """The models that hold weights."""
        return [self.vae, self.unet, self.text_encoder]

    # images and latents

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self.vae.config.latent_channels

    @property
    def time_stride(self) -> int:
        """Frames of video for each frame of latents after the first."""
        return self.spec.time_stride

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """The shape (C, F', h, w) of a clip of that many frames of height x width pixels."""
        times = 1 + (frames - 1) // self.time_stride
        return self.latent_channels, times, height // self.factor, width // self.factor

    @torch.no_grad()
    def encode(self, frames: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Frames (F, 3, H, W) in [0, 1] to latents (F, C, h, w) float32: the posterior's mean, shifted and scaled as
        the autoencoder's configuration says.

        With a `generator` (of the CPU) each frame is a sample of the posterior instead.
        Raises: UserError when H or W is not a multiple of the factor.
        """
        if frames.shape[-1] % self.factor or frames.shape[-2] % self.factor:
            size = f"{frames.shape[-1]}x{frames.shape[-2]}"
            raise UserError(f"{self.spec.name} needs sizes that are multiples of {self.factor} (got {size})")
        vae = self._use(self.vae)
        latents = []
        for chunk in self._chunks(frames, frames.shape[-2] * frames.shape[-1]):
            x = chunk.to(self.device, vae.dtype) * 2 - 1
            if self.patch > 1:
                x = functional.pixel_unshuffle(x, self.patch)  # (f, 3 r r, H/r, W/r)
            with self._arithmetic(vae, whole=True):
                posterior = vae.encode(x).latent_dist
            mean = posterior.mean.float()
            if generator is not None:  # drawn on the CPU: the same on every machine
                noise = torch.randn(mean.shape, generator=generator)
                mean = mean + posterior.std.float() * noise.to(mean.device)
            shift = vae.config.get("shift_factor")
            latents.append((mean - shift if shift else mean) * vae.config.scaling_factor)
        return torch.cat(latents)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (F, C, h, w) to frames (F, 3, H, W) float32, clamped to [0, 1], a few frames at a time."""
        vae = self._use(self.vae)
        shift, frames = vae.config.get("shift_factor"), []
        for chunk in self._chunks(latents, latents.shape[-2] * latents.shape[-1] * self.factor**2):
            with self._arithmetic(vae, whole=True):
                x = chunk / vae.config.scaling_factor
                x = vae.decode((x + shift if shift else x).to(self.device, vae.dtype)).sample.float()
            if self.patch > 1:
                x = functional.pixel_shuffle(x, self.patch)  # (f, 3, H, W)
            frames.append((x / 2 + 0.5).clamp(0, 1))
        return torch.cat(frames)

    def _chunks(self, x: Tensor, pixels: int) -> Iterator[Tensor]:
        return iter(x.split(max(1, self.plan.chunk_pixels // pixels)))

    # text and denoising

    @abc.abstractmethod
    def encode_text(self, prompts: list[str]) -> Tensor:
        """Text states (B, L, C) for B prompts; too long a prompt is cut, and the log says so."""

    def cut_of(self, prompt: str) -> str:
        """One line where a prompt is longer than what is read of it; else ""."""
        return ""

    def denoise(
        self, latents: Tensor, t: float | Tensor, text: Tensor, *, unet: Any = None, **unet_arguments: Any
    ) -> Tensor:
        """The model's raw prediction (B, C, F, h, w), float32, for latents of that shape at timestep t (or (B,)).

        An image model sees every frame on its own: frames are folded into the batch as (B F), text (B, L, C) and t are
        repeated per frame. `unet` replaces the backbone's own (a tuned copy); other arguments go to its forward.
        """
        frames = latents.shape[2]
        unet = self._use(self.unet if unet is None else unet)
        dtype = getattr(unet, "dtype", self.dtype)
        x = rearrange(latents, "b c f h w -> (b f) c h w").to(self.device, dtype)
        times = torch.as_tensor(t, device=self.device).expand(latents.shape[0])
        times = repeat(times, "b -> (b f)", f=frames)
        states = repeat(text.to(self.device, dtype), "b l c -> (b f) l c", f=frames)
        with self._arithmetic(unet):
            out = unet(x, times, **self._conditions(states, x), **unet_arguments).sample.float()
        return rearrange(out, "(b f) c h w -> b c f h w", f=frames)

    def _conditions(self, text: Tensor, latents: Tensor) -> dict[str, Any]:
        return {"encoder_hidden_states": text}

    # the noise schedule

    @property
    def prediction_type(self) -> str:
        """What the UNet predicts: "epsilon", "v_prediction" or "flow_prediction"."""
        return prediction_of(self.scheduler)

    def to_eps_x0(self, prediction: Tensor, latents: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Noise and clean latents that a raw prediction at timestep t (a number or (B,)) stands for."""
        return to_eps_x0(self.prediction_type, prediction, latents, level_at(self.scheduler, t, latents))

    def noised(self, x0: Tensor, noise: Tensor, t: float | Tensor) -> Tensor:
        """Clean latents with the noise of timestep t (a number or (B,))."""
        return level_at(self.scheduler, t, x0).mix(x0, noise)

    def training_target(self, x0: Tensor, noise: Tensor, t: float | Tensor) -> Tensor:
        """What the UNet should predict for `noised(x0, noise, t)`."""
        return target_of(self.prediction_type, x0, noise, level_at(self.scheduler, t, x0))

    # the UNet's insides

    def attention_sites(self, role: str, unet: Any = None) -> list[AttentionSite]:
        """As `attention_sites`, of the backbone's own UNet or of a copy of it."""
        return attention_sites(self.unet if unet is None else unet, role)

    def fresh_unet(self, own: Collection[str] | None = None) -> Any:
        """A copy of the UNet, with the plan's switches, for a method that tunes or rebuilds it; gradients are off.

        `own` names the weights that the copy is going to change; the others then share the backbone's memory.
        """
        with on_meta():  # draws nothing from the global generator
            unet = type(self.unet).from_config(self.unet.config)
        state = {k: v.clone() if own is None or k in own else v for k, v in self.unet.state_dict().items()}
        unet.load_state_dict(state, assign=True)
        unet.eval().requires_grad_(False)
        placement.prepare_unet(self.plan, unet)
        return unet

    def add_lora(self, change: Lora | Sequence[Lora], options: Loras) -> list[str]:
        """Merge a LoRA into the weights permanently; returns the changed layers. The fingerprint changes with it.

        Several, one for each of `options.each`, are added up before the weights are rounded.

        Raises: UserError when it is for another model; then nothing has changed.
        """
        from motionkit.backbones.lora import PARTS, Lora, merge_all

        changes = [change] if isinstance(change, Lora) else change
        counted = [(one, said.scale) for one, said in zip(changes, options.each, strict=True)]
        changed = merge_all(counted, {part: getattr(self, part, None) for part in PARTS})
        self._fingerprint = options.fingerprint(self._fingerprint)
        return changed

    def change_parts(self, options: PartOptions) -> None:
        """Put other parts into the backbone permanently. The fingerprint changes with them.

        Raises: UserError for files of another model.
        """
        from motionkit.backbones.parts import put

        put(self, options)
        self._fingerprint = options.fingerprint(self._fingerprint)

    def change_vae(self, vae: Any) -> None:
        """Another autoencoder in place of this one, under the same plan."""
        placement.prepare_vae(self.plan, vae.eval().requires_grad_(False))
        self.vae = vae
        self.patch, self.factor = self.scales(vae)

    def fingerprint(self) -> str:
        """A hash of everything that decides what this backbone computes: configurations and weights."""
        return self._fingerprint

    # placement

    def _use(self, module: Any) -> Any:
        """Move one part to the device: with offload=model the previous one goes back, with group it gets its hooks."""
        if self.plan.offload == "group":
            placement.group_offload(module, self.plan.device)
        if self.plan.offload == "model" and self._resident is not module:
            if self._resident is not None:
                self._resident.to("cpu")
            self._resident = module.to(self.device)
        return module

    def _arithmetic(self, part: Any = None, whole: bool = False) -> AbstractContextManager[Any]:
        """The plan's autocast, only where float32 weights should compute in half precision.

        Weights in half precision need none: it would add a float32 copy after every norm. `part`: the network that
        computes, by default the UNet. `whole`: leave a part alone that was kept in float32 as a whole on purpose.
        """
        plan = self.plan
        if plan.autocast is None:
            return nullcontext()
        wide = any(weight.dtype == torch.float32 for weight in (self.unet if part is None else part).parameters())
        if plan.dtype != "float32" and (not wide or whole):
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, plan.autocast))


def attention_sites(unet: Any, role: str) -> list[AttentionSite]:
    """The attention layers of that role, in the order in which the data passes them: in, down, mid, up.

    Role and block are read from a layer's name as in diffusers' UNets. A network with other names has a method
    `attention_place(name)` that returns both; a role of "" means none of these.
    Raises: ValueError for an unknown role.
    """
    if role not in ROLES:
        raise ValueError(f"no such role {role!r}; roles: {', '.join(ROLES)}")
    place: Callable[[str], tuple[str, str]] = getattr(unet, "attention_place", _place)
    found = []
    for name, module in unet.named_modules():
        if isinstance(module, Attention) and (told := place(name))[0] == role:
            found.append(AttentionSite(name, module, role, module.query_dim, module.heads, told[1]))
    return sorted(found, key=lambda site: ("in", "down", "mid", "up").index(site.block.split(".")[0]))


def patch_of(vae: Any) -> int:
    """Side r of the pixel blocks that become channels: the autoencoder has 3 r r input channels.

    Raises: UserError when the channels fit no r in 1, 2, 4, 8.
    """
    channels = vae.config.in_channels
    patch = round((channels / 3) ** 0.5)
    if patch not in (1, 2, 4, 8) or 3 * patch * patch != channels or vae.config.out_channels != channels:
        raise UserError(f"the autoencoder has {channels} input channels; motionkit supports 3, 12, 48 and 192")
    return patch


def _place(name: str) -> tuple[str, str]:
    return _role(name), _block(name)


def _role(name: str) -> str:
    if any(mark in name for mark in _TEMPORAL):
        return "temporal_self"
    return "cross" if name.endswith("attn2") else "spatial_self"


def _block(name: str) -> str:
    if found := re.search(r"(?:^|\.)(down|up)_blocks\.(\d+)\.", name):
        return ".".join(found.groups())
    return "mid" if "mid_block" in name else "in"
