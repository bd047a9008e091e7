"""A figure of one name is one figure: `compare` and `bench` measure alike, with CLIP on this machine and without."""

import json
from dataclasses import replace

import pytest
import torch

from motionkit.media import from_frames
from motionkit.metrics import clipscorer, hub_models
from motionkit.table.bench import Entry, make_case
from motionkit.table.bench.engine import run
from motionkit.table.compare import compare

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}

pytestmark = pytest.mark.skipif(not clipscorer.available(), reason="the judges' weights are not in this checkout")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub that is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
    return tmp_path / "hub"


@pytest.fixture
def clip(hub):
    """A small random CLIP in that cache, under the name of the real one."""
    from transformers import CLIPConfig, CLIPModel

    stored = hub / f"models--{hub_models.MODELS['clip'].hub_id.replace('/', '--')}"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text("0" * 40)
    torch.manual_seed(0)
    text, vision = (
        SMALL | {"vocab_size": 99, "bos_token_id": 97, "eos_token_id": 98},
        SMALL | {"image_size": 32, "patch_size": 8},
    )
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    model.save_pretrained(stored / "snapshots" / ("0" * 40))
    assert hub_models.available("clip")


def compared(folder):
    """metrics.json of the obedient method on the first case, which is a clip that is not of the reference."""
    case = make_case("transfer", 0, frames=2, size=64)
    done = compare(["obedient"], case.inputs, {}, folder, from_frames(case.truth, 8.0))
    assert not done.failed
    return json.loads((folder / "metrics.json").read_text())


def benched(small, here, folder, metrics):
    done = run(replace(small, metrics=metrics), [Entry("obedient", "obedient")], folder, runner=here)
    assert not done.failed
    return done.rows[0].cells[0].figures


def test_with_clip_here_each_name_is_one_figure_in_both_commands(small, here, clip, tmp_path):
    said = compared(tmp_path / "compare")
    figures = said["cells"][0]["metrics"]
    sprites = benched(small, here, tmp_path / "a", "sprites-v1")
    standard = benched(small, here, tmp_path / "b", "standard")
    shared = figures.keys() & (sprites | standard).keys()
    assert {"reference_consistency", "clip_consistency", "psnr", "pck"} <= shared
    assert {name: figures[name] for name in shared} == {name: (standard | sprites)[name] for name in shared}
    assert {name: standard[name] for name in standard.keys() & sprites} == {
        name: sprites[name] for name in standard.keys() & sprites
    }
    assert abs(figures["reference_consistency"] - figures["clip_consistency"]) > 0.01
    assert said["metrics"]["reference_consistency"]["by"] == "sprite clip judge"
    assert said["metrics"]["clip_consistency"]["by"] == "CLIP ViT-B/32"
    page = (tmp_path / "compare" / "report.html").read_text()
    assert "Made by: CLIP ViT-B/32" in page and "Made by: sprite clip judge" in page


def test_clip_changes_no_other_figure_and_has_no_column_without_its_weights(hub, request, tmp_path):
    without = compared(tmp_path / "without")["cells"][0]["metrics"]
    request.getfixturevalue("clip")
    with_it = compared(tmp_path / "with")["cells"][0]["metrics"]
    assert with_it.keys() - without.keys() == {"clip_consistency"}
    assert {name: with_it[name] for name in without} == without
