"""The list of bad inputs: what each one is, how it comes about, and what its one line must say.

A case is a function of the working folder that makes the bad thing and returns words of the command line; they are
added to a good `transfer method=warp`, where a later word wins.
"""

import os
from dataclasses import dataclass

import numpy as np
from bad_files import cut, write_huge_header, write_sound

from motionkit import media
from motionkit.testing import moving_shapes, picture

TINY = ["method=anamodiff", "backbone=tiny-sd", "method.weights=random", "prompt=a red horse"]


@dataclass(frozen=True)
class Case:
    name: str
    says: tuple[str, ...]
    words: object


CASES: list[Case] = []


def bad(*says):
    """File a function as a case: every text in `says` must be in the error line."""

    def file(function):
        CASES.append(Case(function.__name__, says, function))
        return function

    return file


def plain(name, words, *says):
    """File a case that needs no file."""
    CASES.append(Case(name, says, lambda here: list(words)))


# Files that are not what they should be


@bad("nothing.mp4", "check the path")
def missing_file(here):
    return ["driving=nothing.mp4"]


@bad("empty.mp4", "0 bytes")
def empty_file(here):
    (here / "empty.mp4").write_bytes(b"")
    return ["driving=empty.mp4"]


@bad("page.mp4", "web page")
def web_page_named_mp4(here):
    (here / "page.mp4").write_text("<!DOCTYPE html><html><body>Not found</body></html>")
    return ["driving=page.mp4"]


@bad("cut.mp4", "cut off")
def truncated_video(here):
    media.write_video(here / "cut.mp4", moving_shapes(8, 64, 64).frames, 8.0)
    # Without its first half the index is there and the frames are not; without its second half it is the other way.
    data = (here / "cut.mp4").read_bytes()
    index = data.index(b"moov") - 4
    size = int.from_bytes(data[index : index + 4], "big")
    (here / "cut.mp4").write_bytes(data[:index] + data[index + size :])
    return ["driving=cut.mp4"]


@bad("half.mp4")
def half_a_video(here):
    media.write_video(here / "half.mp4", moving_shapes(8, 64, 64).frames, 8.0)
    cut(here / "half.mp4", 0.3)
    return ["driving=half.mp4"]


@bad("half.png", "damaged")
def half_a_picture(here):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    media.write_image(here / "half.png", noise)
    cut(here / "half.png")
    return ["reference=half.png"]


@bad("sound.mp4", "no video")
def sound_only(here):
    write_sound(here / "sound.mp4")
    return ["driving=sound.mp4"]


@bad("notes.png", "text file")
def text_named_png(here):
    (here / "notes.png").write_text("remember the milk")
    return ["reference=notes.png"]


@bad("noise.mp4", "convert it")
def random_bytes_named_mp4(here):
    (here / "noise.mp4").write_bytes(np.random.default_rng(1).bytes(4000))
    return ["driving=noise.mp4"]


@bad("papers", "no png, jpg or webp")
def folder_without_pictures(here):
    (here / "papers").mkdir()
    (here / "papers" / "a.txt").write_text("a")
    return ["driving=papers"]


@bad("shots", "one size")
def folder_of_many_sizes(here):
    (here / "shots").mkdir()
    for i in range(3):
        media.write_image(here / "shots" / f"{i}.png", picture(16, 16 + 2 * i).frames[0])
    return ["driving=shots"]


plain("address_as_path", ["driving=https://example.org/a.mp4"], "only local files", "download")


