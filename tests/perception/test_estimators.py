"""Estimators as declared parts: every built-in is whole, words come from the registry, results are checked."""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from motionkit import registry
from motionkit.errors import UserError
from motionkit.perception import masks
from motionkit.perception.depth import DepthSettings, estimate_depth
from motionkit.perception.estimators import KINDS, Asked, Estimator, EstimatorSpec, View, Words
from motionkit.perception.flow import FlowSettings, dense_flow, estimate_flow
from motionkit.perception.masks import MaskSettings, segment
from motionkit.perception.pose import PoseSettings, read_poses
from motionkit.perception.pose.estimate import weight_files

ROOM = Path(masks.__file__).parent
FRAMES = np.zeros((2, 16, 20, 3), np.uint8)


@dataclass
class FineDepth(DepthSettings):
    detail: int = 7


class Right(Estimator):
    def read(self, view, settings):
        return np.full(view.frames.shape[:3], settings.detail, np.float32)


class Wrong(Estimator):
    def weights(self, settings):
        return {"file": Path(__file__)}

    def read(self, view, settings):
        return np.zeros((1, 2))


@pytest.fixture
def guests(monkeypatch):
    """Registered estimators of a package that is not there on disk."""
    here = __name__
    monkeypatch.setitem(sys.modules, "guest_estimators", sys.modules[here])
    specs = [
        EstimatorSpec("depth.fine", "", "guest_estimators:Right", "MIT", "", settings="guest_estimators:FineDepth"),
        *(EstimatorSpec(f"{k}.wrong", "", "guest_estimators:Wrong", "MIT", "") for k in ("pose", "masks", "depth")),
    ]
    found, broken = registry._scan_once(registry.ESTIMATORS, registry.plugins_disabled())
    more = found | {spec.name: registry.Registered(spec, "guestkit") for spec in specs}
    shaky = registry.Failure("pose.shaky", "guestkit", "RuntimeError: on fire", "Traceback")
    monkeypatch.setattr(registry.Group, "_scan", lambda self: (more, (*broken, shaky)))


@pytest.mark.parametrize("name", registry.ESTIMATORS.names())
def test_every_built_in_is_whole(name):
    found = registry.ESTIMATORS.registered(name)
    assert found.dist == "motionkit" and found.spec.summary and found.spec.licence and found.spec.knows
    assert Estimator in registry.load_object(found.spec.loader).__mro__
    registry.load_object(KINDS[found.spec.kind].settings)()


def test_every_kind_has_a_built_in():
    assert {name.partition(".")[0] for name in registry.ESTIMATORS.names()} == set(KINDS)
    assert not registry.ESTIMATORS.failures()


@pytest.mark.parametrize("name", ["dwpose", "poses.dwpose", "pose", "pose."])
def test_a_name_without_a_kind_or_a_word_is_refused(name):
    with pytest.raises(ValueError, match="KIND.WORD"):
        EstimatorSpec(name, "", "", "", "")


def test_words_are_the_settings_own_and_the_registered_ones(guests):
    words = Words("depth", {"auto": "whatever is there"})
    assert list(words) == ["auto", "depth_anything", "pocket", "fine", "wrong"] and len(words) == 5
    assert words["auto"] == "whatever is there" and "sam2" not in words
    with pytest.raises(UserError, match="unknown depth backend 'fin'.*'fine'"):
        DepthSettings("fin").on()


def test_a_broken_plugin_says_why(guests):
    with pytest.raises(UserError, match="guestkit .*RuntimeError: on fire"):
        weight_files(PoseSettings("shaky"))


def test_an_estimator_gets_the_settings_that_it_declares(guests):
    assert (estimate_depth(FRAMES, DepthSettings("fine")) == 7).all()
    assert (estimate_depth(FRAMES, FineDepth("fine", detail=3)) == 3).all()


def test_results_of_another_shape_are_refused(guests):
    with pytest.raises(UserError, match="wrong gave float64"):
        segment(FRAMES, "cat", MaskSettings("wrong"))
    with pytest.raises(UserError, match="wrong gave float64"):
        estimate_depth(FRAMES, DepthSettings("wrong"))
    with pytest.raises(UserError, match="wrong .*each of 2 frames"):
        read_poses(FRAMES, PoseSettings("wrong"))


def test_a_guests_weights_are_hashed_like_ours(guests):
    facts = MaskSettings("wrong").facts()
    assert facts["backend"] == "wrong" and len(facts["file"]["sha256"]) == 64
    assert MaskSettings("wrong").files() == weight_files(PoseSettings("wrong")) == {"file": Path(__file__)}


def test_flow_is_asked_for_by_its_word():
    frames = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3)).astype(np.uint8)
    grey = [frame @ np.array([0, 1, 0]) for frame in frames]
    for word in ("dis", "farneback"):
        flow = estimate_flow(frames[:1], frames[1:], FlowSettings(word))
        assert flow.shape == (1, 48, 64, 2) and flow.dtype == np.float32
        same = [np.repeat(g[..., None].astype(np.uint8), 3, -1)[None] for g in grey]
        assert (estimate_flow(*same, FlowSettings(word))[0] == dense_flow(*(s[0, ..., 0] for s in same), word)).all()
    with pytest.raises(UserError, match="unknown optical flow 'diss'.*'dis'"):
        Asked("flow", "diss").read(View(frames, frames), None)


def test_rooms_know_no_estimator_of_their_own():
    """A room looks estimators up: it imports none, so that a built-in has no way in that a guest lacks."""
    modules = {spec.loader.partition(":")[0] for spec in map(registry.ESTIMATORS.get, registry.ESTIMATORS.names())}
    for room in ("masks", "depth", "correspondence", "sketch", "pose/estimate"):
        tree = ast.parse((ROOM / f"{room}.py").read_text())
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        taken = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
        assert not modules & (taken | {node.module for node in nodes}), room
