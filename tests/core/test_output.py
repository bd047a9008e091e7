"""Outputs: refused early, written whole or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest

from motionkit.errors import UserError
from motionkit.media.output_files import (
    check_output,
    check_writable,
    local_path,
    temporary_beside,
    write_json,
    write_result,
)


def test_an_output_that_is_an_input_is_refused_however_it_is_spelt(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to(clip)
    (tmp_path / "sub").mkdir()
    for spelling in (clip, tmp_path / "link.mp4", tmp_path / "sub" / ".." / "clip.mp4"):
        with pytest.raises(UserError, match="is also an input"):
            check_output(spelling, [clip])
    check_output(tmp_path / "other.mp4", [clip])


def test_paths_as_they_are_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert local_path("~/x") == Path("/home/me/x") and local_path("a/~") == Path("a/~")
    (tmp_path / "~x").mkdir()
    assert local_path("~x") == Path("~x")
    with pytest.raises(UserError, match="only local files"):
        local_path("https://example.org/a.mp4")


def test_places_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        check_writable(tmp_path / "file" / "deeper")
    monkeypatch.setattr(os, "access", lambda *a: False)
    with pytest.raises(UserError, match="permission denied; choose another"):
        check_writable(tmp_path / "new" / "deeper")


def test_folders_and_files_are_not_mistaken_for_each_other(tmp_path):
    (tmp_path / "dir.mp4").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for name, says in (
        ("dir.mp4", "is a folder"),
        ("file", "is a file"),
        ("full", "not empty"),
        ("a.avi", "ends in"),
        (".mp4", "lacks a name before .mp4: give .*/out.mp4"),
        ("new/.GIF", "lacks a name"),
    ):
        with pytest.raises(UserError, match=says):
            check_output(tmp_path / name)


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), temporary_beside(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]
    write_json(path, {"a": 1})
    assert path.read_text() == '{\n  "a": 1\n}\n' and os.listdir(tmp_path) == ["a.json"]


def test_a_folder_of_frames(tmp_path):
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    write_result(tmp_path / "frames", frames, 8.0)
    assert len(list((tmp_path / "frames").glob("*.png"))) == 3 and os.listdir(tmp_path) == ["frames"]
    with pytest.raises(UserError, match="not empty"):
        write_result(tmp_path / "frames", frames, 8.0)
