"""Presets, and one clear line for every wrong value."""

import dataclasses
import re

import pytest

from motionkit.errors import UserError
from motionkit.methods.anamodiff import SPEC
from motionkit.methods.anamodiff.config import PRESETS, AnaMoDiffConfig
from motionkit.methods.anamodiff.train_config import TrainOptions
from motionkit.running.choices import method_settings
from motionkit.settings.presets import settings

# What the paper states, by section; the other values of that preset are readings of its named parts.
PAPER = {
    "adapt.reference": "first",  # section 3: a chosen frame, e.g. the first
    "adapt.scale": "hull",  # figure 4: convex hulls
    "lora.steps": 250,  # 3.1
    "lora.lr": 5e-4,  # 3.5
    "lora.schedule": "joint",  # 3.3: D_s + D_w
    "lora.source_low": 0,
    "lora.source_high": 1000,
    "lora.warped_low": 850,  # 3.5
    "lora.warped_high": 1000,
    "lora.warped_weight": 1.0,
    "lora.clip_frames": 10,  # 3.5: ten frames
    "warp.space": "latent",  # 3.2
    "sample.start": "inverted",  # 3.4
    "sample.steps": 50,  # SD's defaults
    "sample.guidance": 7.5,
    "match.kind": "histogram",  # 3.5
}


def test_the_paper_preset_is_the_paper():
    flat = settings(AnaMoDiffConfig(preset="paper"))
    assert {name: flat[name] for name in PAPER} == PAPER
    assert flat["warp.diversity"] > 0  # 3.5: additional noise


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_everything_that_can_be_left_out(preset):
    for backbone in ("tiny-sd", "sd15", "of-another-package"):
        flat = settings(AnaMoDiffConfig(preset=preset).on(backbone))
        assert {name for name, value in flat.items() if value is None} == {"sample.inversion_prompt"}
    assert PRESETS[preset].keys() == PRESETS["paper"].keys()


# What `best` may change of the paper's on weights that were not tried: what is safe.
SAFE = {
    "adapt.reference": "best",
    "warp.noise": "restore",
    "lora.warped_window": "layout",
    "lora.warped_balance": "prediction",
    "video.anchor": "auto",
}


@pytest.mark.parametrize("backbone", SPEC.backbones)
def test_best_is_the_paper_and_what_is_safe_where_it_was_not_measured(backbone):
    flat = settings(AnaMoDiffConfig().on(backbone)) | {"preset": "paper"}
    if backbone.startswith(("tiny-", "pocket-")):  # as measured on pocket-sd
        told = ("lora.warped_weight", "lora.source_high", "sample.start", "sample.start_t", "sample.guidance")
        assert [flat[name] for name in told] == [0.0, 300, "noised_warp", 150, 1.0]
    else:
        assert flat == settings(AnaMoDiffConfig(preset="paper").on(backbone)) | SAFE


def test_an_explicit_value_wins_over_the_preset():
    config = method_settings(SPEC, {"preset": "paper", "lora": {"steps": 150}, "source_frame": 2})
    assert config.lora.steps == 150 and config.source_frame == "2" and config.sample.steps == 50


def test_a_resolved_configuration_resolves_to_itself():
    config = AnaMoDiffConfig(preset="paper")
    assert dataclasses.asdict(method_settings(SPEC, dataclasses.asdict(config))) == dataclasses.asdict(config)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"preset": "good"}, "method.preset=good is unknown: choose paper, best"),
        ({"adapt": {"scale": "huge"}}, "method.adapt.scale=huge is unknown: choose hull, box, none"),
        ({"adapt": {"reference": "last"}}, "method.adapt.reference=last: give first, auto, mean, best or a frame"),
        ({"source_frame": "-1"}, "method.source_frame=-1: give a frame number, auto or nearest"),
        ({"lora": {"steps": -5}}, "method.lora.steps=-5 is outside 0 to 100000"),
        ({"lora": {"warped_low": 900, "warped_high": 850}}, "method.lora.warped_low=900 must be below"),
        ({"lora": {"targets": "attn1,ff"}}, "method.lora.targets=attn1,ff: give"),
        ({"lora": {"steps": "many"}}, "method.lora.steps"),
        ({"lora": {"step": 10}}, "method.lora.step"),
        ({"warp": {"diversity": 1.5}}, "method.warp.diversity=1.5 is outside 0 to 1"),
        ({"sample": {"start_t": 0}}, "method.sample.start_t=0 is outside 1 to 1000"),
        ({"video": {"anchor": "reference"}, "adapt": {"reference": "mean"}}, "method.video.anchor=reference needs"),
        ({"guidance": 2}, "method.guidance"),
    ],
)
def test_a_wrong_value_is_one_line(given, line):
    with pytest.raises(UserError, match=re.escape(line)) as caught:
        method_settings(SPEC, given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "line"), [({"supervision": "some"}, "train.supervision=some is unknown"), ({"batch": 0}, "train.batch=0")]
)
def test_wrong_training_options_too(given, line):
    with pytest.raises(UserError, match=line):
        TrainOptions(**given)


def test_stages_depend_on_settings_that_exist():
    from motionkit.running.cache import pick_settings

    for stage in SPEC.stages:
        assert pick_settings(AnaMoDiffConfig(), stage.settings)
