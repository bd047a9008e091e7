"""The configuration composes for everything that is installed, and third parties need no YAML."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.cli.hydra_app import SCHEMAS, compose
from motionkit.errors import UserError
from motionkit.running.choices import method_settings
from motionkit.settings.gpu import TIERS

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("method", ["anamodiff", "still", "warp"])
@pytest.mark.parametrize("verb", SCHEMAS)
def test_every_method_composes_and_its_yaml_fits_its_schema(verb, method):
    config = compose(verb, SCHEMAS[verb], [f"method={method}"])
    assert config.method["name"] == method
    method_settings(registry.spec(method), config.method)
    written = yaml.safe_load((CONF / "method" / f"{method}.yaml").read_text())
    assert {key: config.method[key] for key in written} == written


def test_every_backbone_and_every_gpu_setting_is_an_option():
    for name in catalog.specs():
        assert compose("transfer", SCHEMAS["transfer"], [f"backbone={name}"]).backbone["name"] == name
    for name in ("auto", *TIERS):
        assert compose("transfer", SCHEMAS["transfer"], [f"gpu={name}"]).gpu["name"] == name


def test_options_on_disk_are_known_to_the_toolkit():
    assert {p.stem for p in (CONF / "method").glob("*.yaml")} <= set(registry.names())
    assert {p.stem for p in (CONF / "backbone").glob("*.yaml")} <= set(catalog.specs())


@dataclass
class GuestConfig:
    speed: int = 3


@pytest.fixture
def guest(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "guest_settings", sys.modules[__name__])
    known = dict(registry.METHODS._scan()[0])
    spec = replace(registry.spec("still"), name="guest", config="guest_settings:GuestConfig")
    known["guest"] = registry.Registered(spec, "guestkit")
    real = registry.Group._scan
    monkeypatch.setattr(registry.Group, "_scan", lambda self: (known, ()) if self is registry.METHODS else real(self))
    return known


def test_a_method_without_yaml_works_from_its_dataclass(guest):
    config = compose("transfer", SCHEMAS["transfer"], ["method=guest", "method.speed=5"])
    assert config.method == {"name": "guest", "speed": 5}
    with pytest.raises(UserError, match="unknown key 'method.sped'"):
        compose("transfer", SCHEMAS["transfer"], ["method=guest", "method.sped=5"])


def test_a_third_party_brings_yaml_of_its_own(guest, tmp_path, monkeypatch):
    package = tmp_path / "guest_yaml"
    (package / "method").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "method" / "guest.yaml").write_text("name: guest\nspeed: 8\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = guest["guest"]
    guest["guest"] = replace(found, spec=replace(found.spec, conf="pkg://guest_yaml"))
    assert compose("transfer", SCHEMAS["transfer"], ["method=guest"]).method["speed"] == 8


def test_a_config_class_that_cannot_be_imported_is_said_when_it_is_asked_for(guest):
    found = guest["guest"]
    guest["guest"] = replace(found, spec=replace(found.spec, config="absent_module:Config"))
    assert compose("transfer", SCHEMAS["transfer"], ["method=still"]).method == {"name": "still"}
    with pytest.raises(UserError, match="cannot import absent_module:Config"):
        compose("transfer", SCHEMAS["transfer"], ["method=guest"])


def test_yaml_cannot_name_code():
    for path in CONF.rglob("*.yaml"):
        assert "_target_" not in path.read_text(), path


@pytest.mark.parametrize("name", ["16gb", "40gb", "141gb"])
def test_a_card_of_any_size_is_an_option(name):
    found = compose("transfer", SCHEMAS["transfer"], [f"gpu={name}", "gpu.compile=true"]).gpu
    assert found["name"] == name and found["compile"] is True
    with pytest.raises(UserError, match="give gpu=16gb"):
        compose("transfer", SCHEMAS["transfer"], ["gpu=16g"])
