"""How the benchmark scripts, which are programs and no package, are loaded by the tests."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def script():
    """A function that loads a script of `benchmarks/` by name; scripts find each other as when they are run."""
    sys.path.insert(0, str(FOLDER))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path.remove(str(FOLDER))
