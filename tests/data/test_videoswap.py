"""VideoSwap's clips: the authors' frames, tokens and edits, prompts of one's own, and lists of names."""

import csv

import numpy as np
import pytest
from data_folders import OPTIONS, clip

from motionkit import media
from motionkit.data import ReadOptions, open_set
from motionkit.data.videoswap import without_tokens
from motionkit.errors import UserError


@pytest.fixture
def file(videoswap):
    """The option file of cat_head_turn."""
    return videoswap / "options" / "test_videoswap" / "animal" / "2001" / "2001.yml"


@pytest.fixture
def own(videoswap):
    """Writes a prompts.csv as it is given."""
    return (videoswap / "datasets" / "paper_evaluation" / "prompts.csv").write_text


def names(root, **options):
    return [item.name for item in open_set("videoswap", root, ReadOptions(**options))]


def test_videoswap_reads_the_authors_edits(videoswap):
    items = open_set("videoswap", videoswap)
    assert [item.name for item in items] == ["cat_head_turn-kitten_to_catA", "cat_head_turn-kitten_to_jeep"]
    sample = items[1].load()
    assert sample.inputs.source_prompt == "a kitten sitting on a wooden floor"
    assert sample.inputs.prompt == "a silver jeep sitting on a wooden floor"
    assert items[0].load().inputs.prompt == "a cat sitting on a wooden floor"  # a learnt token stands for its class
    assert sample.inputs.reference is None and sample.truth is None and len(sample.inputs.driving) == 70


