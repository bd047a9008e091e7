"""The trainer: on folders and on sprites, resumed exactly, and able to learn a warp."""

import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from motionkit.diffusion.warp import identity_grid, warp
from motionkit.errors import Cancelled, UserError
from motionkit.media import write_frames, write_gif
from motionkit.methods.anamodiff.config import AnaMoDiffConfig
from motionkit.methods.anamodiff.data import FolderPairs, Pairs, SpritePairs, _held_out
from motionkit.methods.anamodiff.keypoints import Keypoints, KPDetector
from motionkit.methods.anamodiff.lofnet import LOFNet, Motion
from motionkit.methods.anamodiff.train import evaluate, make_loss, run_phases, train, truth_terms, warp_terms
from motionkit.methods.anamodiff.train_config import TrainOptions
from motionkit.methods.anamodiff.weights import load_network
from motionkit.settings.gpu import Plan
from motionkit.testing.clips import moving_shapes
from motionkit.training.job import DataConfig, TrainJob


def job(folder, data="sprites", path=None, steps=4, **options):
    given = TrainOptions(
        **{"backbone": "tiny-sd", "batch": 2, "detector_width": 4, "flow_width": 4, "max_width": 16} | options
    )
    return TrainJob(AnaMoDiffConfig(), DataConfig(data, path and str(path)), Plan(), folder, given, steps)


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    (folder / "more").mkdir(parents=True)
    for i, move in enumerate(("right", "down", "rise")):
        write_gif(folder / f"{move}.gif", moving_shapes(5, 40, 48, move=move).frames, 8.0)
        write_frames(folder / "more" / f"pictures{i}", moving_shapes(3, move=move).frames)
    (folder / "broken.mp4").write_bytes(b"no video")
    write_gif(folder / "still.gif", moving_shapes(1).frames, 8.0)
    return folder


class TestFolder:
    def source(self, clips, tiny, tmp_path, **options):
        return FolderPairs(clips, tiny, 64, 32, tmp_path / "cache", **options)

    def test_every_usable_clip_is_read_once(self, clips, tiny, tmp_path):
        source = self.source(clips, tiny, tmp_path)
        kept = source.clips[False] + source.clips[True]
        assert sorted(frames for _, frames in kept) == [3, 3, 3, 5, 5, 5]
        assert sorted(line.split(":")[0] for line in source.skipped) == ["broken.mp4", "still.gif"]
        times = {path: path.stat().st_mtime_ns for path, _ in kept}
        again = self.source(clips, tiny, tmp_path)
        assert {p: p.stat().st_mtime_ns for p, _ in again.clips[False] + again.clips[True]} == times

    def test_pairs_are_two_moments_of_one_clip_with_their_latents(self, clips, tiny, tmp_path):
        source = self.source(clips, tiny, tmp_path)
        pairs = source.batch(0, 6)
        assert pairs.source.shape == (6, 3, 32, 32) and pairs.z_source.shape == (6, 4, 16, 16)
        assert (pairs.source - pairs.driving).abs().amax((1, 2, 3)).min() > 0.05
        again = source.batch(0, 6)
        assert torch.equal(pairs.driving, again.driving) and torch.equal(pairs.z_driving, again.z_driving)
        assert not torch.equal(pairs.source, source.batch(1, 6).source)

    def test_latents_are_those_of_the_mirrored_picture(self, clips, tiny, tmp_path):
        from motionkit.media import letterbox, read_clip
        from motionkit.methods.anamodiff.pictures import to_float

        source = self.source(clips, tiny, tmp_path)
        clip = letterbox(read_clip(clips / "right.gif"), 64, 64)[0]
        plain, mirrored = (tiny.encode(x) for x in (to_float(clip.frames), to_float(clip.frames).flip(-1)))
        known = torch.cat([plain, mirrored])
        drawn = torch.cat([source.batch(s, 4).z_source for s in range(12)])
        distance = (drawn[:, None] - known).abs().amax((2, 3, 4)).amin(0)
        assert (distance[:5] < 0.01).any() and (distance[5:] < 0.01).any()

    def test_a_folder_without_clips_is_named(self, tiny, tmp_path):
        with pytest.raises(UserError, match="two frames"):
            self.source(tmp_path, tiny, tmp_path / "x")

    def test_the_split_depends_on_the_name_alone(self):
        share = sum(_held_out(f"clip{i}.gif") for i in range(2000)) / 2000
        assert 0.08 < share < 0.12 and _held_out("a.gif") == _held_out("a.gif")


