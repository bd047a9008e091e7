"""The folder that a sketch LoRA is trained on: captions, refusals, the cache, and the order of clips."""

import json

import numpy as np
import pytest
import torch

from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.media import read_clip, write_frames, write_gif, write_video
from motionkit.methods.flipsketch.train_data import DrawingClips, captioned, is_line_drawing
from motionkit.sprites import HELD_OUT_KINDS, HELD_OUT_MOTIONS, Motion, character, render_clip
from motionkit.sprites.export import write_drawings


@pytest.fixture(scope="module")
def backbone():
    from motionkit.backbones import load
    from motionkit.settings.gpu import Plan

    return load("tiny-modelscope", Plan())


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    write_drawings(folder, 3, frames=5, size=64)
    return folder


def drawing(frames=5, kind="cat"):
    return render_clip(character(3, kind), Motion("walk"), frames, 64).lines(2)


def read(folder, backbone, tmp_path, frames=4, **more):
    return DrawingClips(folder, backbone, 64, frames, tmp_path / "cache", **more)


def test_a_gif_that_stores_equal_frames_once_has_them_all(backbone, tmp_path):
    frames = drawing(10)
    frames[4] = frames[3]
    (tmp_path / "clips").mkdir()
    write_gif(tmp_path / "clips" / "a.gif", frames, 8)
    (tmp_path / "clips" / "a.txt").write_text("a cat walking")
    assert len(read_clip(tmp_path / "clips" / "a.gif")) == 9
    assert [clip.length for clip in read(tmp_path / "clips", backbone, tmp_path, frames=10).train] == [10]


class TestCaptions:
    def test_a_text_beside_a_clip_or_a_folder_of_pictures_or_a_row_of_the_table(self, tmp_path):
        write_video(tmp_path / "a.mp4", drawing(), 8)
        (tmp_path / "a.txt").write_text("a cat\n walking \n")
        write_frames(tmp_path / "more" / "v1.5 cat", drawing())
        (tmp_path / "more" / "v1.5 cat.txt").write_text("a second cat")
        write_gif(tmp_path / "more" / "c.gif", drawing(), 8)
        (tmp_path / "captions.csv").write_text('\ufefffile,caption\nmore/c.gif,"a cat, again"\n', encoding="utf-8")
        found = {p.relative_to(tmp_path).as_posix(): caption for p, caption in captioned(tmp_path)}
        assert found == {"a.mp4": "a cat walking", "more/v1.5 cat": "a second cat", "more/c.gif": "a cat, again"}

    def test_no_clips(self, tmp_path):
        (tmp_path / "readme.txt").write_text("nothing here")
        with pytest.raises(UserError, match="mp4 or gif"):
            captioned(tmp_path)

    def test_a_clip_without_a_caption_is_named_with_the_file_to_write(self, clips):
        texts = sorted(clips.glob("*.txt"))
        texts[1].unlink()
        texts[2].write_text(" \n")
        says = rf"2 of 3 clips have no caption.*{texts[1].stem}.gif: write {texts[1].name}"
        with pytest.raises(UserError, match=says):
            captioned(clips)

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("captions.csv", b"file,caption\nabsent.gif,a cat\n", "names absent.gif"),
            ("captions.csv", b"clip;text\n", "must name the columns file and caption"),
            ("captions.csv", b"\xff\xfe\x00", "cannot be read as UTF-8"),
            (None, b"\xff\xfe\x00", "cannot be read as UTF-8"),
            (None, b"x" * 70_000, "at most"),
        ],
    )
    def test_unreadable_captions(self, clips, name, content, says):
        (clips / name if name else sorted(clips.glob("*.txt"))[0]).write_bytes(content)
        with pytest.raises(UserError, match=says):
            captioned(clips)


