"""The report of a real GPU, on the CPU with tiny networks: its cases run, are kept, and go on where they stopped."""

import json
import subprocess

import pytest
import torch


@pytest.fixture
def report(script):
    return script("gpu_report")


SKETCH = pytest.param("flipsketch:tiny-modelscope", marks=pytest.mark.slow)


@pytest.mark.parametrize("case", ["anamodiff:tiny-sd+checkpointing", SKETCH])
def test_a_case_measures_every_call_of_its_method(report, case):
    rows = report.measure(case, "cpu")
    assert all(row["seconds"] > 0 for row in rows)
    assert [row["what"] for row in rows if row["tunes"]] == (["tuning step"] if "anamodiff" in case else ["alignment"])
    assert ("denoising step" in {row["what"] for row in rows}) == ("+" not in case)


@pytest.mark.parametrize("backbone", ["tiny-sd", "tiny-sdxl", "tiny-modelscope", "tiny-animatediff-sd15"])
def test_diffusers_own_pipelines_stand_beside(report, backbone):
    (row,) = report.measure(f"diffusers:{backbone}", "cpu")
    assert row["what"] == "denoising step" and row["clips"] == 2 and row["seconds"] > 0


def test_the_first_cases_have_every_method(report):
    first = report.cases()
    assert {case.split(":")[0] for case in first[:4]} == {"anamodiff", "animatex", "flipsketch", "vidmp3"}
    assert len(first) == len(set(first)) and not any("tiny" in case or "pocket" in case for case in first)


def test_what_is_kept_is_not_measured_again(report, tmp_path, monkeypatch, capsys):
    """A failed case is a line of the table; a case that the whole time cut short is tried by the next start."""
    row = {"what": "denoising step", "frames": 4, "clips": 2, "tunes": False, "tflop": 6.0, "preflight_gib": 2.0}
    answers = {
        "vidmp3:sd15": {"rows": [row | {"seconds": 3.0, "held_gib": 2.2}]},
        "diffusers:sd15": {"rows": [row | {"seconds": 2.0}]},
        "anamodiff:sd15": {"error": "full"},
    }
    asked = []
    monkeypatch.setattr(report, "run", lambda case, *_: asked.append(case) or answers[case])
    given = (list(answers), "cpu", tmp_path, 1.0)
    report.report(*given, 30.0, False)
    report.report(*given, 30.0, False)
    assert asked == list(answers)
    lines = (tmp_path / "gpu_report.md").read_text().splitlines()
    assert [cell.strip() for cell in lines[4].split("|")[4:11]] == ["2.2", "2", "1.1", "3", "", "2", "1.5"]
    assert any("full" in line for line in lines) and len({line.count("|") for line in lines[2:]}) == 1
    answers["animatex:animatex"] = {"error": "not done after 3 s"}
    report.report(list(answers), "cpu", tmp_path, 0.05, 30.0, False)
    assert "animatex:animatex" not in json.loads((tmp_path / "gpu_report.json").read_text())["cases"]


def test_a_process_of_its_own_has_a_time_limit_and_an_error(report, monkeypatch):
    def late(*_, **__):
        raise subprocess.TimeoutExpired("x", 1)

    monkeypatch.setattr(subprocess, "run", late)
    assert "1 s" in report.run("a:b", "cpu", 1.0)["error"]


def test_without_a_gpu_it_says_so_in_one_line(report, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    report.main(["--out", str(tmp_path)])
    assert "no GPU" in capsys.readouterr().out and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_whole_on_tiny_networks(report, tmp_path):
    report.main(["--tiny", "--out", str(tmp_path), "--minutes", "10"])
    kept = json.loads((tmp_path / "gpu_report.json").read_text())["cases"]
    assert len(kept) == len(report.TINY) and all("rows" in found for found in kept.values()), kept
