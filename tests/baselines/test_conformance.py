"""The floors meet every rule of the conformance suite, one test for each rule."""

import pytest

from motionkit import registry
from motionkit.testing import Subject, checks


@pytest.fixture(scope="module", params=["still", "warp"])
def subject(request, tmp_path_factory):
    return Subject(registry.spec(request.param), folder=tmp_path_factory.mktemp("check"), size=32, frames=3)


@pytest.mark.parametrize("check", checks(), ids=str)
def test_conformance(check, subject):
    check(subject)
