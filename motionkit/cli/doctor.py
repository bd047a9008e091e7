"""`motionkit doctor`: what this installation has and lacks, from metadata alone; exit code 1 if something is wrong."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from motionkit import __version__, registry
from motionkit.backbones import catalog
from motionkit.backbones.presence import presence
from motionkit.cli.table import table
from motionkit.errors import UserError
from motionkit.media.output_files import check_writable
from motionkit.running.cache import cache_root
from motionkit.settings.need import free_bytes
from motionkit.weights.finding import Wanted, find

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

HELP = """usage: motionkit doctor [extras=true]

Versions, extras, codecs, disk, cache, weights and plugins, with the traceback of each plugin that is broken.
Exit code 1 when something that motionkit needs is missing or broken.

  extras=true    import torch, diffusers and each installed extra, each in its own process: this finds packages
                 built for another torch; takes half a minute, and up to a gigabyte of memory
"""

EXTRAS = {
    "xformers": "gpu",
    "controlnet_aux": "annotators",
    "onnxruntime": "pose",
    "scipy": "vidmp3",
    "hydra_plugins.hydra_joblib_launcher": "joblib",
    "hydra_plugins.hydra_submitit_launcher": "submitit",
    "torch_fidelity": "fid",
    "gradio": "ui",
    "tensorboard": "track",
    "wandb": "track",
    "trackio": "track",
    "rerun": "viewer",
}
CORE = {  # what a run imports: an extra that does not fit breaks it here
    "torch": "import torch",
    "torchvision": "import torchvision",
    "diffusers": "from diffusers import UNet2DConditionModel",
    "transformers": "from transformers import CLIPTextModel, CLIPTokenizer",
}
_PATIENCE = 300  # seconds for one import
Row = tuple[str, str, str]  # what, ok | missing | WRONG, detail


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    if argv not in ([], ["extras=true"], ["extras=false"]):
        raise UserError(f"doctor takes extras=true or no arguments (got {argv[0]!r})")
    found = findings(argv == ["extras=true"])
    print(f"motionkit {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}\n")
    print(table(("", "", ""), found).strip("\n"))
    for failure in (f for group in registry.GROUPS for f in group.failures()):
        print(f"\n{failure.name} of {failure.dist}:\n{failure.traceback.rstrip()}")
    wrong = sum(row[1] == "WRONG" for row in found)
    print(f"\n{wrong} problem(s) found" if wrong else "\nno problems found")
    return 1 if wrong else 0


def findings(deep: bool = False) -> list[Row]:
    """Everything that is looked at; `deep` imports the extras too."""
    found = [*builds(), *(imports() if deep else extras())]
    return [*packages(), *cards(), *found, *places(), *weights(), *vision(), *plugins()]


def packages() -> list[Row]:
    """What pyproject.toml requires, against what is installed."""
    from packaging.requirements import Requirement

    rows: list[Row] = []
    for line in importlib.metadata.requires("motionkit") or ():
        need = Requirement(line)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            rows.append((need.name, "WRONG", f"not installed, needs {need.specifier or 'any version'}"))
            continue
        fits = need.specifier.contains(version, prereleases=True)
        note = {"av": "reads and writes video with its own FFmpeg", "torch": _build(version)}.get(need.name, "")
        detail = f"{version}  {note}".strip() if fits else f"{version}, needs {need.specifier}"
        rows.append((need.name, "ok" if fits else "WRONG", detail))
    return rows


def _build(version: str) -> str:
    gpu = "an NVIDIA driver was found" if shutil.which("nvidia-smi") else "no NVIDIA driver was found"
    return f"{'built for the CPU' if '+cpu' in version else 'built with CUDA or for any device'}; {gpu}"


def cards() -> list[Row]:
    """This machine's NVIDIA cards as their driver lists them: name, memory, driver; what is free of it now."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.free,driver_version", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return [("card", "WRONG", f"nvidia-smi fails ({type(error).__name__}): the driver has to be installed again")]
    return [_card(number, line) for number, line in enumerate(done.stdout.strip().splitlines())]


def _card(number: int, line: str) -> Row:
    """The row of one line of nvidia-smi: name, MiB in all, MiB free, driver."""
    name, *numbers = (part.strip() for part in line.split(","))
    try:
        whole, free = (float(value) / 1024 for value in numbers[:2])
    except ValueError:
        return (f"cuda:{number}", "ok", f"{name}, memory not told")
    run = max(0.0, free_bytes(whole) / 2**30)
    detail = f"{name}, {whole:.1f} GiB, {free:.1f} free, driver {numbers[2]}; a run may take {run:.1f}: motionkit fits"
    return (f"cuda:{number}", "ok", detail)


def extras() -> list[Row]:
    """Optional packages, and how to install the missing ones."""
    rows: list[Row] = []
    for module, extra in EXTRAS.items():
        try:
            there = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # of the package above it
            there = False
        rows.append(
            (module.rpartition(".")[2], "ok" if there else "missing", f"optional: pip install motionkit[{extra}]")
        )
    return rows


def builds() -> list[Row]:
    """Packages that were built for another torch than the installed one, from metadata alone."""
    rows: list[Row] = []
    for name in ("torchvision", "torchaudio"):
        try:
            own, torch = importlib.metadata.version(name), importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            continue
        needed = _torch_of(name)
        if needed is not None and not needed.contains(torch, prereleases=True):
            rows.append((name, "WRONG", f"{own} needs torch{needed}, installed is {torch}: {_again(name)}"))
        elif _device_of(own) != _device_of(torch):
            rows.append((name, "WRONG", f"{own} was built for another torch than {torch}: {_again(name)}"))
        else:
            rows.append((name, "ok", f"{own}, built for torch {torch}"))
    return rows


