"""`motionkit bench` on the command line: its help, its refusals, a whole run and a second start."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from motionkit.cli import main

SMALL = ["bench.pairs=1", "bench.frames=2", "bench.size=64", "gpu=cpu", "methods=[still,obedient]"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["method=still"], "method=still: bench takes methods=[NAME,NAME]"),
        (["backbone=pocket-sd"], "backbone=pocket-sd: bench takes backbones=[NAME,NAME]"),
        (["bench=sprits"], "unknown bench 'sprits' (did you mean 'sprites'?)"),
        (["bench.pears=2"], "unknown key 'bench.pears' (did you mean 'bench.pairs'?)"),
        (["bench.pairs=0"], "bench.pairs=0 is outside 1 to 100000"),
        (["methods=[stil]"], "unknown method 'stil' (did you mean 'still'?)"),
        (["settings.still.x=1"], "unknown key 'settings.still.x'"),
        (["runner=threads"], "unknown runner 'threads'"),
        (["workers=none"], "workers=none: give a whole number"),
        (["cluster.size=3"], "unknown key 'cluster.size'"),
        (["runner=submitit", "cluster.gpus=1", "gpu=cpu"], "start it on a node with such a GPU"),
        (["weights.clipp=x", *SMALL], "unknown set of metric weights 'clipp'"),
        (["output="], "output= is empty: give a path, or leave output= out"),
        (["output=table.md"], "output=table.md: bench writes a folder; give a name without .md"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(words, says, capsys):
    assert main(["bench", *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and said[0].startswith("motionkit: error: ") and says in said[0]


def test_help_is_light():
    code = (
        "import sys; from motionkit.cli import main; main(['bench', '--help']); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'hydra', 'joblib', 'submitit')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("usage: motionkit bench") and not done.stderr


def test_a_run_and_a_second_start(tmp_path, capsys):
    words = ["bench", *SMALL, "output=out", f"settings.obedient.log={tmp_path / 'log'}", "runner=serial", "threads=1"]
    assert main(words) == 0
    first = capsys.readouterr()
    assert first.out.strip().endswith("results.html") and "[2/2] obedient, case 0, seed 0: " in first.err
    page = tmp_path / "out" / next((tmp_path / "out").glob("results-*")).name / "results.json"
    data = json.loads(page.read_text())
    assert [row["label"] for row in data["rows"]] == ["still", "obedient"] and data["protocol"]["size"] == 64
    assert data["rows"][1]["figures"]["psnr"]["n"] == 1
    assert main(words) == 0 and "[1/" not in capsys.readouterr().err
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_failed_cell_makes_the_exit_code_1_and_a_refused_row_does_not(here, light, capsys, monkeypatch):
    monkeypatch.setattr("motionkit.cli.bench._runner", lambda config, folder: here)
    assert main(["bench", *SMALL, "settings.obedient.how=refuse", "output=out"]) == 1
    assert "failed: the clip is too green" in capsys.readouterr().err
    drawing = ["bench=drawing", *SMALL[:4], "methods=[still,warp]", "output=other"]
    assert main(["bench", *drawing]) == 0
    said = capsys.readouterr().err
    assert "warp: refused: warp needs driving, which the task 'drawing' does not have" in said.splitlines()
    assert said.count("warp needs driving") == 1


def test_a_table_without_any_row_leaves_the_old_one_alone(here, light, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("motionkit.cli.bench._runner", lambda config, folder: here)
    drawing = ["bench", "bench=drawing", *SMALL[:4], "output=out"]
    assert main([*drawing, "methods=[still]"]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*drawing, "methods=[warp,obedient]"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and err.startswith("motionkit: error: no row can run: warp: warp needs ")
    assert "; obedient: obedient needs driving" in err
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_the_ablations_are_run_by_the_ledger(here, capsys, monkeypatch, tmp_path):
    from motionkit.table.bench import ablations, ledger, ledger_page

    asked = {}

    def run_ledger(rows, folder, options, runner, say, *, variants, shard, **changed):
        asked.update(rows=rows, folder=folder, variants=variants, changed=changed)
        return SimpleNamespace(failed=[])

    monkeypatch.setattr(ablations, "choose", lambda words: list(words))
    monkeypatch.setattr(ledger, "run_ledger", run_ledger)
    monkeypatch.setattr(ledger_page, "write_ledger", lambda folder, done: folder / "ledger.md")
    (tmp_path / "models").mkdir()
    words = ["bench=ablations", "ablations=[flipsketch-*]", "bench.pairs=2", "bench.variants=models", "gpu=cpu"]
    assert main(["bench", *words]) == 0
    assert capsys.readouterr().out.strip().endswith("ledger.md")
    assert asked["rows"] == ["flipsketch-*"] and asked["changed"] == {"pairs": 2}
    assert asked["variants"] == tmp_path / "models" and asked["folder"] == tmp_path / "runs" / "bench" / "ablations"
