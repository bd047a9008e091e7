"""The YAML groups `gpu` and `backbone` against the code that they configure."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from motionkit.backbones import BackboneConfig, specs
from motionkit.settings.gpu import TIERS, GpuConfig

CONF = Path(__file__).parents[2] / "conf"


def names(group):
    return sorted(p.stem for p in (CONF / group).glob("*.yaml") if not p.stem.startswith("_"))


def test_there_is_one_file_per_tier_and_backbone():
    assert names("gpu") == sorted(["auto", *TIERS])
    assert set(specs()) <= set(names("backbone"))


@pytest.mark.parametrize(("group", "schema"), [("gpu", GpuConfig), ("backbone", BackboneConfig)])
def test_every_file_fits_its_schema_and_shows_what_all_have_in_common(group, schema):
    common = {"path", "online", "lora", "lora_scale"} if schema is BackboneConfig else set(OmegaConf.structured(schema))
    with initialize_config_dir(str(CONF), version_base=None):
        for name in names(group):
            found = compose(overrides=[f"+{group}={name}"])[group]
            typed = OmegaConf.merge(OmegaConf.structured(schema), found)
            assert typed.name == name and set(found) >= common


def test_a_switch_can_be_overridden_without_a_plus():
    with initialize_config_dir(str(CONF), version_base=None):
        found = compose(overrides=["+gpu=8gb", "gpu.compile=true"])
    assert found.gpu.compile is True
