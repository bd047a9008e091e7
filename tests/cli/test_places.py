"""Names and places that refuse: one line, nothing half-made; where the result can lie elsewhere, it does."""

import json
import os
import pwd
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

STILL = ["transfer", "method=still", "reference=ref.png", "gpu=cpu", "progress=none"]
LONG = "n" * 300


def one_line(found):
    code, out, err = found
    assert (code, out) == (2, "") and err.count("\n") == 1 and err.startswith("motionkit: error: "), err
    assert "internal error" not in err and len(err) < 700
    return err


@pytest.mark.parametrize("name", ["~nouser/x.png", f"{LONG}.png", "a\0b.png", f"{LONG}/x.png"], ids=ascii)
@pytest.mark.parametrize("key", ["reference", "driving", "output", "masks", "backbone.path", "backbone.lora"])
def test_names_that_no_file_has(cli, work, key, name):
    name = name.replace(".png", ".mp4") if key == "output" else name
    words = ["transfer", "method=vidmp3", "reference=ref.png", "driving=drive.mp4", "prompt=x", "gpu=cpu"]
    one_line(cli(*words, f"{key}={name}"))
    assert not list(work.rglob("manifest.json"))


def test_nobodys_home_anywhere_is_one_line(work, capsys):
    from motionkit.cli import main

    code = main(["convert", "anamodiff", "~nouser/x", "y"])
    assert "~" in one_line((code, *capsys.readouterr()))


@pytest.mark.parametrize("name", ["pipe", "pipe.mp4"])
def test_an_output_that_is_a_device_stays_one(cli, work, name):
    os.mkfifo(work / name)
    assert "device" in one_line(cli(*STILL, f"output={name}"))
    assert (work / name).is_fifo()


@pytest.mark.parametrize("key", ["reference", "output", "masks", "backbone.path"])
def test_dev_null_as_a_name(cli, work, key):
    words = ["transfer", "method=vidmp3", "reference=ref.png", "driving=drive.mp4", "prompt=x", "gpu=cpu"]
    one_line(cli(*words, f"{key}=/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_a_folder_that_cannot_be_looked_into(cli, work, monkeypatch):
    (work / "locked").mkdir()
    listing = Path.iterdir

    def refuse(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "locked" in one_line(cli(*STILL[:2], "reference=locked", "gpu=cpu"))
    assert "locked" in one_line(cli("compare", "methods=[still]", "jobs=locked"))


@pytest.fixture
def locked(work, monkeypatch):
    """The working folder takes no file, as on a read-only disk."""
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode, **k: not Path(path).is_relative_to(work) and allowed(path, mode)
    )
    return work


def test_a_read_only_working_folder_with_the_output_elsewhere(cli, locked, tmp_path):
    out = tmp_path / "it's there" / "out.mp4"
    code, said, err = cli(*STILL, f"output={out}")
    assert code == 0 and said.strip() == str(out), err
    (manifest,) = out.parent.glob("runs/transfer/*/manifest.json")
    assert json.loads(manifest.read_text())["status"] == "complete" and not (locked / "runs").exists()


def test_a_read_only_working_folder_without_another_place(cli, locked):
    assert "output=" in one_line(cli(*STILL))
    one_line(cli(*STILL, "seed=1,2", "-m"))
    one_line(cli(*STILL, "output=here.mp4"))
    assert cli(*STILL, "--cfg", "job")[0] == 0
    assert not (locked / "runs").exists()


def test_a_working_folder_that_is_gone(cli, work, tmp_path, monkeypatch):
    gone = tmp_path / "gone"

    def leave():
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()

    words = ["transfer", "method=still", f"reference={work / 'ref.png'}", "gpu=cpu", "progress=none"]
    leave()
    assert "current folder" in one_line(cli(*words))
    assert "current folder" in one_line(cli(*words, "output=x.mp4"))
    code, _, err = cli(*words, f"output={tmp_path / 'kept' / 'x.mp4'}")
    assert code == 0, err
    assert (tmp_path / "kept" / "x.mp4").is_file() and list((tmp_path / "kept").glob("runs/transfer/*/manifest.json"))


def test_no_home_and_no_entry_in_the_list_of_users(cli, work, monkeypatch):
    def nobody(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("MOTIONKIT_CACHE")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    code, _, err = cli("transfer", "method=warp", "reference=ref.png", "driving=drive.mp4", "gpu=cpu", "output=o.mp4")
    assert code == 0 and (work / "o.mp4").is_file(), err
    assert cli("doctor")[0] in (0, 1) and cli("cache")[0] == 0


def script(*words, **given):
    return subprocess.run(
        [sys.executable, "-m", "motionkit", *words],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **given,
    )


def test_a_full_or_closed_stdout(work):
    with open("/dev/full", "w") as full:
        done = script("methods", stdout=full)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "No space left" in done.stderr
    command = f"{sys.executable} -m motionkit methods still"
    done = subprocess.run(["sh", "-c", f"{command} >&-"], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run(["sh", "-c", f"{command} nothing 2>&-"], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (2, "")


def test_the_same_start_twice_in_a_second_gets_a_folder_each(cli, work, monkeypatch):
    import hydra.core.utils

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr(hydra.core.utils, "datetime", Stopped)
    assert [cli(*STILL)[0] for _ in range(2)] == [0, 0]
    assert len(list(work.glob("runs/transfer/20260102-030405-*/manifest.json"))) == 2
    assert [cli(*STILL, "seed=1,2", "-m")[0] for _ in range(2)] == [0, 0]
    sweeps = {path.parents[1] for path in work.glob("runs/transfer/20260102-030405-*-sweep/*/manifest.json")}
    assert len(sweeps) == 2 and len(list(work.glob("runs/transfer/*-sweep/*/manifest.json"))) == 4


def test_without_room_for_the_manifest_nothing_gets_its_name(cli, work, monkeypatch):
    from motionkit.errors import UserError
    from motionkit.running import stage_runner as road

    (work / "old.mp4").write_bytes(b"of an earlier run")

    def full(path, value):
        raise UserError("no space left")

    monkeypatch.setattr(road, "write_json", full)
    for name in ("new.mp4", "old.mp4", "frames", "new.gif"):
        assert "no space left" in cli(*STILL, f"output={name}")[2]
    assert (work / "old.mp4").read_bytes() == b"of an earlier run"
    assert sorted(path.name for path in work.iterdir()) == ["drive.mp4", "old.mp4", "ref.png", "runs"]
    assert not [path for path in (work / "runs").rglob("*") if path.is_file()]


def test_the_plan_is_said_when_nothing_is_refused(cli, work):
    words = ["transfer", "reference=ref.png", "driving=drive.mp4", "prompt=x", "gpu=cpu", "progress=none"]
    one_line(cli(*words, "method=anamodiff", "backbone.path=nowhere/", "backbone=sd15"))
    one_line(cli(*words, "method=anamodiff", "frames=1000000"))
    assert cli(*STILL)[2].startswith("gpu=cpu: ")


SLOW = """
import sys, time, types
from motionkit import cli
verb = types.ModuleType("slow")
verb.main = lambda words: (print("ready", flush=True), time.sleep(60))
sys.modules["slow"], cli.VERBS["slow"], sys.argv = verb, cli.Verb("slow", ""), ["motionkit", "slow"]
cli.console()
"""


@pytest.mark.parametrize("ignored", [False, True], ids=["", "under nohup"])
def test_a_terminal_that_closes_stops_a_run_as_control_c_does(ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        run = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGHUP)
    if ignored:
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(1)
        run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130 and "cancelled" in err
