"""Weights in eight bits: their error is bounded by half a step of each row, and files without scales are refused."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from motionkit.errors import UserError
from motionkit.weights.eight_bit import LEAST, SCALE, pack, unpack
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
