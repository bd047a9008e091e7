"""The registry: entry points, failures kept apart, the switch that turns plugins off."""

import sys

import pytest

from motionkit import registry
from motionkit.errors import UserError

GOOD = """
from motionkit.transfer import MethodSpec
SPEC = MethodSpec("guest", "Guest", "A guest.", "", "", "MIT", "guest_plugin:Guest", "guest_plugin:Config")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution on the path: (name, entry points, module text)."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(dist, points, **modules):
        info = tmp_path / f"{dist}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n")
        lines = "\n".join(f"{name} = {value}" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[motionkit.methods]\n{lines}\n")
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
            monkeypatch.delitem(sys.modules, name, raising=False)
        registry.refresh()

    yield put
    registry.refresh()


def test_a_built_in_and_a_guest_are_found_alike(install):
    install("guestkit", {"guest": "guest_plugin:SPEC"}, guest_plugin=GOOD)
    assert {"still", "warp", "anamodiff", "guest"} <= set(registry.names())
    assert registry.spec("guest").title == "Guest"
    assert registry.registered("guest").dist == "guestkit"
    assert registry.dist_of(registry.spec("guest")) == "guestkit 1.2"


@pytest.mark.parametrize(
    ("value", "text", "says"),
    [
        ("absent_plugin:SPEC", "", "No module named 'absent_plugin'"),
        ("bad_plugin:SPEC", "raise RuntimeError('on\\nfire')", "RuntimeError: on"),
        ("bad_plugin:SPEC", "import sys; sys.exit(3)", "SystemExit: 3"),
        ("bad_plugin:SPEC", "def f(:", "SyntaxError"),
        ("bad_plugin:SPEC", "SPEC = 3", "int, not a MethodSpec"),
        ("bad_plugin:NOPE", "SPEC = 3", "NOPE"),
        ("bad_plugin:SPEC", GOOD, "calls itself 'guest'"),
    ],
)
def test_a_broken_plugin_is_reported_and_breaks_nothing(install, value, text, says):
    install("badkit", {"bad": value}, bad_plugin=text)
    assert "still" in registry.names() and "bad" not in registry.names()
    (failure,) = [f for f in registry.failures() if f.name == "bad"]
    point, dist, line, trace = failure
    assert (point, dist) == ("bad", "badkit") and says in line and "\n" not in line and "Traceback" in trace
    with pytest.raises(UserError, match="badkit"):
        registry.spec("bad")


def test_a_plugin_cannot_take_a_name_that_is_ours(install):
    install("aaa-thief", {"still": "thief_plugin:SPEC"}, thief_plugin=GOOD.replace('"guest"', '"still"'))
    assert registry.registered("still").dist == "motionkit"
    assert any("taken by motionkit" in f.error for f in registry.failures())


def test_plugins_can_be_switched_off(install, monkeypatch):
    install("guestkit", {"guest": "guest_plugin:SPEC"}, guest_plugin=GOOD)
    monkeypatch.setenv("MOTIONKIT_DISABLE_PLUGINS", "1")
    assert "guest" not in registry.names() and "still" in registry.names()
    assert not any(f.dist == "guestkit" for f in registry.failures())


def test_any_kind_of_part_is_found_in_the_same_way(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    info = tmp_path / "toolkit-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toolkit\nVersion: 1.2\n")
    lines = ("good = toolkit_parts:GOOD", "wrong = toolkit_parts:WRONG", "shaky = toolkit_shaky:GOOD")
    (info / "entry_points.txt").write_text("\n".join(["[toolkit.things]", *lines]))
    text = "class Thing:\n    def __init__(self, name):\n        self.name = name\nGOOD, WRONG = Thing('good'), 3\n"
    (tmp_path / "toolkit_parts.py").write_text(text)
    things = registry.Group("toolkit.things", "thing", "toolkit_parts:Thing")
    assert things.names() == ["good"] and things.get("good").name == "good"
    assert things.dist_of(things.get("good")) == "toolkit 1.2"
    assert {f.name: f.error.split(":")[0] for f in things.failures()} == {
        "wrong": "TypeError",
        "shaky": "ModuleNotFoundError",
    }
    with pytest.raises(UserError, match="thing 'shaky' of toolkit"):
        things.get("shaky")


def test_an_installation_older_than_its_sources_says_so():
    things = registry.Group("motionkit.nothing", "thing", "motionkit.transfer:MethodSpec")
    for ask in (things.every, lambda: things.get("x")):  # a table of nothing would pass in silence
        with pytest.raises(UserError, match="install it again"):
            ask()


def test_unknown_names_come_with_the_nearest_one():
    with pytest.raises(UserError, match=r"unknown method 'anamodif' \(did you mean 'anamodiff'\?\); known: "):
        registry.spec("anamodif")


def test_a_missing_attribute_is_named():
    with pytest.raises(UserError, match="cannot import motionkit.errors:Nope"):
        registry.load_object("motionkit.errors:Nope")


def test_every_built_in_is_whole():
    assert not [f for f in registry.failures() if f.dist == "motionkit"]
    for name in ("still", "warp", "anamodiff"):
        spec = registry.spec(name)
        assert registry.transfer_class(name).spec is spec
        assert spec.summary and spec.licence and spec.citation
        assert set(spec.backbones).isdisjoint(spec.no_backbones)
