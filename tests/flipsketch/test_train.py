"""The trainer of sketch LoRAs: what it learns, what it writes, how it stops and goes on."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from motionkit.backbones import load
from motionkit.diffusion.noise import partly_shared_noise
from motionkit.errors import Cancelled, UserError
from motionkit.methods.flipsketch.train import build, prepare, train
from motionkit.methods.flipsketch.train_config import Recipe, TrainOptions
from motionkit.methods.flipsketch.train_data import DrawingClips
from motionkit.methods.flipsketch.train_lora import Factors, text_layers, unet_layers, without_factors, write_lora
from motionkit.methods.flipsketch.train_loss import Texts, clip_loss
from motionkit.settings.gpu import Plan
from motionkit.sprites.export import write_drawings
from motionkit.training.job import DataConfig, TrainJob
from motionkit.training.workers import Workers
from motionkit.weights.parcel import pack

FEW = "mid_block"  # layers, where a test does not need all


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_drawings(folder, 3, frames=3, size=32)
    return folder


def options(**given):
    small = {"backbone": "tiny-modelscope", "frames": 2, "batch": 1, "targets": FEW, "log_every": 1}
    return TrainOptions(**small | given)


def job(folder, clips, steps=4, plan=None, size=32, **given):
    return TrainJob(None, DataConfig("folder", str(clips)), plan or Plan(), folder, options(**given), steps, size=size)


def file_of(job):
    return load_file(job.folder / "lora.safetensors")


def tiny(plan=None):
    return load("tiny-modelscope", plan or Plan())


def shaken(backbone, **given):
    """Factors in the backbone, none of them zero."""
    prepare(backbone, options(**given), 0)
    factors = Factors(backbone.unet, backbone.text_encoder if given.get("text_encoder") else None)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in factors.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return factors


def sample(frames=2):
    g = torch.Generator().manual_seed(0)
    return torch.randn(1, 4, frames, 8, 8, generator=g), torch.tensor([500]), torch.randn(1, 5, 16, generator=g)


class Told:
    """A tracker that remembers."""

    def __init__(self):
        self.steps, self.ends = [], 0

    def on_step(self, step, values):
        self.steps.append((step, dict(values)))

    def on_end(self):
        self.ends += 1


class TestFile:
    def test_training_leaves_one_file_that_says_what_it_is(self, clips, tmp_path):
        this = job(tmp_path, clips, steps=3)
        line = train(this)
        assert "after 3 steps" in line and f"method.lora={tmp_path / 'lora.safetensors'}" in line
        names, layers = set(file_of(this)), unet_layers(tiny().unet, FEW)
        assert names == {f"unet.{n}.lora_{x}.weight" for n in layers for x in "AB"} and len(layers) > 20
        assert all(file_of(this)[n].abs().max() > 0 for n in names)
        with safe_open(tmp_path / "lora.safetensors", "pt") as file:
            facts = json.loads(file.metadata()["motionkit"])
        assert facts["base"] == {"name": "tiny-modelscope", "fingerprint": tiny().fingerprint()}
        assert (facts["rank"], facts["steps"], facts["clips"]) == (4, 3, 3)
        assert facts["captions"] == sorted({p.read_text().strip() for p in clips.glob("*.txt")})
        curve = (tmp_path / "curve.csv").read_text().splitlines()
        assert curve[0] == "step,seconds,loss" and len(curve) == 4
        assert {"lora.safetensors", "curve.csv", "record.json"} == set(pack(tmp_path).files)
        assert not list(tmp_path.glob(".*")) and json.loads((tmp_path / "record.json").read_text())["figures"]

    @pytest.mark.parametrize("alpha", [None, 2.0])
    def test_the_file_merged_into_the_plain_networks_gives_what_was_trained(self, tmp_path, alpha):
        from motionkit.backbones.lora import merge_lora

        tuned, plain, given = tiny(), tiny(), {"targets": "all", "text_encoder": True, "alpha": alpha}
        factors = shaken(tuned, **given)
        write_lora(tmp_path / "lora.safetensors", factors.named(), options(**given).scale, {}, half=False)
        prompts = ["a cat walking", ""]
        wanted = tuned.denoise(*sample()), tuned.encode_text(prompts)
        before = plain.denoise(*sample()), plain.encode_text(prompts)
        changed = merge_lora(tmp_path / "lora.safetensors", plain.unet, plain.text_encoder)
        assert len(changed) == len(factors.named()) // 2
        after = plain.denoise(*sample()), plain.encode_text(prompts)
        for old, new, truth in zip(before, after, wanted, strict=True):
            assert (new - truth).abs().max() < 1e-5 < 0.01 < (old - truth).abs().max()

    def test_diffusers_own_reader_takes_it(self, tmp_path):
        from diffusers.loaders import StableDiffusionLoraLoaderMixin
        from peft import set_peft_model_state_dict

        tuned, other = tiny(), tiny()
        write_lora(tmp_path / "x.safetensors", shaken(tuned, alpha=8.0).named(), 2.0, {}, half=False)
        state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(str(tmp_path / "x.safetensors"))
        assert not alphas
        prepare(other, options(), 7)
        strange = set_peft_model_state_dict(other.unet, {k.removeprefix("unet."): v for k, v in state.items()})
        assert not strange.unexpected_keys
        assert (other.denoise(*sample()) - tuned.denoise(*sample())).abs().max() < 1e-5

    def test_half_precision_is_a_choice(self, tmp_path):
        factors = shaken(tiny())
        write_lora(tmp_path / "x.safetensors", factors.named(), 1.0, {}, half=True)
        assert {t.dtype for t in load_file(tmp_path / "x.safetensors").values()} == {torch.float16}


class TestLayers:
    def test_all_are_the_linear_and_convolution_layers(self):
        unet = tiny().unet
        kinds = (nn.Linear, nn.Conv2d, nn.Conv3d)
        assert unet_layers(unet, "all") == [n for n, m in unet.named_modules() if isinstance(m, kinds)]
        assert set(unet_layers(unet, "attention")) < set(unet_layers(unet, "linear")) < set(unet_layers(unet, "all"))
        assert all("temp_" in n or n.startswith("transformer_in") for n in unet_layers(unet, "temporal"))

    def test_six_linear_layers_of_each_text_layer(self):
        names = text_layers(tiny().text_encoder)
        assert len(names) == 2 * 6 and len(set(names)) == 12

    def test_nothing_but_the_factors_learns(self):
        backbone = tiny()
        factors = shaken(backbone, targets="all", text_encoder=True)
        learning = [p for part in backbone.parts() for p in part.parameters() if p.requires_grad]
        assert {id(p) for p in learning} == {id(p) for p in factors.parameters()}
        assert not any(m.training for m in backbone.unet.modules() if isinstance(m, nn.Dropout))
        with_dropout = tiny()
        shaken(with_dropout, dropout=0.5, targets="all")
        active = [n for n, m in with_dropout.unet.named_modules() if isinstance(m, nn.Dropout) and m.training]
        assert active and all("lora_dropout" in n for n in active)

    @pytest.mark.parametrize(("targets", "says"), [("nowhere", "matches no layer"), ("(", "valid pattern")])
    def test_targets_that_are_none(self, targets, says):
        with pytest.raises(UserError, match=says):
            unet_layers(tiny().unet, targets)

    def test_without_factors_it_is_the_plain_network(self):
        tuned, plain = tiny(), tiny()
        shaken(tuned)
        changed = tuned.denoise(*sample())
        with torch.no_grad(), without_factors(tuned.unet):
            assert torch.allclose(tuned.denoise(*sample()), plain.denoise(*sample()), atol=1e-6)
        assert torch.equal(tuned.denoise(*sample()), changed)


class TestStops:
    def interrupted(self, this, at, act):
        real = this.progress.tick

        def tick(stage, done, total, preview=None):
            if (stage, done) == ("train", at):
                act()
            real(stage, done, total, preview)

        this.progress.tick = tick
        with pytest.raises(Cancelled, match="same command resumes"):
            train(this)
        this.progress.tick = real

    def test_a_stopped_run_ends_as_an_uninterrupted_one(self, clips, tmp_path):
        whole, stopped = (job(tmp_path / n, clips, dropout=0.2, ema=0.5) for n in ("whole", "stopped"))
        train(whole)

        def cancel():
            raise Cancelled("cancelled")

        self.interrupted(stopped, 2, cancel)
        assert not (stopped.folder / "lora.safetensors").exists()
        with (stopped.folder / "curve.csv").open("a") as curve:
            curve.write("3,9,0.5\n")  # as a run that was killed after its last checkpoint leaves it
        train(stopped)
        one, two = file_of(whole), file_of(stopped)
        assert all(torch.equal(one[k], two[k]) for k in one)
        curves = [(j.folder / "curve.csv").read_text().split() for j in (whole, stopped)]
        steps_and_losses = [[row.split(",")[::2] for row in rows] for rows in curves]
        assert steps_and_losses[0] == steps_and_losses[1]

    def test_ctrl_c_ends_the_step_and_saves(self, clips, tmp_path, capsys):
        this, handler = job(tmp_path, clips), signal.getsignal(signal.SIGINT)
        self.interrupted(this, 1, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2
        assert signal.getsignal(signal.SIGINT) is handler and "stopping after this step" in capsys.readouterr().err

    def test_a_stop_in_the_last_step_writes_no_file_either(self, clips, tmp_path):
        this = job(tmp_path, clips, steps=2)
        self.interrupted(this, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 2
        assert not (tmp_path / "lora.safetensors").exists()
        train(this)
        assert (tmp_path / "lora.safetensors").exists()

    def test_a_tracker_is_told_every_step(self, clips, tmp_path):
        told = Told()
        train(replace(job(tmp_path, clips, steps=2), tracker=told))
        assert [step for step, _ in told.steps] == [1, 2] and told.ends == 1
        assert all({"loss", "lr"} <= set(values) for _, values in told.steps)

    def test_validation_shows_a_clip_beside_its_truth_and_changes_nothing(self, clips, tmp_path):
        class Looks(Told):
            every, shown, losses = 1, [], []
            on_validation = lambda self, step, shown: self.shown.append((step, shown))  # noqa: E731
            on_losses = lambda self, times, losses: self.losses.append((times, losses))  # noqa: E731

        plain, seen = job(tmp_path / "a", clips, steps=2), job(tmp_path / "b", clips, steps=2)
        train(plain), train(replace(seen, tracker=Looks()))
        one, two = file_of(plain), file_of(seen)
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert (plain.folder / "curve.csv").read_text().split()[0] == (seen.folder / "curve.csv").read_text().split()[0]
        assert [step for step, _ in Looks.shown] == [1, 2] and Looks.losses[0][1].shape == (1,)
        (first, last) = (shown for _, shown in Looks.shown)
        assert first.clips["clip"].shape == (2, 3, 32, 64) and first.figures["error"] != last.figures["error"]

    def test_a_folder_of_another_run_is_refused_or_begun_again(self, clips, tmp_path):
        train(job(tmp_path, clips, steps=1))
        with pytest.raises(UserError, match=r"other settings \(rank\).*resume=false"):
            train(job(tmp_path, clips, steps=1, rank=2))
        train(replace(job(tmp_path, clips, steps=2, rank=2), resume=False))
        assert len((tmp_path / "curve.csv").read_text().split()) == 3


class TestLoss:
    @pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
    def test_a_perfect_prediction_has_no_loss(self, kind):
        backbone = tiny()
        backbone.scheduler.register_to_config(prediction_type=kind)
        x0, seen = torch.randn(2, 4, 2, 8, 8, generator=torch.Generator().manual_seed(0)), []

        def perfect(noisy, t, text):
            a = backbone.scheduler.alphas_cumprod[t].reshape(-1, 1, 1, 1, 1)
            noise = (noisy - a.sqrt() * x0) / (1 - a).sqrt()
            seen.append(t)
            return noise if kind == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * x0

        backbone.denoise = perfect
        recipes = Recipe(), Recipe(timesteps="late", noise_share=0.7)
        assert all(clip_loss(backbone, x0, None, r, s) < 1e-6 for r in recipes for s in range(20))
        means = [torch.stack(part).float().mean().item() for part in (seen[:20], seen[20:])]
        assert 430 < means[0] < 570 < 610 < means[1] < 720

    def test_captions_while_the_encoder_learns_are_as_the_backbone_reads_them(self):
        backbone, said = tiny(), ["a cat walking", ""]
        assert torch.allclose(Texts(backbone, True)(said), backbone.encode_text(said), atol=1e-6)
        assert torch.allclose(Texts(backbone, False)(said), backbone.encode_text(said), atol=1e-6)

    def test_recomputed_layers_have_the_same_gradient(self):
        grads = []
        for again in (False, True):
            backbone = tiny(Plan(checkpointing=again))
            factors = shaken(backbone)
            backbone.denoise(*sample()).square().mean().backward()
            grads.append({n: p.grad for n, p in factors.named_parameters()})
        assert all(torch.allclose(grads[0][n], grads[1][n], atol=1e-7) for n in grads[0])

    def test_part_of_the_noise_is_common_to_the_frames_of_some_clips(self):
        noise = partly_shared_noise((400, 4, 3, 8, 8), 0.7, 2 / 3, torch.Generator().manual_seed(0))
        together = (noise[:, :, 0] * noise[:, :, 1]).mean((1, 2, 3))
        shared = together > 0.35
        assert 0.6 < shared.float().mean() < 0.73 and abs(noise.std() - 1) < 0.01
        assert abs(together[shared].mean() - 0.7) < 0.02 and abs(together[~shared].mean()) < 0.02
        with pytest.raises(ValueError, match="generator"):
            partly_shared_noise((1, 4, 2, 8, 8), 0.5)

    def test_it_learns_the_drawings_that_it_sees(self, clips, tmp_path):
        line = train(job(tmp_path, clips, steps=40, targets="all", lr=2e-2, warmup=1, caption_dropout=0.0))
        figures = json.loads((tmp_path / "record.json").read_text())["figures"]
        assert "training clips" in line and figures["error"] < 0.9 * figures["without"]

    def test_batches_may_be_gathered(self, clips, tmp_path):
        """Two batches of one clip each: twice the captions and latents of one batch."""
        asked, real = [], DrawingClips.batch

        def batch(self, number, *rest):
            asked.append(number)
            return real(self, number, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DrawingClips, "batch", batch)
            train(job(tmp_path, clips, steps=2, accumulate=2, schedule="constant"))
        assert asked == [0, 1, 2, 3]


class TestSettings:
    def test_with_one_part_on_the_device_at_a_time_captions_are_read_first(self, clips, tmp_path, monkeypatch):
        from motionkit.backbones.modelscope import ModelScopeBackbone

        order = []
        for name in ("encode_text", "denoise"):
            real = getattr(ModelScopeBackbone, name)
            spy = lambda *a, real=real, name=name, **k: (order.append(name), real(*a, **k))[1]  # noqa: E731
            monkeypatch.setattr(ModelScopeBackbone, name, spy)
        this = job(tmp_path, clips, steps=3, plan=Plan(offload="model"))
        monkeypatch.setattr("motionkit.methods.flipsketch.train._finish", lambda *a: "")
        train(this)
        captions = len({p.read_text() for p in clips.glob("*.txt")} | {""})
        assert order == ["encode_text"] * captions + ["denoise"] * 3

    def test_sprites_need_no_folder(self, tmp_path):
        this = TrainJob(None, DataConfig("sprites"), Plan(), tmp_path, options(sprite_clips=2), 1, size=32)
        train(this)
        assert len(list(tmp_path.glob("sprites/*/*.gif"))) == 2 and (tmp_path / "lora.safetensors").is_file()

    @pytest.mark.parametrize(
        ("given", "plan", "says"),
        [
            ({"backbone": "tiny-sd"}, {}, "tiny-sd makes single pictures.*pocket-modelscope"),
            ({}, {"offload": "group"}, "gpu.offload=group is not possible"),
            ({"text_encoder": True}, {"offload": "model"}, "gpu.offload=none"),
            ({}, {"autocast": "bfloat16"}, "wrong gradients: .*train.frames=3"),
            ({"size": 40}, {}, "size=40: tiny-modelscope needs multiples of 16"),
            ({"frames": 9}, {}, "has 3 frames, .*train.frames=9"),
        ],
    )
    def test_what_cannot_be_trained_gets_one_line(self, clips, tmp_path, given, plan, says):
        with pytest.raises(UserError, match=says):
            train(job(tmp_path, clips, plan=Plan(**plan), **given))

    @pytest.mark.parametrize(
        "given", [{"rank": 0}, {"lr": 2.0}, {"schedule": "linear"}, {"timesteps": "early"}, {"noise_share": 1.5}]
    )
    def test_values_that_cannot_be(self, given):
        with pytest.raises(UserError, match=f"{next(iter(given))}"):
            TrainOptions(**given)

    def test_a_backbones_recipe_holds_until_something_else_is_said(self):
        assert TrainOptions().recipe.noise_share == 0.7 and TrainOptions(noise_share=0.0).recipe.noise_share == 0
        real = TrainOptions(backbone="modelscope", lr=5e-6).recipe
        assert (real.steps, real.noise_share, real.lr, real.schedule) == (2500, 0.0, 5e-6, "constant")
        assert TrainOptions(rank=8, alpha=4.0).scale == 0.5 and TrainOptions(rank=8).scale == 1

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_mixed_precision_and_recomputing_follow_the_plan(self, clips, tmp_path, dtype):
        plan = Plan(dtype=dtype, autocast="bfloat16", checkpointing=True)
        train(job(tmp_path, clips, steps=2, plan=plan, targets="all", text_encoder=True, frames=3))
        written = file_of(job(tmp_path, clips))
        assert {t.dtype for t in written.values()} == {torch.float32}
        assert all(torch.isfinite(t).all() and t.abs().max() > 0 for t in written.values())

    @pytest.mark.parametrize(("autocast", "scale"), [("float16", 1024.0), (None, 1.0)])
    def test_half_precision_gradients_are_scaled(self, clips, tmp_path, autocast, scale):
        """On a CPU float16 is never planned; the road that a GPU without bfloat16 takes is followed here."""
        this, backbone = job(tmp_path, clips), tiny()
        source = DrawingClips(clips, backbone, 32, 2, tmp_path)
        backbone.plan = replace(backbone.plan, autocast=autocast)
        _, loop = build(this, this.options, backbone, source, 32, Workers())
        assert loop.scale.value == scale and loop.scale.dynamic == (autocast is not None)


class TestCommands:
    """The two commands with which anybody can make such a LoRA."""

    def call(self, capsys, *words):
        from motionkit.cli import main

        code = main(list(words))
        return code, *capsys.readouterr()

    def test_two_commands_make_a_lora(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        drawn = self.call(capsys, "sprites", "lines=2", "count=2", "output=clips", "frames=2", "size=32")
        assert drawn[:2] == (0, "clips: 2 drawings of the train split, with captions\n")
        words = ["train.backbone=tiny-modelscope", "train.frames=2", f"train.targets={FEW}", "size=32", "steps=2"]
        code, out, err = self.call(
            capsys, "train", "method=flipsketch", "data=clips/", "output=lora/", "gpu=cpu", *words
        )
        assert code == 0, err
        assert "after 2 steps" in out and (tmp_path / "lora" / "lora.safetensors").is_file()

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["data=empty/"], "no clips in"),
            (["data=empty/", "train.rang=2"], "unknown key 'train.rang' (did you mean 'train.rank'?)"),
            (["data=empty/", "train.rank=0"], "train.rank=0 is outside 1 to 256"),
            (["train.backbone=tiny-model"], "unknown backbone 'tiny-model' (did you mean 'tiny-modelscope'?)"),
        ],
    )
    def test_mistakes_get_one_line(self, tmp_path, monkeypatch, capsys, words, says):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "empty").mkdir()
        given = words if "train.backbone=tiny-model" in words else ["train.backbone=tiny-modelscope", *words]
        code, out, err = self.call(capsys, "train", "method=flipsketch", "gpu=cpu", "progress=none", *given)
        lines = [line for line in err.splitlines() if line.startswith("motionkit: error:")]
        assert (code, out, len(lines)) == (2, "", 1) and says in lines[0], err
