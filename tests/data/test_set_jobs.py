"""A set as a folder of jobs: pixels and timing kept, notes said, one call a folder, and the command that writes it."""

import json
import shlex

import numpy as np
import pytest
from data_folders import clip

from motionkit import media
from motionkit.data import SETS, ReadOptions, __main__, open_set, write_jobs
from motionkit.data.job_list import read_jobs
from motionkit.data.lossless import write_lossless
from motionkit.errors import UserError


def write(name, root, jobs, **options):
    return write_jobs(open_set(name, root, ReadOptions(**options)), jobs)


def made(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_a_set_becomes_jobs_that_compare_reads(a2bench, tmp_path):
    items = open_set("a2bench", a2bench)
    folder = write_jobs(items, tmp_path / "jobs")
    jobs = {job.name: job.values for job in read_jobs(folder)}
    assert set(jobs) == {"banana", "panda"} and jobs["panda"]["prompt"] == "a panda dancing"
    assert set(jobs["banana"]) == {"reference", "driving", "truth"}
    truth = items[0].load().truth.frames
    assert np.array_equal(media.read_clip(jobs["banana"]["truth"]).frames, truth)
    mark = folder / "panda" / "prompt.txt"
    mark.write_text("mine")
    write_jobs(items, folder)  # a second start leaves what is there
    assert mark.read_text() == "mine" and not list(folder.glob(".*"))
    with pytest.raises(UserError, match="two items"):
        write_jobs([*items, items[0]], folder)


@pytest.mark.parametrize("fps", [30, 30000 / 1001, 8, 1, 12.5, 10 / 0.37, 100])
def test_a_clip_comes_back_as_it_was(tmp_path, fps):
    frames = np.random.default_rng(0).integers(0, 256, (7, 17, 23, 3)).astype(np.uint8)
    write_lossless(tmp_path / "clip.mov", media.from_frames(frames, fps))
    back = media.read_clip(tmp_path / "clip.mov")
    assert np.array_equal(back.frames, frames) and back.times is None and back.fps == pytest.approx(fps, rel=1e-12)
    assert np.array_equal(media.resample(back, fps=fps).frames, frames) and not back.notes


def test_uneven_times_come_back_as_they_were(tmp_path):
    edges = np.array([0, 0.1, 0.12, 0.5, 0.53, 1.03])
    given = media.from_frames(clip(0), 5 / edges[-1], times=edges[:-1])
    write_lossless(tmp_path / "clip.mov", given)
    back = media.read_clip(tmp_path / "clip.mov")
    assert np.allclose(back.times, given.times, atol=1e-5) and back.duration == pytest.approx(1.03, abs=1e-5)
    assert np.array_equal(back.frames, given.frames)


def test_at_its_own_rate_no_picture_of_a_set_is_repeated(tmp_path, monkeypatch):
    from motionkit.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    media.write_frames(tmp_path / "set" / "00001" / "images", clip(1, 30))
    assert __main__.main(["tiktok", "set", "jobs"]) == 0
    words = ["compare", "methods=[still]", "jobs=jobs", "size=32", "progress=none"]
    for fps, count in ((30, 30), (15, 15)):
        assert main([*words, f"fps={fps}", f"output=out{fps}"]) == 0
        (result,) = (tmp_path / f"out{fps}" / "jobs" / "00001" / "cells").rglob("result.mp4")
        shown = media.read_clip(result)
        assert len(shown) == count and shown.fps == pytest.approx(fps) and shown.duration == pytest.approx(1)


def test_the_command_that_comes_next_can_be_given_in_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    media.write_frames(tmp_path / "set" / "00001" / "images", clip(1, 3))
    assert __main__.main(["tiktok", "set", "my jobs"]) == 0
    words = shlex.split(capsys.readouterr().out.strip().rpartition(": ")[2])
    assert words[:2] == ["motionkit", "compare"] and words[-1] == f"jobs={tmp_path / 'my jobs'}"
    with pytest.raises(UserError, match=str(tmp_path / "nothing")):
        open_set("tiktok", "nothing")


def test_what_reading_had_to_repair_is_said_and_kept(mgif, tmp_path):
    file = mgif / "moving-gif" / "test" / "00008.gif"
    noise = np.random.default_rng(0).integers(0, 256, (6, 16, 24, 3)).astype(np.uint8)
    media.write_gif(file, noise, 8)
    file.write_bytes(file.read_bytes()[:-200])
    said = []
    jobs = write_jobs(open_set("mgif", mgif, ReadOptions(task="self")), tmp_path / "jobs", said.append)
    note = "reference, driving, truth: the file is damaged: 5 of 6 frames were read"
    assert said == ["00007", "00008", f"  {note}", "00009"]
    assert (jobs / "00008" / "_notes.txt").read_text() == f"{note}\n" and len(read_jobs(jobs)) == 3
    assert not (jobs / "00007" / "_notes.txt").exists()


def test_the_folder_says_how_each_job_was_made(mgif, tmp_path):
    jobs = write("mgif", mgif, tmp_path / "jobs", task="self", frames=3)
    kept = json.loads((jobs / "_set.json").read_text())["jobs"]
    assert kept["00007"] == {
        "set": "mgif",
        "root": str(mgif),
        "task": "self",
        "split": "test",
        "frames": "3",
        "reference": "00007",
        "driving": "00007",
    }
    assert list(kept) == [job.name for job in read_jobs(jobs)] == ["00007", "00008", "00009"]


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"task": "self"}, {"task": "self", "frames": 3}, "made with frames=all, this call has frames=3"),
        ({"task": "cross"}, {"task": "self"}, "is not a job of this call"),
        ({"task": "self"}, {"task": "cross"}, "holds '00007', which is not a job of this call"),
        ({"task": "self"}, {"task": "self", "ids": "ids.txt"}, "holds '00008', which is not a job of this call"),
        ({"task": "self", "split": "train"}, {"task": "self"}, "holds '00001', which is not a job of this call"),
    ],
)
def test_a_folder_of_another_call_is_refused_and_left_as_it_is(mgif, tmp_path, monkeypatch, first, second, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("00007\n")
    write("mgif", mgif, "jobs", **first)
    before = made(tmp_path / "jobs")
    with pytest.raises(UserError) as caught:
        write("mgif", mgif, "jobs", **second)
    assert says in str(caught.value) and "another folder" in str(caught.value) and "\n" not in str(caught.value)
    assert made(tmp_path / "jobs") == before
    write("mgif", mgif, "jobs", **first)


def test_a_folder_is_refused_when_the_set_or_a_prompt_is_another(mgif, videoswap, tmp_path):
    write("mgif", mgif, tmp_path / "jobs", task="self")
    (mgif / "moving-gif").rename(mgif / "again")
    (mgif / "again").mkdir(exist_ok=True)
    with pytest.raises(UserError, match="made with root="):
        write("mgif", mgif / "again", tmp_path / "jobs", task="self")
    table = videoswap / "datasets" / "paper_evaluation" / "prompts.csv"
    table.write_text("clip,source_prompt,prompt\nobject/car,a car,a red dog\n")
    write("videoswap", videoswap, tmp_path / "edits")
    table.write_text("clip,source_prompt,prompt\nobject/car,a car,a blue dog\n")
    with pytest.raises(UserError, match="prompt=a red dog, .*prompt=a blue dog"):
        write("videoswap", videoswap, tmp_path / "edits")


def test_a_longer_list_goes_on_and_a_stopped_call_leaves_nothing_of_its_own(mgif, tmp_path):
    ids, jobs = tmp_path / "ids.txt", tmp_path / "jobs"
    ids.write_text("00007\n")
    write("mgif", mgif, jobs, task="self", ids=str(ids))
    before = made(jobs / "00007")
    (jobs / ".00008.part").mkdir()
    (jobs / ".00008.part" / "prompt.txt").write_text("of a call with a prompt")
    write("mgif", mgif, jobs, task="self")
    assert made(jobs / "00007") == before and not (jobs / "00008" / "prompt.txt").exists()
    assert [job.name for job in read_jobs(jobs)] == ["00007", "00008", "00009"]


def test_a_place_that_is_not_known_is_refused(mgif, tmp_path):
    items = open_set("mgif", mgif, ReadOptions(task="self"))
    (tmp_path / "file").write_text("")
    (tmp_path / "old" / "00007").mkdir(parents=True)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "_set.json").write_text("{")
    for name, says in (
        ("file", "cannot be written"),
        ("old", "does not say how it was made"),
        ("broken", "is damaged"),
    ):
        with pytest.raises(UserError, match=says):
            write_jobs(items, tmp_path / name)


