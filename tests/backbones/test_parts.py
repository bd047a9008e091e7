"""`backbone.vae=` and `backbone.embeddings=`: files as people have them, the fingerprint, the command line."""

import json
from types import SimpleNamespace

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from motionkit.backbones import fingerprint, load, tiny
from motionkit.backbones.part_files import PartOptions, parts_of
from motionkit.backbones.parts import put, read_words, spelled
from motionkit.errors import MissingWeights, UserError
from motionkit.running.choices import BackboneChoice
from motionkit.running.lazy_backbone import LazyBackbone
from motionkit.settings.gpu import Plan
from motionkit.weights import places
from motionkit.weights.published_names import vae_names

NAME = "tiny-sd"


@pytest.fixture(scope="module")
def other():
    """An autoencoder of tiny-sd's sizes with other weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return tiny.components()["vae"]


def authors(vae, prefix=""):
    names = vae_names(vae.state_dict())
    return {prefix + names[key]: value.contiguous() for key, value in vae.state_dict().items()}


def older(state):
    """As diffusers 0.10 wrote it: linear layers of the attention in the middle were called query, key, value."""
    spelled = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, old in spelled.items():
        state = {
            key.replace(f"mid_block.attentions.0.{new}", f"mid_block.attentions.0.{old}"): v for key, v in state.items()
        }
    assert any(key.endswith("proj_attn.weight") for key in state)
    return state


@pytest.mark.parametrize("layout", ["folder", "authors", "whole model", "diffusers", "older diffusers", "pickle"])
def test_an_autoencoder_from_each_layout(layout, other, tmp_path):
    """vae-ft-mse-840000-ema-pruned.ckpt (stabilityai/sd-vae-ft-mse-original) and its safetensors; diffusers' folder."""
    file = tmp_path / ("vae.ckpt" if layout == "pickle" else "vae.safetensors")
    if layout == "folder":
        file = tmp_path / "vae"
        other.save_pretrained(file)
    elif layout == "pickle":
        torch.save({"state_dict": authors(other) | {"loss.logvar": torch.zeros(1)}}, file)
    else:
        prefix = "first_stage_model." if layout == "whole model" else ""
        states = {"diffusers": other.state_dict(), "older diffusers": older(other.state_dict())}
        save_file(states.get(layout) or authors(other, prefix), file)
    options = PartOptions(str(file))
    plain, changed = load(NAME, Plan()), load(NAME, Plan(), parts=options)
    frames = torch.rand(1, 3, 64, 64)
    assert not torch.equal(plain.encode(frames), changed.encode(frames))
    assert all(torch.equal(changed.vae.state_dict()[key], value) for key, value in other.state_dict().items())
    assert changed.fingerprint() == fingerprint(NAME, parts=options) != plain.fingerprint()
    handle = LazyBackbone(NAME, Plan(), parts=options)
    assert handle.fingerprint() == changed.fingerprint() and not handle.loaded
    assert not any(p.requires_grad for p in changed.vae.parameters())


def test_an_autoencoder_in_eight_bit_floats(other, tmp_path):
    held = {key: value.to(torch.float8_e4m3fn) for key, value in authors(other).items()}
    save_file(held, tmp_path / "vae.safetensors")
    found = load(NAME, Plan(), parts=PartOptions(str(tmp_path / "vae.safetensors"))).vae
    assert torch.equal(found.decoder.conv_in.weight, held["decoder.conv_in.weight"].to(found.dtype))


def test_the_published_autoencoders_whole_list_of_names(tmp_path):
    """All 248 names of vae-ft-mse-840000, each once."""
    config = json.loads((places.PACKAGE / "configs" / "sd15.json").read_text())["vae"]
    with init_empty_weights():
        names = vae_names(AutoencoderKL.from_config(config).state_dict())
    assert len(set(names.values())) == len(names) == 248
    assert {"encoder.down.0.downsample.conv.weight", "decoder.up.3.upsample.conv.bias", "decoder.mid.attn_1.q.weight",
            "encoder.down.1.block.0.nin_shortcut.weight", "quant_conv.weight"} <= set(names.values())  # fmt: skip


