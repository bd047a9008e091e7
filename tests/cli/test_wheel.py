"""The wheel: built, installed in a new environment, used from another folder; nothing is downloaded."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what it is made of, so that the checkout is left as it is."""
    import shutil

    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("motionkit", "methods", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of a new environment that has the wheel, and this environment's other packages."""
    home = tmp_path_factory.mktemp("env")
    venv.create(home, with_pip=False)
    base = {"base": str(home), "platbase": str(home)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=base))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", str(site), str(wheel)], check=True)
    # A plain path, not a site folder: its .pth files, the editable installation among them, are not followed.
    (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return home / "bin" / "python"


def call(python, folder, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MOTIONKIT"))}
    environment |= {"MOTIONKIT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [str(python), "-m", "motionkit", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_every_package_yaml_and_asset(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"motionkit/methods/{p.relative_to(ROOT / 'methods')}" for p in (ROOT / "methods").rglob("*.py")}
    wanted |= {f"motionkit/conf/{p.relative_to(ROOT / 'conf')}" for p in (ROOT / "conf").rglob("*.yaml")}
    wanted |= {str(p.relative_to(ROOT)) for p in (ROOT / "motionkit").rglob("*") if p.is_file()}
    wanted = {name for name in wanted if "__pycache__" not in name}
    assert not wanted - packed
    assert not [name for name in packed if name.split("/")[0] not in ("motionkit", "motionkit-0.2.0.dist-info")]


def test_it_works_from_another_folder(python, tmp_path):
    where = subprocess.run(
        [python, "-c", "import motionkit.methods as m; print(m.__file__)"], cwd=tmp_path, capture_output=True, text=True
    )
    assert str(python.parents[1]) in where.stdout, where.stderr
    listed = call(python, tmp_path, "methods")
    assert listed.returncode == 0 and all(name in listed.stdout for name in ("anamodiff", "still", "warp")), (
        listed.stderr
    )
    assert "broken" not in listed.stdout
    composed = call(python, tmp_path, "transfer", "method=anamodiff", "gpu=8gb", "--cfg", "job")
    assert "preset: best" in composed.stdout and "name: 8gb" in composed.stdout, composed.stderr


@pytest.mark.slow
def test_a_transfer_runs_from_the_wheel(python, tmp_path):
    import numpy as np

    from motionkit import media

    media.write_image(tmp_path / "ref.png", np.full((24, 32, 3), 90, np.uint8))
    run = call(python, tmp_path, "transfer", "method=still", "reference=ref.png", "gpu=cpu", "output=out.mp4")
    assert run.returncode == 0, run.stderr
    assert media.read_clip(tmp_path / "out.mp4").frames.shape == (10, 24, 32, 3)
