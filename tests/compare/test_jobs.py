"""Lists of jobs: folders and CSV files, an index with means and intervals, failures that stop nothing, resuming."""

import json
import os
from dataclasses import replace
from pathlib import Path

import compare_fakes as fakes
import pytest

from motionkit import media
from motionkit.cli import main
from motionkit.errors import Cancelled, UserError
from motionkit.table.compare import Job, compare, compare_jobs, read_jobs


@pytest.fixture
def folder(clips, tmp_path):
    """Two jobs in folders: one with its own prompt and truth, one with a driving clip as pictures."""
    for name in ("one", "two words"):
        (tmp_path / "jobs" / name).mkdir(parents=True)
        media.write_image(tmp_path / "jobs" / name / "reference.png", clips["reference"].frames[0])
    one, two = tmp_path / "jobs" / "one", tmp_path / "jobs" / "two words"
    media.write_video(one / "driving.mp4", clips["driving"].frames, 6)
    media.write_video(one / "truth.mp4", clips["truth"].frames, 6)
    (one / "prompt.txt").write_text("  a red <b>square</b>,\n walking ", encoding="utf-8-sig")
    media.write_frames(two / "driving", clips["driving"].frames)
    (tmp_path / "jobs" / ".git").mkdir()
    (one / ".DS_Store").write_text("")
    (one / "_notes.txt").write_text("mine")
    return tmp_path / "jobs"


def words(*more):
    return ["compare", "methods=[still,warp]", "progress=none", "size=40x32", "frames=4", *more]


def test_a_folder_of_jobs(folder):
    one, two = read_jobs(folder)
    assert (one.name, two.name) == ("one", "two words")
    assert one.values == {
        "driving": str(folder / "one" / "driving.mp4"),
        "prompt": "a red <b>square</b>, walking",
        "reference": str(folder / "one" / "reference.png"),
        "truth": str(folder / "one" / "truth.mp4"),
    }
    assert two.values["driving"] == str(folder / "two words" / "driving")


def test_a_csv_file_of_jobs(tmp_path):
    text = 'name,reference,prompt,seed,fps,masks\nfirst,a.png,"red, walking",3,12.5,\n\n,/abs/b.png,,,,masks\n'
    (tmp_path / "jobs.csv").write_text(text, encoding="utf-8-sig")
    first, second = read_jobs(tmp_path / "jobs.csv")
    assert first == Job(
        "first", {"reference": str(tmp_path / "a.png"), "prompt": "red, walking", "seed": 3, "fps": 12.5}
    )
    assert second == Job("002", {"reference": "/abs/b.png", "masks": str(tmp_path / "masks")})


def test_a_home_folder_and_odd_line_breaks_in_a_text(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "jobs.csv").write_text("reference,prompt\n~/a.png,one\u2028two\n", encoding="utf-8")
    (only,) = read_jobs(tmp_path / "jobs.csv")
    assert only.values == {"reference": "/home/me/a.png", "prompt": "one\u2028two"}


def test_from_a_folder_to_an_index_that_resumes(folder, tmp_path, capsys):
    assert main(words(f"jobs={folder}", "output=out")) == 0
    out, err = capsys.readouterr()
    assert out.strip().endswith("out/index.html") and "job 2 of 2: two words" in err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["jobs_done"] == summary["jobs"] == 2
    still = summary["summary"]["still"]
    assert still["psnr"]["n"] == 1 and still["motion_amount"]["n"] == 2  # one job has a truth
    assert still["motion_amount"]["low"] <= still["motion_amount"]["mean"] <= still["motion_amount"]["high"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert 'href="jobs/two%20words/report.html"' in page and "n 2" in page and page.count("data:image/jpeg") == 2
    assert "a red &lt;b&gt;square" in (tmp_path / "out" / "jobs" / "one" / "report.html").read_text()
    assert str(tmp_path) not in page and str(tmp_path) not in json.dumps(summary)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("cells/*/result.mp4")}
    assert len(made) == 4
    assert main(words(f"jobs={folder}", "output=out")) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("cells/*/result.mp4")} == made


