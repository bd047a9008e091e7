"""Video UNets take the image UNet's attention over as it is: both group heads in the same way."""

import torch
from diffusers import UNet2DConditionModel

from motionkit.backbones.modelscope import from_image_unet
from motionkit.training.recipes import pocket_modelscope, pocket_sd


@torch.no_grad()
def test_a_new_video_unet_computes_what_the_image_unet_does():
    torch.manual_seed(0)
    image = UNet2DConditionModel(**pocket_sd.UNET).eval()
    video = from_image_unet(image, **pocket_modelscope.UNET).eval()
    x, text = torch.randn(1, 4, 2, 32, 32), torch.randn(1, 16, 128)
    t = torch.tensor([400])
    frames = image(x[0].transpose(0, 1), t.expand(2), text.expand(2, -1, -1)).sample
    assert torch.allclose(video(x, t, text).sample[0].transpose(0, 1), frames, atol=1e-4)
