"""The JSON schema of a configuration: it accepts the values that are used, and refuses what the toolkit refuses."""

import json

import pytest

import motionkit
from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.registry import load_object, spec
from motionkit.settings.schema import DIALECT, facts, schema

METHODS = [name for name in motionkit.method_names() if spec(name).transfer.startswith("motionkit.")]
TYPES = {"string": str, "integer": int, "number": int | float, "boolean": bool, "array": list, "object": dict}


def wrong(value, form, name="value"):
    """What of a value does not fit the part of JSON schema that is used here, in lines."""
    kinds = form.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if value is None:
        return [] if not kinds or "null" in kinds else [f"{name} is null"]
    fits = [
        k
        for k in kinds
        if k != "null"
        and isinstance(value, TYPES[k])
        and (k == "boolean") == (value in (True, False) and isinstance(value, bool))
    ]
    if kinds and not fits:
        return [f"{name}={value!r} is no {kinds}"]
    out = [] if "enum" not in form or value in form["enum"] else [f"{name}={value} is none of {form['enum']}"]
    out += [f"{name}={value} is too small"] * ("minimum" in form and value < form["minimum"])
    out += [f"{name}={value} is too large"] * ("maximum" in form and value > form["maximum"])
    if isinstance(value, dict):
        for key, item in value.items():
            known = key in form.get("properties", {}) or form.get("additionalProperties") is not False
            out += wrong(item, form["properties"][key], f"{name}.{key}") if known else [f"{name}.{key} is unknown"]
    for item in value if isinstance(value, list) else ():
        out += wrong(item, form.get("items", {}), f"{name}[]")
    return out


def defaults(form):
    """The value that a schema's defaults make."""
    inner = form.get("properties")
    return form["default"] if inner is None else {key: defaults(item) for key, item in inner.items()}


@pytest.mark.parametrize("name", METHODS)
def test_it_accepts_its_own_defaults_on_every_backbone(name):
    for backbone in (None, *spec(name).backbones):
        form = schema(load_object(spec(name).config), backbone)
        assert form["$schema"] == DIALECT and json.loads(json.dumps(form)) == form
        assert wrong(defaults(form), form) == []


def test_defaults_are_what_is_used_there():
    config = load_object(spec("animatex").config)
    form = schema(config, "pocket-animatex")
    values = {fact.name: fact.value for fact in facts(config, "pocket-animatex")}
    assert defaults(form)["window"]["size"] == values["window.size"] == config.tuned["pocket-animatex"]["window.size"]
    other = defaults(schema(config, "animatex", "paper"))
    assert other["window"]["size"] == config.presets["paper"]["window.size"] and other["preset"] == "paper"


def test_it_knows_words_limits_units_null_and_groups():
    form = schema(load_object(spec("vidmp3").config))["properties"]
    guide, tune = form["guide"]["properties"], form["tune"]["properties"]
    assert guide["strength"]["type"] == ["number", "null"] and guide["strength"]["maximum"] == 10
    assert tune["loss"]["enum"] == ["all", "subject"] and len(tune["loss"]["enumDescriptions"]) == 2
    assert form["subjects"] | {"items": {"type": "string"}} == form["subjects"]
    assert tune["save_every"]["x-unit"] == "steps" and form["guide"]["additionalProperties"] is False
    whole = schema(load_object(spec("vidmp3").config))
    for bad in ({"steps": 0}, {"steps": "many"}, {"tune": {"loss": "some"}}, {"stepz": 1}, {"steps": None}):
        assert len(wrong(bad, whole)) == 1


def test_the_command_prints_it(capsys):
    assert main(["methods", "flipsketch", "backbone=pocket-modelscope", "preset=paper", "json=true"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == schema(load_object(spec("flipsketch").config), "pocket-modelscope", "paper")


def test_the_command_tells_value_words_limits_and_help(capsys):
    assert main(["methods", "flipsketch", "backbone=tiny-modelscope"]) == 0
    plain = capsys.readouterr().out
    assert main(["methods", "flipsketch"]) == 0
    tuned = capsys.readouterr().out
    assert "method.sample.guidance=9\n" in plain and "method.sample.guidance=4\n" in tuned
    assert "method.sketch.thickness=null\n" in plain and "None" not in plain
    for text in ("Width of all strokes", "(0.5 to 64 px)", "norm  the paper's squared norm", "sketch: How the picture"):
        assert text in plain
    assert max(map(len, plain.splitlines())) <= 120


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["flipsketch", "backbones=tiny-sd"], "unknown key 'backbones' .did you mean 'backbone'"),
        (["flipsketch", "backbone=pocket-sd"], "does not run on pocket-sd"),
        (["flipsketch", "preset=fast"], "preset=fast is unknown"),
        (["warp", "preset=best"], "no presets"),
        (["flipsketch", "json=yes"], "true or false"),
        (["flipsketch", "warp", "json=true"], "one method"),
        (["json=true"], "motionkit methods NAME"),
    ],
)
def test_wrong_words_are_refused(words, says):
    from motionkit.cli import methods

    with pytest.raises(UserError, match=says):
        methods.main(words)
