"""Protocols: published ones can be read, every change is another hash, and a table says so."""

from dataclasses import replace

import pytest

from motionkit.errors import UserError
from motionkit.table.bench import protocol, tasks


def test_every_published_protocol_reads_and_differs():
    found = {name: protocol.read(name) for name in protocol.known()}
    assert {"sprites", "drawing", "edit", "pose-self", "pose-cross", "transfer-still"} <= set(found)
    assert "ablations" not in found
    assert len({one.hash for one in found.values()}) == len(found)
    for name, one in found.items():
        assert one.name == name and not protocol.deviations(one)
        assert protocol.title(one) == f"{name} v{one.version} ({one.hash[:8]})"


def test_a_sub_run_is_another_protocol_and_says_so():
    whole, part = protocol.read("sprites"), protocol.read("sprites", pairs=4)
    assert whole.hash != part.hash and len(part.hash) == 64
    assert protocol.deviations(part) == {"pairs": (24, 4)}
    assert protocol.title(part) == f"sprites v1 ({part.hash[:8]}), a sub-run: pairs 24 → 4"
    reducers = replace(whole.reducers, resamples=7)
    changes = ({"frames": 5}, {"pair_seed": 1}, {"seeds": [0, 1]}, {"reducers": reducers}, {"metrics": "standard"})
    assert len({whole.hash, *(replace(whole, **change).hash for change in changes)}) == 1 + len(changes)


def test_the_generator_s_version_is_in_the_hash(monkeypatch):
    before = protocol.read("sprites").hash
    newer = replace(tasks.get("transfer"), version="2")
    monkeypatch.setattr(tasks, "TASKS", tasks.TASKS | {"transfer": newer})
    assert protocol.read("sprites").hash != before


def test_a_protocol_of_one_s_own_deviates_from_nothing():
    assert protocol.deviations(protocol.Protocol(name="mine", pairs=3)) == {}


@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("sprits", {}, r"unknown bench 'sprits' \(did you mean 'sprites'\?\)"),
        ("sprites", {"pears": 3}, r"unknown key 'bench.pears' \(did you mean 'bench.pairs'\?\)"),
        ("sprites", {"pairs": "few"}, "bench.pairs=few: give a whole number"),
        ("sprites", {"pairs": 0}, "bench.pairs=0 is outside 1 to 100000"),
        ("sprites", {"frames": 1}, "bench.frames=1 is outside 2 to 2000"),
        ("sprites", {"size": 33}, "bench.size=33: give a multiple of 8"),
        ("sprites", {"seeds": []}, r"bench.seeds=\[\]: give different whole numbers"),
        ("sprites", {"seeds": [1, 1]}, r"bench.seeds=\[1, 1\]: give different whole numbers"),
        ("sprites", {"task": "dance"}, "unknown task 'dance'"),
        ("sprites", {"reducers": {"pairs": "median"}}, "bench.reducers.pairs=median"),
        ("sprites", {"reducers": {"confidence": 1.5}}, "confidence must be"),
    ],
)
def test_mistakes_are_one_line(name, changed, says):
    with pytest.raises(UserError, match=says) as caught:
        protocol.read(name, **changed)
    assert "\n" not in str(caught.value)
