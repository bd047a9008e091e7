"""The obedient method as an installed package, folders of each test's own, and a runner and metrics that are quick."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    from motionkit import registry

    info = tmp_path / "site" / "obedient-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: obedient\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[motionkit.methods]\nobedient = bench_fakes:SPEC\n")
    for path in (HERE, tmp_path / "site"):
        monkeypatch.syspath_prepend(str(path))
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path[:2]))  # for processes that are started afresh
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    registry.refresh()
    yield
    registry.refresh()


class Here:
    """A runner in this very process."""

    def run(self, cells):
        from motionkit.table.bench.cell import perform

        for cell in cells:
            perform(cell)
            yield cell


@pytest.fixture
def here():
    return Here()


@pytest.fixture
def light(monkeypatch):
    """Metrics that cost nothing, under a version that a test may raise."""
    from motionkit.metrics import protocols

    def use(version=1, names=("psnr", "l1", "motion_amount")):
        made = protocols.parse(
            {"name": "light", "version": version, "summary": "few", "video": list(names), "sets": {}}, "light"
        )
        monkeypatch.setattr(protocols, "get", lambda *_: made)
        return made

    use()
    return use


@pytest.fixture
def small():
    """The sprites protocol with two cases of two small frames."""
    from motionkit.table.bench import read

    return read("sprites", pairs=2, frames=2, size=64)