@bad("list.m3u8", "playlist")
def playlist(here):
    (here / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nmoves.mp4\n")
    return ["driving=list.m3u8"]


@bad("list.mp4", "playlist")
def concat_script_named_mp4(here):
    (here / "list.mp4").write_text("ffconcat version 1.0\nfile moves.mp4\n")
    return ["driving=list.mp4"]


@bad("huge.png", "limit", "smaller")
def huge_picture_header(here):
    write_huge_header(here / "huge.png")
    return ["reference=huge.png"]


@bad("start=9", "beyond the clip")
def a_part_behind_the_end(here):
    return ["start=9"]


plain("a_part_that_is_no_time", ["start=ten"], "start=ten", "60f")
plain("a_part_that_ends_before_it_begins", ["start=3f", "end=2f"], "end=2f", "start=3f")
plain("a_part_of_no_clip", ["driving=null", "method=still", "end=2"], "end= needs driving=")
plain("unknown_loop", ["loop=round"], "loop", "pingpong")
plain("a_transparent_mp4", ["alpha=true", "output=out.mp4"], "no transparency", ".webm")
plain("alpha_is_a_word", ["alpha=maybe"], "alpha=maybe", "true or false")


@bad("/dev/zero", "ordinary file")
def a_device(here):
    return ["driving=/dev/zero"]


@bad("moves.mp4/inside.mp4")
def a_file_as_folder(here):
    return ["driving=moves.mp4/inside.mp4"]


@bad("driving", "single picture")
def a_picture_as_driving(here):
    return ["driving=me.png"]


# Words that are not known


plain("unknown_verb", ["!trasnfer"], "verb", "transfer")
plain("unknown_method", ["method=wrap"], "method", "warp")
plain("unknown_backbone", [*TINY, "backbone=tiny-ds"], "backbone", "tiny-sd")
plain("unknown_gpu", ["gpu=big"], "gpu", "12gb")
plain("unknown_key", ["sead=1"], "sead", "seed")
plain("unknown_setting", ["method.flwo=dis"], "flwo", "method.flow")
plain("unknown_option", ["--fast"], "--fast")
plain("unknown_progress", ["progress=loud"], "loud", "terminal")
plain("unknown_choice", ["method.flow=raft"], "raft", "dis")
plain("word_without_equals", ["turtle.png"], "turtle.png", "key=value")
plain("unbalanced_bracket", ["frames=[1"], "cannot read the command line")


# Numbers that cannot be


plain("frames_is_a_word", ["frames=abc"], "frames", "abc")
plain("no_frames", ["frames=0"], "frames=0")
plain("frames_beyond_all_limits", ["frames=5000"], "frames=5000", "2000")
plain("steps_is_a_word", [*TINY, "method.sample.steps=abc"], "steps", "abc")
plain("seed_is_a_word", ["seed=abc"], "seed", "abc")
plain("seed_is_negative", ["seed=-1"], "seed=-1")
plain("size_is_negative", ["size=-8"], "size=-8")
plain("size_is_huge", ["size=100000"], "size=100000", "4096")
plain("size_is_no_multiple", [*TINY, "size=100"], "size=100", "multiples of 16", "96 or 112")
plain("no_rate", ["fps=0"], "fps=0")


# Outputs that cannot be written


plain("output_of_unknown_kind", ["output=out.docx"], "out.docx", ".mp4")
plain("output_is_a_suffix", ["output=clips/.mp4"], "lacks a name before .mp4", "clips/out.mp4")
plain("output_is_empty", ["output="], "output= is empty")
plain("output_is_an_input", ["output=moves.mp4"], "moves.mp4", "input")


@bad("output", "input")
def output_is_an_input_by_another_name(here):
    (here / "link.mp4").symlink_to(here / "moves.mp4")
    return ["output=link.mp4"]


@bad("me.png", "not a folder")
def output_below_a_file(here):
    return ["output=me.png/out.mp4"]


@bad("is a folder")
def output_is_a_folder(here):
    (here / "taken.mp4").mkdir()
    return ["output=taken.mp4"]


@bad("full", "not empty")
def output_folder_is_not_empty(here):
    (here / "full").mkdir()
    (here / "full" / "keep.txt").write_text("mine")
    return ["output=full"]


# Inputs that a method requires


plain("no_reference", ["reference=null"], "needs reference", "reference=")
plain("no_driving", ["driving=null"], "needs driving", "driving=")
plain("no_prompt", [*TINY, "prompt="], "needs prompt", "prompt=")
plain("blank_prompt", [*TINY, "prompt=   "], "needs prompt", "prompt=")


# Weights and devices


plain("backbone_that_the_method_refuses", [*TINY, "backbone=animatex"], "anamodiff does not run on animatex", "tiny-sd")
plain("weights_that_are_not_here", [*TINY, "backbone=sd15"], "sd15", "hf download", "backbone.path=")
plain("no_such_weights_folder", [*TINY, "backbone=sd15", "backbone.path=/no/where"], "/no/where")

plain("empty_weights_folder", [*TINY, "backbone=sd15", "backbone.path="], "backbone.path= is empty")
plain("empty_lora", [*TINY, "backbone=sd15", "backbone.lora= "], "backbone.lora= is empty")


@bad("model.ckpt", "pickle")
def one_pickled_file_as_weights(here):
    (here / "model.ckpt").write_bytes(b"\x80\x04cos\nsystem\n.")
    return [*TINY, "backbone=sd15", "backbone.path=model.ckpt"]


@bad("me.png", "folder")
def a_picture_as_weights(here):
    return [*TINY, "backbone=sd15", "backbone.path=me.png"]


@bad("papers", "layout")
def weights_folder_of_something_else(here):
    (here / "papers").mkdir()
    return [*TINY, "backbone=sd15", "backbone.path=papers"]


# Ready-made maps


plain("map_that_is_not_there", [*TINY, "keypoints=none.npz"], "none.npz")


@bad("bad.npz")
def map_of_random_bytes(here):
    (here / "bad.npz").write_bytes(b"PK\x03\x04" + np.random.default_rng(2).bytes(500))
    return [*TINY, "keypoints=bad.npz"]


@bad("pickled.npz")
def map_that_holds_a_pickle(here):
    np.savez(here / "pickled.npz", source=np.array([{"run": "me"}], object), driving=np.zeros((4, 10, 2)))
    return [*TINY, "keypoints=pickled.npz"]


@bad("unreadable.mp4", "Permission denied")
def unreadable_file(here):
    (here / "unreadable.mp4").write_bytes((here / "moves.mp4").read_bytes())
    (here / "unreadable.mp4").chmod(0)
    return ["driving=unreadable.mp4"]


@bad("locked", "permission denied")
def read_only_folder(here):
    (here / "locked").mkdir()
    (here / "locked").chmod(0o555)
    return ["output=locked/out.mp4"]


AS_ROOT = {"unreadable_file", "read_only_folder"} if os.geteuid() == 0 else set()
