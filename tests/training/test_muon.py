"""Muon does what torch's own does on matrices, takes kernels as matrices, and resumes with its momentum."""

import pytest
import torch
from torch import nn

from motionkit.training.muon import Muon, orthogonalise


def _gradients(shape, count=4):
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def _after(optimizer, parameter, gradients):
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach().clone()


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (12, 12)])
def test_as_torch_on_matrices(shape):
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    a = _after(Muon([ours], 0.02, 0.95, 0.01), ours, _gradients(shape))
    reference = torch.optim.Muon([theirs], lr=0.02, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original")
    b = _after(reference, theirs, _gradients(shape))
    assert (a - start).abs().max() > 0.01
    assert torch.allclose(a, b, atol=2e-4)  # bfloat16 rounds a step of .02 at its eighth bit


def test_a_kernel_is_the_matrix_of_its_outputs():
    start = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel, matrix = nn.Parameter(start.clone()), nn.Parameter(start.flatten(1).clone())
    a = _after(Muon([kernel]), kernel, _gradients((8, 4, 3, 3)))
    b = _after(Muon([matrix]), matrix, [g.flatten(1) for g in _gradients((8, 4, 3, 3))])
    assert torch.equal(a.flatten(1), b)


def test_singular_values_come_near_one():
    x = torch.randn(20, 50, generator=torch.Generator().manual_seed(1)) @ torch.diag(torch.linspace(0.1, 3, 50))
    values = torch.linalg.svdvals(orthogonalise(x).float())
    assert values.min() > 0.5 and values.max() < 1.3


def test_matrices_of_one_shape_may_go_together():
    a, b = _gradients((10, 30), 2)
    both = orthogonalise(torch.stack([a, b]))
    assert torch.allclose(both[0].float(), orthogonalise(a).float(), atol=0.03)
    assert torch.allclose(both[1].float(), orthogonalise(b).float(), atol=0.03)
    first, second = (nn.Parameter(torch.zeros(10, 30)) for _ in range(2))
    first.grad, second.grad = a.clone(), b.clone()
    with torch.no_grad():
        Muon([first, second])._update([first, second], 0.02, 0.95, 0.01)
    assert torch.allclose(first, -0.02 * orthogonalise(a).float(), atol=2e-3)


def test_resumes_with_its_momentum():
    start, gradients = torch.randn(6, 9, generator=torch.Generator().manual_seed(0)), _gradients((6, 9))
    whole = nn.Parameter(start.clone())
    expected = _after(Muon([whole]), whole, gradients)
    first = nn.Parameter(start.clone())
    optimizer = Muon([first])
    middle = _after(optimizer, first, gradients[:2])
    second = nn.Parameter(middle)
    resumed = Muon([second])
    resumed.load_state_dict(optimizer.state_dict())
    assert torch.equal(_after(resumed, second, gradients[2:]), expected)


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="two or more dimensions"):
        Muon([nn.Parameter(torch.zeros(3))])