def _torch_of(name: str) -> SpecifierSet | None:
    """The versions of torch that a package asks for."""
    from packaging.requirements import Requirement

    needs = [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    return next((need.specifier for need in needs if need.name == "torch"), None)


def _device_of(version: str) -> str:
    """What a build computes on, by the end of its version: "cpu", or "" for any other."""
    return "cpu" if version.endswith("+cpu") else ""


def _again(name: str) -> str:
    on_cpu = _device_of(importlib.metadata.version("torch")) == "cpu"
    index = " --index-url https://download.pytorch.org/whl/cpu" if on_cpu else ""
    return f"pip install --force-reinstall --no-deps -c constraints.txt {name}{index}"


def imports() -> list[Row]:
    """What a run imports, and each installed extra, each imported in its own process."""
    rows: list[Row] = []
    for name, line in CORE.items():
        if importlib.util.find_spec(name) is not None:
            rows.append((f"import {name}", *_tried(line)))
    for row, module in zip(extras(), EXTRAS, strict=True):
        rows.append((row[0], *_tried(f"import {module}")) if row[1] == "ok" else row)
    return rows


def _tried(line: str) -> tuple[str, str]:
    """ok or WRONG, and the last line of what an import says when it fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", line], capture_output=True, text=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return "WRONG", f"`{line}` did not end within {_PATIENCE} s"
    said = done.stderr.strip().splitlines()
    if done.returncode < 0:
        return "WRONG", f"`{line}` ended the process (signal {-done.returncode})"
    if done.returncode:
        return "WRONG", f"`{line}` fails: {said[-1][:200] if said else 'no reason given'}"
    return "ok", line


def places() -> list[Row]:
    """The folders that runs write to."""
    rows: list[Row] = []
    for what, folder in (("cache", cache_root()), ("run folder", Path.cwd() / "runs")):
        try:
            check_writable(folder)
        except UserError as error:
            rows.append((what, "WRONG", str(error)))
            continue
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free / 1e9
        used = f", holds {_size(folder) / 1e9:.2f} GB (may be deleted at any time)" if what == "cache" else ""
        rows.append((what, "ok" if free > 1 else "WRONG", f"{folder}, {free:.0f} GB free{used}"))
    return rows


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in folder.glob("*/*") if entry.is_file())


def weights() -> list[Row]:
    """Each backbone's weights; only those that ship with motionkit have to be there."""
    rows: list[Row] = []
    for name, spec in catalog.specs().items():
        state, line = presence(spec)
        bad = state == "unusable" or (state == "missing" and spec.asset is not None)
        if state == "missing" and not bad:
            line = f"optional: `motionkit backbones {name}` says how to get it"
        rows.append((name, "WRONG" if bad else "missing" if state == "missing" else "ok", line))
    return rows


def vision() -> list[Row]:
    """Each estimator and its weights; only those that ship with motionkit have to be there."""
    rows: list[Row] = []
    for name in registry.ESTIMATORS.names():
        found = registry.ESTIMATORS.registered(name)
        state, ways = "ok", []
        for wanted in found.spec.needs:
            try:
                find(wanted, online=False)
            except UserError:
                state = "WRONG" if wanted.shipped and found.dist == registry.OWN or state == "WRONG" else "missing"
                ways.append(_way(wanted))
        line = f"optional: {'; '.join(ways)}" if ways else f"knows {found.spec.knows} ({found.spec.licence})"
        rows.append((name, state, line if found.dist == registry.OWN else f"{line}, from {found.dist}"))
    return rows


def _way(wanted: Wanted) -> str:
    if wanted.hub_id is None:
        return wanted.made or wanted.instead or f"{wanted.title}: install its package again"
    names = "" if wanted.patterns else " ".join(("", *wanted.files))
    return f"hf download {wanted.hub_id}{names}" + (f"  ({wanted.size})" if wanted.size else "")


def plugins() -> list[Row]:
    """Each method, sampler, ... with the distribution that provides it."""
    off = "  (MOTIONKIT_DISABLE_PLUGINS is set)" if registry.plugins_disabled() else ""
    rows: list[Row] = []
    for group in registry.GROUPS:
        for name in group.names() if group is not registry.ESTIMATORS else ():  # they have rows of their own
            dist = group.registered(name).dist
            wrong = _unusable(name) if group is registry.METHODS and dist != registry.OWN else ""
            from_ = f"{dist} {importlib.metadata.version(dist)}{off}"
            rows.append((f"{group.what} {name}", "WRONG" if wrong else "ok", f"{from_}: {wrong}" if wrong else from_))
        rows += [(f"{group.what} {f.name}", "WRONG", f"{f.dist}: {f.error}") for f in group.failures()]
    return rows


def _unusable(name: str) -> str:
    """Why a method whose facts can be read cannot be used; "" for one that can. Its code is not imported."""
    from motionkit.running.choices import usual_settings
    from motionkit.running.lazy_backbone import choose_backbone
    from motionkit.settings.conf_folders import folder_of

    spec = registry.spec(name)
    try:
        if spec.conf:
            folder_of(spec.conf, "method", name)
        usual_settings(spec)
        choose_backbone(spec, None)
    except UserError as error:
        return str(error)
    return ""
