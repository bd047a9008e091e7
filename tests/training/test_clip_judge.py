"""The clip judge's trainer: what it shows, how it spoils, and that a step teaches."""

import numpy as np
import torch

from motionkit.metrics.judges import ClipNet
from motionkit.training.recipes import clip_judge as trainer
from motionkit.weights.small_nets import save_net


def test_pairs_are_of_one_kind_and_two_characters_and_reproducible():
    data = trainer.pairs("test", 1, 2, 8, 3, "judge")
    again = trainer.pairs("test", 1, 2, 8, 3, "judge")
    for one, two in zip(data[::2], data[1::2], strict=True):
        assert one.character.kind == two.character.kind and one.character.seed != two.character.seed
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(data, again, strict=True))


def test_joints_move_with_the_picture():
    points = torch.tensor([[-0.4, 0.2], [0.5, -0.3], [0.1, 0.6], [-0.6, -0.6]])
    x = torch.ones(4, 1, 3, 64, 64)
    for i, (px, py) in enumerate(((points + 1) / 2 * 63).round().int().tolist()):
        x[i, 0, :, py - 1 : py + 2, px - 1 : px + 2] = 0
    bent, scale, shift = trainer.wobble(x, torch.Generator().manual_seed(3))
    wanted = ((points[:, None, None] - shift) / scale)[:, 0, 0]  # (4, 2)
    line = torch.linspace(-1, 1, 64)
    dark = (1 - bent[:, 0, 0]).clamp(min=0)
    found = torch.stack([(dark.sum(1) @ line), (dark.sum(2) @ line)], -1) / dark.sum((1, 2))[:, None]
    assert (found - wanted).norm(dim=-1).max() < 0.08  # the bends move it by a pixel or two
    assert (found - points).norm(dim=-1).mean() > (found - wanted).norm(dim=-1).mean()


def test_spoilt_clips_stay_pictures_and_clips_differ_in_how():
    x = torch.stack([torch.from_numpy(c.frames) for c in trainer.pairs("test", 1, 0, 8, 4, "judge")])
    x = x.permute(0, 1, 4, 2, 3).float() / 255  # (B, F, 3, H, W)
    spoilt = trainer.spoil(x, torch.Generator().manual_seed(0))
    assert spoilt.shape == x.shape and spoilt.min() >= 0 and spoilt.max() <= 1
    change = (spoilt - x).abs().mean((1, 2, 3, 4))
    assert change.max() > 4 * change.min() and change.max() > 0.01
    assert torch.equal(spoilt, trainer.spoil(x, torch.Generator().manual_seed(0)))


def test_otsu_leaves_black_on_white():
    lines = torch.from_numpy(trainer.pairs("test", 1, 0, 2, 2, "judge")[0].lines(2)).permute(0, 3, 1, 2).float() / 255
    grey = 0.2 + 0.6 * lines
    assert set(trainer.otsu(grey).unique().tolist()) == {0.0, 1.0}
    assert ((trainer.otsu(grey) > 0.5) == (lines > 0.5)).float().mean() > 0.99


def test_frozen_clips_stand_still_and_the_others_move_on():
    x = torch.arange(5.0).expand(4, 5).clone()  # four clips whose pixels are the frame's number
    frozen = np.array([True, False, True, True])
    out = trainer.freeze(x, frozen, np.random.default_rng(0))
    assert torch.equal(out[1], x[1])
    assert all(out[i].max() - out[i].min() <= 1 for i in (0, 2, 3))  # at most to and fro between two neighbours
    data = trainer.pairs("test", 1, 0, 4, 2, "judge")
    said = trainer.labels_of(data, frozen)["motion"]
    names = [trainer.GROUPS["motion"][i] for i in said.tolist()]
    assert names == ["still", data[1].motion.name, "still", "still"]


def test_training_may_begin_with_a_judge_that_knows_fewer_motions(tmp_path):
    torch.manual_seed(0)
    fewer = trainer.GROUPS | {"motion": trainer.GROUPS["motion"][:-1]}
    old = ClipNet(fewer).eval()
    save_net(tmp_path / "old.safetensors", old, {"groups": fewer}, {})
    new = ClipNet(trainer.GROUPS).eval()
    trainer.begin_with(new, tmp_path / "old.safetensors")
    x = torch.rand(2, 6, 3, 64, 64)
    assert torch.allclose(new.moves(x)[0][:, :-1], old.moves(x)[0], atol=0.02)
    assert torch.allclose(new.moves(x)[1], old.moves(x)[1], atol=0.02)


def test_infonce_is_least_when_every_row_finds_its_own():
    rows = torch.nn.functional.normalize(torch.randn(6, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert trainer.same_or_other(rows, rows) < trainer.same_or_other(rows, rows.roll(1, 0))


def test_a_few_steps_on_one_batch_teach_it():
    torch.manual_seed(0)
    net = ClipNet(trainer.GROUPS)
    loss = trainer.make_loss(net, 8, 100, 7, "cpu")
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3)
    values = []
    for _ in range(8):
        value, logs = loss(0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.7 * values[0]
    assert {"motion", "kind", "identity", "joints", "right_motion_lines"} <= logs.keys()
