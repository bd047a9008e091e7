"""The example packages, installed by pip as anyone's would be, and clips to run them on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from motionkit import media, registry
from motionkit.testing import moving_shapes, picture

HERE = Path(__file__).parent
KINDS = ("ghost", "broken", "ancestral", "brightness", "blob", "flow16")
EXAMPLES, PACKAGES = [f"motionkit-example-{kind}" for kind in KINDS], [f"motionkit_{kind}" for kind in KINDS]
RUN = "import sys; from motionkit.cli import main; sys.exit(main())"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder into which pip has installed the examples."""
    sources, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("site")
    for name in EXAMPLES:  # copies, because a build leaves files beside its sources
        shutil.copytree(HERE / name, sources / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*command, *(str(sources / name) for name in EXAMPLES)], check=True, capture_output=True, text=True)
    return target


@pytest.fixture
def installed(site, monkeypatch):
    """The same folder on this process's path, as site-packages would be."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv("MOTIONKIT_DISABLE_PLUGINS", raising=False)
    registry.refresh()
    yield site
    monkeypatch.undo()
    registry.refresh()
    for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
        del sys.modules[name]


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """A working folder with a reference and a driving clip on disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    media.write_image(tmp_path / "me.png", picture(48, 64).frames[0])
    media.write_video(tmp_path / "moves.mp4", moving_shapes(6, 48, 64).frames, 8.0)
    return tmp_path


@pytest.fixture
def command(site):
    """Runs `motionkit WORDS` in a process that has the folder on its path."""

    def run(*words, **options):
        path = os.pathsep.join([str(site), *(p for p in sys.path if p)])
        environment = {k: v for k, v in os.environ.items() if k != "MOTIONKIT_DISABLE_PLUGINS"}
        environment |= {"PYTHONPATH": path} | options
        return subprocess.run([sys.executable, "-c", RUN, *words], capture_output=True, text=True, env=environment)

    return run