def test_autoencoders_that_do_not_fit(other, tmp_path):
    tensors = authors(other)
    tensors.pop("decoder.conv_out.bias")
    save_file(tensors, tmp_path / "less.safetensors")
    save_file(authors(other) | {"decoder.more": torch.zeros(1)}, tmp_path / "more.safetensors")
    for name, line in (("less", "lacks 1 of .* weights of the autoencoder"), ("more", "1 weights that do not belong")):
        with pytest.raises(UserError, match=line):
            load(NAME, Plan(), parts=PartOptions(str(tmp_path / f"{name}.safetensors")))
    other.save_pretrained(tmp_path / "scaled")
    config = json.loads((tmp_path / "scaled/config.json").read_text())
    (tmp_path / "scaled/config.json").write_text(json.dumps(config | {"scaling_factor": 0.5}))
    with pytest.raises(UserError, match="scaling_factor"):  # as SD XL's, whose sizes are those of SD 1.x
        load(NAME, Plan(), parts=PartOptions(str(tmp_path / "scaled")))
    with pytest.raises(MissingWeights, match="there is no such file"):
        PartOptions("/no/where").check()
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeights, match="lacks config.json"):
        PartOptions(str(tmp_path / "empty")).check()


def width_of(backbone):
    return backbone.text_encoder.config.hidden_size


def vectors(n, width, seed=1):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layout", ["diffusers", "string_to_param", "emb_params"])
def test_a_word_from_each_layout(layout, tmp_path):
    """diffusers' learned_embeds.safetensors; AUTOMATIC1111's .pt and .safetensors, named by the file."""
    plain = load(NAME, Plan())
    rows, file = (
        vectors(2, width_of(plain)),
        tmp_path / ("zorp.pt" if layout == "string_to_param" else "zorp.safetensors"),
    )
    if layout == "string_to_param":
        torch.save(
            {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.nn.Parameter(rows)}, "name": "x"}, file
        )
    else:
        save_file({"zorp" if layout == "diffusers" else layout: rows}, file)
    options = PartOptions(embeddings=(str(file),))
    state = torch.random.get_rng_state()
    changed = load(NAME, Plan(), parts=options)
    assert torch.equal(torch.random.get_rng_state(), state)
    ids = changed._tokens(changed.tokenizer, ["a zorp cat"])[0].tolist()
    new = changed.tokenizer.convert_tokens_to_ids(["zorp", "zorp_1"])
    at = ids.index(new[0])
    assert ids[at : at + 2] == new
    assert changed._tokens(changed.tokenizer, ["A Zorp cat"])[0].tolist() == ids
    table = changed.text_encoder.get_input_embeddings().weight
    assert torch.equal(table[new], rows) and not table.requires_grad
    assert not torch.equal(changed.encode_text(["a zorp cat"]), plain.encode_text(["a zorp cat"]))
    assert torch.equal(changed.encode_text(["a cat"]), plain.encode_text(["a cat"]))
    assert changed.fingerprint() == fingerprint(NAME, parts=options) != plain.fingerprint()


def test_both_text_encoders_of_xl(tmp_path):
    plain = load("tiny-sdxl", Plan())
    first, second = width_of(plain), plain.text_encoder_2.config.hidden_size
    save_file({"clip_l": vectors(1, first), "clip_g": vectors(1, second, 2)}, tmp_path / "zorp.safetensors")
    changed = load("tiny-sdxl", Plan(), parts=PartOptions(embeddings=(str(tmp_path / "zorp.safetensors"),)))
    a, b = (backbone.encode_text(["a zorp cat", "a cat"]) for backbone in (plain, changed))
    assert not torch.equal(a[0, :, :first], b[0, :, :first]) and not torch.equal(a[0, :, first:], b[0, :, first:])
    assert torch.equal(a[1, :-1], b[1, :-1]), "the pooled row stays at the end of the text"
    with pytest.raises(UserError, match="for another model: .* width"):
        load(NAME, Plan(), parts=PartOptions(embeddings=(str(tmp_path / "zorp.safetensors"),)))


