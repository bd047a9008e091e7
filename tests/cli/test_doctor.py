"""The doctor finds what was built for another torch, by metadata and by importing each extra on its own."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from motionkit.cli import doctor

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch):
    """Say which versions of torch and torchvision are here."""

    def say(torch, torchvision, needs="torch==2.13.0"):
        held = {"torch": torch, "torchvision": torchvision}

        def version(name):
            if name not in held:
                raise importlib.metadata.PackageNotFoundError(name)
            return held[name]

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: [needs, "numpy"])
        return [(row[0], row[1]) for row in doctor.builds()], " ".join(row[2] for row in doctor.builds())

    return say


def test_builds_that_do_not_fit_each_other_are_wrong(installed):
    assert installed("2.13.0+cpu", "0.28.0+cpu")[0] == [("torchvision", "ok")]
    assert installed("2.13.0", "0.28.0")[0] == [("torchvision", "ok")]
    found, said = installed("2.13.0+cpu", "0.28.0")
    assert found == [("torchvision", "WRONG")] and "whl/cpu" in said
    assert installed("2.13.0+cu130", "0.28.0+cpu")[0] == [("torchvision", "WRONG")]
    found, said = installed("2.12.0+cpu", "0.28.0+cpu")
    assert found == [("torchvision", "WRONG")] and "torch==2.13.0" in said


def test_each_extra_is_imported_in_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "motionkit_broken.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    (tmp_path / "motionkit_killed.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "CORE", {"json": "import json", "absent_here": "import absent_here"})
    extras = {"motionkit_broken": "a", "motionkit_killed": "b", "motionkit_absent": "c", "csv": "d"}
    monkeypatch.setattr(doctor, "EXTRAS", extras)
    rows = {row[0]: row[1:] for row in doctor.imports()}
    assert rows["import json"][0] == rows["csv"][0] == "ok" and "import absent_here" not in rows
    assert rows["motionkit_broken"][0] == "WRONG" and "nms does not exist" in rows["motionkit_broken"][1]
    assert rows["motionkit_killed"][0] == "WRONG" and "signal 11" in rows["motionkit_killed"][1]
    assert rows["motionkit_absent"][0] == "missing"


def test_the_verb_imports_extras_when_it_is_asked(cli, work, monkeypatch):
    monkeypatch.setattr(doctor, "imports", lambda: [("an extra", "WRONG", "`import x` fails")])
    assert "import x" not in cli("doctor")[1]
    code, out, _ = cli("doctor", "extras=true")
    assert code == 1 and "`import x` fails" in out
    assert cli("doctor", "extras=maybe")[0] == 2


def declared():
    """Every requirement of pyproject.toml, of the extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return [Requirement(line) for line in lines]


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_is_constrained_to_a_version_that_it_allows():
    lines = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    held = {plain(line.name): next(iter(line.specifier)).version for line in lines}
    for need in declared():
        assert plain(need.name) in held, need.name
        assert need.specifier.contains(held[plain(need.name)]), need


def test_what_the_code_imports_is_declared():
    names = {plain(need.name) for need in declared()}
    assert {"omegaconf", "huggingface-hub", "hydra-core", "pillow", "torchvision"} <= names


def test_cards_are_listed_with_what_a_run_may_take(tmp_path, monkeypatch):
    assert doctor._card(1, "NVIDIA GeForce RTX 4060, 8192, 7900, 570.1") == (
        "cuda:1",
        "ok",
        "NVIDIA GeForce RTX 4060, 8.0 GiB, 7.7 free, driver 570.1; a run may take 7.2: motionkit fits",
    )
    assert "memory not told" in doctor._card(0, "GB10, [N/A], [N/A], 580.1")[2]
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'A card, 24576, 24000, 1'\necho 'B card, 12288, 12000, 1'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert [row[:2] for row in doctor.cards()] == [("cuda:0", "ok"), ("cuda:1", "ok")]
    fake.write_text("#!/bin/sh\nexit 9\n")
    assert doctor.cards()[0][1] == "WRONG"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert doctor.cards() == []
