"""Each reader on a small folder of the layout that it documents; another layout ends in one line."""

import numpy as np
import pytest
from data_folders import clip

from motionkit import media
from motionkit.data import SETS, ReadOptions, open_set
from motionkit.errors import UserError


def colour(frames):
    return frames.reshape(len(frames), -1, 3).mean(1)


def test_mgif_is_crossed_by_default_each_clip_once(mgif):
    items = open_set("mgif", mgif)
    assert len(items) == 3
    assert sorted(i.facts["reference"] for i in items) == sorted(i.facts["driving"] for i in items)
    assert all(i.facts["reference"] != i.facts["driving"] for i in items)
    assert [i.name for i in items] == [i.name for i in open_set("mgif", mgif, ReadOptions(seed=0))]
    sample = items[0].load()
    assert sample.truth is None and sample.inputs.reference.is_image and len(sample.inputs.driving) == 5
    source = media.read_clip(mgif / "moving-gif" / "test" / f"{items[0].facts['reference']}.gif")
    assert np.array_equal(sample.inputs.reference.frames[0], source.frames[0])
    assert len(open_set("mgif", mgif / "moving-gif", ReadOptions(task="self", split="train"))) == 1


def test_pairs_are_those_of_the_list(mgif, tmp_path):
    table = tmp_path / "pairs.csv"
    table.write_text("distance,source,driving\n0.1,00007.gif,00009\n0.2,00008,00008\n")
    items = open_set("mgif", mgif, ReadOptions(pairs=str(table)))
    assert [(i.facts["reference"], i.facts["driving"]) for i in items] == [("00007", "00009"), ("00008", "00008")]
    table.write_text("source,driving\n00007,00042\n")
    with pytest.raises(UserError, match="'00042'.* 3 clips"):
        open_set("mgif", mgif, ReadOptions(pairs=str(table)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "columns source and driving"),
        ("a,b\n1,2\n", "columns source and driving"),
        ("source,driving\n", "a row for each pair"),
        ("source,driving\n00007,00008,00009\n", "line 2 has 3 cells for 2 columns"),
        ("source,driving\n00007,00008\n00009\n", "line 3 has 1 cells for 2 columns"),
        ("source,driving\n00007,\n", "line 2: driving is empty"),
        ("source,driving,source\n00007,00008,00009\n", "column source twice"),
        ('source,driving\n"00007,00008\n', "line 2: unexpected end of data"),
    ],
)
def test_a_bad_list_of_pairs_is_refused_in_one_line(mgif, tmp_path, text, says):
    table = tmp_path / "pairs.csv"
    table.write_text(text)
    with pytest.raises(UserError) as caught:
        open_set("mgif", mgif, ReadOptions(pairs=str(table)))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_tiktok_drives_itself_and_its_clip_is_the_truth(tiktok, tmp_path):
    ids = tmp_path / "test.txt"
    ids.write_text("00340\n\n00335\n")
    items = open_set("tiktok", tiktok, ReadOptions(ids=str(ids)))
    assert [item.name for item in items] == ["00340", "00335"]  # in the order of the list
    sample = items[0].load()
    assert np.array_equal(sample.inputs.driving.frames, clip(340)) and sample.truth is sample.inputs.driving
    assert np.array_equal(sample.inputs.reference.frames, clip(340)[:1])
    assert sample.inputs.prompt == "a person dancing" and sample.inputs.driving.fps == 30
    assert len(open_set("tiktok", tiktok)) == 3 and len(open_set("tiktok", tiktok, ReadOptions(task="cross"))) == 3
    ids.write_text("00341")
    with pytest.raises(UserError, match="'00341'"):
        open_set("tiktok", tiktok, ReadOptions(ids=str(ids)))


def test_frames_are_spread_over_the_clip(tiktok):
    sample = open_set("tiktok", tiktok, ReadOptions(frames=2))[0].load()
    assert len(sample.inputs.driving) == len(sample.truth) == 2
    assert np.array_equal(sample.truth.frames, clip(1)[[0, 2]]) and sample.truth.fps == pytest.approx(2 * 30 / 5)


def test_fashion_has_splits(fashion):
    items = open_set("fashion", fashion)
    assert [item.name for item in items] == ["91+test0S", "91+test1S"]
    assert len(open_set("fashion", fashion, ReadOptions(split="train"))) == 2
    sample = items[1].load()
    assert np.abs(colour(sample.truth.frames) - colour(clip(1))).max() < 6


def test_a2bench_has_its_own_pictures_and_prompts(a2bench):
    items = {item.name: item for item in open_set("a2bench", a2bench)}
    sample = items["panda"].load()
    assert np.array_equal(sample.inputs.reference.frames, clip(91)[:1]) and len(sample.truth) == 5
    assert sample.inputs.prompt == "a panda dancing" and items["banana"].load().inputs.prompt == ""
    crossed = open_set("a2bench", a2bench, ReadOptions(task="cross"))
    assert {item.name for item in crossed} == {"banana--panda", "panda--banana"}
    by_name = {item.name: item.load().inputs for item in crossed}["banana--panda"]
    assert np.array_equal(by_name.reference.frames, clip(90)[:1]) and by_name.source_prompt == "a panda dancing"
    (a2bench / "videos" / "panda.mp4").rename(a2bench / "videos" / "bear.mp4")
    with pytest.raises(UserError, match="'bear' has no picture"):
        open_set("a2bench", a2bench)


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
        (lambda: open_set("videoswap", mgif, ReadOptions(task="self")), "known: edit"),
        (lambda: open_set("mgif", mgif, ReadOptions(frames=0)), "1 or more"),
        (lambda: open_set("mgif", mgif, ReadOptions(split="train")), "at least two clips"),
        (lambda: open_set("mgif", mgif, ReadOptions(ids="/nowhere.txt")), "cannot read /nowhere.txt"),
    ):
        with pytest.raises(UserError, match=words):
            call()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("mgif", ReadOptions(task="self", pairs="/nowhere.csv"), "pairs=/nowhere.csv: task=self has no pairs"),
        ("tiktok", ReadOptions(pairs="/nowhere.csv"), "leave it out, or give task=cross"),
        ("videoswap", ReadOptions(pairs="/nowhere.csv"), "task=edit has no pairs; leave it out"),
        ("mgif", ReadOptions(pairs="a.csv", ids="a.txt"), "ids=a.txt"),
        ("mgif", ReadOptions(split="../train"), "unknown split"),
        ("tiktok", ReadOptions(split="test"), "split=test: TikTok has no splits"),
        ("a2bench", ReadOptions(split="train"), "A2Bench has no splits"),
        ("videoswap", ReadOptions(split="train"), "VideoSwap-30 has no splits"),
        ("mgif", ReadOptions(task="self", seed=0), "seed=0: task=self"),
        ("videoswap", ReadOptions(seed=3), "seed=3: task=edit "),
        ("mgif", ReadOptions(pairs="a.csv", seed=3), "seed=3: with pairs"),
        ("fashion", ReadOptions(task="edit"), "known: cross, self"),
    ],
)
def test_an_option_that_would_not_be_used_is_refused(name, options, says, tmp_path):
    with pytest.raises(UserError) as caught:
        open_set(name, tmp_path, options)
    assert says in str(caught.value) and "\n" not in str(caught.value)
