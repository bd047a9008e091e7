"""What every backbone promises, on tiny-sd."""

import subprocess
import sys
import time

import pytest
import torch

from motionkit.backbones import fingerprint, get, load, specs
from motionkit.errors import UserError
from motionkit.settings.gpu import Plan


@pytest.fixture(scope="module")
def tiny():
    return load("tiny-sd", Plan())


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_catalogue_needs_no_torch_and_knows_its_neighbours():
    code = (
        "import sys, motionkit.backbones as b; b.specs(); b.fingerprint('tiny-sd');"
        "assert not {'torch', 'diffusers', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {"tiny-sd", "pocket-sd", "sd14", "sd15", "sdxl"} <= set(specs())
    assert all(spec.default_size % spec.size_multiple == 0 for spec in specs().values())
    with pytest.raises(UserError, match="did you mean 'sd15'"):
        get("sd-15")


def test_images_become_latents_and_images_again(tiny):
    frames = torch.rand(5, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    latents = tiny.encode(frames)
    assert latents.shape == (5, 4, 16, 12) and latents.dtype == torch.float32 and tiny.factor == 4
    assert torch.equal(latents, tiny.encode(frames))  # the mean, not a draw
    again = tiny.decode(latents)
    assert again.shape == frames.shape and 0 <= again.min() and again.max() <= 1
    assert again.std() > 0.02 and (again[0] - again[1]).abs().mean() > 0.005
    assert 0.3 < latents.std() < 3
    with pytest.raises(UserError, match="multiples of 4.*50x64"):
        tiny.encode(torch.zeros(1, 3, 64, 50))


def test_the_autoencoder_works_in_chunks_without_changing_anything(tiny, monkeypatch):
    frames = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    latents, images = tiny.encode(frames), tiny.decode(randn(5, 4, 16, 16))
    seen = []
    monkeypatch.setattr(type(tiny.plan), "chunk_pixels", 2 * 64 * 64)
    hook = tiny.vae.encoder.register_forward_hook(lambda module, x, y: seen.append(len(y)))
    torch.testing.assert_close(tiny.encode(frames), latents, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(tiny.decode(randn(5, 4, 16, 16)), images, rtol=1e-5, atol=1e-5)
    hook.remove()
    assert seen == [2, 2, 1]


def test_denoise_sees_each_frame_on_its_own(tiny):
    text = tiny.encode_text(["a red cat", "a blue dog"])
    clip = randn(2, 4, 3, 16, 16)
    times = torch.tensor([500, 20])
    out = tiny.denoise(clip, times, text)
    assert out.shape == clip.shape and out.dtype == torch.float32
    for b in range(2):
        for f in range(3):
            alone = tiny.unet(clip[b : b + 1, :, f], times[b], text[b : b + 1]).sample
            torch.testing.assert_close(out[b, :, f], alone[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tiny.denoise(clip, 500, text)[0], out[0], rtol=1e-4, atol=1e-5)


def test_text_is_padded_to_one_length_and_too_long_a_prompt_is_named(tiny, caplog):
    states = tiny.encode_text(["", "a green turtle", "żółw 🐢"])
    assert states.shape == (3, 16, 16) and not torch.equal(states[0], states[1])
    assert not caplog.records
    tiny.encode_text(["a cat " * 40])
    assert "82 tokens, tiny-sd reads 16" in caplog.text


def test_seeds_and_the_global_generator():
    state = torch.random.get_rng_state()
    start = time.process_time()
    a, b, c = (load("tiny-sd", Plan(), seed=s) for s in (0, 0, 1))
    a.fresh_unet()
    a.encode(torch.zeros(1, 3, 64, 64))
    assert time.process_time() - start < 2
    assert torch.equal(torch.random.get_rng_state(), state)
    weights = [x.unet.conv_in.weight for x in (a, b, c)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert (
        a.fingerprint()
        == b.fingerprint()
        == fingerprint("tiny-sd")
        != c.fingerprint()
        == fingerprint("tiny-sd", seed=1)
    )


def test_a_path_is_refused():
    with pytest.raises(UserError, match="leave backbone.path out"):
        load("tiny-sd", Plan(), path="somewhere")


def test_attention_sites(tiny):
    sites = {role: tiny.attention_sites(role) for role in ("spatial_self", "cross", "temporal_self")}
    assert [s.block for s in sites["spatial_self"]] == ["down.0", "mid", "up.1", "up.1"]
    assert [(s.width, s.heads) for s in sites["cross"]] == [(8, 2), (16, 2), (8, 2), (8, 2)]
    assert all(s.name.endswith("attn2") and s.module.to_k.in_features == 16 for s in sites["cross"])
    assert sites["temporal_self"] == []
    assert len(tiny.unet.attn_processors) == sum(map(len, sites.values()))
    assert all(tiny.unet.get_submodule(s.name) is s.module for s in sites["cross"])
    with pytest.raises(ValueError, match="roles"):
        tiny.attention_sites("self")


def test_temporal_layers_are_told_from_spatial_ones(tiny):
    """On diffusers' own video UNets, and for any UNet passed in."""
    from diffusers import MotionAdapter, UNetMotionModel

    adapter = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_num_attention_heads=2,
        motion_norm_num_groups=4,
        motion_mid_block_layers_per_block=1,
    )
    video = UNetMotionModel.from_unet2d(tiny.fresh_unet(), adapter)
    roles = {role: tiny.attention_sites(role, video) for role in ("spatial_self", "cross", "temporal_self")}
    assert len(roles["spatial_self"]) == len(roles["cross"]) == 4
    assert roles["temporal_self"] and all("motion_modules" in s.name for s in roles["temporal_self"])
    assert len(video.attn_processors) == sum(map(len, roles.values()))


def test_every_layer_of_a_three_dimensional_unet_has_a_role(tiny):
    from diffusers import UNet3DConditionModel

    video = UNet3DConditionModel(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=16,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    )
    roles = {role: tiny.attention_sites(role, video) for role in ("spatial_self", "cross", "temporal_self")}
    assert len(video.attn_processors) == sum(map(len, roles.values()))
    assert [s.block for s in roles["cross"]] == ["down.0", "mid", "up.1", "up.1"]
    assert [s.block for s in roles["temporal_self"]][:2] == ["in", "in"]  # diffusers' temporal blocks attend twice
    assert len(roles["temporal_self"]) == 2 + 2 * len(roles["spatial_self"])


def test_a_fresh_unet_shares_nothing(tiny):
    x, text = randn(1, 4, 2, 16, 16), tiny.encode_text(["a cat"])
    before = tiny.denoise(x, 300, text)
    unet = tiny.fresh_unet()
    assert torch.equal(tiny.denoise(x, 300, text, unet=unet), before)
    assert not any(p.requires_grad for p in unet.parameters()) and not unet.training
    unet.conv_out.weight.data.zero_()
    unet.down_blocks[0].requires_grad_(True)
    assert torch.equal(tiny.denoise(x, 300, text), before)
    assert not torch.equal(tiny.denoise(x, 300, text, unet=unet), before)
    assert not any(p.requires_grad for p in tiny.unet.parameters())


def test_gradients_reach_a_tuned_copy_and_the_latents(tiny):
    unet = tiny.fresh_unet().requires_grad_(True)
    x = randn(1, 4, 2, 16, 16).requires_grad_(True)
    tiny.denoise(x, 300, tiny.encode_text(["a cat"]), unet=unet).pow(2).mean().backward()
    assert unet.conv_in.weight.grad.abs().sum() > 0 and x.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_training_target_and_its_inverse(tiny, kind, monkeypatch):
    monkeypatch.setattr(type(tiny), "prediction_type", kind)
    x0, eps = randn(2, 4, 3, 4, 4), randn(2, 4, 3, 4, 4, seed=1)
    t = torch.tensor([40, 700])
    noised = tiny.scheduler.add_noise(x0, eps, t)
    target = tiny.training_target(x0, eps, t)
    expected = eps if kind == "epsilon" else tiny.scheduler.get_velocity(x0, eps, t)
    torch.testing.assert_close(target, expected)
    found_eps, found_x0 = tiny.to_eps_x0(target, noised, t)
    torch.testing.assert_close(found_eps, eps, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found_x0, x0, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
def test_a_patched_autoencoder_folds_pixels_into_channels(patch):
    from diffusers import AutoencoderKL

    from motionkit.backbones.sd import StableDiffusion
    from motionkit.backbones.tiny import components

    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = components()
        channels = 3 * patch * patch
        parts["vae"] = vae = AutoencoderKL(
            channels, channels, block_out_channels=(8,), norm_num_groups=4, scaling_factor=0.7
        )
    backbone = StableDiffusion(get("tiny-sd"), Plan(), **parts, fingerprint="")
    assert backbone.factor == patch == backbone.patch
    frames = torch.rand(2, 3, 16, 32)
    latents = backbone.encode(frames)
    assert latents.shape == (2, 4, 16 // patch, 32 // patch)
    folded = frames.unfold(2, patch, patch).unfold(3, patch, patch)  # (F, 3, h, w, r, r)
    folded = folded.permute(0, 1, 4, 5, 2, 3).flatten(1, 3) * 2 - 1
    torch.testing.assert_close(latents, vae.encode(folded).latent_dist.mean * 0.7)
    expected = vae.decode(latents / 0.7).sample  # (F, 3 r r, h, w)
    image = backbone.decode(latents)
    assert image.shape == frames.shape
    for dy in range(patch):
        for dx in range(patch):
            plane = expected[:, [c * patch * patch + dy * patch + dx for c in range(3)]]
            torch.testing.assert_close(image[..., dy::patch, dx::patch], (plane / 2 + 0.5).clamp(0, 1))


def test_channels_that_fit_no_patch_are_refused():
    from types import SimpleNamespace

    from motionkit.backbones.base import patch_of

    with pytest.raises(UserError, match="7 input channels"):
        patch_of(SimpleNamespace(config=SimpleNamespace(in_channels=7, out_channels=7)))
