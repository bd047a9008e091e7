"""The video family: clips pass whole, text as in diffusers' pipeline, folders, parts lent by another model, plans."""

import copy
import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from motionkit.backbones import checkpointing, fingerprint, get, load, specs
from motionkit.backbones.modelscope import from_image_unet
from motionkit.backbones.tiny import VIDEO_UNET
from motionkit.diffusion.ddim import DDIM
from motionkit.diffusion.guidance import Guidance, text_model
from motionkit.diffusion.loop import denoise
from motionkit.errors import MissingWeights, UserError
from motionkit.settings import gpu
from motionkit.settings.gpu import Plan
from motionkit.weights import places

MODEL = "diffusion_pytorch_model.safetensors"
SPEC = dataclasses.replace(get("modelscope"), expects=())


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def tiny():
    return load("tiny-modelscope", Plan())


@pytest.fixture
def video_folder(sound_video_folder, tmp_path):
    return shutil.copytree(sound_video_folder, tmp_path / "model")


def test_clips_pass_whole_and_each_on_its_own(tiny):
    text, clip, times = tiny.encode_text(["a cat", "a dog"]), randn(2, 4, 5, 16, 12), torch.tensor([500, 20])
    out = tiny.denoise(clip, times, text)
    assert out.shape == clip.shape and out.dtype == torch.float32
    for b in range(2):
        alone = tiny.denoise(clip[b : b + 1], int(times[b]), text[b : b + 1])
        torch.testing.assert_close(out[b], alone[0], rtol=1e-4, atol=1e-5)
    changed = clip.clone()
    changed[:, :, 4] += 1  # one frame is felt by the others, the nearest one most
    moved = (tiny.denoise(changed, times, text) - out).abs().mean((0, 1, 3, 4))
    assert 1e-4 < moved[0] < moved[3] < moved[4]
    assert not torch.allclose(tiny.denoise(clip.flip(2), times, text).flip(2), out, atol=1e-3)  # order matters


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 16), (10, 8, 16), (17, 6, 10)])
def test_any_number_of_frames_and_any_shape(tiny, frames, height, width):
    out = tiny.denoise(randn(1, 4, frames, height, width), 300, tiny.encode_text(["a cat"]))
    assert out.shape == (1, 4, frames, height, width) and torch.isfinite(out).all()


def test_sites_by_role(tiny):
    sites = {role: tiny.attention_sites(role) for role in ("spatial_self", "cross", "temporal_self")}
    assert sum(map(len, sites.values())) == len(tiny.unet.attn_processors)
    assert [s.block for s in sites["spatial_self"]] == ["down.0", "mid", "up.1", "up.1"]
    assert [s.block for s in sites["temporal_self"][:3]] == ["in", "in", "down.0"]
    assert all(s.name.endswith("attn1") for s in sites["spatial_self"]) and sites["temporal_self"][0].heads == 8


def test_gradients_reach_the_latents_alone(tiny):
    x = randn(1, 4, 3, 8, 8).requires_grad_(True)
    tiny.denoise(x, 300, tiny.encode_text(["a cat"]))[:, :, 0].pow(2).mean().backward()
    assert (x.grad.abs().amax((0, 1, 3, 4)) > 0).all()  # of frame 0's error, to every frame
    assert all(p.grad is None for p in tiny.unet.parameters())


def test_the_whole_road_is_that_of_the_pipeline(sound_video_folder):
    """diffusers' own (deprecated) pipeline for this model, guided, from the same noise."""
    from diffusers import TextToVideoSDPipeline

    backbone = load(SPEC, Plan(), path=str(sound_video_folder))
    parts = {k: getattr(backbone, k) for k in ("vae", "unet", "text_encoder", "tokenizer", "scheduler")}
    pipeline = TextToVideoSDPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    noise = randn(1, 4, 3, 16, 16)
    theirs = pipeline(
        "a red cat",
        negative_prompt="a dog",
        latents=noise.clone(),
        num_inference_steps=4,
        num_frames=3,
        guidance_scale=7.5,
        height=64,
        width=64,
        output_type="latent",
    ).frames
    model = text_model(backbone.denoise, backbone.encode_text(["a red cat"]), backbone.encode_text(["a dog"]))
    sampler, guidance = DDIM(backbone.scheduler), Guidance(7.5, batched=True)
    ours = denoise(model, sampler, noise, sampler.grid(4), guidance)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


# folders


