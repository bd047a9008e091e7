"""The line drawing network's weights and `coarse` reach it, and decide which drawing is kept."""

import sys
import types

import cv2
import numpy as np
import pytest
import torch
from sketch_models import drawing

from motionkit.errors import MissingWeights
from motionkit.running.execute import execute
from motionkit.transfer import Inputs


@pytest.fixture
def asked(monkeypatch):
    """(folder, coarse) of each drawing that was asked of a stand-in for controlnet-aux's network."""
    seen = []

    class LineartDetector:
        def __init__(self, folder):
            self.folder = folder

        @classmethod
        def from_pretrained(cls, folder):
            return cls(folder)

        def __call__(self, image, coarse=False, **settings):
            seen.append((self.folder, coarse))
            page = np.full((*image.shape[:2], 3), 255, np.uint8)
            return cv2.circle(page, (image.shape[1] // 2,) * 2, image.shape[0] // (5 if coarse else 3), (0, 0, 0), 2)

    monkeypatch.setitem(sys.modules, "controlnet_aux", types.SimpleNamespace(LineartDetector=LineartDetector))
    return seen


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "annotators"
    folder.mkdir()
    for name in ("sk_model.pth", "sk_model2.pth"):
        torch.save({"w": torch.zeros(2)}, folder / name)
    return folder


def go(folder, **sketch):
    return execute(
        "flipsketch",
        Inputs(reference=drawing(), prompt="a horse walking"),
        config={
            "sample": {"steps": 2},
            "align": {"enabled": False},
            "invert": {"copies": 1},
            "binarise": "none",
            "sketch": {"source": "lineart"} | sketch,
        },
        backbone="tiny-modelscope",
        frames=2,
        folder=folder,
        use_cache=True,
    )


def test_weights_and_coarse_reach_the_network_and_the_key(tmp_path, asked, weights):
    first = go(tmp_path / "a", weights=str(weights))
    again = go(tmp_path / "b", weights=str(weights))
    coarse = go(tmp_path / "c", weights=str(weights), coarse=True)
    assert [r.manifest["from_cache"] for r in (first, again, coarse)] == [[], ["prepare"], []]
    assert (str(weights), False) in asked and (str(weights), True) in asked
    assert not np.array_equal(first.shown["sketch"], coarse.shown["sketch"])
    assert set(first.manifest["weights"]) == {"lineart/sk_model.pth", "lineart/sk_model2.pth"}
    torch.save({"w": torch.ones(2)}, weights / "sk_model.pth")  # other weights under the same name
    assert go(tmp_path / "d", weights=str(weights)).manifest["from_cache"] == []


def test_other_sources_need_no_such_weights(tmp_path, asked):
    result = go(tmp_path / "a", source="edges", weights=str(tmp_path / "nowhere"))
    assert result.manifest["weights"] == {} and not asked
    with pytest.raises(MissingWeights, match="source=lineart.*hub id"):
        go(tmp_path / "b", weights=str(tmp_path / "nowhere"))