def test_a_failed_job_stops_nothing_and_the_shared_request_fills_gaps(files, capsys):
    (files / "list.csv").write_text("name,reference\ngood,ref.png\nbad,absent.png\nalso,ref.png\n")
    assert main(words("jobs=list.csv", "driving=drive.mp4")) == 1
    out, err = capsys.readouterr()
    index = Path(out.strip())
    assert index.parent.parent == Path("runs/compare") and "bad failed:" in err and "Traceback" not in err
    summary = json.loads((index.parent / "summary.json").read_text())
    assert [job["status"] for job in summary["each"]] == ["complete", "failed", "complete"]
    assert "absent.png" in summary["each"][1]["reason"]
    assert summary["summary"]["warp"]["seconds"]["n"] == 2
    assert "bad failed:" in index.read_text()


def test_a_folder_whose_name_is_no_text_stops_no_other(folder, tmp_path, capsys):
    (tmp_path / "jobs" / "a:b").mkdir()
    try:
        os.mkdir(os.fsencode(folder) + b"/caf\xe9")  # as an archive from another system leaves it
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert [job.name for job in read_jobs(folder)] == ["a:b", "caf\\udce9", "one", "two words"]
    assert main(words("methods=[still]", f"jobs={folder}", "output=out")) == 1
    out, err = capsys.readouterr()
    assert "  caf\\udce9 failed: " in err.splitlines()[3] and "--debug" not in err
    each = json.loads((tmp_path / "out" / "summary.json").read_text())["each"]
    assert [job["status"] for job in each] == ["failed", "failed", "complete", "complete"]
    assert "caf\\udce9 failed:" in (tmp_path / "out" / "index.html").read_text()


def test_a_reason_that_is_no_text_stops_no_other_job(inputs):
    def run(job, folder):
        if job.name != "c":
            raise (UserError if job.name == "a" else ValueError)("cannot read caf\udce9.png")
        return compare((fakes.SHIFT,), inputs, folder=folder, size="40x32")

    done = compare_jobs([Job("a"), Job("b"), Job("c")], run, "out")
    assert done.failed.keys() == {"a", "b"} and done.failed["a"] == "cannot read caf\\udce9.png"
    assert "caf\\udce9.png" in done.index.read_text(encoding="utf-8")


def test_a_job_with_nothing_to_show_is_told_and_stops_no_other(folder, tmp_path, capsys):
    (folder / "bare").mkdir()
    (folder / "bare" / "prompt.txt").write_text("a square")
    assert main(words("methods=[still]", f"jobs={folder}", "output=out")) == 1
    err = capsys.readouterr().err
    assert "still failed: still needs reference" in err and "--debug" not in err
    each = json.loads((tmp_path / "out" / "summary.json").read_text())["each"]
    assert [job["status"] for job in each] == ["failed", "complete", "complete"]
    assert each[0]["methods"][0]["reason"].startswith("still needs reference")
    assert (tmp_path / "out" / "jobs" / "bare" / "report.html").is_file()
    assert (tmp_path / "out" / "index.html").read_text().count("data:image/jpeg") == 2


def test_a_job_that_lasts_longer_than_an_input_may_is_no_failure(inputs):
    def run(job, folder):
        return compare((fakes.SHIFT,), inputs, folder=folder, size="40x32", frames=4, fps=0.01)

    assert 4 / 0.01 > media.Limits().max_seconds
    done = compare_jobs([Job("slow")], run, "out")
    assert not done.failed and done.jobs[0].rows and "data:image/jpeg" in done.index.read_text()


def batch(inputs, methods, names=("a", "b"), say=lambda line: None):
    def run(job, folder):
        chosen = replace(inputs, prompt=job.name)
        return compare(methods, chosen, folder=folder, size="40x32")

    return compare_jobs([Job(name) for name in names], run, "out", say)


def test_a_method_that_fails_in_a_job_is_counted_and_named(inputs):
    done = batch(inputs, (fakes.SHIFT, fakes.MENDABLE))
    assert done.failed == {name: "mendable: mendable needs a bigger reference" for name in ("a", "b")}
    summary = json.loads((done.folder / "summary.json").read_text())["summary"]
    assert summary["mendable"] == {} and summary["shift"]["motion_amount"]["n"] == 2


def test_a_defect_of_a_job_is_kept_with_its_trace(inputs, tmp_path):
    def run(job, folder):
        if job.name == "a":
            raise ZeroDivisionError("oh\nno")
        return compare((fakes.SHIFT,), inputs, folder=folder, size="40x32")

    said = []
    done = compare_jobs([Job("a"), Job("b")], run, "out", said.append)
    assert done.failed == {"a": "ZeroDivisionError: oh no (a defect: see jobs/a/error.txt)"}
    assert "Traceback" in (tmp_path / "out/jobs/a/error.txt").read_text() and not done.jobs[1].failed
    assert said == ["job 1 of 2: a", f"  a failed: {done.failed['a']}", "job 2 of 2: b"]


