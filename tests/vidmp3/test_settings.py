"""Presets, what they leave to the backbone, and settings that are refused in one line."""

import pytest

from motionkit.errors import UserError
from motionkit.methods.vidmp3 import SPEC
from motionkit.methods.vidmp3.config import PRESETS, TUNED, VidMP3Config
from motionkit.settings.config import typed
from motionkit.settings.presets import settings


def config(**values):
    return typed(VidMP3Config, values, "method.")


def test_the_paper_preset_is_the_papers():
    flat = settings(config(preset="paper").on("pocket-animatediff"))
    assert {k: flat[k] for k in PRESETS["paper"]} == dict(PRESETS["paper"])
    assert (flat["tune.steps"], flat["tune.lr"], flat["tune.unet_lr"], flat["steps"]) == (100, 5e-4, 5e-4, 50)
    assert flat["guide.strength"] is None and flat["guide.inputs"] == "product"
    assert (flat["sample.guidance"], flat["start_t"], flat["tune.least_t"]) == (7.5, 1000, 0.0)
    assert (flat["guide.centre"], flat["guide.edit_strength"], flat["invert_prompt"]) == (False, 1.0, "source")
    assert settings(config(preset="safe"))["tune.unet_lr"] == 3e-5


def test_best_is_tuned_for_a_backbone_and_given_values_win():
    flat = settings(config(tune={"steps": 7}).on("pocket-animatediff"))
    expected = dict(TUNED["pocket-animatediff"]) | {"tune.steps": 7}
    assert {k: flat[k] for k in expected} == expected
    other = settings(config().on("animatediff-sd15"))
    assert None not in [other[k] for k in PRESETS["best"]] and other["tune.steps"] == 100


def test_what_is_kept_follows_mode_and_size():
    assert config().kept == "none" and config(mode="background").kept == "subject"
    assert config(size=0.5).kept == "background"
    assert config(size=0.5, keep={"what": "none"}).kept == "none"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"preset": "fast"}, "method.preset=fast is unknown: choose paper, safe, best"),
        ({"mode": "swap"}, "choose subject, background, style, personalised"),
        ({"guide": {"inputs": "flow"}}, "choose product, concat, correspondence, depth, off"),
        ({"guide": {"strength": -1}}, "method.guide.strength=-1 is outside 0 to 10"),
        ({"steps": 0}, "method.steps=0 is outside 1 to 1000"),
        ({"start_t": 300, "tune": {"least_t": 0.4}}, "leaves nothing to tune below method.start_t=300"),
        ({"size": 9}, "method.size=9 is outside 0.2 to 3"),
        ({"size": 0.5, "keep": {"what": "subject"}}, "leave method.size out"),
        ({"subject": "dog", "subjects": ["dog", "cat"]}, "give only one"),
        ({"subjects": ["dog", "Dog"]}, "must be different words"),
        ({"tune": {"step": 1}}, "unknown key 'method.tune.step' (did you mean 'method.tune.steps'?)"),
    ],
)
def test_refused_in_one_line(values, line):
    with pytest.raises(UserError) as error:
        config(**values)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_every_tuned_setting_exists_and_every_backbone_is_declared():
    assert set(TUNED) <= set(SPEC.backbones)
    for values in (*PRESETS.values(), *TUNED.values()):
        assert set(values) <= set(settings(VidMP3Config()))
