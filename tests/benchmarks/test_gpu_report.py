"""The report of a real GPU, on the CPU with tiny networks: its cases run, are kept, and go on where they stopped."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from motionkit.backbones.pretend import early

HERE = Path(__file__).parent


@pytest.fixture
def report(script):
    return script("gpu_report")


XL = pytest.param("tiny-animatediff-sdxl", marks=pytest.mark.slow)
PIPELINES = ["tiny-sd", "tiny-sdxl", "tiny-modelscope", "tiny-animatediff-sd15", XL]
SKETCH = pytest.param("flipsketch:tiny-modelscope", marks=pytest.mark.slow)


@pytest.mark.parametrize("case", ["anamodiff:tiny-sd+checkpointing", SKETCH])
def test_a_case_measures_every_call_of_its_method(report, case):
    rows = list(report.measure(case, "cpu"))
    assert all(row["seconds"] > 0 for row in rows)
    assert [row["what"] for row in rows if row["tunes"]] == (["tuning step"] if "anamodiff" in case else ["alignment"])
    assert ("denoising step" in {row["what"] for row in rows}) == ("+" not in case)


@pytest.mark.parametrize("backbone", PIPELINES)
def test_diffusers_own_pipelines_stand_beside(report, backbone):
    (row,) = report.measure(f"diffusers:{backbone}", "cpu")
    assert row["what"] == "denoising step" and row["clips"] == 2 and row["seconds"] > 0


def test_the_first_cases_have_every_method(report):
    first = report.cases()
    assert {case.split(":")[0] for case in first[:4]} == {"anamodiff", "animatex", "flipsketch", "vidmp3"}
    for switch in ("+checkpointing", "+offload"):
        assert {case.split(":")[0] for case in first if case.endswith(switch)} >= {"anamodiff", "flipsketch", "vidmp3"}
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
    late = {"error": "not done after 3 s"}
    answers |= {"animatex:animatex": {"rows": [row | {"seconds": 1.0}]}, "vidmp3:sdxl": late}
    report.report(list(answers), "cpu", tmp_path, 0.05, 30.0, False)
    cases = json.loads((tmp_path / "gpu_report.json").read_text())["cases"]
    assert "animatex:animatex" in cases and "vidmp3:sdxl" not in cases
    report.report(list(answers), "cpu", tmp_path, 0.05, 30.0, False)  # a whole start that is too short for it
    assert json.loads((tmp_path / "gpu_report.json").read_text())["cases"]["vidmp3:sdxl"] == late


def test_a_process_of_its_own_has_a_time_limit_and_an_error(report, monkeypatch):
    """Rows that it printed before are kept, the last one unless it was cut off."""
    row = {"what": "denoising step", "frames": 4, "clips": 2, "tunes": False, "seconds": 2.0}
    said = f"a warning\n{json.dumps(row)}\n{json.dumps(row)[:-9]}"

    def late(*_, **__):
        raise subprocess.TimeoutExpired("x", 1, output=said.encode())

    monkeypatch.setattr(subprocess, "run", late)
    found = report.run("a:b", "cpu", 1.0)
    assert "1 s" in found["error"] and found["rows"] == [row]
    for code, stderr, line in ((1, "Traceback\nValueError: x\n", "ValueError: x"), (-9, "", "-9")):
        done = subprocess.CompletedProcess([], code, said, stderr)
        monkeypatch.setattr(subprocess, "run", lambda *_, done=done, **__: done)
        found = report.run("a:b", "cpu", 1.0)
        assert line in found["error"] and found["rows"] == [row]
    kept = {"device": "x", "torch": "y", "cases": {"diffusers:b": {"rows": [row]}, "a:b": found}}
    assert report.page(kept).count("| 2 |") == 2 and "-9" in report.page(kept)


class Card:
    """torch.cuda of a card that keeps a diary and has a bad memory for large calls."""

    def __init__(self, monkeypatch, kernels=()):
        self.diary, self.now = [], 0.0
        for name in ("synchronize", "reset_peak_memory_stats", "empty_cache"):
            monkeypatch.setattr(torch.cuda, name, lambda name=name: self.diary.append(name))
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * 2**30)
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 4 * 2**30)
        monkeypatch.setattr(torch.profiler, "profile", lambda **_: self)
        self.key_averages = lambda: kernels

    def __enter__(self):
        self.diary.append("profile")
        return self

    def __exit__(self, *_):
        self.diary.append("profiled")

    def call(self):
        self.diary.append("call")


def test_on_a_card_the_peak_is_of_the_second_call_and_clocks_wait_for_it(report, monkeypatch):
    device = torch.autograd.DeviceType
    kernels = [
        SimpleNamespace(device_type=device.CUDA, is_user_annotation=False, self_device_time_total=2e6),
        SimpleNamespace(device_type=device.CUDA, is_user_annotation=True, self_device_time_total=5e6),  # spans kernels
        SimpleNamespace(device_type=device.CPU, is_user_annotation=False, self_device_time_total=7e6),
    ]
    card = Card(monkeypatch, kernels)
    monkeypatch.setattr(report.time, "perf_counter", lambda: card.diary.append("clock") or 1.0)
    found = report.timed(card.call, "cuda", tunes=True)
    first, second = ["call", "synchronize"], ["reset_peak_memory_stats", "clock", "call", "synchronize", "clock"]
    assert card.diary == [*first, *second, "profile", "call", "synchronize", "profiled"]
    assert found == {"seconds": 0.0, "held_gib": 3.0, "reserved_gib": 4.0, "kernel_seconds": 2.0}
    unasked = report.timed(Card(monkeypatch).call, "cuda", tunes=True)
    assert "kernel_seconds" not in unasked  # a driver that tells no kernels
    row = {"what": "tuning step", "frames": 4, "clips": 1, "tunes": True, "tflop": 6.0} | unasked | {"seconds": 2.0}
    assert "| 3 |" in report._line("a:b", row, None)


def test_a_call_that_the_card_is_too_small_for_is_a_row_and_the_next_is_measured(report, monkeypatch):
    card = Card(monkeypatch)

    def large():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total of 8 GiB")

    found = report.within_memory(lambda: large, "cuda", False)
    assert "20.00 GiB" in found["error"] and "GPU 0" not in found["error"] and card.diary == ["empty_cache"]
    assert "seconds" in report.within_memory(lambda: card.call, "cuda", False)
    row = {"what": "tuning step", "frames": 4, "clips": 1, "tunes": True, "tflop": 6.0, "preflight_gib": 25.0}
    line = report._line("a:b", row | found, None)
    assert "20.00 GiB" in line and "| 25 |" in line


@pytest.mark.slow
@pytest.mark.skipif(not early.can_be(), reason="no C++ compiler, and torch is no build for CUDA")
def test_the_road_of_a_card_is_walked_on_one_that_is_not_there(report):
    """Every method's calls and pipelines on fake CUDA tensors: what meets another device or type would raise."""
    done = subprocess.run([sys.executable, str(HERE / "gpu_report_pretended.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"what"')]
    assert len(rows) >= 10 and all(row["held_gib"] > 0 and "error" not in row for row in rows)
    assert any(row["tunes"] and row["kernel_seconds"] == 2.0 for row in rows)


def test_without_a_gpu_it_says_so_in_one_line(report, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    report.main(["--out", str(tmp_path)])
    assert "no GPU" in capsys.readouterr().out and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_whole_on_tiny_networks(report, tmp_path):
    report.main(["--tiny", "--out", str(tmp_path), "--minutes", "10"])
    kept = json.loads((tmp_path / "gpu_report.json").read_text())["cases"]
    assert len(kept) == len(report.TINY) and all("rows" in found for found in kept.values()), kept
