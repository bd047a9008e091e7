"""Shards: every cell in exactly one part, evenly; folders of parts put together give the table of one run."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.table.bench import Entry
from motionkit.table.bench.engine import run
from motionkit.table.bench.merge import merge
from motionkit.table.bench.page import write_results
from motionkit.table.bench.shards import Shard

TIMES = ("seconds", "cpu_seconds", "rss_mb", "cuda_mb", "costs")


def row(label="obedient", **settings):
    return Entry(label, "obedient", settings=settings)


def cell(row, index, seed=0):
    return SimpleNamespace(key=f"{row}-{seed}-{index}", index=index, seed=seed)


def rows(*lengths):
    return [[cell(i, j) for j in range(count)] for i, count in enumerate(lengths)]


@pytest.mark.parametrize("parts", [1, 2, 3, 8, 50])
def test_the_parts_are_the_whole_and_even(parts):
    table = rows(24, 24, 0, 24, 6)
    dealt = [Shard(number, parts).keys(table) for number in range(1, parts + 1)]
    assert sum(map(len, dealt)) == 78 and set().union(*dealt) == {cell.key for cells in table for cell in cells}
    for number in (0, 1, 3, 4):  # of each row as many as can be
        counts = [sum(key.startswith(f"{number}-") for key in part) for part in dealt]
        assert max(counts) - min(counts) <= 1


def test_a_row_that_cannot_run_here_moves_no_cell_of_another_and_equal_cells_go_together():
    here, there = Shard(2, 3).keys(rows(6, 6, 6)), Shard(2, 3).keys(rows(6, 0, 6))
    assert {key for key in here if key[0] != "1"} == there
    twice = rows(6)
    assert Shard(1, 3).keys([*twice, *twice]) == Shard(1, 3).keys(twice)


ROW = st.tuples(st.integers(0, 4), st.integers(1, 9), st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True))


@given(
    table=st.lists(ROW, max_size=7), parts=st.integers(1, 9), refused=st.lists(st.sets(st.integers(0, 6)), min_size=9)
)
def test_every_cell_is_in_exactly_one_part_whatever_each_machine_can_run(table, parts, refused):
    """Rows of one configuration share their cells, with other numbers of cases and orders of seeds."""
    whole = [[cell(kind, index, seed) for seed in seeds for index in range(count)] for kind, count, seeds in table]
    dealt = []
    for number, gone in zip(range(1, parts + 1), refused, strict=False):
        here = [() if i in gone else cells for i, cells in enumerate(whole)]
        dealt.append((Shard(number, parts).keys(here), {one.key for cells in here for one in cells}))
    for key in {one.key for cells in whole for one in cells}:
        taken = [number for number in range(parts) if key in Shard(number + 1, parts).keys(whole)]
        assert len(taken) == 1
        own, known = dealt[taken[0]]
        assert (key in own) == (key in known)  # a machine that can run it does, and no other
        assert not any(key in others for number, (others, _) in enumerate(dealt) if number != taken[0])


@pytest.mark.parametrize("text", ["2", "0/3", "4/3", "a/b", "1/0", "", "1/2/3", "1/99999"])
def test_what_is_no_part_is_one_line(text):
    with pytest.raises(UserError, match="shard="):
        Shard.read(text)
    assert Shard.read("2/8") == Shard(2, 8)


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def tables(folder):
    return {
        path.relative_to(folder): json.dumps(without_times(json.loads(path.read_text())), indent=2)
        for path in folder.glob("results*/results.json")
    }


@pytest.fixture
def parts(small, here, light, tmp_path):
    """One run, and the same in two parts."""
    table = [row(roll=2), Entry("still", "still"), Entry("refused", "anamodiff", "animatex")]
    whole = run(replace(small, pairs=3), table, tmp_path / "whole", runner=here)
    write_results(tmp_path / "whole", whole)
    held = []
    for number in (1, 2):
        done = run(replace(small, pairs=3), table, tmp_path / str(number), runner=here, shard=Shard(number, 2))
        held.append([len(one.cells) for one in done.rows[:2]])
        assert not done.failed
    assert all(sorted(pair) == [1, 2] for pair in zip(*held, strict=True))  # three cases of a row, in two parts
    return [tmp_path / "1", tmp_path / "2"]


def test_merged_parts_are_the_table_of_one_run(parts, tmp_path, capsys):
    assert main(["bench", "merge", *map(str, parts), f"output={tmp_path / 'all'}"]) == 0
    out, err = capsys.readouterr()
    assert out.strip().endswith("results.html") and not err
    assert tables(tmp_path / "all") == tables(tmp_path / "whole") and len(tables(tmp_path / "all")) == 1
    again = merge(parts, tmp_path / "all")  # it is there already: nothing to do
    assert not again.conflicts and tables(tmp_path / "all") == tables(tmp_path / "whole")


def test_a_merge_into_the_folder_of_a_part(parts, tmp_path):
    made = merge(parts[1:], parts[0])
    assert not made.failed and len(list((parts[0] / "cells").iterdir())) == 6


def test_a_part_that_is_missing_is_told(parts, tmp_path):
    made = merge(parts[:1], tmp_path / "all")
    others = len(list((parts[1] / "cells").iterdir()))
    assert made.failed and [one.reason for one in made.outcomes[0].failed] == ["it was not run"] * others


def test_the_same_cell_with_another_content_is_told_and_the_first_kept(parts, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(parts[0], copy)
    frames = next((copy / "cells").glob("obedient-*/frames"))
    shutil.copy(frames / "00000.png", frames / "00001.png")
    record = next((copy / "cells").glob("still-*/cell.json"))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"seconds": 99.0}))  # a time is no difference
    folders = [str(folder) for folder in (*parts, copy)]
    assert main(["bench", "merge", *folders, f"output={tmp_path / 'all'}"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and frames.parent.name in said[0] and "frames differ" in said[0]
    assert tables(tmp_path / "all") == tables(tmp_path / "whole")


def test_folders_with_other_cells_for_a_row_do_not_go_together(parts, tmp_path, monkeypatch):
    listing = next((parts[1] / "tables").iterdir())
    listing.write_text(listing.read_text().replace('"cells": [', '"cells": [[9, 0, "f00"],', 1))
    with pytest.raises(UserError, match="one table"):
        merge(parts, tmp_path / "all")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["output=all"], "takes the folders"),
        (["a", "b"], "output=FOLDER"),
        (["empty", "output=all"], "no benchmark"),
        (["a", "output=x", "output=y"], "one output=FOLDER"),
    ],
)
def test_mistakes_of_a_merge_are_one_line(words, says, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["bench", "merge", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and says in said[0]


def test_a_part_on_the_command_line_writes_its_cells_and_no_table(here, light, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("motionkit.cli.bench._runner", lambda config, folder: here)
    words = ["bench", "bench.pairs=2", "bench.frames=2", "bench.size=64", "gpu=cpu", "methods=[still]"]
    assert main([*words, "shard=2/2"]) == 0
    out, err = capsys.readouterr()
    folder = tmp_path / "runs" / "bench" / "sprites"  # as the help says
    assert out.strip() == str(folder) and "shard 2/2: 1 of 2 cells" in err
    assert not list(folder.glob("results*")) and len(list((folder / "cells").iterdir())) == 1
    assert main([*words, "shard=3/2"]) == 2 and "shard=3/2" in capsys.readouterr().err
    assert main(words) == 0 and "2 cells, 1 to run" in (said := capsys.readouterr()).err
    page = folder / said.out.strip().split("/")[-2] / "results.html"
    assert said.out.strip() == str(page) and page.is_file()
