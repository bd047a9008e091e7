"""Each reader on a small folder of the layout that it documents; another layout ends in one line."""

import csv

import numpy as np
import pytest

from motionkit import media
from motionkit.data import SETS, Options, __main__, open_set, write_jobs
from motionkit.errors import UserError
from motionkit.jobs import read_jobs

OPTIONS = """
name: 2001
datasets:
  path: datasets/paper_evaluation/animal/cat_head_turn/frames
  prompt: a kitten sitting on a wooden floor
  num_frames: 16
train:
  optimizer: {lr: !!float 5e-4}
val:
  editing_config:
    editing_prompts:
      kitten_to_catA: {replace: kitten -> <catA1> <catA2>, tap_path: ~}
      kitten_to_jeep: {replace: kitten -> silver jeep}
"""


def clip(seed, frames=5, height=16, width=24):
    """Frames of one plain colour each, which survive any codec."""
    colours = np.random.default_rng(seed).integers(40, 216, (frames, 1, 1, 3))
    return np.broadcast_to(colours, (frames, height, width, 3)).astype(np.uint8)


@pytest.fixture
def mgif(tmp_path):
    for split, names in (("train", ["00001"]), ("test", ["00007", "00008", "00009"])):
        (tmp_path / "moving-gif" / split).mkdir(parents=True)
        for name in names:
            media.write_gif(tmp_path / "moving-gif" / split / f"{name}.gif", clip(int(name)), 8)
    return tmp_path


@pytest.fixture
def tiktok(tmp_path):
    for name in ("00001", "00335", "00340"):
        media.write_frames(tmp_path / "TikTok_dataset" / name / "images", clip(int(name)))
        media.write_frames(tmp_path / "TikTok_dataset" / name / "masks", clip(0))
    return tmp_path


@pytest.fixture
def fashion(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for number in range(2):
            media.write_video(tmp_path / split / f"91+{split}{number}S.mp4", clip(number), 8)
    return tmp_path


@pytest.fixture
def a2bench(tmp_path):
    for folder in ("images", "videos", "prompts"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate(("banana", "panda")):
        media.write_image(tmp_path / "images" / f"{name}.png", clip(90 + number)[0])
        media.write_video(tmp_path / "videos" / f"{name}.mp4", clip(number), 8)
    (tmp_path / "prompts" / "panda.txt").write_text("a panda\ndancing")
    return tmp_path


@pytest.fixture
def videoswap(tmp_path):
    home = tmp_path / "datasets" / "paper_evaluation"
    media.write_frames(home / "animal" / "cat_head_turn" / "frames", clip(1, 70))
    media.write_frames(home / "object" / "car" / "frames", clip(2, 6))
    file = tmp_path / "options" / "test_videoswap" / "animal" / "2001" / "2001.yml"
    file.parent.mkdir(parents=True)
    file.write_text(OPTIONS)
    return tmp_path


def colour(frames):
    return frames.reshape(len(frames), -1, 3).mean(1)


def test_mgif_is_crossed_by_default_each_clip_once(mgif):
    items = open_set("mgif", mgif)
    assert len(items) == 3
    assert sorted(i.facts["reference"] for i in items) == sorted(i.facts["driving"] for i in items)
    assert all(i.facts["reference"] != i.facts["driving"] for i in items)
    assert [i.name for i in items] == [i.name for i in open_set("mgif", mgif, Options(seed=0))]
    sample = items[0].load()
    assert sample.truth is None and sample.inputs.reference.is_image and len(sample.inputs.driving) == 5
    source = media.read_clip(mgif / "moving-gif" / "test" / f"{items[0].facts['reference']}.gif")
    assert np.array_equal(sample.inputs.reference.frames[0], source.frames[0])
    assert len(open_set("mgif", mgif / "moving-gif", Options(task="self", split="train"))) == 1


def test_pairs_are_those_of_the_list(mgif, tmp_path):
    table = tmp_path / "pairs.csv"
    table.write_text("distance,source,driving\n0.1,00007.gif,00009\n0.2,00008,00008\n")
    items = open_set("mgif", mgif, Options(pairs=str(table)))
    assert [(i.facts["reference"], i.facts["driving"]) for i in items] == [("00007", "00009"), ("00008", "00008")]
    table.write_text("source,driving\n00007,00042\n")
    with pytest.raises(UserError, match="'00042' is not in the data set, which has 3 clips"):
        open_set("mgif", mgif, Options(pairs=str(table)))
    table.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="columns source and driving"):
        open_set("mgif", mgif, Options(pairs=str(table)))


def test_tiktok_drives_itself_and_its_clip_is_the_truth(tiktok, tmp_path):
    ids = tmp_path / "test.txt"
    ids.write_text("00340\n\n00335\n")
    items = open_set("tiktok", tiktok, Options(ids=str(ids)))
    assert [item.name for item in items] == ["00340", "00335"]  # in the order of the list
    sample = items[0].load()
    assert np.array_equal(sample.inputs.driving.frames, clip(340)) and sample.truth is sample.inputs.driving
    assert np.array_equal(sample.inputs.reference.frames, clip(340)[:1])
    assert sample.inputs.prompt == "a person dancing"
    assert len(open_set("tiktok", tiktok)) == 3 and len(open_set("tiktok", tiktok, Options(task="cross"))) == 3
    ids.write_text("00341")
    with pytest.raises(UserError, match="'00341' is not in the data set"):
        open_set("tiktok", tiktok, Options(ids=str(ids)))


def test_frames_are_spread_over_the_clip(tiktok):
    sample = open_set("tiktok", tiktok, Options(frames=2))[0].load()
    assert len(sample.inputs.driving) == len(sample.truth) == 2
    assert np.array_equal(sample.truth.frames, clip(1)[[0, 2]])


def test_fashion_has_splits(fashion):
    items = open_set("fashion", fashion)
    assert [item.name for item in items] == ["91+test0S", "91+test1S"]
    assert len(open_set("fashion", fashion, Options(split="train"))) == 2
    sample = items[1].load()
    assert np.abs(colour(sample.truth.frames) - colour(clip(1))).max() < 6


def test_a2bench_has_its_own_pictures_and_prompts(a2bench):
    items = {item.name: item for item in open_set("a2bench", a2bench)}
    sample = items["panda"].load()
    assert np.array_equal(sample.inputs.reference.frames, clip(91)[:1]) and len(sample.truth) == 5
    assert sample.inputs.prompt == "a panda dancing" and items["banana"].load().inputs.prompt == ""
    crossed = open_set("a2bench", a2bench, Options(task="cross"))
    assert {item.name for item in crossed} == {"banana--panda", "panda--banana"}
    by_name = {item.name: item.load().inputs for item in crossed}["banana--panda"]
    assert np.array_equal(by_name.reference.frames, clip(90)[:1]) and by_name.source_prompt == "a panda dancing"
    (a2bench / "videos" / "panda.mp4").rename(a2bench / "videos" / "bear.mp4")
    with pytest.raises(UserError, match="'bear' has no picture"):
        open_set("a2bench", a2bench)


def test_videoswap_reads_the_authors_edits(videoswap):
    items = open_set("videoswap", videoswap)
    assert [item.name for item in items] == ["cat_head_turn-kitten_to_catA", "cat_head_turn-kitten_to_jeep"]
    sample = items[1].load()
    assert sample.inputs.source_prompt == "a kitten sitting on a wooden floor"
    assert sample.inputs.prompt == "a silver jeep sitting on a wooden floor"
    assert items[0].load().inputs.prompt == "a cat sitting on a wooden floor"  # a learnt token stands for its class
    assert sample.inputs.reference is None and sample.truth is None and len(sample.inputs.driving) == 70
    sparse = open_set("videoswap", videoswap, Options(frames=16))[0].load()
    assert np.array_equal(sparse.inputs.driving.frames, clip(1, 70)[:61:4])


def test_videoswap_takes_prompts_of_ones_own(videoswap, tmp_path):
    table = videoswap / "datasets" / "paper_evaluation" / "prompts.csv"
    with table.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["clip", "source_prompt", "prompt"])
        rows.writerow(["object/car", "a silver jeep, driving", "a bulldog on roller blades, driving"])
    (item,) = open_set("videoswap", videoswap)
    assert item.load().inputs.prompt == "a bulldog on roller blades, driving" and item.name == "object-car-01"
    ids = tmp_path / "ids.txt"
    ids.write_text("animal/cat_head_turn")
    with pytest.raises(UserError, match="no id of the list fits"):
        open_set("videoswap", videoswap, Options(ids=str(ids)))
    table.write_text("clip,source_prompt,prompt\nobject/boat,a,b\n")
    with pytest.raises(UserError, match="'object/boat', which is not there"):
        open_set("videoswap", videoswap)


