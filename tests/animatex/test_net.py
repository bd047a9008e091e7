"""Animate-X: what conditions do, what is kept per clip, batches, training's dropout, starts, files and the commands."""

import json
from dataclasses import replace

import pytest
import torch
from diffusers import UNet3DConditionModel
from safetensors.torch import load_file

from motionkit.backbones import load
from motionkit.errors import MissingWeights, UserError
from motionkit.methods.animatex.net import AnimateXConfig, AnimateXNetwork, Conditions, Keep, draw_keep, join
from motionkit.methods.animatex.net.config import POCKET, TINY, from_dict
from motionkit.methods.animatex.net.keys import authors_name, prefixes
from motionkit.methods.animatex.net.start import from_video_unet
from motionkit.methods.animatex.net.tiny import components
from motionkit.settings.gpu import Plan

FRAMES, SIDE = 3, 32
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).reshape(3, 1, 1)  # CLIP's
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).reshape(3, 1, 1)
CONDITIONS = ("reference", "reference_latent", "pose_images", "keypoints", "clip_ref", "clip_frames")


@pytest.fixture(scope="module")
def backbone():
    return load("tiny-animatex", Plan())


def made_up(seed, frames=FRAMES, side=SIDE):
    """Conditions of one clip, all of them, for TINY."""
    g, slots = torch.Generator().manual_seed(seed), frames + 1
    return Conditions(
        torch.randn(1, 5, TINY.context_dim, generator=g),
        frames,
        torch.rand(1, 3, side, side, generator=g),
        torch.randn(1, 4, side // 4, side // 4, generator=g),
        torch.rand(1, 3, slots, side, side, generator=g),
        torch.rand(1, slots, 2, 18, generator=g),
        torch.randn(1, 1, TINY.feature_dim, generator=g),
        torch.randn(1, slots, TINY.feature_dim, generator=g),
    )


def noise(seed, batch=1, frames=FRAMES, side=SIDE):
    return torch.randn(batch, 4, frames, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))


def test_the_backbone_takes_pictures_in_and_gives_v(backbone):
    frames = torch.rand(FRAMES, 3, 64, 64)
    latents, features, text = backbone.encode(frames), backbone.encode_images(frames), backbone.encode_text([""])
    assert latents.shape == (FRAMES, 4, 16, 16) and features.shape == (FRAMES, 16) and text.shape == (1, 16, 16)
    slots = torch.cat([features[:1], features])[None]
    given = Conditions(
        text,
        FRAMES,
        frames[:1],
        None,
        torch.rand(1, 3, FRAMES + 1, 64, 64),
        torch.rand(1, FRAMES + 1, 2, 18),
        slots[:, :1],
        slots,
    )
    x = noise(0, side=64)
    v = backbone.denoise(x, 501, prepared=backbone.prepare(given))
    assert v.shape == x.shape and v.dtype == torch.float32
    bare = backbone.denoise(x, 501, text)
    assert torch.equal(bare, backbone.denoise(x, 501, prepared=backbone.prepare(given.empty())))
    assert (v - bare).abs().max() > 0.01
    assert backbone.prediction_type == "v_prediction" and backbone.scheduler.alphas_cumprod[-1] < 1e-7


def test_pictures_reach_the_image_encoder_as_clip_wants_them(backbone):
    seen = []
    hook = backbone.image_encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    flat = torch.full((1, 3, 40, 20), 0.5)
    backbone.encode_images(flat)
    hook.remove()
    torch.testing.assert_close(seen[0], ((0.5 - MEAN) / STD).expand(1, 3, 32, 32))


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_changes_the_prediction(backbone, name):
    network, x, everything = backbone.network, noise(1), made_up(2)
    with torch.no_grad():
        full = network(x, 301, network.prepare(everything))
        for changed in (None, getattr(made_up(3), name)):
            other = network(x, 301, network.prepare(replace(everything, **{name: changed})))
            assert (other - full).abs().max() > 1e-4