def test_half_precision_files_of_the_hub(video_folder, sound_video_folder):
    for part in ("vae", "unet", "text_encoder"):
        for file in (video_folder / part).glob("*.safetensors"):
            save_file({k: v.half() for k, v in load_file(file).items()}, file.with_suffix(".fp16.safetensors"))
            file.unlink()
    a, b = (load(SPEC, Plan(), path=str(f)) for f in (video_folder, sound_video_folder))
    assert a.dtype == torch.float32
    for x, y in zip(a.unet.parameters(), b.unet.parameters(), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def climbing(folder):
    """shared.json counts in the package only."""
    (folder / "shared.json").write_text(json.dumps({"unet": "pocket-sd/unet"}))
    (folder / "unet" / MODEL).unlink()


BROKEN = {
    "an image model": (
        lambda f: edit(f / "unet/config.json", _class_name="UNet2DConditionModel"),
        r"describes a UNet2DConditionModel, not a UNet3DConditionModel",
    ),
    "no unet": (lambda f: (f / "unet" / MODEL).unlink(), r"lacks unet/diffusion_pytorch_model.*safetensors$"),
    "borrowed": (climbing, r"lacks unet/diffusion_pytorch_model.*safetensors$"),
    "text of another width": (lambda f: edit(f / "text_encoder/config.json", hidden_size=32), r"text of width 16"),
    "another size": (lambda f: edit(f / "unet/config.json", layers_per_block=2), r"has shape .*, its config.json says"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_gets_its_line(video_folder, case):
    change, line = BROKEN[case]
    change(video_folder)
    with pytest.raises(UserError, match=line) as error:
        load(SPEC, Plan(), path=str(video_folder))
    assert "\n" not in str(error.value)


def test_relatives_are_told_apart(sound_video_folder, sound_folder, tmp_path, monkeypatch):
    from huggingface_hub import constants

    with pytest.raises(UserError, match="cross_attention_dim 16, modelscope has 1024: this is another model$"):
        load("modelscope", Plan(), path=str(sound_video_folder))
    with pytest.raises(UserError, match="describes a UNet2DConditionModel, not a UNet3D"):
        load(SPEC, Plan(), path=str(sound_folder))
    with pytest.raises(UserError, match="describes a UNet3DConditionModel, not a UNet2D"):
        load("pocket-sd", Plan(), path=str(sound_video_folder))
    (tmp_path / "text2video_pytorch_model.pth").write_bytes(b"x")
    with pytest.raises(UserError, match="is one file; motionkit reads folders in the hub's layout") as error:
        load("modelscope", Plan(), path=str(tmp_path / "text2video_pytorch_model.pth"))
    assert "StableDiffusion" not in str(error.value)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(
        MissingWeights,
        match="hf download damo-vilab/text-to-video-ms-1.7b .*unet/diffusion_pytorch_mod"
        "el.fp16.safetensors.*tokenizer/special_tokens_map.json .*about 3.7 GB",
    ):
        load("modelscope", Plan())


def test_the_padding_token_of_older_tokenizers(video_folder):
    """Models of the OpenCLIP text tower pad with "!", and older folders say so in special_tokens_map.json only."""
    from motionkit.backbones.tiny import WORDS
    from motionkit.backbones.tiny_tokenizer import build_tokenizer

    shutil.rmtree(video_folder / "tokenizer")
    build_tokenizer(WORDS, video_folder / "tokenizer", model_max_length=16)
    (video_folder / "tokenizer/special_tokens_map.json").unlink(missing_ok=True)
    prints = [fingerprint(SPEC, str(video_folder))]
    plain = load(SPEC, Plan(), path=str(video_folder))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    (video_folder / "tokenizer/special_tokens_map.json").write_text(json.dumps(special | {"pad_token": "!"}))
    other = load(SPEC, Plan(), path=str(video_folder))
    ids = [b._tokens(b.tokenizer, ["a cat"])[0].tolist() for b in (plain, other)]
    assert ids[0][:4] == ids[1][:4] and set(ids[1][4:]) == {other.tokenizer.convert_tokens_to_ids("!")}
    assert set(ids[0][4:]) == {plain.tokenizer.eos_token_id} != set(ids[1][4:])
    assert fingerprint(SPEC, str(video_folder)) not in prints


# parts lent by another model of the package


@pytest.fixture
def package(sound_video_folder, tmp_path, monkeypatch):
    """A package folder in which `mine` holds only what differs from `other`."""
    assets = tmp_path / "assets"
    shutil.copytree(sound_video_folder, assets / "other")
    tensors = load_file(assets / "other/unet" / MODEL)
    for key, value in tensors.items():  # the 1x1 convolutions that image UNets have
        if key.endswith(("attentions.0.proj_in.weight", "attentions.0.proj_out.weight")):
            tensors[key] = value[:, :, None, None]
    save_file(tensors, assets / "other/unet" / MODEL)
    (assets / "mine/unet").mkdir(parents=True)
    shutil.copy(assets / "other/unet/config.json", assets / "mine/unet/config.json")
    shutil.copytree(assets / "other/scheduler", assets / "mine/scheduler")
    own = {k: v + 1 for k, v in tensors.items() if "temp_convs" in k}
    save_file(own, assets / "mine/unet" / MODEL)
    shared = {part: f"other/{part}" for part in ("unet", "vae", "text_encoder", "tokenizer")}
    (assets / "mine/shared.json").write_text(json.dumps(shared))
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(assets))
    return assets


MINE = dataclasses.replace(SPEC, name="mine", hub_id=None, asset="mine")


def test_what_is_missing_comes_from_the_other_model(package, sound_video_folder):
    found, other = load(MINE, Plan()), load(SPEC, Plan(), path=str(sound_video_folder))
    for (name, a), b in zip(found.unet.state_dict().items(), other.unet.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b + 1 if "temp_convs" in name else b)
    assert torch.equal(found.encode_text(["a red cat"]), other.encode_text(["a red cat"]))
    assert found.fingerprint() == fingerprint(MINE)
    before = fingerprint(MINE)
    tensors = load_file(package / "other/vae" / MODEL)
    save_file(tensors | {"encoder.conv_in.bias": tensors["encoder.conv_in.bias"] + 1}, package / "other/vae" / MODEL)
    assert fingerprint(MINE) != before  # the lent weights count


def test_what_is_lent_is_checked_as_well(package):
    (package / "other/tokenizer/tokenizer.json").unlink()
    with pytest.raises(MissingWeights, match="this installation lacks tokenizer/vocab.json, tokenizer/merges.txt"):
        load(MINE, Plan())
    shutil.copytree(package / "other/scheduler", package / "mine/tokenizer")
    tensors = load_file(package / "other/unet" / MODEL)
    save_file(tensors | {"conv_in.bias": torch.zeros(3)}, package / "other/unet" / MODEL)
    (package / "mine/shared.json").write_text(json.dumps({p: f"other/{p}" for p in ("unet", "vae", "text_encoder")}))
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (package / "mine/tokenizer" / name).write_text("{}")
    with pytest.raises(UserError, match=r"conv_in.bias has shape \[3\]"):
        load(MINE, Plan())


def test_a_video_unet_that_starts_as_an_image_unet():
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(3)
        image = UNet2DConditionModel(
            block_out_channels=(8, 16),
            norm_num_groups=4,
            layers_per_block=1,
            cross_attention_dim=16,
            sample_size=16,
            attention_head_dim=(2, 4),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ).eval()
        video = from_image_unet(image, **VIDEO_UNET).eval()
    assert image.mid_block.attentions[0].proj_in.weight.dim() == 4
    assert video.mid_block.attentions[0].proj_in.weight.dim() == 2
    x, text = randn(2, 4, 3, 16, 16), randn(2, 7, 16)
    with torch.no_grad():
        out = video(x, 500, text).sample
        for frame in range(3):
            torch.testing.assert_close(out[:, :, frame], image(x[:, :, frame], 500, text).sample, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="does not fit a video UNet"):
        from_image_unet(image, **VIDEO_UNET | {"block_out_channels": (8, 24)})


def test_what_the_trainer_exports_loads_with_pocket_sds_parts(tmp_path, monkeypatch):
    from motionkit.training.recipes import pocket_modelscope as trainer
    from motionkit.training.recipes.pocket_sd import read_text, read_unet

    (tmp_path / "pocket-sd").symlink_to(places.PACKAGE / "pocket-sd")
    image = read_unet(places.PACKAGE / "pocket-sd/unet")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = from_image_unet(image, **trainer.UNET)
    text = read_text(places.PACKAGE / "pocket-sd/text_encoder")
    with torch.no_grad():
        text.get_input_embeddings().weight.add_(0.25)
    trainer.export(unet, text, tmp_path / "pocket-modelscope")
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path))
    found, lender = load("pocket-modelscope", Plan()), load("pocket-sd", Plan())
    for (name, a), b in zip(found.unet.state_dict().items(), unet.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=b.abs().max().item() / 200, msg=name)
    assert not torch.allclose(found.encode_text(["a red cat"]), lender.encode_text(["a red cat"]))
    assert found.scheduler.alphas_cumprod[-1] < 3e-4
    assert found.prediction_type == "v_prediction" and found.factor == 4 == lender.factor
    out = found.denoise(randn(1, 4, 2, 16, 16), 500, found.encode_text(["a red cat"]))
    assert out.shape == (1, 4, 2, 16, 16) and torch.isfinite(out).all()


