"""Every setting says what it does; a value stands in one place; presets fill in whatever was left to them."""

import re
import types
import typing
from dataclasses import dataclass, field

import pytest

import motionkit
from motionkit.backbones.catalog import BackboneConfig
from motionkit.cli.bench import BenchConfig
from motionkit.cli.compare import CompareConfig
from motionkit.cli.schemas import TrainConfig, TransferConfig
from motionkit.errors import UserError
from motionkit.perception.sketch import SketchSettings
from motionkit.registry import load_object, spec
from motionkit.running.choices import method_settings
from motionkit.settings.config import typed
from motionkit.settings.gpu import GpuConfig
from motionkit.settings.presets import PresetSettings, resolved, settings
from motionkit.settings.schema import facts
from motionkit.settings.setting import UNSET, check, declared, nullable, plain, setting, walk
from motionkit.table.bench.runners import Cluster
from motionkit.training.job import DataConfig

OWN = [name for name in motionkit.method_names() if spec(name).transfer.startswith("motionkit.")]
METHODS = {name: load_object(spec(name).config) for name in OWN}
PRESET = {name: schema for name, schema in METHODS.items() if issubclass(schema, PresetSettings)}
TRAINERS = {name: load_object(spec(name).train_config) for name in OWN if spec(name).train_config}
GROUPS = (GpuConfig, BackboneConfig, DataConfig, Cluster, SketchSettings)
VERBS = (TransferConfig, TrainConfig, CompareConfig, BenchConfig)
EVERY = [*METHODS.values(), *TRAINERS.values(), *GROUPS]


def label(schema):
    return f"{schema.__module__.rpartition('motionkit.')[2]}.{schema.__name__}"


@pytest.mark.parametrize("schema", [*EVERY, *VERBS], ids=label)
def test_every_setting_has_a_sentence_of_help(schema):
    known = declared(schema)
    names = [name for name, _, _ in walk(schema)]
    assert names and [name for name in names if name not in known] == []
    for name, told in known.items():
        assert re.fullmatch(r"[A-Z0-9].{8,}\.", told.help), f"{name}: {told.help}"
        assert all(what == "" or what.strip() == what for what in told.choices.values()), name


@pytest.mark.parametrize("schema", EVERY, ids=label)
def test_a_null_that_has_a_meaning_says_which(schema):
    for name, item, owner in walk(schema):
        hint = typing.get_type_hints(owner)[item.name]
        optional = isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)
        optional = optional or (hint is typing.Any and item.default is None)
        assert optional == (item.default is None), name
        assert not optional or "null" in declared(schema)[name].help, name


@pytest.mark.parametrize("name", PRESET)
def test_a_value_stands_in_a_preset_or_in_the_declaration(name):
    schema = PRESET[name]
    fields = {key: item for key, item, _ in walk(schema)}
    left = {key for key, item in fields.items() if item.default == UNSET}
    assert left and all(values.keys() == left for values in schema.presets.values())
    assert all(values.keys() <= left for values in schema.tuned.values())
    assert set(schema.tuned) <= set(spec(name).backbones)
    assert set(declared(schema)["preset"].choices) == set(schema.presets)
    assert not schema.choices and not schema.ranges


@pytest.mark.parametrize("name", PRESET)
def test_every_preset_fills_in_everything_on_every_backbone(name):
    schema = PRESET[name]
    for preset in schema.presets:
        for backbone in (None, *spec(name).backbones):
            for fact in facts(schema, backbone, preset):
                assert fact.value is not None or "null" in fact.known.help, (preset, backbone, fact.name)
    for backbone, values in schema.tuned.items():
        assert {fact.name: fact.value for fact in facts(schema, backbone, "best") if fact.name in values} == values


@pytest.mark.parametrize("name", PRESET)
def test_null_is_the_presets_value(name):
    schema = PRESET[name]
    for key, item, _ in walk(schema):
        group, _, last = key.rpartition(".")
        given = {group: {last: None}} if group else {last: None}
        if item.default == UNSET:
            assert plain(method_settings(spec(name), given)) == plain(schema())


