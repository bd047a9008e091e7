"""Which backbone a method gets, and why not another."""

from dataclasses import replace

import pytest

from motionkit.errors import UserError
from motionkit.running.lazy_backbone import LazyBackbone, choose_backbone, idle_backbone


@pytest.fixture
def spec(blend):
    return replace(
        blend.SPEC,
        backbones=("tiny-sd", "pocket-sd", "sd15"),
        default_backbone="pocket-sd",
        no_backbones={"sdxl": "two text encoders"},
    )


@pytest.mark.parametrize(
    ("asked", "gets"),
    [(None, "pocket-sd"), ("auto", "pocket-sd"), ("pocket", "pocket-sd"), ("tiny", "tiny-sd"), ("sd15", "sd15")],
)
def test_names_and_their_short_forms(spec, asked, gets):
    assert choose_backbone(spec, asked) == gets


def test_a_method_without_backbones_gets_none(blend):
    assert choose_backbone(blend.SPEC, "sd15") is None
    assert "backbone=sd15" in idle_backbone(blend.SPEC, "sd15")
    assert not idle_backbone(blend.SPEC, "auto") and not idle_backbone(blend.SPEC, None)
    with pytest.raises(UserError, match="sd15"):
        choose_backbone(blend.SPEC, "sd155")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("sdxl", "blend does not run on sdxl: two text encoders; it runs on tiny-sd, pocket-sd, sd15"),
        ("sd14", "blend does not run on sd14; it runs on"),
        ("sd155", "unknown backbone 'sd155' .did you mean 'sd15'"),
    ],
)
def test_a_refusal_says_why(spec, asked, says):
    with pytest.raises(UserError, match=says):
        choose_backbone(spec, asked)


def test_the_handle_loads_on_first_use_only():
    from motionkit.settings.gpu import Plan

    handle = LazyBackbone("tiny-sd", Plan())
    before = handle.fingerprint()
    assert handle.spec.default_size == 64 and not handle.loaded
    assert handle.prediction_type in ("epsilon", "v_prediction") and handle.loaded
    assert handle.fingerprint() == before
