"""The driving body's network: what it is shown is true, what it learns, and how a body is looked for."""

import numpy as np
import pytest
import torch

from motionkit.errors import MissingWeights, UserError
from motionkit.perception.pose import body_net, find_body
from motionkit.sprites import Motion, character, render_clip
from motionkit.training.recipes import pocket_pose as trainer
from motionkit.training.recipes import pocket_pose_figures as figures
from motionkit.weights.small_nets import save_net


@pytest.fixture(scope="module")
def batch():
    return trainer.batch_of(1, 2, 10)


def test_a_batch_depends_on_seed_and_step_alone_and_shows_some_nobodies(batch):
    again = trainer.batch_of(1, 2, 10)
    assert torch.equal(batch.frames, again.frames) and torch.equal(batch.points, again.points)
    assert batch.frames.shape == (10, 3, 128, 128) and batch.points.shape == (10, 19, 2)
    bodies = torch.cat([trainer.batch_of(1, step, 10).body for step in range(6)])
    assert 0.7 < bodies.mean() < 1.0


def test_every_joint_of_openpose_has_its_point():
    clip = render_clip(character(4, "person", "wild"), Motion("wave"), 2)
    points = trainer.points_of(clip)
    value = find_body.Bodies(points, np.ones((2, 19)), np.ones((2, 19)), np.array([1.0, 0.0])).openpose()
    assert np.allclose(value[0], clip.openpose[0]), "points of the truth make the truth's joints"
    assert np.isnan(value[1]).all(), "a frame without a body has none"
    sure = np.stack([np.full(19, 0.5), np.full(19, 0.1)])
    assert list(find_body.Bodies(points, sure, np.ones((2, 19)), np.ones(2)).found) == [True, False]


def test_far_limbs_are_hidden_more_often_than_near_ones():
    seen = []
    for seed in range(16):
        clip = render_clip(character(seed, "bear"), Motion("walk", 0.06 * seed), 1)
        seen.append(dict(zip(body_net.POINTS, trainer.seen_of(clip, 0), strict=True)))
    near, far = (np.mean([one[f"arm_{side}"] for one in seen]) for side in ("near", "far"))
    assert near > 0.9 and far < 0.7 and all(one["head"] for one in seen)


def test_points_move_with_a_turned_picture():
    rng = np.random.default_rng(3)
    for _ in range(12):
        frame = np.full((128, 128, 3), 255, np.uint8)
        spots = np.array([[40.0, 50.0], [80.0, 70.0], [60.0, 90.0]])
        for x, y in spots.astype(int):
            frame[y - 1 : y + 2, x - 1 : x + 2] = 0
        moved, points = trainer.turned(frame, spots, rng)
        for x, y in np.rint(points).astype(int):
            if 3 <= x < 125 and 3 <= y < 125:
                assert moved[y - 2 : y + 3, x - 2 : x + 3].min() < 100


def test_the_losses_are_least_for_the_truth(batch):
    side = torch.linspace(-1, 1, 32)
    heat = -((side[None, None, None, :] - batch.points[:, :, :1, None]) ** 2)
    heat = heat - (side[None, None, :, None] - batch.points[:, :, 1:, None]) ** 2
    sure = torch.full(batch.seen.shape, 8.0) * (2 * batch.body[:, None] - 1)
    said = body_net.Found(batch.points, sure, 16 * batch.seen - 8, 16 * batch.body - 8, 180 * heat.flatten(2))
    _, best = trainer.loss_of(said, batch)
    off = said._replace(value=said.value + 0.3, body=-said.body, seen=-said.seen, heat=-said.heat)
    _, worse = trainer.loss_of(off, batch)
    assert best["place"] == 0 and best["px"] == 0 and worse["px"] > 20
    assert all(worse[name] > best[name] + 0.1 for name in ("place", "heat", "sure", "seen", "body"))


def test_a_few_steps_on_one_batch_teach_it():
    torch.manual_seed(0)
    net = body_net.BodyNet((8, 16, 24, 32), 1)
    loss = trainer.make_loss(net, 6, 7, "cpu")
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    values = []
    for _ in range(12):
        value, logs = loss(0)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.75 * values[0] and {"place", "sure", "body", "px"} <= logs.keys()