def test_trainers_take_what_is_left_open_from_the_backbones_recipe():
    for schema in TRAINERS.values():
        left = {key for key, item, _ in walk(schema) if item.default == UNSET}
        recipe = vars(getattr(schema(), "recipe", None) or types.SimpleNamespace())
        assert left <= recipe.keys()
        assert plain(typed(schema, dict.fromkeys(left), "train.")) == plain(schema())
        for key in left:
            assert getattr(schema(**{key: recipe[key]}).recipe, key) == recipe[key]


@dataclass
class Inner:
    width: int = setting("How wide it is.", low=1, high=9)


@dataclass
class Mine(PresetSettings):
    name: str = setting("The method's name.", "mine")
    preset: str = setting("Which table fills in what is not given.", "one", choices=("one", "two"))
    words: list[str] = setting("What is taken.", factory=list, choices=("a", "b"))
    rate: float = setting("How fast it goes.", 1.0, low=0)
    inner: Inner = field(default_factory=Inner)
    presets = {"one": {"inner.width": 1}, "two": {"inner.width": 2}}


def test_values_are_checked_where_they_are_declared():
    assert settings(Mine(preset="two"))["inner.width"] == 2 and Mine(words=["b"]).words == ["b"]
    wrong = {"words": ["a", "c"]}, {"rate": -1.0}, {"inner": Inner(10)}, {"preset": "three"}, {"rate": float("nan")}
    for given, key in zip(wrong, ("words=c", "rate=-1", "inner.width=10", "preset=three", "rate=nan"), strict=True):
        with pytest.raises(UserError, match=f"^method.{key} is "):
            Mine(**given)
    with pytest.raises(UserError, match="^train.width=0 .*1 to 9$"):
        check(Inner(0), "train.")


def test_what_is_still_to_come_is_null_on_the_command_line():
    assert nullable(Mine) is not Mine and nullable(Mine)().inner.width is None
    assert nullable(Mine)().rate == 1.0 and nullable(Mine)().words == []
    assert typed(Mine, {"inner": {"width": None}}).inner.width == 1
    with pytest.raises(UserError, match="rate"):
        typed(Mine, {"rate": None})


@pytest.mark.parametrize("text", ["a ${b} c", r"\${x}", r"\\${x}", "${oc.env:HOME}"])
def test_a_text_stays_as_it_was_written(text):
    assert typed(Mine, {"name": text}).name == text


@dataclass
class Old(PresetSettings):
    """A plugin of version 0.1: plain fields, tables of words and limits beside them."""

    preset: str = "one"
    word: str | None = None
    number: float | None = None
    presets = {"one": {"word": "a", "number": 2.0}}
    choices = {"word": ("a", "b")}
    ranges = {"number": (0, 5)}


def test_a_plugin_with_plain_fields_works_as_before():
    found = {fact.name: fact for fact in facts(Old)}
    assert (found["word"].value, tuple(found["word"].known.choices)) == ("a", ("a", "b"))
    assert found["number"].known.span == "0 to 5" and tuple(found["preset"].known.choices) == ("one",)
    assert nullable(Old) is Old and typed(Old, {"word": "b", "number": None}).number == 2.0
    for given in ({"word": "c"}, {"number": 6}):
        with pytest.raises(UserError, match=f"method.{next(iter(given))}="):
            typed(Old, given)


def test_a_configuration_without_presets_is_used_as_it_is():
    gpu = GpuConfig()
    assert resolved(gpu, "pocket-sd") is gpu and plain(gpu)["dtype"] is None


def test_a_later_setting_leaves_what_kept_runs_are_known_by_alone():
    @dataclass
    class Inner:
        old: int = setting("Old.", 1)
        new: list[float] = setting("New.", factory=lambda: [0.0, 1.0], later=True)

    @dataclass
    class Outer:
        inner: Inner = field(default_factory=Inner)
        fresh: bool = setting("Fresh.", False, later=True)

    assert plain(Outer()) == {"inner": {"old": 1}}
    assert plain(Outer(Inner(new=[0.0, 0.5]), True)) == {"inner": {"old": 1, "new": [0.0, 0.5]}, "fresh": True}
