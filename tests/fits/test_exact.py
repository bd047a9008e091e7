"""A count at a run's own size, in a process of its own, kept by configuration."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from motionkit import registry
from motionkit.backbones.pretend import early
from motionkit.errors import UserError
from motionkit.running import exact
from motionkit.running.choices import method_settings
from motionkit.settings.need import Choice

NEEDS_CUDA = pytest.mark.skipif(not early.can_be(), reason="no C++ compiler, and torch is no build for CUDA")


@NEEDS_CUDA
def test_a_count_is_made_once_and_has_every_stage(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    spec = registry.spec("anamodiff")
    asked = (spec, method_settings(spec), "tiny-sd", 6, 64, 64)
    need = exact.exact_need(*asked)
    assert [peak.stage for peak in need.peaks(Choice())] == ["prepare", "fit", "generate"]
    assert all(work.bytes(Choice()) > 0 and work.flops(Choice()) > 0 for work in need.works)
    tune = next(work for work in need.works if work.what == "tuning step")
    assert tune.again is not None and tune.bytes(Choice(checkpointing=True)) < tune.bytes(Choice())
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was counted again"))
    assert exact.exact_need(*asked) == need


def test_another_version_of_a_plugin_is_counted_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(early, "can_be", lambda: True)
    counts, rows = [], '{"rows": {}, "factor": 8, "weights": {}}'
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: counts.append(1) or SimpleNamespace(returncode=0, stdout=rows)
    )
    monkeypatch.setattr(exact, "demands_of", lambda *_: [])
    spec = registry.spec("vidmp3")
    for version, made in (("1.0", 1), ("1.0", 1), ("1.1", 2)):
        monkeypatch.setattr(registry, "dist_of", lambda spec, version=version: f"a-plugin {version}")
        exact.exact_need(spec, method_settings(spec), "sd15", 8, 512, 512)
        assert len(counts) == made


def test_a_process_that_a_signal_ended_is_started_once_more(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(early, "can_be", lambda: True)
    rows = '{"rows": {}, "factor": 8, "weights": {}}'
    for codes, reason in (([-11, 0], None), ([-11, -11], "the count failed"), ([1], "the count failed")):
        left = list(codes)
        monkeypatch.setattr(
            subprocess,
            "run",
            lambda *_, left=left, **__: SimpleNamespace(returncode=left.pop(0), stdout=rows, stderr=""),
        )
        with pytest.raises(UserError, match=reason) if reason else contextlib.nullcontext():
            assert exact._counted({"codes": codes}, []) == json.loads(rows)
        assert not left


def test_where_nothing_can_be_pretended_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(early, "can_be", lambda: False)
    spec = registry.spec("vidmp3")
    with pytest.raises(UserError, match=r"install g\+\+"):
        exact.exact_need(spec, method_settings(spec), "sd15", 8, 512, 512)


def test_two_processes_that_compile_at_once_write_two_files(tmp_path, monkeypatch):
    """Neither may load what the other has not finished."""
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(early, "_compiler", lambda: "a compiler")
    written = []

    def compiles(words, **_):
        written.append(words[words.index("-o") + 1])
        Path(written[-1]).write_text("a library")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", compiles)
    for process in (1, 2):
        monkeypatch.setattr(early.os, "getpid", lambda process=process: process)
        early._compiled().unlink()
    assert len(set(written)) == 2 and not list(tmp_path.rglob("*.new"))


def test_this_process_is_too_late():
    if early.built_for_cuda():
        pytest.skip("a build for CUDA can always pretend")
    with pytest.raises(RuntimeError, match="imported already"):
        early.ready()


THREAD = """
from motionkit.backbones.pretend import early
early.ready()
import threading
import torch
from motionkit.backbones.pretend.device import world
seen = []
with world("cuda"):
    x = torch.ones(2, device="cuda", requires_grad=True)
    y = 2 * x
    y.register_hook(lambda _: seen.append(threading.get_ident()))
    y.sum().backward()
print(seen == [threading.get_ident()])
"""


@pytest.mark.slow
@NEEDS_CUDA
def test_a_backward_pass_on_a_card_that_is_not_there_has_no_thread_of_its_own():
    """Tensors that end in the engine's thread while the first one uses them ended some counts by a signal."""
    done = subprocess.run([sys.executable, "-c", THREAD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
