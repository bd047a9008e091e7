"""The trainer of the pocket maps: truth moves with its picture, figures know right from wrong, steps teach."""

import numpy as np
import pytest
import torch

from motionkit.perception.pocket_maps import PARTS, MapsNet, PocketReading
from motionkit.sprites import HELD_OUT_KINDS, Motion, character, render_clip
from motionkit.sprites.kinds import rng_of
from motionkit.sprites.sampling import split_of
from motionkit.training.recipes import pocket_maps as trainer
from motionkit.training.recipes import pocket_maps_figures as figures


def sample(kind="horse", seed=5):
    clip = render_clip(character(seed, kind), Motion("walk"), 1)
    return clip.frames[0], trainer.truth_of(clip)


def test_training_shows_every_setting_and_sheets_and_nothing_held_out():
    shown = [trainer.draw(rng_of("test", i)).character for i in range(60)]
    assert {c.setting for c in shown} == {"easy", "full"} and {c.bends for c in shown} >= {"bones", "letter"}
    assert not {c.kind for c in shown} & set(HELD_OUT_KINDS) and {split_of(c.key) for c in shown} == {"train"}


def test_the_truth_moves_with_the_picture():
    """A picture painted with its own truth stays that, whatever is done to it."""
    _, truth = sample()
    painted = np.repeat((truth[..., :1] * 20).astype(np.uint8), 3, -1)
    changed = 0
    for i in range(12):
        frame, moved = trainer.place((painted, truth), np.random.default_rng(i))
        inside = np.isin(frame[..., 0], np.unique(painted))  # not where two colours were mixed at a border
        assert (frame[..., 0] == moved[..., 0] * 20)[inside].mean() > 0.98
        changed += not np.array_equal(moved, truth)
    assert 3 < changed < 12


def test_a_second_character_hides_the_first_where_it_stands():
    back, front = sample("horse"), sample("robot", 8)
    frame, truth = trainer.behind(front, back, np.random.default_rng(0))
    same = (frame == back[0]).all(-1)
    assert np.array_equal(truth[same], back[1][same]) and (~same).sum() > 200
    assert (truth[~same][:, 0] > 0).mean() > 0.99


def test_bars_are_background():
    plain = sample()
    barred = [trainer.bars(plain, np.random.default_rng(i)) for i in range(40)]
    hit = [(f, t) for f, t in barred if not np.array_equal(f, plain[0])]
    assert 2 <= len(hit) <= 15
    for frame, truth in hit:
        edge = (frame[0] == frame[0, 0]).all() and (frame[-1] == frame[0, 0]).all()
        assert (truth[0] == 0).all() if edge else (truth[:, 0] == 0).all()


def test_batches_are_reproducible_and_spoilt_pictures_stay_pictures():
    x, truth = trainer.batch_of(1, 2, 6)
    again = trainer.batch_of(1, 2, 6)
    assert torch.equal(x, again[0]) and torch.equal(truth, again[1])
    assert x.shape == (6, 3, 128, 128) and truth.shape == (6, 4, 128, 128) and 0 <= x.min() and x.max() <= 1
    assert truth[:, 0].max() <= PARTS and truth[:, 1:].min() >= 0 and truth[:, 1:].max() <= 1


def test_the_loss_is_least_at_the_truth():
    truth = torch.from_numpy(np.stack([sample()[1], sample("robot")[1]])).permute(0, 3, 1, 2)
    on = truth[:, 0] > 0
    codes = torch.nn.functional.one_hot((truth[:, 0].long() - 1).clamp(0), PARTS).movedim(-1, 1).float()
    right = (20 * (2 * on.float() - 1), truth[:, 1], 20 * codes, truth[:, 2:])
    least, logs = trainer.loss_of(right, truth)
    assert least < 1e-3 and logs["iou"] == logs["right"] == 1
    for i in range(4):
        wrong = list(right)
        wrong[i] = torch.roll(wrong[i], 5, -1)
        assert trainer.loss_of(tuple(wrong), truth)[0] > least + 0.02


def test_steps_teach():
    torch.manual_seed(0)
    net = MapsNet((8, 12, 16, 20))
    x, truth = trainer.batch_of(0, 0, 4)
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    losses = []
    for _ in range(12):
        loss, _ = trainer.loss_of(net(x), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_figures_of_the_truth_are_perfect_and_of_mistakes_are_not():
    clip = figures.clip_of("easy", 3, 4)
    places = clip.correspondence[..., 1:]
    said = figures.measure(PocketReading(clip.mask.astype(np.float32), clip.depth, clip.parts, places), clip)
    assert said["iou"] == said["part"] == said["order"] == 1 and said["rank"] == pytest.approx(1)
    assert said["error_px"] == said["codes_px"] < 1 and said["found"] == 1
    swapped, turned = clip.parts.copy(), places.copy()
    swapped[clip.parts == 0] = 1  # the torso is taken for the neck
    turned[0] = 1 - places[0]  # both ends of each bone in frame 0 are taken for each other
    mask = np.roll(clip.mask, 4, 2).astype(np.float32)
    wrong = figures.measure(PocketReading(mask, 1 - clip.depth, swapped, turned), clip)
    assert wrong["iou"] < 0.8 and wrong["order"] == 0 and wrong["rank"] == pytest.approx(-1)
    assert wrong["part"] < 0.98 and wrong["plain_px"] > said["error_px"] + 2


def test_rank_correlation_by_hand():
    assert figures.rank_correlation(np.array([1.0, 2, 3]), np.array([10.0, 20, 30])) == pytest.approx(1)
    assert figures.rank_correlation(np.array([1.0, 2, 3]), np.array([3.0, 1, 2])) == pytest.approx(-0.5)
    assert figures.rank_correlation(np.array([1.0, 1, 2]), np.array([1.0, 2, 3])) == pytest.approx(0.866, abs=1e-3)
    assert figures.rank_correlation(np.ones(3), np.array([1.0, 2, 3])) == 0


def test_held_out_clips_are_of_the_test_split():
    for group, (setting, kinds) in figures.GROUPS.items():
        for index in range(4):
            shown = figures.clip_of(group, index, 1).character
            assert split_of(shown.key) == "test" and shown.setting == setting and shown.kind in kinds


def test_the_world_may_vary_in_training():
    frames, truth = trainer.batch_of(3, 1, 3, settings=("wild",))
    again, _ = trainer.batch_of(3, 1, 3, settings=("wild",))
    plain, _ = trainer.batch_of(3, 1, 3)
    assert torch.equal(frames, again) and not torch.equal(frames, plain)
    assert truth.shape == (3, 4, 128, 128) and (truth[:, 0] > 0).any()