def test_reference_modes(backbone):
    everything = made_up(2)
    assert everything.with_reference("local").reference_latent is None
    assert everything.with_reference("latent").reference is None
    assert everything.with_reference("both") == everything
    with pytest.raises(UserError, match="'pixels'"):
        everything.with_reference("pixels")
    local = backbone.prepare(everything.with_reference("local"))
    assert local.slot is None and local.concat is not None
    assert backbone.prepare(everything.empty()).concat is None


def test_a_batch_is_its_clips_and_parts_join(backbone):
    """Also of a conditional with an unconditional one, as guidance asks for it."""
    network, clips = backbone.network, [made_up(4), made_up(5).with_reference("local"), made_up(6).empty()]
    x, times = noise(7, batch=3), torch.tensor([900, 500, 1])
    with torch.no_grad():
        prepared = [network.prepare(clip) for clip in clips]
        together = network(x, times, join(prepared))
        alone = [network(x[i : i + 1], int(times[i]), prepared[i]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)
    assert join(prepared).batch == 3 and join(prepared[2:]).concat is None
    with pytest.raises(ValueError, match="3, 5 frames"):
        join([prepared[0], backbone.prepare(made_up(4, frames=5))])


def test_nothing_that_is_kept_depends_on_the_step(backbone):
    """A step reads what was prepared and none of the branches again."""
    network = backbone.network
    prepared, called = backbone.prepare(made_up(2)), []
    branches = [network.indicator, network.image_tokens, network.local, network.pose]
    branches += [network.slot_pose, network.slot_latent]
    projections = [
        p
        for site in network.sites()
        for p in (site.transformer_blocks[0].attn2.to_k, site.motion.transformer_blocks[0].attn2.to_v)
    ]
    hooks = [m.register_forward_hook(lambda *_: called.append(1)) for m in (*branches, *projections)]
    with torch.no_grad():
        network(noise(1), 501, prepared)
    assert not called
    backbone.prepare(made_up(2))
    assert len(called) == len(hooks)
    for hook in hooks:
        hook.remove()


def test_what_does_not_belong_together_is_refused(backbone):
    network, everything = backbone.network, made_up(2)
    with pytest.raises(ValueError, match=r"keypoints.*\[1, 5, 2, 18\].*3 frames"):
        network.prepare(replace(everything, keypoints=torch.rand(1, 5, 2, 18)))
    prepared = backbone.prepare(everything)
    with pytest.raises(ValueError, match="4 frames.* 1 of 3"):
        network(noise(1, frames=4), 1, prepared)
    with pytest.raises(ValueError, match="16x16.*8x8"):
        network(noise(1, side=64), 1, prepared)
    with pytest.raises(ValueError, match="prepared conditions"):
        backbone.denoise(noise(1), 1)


def test_kept_conditions_are_dropped_clip_by_clip(backbone):
    network, everything = backbone.network, made_up(2)
    zero, one = torch.zeros(1), torch.ones(1)
    with torch.no_grad():
        x, bare = noise(1), network.prepare(everything.empty())
        gone = network(x, 301, network.prepare(everything, Keep(zero, zero, zero, zero)))
        torch.testing.assert_close(gone, network(x, 301, bare), atol=1e-6, rtol=0)
        kept = network(x, 301, network.prepare(everything, Keep(one, one, one, one)))
        assert torch.equal(kept, network(x, 301, network.prepare(everything)))
        no_pose = network(x, 301, network.prepare(everything.with_reference("local"), Keep(one, zero, one, one)))
        expected = replace(everything.with_reference("local"), pose_images=None)
        torch.testing.assert_close(no_pose, network(x, 301, network.prepare(expected)), atol=1e-6, rtol=0)


def test_the_rates_of_dropping():
    g = torch.Generator().manual_seed(0)
    drawn = [draw_keep(8, g) for _ in range(400)]
    local, pose, image, rest = (torch.cat([getattr(k, n) for k in drawn]) for n in ("local", "pose", "image", "rest"))
    assert abs((1 - rest).mean() - 0.1) < 0.02  # bare of everything
    assert not (local + pose + image)[rest == 0].any()
    for mask in (local, pose, image):
        assert abs(mask.mean() - 0.5) < 0.03  # a tenth for sure, half of eight tenths
    assert abs((local * pose * image).mean() - (0.1 + 0.8 / 8)) < 0.03 and abs((local * (1 - pose)).mean() - 0.2) < 0.03


def test_gradients_reach_every_weight_that_the_conditions_use(backbone):
    network = backbone.fresh_unet().requires_grad_(True).train()
    torch.manual_seed(0)
    network(noise(1), 301, network.prepare(made_up(2))).square().mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_many_tokens_pass_a_few_at_a_time_with_the_same_result(backbone, monkeypatch):
    """Whole clips, single frames and pixels: chunks of every size, for a batch of clips with contexts of their own."""
    from motionkit.methods.animatex.net import sites

    network, x = backbone.network, noise(1, batch=2)
    prepared = join([backbone.prepare(made_up(2)), backbone.prepare(made_up(3))])
    found = []
    for count in (10**9, 100, 1):
        monkeypatch.setattr(sites, "tokens_at_once", lambda x, count=count: count)
        with torch.no_grad():
            found.append(network(x, 301, prepared))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=1e-6, rtol=0)


