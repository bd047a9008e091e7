"""File names that trip shells, Hydra and FFmpeg work as inputs and as outputs; so do inputs with the wrong suffix."""

import shutil

import pytest
from bad_files import transfer

from motionkit import media

NAMES = [
    "two words",
    " leading and trailing ",
    "-dash",
    "--help",
    "new\nline",
    "tab\there",
    "ünïcødé 漢字 😀",
    "a,b,c",
    "a=b",
    "key=value=more",
    "[0]",
    "{x: 1}",
    "(1)",
    "it's",
    'say "hello"',
    "'quoted'",
    "back\\slash",
    "back\\",
    "$HOME",
    "${oc.env:HOME}",
    "~tilde",
    "100%d",
    "%05d",
    "hash#1",
    "colon:1",
    "file:x",
    "concat:a|b",
    "semi;colon",
    "a&b?c*",
    "null",
    "true",
    "1e3",
    "choice(a,b)",
    "@group",
    "+plus",
    "...",
    ".hidden",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_name_works(name, here, capsys):
    shutil.copy(here / "me.png", here / f"{name}.png")
    shutil.copy(here / "moves.mp4", here / f"{name}.mp4")
    words = [f"reference={name}.png", f"driving={name}.mp4", f"output=made {name}.mp4"]
    assert transfer(words) == 0, capsys.readouterr().err
    assert len(media.read_clip(here / f"made {name}.mp4")) == 4


@pytest.mark.parametrize("name", ["null", "1", "true", "two words", "a,b"])
def test_a_name_without_suffix_works(name, here, capsys):
    shutil.copy(here / "moves.mp4", here / name)
    assert transfer([f"driving=./{name}"]) == 0, capsys.readouterr().err


def test_a_wrong_suffix_is_read_by_its_content(here, capsys):
    shutil.copy(here / "me.png", here / "picture.mp4")
    shutil.copy(here / "moves.mp4", here / "video.png")
    assert transfer(["reference=picture.mp4", "driving=video.png"]) == 0, capsys.readouterr().err


def test_a_capital_suffix_is_written(here, capsys):
    assert transfer(["output=out.MP4"]) == 0, capsys.readouterr().err
    assert len(media.read_clip(here / "out.MP4")) == 4


def test_folders_with_hostile_names(here, capsys):
    folder = here / "a, [b]=c\n'd'"
    folder.mkdir()
    for name in ("me.png", "moves.mp4"):
        shutil.copy(here / name, folder / name)
    words = [f"reference={folder}/me.png", f"driving={folder}/moves.mp4", f"output={folder}/deep/er/out.mp4"]
    assert transfer(words) == 0, capsys.readouterr().err
    assert (folder / "deep" / "er" / "out.mp4").exists()
