"""Settings that name files: every one of them is declared, and a place is told from a word."""

import re

import pytest

from motionkit import registry
from motionkit.backbones.spec import BackboneConfig
from motionkit.errors import UserError
from motionkit.settings import named_files
from motionkit.settings.schema import schema
from motionkit.settings.setting import declared


@pytest.mark.parametrize("name", [*registry.names(), "backbone"])
def test_every_setting_whose_help_speaks_of_files_is_declared_to_name_them(name):
    config = BackboneConfig if name == "backbone" else registry.load_object(registry.spec(name).config)
    for key, known in declared(config).items():
        if re.search(r"\b(file|folder|hub id|npz|as a picture)\b", known.help, re.I) and not known.choices:
            assert known.file or key == "online", key


def test_places_and_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pocket").mkdir()
    for word in ("auto", "owner/name", "owner/na.me-v1", "", "None"):
        assert not named_files.is_place(word), word
    for place in (
        "/",
        "/etc",
        "~/x",
        "~root",
        "./a",
        "../a",
        "a/../b",
        "a/b/c",
        "a\\b",
        ".ssh",
        "a\0b",
        "x" * 5000 + "/",
        "pocket",
    ):
        assert named_files.is_place(place), place


def test_only_declared_settings_are_asked_about():
    config, asked = registry.load_object(registry.spec("vidmp3").config), []

    def allow(place, kind):
        asked.append((place, kind))
        return kind == "read"

    named_files.check(config, {"masks": {"path": "/a/b"}, "subject": "/c", "depth.path": None}, allow, "how")
    assert asked == [("/a/b", "read")]
    with pytest.raises(UserError, match=r"save_pack=/d.*how"):
        named_files.check(config, {"save_pack": "/d"}, allow, "how")
    assert schema(config)["properties"]["save_pack"]["x-file"] == "write"


@pytest.mark.parametrize("name", ["packs", "packs/mine"])
def test_what_is_written_is_a_place_also_where_it_is_spelt_like_a_word(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    config = registry.load_object(registry.spec("vidmp3").config)
    with pytest.raises(UserError, match="save_pack"):
        named_files.check(config, {"save_pack": name}, lambda place, kind: kind == "read", "how")
    named_files.check(config, {"save_pack": None}, lambda place, kind: False, "how")