def test_gradients_with_checkpointing_are_the_same(backbone):
    from motionkit.backbones import checkpointing

    found = []
    for checkpointed in (False, True):
        network = backbone.fresh_unet().requires_grad_(True)
        if checkpointed:
            checkpointing.enable(network.unet)
            assert checkpointing.is_enabled(network.unet)
        network(noise(1), 301, network.prepare(made_up(2))).square().mean().backward()
        found.append({name: p.grad for name, p in network.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-7, rtol=1e-4, msg=name)


def test_bfloat16_arithmetic_stays_near(backbone):
    rounded = load("tiny-animatex", Plan(autocast="bfloat16"))
    x, given = noise(1), made_up(2)
    exact = backbone.denoise(x, 301, prepared=backbone.prepare(given))
    v = rounded.denoise(x, 301, prepared=rounded.prepare(given))
    assert v.dtype == torch.float32 and 0 < (v - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("temporal", ["transformer", "mamba"])
def test_it_begins_as_the_video_unet(temporal):
    """Slot 0 and the four image tokens are zeros to it; conditions only count once the network has learnt."""
    config = replace(POCKET, temporal=temporal, channels=(16, 32, 32), indicator=TINY.indicator, dropout=0.0)
    sizes = config.unet() | {"in_channels": 4}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        video = UNet3DConditionModel(**sizes).eval()
        network = from_video_unet(video, config).eval()
        assert network.config == config
        if temporal == "mamba":  # new layers along time are the identity: compare with a video UNet without them
            for module in [
                video.transformer_in,
                *(
                    t
                    for b in (*video.down_blocks, video.mid_block, *video.up_blocks)
                    for t in getattr(b, "temp_attentions", ())
                ),
            ]:
                module.proj_out.weight.data.zero_()
                module.proj_out.bias.data.zero_()
        text, x = torch.randn(1, 5, 128), torch.randn(1, 4, 2, 8, 8)
        poses, keypoints = torch.rand(1, 3, 3, 32, 32), torch.rand(1, 3, 2, 18)
        given = Conditions(text, 2, torch.rand(1, 3, 32, 32), None, poses, keypoints)
        with torch.no_grad():
            ours = network(x, 501, network.prepare(given))
            padded = torch.cat([torch.zeros(1, 4, 1, 8, 8), x], dim=2)
            theirs = video(padded, 501, torch.cat([text, torch.zeros(1, 4, 128)], dim=1)).sample[:, :, 1:]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    with pytest.raises(UserError, match="not fit"):
        from_video_unet(video, replace(config, channels=(16, 32, 64)))


def test_mamba_in_place_of_the_temporal_transformer_sees_the_other_frames():
    config = replace(TINY, temporal="mamba", mamba={"d_state": 4})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AnimateXNetwork(config).eval()
        for parameter in network.parameters():
            if parameter.ndim > 1 and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    x, everything = noise(1), made_up(2)
    with torch.no_grad():
        first = network(x, 301, network.prepare(everything))
        x[:, :, 2] += 1
        moved = network(x, 301, network.prepare(everything)) - first
    assert moved[:, :, 0].abs().max() > 1e-5
    assert not any("temp_attentions" in name and "attn1" in name for name in network.state_dict())


def test_sizes_are_checked_and_written():
    for config in (POCKET, TINY, replace(POCKET, temporal="mamba", mamba={"d_state": 8})):
        assert from_dict(json.loads(json.dumps(config.as_dict()))) == config
    for wrong, said in (
        ({"colour": 1}, "unknown key of an Animate-X network 'colour'"),
        ({"temporal": "rnn"}, "temporal module 'rnn'"),
        ({"indicator": {"deep": 1}}, "'deep'.*did you mean 'depth'"),
        ({"channels": [320, 650]}, "as many entries"),
        ({"channels": [320, 650, 64, 64]}, "650 channels, not a multiple"),
        ({"factor": 6}, "got factor=6"),
    ):
        with pytest.raises(UserError, match=said):
            from_dict(wrong)


# files and commands


@pytest.fixture
def checkpoint(tmp_path):
    """A small checkpoint under the authors' names, as their file has them, and its network."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        parts = components()
    network, table, state = parts["network"], prefixes(TINY), {}
    for name, value in network.state_dict().items():
        theirs = authors_name(name, table)
        over_time = ".proj_" in name and ("temp_attentions" in name or "transformer_in" in name) and value.ndim == 2
        state[theirs] = value[..., None].clone() if over_time else value.clone()
    state["pose_embedding_before.pos_embed.pos_table"] = torch.zeros(1, 33, 16)
    torch.save({"state_dict": state, "step": 7}, tmp_path / "theirs.pth")
    (tmp_path / "sizes.json").write_text(json.dumps(TINY.as_dict()))
    for part in ("vae", "text_encoder", "tokenizer", "image_encoder"):
        parts[part].save_pretrained(tmp_path / "lent" / part)
    return tmp_path, parts


def convert(folder, *more):
    from motionkit.cli import main

    lent = [f"base={folder / 'lent'}", f"image_encoder={folder / 'lent' / 'image_encoder'}"]
    words = ["convert", "animatex", str(folder / "theirs.pth"), str(folder / "made"), f"config={folder / 'sizes.json'}"]
    return main([*words, *lent, *more])


def test_a_checkpoint_becomes_a_folder_that_loads(checkpoint, capsys, monkeypatch):
    folder, parts = checkpoint
    monkeypatch.setenv("MOTIONKIT_CACHE", str(folder / "cache"))
    assert convert(folder, "dtype=float32") == 0
    said = capsys.readouterr().out
    assert f"{folder / 'made'}: {len(parts['network'].state_dict())} weights, float32" in said
    assert f"use it with backbone=animatex backbone.path={folder / 'made'}" in said
    assert [p.name for p in (folder / "made" / "unet").iterdir() if p.name.startswith(".")] == []
    written = load_file(folder / "made" / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(written[k], v) for k, v in parts["network"].state_dict().items())
    loaded = load("animatex", Plan(), path=str(folder / "made"))
    x, given = noise(1), made_up(2)
    with torch.no_grad():
        expected = parts["network"].eval()(x, 301, parts["network"].prepare(given))
    torch.testing.assert_close(loaded.denoise(x, 301, prepared=loaded.prepare(given)), expected, atol=1e-6, rtol=0)
    assert loaded.scheduler.config.rescale_betas_zero_snr
    assert convert(folder) == 0 and "vae: already there" in capsys.readouterr().out
    assert load("animatex", Plan(), path=str(folder / "made")).fingerprint() != loaded.fingerprint()  # float16 now


def test_an_image_encoder_with_the_other_half_of_clip(checkpoint):
    """As the hub's file of the whole CLIP model has it."""
    from safetensors.torch import save_file

    folder, parts = checkpoint
    assert convert(folder) == 0
    place = folder / "lent" / "image_encoder"
    state = load_file(place / "model.safetensors")
    save_file(
        state | {"text_model.final_layer_norm.weight": torch.ones(4), "logit_scale": torch.ones(())},
        place / "model.safetensors",
    )
    vision = json.loads((place / "config.json").read_text())
    whole = {"model_type": "clip", "projection_dim": vision.pop("projection_dim"), "vision_config": vision}
    (place / "config.json").write_text(json.dumps(whole))
    loaded = load("animatex", Plan(), path=str(folder / "made"))
    frames = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = parts["image_encoder"].eval()((frames - MEAN) / STD).image_embeds
    torch.testing.assert_close(loaded.encode_images(frames), expected, atol=1e-5, rtol=0)


def test_mistakes_end_in_one_line_and_leave_nothing(checkpoint, capsys, monkeypatch, tmp_path):
    import huggingface_hub.constants

    from motionkit.cli import main

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder, _ = checkpoint
    state = torch.load(folder / "theirs.pth", weights_only=True)["state_dict"]
    sizes = f"config={folder / 'sizes.json'}"

    def said(content, *more):
        file = folder / "other.pth"
        if content is not None:
            torch.save(content, file)
        code = main(["convert", "animatex", str(file), str(folder / "none"), *more])
        err = capsys.readouterr().err
        assert code == 2 and err.count("\n") == 1 and not list((folder / "none").glob("unet/*"))
        return err

    assert "no such file" in said(None)
    assert "lacks 1 of" in said({k: v for k, v in state.items() if k != "out.0.bias"}, sizes)
    lost = {k: v for k, v in state.items() if k != "out.0.bias"} | {"spare": torch.ones(1)}
    assert "has 1 that are not the network's, e.g. spare" in said(lost, sizes)
    assert "time_embed.0.bias has shape [2]" in said(state | {"time_embed.0.bias": torch.ones(2)}, sizes)
    assert "values beyond float16" in said(state | {"out.0.bias": torch.full((8,), 1e6)}, sizes)
    assert "lacks 1" in said(state) and "holds no weights" in said({"step": 3})
    assert "unknown option 'type'" in said(state, "type=float16") and "unknown dtype" in said(state, "dtype=int8")
    for text in (b"nothing of the kind", b"hello"):  # torch fails in another way at each
        (folder / "other.pth").write_bytes(text)
        assert "more than weights" in said(None)
    for words, line in ((["animatex"], "NAME SOURCE TARGET"), (["animate", "a", "b"], "did you mean 'animatex'")):
        assert main(["convert", *words]) == 2 and line in capsys.readouterr().err
    lacking = main(["convert", "animatex", str(folder / "theirs.pth"), str(folder / "part"), sizes])
    out = capsys.readouterr().out
    assert lacking == 0 and "image_encoder: missing; get it with: hf download h94/IP-Adapter" in out
    with pytest.raises(MissingWeights, match="lacks .*vae/config.json"):
        load("animatex", Plan(), path=str(folder / "part"))
    with pytest.raises(UserError, match="one file.*motionkit convert animatex"):
        load("animatex", Plan(), path=str(folder / "theirs.pth"))
    with pytest.raises(MissingWeights, match="motionkit convert animatex CHECKPOINT FOLDER"):
        load("animatex", Plan())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model_state": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}, "optimizer": {"state": {}}},
        lambda s: {"module": {"model": s}},
        lambda s: {"state_dict": {f"_orig_mod.module.{k}": v for k, v in s.items()}},
    ],
    ids=["flat", "model_state", "model-module.", "module-model", "compiled"],
)
def test_what_trainers_wrap_around_a_checkpoint_is_taken_off(wrap, checkpoint):
    from motionkit.methods.animatex.net.convert import read_checkpoint

    folder, _ = checkpoint
    state = torch.load(folder / "theirs.pth", weights_only=True)["state_dict"]
    torch.save(wrap(state), folder / "wrapped.pth")
    found = read_checkpoint(folder / "wrapped.pth")
    assert found.keys() == state.keys() and all(torch.equal(found[k], v) for k, v in state.items())