def test_training_on_a_folder_leaves_weights_that_transfer(clips, tmp_path):
    from motionkit.running.execute import execute
    from motionkit.testing.clips import sample_inputs

    folder = tmp_path / "out"
    line = train(job(folder, "folder", clips))
    assert "warp error on training clips" in line, "none of the six names is held out, and the line says so"
    assert "2 clips left out" in line and str(folder) in line
    record = json.loads((folder / "record.json").read_text())
    assert record["figures"]["still"] > 0 and record["figures"]["held_out"] is False
    assert len(record["skipped"]) == 2
    settings = {"weights": str(folder), "lora": {"steps": 0}, "sample": {"steps": 2}}
    result = execute(
        "anamodiff", sample_inputs(), config=settings, backbone="tiny-sd", folder=tmp_path / "run", use_cache=False
    )
    assert result.frames.shape == (4, 64, 64, 3) and set(result.manifest["weights"]) == {"keypoints", "lofnet"}


def test_training_that_was_stopped_ends_as_an_uninterrupted_one(tmp_path):
    whole, stopped = job(tmp_path / "whole", steps=6), job(tmp_path / "stopped", steps=6)
    train(whole)

    class Stop(Exception):
        pass

    calls = []

    def tick(stage, done, total, preview=None):
        calls.append((stage, done))
        if calls.count(("train flow", 1)) == 1 and calls[-1] == ("train flow", 1):
            raise Stop

    stopped.progress.tick = tick
    stopped.options.save_every = 0.0
    with pytest.raises(Stop):
        train(stopped)
    assert not list(stopped.folder.glob("*.safetensors"))
    train(stopped)
    for name in ("keypoints", "lofnet"):
        one, two = (load_network(j.folder / f"{name}.safetensors", name)[0].state_dict() for j in (whole, stopped))
        assert all(torch.equal(one[k], two[k]) for k in one)
    assert calls[:5] == [
        ("train joint", 0),
        ("train joint", 1),
        ("train joint", 2),
        ("train flow", 0),
        ("train flow", 1),
    ]
    assert calls[5:] == [("train flow", 1), ("train flow", 2)]


def test_a_signal_ends_the_training_with_its_state_and_nothing_exported(tmp_path):
    this = job(tmp_path, steps=4)
    real, told = this.progress.tick, []

    def tick(stage, done, total, preview=None):
        real(stage, done, total, preview)
        if (stage, done) == ("train joint", 1):
            os.kill(os.getpid(), signal.SIGTERM)

    class Told:
        every, shown = 2, []

        def on_step(self, step, values):
            told.append((step, *sorted(values)[:1]))

        def on_validation(self, step, shown):
            self.shown.append((step, *shown.figures))

        def on_end(self):
            told.append("end")

    this.progress.tick, this.tracker = tick, Told()
    with pytest.raises(Cancelled):
        train(this)
    assert torch.load(tmp_path / "joint" / "last.pt", weights_only=True)["step"] == 2
    assert not list(tmp_path.glob("*.safetensors")) and not (tmp_path / "flow").exists()
    this.progress.tick = real
    train(this)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    assert [t[0] for t in told if t != "end"] == [1, 2, 3, 4] and told.count("end") == 2
    assert told[0][1].startswith("joint/") and told[-2][1].startswith("flow/")
    assert Told.shown == [(2, "joint/warp", "joint/still"), (4, "flow/warp", "flow/still")]


def test_a_given_detector_is_kept_as_it_is(tmp_path):
    first, second = job(tmp_path / "a"), None
    train(first)
    kept = first.folder / "keypoints.safetensors"
    second = job(tmp_path / "b", keypoints=str(kept))
    train(second)
    assert (second.folder / "keypoints.safetensors").read_bytes() == kept.read_bytes()
    assert not (second.folder / "joint").exists()


def test_truth_is_for_sprites_only(tmp_path, clips):
    with pytest.raises(UserError, match="supervision=truth needs data=sprites"):
        train(job(tmp_path / "x", "folder", clips, supervision="truth"))