def test_the_command_writes_jobs_and_says_what_is_wrong(a2bench, tmp_path, capsys):
    jobs = tmp_path / "jobs"
    assert __main__.main(["a2bench", str(a2bench), str(jobs), "task=cross", "frames=2"]) == 0
    assert "2 jobs" in capsys.readouterr().out and len(read_jobs(jobs)) == 2
    assert len(media.read_clip(jobs / "panda--banana" / "driving.mov")) == 2
    for words, reason in (
        (["tsk=self"], "did you mean 'task'"),
        (["frames=two"], "whole number"),
        (["frames=\u00b2"], "whole number"),
        (["frames=\u0661"], "whole number"),
        (["task="], "VALUE"),
        (["task=self", "task=cross"], "task is given twice"),
        (["split=test"], "has no splits"),
        (["pairs=/nowhere.csv"], "task=self has no pairs"),
        (["task=cross"], "made with frames=2, this call has frames=all"),
    ):
        assert __main__.main(["a2bench", str(a2bench), str(jobs), *words]) == 2
        err = capsys.readouterr().err
        assert reason in err and len(err.splitlines()) == 1
    assert __main__.main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in SETS)
    assert __main__.main(["mgif"]) == 2


def test_the_command_says_which_edits_are_left_out(videoswap, tmp_path, capsys):
    table = videoswap / "datasets" / "paper_evaluation" / "prompts.csv"
    table.write_text("clip,source_prompt,prompt\nobject/car,a car,a dog\nobject/car,a car,a car\n")
    assert __main__.main(["videoswap", str(videoswap), str(tmp_path / "jobs")]) == 0
    out = capsys.readouterr().out
    assert "object-car-02 is left out: both prompts are 'a car'" in out and "jobs: 1 jobs;" in out
