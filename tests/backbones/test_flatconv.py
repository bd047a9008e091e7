"""Temporal convolutions computed flat: the same numbers and gradients, and the same module to everyone else."""

import pytest
import torch
from torch import nn

from motionkit.backbones import load
from motionkit.backbones.flatconv import FlatConv3d, flatten_convolutions
from motionkit.settings.gpu import Plan


@pytest.mark.parametrize("shape", [(2, 6, 5, 4, 8), (1, 6, 1, 3, 3)])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_values_and_gradients(shape, kernel):
    torch.manual_seed(0)
    conv = nn.Conv3d(6, 7, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=kernel != 5)
    x = torch.randn(shape).transpose(1, 2).contiguous().transpose(1, 2).requires_grad_(True)  # as UNet3D hands it on

    def results():
        out = conv(x)
        return [out, *torch.autograd.grad(out.square().sum(), [x, *conv.parameters()])]

    before, state = results(), conv.state_dict()
    assert flatten_convolutions(conv) == 1 and type(conv) is FlatConv3d and isinstance(conv, nn.Conv3d)
    for ours, theirs in zip(results(), before, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(state[name], value) for name, value in conv.state_dict().items())


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv3d(4, 4, 3, padding=1),
        nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0), stride=(2, 1, 1)),
        nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0), groups=2),
        nn.Conv3d(4, 4, (3, 1, 1), padding="same"),
        nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0), padding_mode="replicate"),
        nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 1, 0)),
    ],
)
def test_other_convolutions_stay_as_they_are(conv):
    assert flatten_convolutions(conv) == 0 and type(conv) is nn.Conv3d


def test_a_video_model_on_a_cpu_has_them():
    unet = load("tiny-modelscope", Plan()).unet
    kinds = {type(module) for module in unet.modules() if isinstance(module, nn.Conv3d)}
    assert kinds == {FlatConv3d}