def test_words_in_a_prompt():
    taught = {"zorp": "zorp zorp_1", "one": "one"}
    assert spelled("a zorp, one zorps (zorp)", taught) == "a zorp zorp_1, one zorps (zorp zorp_1)"


@pytest.mark.parametrize("count", [1, 2])
def test_a_taught_word_is_no_part_of_a_longer_word(count, tmp_path):
    plain, file = load(NAME, Plan()), tmp_path / "zorp.safetensors"
    save_file({"zorp": vectors(count, width_of(plain))}, file)
    changed = load(NAME, Plan(), parts=PartOptions(embeddings=(str(file),)))
    new = set(changed.tokenizer.convert_tokens_to_ids(["zorp", "zorp_1"][:count]))
    for text in ("zorpling", "a prezorp cat", "zorps"):
        assert torch.equal(changed.encode_text([text]), plain.encode_text([text]))
    for text in ("Zorp", "a (zorp)", "zorp, a cat"):
        assert new <= set(changed._tokens(changed.tokenizer, [text])[0].tolist())


def test_a_taught_word_is_known_to_a_small_vocabulary(tmp_path):
    save_file({"<zorp-blik>": torch.ones(1, 16)}, tmp_path / "a.safetensors")
    given = parts_of(None, tmp_path / "a.safetensors")
    plain, taught = (LazyBackbone("pocket-sd", Plan(), parts=parts) for parts in (None, given))
    assert plain.unknown_words("a <zorp-blik> running") == ["zorp", "blik"]
    assert taught.unknown_words("a <Zorp-blik> running", "a zorp") == ["zorp"] and not taught.loaded


def test_files_that_teach_nothing(tmp_path):
    save_file({"a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "two.safetensors")
    save_file({"a": torch.full((1, 4), torch.nan)}, tmp_path / "nan.safetensors")
    (tmp_path / "code.pt").write_bytes(b"cposix\nsystem\n(S'touch x'\ntR.")
    torch.save({"string_to_param": {"a": torch.ones(1, 4), "b": torch.zeros(1, 4)}}, tmp_path / "several.pt")
    for name, line in (
        ("two.safetensors", "no textual inversion"),
        ("nan.safetensors", "NaN"),
        ("code.pt", "plain tensors"),
        ("several.pt", "several words"),
    ):
        with pytest.raises(UserError, match=line):
            read_words(str(tmp_path / name))


def test_words_mean_nothing_where_no_prompt_is_read():
    silent = SimpleNamespace(spec=SimpleNamespace(name="silent", reads_text=False))
    with pytest.raises(UserError, match="reads no prompt"):
        put(silent, PartOptions(embeddings=("a.pt",)))


def test_what_was_asked_for_is_told(tmp_path, monkeypatch):
    from motionkit.cli.hydra_app import JobFolders

    for name in ("vae.safetensors", "a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    said = JobFolders(tmp_path, tmp_path).parts({"vae": "vae.safetensors", "embeddings": ["a.pt", "b.pt"]})
    assert said == PartOptions(str(tmp_path / "vae.safetensors"), (str(tmp_path / "a.pt"), str(tmp_path / "b.pt")))
    assert BackboneChoice(NAME, parts=said).typed() == {
        "backbone.vae": "vae.safetensors",
        "backbone.embeddings": "[a.pt,b.pt]",
    }
    assert BackboneChoice(NAME, parts=said).own and parts_of() is None and parts_of(None, []) is None
    assert said.facts()["vae"]["name"] == "vae.safetensors"
    assert parts_of(None, tmp_path / "a.pt") == PartOptions(embeddings=(str(tmp_path / "a.pt"),))
    assert parts_of(**json.loads(json.dumps({"vae": said.vae, "embeddings": said.embeddings}))) == said
