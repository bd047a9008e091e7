"""Results stay as they are, to the last bit, however the inside of the toolkit is rebuilt.

Cases reach the toolkit as a user does (`motionkit.load`, the command line), so that modules may move. On a machine
where nothing was recorded, results must lie near those that were; `python -m tests.identity.record` records, after a
change that is meant to move bits.
"""

import numpy as np
import pytest

from tests.identity import expectations
from tests.identity.cases import CASES
from tests.identity.process import Process
from tests.identity.runs import Outcome


@pytest.fixture(scope="module")
def process():
    with Process() as running:
        yield running


@pytest.fixture(scope="module")
def known():
    return expectations.recorded()


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name, marks=[pytest.mark.slow] * c.slow) for c in CASES])
def test_results_are_those_that_were_recorded(case, process, known):
    made = process.run(case.name)
    here = known.get(expectations.key(process.facts))
    if here is not None:
        assert expectations.differences(made, here[case.name]) == []
        return
    figures = next(iter(known.values()))[case.name]["figures"]
    assert expectations.distances(made, figures, expectations.references().get(case.name)) == []


def test_every_case_was_recorded_and_nothing_else(known):
    names = {case.name for case in CASES}
    assert len(names) == len(CASES) and known and all(cases.keys() == names for cases in known.values())
    assert expectations.references().keys() == {case.name for case in CASES if case.kind == "transfer"}


def test_every_tiny_and_pocket_cell_has_a_case():
    """A backbone or method that is added must be added here too."""
    import motionkit

    asked = {(case.method, case.backbone) for case in CASES if case.kind == "transfer"}
    for name in motionkit.method_names():
        spec = motionkit.load(name).spec
        if not spec.transfer.startswith("motionkit."):
            continue  # of a package that happens to be installed here
        tiny = {b for b in spec.backbones if b.startswith("tiny-")} or {None}
        assert {(name, backbone) for backbone in tiny} <= asked
        assert not spec.default_backbone or (name, spec.default_backbone) in asked


def test_a_difference_is_seen():
    was = Outcome({"frames": "a"}, {"psnr": 20.0}, np.zeros((1, 2, 2, 3), np.float32))
    wanted, reference = {"hashes": was.hashes, "figures": was.figures}, was.small.astype(np.uint8)
    assert expectations.differences(was, wanted) == expectations.distances(was, was.figures, reference) == []
    for now in (Outcome({"frames": "b"}, was.figures), Outcome(was.hashes, {"psnr": 20.0 + 1e-12}), Outcome()):
        assert expectations.differences(now, wanted)
    for now in (Outcome({}, {"psnr": 20.3}, was.small), Outcome({}, was.figures, was.small + 1.1), Outcome()):
        assert expectations.distances(now, was.figures, reference)