class TestLosses:
    def pairs(self, draw, shift=0.0):
        picture = torch.rand(2, 3, 32, 32, generator=draw)
        z = torch.randn(2, 4, 16, 16, generator=draw)
        grid = identity_grid(16, 16).expand(2, -1, -1, -1) + torch.tensor([shift, 0.0])
        points = Keypoints(torch.zeros(2, 5, 2), torch.eye(2).expand(2, 5, 2, 2))
        truth = (points, points, grid, torch.ones(2, 16, 16))
        return Pairs(picture, picture, z, warp(z, grid), *truth), grid

    def test_the_true_flow_has_no_warp_error_and_no_flow_error(self, draw):
        pairs, grid = self.pairs(draw, 2 / 15)
        motion = Motion(grid, torch.ones(2, 1, 16, 16))
        assert warp_terms(pairs, motion, TrainOptions(), False)["warp"] < 1e-10
        assert truth_terms(pairs, Keypoints(torch.zeros(4, 5, 2)), motion)["flow"] == 0
        wrong = Motion(identity_grid(16, 16).expand_as(grid), motion.mask)
        assert warp_terms(pairs, wrong, TrainOptions(), False)["warp"] > 0.1
        assert truth_terms(pairs, Keypoints(torch.zeros(4, 5, 2)), wrong)["flow"] == pytest.approx(5 * 2 / 15, rel=1e-4)

    def test_optional_terms_appear_when_asked_for(self, draw):
        pairs, grid = self.pairs(draw)
        motion = Motion(grid, torch.ones(2, 1, 16, 16), torch.full((2, 1, 16, 16), 0.5))
        asked = TrainOptions(scales=1.0, smoothness=0.01, occlusion=True)
        terms = warp_terms(pairs, motion, asked, pixels=True)
        assert set(terms) == {"warp", "rgb", "scales", "smoothness"}
        assert set(warp_terms(pairs, motion, TrainOptions(), pixels=False)) == {"warp"}, "the paper's L_warp alone"
        assert terms["warp"] == pytest.approx(0.05) and terms["smoothness"] < 1e-8  # nothing seen costs 0.1 x 0.5

    def test_points_count_only_while_the_detector_learns(self, draw):
        pairs, grid = self.pairs(draw)
        motion = Motion(grid, torch.ones(2, 1, 16, 16))
        found = Keypoints(torch.full((4, 5, 2), 0.1, requires_grad=True), 2 * torch.eye(2).expand(4, 5, 2, 2))
        terms = truth_terms(pairs, found, motion)
        assert float(terms["points"].detach()) == pytest.approx(1.0) and float(terms["frames"]) == pytest.approx(0.5)
        assert set(truth_terms(pairs, Keypoints(found.value.detach()), motion)) == {"flow"}


def test_sprites_come_with_truth_that_explains_them(tiny):
    pairs = SpritePairs(tiny, 64, 16, truth=True).batch(0, 4)
    assert pairs.source.shape == (4, 3, 64, 64) and pairs.kp_source.value.shape == (4, 12, 2)
    small, target = (F.interpolate(x, (16, 16), mode="area") for x in (pairs.source, pairs.driving))
    seen = (pairs.weight > 0.5)[:, None]
    error = ((warp(small, pairs.flow) - target).square() * seen).sum() / seen.sum()
    still = ((small - target).square() * seen).sum() / seen.sum()
    assert error < 0.5 * still
    assert SpritePairs(tiny, 64, 16, truth=False).batch(0, 4).flow is None


@pytest.mark.parametrize(("size", "side", "seen"), [(64, 16, 64), (48, 12, 48), (128, 32, 64)])
def test_sprites_are_drawn_at_the_size_that_is_trained(tiny, size, side, seen):
    pairs = SpritePairs(tiny, size, side, truth=True, frame_size=seen).batch(0, 2)
    assert pairs.source.shape == (2, 3, seen, seen) and pairs.z_source.shape == (2, 4, side, side)
    assert pairs.flow.shape == (2, side, side, 2)
    if seen == size:
        assert torch.equal(tiny.encode(pairs.source), pairs.z_source)


def test_the_setting_of_the_sprites_is_heeded(tiny):
    easy, full = (SpritePairs(tiny, 64, 16, False, setting=s) for s in ("easy", "full"))
    assert not torch.equal(easy.batch(0, 2).source, full.batch(0, 2).source) and easy.identity() != full.identity()


def test_a_folder_of_another_run_is_refused(tmp_path, clips):
    train(job(tmp_path / "a", steps=2))
    kept = (tmp_path / "a" / "keypoints.safetensors").read_bytes()
    other = job(tmp_path / "a", steps=2, lr=1e-2)
    with pytest.raises(UserError, match=r"other settings \(lr\)"):
        train(other)
    with pytest.raises(UserError, match=r"other settings \(clips\)"):
        train(job(tmp_path / "a", "folder", clips, steps=2))
    assert (tmp_path / "a" / "keypoints.safetensors").read_bytes() == kept
    other.resume = False
    train(other)
    assert (tmp_path / "a" / "keypoints.safetensors").read_bytes() != kept


