"""Model folders: what loads, to the bit, and the one line that each broken folder gets."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from motionkit.backbones import fingerprint, get, load
from motionkit.errors import MissingWeights, UserError
from motionkit.settings.gpu import Plan

MODEL = "diffusion_pytorch_model.safetensors"
PLAN = Plan()


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def rewrite(file, change):
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture(scope="module")
def expected(sound_folder):
    return load("pocket-sd", PLAN, path=str(sound_folder))


def test_weights_arrive_bit_for_bit_and_draw_nothing(sound_folder, expected):
    from diffusers import UNet2DConditionModel

    assert same_weights(expected.unet, UNet2DConditionModel.from_pretrained(sound_folder / "unet"))
    state = torch.random.get_rng_state()
    again = load("pocket-sd", PLAN, path=str(sound_folder))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(same_weights(a, b) for a, b in zip(again.parts(), expected.parts(), strict=True))
    assert not any(p.is_meta or p.requires_grad for part in again.parts() for p in part.parameters())
    assert not any(b.is_meta for part in again.parts() for b in part.buffers())
    assert torch.equal(again.encode_text(["a red cat"]), expected.encode_text(["a red cat"]))


def halve(folder):
    for part in ("vae", "unet", "text_encoder"):
        for file in (folder / part).glob("*.safetensors"):
            save_file({k: v.half() for k, v in load_file(file).items()}, file.with_suffix(".fp16.safetensors"))
            file.unlink()


def shard(folder):
    file = folder / "unet" / MODEL
    tensors = load_file(file)
    names = sorted(tensors)
    split = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard_name, keys in split.items():
        save_file({k: tensors[k] for k in keys}, folder / "unet" / shard_name)
    index = {"weight_map": {k: shard_name for shard_name, keys in split.items() for k in keys}}
    (folder / "unet" / f"{MODEL}.index.json").write_text(json.dumps(index))
    file.unlink()


def old_names(folder):
    """The spellings of the files on the hub that were made in 2022."""

    def vae(tensors):
        for new, old in (
            (".to_q.", ".query."),
            (".to_k.", ".key."),
            (".to_v.", ".value."),
            (".to_out.0.", ".proj_attn."),
        ):
            for key in [k for k in tensors if new in k]:
                tensors[key.replace(new, old)] = tensors.pop(key)

    def text(tensors):
        for key in [k for k in tensors if not k.startswith("text_model.")]:
            tensors[f"text_model.{key}"] = tensors.pop(key)
        tensors["text_model.embeddings.position_ids"] = torch.arange(16)[None]

    rewrite(folder / "vae" / MODEL, vae)
    rewrite(folder / "text_encoder/model.safetensors", text)


def word_files(folder):
    """vocab.json and merges.txt in place of the newer tokenizer.json."""
    from motionkit.backbones.tiny import WORDS
    from motionkit.backbones.tiny_tokenizer import build_tokenizer

    shutil.rmtree(folder / "tokenizer")
    build_tokenizer(WORDS, folder / "tokenizer", model_max_length=77)  # more than the text encoder reads


def pndm(folder):
    from diffusers import PNDMScheduler

    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    PNDMScheduler(**settings, skip_prk_steps=True, set_alpha_to_one=False).save_pretrained(folder / "scheduler")


@pytest.mark.parametrize("change", [halve, shard, old_names, word_files, pndm])
def test_other_spellings_of_the_same_model(folder, expected, change):
    change(folder)
    found = load("pocket-sd", PLAN, path=str(folder))
    if change is halve:
        for a, b in zip(found.unet.parameters(), expected.unet.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
        assert found.dtype == torch.float32
    else:
        assert all(same_weights(a, b) for a, b in zip(found.parts(), expected.parts(), strict=True))
        assert torch.equal(found.encode_text(["a red cat"]), expected.encode_text(["a red cat"]))
        torch.testing.assert_close(found.scheduler.alphas_cumprod, expected.scheduler.alphas_cumprod)
        keys = ("steps_offset", "set_alpha_to_one", "clip_sample", "prediction_type")
        assert [found.scheduler.config[k] for k in keys] == [1, False, False, "epsilon"]


def test_half_precision_plans_load_half_precision_weights(sound_folder):
    found = load("pocket-sd", Plan(dtype="bfloat16", autocast="bfloat16"), path=str(sound_folder))
    assert {p.dtype for part in found.parts() for p in part.parameters()} == {torch.bfloat16}
    latents = found.encode(torch.rand(1, 3, 64, 64))
    out = found.denoise(latents.unsqueeze(2), 500, found.encode_text(["a cat"]))
    assert out.dtype == torch.float32 and torch.isfinite(found.decode(out[:, :, 0])).all()


def test_the_fingerprint_follows_the_content(folder, sound_folder, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    found = fingerprint("pocket-sd", str(folder))
    assert found == expected.fingerprint() == fingerprint("pocket-sd", str(sound_folder))
    rewrite(folder / "unet" / MODEL, lambda t: t["conv_out.bias"].add_(1))
    changed = fingerprint("pocket-sd", str(folder))
    edit(folder / "scheduler/scheduler_config.json", steps_offset=0)
    assert len({found, changed, fingerprint("pocket-sd", str(folder))}) == 3


def test_large_files_are_hashed_once(folder, tmp_path, monkeypatch):
    from motionkit.weights import hashing

    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    save_file({"x": torch.zeros(1 << 19)}, folder / "unet" / MODEL)  # 2 MiB
    read = []
    original = hashing.hash_path
    monkeypatch.setattr(hashing, "hash_path", lambda path: read.append(path.name) or original(path))
    first = fingerprint("pocket-sd", str(folder))
    assert read.count(MODEL) == 2  # vae and unet
    read.clear()
    assert fingerprint("pocket-sd", str(folder)) == first
    assert read.count(MODEL) == 1  # the small one again
    (tmp_path / "cache/file-hashes.json").write_text("{ broken")
    assert fingerprint("pocket-sd", str(folder)) == first


def remove(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def pickle_only(folder):
    (folder / "unet" / MODEL).unlink()
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")


def lfs_pointer(folder):
    (folder / "unet" / MODEL).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3438167534\n")


def truncate(folder):
    file = folder / "vae" / MODEL
    file.write_bytes(file.read_bytes()[:-1000])


def weights(part, change):
    name = "model.safetensors" if "text" in part else MODEL
    return lambda folder: rewrite(folder / part / name, change)


def config(part, **changes):
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    return lambda folder: edit(folder / part / name, **changes)


def nan(tensors):
    tensors["conv_in.weight"][0, 0, 0, 0] = float("nan")


def not_json(folder):
    (folder / "unet/config.json").write_text("<html>not found</html>")


def climbing_index(folder):
    shard(folder)
    (folder / "unet" / f"{MODEL}.index.json").write_text(json.dumps({"weight_map": {"x": "../vae/" + MODEL}}))


BROKEN = {
    "no vae config": (remove("vae/config.json"), r"lacks vae/config.json$"),
    "no unet weights": (remove(f"unet/{MODEL}"), rf"lacks unet/{MODEL}$"),
    "two missing": (
        remove("text_encoder/model.safetensors", "tokenizer/tokenizer_config.json"),
        r"lacks text_encoder/model.safetensors, tokenizer/tokenizer_config.json$",
    ),
    "no tokenizer": (remove("tokenizer/tokenizer.json"), r"lacks tokenizer/vocab.json, tokenizer/merges.txt$"),
    "no scheduler": (remove("scheduler/scheduler_config.json"), r"lacks scheduler/scheduler_config.json$"),
    "a damaged pickle": (pickle_only, r"model.bin is a pickle that holds more than plain tensors.*get the weights as"),
    "another pickle": (
        lambda folder: (folder / "unet" / MODEL).rename(folder / "unet/model.ckpt"),
        r"model.ckpt is not a name.*rename.* diffusion_pytorch_model.bin",
    ),
    "an lfs pointer": (lfs_pointer, r"git-lfs pointer.*get it again"),
    "cut short": (truncate, r"vae/.*damaged or cut short.*get it again"),
    "NaN": (weights("unet", nan), r"conv_in.weight holds NaN"),
    "a weight less": (weights("unet", lambda t: t.pop("conv_in.weight")), r"lacks 1 of \d+ weights, e.g. conv_in"),
    "a weight more": (weights("unet", lambda t: t.update(lora=torch.zeros(1))), r"1 weights that do not belong.*lora"),
    "another shape": (weights("vae", lambda t: t.update({"decoder.conv_out.bias": torch.zeros(9)})), r"\[9\].*\[3\]"),
    "config of another size": (config("unet", block_out_channels=[8, 32]), r"has shape .* its config.json says"),
    "config that builds nothing": (config("unet", block_out_channels=[8, 16, 32]), r"unet/config.json "),
    "another class": (config("unet", _class_name="UNet3DConditionModel"), r"a UNet3DConditionModel, not a UNet2D"),
    "not json": (not_json, r"cannot read .*unet/config.json"),
    "an index that climbs": (climbing_index, r"outside its folder: ../vae"),
    "an inpainting model": (config("unet", in_channels=9), r"9 input channels, not 4"),
    "an xl model": (config("unet", addition_embed_type="text_time"), r"holds an SD XL model.*use backbone=sdxl"),
    "text of another width": (config("text_encoder", hidden_size=32), r"text of width 16, the text encoder makes 32"),
    "a small vocabulary": (config("text_encoder", vocab_size=100), r"tokens, its text encoder 100"),
    "a 16-channel autoencoder": (config("vae", latent_channels=16), r"16 latent channels, not 4"),
    "a flow model": (config("scheduler", prediction_type="flow"), r"prediction_type must be epsilon or v.*'flow'"),
    "no such schedule": (config("scheduler", beta_schedule="odd"), r"valid noise schedule"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_gets_its_line(folder, case):
    change, line = BROKEN[case]
    change(folder)
    with pytest.raises(UserError, match=line) as error:
        load("pocket-sd", PLAN, path=str(folder))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_pickles_of_plain_tensors_are_read_as_such(folder, expected, variant):
    """As zeroscope is published (cerspense/zeroscope_v2_576w): .bin files alone; halves of older folders likewise."""
    for part, old, new in (
        ("unet", MODEL, f"diffusion_pytorch_model{variant}.bin"),
        ("vae", MODEL, f"diffusion_pytorch_model{variant}.bin"),
        ("text_encoder", "model.safetensors", f"pytorch_model{variant}.bin"),
    ):
        torch.save(load_file(folder / part / old), folder / part / new)
        (folder / part / old).unlink()
    found = load("pocket-sd", PLAN, path=str(folder))
    assert all(same_weights(a, b) for a, b in zip(found.parts(), expected.parts(), strict=True))
    assert found.fingerprint() == fingerprint("pocket-sd", str(folder)) != expected.fingerprint()


def test_code_in_pickles_is_not_run(folder, tmp_path):
    """The file would leave a trace if anything unpickled it."""
    trace = tmp_path / "trace"
    pickle_only(folder)
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(
        b"cposix\nsystem\n(S'touch " + str(trace).encode() + b"'\ntR."
    )
    with pytest.raises(UserError, match="pickle"):
        load("pocket-sd", PLAN, path=str(folder))
    assert not trace.exists()


def test_the_named_models_refuse_their_relatives(sound_folder, sound_xl_folder):
    with pytest.raises(UserError, match="cross_attention_dim 16, sd15 has 768.*another model"):
        load("sd15", PLAN, path=str(sound_folder))
    with pytest.raises(UserError, match="holds an SD XL model, not SD 1.x"):
        load("sd15", PLAN, path=str(sound_xl_folder))
    with pytest.raises(MissingWeights, match="lacks text_encoder_2/config.json"):
        load("sdxl", PLAN, path=str(sound_folder))


def test_paths_that_are_no_folders(tmp_path):
    with pytest.raises(MissingWeights, match="no file or folder /nowhere/model"):
        load("sd15", PLAN, path="/nowhere/model")
    with pytest.raises(MissingWeights, match="no file or folder ./model"):
        load("sd15", PLAN, path="./model")
    (tmp_path / "dream.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="is one file.*from_single_file"):
        load("pocket-sd", PLAN, path=str(tmp_path / "dream.safetensors"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeights, match="not a model folder in the hub's layout"):
        load("sd15", PLAN, path=str(tmp_path / "empty"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
    return tmp_path / "hub"


def test_nothing_in_the_cache_names_the_files_and_the_command(cache):
    with pytest.raises(MissingWeights) as error:
        load("sd15", PLAN)
    line = str(error.value)
    assert "\n" not in line and str(cache) in line
    command = line.split("Get them with: ")[1].split("  (")[0].split()
    assert command[:3] == ["hf", "download", "stable-diffusion-v1-5/stable-diffusion-v1-5"]
    assert set(command[3:]) == {
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json",
    }


def cached(cache, folder, repository="owner/name"):
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs/main").write_text("0" * 40)
    shutil.copytree(folder, home / "snapshots" / ("0" * 40))
    return home / "snapshots" / ("0" * 40)


def test_a_hub_id_loads_from_the_cache_without_the_network(cache, sound_folder, expected, monkeypatch):
    import socket

    monkeypatch.setattr(socket, "socket", lambda *a, **k: pytest.fail("the network was touched"))
    snapshot = cached(cache, sound_folder)
    found = load("pocket-sd", PLAN, path="owner/name")
    assert same_weights(found.unet, expected.unet)
    assert fingerprint("pocket-sd", "owner/name") == expected.fingerprint()
    (snapshot / "vae/config.json").unlink()
    with pytest.raises(
        MissingWeights,
        match="owner/name is not a folder.*: vae/config.json. Get them with: hf download owner/name vae/config.json ",
    ):
        load("pocket-sd", PLAN, path="owner/name")


@pytest.mark.parametrize("way", ["flag", "environment"])
def test_downloads_happen_only_on_request_and_only_what_is_missing(cache, sound_folder, monkeypatch, way):
    import huggingface_hub

    snapshot = cached(cache, sound_folder)
    (snapshot / "vae/config.json").unlink()
    calls = []
    original = huggingface_hub.snapshot_download

    def fake(repository, cache_dir=None, local_files_only=False, allow_patterns=None):
        if local_files_only:
            return original(repository, cache_dir=cache_dir, local_files_only=True)
        calls.append((repository, allow_patterns))
        shutil.copy(sound_folder / "vae/config.json", snapshot / "vae/config.json")
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    monkeypatch.setattr("motionkit.weights.places.published_names", lambda _, names: names)  # asks the hub, patiently
    with pytest.raises(MissingWeights):
        load("pocket-sd", PLAN, path="owner/name")
    assert calls == []
    if way == "environment":
        monkeypatch.setenv("MOTIONKIT_ONLINE", "1")
    load("pocket-sd", PLAN, path="owner/name", online=way == "flag")
    assert calls == [("owner/name", ["vae/config.json"])]


def test_a_failed_download_is_one_line(cache, monkeypatch):
    import huggingface_hub

    def fake(repository, **settings):
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
    with pytest.raises(MissingWeights, match="the download of .* failed: no route to host$"):
        load("sd15", PLAN, online=True)


def test_a_package_without_its_weights_says_so():
    spec = dataclasses.replace(get("pocket-sd"), asset="no-such-asset")
    with pytest.raises(MissingWeights, match="this installation lacks vae/config.json, .*install motionkit again"):
        load(spec, PLAN)
