"""Small random video UNets, schedules and drawings for FlipSketch's tests."""

import functools

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet3DConditionModel

from motionkit.diffusion.ddim import DDIM
from motionkit.media import from_frames

SIZES = dict(
    in_channels=4, out_channels=4, layers_per_block=1, norm_num_groups=4, cross_attention_dim=12, sample_size=8
)


@functools.cache
def video_unet(channels=(8, 16), head=4):
    """A UNet3DConditionModel with text attention at its first level; its temporal layers are not the identity."""
    torch.manual_seed(0)
    unet = UNet3DConditionModel(
        **SIZES,
        block_out_channels=channels,
        attention_head_dim=head,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    )
    for name, weight in unet.named_parameters():
        if "temp_convs" in name and "conv4" in name:  # diffusers sets these to zero
            torch.nn.init.normal_(weight, std=0.2)
    return unet.eval().requires_grad_(False)


def scheduler(prediction="epsilon"):
    """ModelScope's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )


def sampler(prediction="epsilon"):
    """DDIM over it."""
    return DDIM(scheduler(prediction))


def denoise(x, t, text):
    """The UNet as a function of a clip, a timestep and a text."""
    return video_unet()(x, t, text).sample


def clip(frames=4, height=8, width=8, batch=1, seed=1):
    return torch.randn(batch, 4, frames, height, width, generator=torch.Generator().manual_seed(seed))


def text(seed=2, batch=1):
    return torch.randn(batch, 5, 12, generator=torch.Generator().manual_seed(seed))


def drawing(height=256, width=256, lines=((40, 40, 216, 120), (60, 200, 180, 90), (200, 60, 150, 220))):
    """A clip of one picture: black lines on white."""
    import cv2

    picture = np.full((height, width, 3), 255, np.uint8)
    for x0, y0, x1, y1 in lines:
        cv2.line(picture, (x0, y0), (x1, y1), (0, 0, 0), 4, cv2.LINE_AA)
    return from_frames(picture, name="lines", is_image=True)