@pytest.mark.parametrize("text", ["[", "a: 1", "datasets: {path: a/b/c, prompt: x}", "!!python/object:os.system {}"])
def test_a_broken_option_file_is_named(videoswap, text):
    file = videoswap / "options" / "test_videoswap" / "animal" / "2001" / "2001.yml"
    file.write_text(text)
    with pytest.raises(UserError, match="2001.yml is not an option file"):
        open_set("videoswap", videoswap)
    file.write_text(OPTIONS.replace("kitten -> silver", "dog -> silver"))
    with pytest.raises(UserError, match="kitten_to_jeep"):
        open_set("videoswap", videoswap)


@pytest.mark.parametrize("name", SETS)
def test_another_layout_is_said_in_one_line(name, tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError) as caught:
            open_set(name, root)
        assert SETS[name].title in str(caught.value) and "\n" not in str(caught.value)
    assert "layout of" in str(pytest.raises(UserError, open_set, name, tmp_path).value)


def test_mistakes_of_the_call_are_said(mgif):
    for call, words in (
        (lambda: open_set("mgiff", mgif), "did you mean 'mgif'"),
        (lambda: open_set("videoswap", mgif, Options(task="self")), "known: edit"),
        (lambda: open_set("mgif", mgif, Options(frames=0)), "from 1 up"),
        (lambda: open_set("mgif", mgif, Options(split="train")), "at least two clips"),
        (lambda: open_set("mgif", mgif, Options(ids="/nowhere.txt")), "cannot read /nowhere.txt"),
    ):
        with pytest.raises(UserError, match=words):
            call()


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


def test_the_command_writes_jobs_and_says_what_is_wrong(a2bench, tmp_path, capsys):
    jobs = tmp_path / "jobs"
    assert __main__.main(["a2bench", str(a2bench), str(jobs), "task=cross", "frames=2"]) == 0
    assert "2 jobs" in capsys.readouterr().out and len(read_jobs(jobs)) == 2
    assert len(media.read_clip(jobs / "panda--banana" / "driving")) == 2
    for words, reason in (
        (["tsk=self"], "did you mean 'task'"),
        (["frames=two"], "whole number"),
        (["task="], "VALUE"),
    ):
        assert __main__.main(["a2bench", str(a2bench), str(jobs), *words]) == 2
        assert reason in capsys.readouterr().err
    assert __main__.main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in SETS)
    assert __main__.main(["mgif"]) == 2
