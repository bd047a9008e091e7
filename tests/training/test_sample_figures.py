"""Figures of a text-to-image model: what is asked for is what is counted."""

import json

import numpy as np
import pytest

from motionkit.metrics import scorer
from motionkit.sprites import TRAIN_KINDS
from motionkit.training.recipes import sample_figures

shipped = pytest.mark.skipif(not scorer.available(), reason="the judge's weights are not in this checkout")


def test_captions_name_every_kind_equally_often_and_stay_as_they_are():
    asked = sample_figures.captions(44, 0)
    assert sorted(kind for kind, _ in asked) == sorted(4 * list(TRAIN_KINDS))
    assert asked[:5] == sample_figures.captions(5, 0) and asked != sample_figures.captions(44, 1)


@shipped
def test_the_classifier_counts_what_was_drawn(capsys, monkeypatch, tmp_path):
    from motionkit.sprites import Motion, character, render_clip

    kind, colour = sample_figures.captions(1, 0)[0]
    drawn = render_clip(character(3, kind, "easy", colour), Motion("walk", 0.1, 1.0, 1.0), 1).frames

    monkeypatch.setattr(sample_figures, "draw", lambda backbone, prompts, *_: np.repeat(drawn, len(prompts), 0))
    words = ["--captions", "2", "--backbone", "tiny-sd", "--sheet", str(tmp_path / "sheet.png")]
    found = sample_figures.main(words)
    assert json.loads(capsys.readouterr().out) == found and (tmp_path / "sheet.png").is_file()
    assert found["kind_right"] == 0.5 and found["kind_right_by"][kind] == 1 and found["n"] == 2


@shipped
def test_it_draws_with_a_tiny_backbone(capsys):
    found = sample_figures.main(["--captions", "2", "--steps", "1", "--backbone", "tiny-sd"])
    assert (
        0 < found["autoencoder_psnr"][1] <= found["autoencoder_psnr"][0] and found["both_right"] <= found["kind_right"]
    )
