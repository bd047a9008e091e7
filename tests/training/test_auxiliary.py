"""The auxiliary head learns the renderer's parts from a block's features, and copies listen to themselves."""

import copy

import pytest
import torch
from torch import nn

from motionkit.training.recipes.auxiliary import REACH, AuxiliaryHead, Listener, offset_loss, part_cells, part_loss
from motionkit.training.recipes.sprite_batches import clips


def test_parts_are_the_renderers():
    data = clips("auxiliary test", 0, 0, 3)
    cells = part_cells(data)
    assert cells.shape == (3, 32, 32) and cells.min() == 0 and len(cells.unique()) > 6
    assert cells[1, 20, 15] == data[1].parts[0, 81, 61] + 1


def test_the_head_learns_what_the_features_show():
    torch.manual_seed(0)
    parts = part_cells(clips("auxiliary test", 0, 0, 2))
    features = nn.functional.one_hot(parts, 16).permute(0, 3, 1, 2).float().contiguous()
    head = AuxiliaryHead(16, offsets=True)
    optimizer, errors = torch.optim.Adam(head.parameters(), 1e-2), []
    for _ in range(30):
        logits, offsets = head(features)
        assert logits.shape == (2, 13, 32, 32) and offsets.shape == (2, 2, 32, 32)
        loss = part_loss(logits, parts) + offset_loss(offsets, torch.full((2, 2, 32, 32), 8.0), (parts > 0)[:, None])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert errors[-1] < 0.3 * errors[0]


def test_offsets_count_where_they_are_visible():
    true = torch.full((1, 2, 4, 4), 2 * REACH)
    visible = torch.zeros(1, 1, 4, 4)
    assert offset_loss(torch.zeros(1, 2, 4, 4), true, visible) == 0
    visible[..., 0, :] = 1
    assert offset_loss(torch.zeros(1, 2, 4, 4), true, visible) == pytest.approx(2 * 8 / 9)


class _Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.listener = Listener(self.inner)

    def forward(self, x):
        return self.inner(x).sum()


def test_a_copy_listens_to_itself_and_only_in_training():
    model = _Model()
    other = copy.deepcopy(model)
    other(torch.ones(1, 2))
    assert other.listener.take().shape == (1, 2)
    with pytest.raises(RuntimeError, match="no output"):
        model.listener.take()
    other.eval()(torch.ones(1, 2))
    with pytest.raises(RuntimeError, match="no output"):
        other.listener.take()