@pytest.mark.parametrize(("total", "last"), [(64, 60), (96, 90), (48, 45)])
def test_frames_are_spread_as_far_as_the_authors_go_into_that_clip(videoswap, file, total, last):
    frames = clip(1, 100)
    media.write_frames(videoswap / "datasets/paper_evaluation/animal/cat_head_turn/frames", frames)
    file.write_text(OPTIONS.replace("total_frames: 64", f"total_frames: {total}"))
    item = open_set("videoswap", videoswap, ReadOptions(frames=16))[0]
    taken = item.load().inputs.driving
    assert np.array_equal(taken.frames, frames[: last + 1 : last // 15]) and len(taken) == 16 and taken.fps == 8
    assert item.facts["total_frames"] == str(total)


def test_without_the_authors_fact_it_is_64_frames_and_never_more_than_there_are(videoswap, file):
    file.write_text(OPTIONS.replace("  total_frames: 64\n", ""))
    item = open_set("videoswap", videoswap, ReadOptions(frames=16))[0]
    assert np.array_equal(item.load().inputs.driving.frames, clip(1, 70)[:61:4])
    file.write_text(OPTIONS.replace("total_frames: 64", "total_frames: 96"))
    item = open_set("videoswap", videoswap, ReadOptions(frames=16))[0]
    assert np.array_equal(item.load().inputs.driving.frames, clip(1, 70)[:61:4])  # 70 // 15 = 4


@pytest.mark.parametrize(
    ("token", "word"),
    [
        ("<catA1> <catA2>", "cat"),
        ("<dogA1> <dogA2>", "dog"),
        ("<dogB1> <dogB2>, orange fur", "dog, orange fur"),
        ("<carA1> <carA2>", "car"),
        ("golden <carA1> <carA2> with black wing", "golden car with black wing"),
        ("black <porsche1> <porsche2>", "black porsche"),
        ("<f35_1> <f35_2>", "f35"),
        ("<yacht1> <yacht2>", "yacht"),
        ("<sailboat1> <sailboat2> with sailing canvas", "sailboat with sailing canvas"),
        ("armored <batman1> <batman2>", "armored batman"),
        ("<thanos1> <thanos2>, bald", "thanos, bald"),
        ("<ironman1> <ironman2> in red armor, chest light", "ironman in red armor, chest light"),
        ("<hermione1> <hermione2> in grey T-shirt", "hermione in grey T-shirt"),
        ("<potter1> <potter2>", "potter"),
        ("armored Iron Man", "armored Iron Man"),
        ("teddy bear", "teddy bear"),
    ],
)
def test_every_learnt_token_of_the_authors_becomes_a_plain_word(token, word):
    assert without_tokens(token) == word


def test_a_token_of_another_form_is_refused(videoswap, file):
    file.write_text(OPTIONS.replace("<catA1> <catA2>", "<new-cat>"))
    with pytest.raises(UserError, match="kitten_to_catA .*<new-cat>"):
        open_set("videoswap", videoswap)


def test_edits_that_are_no_edit_or_another_again_are_left_out_and_said(videoswap, file, tmp_path):
    more = "\n      ".join(f"kitten_to_{n}: {{replace: kitten -> <{n}1> <{n}2>}}" for n in ("dogB", "dogA", "kittenC"))
    file.write_text(OPTIONS.rstrip() + f"\n      {more}\n")
    said = []
    items = open_set("videoswap", videoswap, say=said.append)
    assert [item.name.rpartition("_")[2] for item in items] == ["catA", "jeep", "dogB"]
    assert said == [
        "cat_head_turn-kitten_to_dogA is left out: it asks for the same as cat_head_turn-kitten_to_dogB, "
        "'a dog sitting on a wooden floor'",
        "cat_head_turn-kitten_to_kittenC is left out: both prompts are 'a kitten sitting on a wooden floor'",
    ]
    ids = tmp_path / "ids.txt"
    ids.write_text("cat_head_turn-kitten_to_dogA\n")  # asked for alone, it is no repetition
    assert names(videoswap, ids=str(ids)) == ["cat_head_turn-kitten_to_dogA"]
    ids.write_text("cat_head_turn-kitten_to_kittenC\n")
    with pytest.raises(UserError, match="already shows"):
        names(videoswap, ids=str(ids))


def test_a_list_names_edits_or_clips_one_a_line_in_its_order(videoswap, own, tmp_path):
    own("clip,source_prompt,prompt\nanimal/cat_head_turn,a,b\nobject/car,a,b\nobject/car,a,c\n")
    ids = tmp_path / "ids.txt"
    ids.write_text("object/car\nanimal-cat_head_turn-01\nobject-car-02\n")
    assert names(videoswap, ids=str(ids)) == ["object-car-02", "object-car-03", "animal-cat_head_turn-01"]
    for text, unknown in (("object/car\nobject/cat\n", "object/cat"), ("object/car object-car-03", None)):
        ids.write_text(text)
        with pytest.raises(UserError, match=f"'{unknown or text}' is neither"):
            names(videoswap, ids=str(ids))


def test_videoswap_takes_prompts_of_ones_own(videoswap, own):
    table = videoswap / "datasets" / "paper_evaluation" / "prompts.csv"
    with table.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["clip", "source_prompt", "prompt"])
        rows.writerow(["object/car", "a silver jeep, driving", "a bulldog on roller blades, driving"])
    (item,) = open_set("videoswap", videoswap)
    assert item.load().inputs.prompt == "a bulldog on roller blades, driving" and item.name == "object-car-01"
    own("clip,source_prompt,prompt,total_frames\nanimal/cat_head_turn,a,b,48\nobject/car,a,b,\n")
    first, second = open_set("videoswap", videoswap, ReadOptions(frames=16))
    assert np.array_equal(first.load().inputs.driving.frames, clip(1, 70)[:46:3])
    assert second.facts["total_frames"] == "64"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("", "columns clip, source_prompt and prompt, and a row for each edit"),
        ("object/boat,a,b,\n", "'object/boat', which is not there"),
        ("object/car,a cat,a red dog, running,\n", "line 2 has 5 cells for 4 columns"),
        ("object/car,a cat,a dog\n", "line 2 has 3 cells for 4 columns"),
        ("object/car\n", "line 2 has 1 cells for 4 columns"),
        ("object/car,a cat,,\n", "line 2: prompt is empty"),
        ("object/car,a cat,a dog,many\n", "total_frames=many: give a whole number"),
        ("object/car,a cat,a dog,0\n", "total_frames=0: give a whole number"),
        ('object/car,"a cat,a dog,\n', "line 2: unexpected end of data"),
    ],
)
def test_a_bad_table_of_prompts_is_refused_in_one_line(videoswap, own, rows, says):
    own("clip,source_prompt,prompt,total_frames\n" + rows)
    with pytest.raises(UserError) as caught:
        open_set("videoswap", videoswap)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["[", "a: 1", "datasets: {path: a/b/c, prompt: x}", "!!python/object:os.system {}", OPTIONS.replace("64", "all")],
)
def test_a_broken_option_file_is_named(videoswap, file, text):
    file.write_text(text)
    with pytest.raises(UserError, match="2001.yml"):
        open_set("videoswap", videoswap)
    file.write_text(OPTIONS.replace("kitten -> silver", "dog -> silver"))
    with pytest.raises(UserError, match="kitten_to_jeep"):
        open_set("videoswap", videoswap)
