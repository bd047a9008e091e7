"""Rows and cells: which rows there are, what is refused before anything loads, what a cell's key depends on."""

from dataclasses import replace

import pytest

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError
from motionkit.running import request
from motionkit.running.request import plan_for
from motionkit.table.bench import Entry, Options, entries_of, read, tasks
from motionkit.table.bench.entry import settled, side_of
from motionkit.table.bench.planned import cells_of


def test_every_method_on_every_backbone_that_it_takes():
    rows = entries_of(["still", "anamodiff"], ["tiny-sd", "pocket-*"], {"anamodiff": {"lora": {"steps": 3}}})
    assert rows[0] == Entry("still", "still")  # needs none, and so has one row
    names = [row.backbone for row in rows[1:]]
    assert names[0] == "tiny-sd" and {"pocket-sd", "pocket-modelscope"} <= set(names) and len(set(names)) == len(names)
    assert rows[1].label == "anamodiff on tiny-sd" and rows[1].settings == {"lora": {"steps": 3}}
    assert entries_of(["anamodiff"], ["tiny-sd"]) == [Entry("anamodiff", "anamodiff", "tiny-sd")]
    assert {row.backbone for row in entries_of(["anamodiff"], ["pocket*"])} == set(names) - {"tiny-sd"}, "no word twice"
    assert entries_of(["anamodiff"], ["pocket"])[0].backbone == "pocket"
    assert entries_of(["anamodiff"]) == [Entry("anamodiff", "anamodiff")]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (([],), "no method to measure"),
        ((["still", "still"],), "methods has 'still' twice"),
        ((["stil"],), r"unknown method 'stil' \(did you mean 'still'\?\)"),
        ((["anamodiff"], ["poket-sd"]), r"unknown backbone 'poket-sd' \(did you mean 'pocket-sd'\?\)"),
        ((["still"], [], {"warp": {}}), "unknown method in settings 'warp'; known: still"),
    ],
)
def test_mistakes_in_the_list_are_one_line(given, says):
    with pytest.raises(UserError, match=says):
        entries_of(*given)


@pytest.mark.parametrize(
    ("entry", "task", "says"),
    [
        (Entry("a", "anamodiff", "animatex"), "transfer", "anamodiff does not run on animatex: "),
        (Entry("w", "warp"), "drawing", "warp needs driving, which the task 'drawing' does not have"),
        (Entry("w", "warp", settings={"nope": 1}), "transfer", "unknown key 'settings.warp.nope'"),
    ],
)
def test_what_has_no_meaning_is_refused_from_declarations(entry, task, says):
    with pytest.raises(UserError, match=says):
        settled(entry, tasks.get(task))


def test_missing_weights_refuse_a_row(small, tmp_path):
    entry = Entry("a", "anamodiff", "pocket-sd", backbone_path=str(tmp_path / "nothing-here"))
    with pytest.raises(UserError, match="nothing-here"):
        cells_of(entry, small, tmp_path)


def test_a_key_depends_on_what_the_video_depends_on(small, tmp_path, monkeypatch):
    def keys(entry=None, protocol=small, options=None):
        return {cell.key for cell in cells_of(entry or Entry("row", "obedient"), protocol, tmp_path, options)}

    base = keys()
    assert len(base) == 2 and keys() == base
    assert keys(Entry("another label", "obedient")) == base
    assert keys(protocol=replace(small, metrics="standard", name="other")) == base
    assert base < keys(protocol=replace(small, pairs=4)), "a sub-run shares its cells with the whole"
    assert base < keys(protocol=replace(small, seeds=[0, 1]))
    others = [
        keys(Entry("row", "obedient", settings={"roll": 2})),
        keys(protocol=replace(small, frames=3)),
        keys(protocol=replace(small, pair_seed=1)),
        keys(protocol=replace(small, size=96)),
        keys(protocol=replace(small, seeds=[1])),
        keys(options=Options(gpu={"name": "cpu", "dtype": "bfloat16"})),
        keys(Entry("row", "still")),
    ]
    monkeypatch.setattr(tasks, "TASKS", tasks.TASKS | {"transfer": replace(tasks.get("transfer"), version="2")})
    others.append(keys())
    monkeypatch.undo()
    for other in others:
        assert len(other) == 2 and not other & base
    assert len(set().union(*others)) == 2 * len(others)


def test_a_newer_method_has_other_keys(small, tmp_path, monkeypatch):
    import bench_fakes

    before = {cell.key for cell in cells_of(Entry("row", "obedient"), small, tmp_path)}
    newer = replace(bench_fakes.SPEC, version="8")
    monkeypatch.setattr(registry, "spec", lambda name: newer)
    assert not before & {cell.key for cell in cells_of(Entry("row", "obedient"), small, tmp_path)}


def test_methods_work_at_the_protocol_s_side_where_it_names_one(small, tmp_path):
    row = Entry("a", "anamodiff", "tiny-sd")
    own, told = (cells_of(row, replace(small, works_at=side), tmp_path) for side in (None, 32))
    assert side_of(small, "tiny-sd") == catalog.get("tiny-sd").default_size != 32
    assert side_of(replace(small, works_at=32), "tiny-sd") == 32 and own[0].key != told[0].key
    assert side_of(replace(small, works_at=32), None) == small.size
    with pytest.raises(UserError, match="bench.works_at=8 is outside 32"):
        replace(small, works_at=8).check()


def test_on_a_gpu_the_key_holds_the_plan_that_time_and_memory_depend_on(small, tmp_path, monkeypatch):
    row, keys = Entry("row", "obedient"), []
    for change in ({}, {"device": "cuda"}, {"device": "cuda", "offload": "model"}, {"device": "cuda", "name": "other"}):
        plan = replace(plan_for("cpu", None), **change)
        monkeypatch.setattr(request, "plan_for", lambda *_, plan=plan: plan)
        keys.append(cells_of(row, small, tmp_path)[0].key)
    assert len(set(keys)) == 3 and keys[1] == keys[3]


def test_a_cell_is_named_by_the_hash_that_it_has_always_had(monkeypatch, tmp_path):
    """Folders that were made before go on: whoever changes what a key holds makes every finished cell anew."""
    from motionkit.table import store

    monkeypatch.setattr(store, "__version__", "0.1.0")
    first = cells_of(Entry("still", "still"), read("sprites", pairs=2), tmp_path)[0]
    assert first.folder.name == "still-cf4079e989a520fb"
