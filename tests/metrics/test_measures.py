"""The table of measures: complete, honest about what made each figure, and in the order of a comparison's columns."""

import pytest

from motionkit import metrics, registry
from motionkit.metrics.measure import KNOWN
from motionkit.metrics.needs import NEEDS
from motionkit.metrics.sets import SETS

JUDGES = {"pose": "sprite pose judge", "clipscorer": "sprite clip judge", "scorer": "sprite frame classifier"}
NO_NETWORK = ("pixels", "DIS optical flow")
EVERY = {name: registry.METRICS.get(name) for name in registry.METRICS.names()} | SETS


@pytest.mark.parametrize("name", EVERY)
def test_each_fact_is_complete_and_names_what_made_the_figure(name):
    spec = EVERY[name]
    fact = spec.fact
    assert fact.name == name and fact.title and fact.span and fact.meaning.endswith(".")
    assert fact.better in ("higher", "lower", "one", "none")
    assert fact.needs in ("nothing", "truth", "driving", "reference", "prompt", "source_prompt", *KNOWN)
    by = [*(JUDGES[judge] for judge in spec.judges), *(NEEDS[need].title for need in spec.needs)]
    assert fact.by in by[:1] if by else fact.by in NO_NETWORK
    assert len(by) < 2 and f"Made by: {fact.by}." in fact.legend


def test_the_columns_of_a_comparison_are_in_their_order():
    assert list(metrics.facts()) == [
        *("psnr", "subject_psnr", "ssim", "l1", "motion_ratio_truth", "histogram_distance", "keypoint_error", "pck"),
        *("warping_error", "motion_ratio", "motion_amount", "reference_consistency", "clip_consistency"),
        *("first_frame", "motion_agreement", "kind_agreement"),
    ]


def test_a_measure_that_needs_driving_is_asked_only_without_truth():
    request = metrics.Request("video", driving="driving")
    assert request.has("driving") and not request.has("truth") and request.has("nothing")
    both = metrics.Request("video", driving="driving", truth="truth")
    assert both.has("truth") and not both.has("driving") and both.driven == "driving"


def test_what_is_not_finite_is_no_figure():
    fact = metrics.Fact("x", "X", "", "0 to 1", "none", "nothing", "Nothing.", "a test")
    for given, wanted in ((float("nan"), None), (float("inf"), None), (None, None), (2, 2.0)):
        assert metrics.Measure(fact, lambda r, given=given: given).of(metrics.Request("video")) == wanted
