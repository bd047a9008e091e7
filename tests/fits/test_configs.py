"""The shipped configurations of published backbones, by the number of values that their networks are known to have."""

import pytest

from motionkit.backbones import catalog
from motionkit.backbones.pretend.build import weights_of
from motionkit.backbones.pretend.configs import configs_of
from motionkit.running.needs import table

SD = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
SIZES = {  # as published
    "sd14": SD,
    "sd15": SD,
    "sdxl": {"unet": 2_567_463_684, "vae": 83_653_863, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840},
    "modelscope": {"unet": 1_411_233_412, "vae": 83_653_863, "text_encoder": 340_387_840},
}


@pytest.mark.parametrize("name", [n for n, s in catalog.specs().items() if not s.made_up])
def test_every_catalogued_backbone_has_its_configuration(name):
    found = configs_of(catalog.get(name))
    assert {"unet", "vae", "text_encoder", "scheduler"} <= set(found)
    assert ("motion_adapter" in found) == bool(catalog.get(name).base)


@pytest.mark.parametrize("name", SIZES)
def test_networks_have_as_many_values_as_the_published_ones(name):
    found = weights_of(catalog.get(name))
    print(found)
    assert {part: round(count / 1e6) for part, count in found.items()} == {
        part: round(count / 1e6) for part, count in SIZES[name].items()
    }


def test_the_table_was_counted_on_these_networks():
    for name, weights in table()["weights"].items():
        if name in SIZES:
            assert weights == weights_of(catalog.get(name))


def test_animatex_is_the_released_one():
    """Its pose indicator stays in float32, and so counts twice."""
    assert weights_of(catalog.get("animatex"))["unet"] == 1_817_708_556 + 127_515_136
    assert table()["weights"]["animatex"] == weights_of(catalog.get("animatex"))
