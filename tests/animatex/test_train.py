"""The trainer: what it learns from, what it writes, how it stops and goes on, and what it refuses."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from motionkit.backbones import load
from motionkit.context import NullProgress, Reporter
from motionkit.errors import Cancelled, UserError
from motionkit.media import from_frames, read_clip, write_image, write_video
from motionkit.methods.animatex.config import AnimateXSettings
from motionkit.methods.animatex.pool import IndicatorSettings
from motionkit.methods.animatex.train import _clips, _examples, _loop, train
from motionkit.methods.animatex.train_batch import recoloured
from motionkit.methods.animatex.train_config import TrainOptions, VariantSettings
from motionkit.methods.animatex.train_data import Encoders, PoseClips, clips_in, pictures_of, read_given, tensor_of
from motionkit.methods.animatex.train_loss import complete, make_loss, noised
from motionkit.methods.animatex.train_model import denoiser, learns, start
from motionkit.perception.pose import PoseClip, PoseSettings
from motionkit.perception.pose.files import save
from motionkit.running.execute import execute
from motionkit.settings.gpu import Plan
from motionkit.sprites import Motion, character, render_clip
from motionkit.sprites.export import write_dataset
from motionkit.training.job import DataConfig, TrainJob
from motionkit.training.loop import Loop, LoopSettings
from motionkit.training.workers import Workers

SIZE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips")
    write_dataset(path, 3, "train", 5, 4, SIZE)
    return path


def options(**given):
    small = {"backbone": "tiny-animatex", "frames": 2, "batch": 1, "log_every": 1, "poses": "given"}
    return TrainOptions(**small | given)


def job(out, folder, steps=2, progress=None, resume=True, **given):
    return TrainJob(
        AnimateXSettings(),
        DataConfig("folder", str(folder)),
        Plan(),
        out,
        options(**given),
        steps,
        size=SIZE,
        resume=resume,
        progress=Reporter(progress or NullProgress()),
    )


@pytest.fixture(scope="module")
def parts(folder, tmp_path_factory):
    """Backbone, job, clips and examples of one training."""
    from motionkit import backbones

    this = job(tmp_path_factory.mktemp("run"), folder)
    backbone = start(backbones.get("tiny-animatex"), this.options, Plan(), 0)
    clips = _clips(this, this.options, backbone, folder, (SIZE, SIZE))
    return backbone, this, clips, _examples(this, this.options, backbone, clips)


class Stop(NullProgress):
    """Cancels after some steps of training."""

    def __init__(self, after):
        self.after, self.seen = after, 0

    def step(self, stage, done, preview=None):
        self.seen = done if stage == "train" else 0

    def cancelled(self):
        return self.seen >= self.after


class TestClips:
    def test_labels_of_sprites_are_read(self, folder):
        clip = clips_in(folder)[0]
        poses = read_given(clip.with_suffix(".json"), read_clip(clip))
        labels = json.loads(clip.with_suffix(".json").read_text())
        assert np.allclose(poses.points * SIZE, labels["openpose"]) and len(poses) == 4

    def test_what_is_kept_is_what_the_clip_shows(self, parts, folder):
        backbone, _, clips, _ = parts
        entry = clips.train[0]
        frames = read_clip(folder / entry.name).frames
        assert np.array_equal(pictures_of(entry, [2, 0, 2]), frames[[2, 0, 2]])
        pixels = torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()).float() / 255
        assert torch.allclose(tensor_of(entry, "latents", [0, 1, 2, 3]), backbone.encode(pixels), atol=2e-2)
        assert entry.length == 4 and entry.readings == 1

    def test_poses_of_clips_of_any_aspect_lie_on_their_bodies(self, tmp_path):
        """A wide and a tall clip in frames of another shape: from a file and estimated, both fall on the same body."""
        made = render_clip(character(12, "person"), Motion("walk"), 3)  # 128 x 128
        for name, pad in (("wide", (0, 48)), ("tall", (48, 0))):
            around = [(0, 0), *((n, n) for n in pad), (0, 0)]
            for i, frame in enumerate(np.pad(made.frames, around, mode="edge")):
                write_image(tmp_path / "in" / name / f"{i}.png", frame)
            size = (128 + 2 * pad[0], 128 + 2 * pad[1])
            points = (made.openpose + pad[::-1]) / size[::-1]
            save(PoseClip.of(points, size), tmp_path / "in" / f"{name}.npz")
        size = (128, 160)

        def no_latents(pixels):
            return torch.zeros(len(pixels), 4, 16, 20)

        encoders = Encoders(no_latents, None, size, None, "both", PoseSettings("pocket"), True, "cpu", "x")
        clips = PoseClips(tmp_path / "in", encoders, tmp_path / "cache")
        assert sorted(entry.name for entry in clips.train) == ["tall", "wide"] and not clips.notes
        for entry, scale in zip(sorted(clips.train, key=lambda entry: entry.name), (128 / 224, 160 / 224), strict=True):
            given, found = (clips.poses(entry, reading) for reading in range(entry.readings))
            frames = pictures_of(entry, [0, 1, 2])
            assert frames.shape == (3, *size, 3) and given.size == found.size == size
            middle = given.pixels()[:, :18].mean((0, 1))
            assert np.allclose(middle, (made.openpose.mean((0, 1)) - 64) * scale + [80, 64], atol=0.6)
            apart = np.linalg.norm(given.pixels()[:, :18] - found.pixels()[:, :18], axis=-1)
            assert np.nanmean(apart) < 0.1 * np.ptp(given.pixels()[:, :18, 1]), entry.name

    def test_a_pose_file_beside_a_video_counts_and_its_length_is_checked(self, tmp_path, parts):
        backbone, this, *_ = parts
        frames = np.random.default_rng(0).integers(0, 255, (3, SIZE, SIZE, 3), np.uint8)
        write_video(tmp_path / "in" / "one.mp4", frames, 8.0)
        points = np.random.default_rng(1).random((3, 18, 2))
        save(PoseClip.of(points, (SIZE, SIZE)), tmp_path / "in" / "one.npz")
        clips = _clips(replace(this, folder=tmp_path), this.options, backbone, tmp_path / "in", (SIZE, SIZE))
        assert np.allclose(clips.poses(clips.train[0]).points, points, atol=1e-6)
        save(PoseClip.of(points[:2], (SIZE, SIZE)), tmp_path / "in" / "one.npz")
        with pytest.raises(UserError, match=r"one.npz.* 2 poses.* 3 frames"):
            _clips(replace(this, folder=tmp_path), this.options, backbone, tmp_path / "in", (SIZE, SIZE))

    def test_clips_without_anybody_are_left_out_or_refused(self, tmp_path, parts, folder):
        backbone, this, *_ = parts
        place = tmp_path / "in"
        write_video(place / "grey.mp4", np.full((3, SIZE, SIZE, 3), 127, np.uint8), 8.0)
        with pytest.raises(UserError, match="found in any"):
            _clips(replace(this, folder=tmp_path), this.options, backbone, place, (SIZE, SIZE))
        source = clips_in(folder)[0]
        for suffix in (".mp4", ".json"):
            (place / f"horse{suffix}").write_bytes(source.with_suffix(suffix).read_bytes())
        clips = _clips(replace(this, folder=tmp_path), this.options, backbone, place, (SIZE, SIZE))
        assert [e.name for e in clips.train] == ["horse.mp4"] and "1 of 2 clips left out" in clips.notes[0]

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("one.json", b"{", "cannot be read as JSON"),
            ("one.json", b'{"openpose": [[1, 2]]}', "its openpose has shape"),
            ("one.json", b'{"points": "many"}', "holds no poses that can be read"),
            ("one.npz", b"broken", "holds no poses that can be read"),
        ],
    )
    def test_pose_files_that_are_none_get_one_line(self, tmp_path, name, content, says):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=says):
            read_given(tmp_path / name, from_frames(np.zeros((2, 8, 8, 3), np.uint8)))

    def test_a_folder_without_clips_says_what_it_needs(self, tmp_path):
        with pytest.raises(UserError, match="no clips in"):
            clips_in(tmp_path)


class TestExamples:
    def test_an_example_depends_on_its_place_alone(self, parts):
        examples = parts[3]
        two, (first, second) = examples.at(1, 2), (examples.at(2, 1), examples.at(3, 1))
        for name in ("clean", "noise", "t", "near", "seen"):
            assert torch.equal(getattr(two, name), torch.cat([getattr(first, name), getattr(second, name)]))
        assert torch.equal(two.given.keypoints[1:], second.given.keypoints)
        assert two.changes == first.changes + second.changes

    def test_the_reference_is_a_frame_of_the_clip_with_its_own_pose(self, parts):
        _, _, clips, examples = parts
        for number in range(4):
            batch = examples.at(number, 1)
            picture = (batch.given.reference[0] * 255).round().byte().permute(1, 2, 0).numpy()
            entry = examples._entry(number)
            which = [i for i in range(4) if np.array_equal(pictures_of(entry, [i])[0], picture)]
            assert which and torch.allclose(batch.given.reference_latent, tensor_of(entry, "latents", which[:1]))
            own = clips.poses(entry).keypoints()[which[0]]
            assert np.allclose(batch.given.keypoints[0, 0].numpy(), own)

    def test_the_pose_indicator_changes_the_driving_poses_alone(self, parts):
        backbone, this, clips, _ = parts
        poses = []
        for share in (0.0, 1.0):
            epi = IndicatorSettings(probability=share, each=1.0)
            examples = _examples(this, replace(this.options, epi=epi), backbone, clips)
            poses.append(examples.at(0, 1))
        plain, changed = poses
        assert plain.changes[0].nothing and not changed.changes[0].nothing
        assert torch.equal(plain.given.keypoints[:, 0], changed.given.keypoints[:, 0])
        assert not torch.equal(plain.given.keypoints[:, 1:], changed.given.keypoints[:, 1:])
        assert torch.equal(plain.given.pose_images[:, :, 0], changed.given.pose_images[:, :, 0])
        assert not torch.equal(plain.given.pose_images, changed.given.pose_images)
        assert torch.equal(plain.clean, changed.clean) and torch.equal(plain.near, changed.near)

    def test_frames_share_noise_up_to_the_largest_share(self, parts):
        backbone, this, clips, plain = parts
        shared = _examples(this, replace(this.options, noise_share=1.0, offset=0.0), backbone, clips)
        found = []
        for place in range(8):
            noise = shared.at(place, 1).noise[0].transpose(0, 1).flatten(1)  # (F, 4 h w)
            found.append(float(torch.corrcoef(noise)[0, 1]))
        assert min(found) < 0.4 and max(found) > 0.6 and 0.2 < np.mean(found) < 0.8
        own = plain.at(0, 1).noise[0].transpose(0, 1).flatten(1)
        assert abs(float(torch.corrcoef(own)[0, 1])) < 0.2

    def test_without_the_indicator_nothing_of_it_is_given(self, parts):
        backbone, this, clips, _ = parts
        this = replace(this, options=replace(this.options, indicator=False))
        batch = _examples(this, this.options, backbone, clips).at(0, 1)
        given = complete(denoiser(backbone, this.options), batch, indicator=False)
        assert given.keypoints is None and given.clip_frames is None and given.clip_ref is not None

    def test_recoloured_frames_keep_the_reference(self):
        pictures = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        out = recoloured(pictures, np.random.default_rng(0))
        assert torch.equal(out[0], pictures[0]) and not torch.allclose(out[1:], pictures[1:])
        again = recoloured(torch.cat([pictures, pictures[2:]]), np.random.default_rng(0))
        assert torch.equal(again[3], out[2])  # every driving frame in the same way


class TestLoss:
    def test_clips_that_lose_everything_train_the_unconditional_pass(self, parts):
        backbone, this, clips, _ = parts
        options_ = replace(this.options, all_drop=1.0, all_keep=0.0)
        batch = _examples(this, options_, backbone, clips).at(0, 1)
        model = denoiser(backbone, options_).eval()
        noisy, _ = noised(backbone, batch)
        with torch.no_grad():
            given = complete(model, batch, True)
            dropped = model(replace(batch, given=given), noisy)
            bare = model(batch, noisy, given.empty())
            full = model(batch, noisy, given)
        assert torch.allclose(dropped, bare, atol=1e-5) and (full - bare).abs().max() > 1e-3

    def test_accumulated_batches_give_the_gradient_of_a_large_one(self, parts, tmp_path):
        backbone, this, clips, _ = parts
        gradients = []
        for given in ({"batch": 2}, {"batch": 1, "accumulate": 2}):
            own = replace(this.options, pose_weight=0.0, **given)
            model = denoiser(backbone, own).eval()
            model.zero_grad()
            loss = make_loss(model, _examples(this, own, backbone, clips), backbone, own)
            settings = LoopSettings(tmp_path, 1, 0.0, clip=float("inf"), accumulate=own.accumulate)
            Loop(model, loss, settings)._gradients()
            gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 100
        for name, value in gradients[0].items():
            assert torch.allclose(value, gradients[1][name], atol=1e-5), name
        assert any("image_encoder" in n for n in gradients[0]) and any("indicator" in n for n in gradients[0])

    def test_the_indicator_has_a_rate_of_its_own(self, parts):
        backbone, this, _, examples = parts
        own = replace(this.options, lr=1e-3, indicator_lr=1e-5)
        model = denoiser(backbone, own)
        loop = _loop(this, own, backbone, model, examples, Workers())
        slow = {id(p) for p in model.network.indicator.parameters()}
        for factor, group in zip(loop.factors, loop.optimizer.param_groups, strict=True):
            assert ({id(p) for p in group["params"]} == slow) == (factor == pytest.approx(0.01))
        assert sorted(loop.factors) == pytest.approx([0.01, 1.0])


def test_which_weights_learn():
    kept = "unet.mid_block.resnets.0.conv1.weight"
    for name in (
        "indicator.resampler.latents",
        "local.conv.0.weight",
        "unet.conv_in.weight",
        "unet.mid_block.attentions.0.motion.attn2.to_q.weight",
    ):
        assert all(learns(name, which) for which in ("all", "pocket", "pocket-time", "conditions"))
    assert learns(kept, "all") and not learns(kept, "pocket") and not learns(kept, "conditions")
    assert learns("unet.conv_out.weight", "pocket") and not learns("unet.conv_out.weight", "conditions")
    temporal = "unet.down_blocks.1.temp_attentions.0.proj.weight"
    assert learns(temporal, "pocket", "mamba") and not learns(temporal, "pocket") and learns(temporal, "pocket-time")
    assert not learns(temporal.replace("proj", "transformer_blocks.0.ff.net.2"), "pocket-time")
    assert learns(temporal, "temporal") and learns("unet.transformer_in.proj_out.weight", "temporal")
    assert not any(learns(name, "temporal") for name in (kept, "unet.conv_in.weight", "local.conv.0.weight"))


class TestRun:
    def test_it_leaves_a_model_that_the_method_takes(self, folder, tmp_path, request_):
        line = train(job(tmp_path, folder))
        assert "after 2 steps" in line and f"backbone.path={tmp_path / 'model'}" in line
        record = json.loads((tmp_path / "record.json").read_text())
        assert record["clips"] == 3 and record["figures"]["error"] > 0 and record["epi"]["probability"] == 0.98
        assert len((tmp_path / "curve.csv").read_text().splitlines()) == 3
        assert not list(tmp_path.glob(".*"))
        given = {"config": {"sample": {"steps": 2}, "pose": {"backend": "pocket"}}, "frames": 4, "size": 64}
        result = execute("animatex", request_, backbone="animatex", backbone_path=str(tmp_path / "model"), **given)
        assert result.frames.shape == (4, 64, 64, 3)
        before = execute("animatex", request_, backbone="tiny-animatex", **given)
        assert not np.array_equal(result.frames, before.frames)

    def test_a_stopped_run_goes_on_to_the_same_weights(self, folder, tmp_path):
        train(job(tmp_path / "whole", folder, 3))
        with pytest.raises(Cancelled, match="step 2 of 3"):
            train(job(tmp_path / "parts", folder, 3, Stop(1)))
        assert not (tmp_path / "parts" / "model").exists()
        train(job(tmp_path / "parts", folder, 3))
        one, two = (
            load_file(tmp_path / n / "model" / "unet" / "diffusion_pytorch_model.safetensors")
            for n in ("whole", "parts")
        )
        assert all(torch.equal(one[k], two[k]) for k in one)
        with pytest.raises(UserError, match=r"other settings \(.*drop"):
            train(job(tmp_path / "parts", folder, 3, drop=0.2))
        assert "after 1 steps" in train(job(tmp_path / "parts", folder, 1, resume=False, drop=0.2))

    @pytest.mark.parametrize(
        ("given", "plan", "says"),
        [
            ({"backbone": "pocket-sd"}, {}, "not an Animate-X network"),
            ({"start": "video"}, {}, "has no video model"),
            ({"variant": VariantSettings(parallel=True)}, {}, "train.variant needs"),
            ({}, {"offload": "model"}, "give gpu.offload=none"),
            ({"frames": 1}, {"autocast": "bfloat16"}, "gives wrong gradients"),
        ],
    )
    def test_what_cannot_be_trained_is_refused(self, folder, tmp_path, given, plan, says):
        with pytest.raises(UserError, match=says):
            train(replace(job(tmp_path, folder, **given), plan=Plan(**plan)))

    def test_validation_shows_a_clip_beside_its_truth_and_changes_nothing(self, folder, tmp_path):
        shown, losses = [], []

        class Looks:
            every = 2
            on_step = on_end = lambda self, *_: None
            on_validation = lambda self, step, found: shown.append((step, found))  # noqa: E731
            on_losses = lambda self, times, found: losses.append((times, found))  # noqa: E731

        plain, seen = job(tmp_path / "a", folder), job(tmp_path / "b", folder)
        train(plain), train(replace(seen, tracker=Looks()))
        one, two = (torch.load(j.folder / "last.pt", weights_only=True)["ema"] for j in (plain, seen))
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
        ((step, found),) = shown
        assert (
            step == 2
            and found.clips["clip"].shape == (2, 3, SIZE, 2 * SIZE)
            and {"error", "without"} == {*found.figures}
        )
        assert len(losses) == 2 and losses[0][0].shape == losses[0][1].shape == (1,)

    def test_layers_along_time_of_another_kind_learn_alone(self, folder, tmp_path):
        before = load("tiny-animatex", Plan()).network.state_dict()
        train(job(tmp_path, folder, temporal="mamba", learn="temporal", ema=0.0))
        after = load_file(tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors")
        along = {k for k in after if learns(k, "temporal")}
        assert any(".mixers." in k for k in along) and set(after) - along < set(before)
        assert all(torch.equal(after[k], before[k].half()) for k in after if k not in along)
        assert any(after[k].any() for k in along if k.endswith("proj_out.weight"))

    def test_the_folder_says_how_the_reference_entered_and_the_method_goes_by_it(self, folder, tmp_path, request_):
        train(job(tmp_path, folder, reference_mode="both"))
        sizes = json.loads((tmp_path / "model" / "unet" / "config.json").read_text())
        assert sizes["reference"] == "both"
        given = {"sample": {"steps": 2}, "pose": {"backend": "pocket"}}

        def used(**more):
            words = {"backbone": "animatex", "backbone_path": str(tmp_path / "model"), "frames": 4, "size": 64}
            return execute("animatex", request_, config=given | more, **words)

        result = used()
        assert result.manifest["notes"]["reference_mode"] == "both"
        assert np.array_equal(result.frames, used(reference_mode="both").frames)
        other = used(reference_mode="local")
        assert not np.array_equal(result.frames, other.frames)
        assert other.manifest["notes"]["reference_trained"] == "both"

    def test_frames_of_any_shape(self, folder, tmp_path):
        this = replace(job(tmp_path, folder, steps=1), size=(48, 32))
        assert "after 1 steps" in train(this)
        assert json.loads((tmp_path / "record.json").read_text())["size"] == [48, 32]
        backbone = load("tiny-animatex", Plan())
        clips = _clips(this, this.options, backbone, folder, (48, 32))
        batch = _examples(this, replace(this.options, epi=IndicatorSettings(probability=0.0)), backbone, clips).at(0, 1)
        assert batch.clean.shape[-2:] == (12, 8) and batch.given.pose_images.shape[-2:] == (48, 32)
        assert batch.near.shape[-2:] == (12, 8) and batch.given.reference.shape[-2:] == (48, 32)
        square = _examples(
            this,
            replace(this.options, epi=IndicatorSettings(probability=0.0)),
            backbone,
            _clips(replace(this, folder=tmp_path / "s"), this.options, backbone, folder, (32, 32)),
        )
        y = [
            e.at(0, 1).given.keypoints[0, 0, 1].numpy()
            for e in (
                _examples(this, replace(this.options, epi=IndicatorSettings(probability=0.0)), backbone, clips),
                square,
            )
        ]
        shown = y[1] >= 0
        assert np.allclose(y[0][shown] * 48, y[1][shown] * 32 + 8, atol=1e-4)  # the bars are 8 pixels each

    def test_float16_gets_a_dynamic_scale(self, parts, tmp_path):
        backbone, this, _, examples = parts
        model = denoiser(backbone, this.options)
        assert not _loop(this, this.options, backbone, model, examples, Workers()).scale.dynamic
        half = replace(backbone.plan, autocast="float16")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backbone, "plan", half)
            assert _loop(this, this.options, backbone, model, examples, Workers()).scale.value == 1024

    def test_a_size_that_is_no_multiple_is_refused(self, folder, tmp_path):
        with pytest.raises(UserError, match="size=40.*multiples of 16"):
            train(replace(job(tmp_path, folder), size=40))


TWO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_train import job
from motionkit.methods.animatex.train import train
from motionkit.training.workers import leave
print(train(job(Path(sys.argv[1]), sys.argv[2], batch=1, clip=1e6)))
leave(0)
"""


@pytest.mark.slow
def test_two_processes_train_what_one_does_with_the_double_batch(folder, tmp_path):
    train(job(tmp_path / "one", folder, batch=2, clip=1e6))
    (tmp_path / "two.py").write_text(TWO)
    here = os.path.dirname(__file__)
    words = [str(tmp_path / "two.py"), str(tmp_path / "two"), str(folder), here]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29517", *words]
    done = subprocess.run(launch, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert "after 2 steps" in done.stdout and "process 1 ended" in done.stdout
    one, two = (
        load_file(tmp_path / n / "model" / "unet" / "diffusion_pytorch_model.safetensors") for n in ("one", "two")
    )
    # AdamW's first steps are as large for a gradient of 1e-9 as for one of 1: a few may turn about.
    different = [k for k in one if not torch.allclose(one[k], two[k], atol=2e-3)]
    assert len(different) < 0.02 * len(one)
