"""The Transfer tab through its API: the same run as the command line's, and only files of this browser."""

import json
import shlex

import pytest

from motionkit.cli import main
from motionkit.ui import asking, transfers
from motionkit.ui.files import EXAMPLE

pytest.importorskip("gradio", reason="the web page needs gradio: pip install 'motionkit[ui]'")

VARIES = ("started", "seconds", "stages", "peak_memory", "output", "from_cache")


def given(me, clips):
    reference, driving = me.upload(clips / "me.png"), me.upload(clips / "moves.mp4")
    return reference, driving


def test_a_clip_is_looked_at(me, clips):
    seen = me.ask("/look_driving", me.upload(clips / "moves.mp4"))
    assert (seen["kind"], seen["frames"], seen["size"]) == ("video", 6, [64, 48])
    assert abs(seen["seconds"] - 0.75) < 0.01 and seen["strip"].startswith("data:image/jpeg")
    still = me.ask("/look_reference", me.upload(clips / "me.png"))
    assert still["kind"] == "image" and still["strip"] is None


def test_a_bad_file_is_refused_in_one_line_by_its_own_name(me, tmp_path):
    (tmp_path / "notes.mp4").write_text("this is a text")
    said = me.ask("/look_driving", me.upload(tmp_path / "notes.mp4"))["error"]
    assert said.startswith("notes.mp4: is a text file") and "\n" not in said and "/tmp" not in said


def test_a_run_is_the_command_lines(me, clips, tmp_path, monkeypatch):
    reference, driving = given(me, clips)
    form = {"method": "warp", "settings": {"path": "chain"}, "seed": "3", "frames": "5"}
    state = me.ask("/transfer", form, reference, driving | {"start": 0.125})
    assert (state["state"], state["line"]) == ("done", "")
    cell = state["cells"][0]
    video = me.file(cell["video"])
    assert video.status_code == 200 and video.content[4:8] == b"ftyp"
    monkeypatch.chdir(clips)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    words = asking.as_words(form, {"reference": reference, "driving": driving | {"start": 0.125}})
    out = tmp_path / "out.mp4"
    assert main([*shlex.split(words["command"].replace("\\\n", " "))[1:], f"output={out}", "progress=none"]) == 0
    theirs = json.loads(next((clips / "runs").glob("transfer/*/manifest.json")).read_text())
    ours = me.manifest(cell)
    assert {k: v for k, v in ours.items() if k not in VARIES} == {k: v for k, v in theirs.items() if k not in VARIES}
    assert ours["output"]["sha256"] == theirs["output"]["sha256"]


def test_the_python_that_is_copied_runs(clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    clip = {
        name: {"path": str(clips / file), "example": True}
        for name, file in (("reference", "me.png"), ("driving", "moves.mp4"))
    }
    text = asking.as_words(
        {"method": "warp", "settings": {"path": "chain"}, "frames": "4", "prompt": 'a "q" \'s'}, clip
    )["python"]
    exec(compile(text, "copied", "exec"), {})
    assert (tmp_path / "out.mp4").is_file()


def test_what_cannot_run_says_so_in_one_line(me, clips):
    reference, _ = given(me, clips)
    state = me.ask("/transfer", {"method": "warp"}, reference, None)
    assert state["state"] == "failed" and "driving" in state["line"]
    state = me.ask("/transfer", {"method": "warp", "frames": "many"}, reference, None)
    assert state["state"] == "failed" and "frames=many" in state["line"]
    state = me.ask("/transfer", {"method": "wrap"}, reference, None)
    assert state["state"] == "failed" and "warp" in state["line"]


def test_what_the_method_saw_is_shown_and_served(me, clips, page):
    reference, driving = given(me, clips)
    state = me.ask("/transfer", {"method": "warp"}, reference, driving)
    for item in state["cells"][0]["shown"]:
        assert item["frames"] and me.file(item["url"]).status_code == 200
    assert me.file(state["inputs"]["driving"]).status_code == 200


def test_files_of_another_browser_are_neither_served_nor_read(me, other, clips):
    reference, driving = given(me, clips)
    mine = f"gradio_api/file={driving['path']}"
    assert me.file(mine).status_code == 200
    assert other.file(mine).status_code == other.file(mine.replace("file=", "file/")).status_code == 403
    state = other.ask("/transfer", {"method": "still"}, reference, None)
    assert state["state"] == "failed" and "upload" in state["line"]
    done = me.ask("/transfer", {"method": "warp"}, reference, driving)
    assert other.file(done["inputs"]["driving"]).status_code == 403
    assert other.file(done["cells"][0]["video"]).status_code == 200  # a run: everyone who is let in sees it


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{runs}/../../etc/passwd", "{runs}", "http://127.0.0.1:1/x", "{link}", "{hidden}"]
)
def test_no_other_file_is_served(me, page, path):
    runs = page[1].runs
    link, hidden = runs / "link", runs / ".secret"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    hidden.write_text("secret")
    asked = path.format(runs=runs, link=link, hidden=hidden)
    assert me.file(f"gradio_api/file={asked}").status_code in (403, 404)
    assert me.file(f"gradio_api/file/{asked}").status_code in (403, 404)
    state = me.ask("/transfer", {"method": "still"}, {"path": asked}, None)
    assert state["state"] == "failed"


def test_the_example_moves_and_the_others_follow(page):
    assert transfers.movers()[0] == "warp"
    clips = transfers.example_clips()
    assert clips["driving"]["kind"] == "video" and EXAMPLE.name in clips["reference"]["path"]
