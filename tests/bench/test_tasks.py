"""Cases: the same bytes for ever, held-out characters, and exactly the inputs that the task says."""

import doctest
import hashlib
import json

import numpy as np
import pytest

from motionkit.errors import UserError
from motionkit.metrics import clipscorer
from motionkit.sprites.sampling import split_of
from motionkit.table.bench import generators, tasks

# First 16 digits of SHA-256 over what was drawn when version 1 of each task was published. Whoever changes them raises
# the task's version.
DRAWN = {
    ("drawing", 5, 0, 3): "22b2fbce341047f2",
    ("drawing", 9, 1, 2): "e46f50fc98eef1c2",
    ("edit", 5, 0, 3): "48a5b3020e79d394",
    ("edit", 9, 1, 2): "53e401d3dd4c0a6e",
    ("self", 5, 0, 3): "367c9632b4350875",
    ("self", 9, 1, 2): "06eb783a38f9f012",
    ("cross", 5, 0, 3): "7a5b06cb25db01d5",
    ("cross", 9, 1, 2): "c67ed57f2fe60edc",
    ("transfer", 5, 0, 10): "70d37b44d30c07fd",
    ("transfer", 9, 1, 10): "5a14702e2f2cf129",
}


def drawn(name, index, seed, frames):
    if name == "drawing":
        made = generators.make_sketch(index, seed, frames)
        return made.drawing, made.truth, made.prompt
    if name == "edit":
        made = generators.make_edit(index, seed, frames)
        return made.source.frames, made.target.frames, made.prompt, made.source_prompt, str(made.unseen)
    if name == "transfer":
        made = generators.make_triple(index, seed, frames)
        return made.source.frames, made.driving.frames, made.truth.frames
    made = generators.make_pair(name, index, seed, frames)
    return made.reference, made.driving, made.truth.frames, made.name


@pytest.mark.parametrize("key", DRAWN, ids=str)
def test_the_same_index_and_seed_draw_the_same_bytes(key):
    digest = hashlib.sha256()
    for part in drawn(*key):
        digest.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes())
    assert digest.hexdigest()[:16] == DRAWN[key]


@pytest.mark.parametrize("name", tasks.TASKS)
def test_cases_hold_what_the_task_says(name):
    task = tasks.get(name)
    for index in (0, 1):
        case = tasks.make_case(name, index, 0, 2, 64)
        assert case.inputs.present() == task.gives and case.truth.shape == (2, 64, 64, 3)
        assert split_of(case.facts["character"]) == "test" and json.dumps(dict(case.facts))
        assert case.facts["kind"] in case.inputs.prompt
        assert clipscorer.motion_in(case.inputs.prompt) == case.facts["motion"]
        driving = case.inputs.driving
        assert driving is None or driving.frames.shape == case.truth.shape
        again, other = (tasks.make_case(name, index, seed, 2, 64) for seed in (0, 1))
        assert np.array_equal(again.truth, case.truth) and not np.array_equal(other.truth, case.truth)
    assert tasks.make_case(name, 0).truth.shape == (task.frames, 128, 128, 3)


def test_the_truth_of_a_transfer_is_the_reference_in_the_driving_motion():
    case = tasks.make_case("transfer", 0)
    assert case.facts["driven_by"] in case.inputs.source_prompt
    assert not np.array_equal(case.truth, case.inputs.driving.frames)
    assert not np.array_equal(case.truth[0], case.inputs.reference.frames[0])
    still = tasks.make_case("transfer-still", 0)
    assert len(still.inputs.reference) == 1 and np.array_equal(still.truth, case.truth)
    assert np.array_equal(still.inputs.reference.frames[0], case.inputs.reference.frames[0])


def test_pose_takes_its_two_sets_in_turn():
    for index in range(4):
        case, which = tasks.make_case("pose", index, 0, 2, 64), ("self", "cross")[index % 2]
        assert case.facts["pair"] == f"{which}-{index // 2}"
        same = tasks.make_case(f"pose-{which}", index // 2, 0, 2, 64)
        assert np.array_equal(case.truth, same.truth)
        assert np.array_equal(case.inputs.driving.frames, case.truth) == (which == "self")


def test_an_unknown_task_is_one_line():
    with pytest.raises(UserError, match=r"'tranfer' .*'transfer'.*caption"):
        tasks.make_case("tranfer", 0)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(tasks).failed == 0 and doctest.testmod(tasks).attempted > 0
