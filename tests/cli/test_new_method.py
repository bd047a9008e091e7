"""`motionkit new-method`: the package it writes installs, runs and conforms at once; mistakes end in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from motionkit import media, registry
from motionkit.cli import main, new_method
from motionkit.errors import UserError
from motionkit.testing import check_backbone, moving_shapes, picture

PYTHON = [sys.executable]


def environment(*folders):
    path = os.pathsep.join([*map(str, folders), *(p for p in sys.path if p)])
    return {k: v for k, v in os.environ.items() if k != "MOTIONKIT_DISABLE_PLUGINS"} | {"PYTHONPATH": path}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The package as it is written, by a process that must not have imported torch."""
    folder = tmp_path_factory.mktemp("projects") / "deep" / "puppet"
    code = (
        "import sys; from motionkit.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'hydra', 'numpy')))"
    )
    words = ["-c", code, "new-method", "paper-puppet", str(folder)]
    ran = subprocess.run([*PYTHON, *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "pyproject.toml" in ran.stdout and "python -m motionkit.testing paper-puppet" in ran.stdout
    return folder


@pytest.fixture(scope="module")
def site(project, tmp_path_factory):
    """A folder into which pip has installed it."""
    target = tmp_path_factory.mktemp("site")
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    words = [*pip, "--no-build-isolation", "--target", str(target), str(project)]
    ran = subprocess.run([*PYTHON, *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return target


def test_installed_it_conforms(site, tmp_path):
    ran = subprocess.run(
        [*PYTHON, "-m", "motionkit.testing", "paper-puppet"],
        capture_output=True,
        text=True,
        env=environment(site),
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()[1:]]
    assert len([line for line in lines if line[0] == "ok"]) >= 25 and not [line for line in lines if line[0] == "FAIL"]


def test_its_own_tests_pass_before_it_is_installed(project, tmp_path):
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "runs")]
    ran = subprocess.run([*PYTHON, *words], capture_output=True, text=True, cwd=project, env=environment())
    assert ran.returncode == 0, ran.stdout
    assert "passed" in ran.stdout.splitlines()[-1]


def test_it_runs_from_the_command_line_and_its_settings_count(site, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOTIONKIT_DISABLE_PLUGINS", raising=False)
    registry.refresh()
    media.write_image(tmp_path / "me.png", picture(48, 64).frames[0])
    media.write_video(tmp_path / "moves.mp4", moving_shapes(6, 48, 64).frames, 8.0)
    words = ["transfer", "method=paper-puppet", "reference=me.png", "driving=moves.mp4", "gpu=cpu", "progress=none"]
    try:
        assert main([*words, "output=one/"]) == 0 and main([*words, "method.strength=-1", "output=other/"]) == 0
        one, other = media.read_clip(tmp_path / "one").frames, media.read_clip(tmp_path / "other").frames
        assert (one[0] == other[0]).all() and (one[2] != other[2]).any()
        assert main([*words, "method.strength=99"]) == 2
        assert "method.strength=99 is outside -10 to 10" in capsys.readouterr().err
        with pytest.raises(UserError, match="taken by motionkit-paper-puppet"):
            new_method.check_name("paper-puppet")
    finally:
        monkeypatch.undo()
        registry.refresh()
        for name in [name for name in sys.modules if name.partition(".")[0] == "motionkit_paper_puppet"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def with_backbone(tmp_path_factory):
    """A package that brings a backbone too, and a folder into which pip has installed it."""
    folder, site = tmp_path_factory.mktemp("packages") / "string-puppet", tmp_path_factory.mktemp("site")
    files = new_method.write_package("string-puppet", folder, backbone=True)
    package = "motionkit_string_puppet"
    assert {f"{package}/backbone/network.py", f"{package}/conf/backbone/tiny-string-puppet.yaml"} <= set(files)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*PYTHON, *pip, "--no-build-isolation", "--target", str(site), str(folder)], check=True)
    return folder, site


def test_with_a_backbone_it_brings_one_that_conforms(with_backbone, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(with_backbone[1]))
    monkeypatch.delenv("MOTIONKIT_DISABLE_PLUGINS", raising=False)
    registry.refresh()
    try:
        assert main(["backbones", "tiny-string-puppet"]) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "from motionkit-string-puppet" in told and "runs vidmp3" in told
        report = check_backbone(registry.BACKBONES.get("tiny-string-puppet")).raise_if_failed()
        assert all(check.passed for check in report.checks)
    finally:
        monkeypatch.undo()
        registry.refresh()
        for name in [name for name in sys.modules if name.partition(".")[0] == "motionkit_string_puppet"]:
            del sys.modules[name]


@pytest.mark.slow
def test_the_tests_of_a_package_with_a_backbone_pass(with_backbone, tmp_path):
    folder, site = with_backbone
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "runs")]
    ran = subprocess.run([*PYTHON, *words], capture_output=True, text=True, cwd=folder, env=environment())
    assert ran.returncode == 0, ran.stdout
    words = ["-m", "motionkit.testing", "tiny-string-puppet"]
    ran = subprocess.run([*PYTHON, *words], capture_output=True, text=True, env=environment(site), cwd=tmp_path)
    assert ran.returncode == 0 and ran.stdout.count(" ok ") == 7, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "takes a name"),
        (["puppet", "backbone=maybe"], "give true"),
        (["sd", "backbone=true"], "there is a backbone tiny-sd"),
        (["a", "b", "c"], "takes a name"),
        (["--force", "puppet"], "--force"),
        (["Puppet"], "lower case"),
        (["2puppets"], "a letter first"),
        (["puppet-"], "words joined"),
        (["pup.pet"], "cannot be"),
        (["../puppet"], "cannot be"),
        (["p" * 41], "up to 40"),
        (["true"], "read it as a value"),
        (["warp"], "'warp' is taken by motionkit"),
        (["puppet", "there"], "there exists"),
        (["puppet", "there/file"], "file exists"),
        (["puppet", "there/file/below"], "not a folder"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["new-method", *words]) == 2
    out, err = capsys.readouterr()
    assert says in err and err.count("\n") == 1 and not out
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "there" / "file").read_text() == "mine"


def test_the_folder_may_be_given_as_output(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["new-method", "puppet", "output=my folder"]) == 0
    assert "pip install -e 'my folder' && " in capsys.readouterr().out
    assert main(["new-method", "puppet", "output=~/puppet"]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "my folder"]


def test_a_write_that_fails_leaves_no_folder(tmp_path, monkeypatch):
    def full(self, *args, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="no space left"):
        new_method.write_package("puppet", tmp_path / "puppet")
    assert not list(tmp_path.iterdir())


def test_names_become_packages_and_classes():
    files = new_method.rendered("two_word-method")
    assert 'name = "motionkit-two-word-method"' in files["pyproject.toml"]
    assert "class TwoWordMethod(Transfer)" in files["motionkit_two_word_method/method.py"]
    assert "motionkit_two_word_method/conf/method/two_word-method.yaml" in files
    for path, text in files.items():
        assert not path.endswith(".py") or compile(text, path, "exec")
