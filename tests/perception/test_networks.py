"""The vision networks' folders: found, told apart, refused in one line, and loaded only whole."""

import json
import shutil
import sys

import numpy as np
import pytest
import tiny_networks
import torch

from motionkit import registry
from motionkit.cli import doctor
from motionkit.errors import MissingWeights, UserError
from motionkit.perception import networks
from motionkit.perception.networks import NETWORKS
from motionkit.perception.pixels import long_side, nearest_scale, to_pixels

MAKERS = {
    "dinov2": tiny_networks.dinov2,
    "depth_anything": tiny_networks.depth_anything,
    "mask2former": tiny_networks.mask2former,
    "sam2": tiny_networks.sam2,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return tiny_networks.seeded(tiny_networks.dinov2, tmp_path_factory.mktemp("nets") / "dino")


@pytest.fixture
def damaged(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "dino")


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_folder_in_the_hubs_layout_loads_as_its_class(name, tmp_path):
    folder = tiny_networks.seeded(MAKERS[name], tmp_path / name)
    model, found = networks.load(NETWORKS[name], str(folder))
    assert type(model).__name__ == NETWORKS[name].architecture
    assert found == folder and not model.training
    assert not any(p.requires_grad for p in model.parameters())
    facts = networks.facts(NETWORKS[name], str(folder))
    assert facts["weights"] == name and len(facts["sha256"]) == 64
    json.dumps(facts)


def test_other_weights_have_another_hash_and_a_moved_folder_has_not(sound, tmp_path):
    dino = NETWORKS["dinov2"]
    first = networks.facts(dino, str(sound))["sha256"]
    other = tiny_networks.seeded(tiny_networks.dinov2, tmp_path / "other", seed=1)
    assert networks.facts(dino, str(other))["sha256"] != first
    moved = shutil.copytree(sound, tmp_path / "moved")
    assert networks.facts(dino, str(moved))["sha256"] == first


def test_what_is_not_there_is_named_with_the_command_that_gets_it(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
    for network in NETWORKS.values():
        with pytest.raises(MissingWeights) as error:
            networks.locate(network)
        line = str(error.value)
        assert "\n" not in line
        assert f"hf download {network.hub_id}" in line and f"{network.setting}=FOLDER" in line
        assert network.instead in line
    with pytest.raises(MissingWeights, match=r"correspondence\.weights: .*nowhere"):
        networks.locate(NETWORKS["dinov2"], "./nowhere")


def test_the_hubs_cache_is_read_without_a_network(sound, tmp_path, monkeypatch):
    repo = tmp_path / "hub" / "models--someone--dino"
    shutil.copytree(sound, repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert networks.locate(NETWORKS["dinov2"], "someone/dino") == repo / "snapshots" / "abc"
    (repo / "snapshots" / "abc" / "model.safetensors").unlink()  # a download that was broken off
    with pytest.raises(MissingWeights, match="hf download someone/dino"):
        networks.locate(NETWORKS["dinov2"], "someone/dino")


def test_another_kind_of_model_is_told(sound):
    with pytest.raises(UserError, match="'dinov2', not Depth Anything"):
        networks.locate(NETWORKS["depth_anything"], str(sound))


def test_a_folder_without_configuration_or_weights_is_told(damaged):
    (damaged / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match="lacks .*model.safetensors"):
        networks.locate(NETWORKS["dinov2"], str(damaged))
    (damaged / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(UserError, match="only as a pickle"):
        networks.locate(NETWORKS["dinov2"], str(damaged))
    (damaged / "config.json").write_text("{")
    with pytest.raises(UserError, match="cannot read"):
        networks.locate(NETWORKS["dinov2"], str(damaged))
    (damaged / "config.json").unlink()
    with pytest.raises(MissingWeights, match="no config.json"):
        networks.locate(NETWORKS["dinov2"], str(damaged))


def test_mask2former_needs_its_preprocessor_and_scipy(tmp_path, monkeypatch):
    folder = tiny_networks.seeded(tiny_networks.mask2former, tmp_path / "m")
    network = NETWORKS["mask2former"]
    monkeypatch.setitem(sys.modules, "scipy", None)  # as if it were not installed
    with pytest.raises(MissingWeights, match=r"pip install 'motionkit\[vidmp3\]', or masks="):
        networks.load(network, str(folder))
    monkeypatch.undo()
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(MissingWeights, match="lacks preprocessor_config.json"):
        networks.locate(network, str(folder))


def test_a_file_that_was_cut_off_is_told(damaged):
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match="usable DINOv2 folder") as error:
        networks.load(NETWORKS["dinov2"], str(damaged))
    assert "\n" not in str(error.value)


def test_lost_weights_are_not_replaced_by_random_ones(damaged):
    from safetensors.torch import load_file, save_file

    weights = damaged / "model.safetensors"
    state = load_file(weights)
    name = next(k for k in state if k.endswith("attention.query.weight"))
    del state[name]
    save_file(state, weights, {"format": "pt"})
    with pytest.raises(UserError, match="lacks 1 .*layer.0.attention"):
        networks.load(NETWORKS["dinov2"], str(damaged))


def test_weights_of_another_shape_are_told(damaged):
    config = json.loads((damaged / "config.json").read_text())
    (damaged / "config.json").write_text(json.dumps(config | {"hidden_size": 32}))
    with pytest.raises(UserError, match="usable DINOv2 folder"):
        networks.load(NETWORKS["dinov2"], str(damaged))


def test_pictures_are_prepared_as_the_networks_own_preprocessor_does(rng):
    from transformers import DPTImageProcessor

    frames = rng.integers(0, 256, (2, 30, 47, 3)).astype(np.uint8)
    theirs = DPTImageProcessor(
        size={"height": 70, "width": 70},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        resample=3,
        image_mean=networks.IMAGENET[0],
        image_std=networks.IMAGENET[1],
    )(images=list(frames), return_tensors="pt")["pixel_values"]
    ours = to_pixels(frames, *nearest_scale(30, 47, 70, 14), *networks.IMAGENET)
    assert ours.shape == theirs.shape
    assert (ours - torch.as_tensor(theirs)).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(448, 768), (256, 256), (1080, 1920), (90, 300)])
def test_depths_size_follows_dpts_rule(size):
    from transformers.models.dpt.image_processing_pil_dpt import get_resize_output_image_size

    theirs = get_resize_output_image_size(np.zeros((3, *size)), (518, 518), True, 14)
    assert nearest_scale(*size, 518, 14) == (theirs.height, theirs.width)


def test_long_sides_keep_the_aspect_in_multiples():
    assert long_side(448, 768, 960, 64) == (576, 960)
    assert long_side(10, 1000, 840, 14) == (14, 840)


def test_the_doctor_lists_them_and_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MOTIONKIT_ONLINE", "1")
    monkeypatch.setattr("huggingface_hub.snapshot_download", _only_local)
    rows = doctor.vision()
    assert [row[0] for row in rows] == registry.ESTIMATORS.names()
    seen = {name: (state, line) for name, state, line in rows}
    missing = {name for name, (state, _) in seen.items() if state == "missing"}
    assert missing == {f"masks.{n}" for n in ("sam2", "mask2former", "birefnet", "rmbg")} | {
        f"pose.{n}" for n in ("dwpose", "openpose")
    } | {"depth.depth_anything", "correspondence.dino", "correspondence.sd_dino", "drawing.lineart"}
    assert all("hf download" in seen[name][1] for name in missing)
    assert "yolox_l.onnx" in seen["pose.dwpose"][1] and "CC BY-NC" in seen["depth.depth_anything"][1]
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path / "empty"))  # where the toolkit's own weights are missing
    states = {name: state for name, state, _ in doctor.vision()}
    assert {states[f"{kind}.pocket"] for kind in ("pose", "masks", "depth", "correspondence")} == {"WRONG"}


def _only_local(*arguments, local_files_only=False, **named):
    assert local_files_only
    raise FileNotFoundError
