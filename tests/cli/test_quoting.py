"""Text from the shell arrives in the configuration as it was typed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motionkit.cli.quoting import as_text, quote, split
from motionkit.errors import UserError

AWKWARD = st.one_of(st.text(), st.text(alphabet="\\'\"${}[](),=: \tab\n~!%^*#"))


def parsed(override):
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    found = OverridesParser.create().parse_override(override)
    assert not found.is_sweep_override()
    return OmegaConf.to_container(OmegaConf.create({"value": found.value()}), resolve=True)["value"]


@settings(max_examples=300, deadline=None)
@given(AWKWARD)
def test_any_text_comes_back(text):
    assert parsed(f"prompt={as_text(text)}") == text


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("prompt=a green, happy turtle", "a green, happy turtle"),
        ("prompt=it's [really] (quite) {odd}", "it's [really] (quite) {odd}"),
        ("prompt=12", "12"),
        ("prompt=true", "true"),
        ("prompt=", ""),
        ("prompt=costs ${price}", "costs ${price}"),
        ("prompt='quoted for Hydra, already'", "quoted for Hydra, already"),
        ("reference=a=b, c.png", "a=b, c.png"),
        ("reference=été/日本 (1).png", "été/日本 (1).png"),
        ("+backbone.path=my models/sd", "my models/sd"),
        ("reference=null", None),
    ],
)
def test_free_text_keys_need_no_quoting(typed, value):
    assert parsed(quote(typed)) == value


def test_other_keys_and_sweeps_are_left_to_hydra():
    assert quote("seed=1,2") == "seed=1,2"
    assert quote("method.lora.steps=[1,2]") == "method.lora.steps=[1,2]"
    assert quote("~method") == "~method"
    assert quote("prompt=a, b", multirun=True) == "prompt='a, b'"
    assert quote("reference=choice(a.png,b.png)", multirun=True) == "reference=choice(a.png,b.png)"
    assert quote("reference=choice(a.png,b.png)") == "reference='choice(a.png,b.png)'"
    assert quote("""prompt='one','two'""", multirun=True) == "prompt='one','two'"


def test_flags_are_set_apart():
    assert split(["seed=1", "--resolve", "--cfg", "job", "a=b"]) == (["--resolve", "--cfg", "job"], ["seed=1", "a=b"])
    assert split(["--cfg=job"]) == (["--cfg", "job"], [])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cgf", "job"], "unknown option '--cgf' .did you mean '--cfg'"),
        (["--cfg"], "--cfg needs a value"),
        (["turtle.png"], "'turtle.png' is not key=value"),
    ],
)
def test_words_that_are_neither_are_refused(words, says):
    with pytest.raises(UserError, match=says):
        split(words)
