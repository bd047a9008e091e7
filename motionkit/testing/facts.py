"""Rules on what a method declares: checked without running it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import asdict, fields, is_dataclass

from motionkit.backbones import BackboneSpec, catalog
from motionkit.errors import UserError
from motionkit.registry import load_object
from motionkit.running.cache import pick_settings
from motionkit.running.choices import method_settings
from motionkit.settings.conf_folders import CONFIG, said_of
from motionkit.testing.report import expect, listed, rule
from motionkit.testing.subject import Subject
from motionkit.transfer import STATUSES, Inputs, Transfer

_FACTS = tuple(field.name for field in fields(BackboneSpec))


@rule()
def facts_are_stated(subject: Subject) -> None:
    """Name, title, one-line summary, licence, status, year and version say something; the paper is a web address."""
    spec = subject.spec
    expect(re.fullmatch(r"[a-z][a-z0-9_-]*", spec.name), f"name {spec.name!r}: lower case letters, digits, - and _")
    for name in ("title", "summary", "licence", "version"):
        value = getattr(spec, name)
        expect(value.strip() and "\n" not in value, f"{name} must be one line of text, is {value!r}")
    expect(not spec.paper_url or re.fullmatch(r"https?://\S+", spec.paper_url), f"paper_url {spec.paper_url!r}")
    expect(spec.status in STATUSES, f"status {spec.status!r} is none of {listed(STATUSES)}")
    expect(1900 < spec.year < 2200, f"year {spec.year}")


@rule()
def citation_is_bibtex(subject: Subject) -> None:
    """The citation is one BibTeX entry with author, title and year."""
    found = parse_bibtex(subject.spec.citation)
    missing = [name for name in ("author", "title", "year") if not found.get(name)]
    expect(not missing, f"the citation lacks {listed(missing)}")


@rule()
def inputs_exist(subject: Subject) -> None:
    """Required and used inputs are fields of `Inputs`, each named once; something is required."""
    known = [field.name for field in fields(Inputs)]
    strange = [name for name in subject.declared if name not in known]
    expect(not strange, f"no such input: {listed(strange)}; there are {listed(known)}")
    expect(len(set(subject.declared)) == len(subject.declared), f"an input is named twice: {listed(subject.declared)}")
    expect(subject.spec.requires, "a method that requires no input transfers nothing")


@rule()
def facts_need_no_torch(subject: Subject) -> None:
    """The configurations, and the packages that they lie in, import neither torch nor diffusers."""
    paths = filter(None, (subject.spec.config, subject.spec.train_config))
    modules = ", ".join(dict.fromkeys(path.partition(":")[0] for path in paths))
    code = f"import sys, {modules}; print(*[m for m in ('torch', 'diffusers') if m in sys.modules])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    expect(run.returncode == 0, f"import {modules}: {(run.stderr.splitlines() or ['failed'])[-1]}")
    expect(not run.stdout.strip(), f"importing {modules} imports {run.stdout.strip()}")


@rule()
def settings_have_defaults(subject: Subject) -> None:
    """The configuration is a dataclass that needs no argument and refuses a setting that it does not have."""
    schema = load_object(subject.spec.config)
    expect(is_dataclass(schema), f"{subject.spec.config} is not a dataclass")
    expect(asdict(schema()) == asdict(schema()), "two default configurations differ")
    method_settings(subject.spec, subject.settings)
    try:
        method_settings(subject.spec, {"no_such_setting": 1})
    except UserError:
        return
    expect(False, "an unknown setting is accepted")


@rule("settings_have_defaults")
def yaml_says_the_same(subject: Subject) -> None:
    """conf/method/NAME.yaml, if there is one, gives the values of the class, which Python, compare and bench use."""
    spec = subject.spec
    said = {key: value for key, value in said_of(spec.conf or CONFIG, "method", spec.name).items() if key != "name"}
    try:
        given, usual = (asdict(method_settings(spec, values)) for values in (said, {}))
    except UserError as error:
        expect(False, f"conf/method/{spec.name}.yaml: {error}")
    other = [key for key in usual if given[key] != usual[key]]
    expect(not other, f"conf/method/{spec.name}.yaml has another value than the class for {listed(other)}")


@rule("settings_have_defaults", "inputs_exist")
def stages_are_valid(subject: Subject) -> None:
    """Each stage is prepare or fit, once, and reads declared inputs and settings that exist."""
    names = [stage.name for stage in subject.spec.stages]
    expect(set(names) <= {"prepare", "fit"} and len(set(names)) == len(names), f"stages: {listed(names)}")
    settings = method_settings(subject.spec)
    for stage in subject.spec.stages:
        strange = [name for name in stage.inputs if name not in subject.declared]
        expect(not strange, f"stage {stage.name} reads {listed(strange)}, which the method does not declare")
        try:
            pick_settings(settings, stage.settings)
        except ValueError as error:
            expect(False, str(error))


@rule()
def backbones_exist(subject: Subject) -> None:
    """Backbones and families are in the catalogue, the default is one of them, none is also refused with a reason."""
    spec, families = subject.spec, catalog.families()
    unknown = [name for name in (*spec.backbones, *spec.no_backbones) if name not in catalog.specs()]
    expect(not unknown, f"no such backbone: {listed(unknown)}")
    expect(not set(spec.backbones) & set(spec.no_backbones), "a backbone is both supported and refused")
    strange = [family for family in spec.refuses if family not in families]
    expect(not strange, f"no such family of backbones: {listed(strange)}; there are {listed(families)}")
    both = [name for family in spec.refuses for name in families[family] if name in spec.backbones]
    expect(not both, f"their family is refused: {listed(both)}")
    expect(spec.backbones or not (spec.refuses or spec.no_backbones), "it refuses backbones and needs none")
    strange = [need.fact for need in spec.suits if not hasattr(BackboneSpec, need.fact) and need.fact not in _FACTS]
    expect(not strange, f"no such fact of a backbone: {listed(strange)}; there are {listed(_FACTS)}")
    expect(spec.backbones or not spec.suits, "it says what suits it and names no backbone to start with")
    reasons = [*spec.refuses.values(), *spec.no_backbones.values(), *(need.why for need in spec.suits)]
    expect(all(r.strip() and "\n" not in r for r in reasons), "a refused backbone needs a reason of one line")
    expect(spec.default_backbone in (spec.backbones or (None,)), f"default_backbone {spec.default_backbone!r}")


@rule()
def class_fits(subject: Subject) -> None:
    """The class can be imported, is a complete `Transfer`, and carries these facts."""
    found = subject.transfer
    expect(isinstance(found, type) and issubclass(found, Transfer), f"{subject.spec.transfer} is not a Transfer")
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    expect(not missing, f"{found.__name__} lacks {listed(missing)}")
    expect(getattr(found, "spec", None) is subject.spec, f"{found.__name__}.spec is not the declared MethodSpec")


@rule()
def trainer_exists(subject: Subject) -> None:
    """The trainer, if one is declared, can be imported, and its settings have defaults."""
    spec = subject.spec
    expect(spec.trainer or not spec.train_config, "train_config without a trainer")
    if spec.trainer:
        expect(callable(load_object(spec.trainer)), f"{spec.trainer} is not a function")
    if spec.train_config:
        schema = load_object(spec.train_config)
        expect(isinstance(schema, type) and is_dataclass(schema), f"{spec.train_config} is not a dataclass")
        schema()


def parse_bibtex(text: str) -> dict[str, str]:
    """The fields of one BibTeX entry, with "type" and "key"; {} when it is none or its braces do not match.

    >>> parse_bibtex("@misc{a2020, title = {A {B} c}, year = 2020}")
    {'type': 'misc', 'key': 'a2020', 'title': 'A {B} c', 'year': '2020'}
    """
    entry = re.fullmatch(r"\s*@(\w+)\s*\{\s*([^\s,{}]+)\s*,(.*)\}\s*", text, re.DOTALL)
    if not entry:
        return {}
    found, rest = {"type": entry[1].lower(), "key": entry[2]}, entry[3]
    while part := re.match(r"\s*(\w+)\s*=\s*", rest):
        value, rest = _value(rest[part.end() :])
        if value is None:
            return {}
        found[part[1].lower()] = " ".join(value.split())
    return found if not rest.strip(" \t\r\n,") else {}


def _value(text: str) -> tuple[str | None, str]:
    """One field's value and what follows its comma: {...} with matching braces, "...", or a bare word."""
    if not text.startswith("{"):
        plain = re.match(r'"([^"]*)"\s*,?|([^\s,{}"]+)\s*,?', text)
        return (plain[1] if plain[1] is not None else plain[2], text[plain.end() :]) if plain else (None, text)
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return text[1:i], re.sub(r"^\s*,?", "", text[i + 1 :])
    return None, text
