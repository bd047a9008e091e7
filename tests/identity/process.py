"""A process in which cases run one after another: one thread, no network, and the chosen folder as motionkit/assets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.identity.places import ASSETS, ROOT
from tests.identity.runs import Outcome


def lay_over(target: Path) -> Path:
    """A package tree in `target` that is this checkout's, file by file, with ASSETS as its assets."""
    package = target / "motionkit"
    package.mkdir(parents=True)
    parts = {part.name: part for part in (ROOT / "motionkit").iterdir() if part.name != "__pycache__"}
    for name, part in (parts | {"methods": ROOT / "methods", "conf": ROOT / "conf", "assets": ASSETS}).items():
        (package / name).symlink_to(part.resolve())
    return package


class Process:
    """`with Process() as process: process.run("warp")`; the environment is that of `facts`."""

    def __enter__(self) -> Process:
        self._folder = tempfile.TemporaryDirectory(prefix="identity-")
        home = Path(self._folder.name)
        self.package = lay_over(home / "tree")
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MOTIONKIT_", "HF_", "TRANSFORMERS_"))}
        env |= {
            "PYTHONPATH": os.pathsep.join([str(self.package.parent), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            "MOTIONKIT_CACHE": str(home / "cache"),
            "HF_HOME": str(home / "hub"),
            "HF_HUB_OFFLINE": "1",
        }
        words = [sys.executable, "-m", "tests.identity.process", str(self.package)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(words, env=env, cwd=home, **pipes)
        self.facts: dict[str, str] = self._read()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def run(self, name: str) -> Outcome:
        """Run the case of that name. Raises: RuntimeError with the traceback when it failed."""
        assert self._process.stdin is not None
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise RuntimeError(f"{name}:\n{answer['error']}")
        return Outcome(answer["hashes"], answer["figures"], np.load(answer["small"]))

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of the cases ended with {self._process.wait()}")
        return json.loads(line)


def environment() -> dict[str, str]:
    """What decides the last bits besides the code."""
    import torch

    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cpu": names[0] if names else "unknown",
        "threads": str(torch.get_num_threads()),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []


def serve(package: Path) -> None:
    """Read names of cases, answer each with a line of JSON; everything else that is printed goes to stderr."""
    import traceback

    answers, sys.stdout = sys.stdout, sys.stderr
    import torch

    import motionkit
    from tests.identity.cases import CASES
    from tests.identity.runs import run

    assert Path(motionkit.__file__).parent == package, motionkit.__file__
    torch.set_num_threads(1)
    print(json.dumps(environment()), file=answers, flush=True)
    cases = {case.name: case for case in CASES}
    for line in sys.stdin:
        try:
            with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="case-") as folder:
                made = run(cases[line.strip()], package / "assets", Path(folder))
            np.save("small.npy", made.small)
            answer = {"hashes": made.hashes, "figures": made.figures, "small": str(Path("small.npy").resolve())}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