def test_extra_weights_are_left_out_and_said(checkpoint, capsys):
    folder, parts = checkpoint
    content = torch.load(folder / "theirs.pth", weights_only=True)
    content["state_dict"] |= {"spare.weight": torch.ones(2), "lpips.lin0": torch.ones(1)}
    torch.save(content, folder / "theirs.pth")
    assert convert(folder, "dtype=float32") == 0
    said = capsys.readouterr().out
    assert "2 weights (lpips.lin0, spare.weight)" in said
    written = load_file(folder / "made" / "unet" / "diffusion_pytorch_model.safetensors")
    assert written.keys() == parts["network"].state_dict().keys()


def test_a_network_of_the_local_mode_needs_no_branch_of_the_other(checkpoint, capsys):
    folder, parts = checkpoint
    content = torch.load(folder / "theirs.pth", weights_only=True)
    kept = {k: v for k, v in content["state_dict"].items() if not k.startswith("randomref_")}
    assert len(kept) < len(content["state_dict"])
    torch.save({"state_dict": kept}, folder / "theirs.pth")
    assert convert(folder, "dtype=float32") == 0 and "no branch for the reference" in capsys.readouterr().out
    loaded = load("animatex", Plan(), path=str(folder / "made"))
    assert loaded.network.config.reference == "local"
    x, given = noise(1), made_up(2).with_reference("local")
    with torch.no_grad():
        expected = parts["network"].eval()(x, 301, parts["network"].prepare(given))
    torch.testing.assert_close(loaded.denoise(x, 301, prepared=loaded.prepare(given)), expected, atol=1e-6, rtol=0)
    one = next(k for k in content["state_dict"] if k.startswith("randomref_"))
    torch.save({"state_dict": kept | {one: content["state_dict"][one]}}, folder / "theirs.pth")
    assert convert(folder, "dtype=float32") == 2  # a part of the branch is a damaged file


