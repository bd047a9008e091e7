"""The backbone: the transformer with an autoencoder of 16 channels and a small CLIP text encoder."""

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler

from motionkit import UserError
from motionkit.backbones import fingerprint, tiny
from motionkit.backbones.sd import StableDiffusion
from motionkit.weights.building import drawing
from motionkit_flow16.network import Flow16Transformer
from motionkit_flow16.sizes import NETWORK, SCHEDULER, VAE


class Flow16(StableDiffusion):
    """A denoiser of whole clips; text as Stable Diffusion reads it."""

    def denoise(self, latents, t, text, *, unet=None, **more):
        network = self._use(self.unet if unet is None else unet)
        x = latents.to(self.device, network.dtype)
        times = torch.as_tensor(t, device=self.device, dtype=torch.float32).expand(len(x))
        with self._arithmetic():
            return network(x, times, text.to(x), **more).sample.float()


def load(spec, plan, path=None, seed=0, online=False):
    """The model with weights drawn from `seed`."""
    if path:
        raise UserError(f"{spec.name} has random weights and reads no folder: leave backbone.path out")
    with drawing(seed):
        parts = tiny.components()
        parts |= {"vae": AutoencoderKL(**VAE), "unet": Flow16Transformer(**NETWORK)}
        parts |= {"scheduler": FlowMatchEulerDiscreteScheduler(**SCHEDULER)}
    for name in ("vae", "unet", "text_encoder"):
        torch.nn.Module.to(parts[name], getattr(torch, plan.dtype))
    return Flow16(spec, plan, **parts, fingerprint=fingerprint(spec, seed=seed))
