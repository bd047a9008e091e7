"""Finds golden sets, reads them, and compares tensors within each set's own tolerances.

A set is a folder `<root>/<method>/<set>/` of safetensors files with a tolerances.json; the root is the environment
variable MOTIONKIT_GOLDENS, or the copies beside this file. A set may lack a file. A test module that names its METHOD
gets each set of that method as the fixture `golden`.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

VARIABLE = "MOTIONKIT_GOLDENS"


def golden_root() -> Path:
    """Where the sets are looked for."""
    return Path(os.environ.get(VARIABLE) or Path(__file__).parent / "goldens")


class GoldenSet:
    """One recorded set: its tensors, its configurations, its tolerances, and the stages that were compared."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tolerances = json.loads((folder / "tolerances.json").read_text())
        self._files: dict[str, dict[str, torch.Tensor]] = {}
        self._results: dict[Callable, dict[str, torch.Tensor]] = {}

    def has(self, file: str) -> bool:
        return (self.folder / file).is_file()

    def tensors(self, file: str) -> dict[str, torch.Tensor]:
        """The tensors of one file; skips the test when the set does not have it."""
        if not self.has(file):
            pytest.skip(f"{self.folder.name} has no {file}")
        if file not in self._files:
            self._files[file] = load_file(self.folder / file)
        return self._files[file]

    def config(self, file: str) -> dict:
        if not self.has(file):
            pytest.skip(f"{self.folder.name} has no {file}")
        return json.loads((self.folder / file).read_text())

    def tolerance(self, name: str, loop: bool = False) -> float:
        """The largest allowed absolute difference: that of the longest ending which fits, else the default.

        The end of a `loop` of many steps carries the recording's own float32 rounding, which grows with the values:
        there the default counts relative to the largest recorded value, while a named ending stays absolute.
        """
        endings = [e for e in self.tolerances if e != "default" and name.endswith(e)]
        if endings or not loop:
            return float(self.tolerances[max(endings, key=len, default="default")])
        largest = max(t[name].abs().max().item() for t in self._files.values() if name in t)
        return float(self.tolerances["default"]) * max(1.0, largest)

    def run(self, stage: Callable[["GoldenSet"], Iterator[tuple[str, torch.Tensor]]]) -> dict[str, torch.Tensor]:
        """Everything that one stage computes, by the name under which it was recorded; computed once for each set."""
        if stage not in self._results:
            with torch.no_grad():
                self._results[stage] = dict(stage(self))
        return self._results[stage]

    def compare(self, file: str, results: dict[str, torch.Tensor], loop: bool = False) -> None:
        """Hold results against the recorded tensors of those names."""
        recorded = self.tensors(file)
        known = [name for name in results if name in recorded]
        assert known, f"nothing of {sorted(results)} is recorded in {file}"
        wrong = []
        for name in known:
            expected, actual = recorded[name], results[name]
            assert actual.shape == expected.shape, f"{name}: {tuple(actual.shape)}, recorded {tuple(expected.shape)}"
            difference = (actual.double() - expected.double()).abs().max().item()
            allowed = self.tolerance(name, loop)
            if not difference <= allowed:  # also catches nan
                wrong.append(f"{name}: {difference:.3g} > {allowed:.3g}")
        assert not wrong, "; ".join(wrong)


def find_sets(method: str) -> list[Path]:
    folder = golden_root() / method
    return sorted(p for p in folder.glob("*") if (p / "tolerances.json").is_file()) if folder.is_dir() else []


def pytest_generate_tests(metafunc):
    if "golden" not in metafunc.fixturenames:
        return
    method = metafunc.module.METHOD
    sets = find_sets(method)
    if not sets and os.environ.get(VARIABLE) and not any(golden_root().glob("*/*/tolerances.json")):
        raise pytest.UsageError(f"{VARIABLE}={golden_root()} holds no <method>/<set>/tolerances.json")
    metafunc.parametrize("golden", sets, ids=[f"{method}/{p.name}" for p in sets], indirect=True, scope="module")


@pytest.fixture(scope="module")
def golden(request) -> GoldenSet:
    """One golden set of the module's METHOD."""
    return GoldenSet(request.param)
