"""`motionkit compare` from the command line."""

import json
import subprocess
import sys

import pytest

from motionkit.cli import main


def words(*more):
    return ["compare", "methods=[still,warp]", "reference=ref.png", "driving=drive.mp4", "progress=none", *more]


def test_from_files_to_a_page(files, capsys):
    assert main(words("truth=truth.mp4", "prompt=a 'red' {square}, [walking]", "output=my results")) == 0
    out, err = capsys.readouterr()
    assert out.strip().endswith("my results/report.html")
    assert "[1/2] still" in err.splitlines()
    page = (files / "my results" / "report.html").read_text()
    assert "a &#x27;red&#x27; {square}, [walking]" in page
    facts = json.loads((files / "my results" / "metrics.json").read_text())
    assert [row["status"] for row in facts["cells"]] == ["complete", "complete"]
    assert str(files) not in page and str(files) not in json.dumps(facts)  # no paths of the user's in what is shared


def test_the_default_folder_is_the_same_for_the_same_inputs(files, capsys):
    assert main(words()) == 0 and main(words("settings.warp.flow=farneback")) == 0
    pages = set(capsys.readouterr().out.split())
    assert len(pages) == 1
    cells = sorted(p.name.partition("-")[0] for p in (files / pages.pop()).parent.glob("cells/*"))
    assert cells == ["still", "warp", "warp"]  # two settings of warp, one still


def test_a_failed_method_means_exit_code_1_and_a_page(files, capsys):
    assert main(words("methods=[still,anamodiff]", "backbone=sd15", "size=64", "output=out")) == 1
    out, err = capsys.readouterr()
    assert out.strip().endswith("report.html") and "anamodiff failed:" in err
    assert "Traceback" not in err
    page = (files / "out" / "report.html").read_text()
    assert "anamodiff failed:" in page and 'class="reason"' in page


def test_a_prompt_alone_ends_in_a_page_of_reasons(files, capsys):
    assert main(["compare", "methods=[still]", "prompt=x", "progress=none", "output=out"]) == 1
    out, err = capsys.readouterr()
    assert out.strip().endswith("out/report.html") and "still failed: still needs reference" in err
    assert "defect" not in err and "still needs reference" in (files / "out" / "report.html").read_text()
    assert json.loads((files / "out" / "metrics.json").read_text())["cells"][0]["status"] == "failed"


@pytest.mark.parametrize(
    "more, says",
    [
        (["methods=[still,wrap]"], "did you mean 'warp'"),
        (["method=still"], "methods=[still,warp]"),
        (["settings.warp.flwo=dis"], "settings.warp.flow"),
        (["settings.wrap.flow=dis"], "did you mean 'warp'"),
        (["sede=1"], "seed"),
        (["seed=abc"], "seed"),
        (["truth=nothing.mp4"], "nothing.mp4"),
        (["reference=nothing.png"], "nothing.png"),
        (["methods=[stil]", "reference=nothing.png"], "did you mean 'still'"),
        (["truth=ref.png"], "truth is a single picture"),
        (["truth="], "truth= is empty"),
        (["reference="], "reference= is empty"),
        (["driving="], "driving= is empty"),
        (["jobs="], "jobs= is empty"),
        (["jobs= "], "jobs= is empty"),
        (["output="], "output= is empty"),
        (["masks="], "masks= is empty"),
        (["output=out.mp4"], "folder"),
        (["-m"], "compare does not take -m"),
    ],
)
def test_mistakes_end_in_one_line(files, capsys, more, says):
    before = set(files.iterdir())
    assert main(words(*more)) == 2
    err = capsys.readouterr().err
    assert says in err and len(err.strip().splitlines()) == 1
    assert set(files.iterdir()) == before


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from motionkit.cli import main; main(['compare', '--help']); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'hydra', 'av', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: motionkit compare")