class TestClips:
    def test_latents_are_the_backbones_and_made_once(self, clips, backbone, tmp_path, monkeypatch):
        source = read(clips, backbone, tmp_path)
        entry = source.train[0]
        frames = torch.from_numpy(read_clip(clips / entry.name).frames).permute(0, 3, 1, 2) / 255
        whole = backbone.encode(frames).transpose(0, 1)
        assert torch.allclose(source.cut(entry, 1), whole[:, 1:5], atol=2e-2)
        assert not source.notes and [e.length for e in source.train] == [5, 5, 5]
        monkeypatch.setattr(backbone, "encode", lambda x: pytest.fail("encoded again"))
        write_drawings(clips, 3, frames=5, size=64)  # the same clips, written once more
        again = read(clips, backbone, tmp_path)
        assert again.identity() == source.identity()
        assert torch.equal(again.cut(again.train[0], 1), source.cut(entry, 1))

    def test_a_short_clip_is_named(self, clips, backbone, tmp_path):
        with pytest.raises(UserError, match=r"00000-.*\.gif .*5 frames, .*train.frames=6.*train.frames=5"):
            read(clips, backbone, tmp_path, frames=6)

    def test_another_rate_is_another_clip(self, clips, backbone, tmp_path):
        assert {e.length for e in read(clips, backbone, tmp_path, fps=16.0).train} == {10}

    def test_pictures_that_are_no_line_drawings_are_only_noted(self, backbone, tmp_path, caplog):
        clip = render_clip(character(3, "cat"), Motion("walk"), 4, 64)
        write_gif(tmp_path / "in" / "colour.gif", clip.frames, 8)
        (tmp_path / "in" / "colour.txt").write_text("a cat")
        source = read(tmp_path / "in", backbone, tmp_path)
        assert source.notes == ["1 of 1 clips are not black lines on white, e.g. colour.gif"]
        assert source.notes[0] in caplog.text
        assert is_line_drawing(clip.lines(2)) and not is_line_drawing(clip.frames)
        assert not is_line_drawing(255 - clip.lines(2))

    def test_every_clip_comes_once_before_any_comes_again(self, clips, backbone, tmp_path):
        source = read(clips, backbone, tmp_path)
        drawn = [source.batch(i, 1, seed=0)[1][0] for i in range(9)]
        every = sorted(e.caption for e in source.train)
        assert [sorted(drawn[i : i + 3]) for i in (0, 3, 6)] == [every] * 3
        assert drawn == sum((source.batch(i, 3, seed=0)[1] for i in range(3)), [])
        one, two = source.batch(4, 2, 0), source.batch(4, 2, 0)
        assert torch.equal(one[0], two[0]) and one[0].shape == (2, 4, 4, 16, 16)

    def test_longer_clips_are_cut_anywhere_and_captions_are_dropped(self, clips, backbone, tmp_path):
        source = read(clips, backbone, tmp_path, frames=2)
        first = source.train[0]
        cuts = [source.cut(first, i) for i in range(4)]
        seen = set()
        for i in range(60):
            latents = source.batch(i, 1, 0)[0][0]
            seen |= {k for k, cut in enumerate(cuts) if torch.equal(cut, latents)}
        assert seen == {0, 1, 2, 3}
        empty = np.mean([source.batch(i, 1, 0, 0.3)[1] == [""] for i in range(300)])
        assert 0.2 < empty < 0.4
        assert all(source.batch(i, 1, 0, 0.0)[1] != [""] for i in range(50))

    def test_one_clip_in_ten_is_kept_out_of_training(self, backbone, tmp_path):
        write_drawings(tmp_path / "many", 40, frames=2, size=64)
        source = read(tmp_path / "many", backbone, tmp_path, frames=2)
        assert 1 <= len(source.held_out) <= 10 and len(source.train) + len(source.held_out) == 40
        assert not {e.name for e in source.held_out} & {e.name for e in source.train}


class TestExport:
    def test_drawings_are_a_folder_to_train_on(self, tmp_path, capsys):
        words = ["sprites", "lines=2-3", "count=30", f"output={tmp_path}", "frames=3", "size=64", "seed=5"]
        assert main(words) == 0
        found = captioned(tmp_path)
        assert len(found) == 30 and "30 drawings of the train split" in capsys.readouterr().out
        said = " ".join(caption for _, caption in found)
        names = " ".join(p.stem for p, _ in found)
        assert not any(word in said + names for word in HELD_OUT_KINDS)
        assert not any(f"-{word}" in names for word in HELD_OUT_MOTIONS)
        assert sum(caption.startswith("a drawing of ") for _, caption in found) > 15
        frames = np.concatenate([read_clip(p).frames for p, _ in found[:5]])
        assert is_line_drawing(frames) and frames.min() < 100 and frames.shape[1:] == (64, 64, 3)

    def test_the_same_seed_gives_the_same_folder(self, tmp_path):
        for name in "ab":
            write_drawings(tmp_path / name, 2, frames=2, size=64)
        files = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "ab"]
        assert files[0] == files[1] and len(files[0]) == 4

    @pytest.mark.parametrize("lines", ["thick", "3-2", "0", "99"])
    def test_a_width_that_is_none(self, lines, tmp_path, capsys):
        assert main(["sprites", f"lines={lines}", f"output={tmp_path}"]) == 2
        assert f"lines={lines} is not a width" in capsys.readouterr().err
        assert json.dumps([p.name for p in tmp_path.iterdir()]) == "[]"