def test_the_pose_indicator_is_exact_in_half_precision():
    """Its coordinates do not move: bfloat16 has 8 bits, and the steps of keypoints near .9 would be 3 of 768 pixels."""
    whole, half = (
        load("tiny-animatex", Plan(dtype=dtype, autocast=cast))
        for dtype, cast in (("float32", None), ("bfloat16", "bfloat16"))
    )
    half.network.indicator.load_state_dict(whole.network.indicator.state_dict())
    given = made_up(2)
    near = replace(given, keypoints=given.keypoints + 1e-3)  # less than a step of bfloat16 there
    seen = []
    for conditions in (given, near):
        moved = conditions.to(half.device, half.network.dtype)
        assert moved.keypoints.dtype == moved.clip_frames.dtype == torch.float32
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            tokens = half.network.motion_tokens(moved)
        assert tokens.dtype == torch.bfloat16
        with torch.no_grad():
            exact = whole.network.motion_tokens(conditions)
        torch.testing.assert_close(tokens, exact.to(torch.bfloat16), atol=0, rtol=0)
        seen.append(half.network.indicator(moved.keypoints, moved.clip_frames))
    assert (seen[0] - seen[1]).abs().amax() > 0


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path):
    from motionkit.methods.animatex.net.convert import read_checkpoint

    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="more than weights"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_parts_of_different_models_are_told_apart(checkpoint):
    folder, parts = checkpoint
    assert convert(folder) == 0
    config = json.loads((folder / "lent" / "image_encoder" / "config.json").read_text())
    (folder / "lent" / "image_encoder" / "config.json").write_text(json.dumps(config | {"projection_dim": 24}))
    with pytest.raises(UserError, match="width 16.* 24"):
        load("animatex", Plan(), path=str(folder / "made"))


def test_the_default_sizes_are_the_released_ones():
    assert AnimateXConfig().channels == (320, 640, 1280, 1280) and AnimateXConfig().slot_channels == 12
