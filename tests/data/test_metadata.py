"""Folders of the Hub's layout (metadata.jsonl, metadata.csv) as lists of jobs."""

import json

import pytest

from motionkit.data.job_list import read_jobs
from motionkit.errors import UserError


def described(folder, *rows):
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n\n" for row in rows))
    return folder


def test_a_video_drives_and_a_picture_is_the_reference(tmp_path):
    rows = (
        {"file_name": "clips/a.MP4", "text": "a  red\ncat", "label": 3, "objects": None},
        {"file_name": "b.PNG", "driving_file_name": "c.gif", "prompt": "a dog", "seed": 7, "fps": 12.5, "name": "dog"},
    )
    one, two = read_jobs(described(tmp_path, *rows))
    assert one.name == "001" and one.values == {"driving": f"{tmp_path}/clips/a.MP4", "prompt": "a red cat"}
    files = {"reference": f"{tmp_path}/b.PNG", "driving": f"{tmp_path}/c.gif"}
    assert two.name == "dog" and two.values == files | {"prompt": "a dog", "seed": 7, "fps": 12.5}
    assert read_jobs(tmp_path / "metadata.jsonl") == [one, two]


def test_a_table_is_read_the_same_way(tmp_path):
    (tmp_path / "metadata.csv").write_text('file_name,reference,text\na.mp4,a.png,"red, and blue"\n')
    (job,) = read_jobs(tmp_path)
    files = {"driving": f"{tmp_path}/a.mp4", "reference": f"{tmp_path}/a.png"}
    assert job.values == files | {"prompt": "red, and blue"} and read_jobs(tmp_path / "metadata.csv") == [job]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"file_name": "../a.mp4"}, "outside"),
        ({"file_name": "/etc/passwd"}, "outside"),
        ({"file_name": "https://x.org/a.mp4"}, "only local files"),
        ({"file_name": "a.mp4", "driving": "b.mp4"}, "gives driving twice"),
        ({"file_name": "a.mp4", "promt": "x"}, "did you mean 'prompt'"),
        ({"file_name": "a.mp4", "text": ["x"]}, "text must be"),
        ({"file_name": "a.mp4", "seed": True}, "seed must be"),
        ({"file_name": "a.mp4", "seed": 1.5}, "seed=1.5: give a whole number"),
        ({"text": "a cat"}, "names no file"),
        ({"file_name": "a.mp4", "name": "../x"}, "cannot be a folder's"),
        (["a.mp4"], "no JSON object"),
    ],
)
def test_a_row_that_cannot_be_a_job_is_refused_in_one_line(tmp_path, row, says):
    with pytest.raises(UserError, match=says) as error:
        read_jobs(described(tmp_path, {"file_name": "fine.mp4"}, row))
    assert "line 3" in str(error.value) or "column" in str(error.value)


def test_a_name_like_a_home_folder_stays_in_the_folder(tmp_path):
    (job,) = read_jobs(described(tmp_path, {"file_name": "~/a.mp4"}))
    assert job.values["driving"] == f"{tmp_path}/~/a.mp4"


def test_files_that_say_nothing_are_refused(tmp_path):
    with pytest.raises(UserError, match="no rows"):
        read_jobs(described(tmp_path))
    (tmp_path / "metadata.csv").write_text("file_name\na.mp4\n")
    with pytest.raises(UserError, match="has both"):
        read_jobs(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    described(tmp_path, {"file_name": "a.mp4", "name": "x"}, {"file_name": "b.mp4", "name": "x"})
    with pytest.raises(UserError, match="two jobs named 'x'"):
        read_jobs(tmp_path)


def test_the_verb_lists_the_sets_and_completes(capsys, tmp_path):
    from motionkit.cli import main
    from motionkit.cli.completion import candidates
    from motionkit.data import SETS

    assert main(["data"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name:10} " in out for name in SETS)
    assert candidates(["data", "m"]) == ["mgif"] and "data" in candidates(["d"])
    assert candidates(["data", "mgif", "a", "b", "task=c"]) == ["task=cross"]
    assert main(["data", "mgif"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "NAME ROOT JOBS" in err and err.count("\n") == 1
    assert main(["data", "mgif", str(tmp_path), str(tmp_path / "jobs")]) == 2