def test_figures_are_measured_where_the_networks_are(tiny, monkeypatch):
    """Pairs stay on the backbone's device, trained networks come back to the CPU; here "meta" is the other one."""
    places = []

    def measured(one, two):
        places.extend([one.device.type, two.device.type])
        return torch.zeros(())  # a tensor of "meta" has no value to read

    monkeypatch.setattr(F, "mse_loss", measured)
    detector = KPDetector(8, 16, 64, 3, scale_factor=0.5, estimate_jacobian=False)
    evaluate(detector.to("meta"), toy()[1].to("meta"), SpritePairs(tiny, 64, 16, False), batches=1, count=2)
    assert places == ["meta"] * 4


class Puppets:
    """Quadrupeds of thick lines with random proportions, colours and poses; a fixed linear map makes the latents."""

    held_out = True

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.matrix = torch.linalg.qr(torch.randn(12, 4, generator=g))[0].T  # (4,12)

    def encode(self, frames):
        """4x4 pixels to 4 channels: as simple as an encoder can be."""
        return torch.einsum("dc,nchw->ndhw", self.matrix, F.pixel_unshuffle(F.avg_pool2d(frames, 2), 2)) * 2

    def draw(self, body, rng):
        size, scale = 64, 8  # sub-pixel coordinates of OpenCV lines: 3 bits
        frame = np.full((size, size, 3), body["ground"], np.uint8)
        x, y = 32 + rng.uniform(-6, 6), 28 + rng.uniform(-4, 4)

        def line(a, b, width, colour):
            ends = [tuple(int(round(v * scale)) for v in p) for p in (a, b)]
            cv2.line(frame, *ends, colour, int(width), cv2.LINE_AA, 3)

        half = body["length"] / 2
        for shade in (0.6, 1.0):
            for end in (-half, half):
                angle = rng.uniform(-0.7, 0.7)
                foot = x + end + body["leg"] * np.sin(angle), y + body["leg"] * np.cos(angle)
                line((x + end, y), foot, body["thick"], tuple(shade * c for c in body["limb"]))
        line((x - half, y), (x + half, y), body["thick"] * 2, body["trunk"])
        neck = rng.uniform(0.2, 1.2)
        line((x + half, y), (x + half + 10 * np.cos(neck), y - 10 * np.sin(neck)), body["thick"], body["head"])
        return frame

    def batch(self, step, count, held_out=False):
        rng = np.random.default_rng([step, int(held_out)])
        pairs = []
        for _ in range(count):
            colours = {part: tuple(rng.uniform(0, 200, 3)) for part in ("limb", "trunk", "head")}
            sizes = {"length": rng.uniform(16, 26), "leg": rng.uniform(12, 20), "thick": rng.integers(5, 9)}
            body = colours | sizes | {"ground": rng.uniform(220, 255, 3)}
            pairs.append(np.stack([self.draw(body, rng) for _ in range(2)]))
        source, driving = torch.from_numpy(np.stack(pairs, 1)).permute(0, 1, 4, 2, 3).float() / 255
        return Pairs(source, driving, self.encode(source), self.encode(driving))


def toy():
    torch.manual_seed(0)
    detector = KPDetector(num_kp=8, block_expansion=16, max_features=64, num_blocks=3, scale_factor=0.5)
    flow = LOFNet(num_kp=8, block_expansion=24, max_features=96, num_blocks=3)
    return detector, flow


@pytest.mark.slow
def test_training_from_nothing_beats_standing_still_threefold(tmp_path):
    """Unsupervised, measured on puppets that it never saw; about a minute and a half on one core."""
    detector, flow = toy()
    source, options = Puppets(), TrainOptions(batch=16, lr=1e-3, joint=1.0)
    trained = run_phases(job(tmp_path, steps=180), options, detector, flow, source)
    figures = evaluate(*trained, source)
    assert figures["warp"] < figures["still"] / 3


def test_one_step_learns_what_it_should(tmp_path, draw):
    """Both nets get gradients together; alone, the detector gets none."""
    detector, flow = toy()
    source, options = Puppets(), TrainOptions(batch=2)
    loss, terms = make_loss(detector, flow, source, options, both=True)(0)
    loss.backward()
    assert set(terms) == {"warp", "rgb", "equivariance"}
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all() for p in [*detector.parameters(), *flow.parameters()]
    )
    detector.zero_grad()
    loss, terms = make_loss(detector, flow, source, options, both=False)(0)
    loss.backward()
    assert set(terms) == {"warp"} and all(p.grad is None for p in detector.parameters())
    assert isinstance(tmp_path, Path)