def test_the_packages_weights_stay_small():
    sizes = [file.stat().st_size for file in places.PACKAGE.rglob("*") if file.is_file()]
    assert 10e6 < sum(sizes) < 62e6


# memory plans


@pytest.mark.parametrize(
    "plan",
    [
        Plan(channels_last=True),
        Plan(vae_slicing=False),
        Plan(vae_tiling=True),
        Plan(offload="model"),
        Plan(offload="group"),
        Plan(checkpointing=True),
    ],
    ids=["channels_last", "no slicing", "tiling", "model offload", "group offload", "checkpointing"],
)
def test_switches_do_not_change_the_result(tiny, plan):
    backbone = load("tiny-modelscope", plan)
    text, frames = tiny.encode_text(["a red cat"]), torch.rand(2, 3, 64, 64)
    x = randn(1, 4, 3, 16, 16)
    torch.testing.assert_close(backbone.denoise(x, 300, text), tiny.denoise(x, 300, text), rtol=1e-4, atol=1e-5)
    latents = tiny.encode(frames)
    torch.testing.assert_close(backbone.encode(frames), latents, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(backbone.decode(latents), tiny.decode(latents), rtol=1e-4, atol=1e-4)


def test_layouts_are_set_where_they_exist():
    backbone = load("tiny-modelscope", Plan(channels_last=True))
    assert backbone.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert backbone.plan.channels_last and backbone.plan.attention == "sdpa"
    assert {type(p).__name__ for p in backbone.unet.attn_processors.values()} == {"AttnProcessor2_0"}


def test_checkpointing_computes_layers_again_and_keeps_less(tiny):
    """diffusers has no switch for this class; ours gives the same gradients from fewer kept tensors."""
    x, text = randn(1, 4, 3, 16, 16), tiny.encode_text(["a cat"])

    def gradient(backbone, unet=None):
        kept, calls = [], []
        unet = unet or backbone.unet
        hook = unet.mid_block.attentions[0].transformer_blocks[0].register_forward_hook(lambda *a: calls.append(1))
        z = x.clone().requires_grad_(True)
        pack = lambda t: kept.append(t.numel()) or t  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            loss = backbone.denoise(z, 300, text, unet=unet).pow(2).mean()
        (found,) = torch.autograd.grad(loss, z)
        hook.remove()
        return found, sum(kept), len(calls)

    expected, all_kept, once = gradient(tiny)
    backbone = load("tiny-modelscope", Plan(checkpointing=True))
    assert checkpointing.is_enabled(backbone.unet) and not checkpointing.is_enabled(tiny.unet)
    for unet in (None, backbone.fresh_unet(), copy.deepcopy(backbone.unet)):
        found, kept, twice = gradient(backbone, unet)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
        assert (once, twice) == (1, 2) and kept < all_kept / 2
    with torch.no_grad():
        calls = []
        layer = backbone.unet.mid_block.resnets[0].conv1
        layer.register_forward_hook(lambda *a: calls.append(1))
        backbone.denoise(x, 300, text)
        assert len(calls) == 1
    layer = backbone.unet.mid_block.resnets[0]
    forward = layer.forward
    checkpointing.enable(backbone.unet)
    assert layer.forward is forward
    assert checkpointing.is_enabled(load("tiny-sd", Plan(checkpointing=True)).unet)


def test_the_catalogue_knows_the_family():
    family = [spec for spec in specs().values() if spec.family == "modelscope"]
    assert [spec.name for spec in family] == ["tiny-modelscope", "pocket-modelscope", "modelscope"]
    assert get("modelscope").licence.startswith("CC BY-NC 4.0") and get("modelscope").default_size == 256
    plan = gpu.resolve(gpu.GpuConfig(name="auto"), gpu.DeviceFacts(cuda=True, vram_gb=3.0), get("modelscope"))
    assert plan.offload == "group"
    assert isinstance(load("tiny-modelscope", Plan()).unet.conv_in, nn.Conv2d)
