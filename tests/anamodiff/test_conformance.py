"""AnaMoDiff meets every rule of the conformance suite, one test for each rule."""

import pytest

from motionkit import registry
from motionkit.testing import Subject, checks

SETTINGS = {"lora": {"steps": 2, "rank": 2, "clip_frames": 2}, "sample": {"steps": 2, "start_t": 600, "guidance": 2.0}}


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return Subject(registry.spec("anamodiff"), settings=SETTINGS, folder=tmp_path_factory.mktemp("check"), frames=3)


@pytest.mark.parametrize("check", checks(), ids=str)
def test_conformance(check, subject):
    check(subject)