def test_an_interrupt_leaves_the_index_of_what_is_done(inputs, tmp_path):
    def run(job, folder):
        if job.name == "b":
            fakes.INTERRUPT.add("shift")
        settings = {"shift": {"by": 2 if job.name == "b" else 3}}
        return compare((fakes.SHIFT,), inputs, settings, folder, size="40x32")

    with pytest.raises(Cancelled):
        compare_jobs([Job("a"), Job("b"), Job("c")], run, "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["jobs_done"], summary["jobs"]) == (1, 3)
    assert "still to come <b>2</b>" in (tmp_path / "out" / "index.html").read_text()


def test_means_and_intervals_are_over_jobs():
    from motionkit.table.compare.index import Done, summarise

    rows = [{"method": "m", "reason": None, "metrics": {"psnr": v, "ssim": None}, "seconds": 1.0} for v in (10, 20, 30)]
    failed = {"method": "m", "reason": "no", "metrics": {}, "seconds": 9.0}
    done = [Done(str(i), [row]) for i, row in enumerate(rows)]
    found = summarise([*done, Done("x", [failed]), Done("y", reason="r")])
    assert found["m"]["psnr"]["n"] == 3 and found["m"]["psnr"]["mean"] == 20
    assert 10 <= found["m"]["psnr"]["low"] < 20 < found["m"]["psnr"]["high"] <= 30
    alone = summarise(done[:1])["m"]["psnr"]
    assert alone == {"n": 1, "mean": 10, "low": None, "high": None}, "one job has no interval"
    assert found["m"]["seconds"] == {"n": 3, "mean": 1.0, "low": 1.0, "high": 1.0} and "ssim" not in found["m"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("reference,driving\n", "has no jobs"),
        ("reference,drivng\na,b\n", "did you mean 'driving'"),
        ("reference,reference\na,b\n", "column reference twice"),
        ("reference;driving\na;b\n", "has ';' between its columns: save it with commas"),
        ("reference,prompt\na.png,red, walking\n", "line 2 has 3 cells for 2 columns"),
        ("name,reference\nx,a.png\nx,b.png\n", "two jobs named 'x'"),
        ("name,reference\n../x,a.png\n", "line 2: the name '../x'"),
        ("reference,frames\na.png,four\n", "line 2: frames=four: give a whole number"),
        ("reference,fps\na.png,fast\n", "line 2: fps=fast: give a number"),
        ("reference\nhttps://example.org/a.png\n", "only local files"),
        ('reference\n"a.png\n', "line 2: unexpected end of data"),
        (b"\xff\xfe\x00", "is not UTF-8"),
    ],
)
def test_a_bad_list_is_refused_in_one_line(tmp_path, text, says):
    (tmp_path / "jobs.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read_jobs(tmp_path / "jobs.csv")
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "no sub-folder"),
        (["a/"], "is an empty job"),
        (["a/drivng.mp4"], "did you mean 'driving'"),
        (["a/reference.png", "a/reference.jpg"], "has reference twice"),
        (["a/prompt.md"], "a .txt file"),
    ],
)
def test_a_bad_folder_is_refused_in_one_line(tmp_path, files, says):
    root = tmp_path / "jobs"
    root.mkdir()
    for file in files:
        (root / file).parent.mkdir(exist_ok=True) if not file.endswith("/") else (root / file).mkdir()
        if not file.endswith("/"):
            (root / file).write_text("x")
    with pytest.raises(UserError) as caught:
        read_jobs(root)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["jobs=absent"], "is not there"),
        (["jobs=ref.png"], "neither a folder nor a .csv file"),
        (["jobs=list.csv", "methods=[still,wrap]"], "did you mean 'warp'"),
        (["jobs=list.csv", "settings.warp.flow=x"], "settings.warp.flow"),
        (["jobs=list.csv", "gpu.device=abacus"], "abacus"),
        (["jobs=list.csv", "output=out.html"], "folder"),
    ],
)
def test_what_holds_for_every_job_is_refused_before_the_first(files, capsys, more, says):
    (files / "list.csv").write_text("reference,driving\nref.png,drive.mp4\n")
    before = set(files.iterdir())
    assert main(words(*more)) == 2
    err = capsys.readouterr().err
    assert says in err and len(err.strip().splitlines()) == 1
    assert set(files.iterdir()) == before
