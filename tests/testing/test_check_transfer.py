"""The conformance suite passes good methods, and catches each broken one by exactly the rule that it breaks."""

from dataclasses import replace
from pathlib import Path

import broken_methods
import pytest
from broken_methods import BROKEN, GOOD, Good, GoodOnTiny, WritesElsewhere

from motionkit import media
from motionkit.testing import Subject, check_transfer, checks, other_inputs, sample_inputs
from motionkit.testing.report import RULES

CASES = [(rule, cls) for rule, classes in BROKEN.items() for cls in classes]
# Broken below: in the toolkit itself, and with examples of maps; the last one is the rule of negative_prompt again.
ELSEWHERE = {
    "shape_follows_the_input",
    "maps_count_as_declared",
    "source_prompt_counts_as_declared",
    "other_backbones_are_refused",
}


@pytest.mark.parametrize("method", [Good, GOOD, GoodOnTiny], ids=["class", "spec", "backbone"])
def test_a_good_method_breaks_nothing(method, tmp_path):
    report = check_transfer(method, folder=tmp_path, size=32, frames=3).raise_if_failed()
    judged = {check.name for check in report.checks if check.passed}
    assert {"same_seed_same_bits", "cache_gives_the_same_bits", "cancel_stops_it", "stages_are_valid"} <= judged


@pytest.mark.parametrize(("rule", "cls"), CASES, ids=[f"{rule}-{cls.__name__}" for rule, cls in CASES])
def test_a_broken_method_is_caught_by_its_rule_alone(rule, cls, tmp_path):
    try:
        report = check_transfer(cls, folder=tmp_path, size=32, frames=3)
    finally:
        WritesElsewhere.left.unlink(missing_ok=True)
    assert report.failed == (rule,), str(report)
    with pytest.raises(AssertionError, match=rule):
        report.raise_if_failed()


def test_every_rule_has_a_method_that_breaks_it():
    assert set(RULES) - set(BROKEN) == ELSEWHERE


def test_a_lost_aspect_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "unletterbox", lambda frames, box: frames)
    assert check_transfer(Good, folder=tmp_path, size=32, frames=3).failed == ("shape_follows_the_input",)


@pytest.mark.parametrize("kept", ["sdxl", pytest.param("animatex", marks=pytest.mark.slow)])
def test_a_backbone_that_is_not_refused_is_caught(kept, tmp_path, monkeypatch):
    from motionkit.running import choices as run

    choose = run.choose_backbone
    monkeypatch.setattr(run, "choose_backbone", lambda spec, name: name if name == kept else choose(spec, name))
    report = check_transfer(GoodOnTiny, folder=tmp_path, size=64, frames=3)
    assert report.failed == ("other_backbones_are_refused",)


def test_one_test_for_each_rule(tmp_path):
    subject = Subject(broken_methods.IgnoresTheSeed, folder=tmp_path, size=32, frames=3)
    caught = []
    for check in checks():
        try:
            check(subject)
        except AssertionError:
            caught.append(str(check))
        except pytest.skip.Exception:
            pytest.fail("a rule must not depend on pytest")
        except Exception as skipped:
            assert "NotApplicable" in type(skipped).__name__
    assert caught == ["seed_counts_as_declared"]


class ReadsDepthSilently(Good):
    def generate(self, inputs, prepared, fitted):
        near = inputs.depth and Path(inputs.depth).read_text() == "one"
        return super().generate(inputs, prepared, fitted) * (0.5 if near else 1)


@pytest.mark.parametrize(("cls", "failed"), [(Good, ()), (ReadsDepthSilently, ("maps_count_as_declared",))])
def test_maps_are_judged_when_examples_are_given(cls, failed, tmp_path, monkeypatch):
    monkeypatch.setattr(broken_methods, "Good", cls)
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    inputs = replace(sample_inputs(3, 32), depth=str(tmp_path / "one"))
    others = replace(other_inputs(3, 32), depth=str(tmp_path / "two"))
    report = check_transfer(cls, folder=tmp_path / "runs", size=32, frames=3, inputs=inputs, others=others)
    assert report.failed == failed, str(report)
    assert {check.name: check.passed for check in report.checks}["maps_count_as_declared"] is not None


@pytest.mark.parametrize(("words", "code", "says"), [(["still"], 0, "ok   run_ends_well"), (["stil"], 2, "'still'")])
def test_the_command_prints_every_verdict(words, code, says, capsys):
    from motionkit.testing.__main__ import main

    assert main(words) == code
    printed = capsys.readouterr()
    assert says in printed.out + printed.err
