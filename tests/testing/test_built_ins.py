"""Every method that motionkit brings meets every rule, on tiny random weights where it needs a backbone."""

import pytest

from motionkit import registry
from motionkit.testing import check_transfer

# Settings that make a method quick; what they leave out is not what the rules judge.
QUICK = {  # guidance, so that the negative prompt counts
    "animatex": {"nobody": "blank", "sample": {"steps": 3}},  # the pocket pose estimator finds nobody in shapes
    "anamodiff": {
        "weights": "random",
        "lora": {"steps": 2, "clip_frames": 2},
        "sample": {"steps": 3, "start_t": 600, "guidance": 2.0},
    },
    "flipsketch": {"sample": {"steps": 3}, "align": {"updates": 1}, "invert": {"copies": 2}, "binarise": "none"},
    "vidmp3": {
        "steps": 2,
        "tune": {"steps": 2},
        "maps": {"long_side": 16},
        "sample": {"guidance": 2.0, "negative": "red"},
    },
}
BUILT_IN = [name for name in registry.names() if registry.registered(name).dist == registry.OWN]


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_conforms(name, tmp_path):
    size = None if registry.spec(name).backbones else 32
    report = check_transfer(registry.spec(name), settings=QUICK.get(name), folder=tmp_path, frames=3, size=size)
    report.raise_if_failed()
    judged = {check.name for check in report.checks if check.passed}
    assert {"run_ends_well", "same_seed_same_bits", "cancel_stops_it"} <= judged
