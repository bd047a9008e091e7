"""pocket-animatex: what a new network begins as, and that its small files with its lenders are the trained network."""

import shutil
from dataclasses import replace

import pytest
import torch

from motionkit import backbones
from motionkit.methods.animatex.net.config import QUERIES
from motionkit.methods.animatex.train_config import TrainOptions, VariantSettings
from motionkit.methods.animatex.train_model import denoiser, learns, start, write_compact, write_folder
from motionkit.settings.gpu import Plan
from motionkit.weights import places
from motionkit.weights.hashing import hash_path
from motionkit.weights.model_files import read_json

shipped = pytest.mark.skipif(
    not (places.PACKAGE / "pocket-modelscope" / "unet").is_dir(), reason="pocket-modelscope's weights are not here"
)
SPEC = backbones.get("pocket-animatex")
PACKAGE = places.PACKAGE


@pytest.fixture(scope="module")
def new():
    return start(SPEC, TrainOptions(), Plan(), 0)


@pytest.fixture
def assets(tmp_path, monkeypatch):
    """The package's models, in a folder to which others can be added."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in ("pocket-sd", "pocket-modelscope"):
        shutil.copytree(places.PACKAGE / name, folder / name)
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(folder))
    return folder


@shipped
def test_a_new_network_draws_what_the_video_model_draws(new):
    video = backbones.load("pocket-modelscope", Plan())
    x = torch.randn(1, 4, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    text = new.encode_text([""])
    assert torch.equal(text, video.encode_text([""]))
    # slot 0 is zeros there and is dropped; the image tokens of nothing are four more zeros, which the video model
    # does not read: it is given them.
    slots = torch.cat([torch.zeros_like(x[:, :, :1]), x], dim=2)
    longer = torch.cat([text, text.new_zeros(1, 4, text.shape[2])], dim=1)
    assert torch.allclose(new.denoise(x, 700, text), video.denoise(slots, 700, longer)[:, :, 1:], atol=1e-4)
    assert new.scheduler.alphas_cumprod[-1] < 1e-7 and new.prediction_type == "v_prediction"
    assert sum(p.numel() for p in new.image_encoder.parameters()) < 2e5


@shipped
def test_its_small_files_and_their_lenders_are_the_whole_network(new, assets, tmp_path):
    model = denoiser(new, TrainOptions())
    learning = {n for n, p in model.network.named_parameters() if p.requires_grad}
    assert learning == {n for n, _ in model.network.named_parameters() if learns(n, "pocket-time")}
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    size = write_compact(assets / "pocket-animatex", new, model, "pocket-time")
    assert size < 5.5e6
    found = backbones.load("pocket-animatex", Plan())
    for (name, wanted), (_, value) in zip(
        model.network.state_dict().items(), found.network.state_dict().items(), strict=True
    ):
        assert (wanted - value).abs().max() <= max(1e-3, float(wanted.abs().max()) / 200), name
    assert found.spec.name == "pocket-animatex" and found.encode_text(["a horse"]).shape[2] == 128
    before = backbones.fingerprint(SPEC)
    write_folder(tmp_path / "whole", new, model, half=True, reference="local")
    whole = backbones.load("pocket-animatex", Plan(), path=str(tmp_path / "whole"))
    x, text = torch.randn(1, 4, 2, 8, 8, generator=generator), found.encode_text([""])
    one, two = whole.denoise(x, 500, text), found.denoise(x, 500, text)
    assert (one - two).abs().mean() < 0.03 * one.abs().mean()  # eight bits
    assert whole.fingerprint() != before


@shipped
@pytest.mark.parametrize(
    ("name", "lender"), [("pocket-animatex", "pocket-modelscope"), ("pocket-animatex-mamba", "pocket-animatex")]
)
def test_the_shipped_weights_fit_the_lender_that_is_shipped(name, lender):
    shared = read_json(places.PACKAGE / name / "shared.json")
    assert ("unet" in shared) == name.endswith("mamba")  # pocket-animatex is whole, so that no lender has to fit
    if "unet" in shared:
        assert shared["unet"] == f"{lender}/unet"
        assert shared["made_with"] == hash_path(places.PACKAGE / lender / "unet"), f"train {name} again"
    found = backbones.load(name, Plan())
    assert (found.network.config.temporal == "mamba") == name.endswith("mamba")


@shipped
def test_mamba_takes_the_place_of_the_temporal_transformers():
    made = start(SPEC, replace(TrainOptions(), temporal="mamba"), Plan(), 0)
    names = [n for n, _ in made.network.named_parameters() if "temp_attentions" in n]
    assert names and all(learns(n, "pocket", "mamba") for n in names) and made.network.config.temporal == "mamba"


@shipped
def test_training_less_of_a_trained_network_loses_nothing_of_it(assets):
    shutil.copytree(PACKAGE / "pocket-animatex", assets / "pocket-animatex")
    options = TrainOptions(start="own", learn="conditions")
    trained = start(SPEC, options, Plan(), 0)
    write_compact(assets / "pocket-animatex", trained, denoiser(trained, options), "conditions")
    found = backbones.load("pocket-animatex", Plan()).network.state_dict()
    for name, wanted in trained.network.state_dict().items():
        assert (wanted - found[name]).abs().max() <= max(1e-3, float(wanted.abs().max()) / 200), name


@shipped
def test_attention_along_time_can_begin_anew_beside_mamba():
    trained = backbones.load("pocket-animatex", Plan()).network.state_dict()
    made = start(SPEC, TrainOptions(start="own", temporal="transformer", learn="temporal", renew="time"), Plan(), 0)
    for name, value in made.network.state_dict().items():
        if not learns(name, "temporal"):
            assert torch.equal(value, trained[name]), name
        elif name.endswith("proj_out.weight"):
            assert not value.any() and trained[name].any(), name


@shipped
def test_mamba_can_take_the_place_in_the_trained_network_and_ship_alone(assets):
    """New, it adds nothing; of its own it ships what runs along time, the rest is lent through two models."""
    shutil.copytree(PACKAGE / "pocket-animatex", assets / "pocket-animatex")
    trained = backbones.load("pocket-animatex", Plan())
    options = TrainOptions(start="own", temporal="mamba", learn="temporal")
    made = start(SPEC, options, Plan(), 0)
    along = [n for n in trained.network.state_dict() if learns(n, "temporal")]
    with torch.no_grad():
        for name, value in trained.network.state_dict().items():
            if name in along and "proj_out" in name:
                value.zero_()
    x, text = torch.randn(1, 4, 2, 16, 16, generator=torch.Generator().manual_seed(0)), made.encode_text([""])
    assert torch.allclose(made.denoise(x, 700, text), trained.denoise(x, 700, text), atol=1e-5)
    model = denoiser(made, options)
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learning == {f"network.{n}" for n, _ in model.network.named_parameters() if learns(n, "temporal")}
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    assert write_compact(assets / "pocket-animatex-mamba", made, model, "temporal") < 2e6
    found = backbones.load("pocket-animatex-mamba", Plan())
    assert found.network.config.temporal == "mamba"
    for (name, wanted), (_, value) in zip(
        model.network.state_dict().items(), found.network.state_dict().items(), strict=True
    ):
        assert (wanted - value).abs().max() <= max(1e-3, float(wanted.abs().max()) / 200), name


@shipped
@pytest.mark.parametrize("query", QUERIES)
def test_the_indicator_can_begin_anew_in_the_trained_network_in_each_variant(query):
    trained = backbones.load("pocket-animatex", Plan()).network.state_dict()
    variant = VariantSettings(query=query, parallel=query == "both")
    made = start(SPEC, TrainOptions(start="own", renew="indicator", variant=variant), Plan(), 0)
    config = made.network.config
    assert (config.indicator.query, config.parallel) == (query, query == "both")
    for name, value in made.network.state_dict().items():
        if name.startswith("indicator.") or ".motion." in name:
            assert ".motion." not in name or "to_out" not in name or (not value.any() and trained[name].any()), name
        else:
            assert torch.equal(value, trained[name]), name
