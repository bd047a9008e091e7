"""Settings of the method and of its trainer: presets, what a backbone fills in, and refusals."""

import pytest

from motionkit.errors import UserError
from motionkit.methods.animatex.config import PRESETS, TUNED, AnimateXSettings, DrawConfig, SampleConfig, WindowConfig
from motionkit.methods.animatex.pool import IndicatorSettings
from motionkit.methods.animatex.train_config import RECIPES, Recipe, TrainOptions
from motionkit.settings.presets import settings as flat


def test_presets_fill_in_what_is_left_open():
    for name, preset in PRESETS.items():
        found = flat(AnimateXSettings(preset=name).on("animatex"))
        assert {key: found[key] for key in preset} == preset
    released = AnimateXSettings(preset="released")
    assert (released.reference_mode, released.align, released.sample.steps, released.sample.guidance) == (
        "local",
        "none",
        30,
        2.5,
    )


def test_best_takes_the_backbones_values_and_an_explicit_one_wins():
    found = flat(AnimateXSettings(sample=SampleConfig(steps=7)).on("pocket-animatex"))
    assert {key: found[key] for key in TUNED["pocket-animatex"]} == TUNED["pocket-animatex"] | {"sample.steps": 7}
    plain = flat(AnimateXSettings(preset="released").on("pocket-animatex"))
    assert plain["sample.steps"] == 30 and plain["reference_mode"] == "local"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"preset": "fast"}, "method.preset=fast is unknown: choose released, paper, best"),
        ({"reference_mode": "pixels"}, "choose auto, local, latent, both"),
        ({"align": "yes"}, "choose auto, none, safe, compat"),
        ({"nobody": "skip"}, "choose refuse, blank"),
        ({"sample": SampleConfig(steps=0)}, "method.sample.steps=0 is outside 1 to 1000"),
        ({"sample": SampleConfig(guidance=-1)}, "method.sample.guidance=-1 is outside"),
        ({"sample": SampleConfig(guidance_interval=[0.7, 0.1])}, "method.sample.guidance_interval=.*lower one first"),
        ({"sample": SampleConfig(guidance_interval=[0.0, 1.5])}, "method.sample.guidance_interval"),
        ({"draw": DrawConfig(side=9999)}, "method.draw.side=9999 is outside -1 to 4096"),
        ({"window": WindowConfig(8, 8)}, "method.window.overlap=8 must be smaller than method.window.size=8"),
        ({"reference_pose": "driving", "align": "safe"}, "combined with method.reference_pose=driving"),
    ],
)
def test_settings_that_cannot_be_get_one_line(wrong, says):
    with pytest.raises(UserError, match=says) as caught:
        AnimateXSettings(**wrong)
    assert "\n" not in str(caught.value)


def test_an_overlap_that_does_not_fit_the_backbones_window_is_refused_there():
    with pytest.raises(UserError, match="smaller than method.window.size=10"):
        AnimateXSettings(window=WindowConfig(overlap=12)).on("pocket-animatex")


def test_recipes_give_way_to_what_is_set():
    assert TrainOptions(backbone="animatex").recipe == Recipe()  # the paper's
    assert (Recipe().lr, Recipe().indicator_lr, Recipe().frames) == (5e-5, 5e-7, 32)
    own = TrainOptions(lr=0.5, frames=3).recipe
    assert (own.lr, own.frames, own.batch) == (0.5, 3, RECIPES["pocket-animatex"].batch)
    assert TrainOptions().learns == "pocket-time" and TrainOptions(backbone="animatex").learns == "all"
    assert TrainOptions().trains_encoder and not TrainOptions(backbone="animatex").trains_encoder
    assert not TrainOptions(image_encoder="frozen").trains_encoder


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"lr": 0.0}, "train.lr=0 is outside"),
        ({"frames": 0}, "train.frames=0 is outside"),
        ({"schedule": "step"}, "train.schedule=step is unknown"),
        ({"learn": "some"}, "train.learn=some is unknown"),
        ({"poses": "guess"}, "train.poses=guess is unknown"),
        ({"all_drop": 0.6, "all_keep": 0.6}, "at most 1"),
        ({"epi": IndicatorSettings(probability=2.0)}, "between 0 and 1"),
        ({"epi": IndicatorSettings(groups=("tail",))}, "unknown group of pose operations 'tail'"),
    ],
)
def test_training_settings_that_cannot_be_get_one_line(wrong, says):
    with pytest.raises(UserError, match=says):
        TrainOptions(**wrong)


def test_the_released_preset_is_the_authors_inference():
    released = flat(AnimateXSettings(preset="released").on("animatex"))
    assert (released["draw.side"], released["window.size"], released["sample.offset"]) == (-1, 2000, 0.1)
    for name in ("paper", "best"):  # lines as thick on every frame, windows of what a card holds
        found = flat(AnimateXSettings(preset=name).on("animatex"))
        assert (found["draw.side"], found["window.size"]) == (0, 32)
    assert flat(AnimateXSettings().on("animatex"))["reference_mode"] == "auto"