def test_weights_survive_the_disk_and_wrong_ones_are_refused(tmp_path):
    torch.manual_seed(0)
    net = body_net.BodyNet((8, 16, 24, 32), 1).eval()
    save_net(tmp_path / "pose.safetensors", net, {"widths": [8, 16, 24, 32], "glances": 1}, {"n": 1})
    back, stated = body_net.load(tmp_path / "pose.safetensors")
    x = torch.rand(2, 3, 128, 128)
    assert stated == {"n": 1} and torch.allclose(back(x).value, net(x).value, atol=0.02)
    with pytest.raises(MissingWeights):
        body_net.load(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="bad.safetensors"):
        body_net.load(tmp_path / "bad.safetensors")


class _Dark(torch.nn.Module):
    """Every point is where the picture is darkest, in the middle of it; there is a body where it is dark at all."""

    def forward(self, x):
        dark = (1 - x.mean(1)).clamp_min(0) ** 3
        line = torch.linspace(-1, 1, x.shape[-1])
        total = dark.sum((1, 2)).clamp_min(1e-6)
        value = torch.stack([(dark.sum(1) @ line), (dark.sum(2) @ line)], -1) / total[:, None]  # (B, 2)
        body = 100 * (total / x.shape[-1] ** 2 - 0.002)
        return body_net.Found(value[:, None].expand(-1, 19, 2), body[:, None].expand(-1, 19), body, body, body)


@pytest.mark.parametrize("shape", [(128, 128), (96, 224), (240, 100), (300, 300)])
def test_a_body_is_found_at_its_place_in_frames_of_any_shape(shape):
    frames = np.full((3, *shape, 3), 255, np.uint8)
    y, x = int(0.6 * shape[0]), int(0.7 * shape[1])
    frames[:, y - 9 : y + 10, x - 9 : x + 10] = 0
    found = find_body.find(frames, _Dark())
    assert found.points.shape == (3, 19, 2) and (found.there > 0.5).all()
    assert np.abs(found.points - [x, y]).max() < 2


def _off(clip):
    """Mean distance of the joints that the shipped network finds from the true ones, in each frame, pixels."""
    return np.linalg.norm(find_body.find(clip.frames, body_net.load()[0]).openpose() - clip.openpose, axis=-1).mean(1)


def test_a_spinning_body_is_found_upside_down_too(monkeypatch):
    spins = [render_clip(character(s, k), Motion("spin"), 8) for s, k in ((3, "bear"), (5, "fox"), (4, "person"))]
    looked = np.concatenate([_off(clip) for clip in spins])
    monkeypatch.setattr(find_body, "LYING", 2.0)  # no turned view is ever so certain
    upright = np.concatenate([_off(clip) for clip in spins])
    assert looked.mean() < 4 and looked.max() < 8 and upright.mean() > 2 * looked.mean()


def test_points_averaged_over_views_nearby_are_nearer_the_truth(monkeypatch):
    shown = [render_clip(character(s, k), Motion("walk"), 6) for s, k in ((1, "cat"), (2, "robot"), (6, "horse"))]
    averaged = [_off(clip).mean() for clip in shown]
    monkeypatch.setattr(find_body, "NEARBY", ())
    assert np.mean(averaged) < 0.97 * np.mean([_off(clip).mean() for clip in shown])


def test_frames_without_a_body_have_no_joints():
    found = find_body.find(np.full((2, 64, 64, 3), 255, np.uint8), _Dark())
    assert np.isnan(found.openpose()).all()


def test_figures_count_the_clips_in_which_a_body_is_found():
    def finder(frames):
        return np.full((len(frames), 18, 2), 64.0 if frames.mean() < 1000 else np.nan)

    measured = figures.measure(finder, 2)
    assert set(measured) == {"easy", "wild", "foreign"} and measured["foreign"]["found"] == [1.0, 1.0]
    assert 3 < np.mean(measured["easy"]["px"]) < 60 and measured["wild"]["letters_found"] == [1.0]
    nothing = figures.measure(lambda frames: np.full((len(frames), 18, 2), np.nan), 2)
    assert nothing["foreign"]["found"] == [0.0, 0.0] and not nothing["foreign"]["px"]
