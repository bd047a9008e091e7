"""Weights in eight bits: their error is bounded by half a step of each row, and files without scales are refused."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from motionkit.errors import UserError
from motionkit.weights.eight_bit import LEAST, SCALE, pack, shrink, unpack
from motionkit.weights.reading import load_model


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.kernel, self.few = nn.Linear(80, 90), nn.Conv2d(16, 32, 3), nn.Linear(3, 4)


@pytest.fixture
def state():
    torch.manual_seed(0)
    return {
        k: v.detach() * 10 ** torch.empty(v.shape[0]).uniform_(-3, 2).view(-1, *[1] * (v.dim() - 1))
        for k, v in Small().state_dict().items()
    }


def test_each_row_errs_by_at_most_half_a_step(state):
    packed = pack(state)
    assert packed["wide.weight"].dtype == torch.int8 == packed["kernel.weight"].dtype
    assert {k for k in packed if k.endswith(SCALE)} == {"wide.weight" + SCALE, "kernel.weight" + SCALE}
    for name in ("wide.weight", "kernel.weight"):
        rows, back = state[name].flatten(1), unpack(packed[name], packed[name + SCALE]).flatten(1)
        step = rows.abs().amax(1, keepdim=True) / 127
        assert ((rows - back).abs() <= 0.501 * step).all()
    assert state["few.weight"].numel() < LEAST and torch.equal(packed["few.weight"], state["few.weight"].half())


def test_a_model_loads_them_and_refuses_them_without_scales(state, tmp_path):
    (tmp_path / "unet").mkdir()
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    packed = pack(state)
    save_file(packed, file)
    model = load_model(Small, [tmp_path / "unet"], "diffusion_pytorch_model", torch.float32)
    for name, value in state.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=value.abs().max().item() / 200)
    save_file({k: v for k, v in packed.items() if not k.endswith(SCALE)}, file)
    with pytest.raises(UserError, match=r"kernel.weight is in eight bits without a scale"):
        load_model(Small, [tmp_path / "unet"], "diffusion_pytorch_model", torch.float32)


@pytest.mark.parametrize("which", ["small", "anamodiff"])
def test_small_networks_are_read_from_eight_bits(which, tmp_path):
    from motionkit.methods.anamodiff.keypoints import KPDetector
    from motionkit.methods.anamodiff.weights import load_network, save_network
    from motionkit.weights.small_nets import load_net, save_net

    torch.manual_seed(0)
    file = tmp_path / "net.safetensors"
    if which == "small":
        net = nn.Sequential(nn.Linear(80, 90), nn.BatchNorm1d(90)).eval()
        save_net(file, net, {}, {"error": 1.0})
    else:
        settings = dict(num_kp=5, block_expansion=16, max_features=64, num_blocks=2, pad=3)
        net = KPDetector(**settings).eval()
        save_network(file, "keypoints", settings, net.state_dict())
    assert shrink(file) > 0

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(80, 90), nn.BatchNorm1d(90))

    back = (load_net(file, build, "small", "") if which == "small" else load_network(file, "keypoints"))[0]
    for name, value in net.state_dict().items():
        here = back.state_dict()[name]
        torch.testing.assert_close(here, value, rtol=0, atol=value.abs().max().item() / 200 if value.dim() else 0)
