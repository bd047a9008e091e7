"""A method of another package may be broken in any way: one line says which it is, and no other method notices."""

import itertools

import pytest

from motionkit import registry
from motionkit.cli import main
from motionkit.cli.new_method import rendered

COUNT = itertools.count()
SPEC, CONFIG, METHOD, YAML = "package.__init__", "config.py", "method.py", "NAME.yaml"
PREPARE, MADE = (
    "        assert inputs.driving is not None  # required\n",
    "        return torch.stack(frames)  # (F, 3, H, W)\n",
)
TABLE = 'return {"path": torch.from_numpy(path_of_motion(inputs.driving.frames, self.config.threshold))}'
CHECK, CONF = "    def prepare(", 'conf="pkg://motionkit_NAME.conf"'


@pytest.fixture
def broken(tmp_path, clips, monkeypatch):
    """Puts the package of `new-method` on the path, with one place of one file changed; gives the method's name."""

    def put(file, old, new):
        name = f"plug{next(COUNT)}"
        package, site = f"motionkit_{name}", tmp_path / "site"
        old, new = (text.replace("NAME", name) for text in (old, new))
        wanted = {SPEC: f"{package}/__init__.py", YAML: f"{name}.yaml"}.get(file, f"/{file}")
        for path, text in rendered(name).items():
            if path.endswith(wanted):
                assert old in text
                text = text.replace(old, new) if old else new
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
        info = site / f"{package}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: motionkit-{name}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[motionkit.methods]\n{name} = {package}:SPEC\n")
        monkeypatch.syspath_prepend(str(site))
        registry.refresh()
        return name

    yield put
    monkeypatch.undo()
    registry.refresh()


def transfer(name):
    clips = ("reference=me.png", "driving=moves.mp4", "frames=4", "size=32", "gpu=cpu", "progress=none")
    return main(["transfer", f"method={name}", *clips, "output=out.mp4"])


def last_line(capsys):
    """The error, of which there is one."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("motionkit: error:")]
    return line


QUICK = ("settings with an error", "a type of no setting", "no such folder of YAML", "inputs by their names")
QUICK += ("a backbone of nobody", "YAML of a list", "code that leaves")  # of the first table; these of the second:
QUICK += ("prepare", "prepare that leaves", "prepare of nothing", "generate of an array")


def cases(table):
    """The names of a table; all but a few are slow tests."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in table]


BEFORE_IT_RUNS = {
    "settings with an error": (CONFIG, "@dataclass\n", "@dataclass\nclass (:\n", "SyntaxError"),
    "settings that raise": (CONFIG, "@dataclass\n", "raise RuntimeError('boom')\n", "boom"),
    "settings of no class": (CONFIG, "@dataclass\n", "", "dataclass"),
    "a setting without help": (
        CONFIG,
        '"How far the reference goes for each pixel of the path.", 1.0',
        "default=1",
        "help",
    ),
    "a type that is not there": (CONFIG, "strength: float", "strength: Floaty", "Floaty"),
    "a type of no setting": (CONFIG, "strength: float", "strength: set", "set"),
    "settings that refuse all": (CONFIG, "        check(self)", "        raise ValueError('odd')", "odd"),
    "no such folder of YAML": (SPEC, CONF, 'conf="pkg://motionkit_NAME.nothing"', "nothing"),
    "a folder of YAML by number": (SPEC, CONF, "conf=3", "conf=3"),
    "inputs by their names": (SPEC, "    stages=", '    uses=("prompt",),\n    stages=', "uses="),
    "one text for many": (SPEC, "    stochastic", '    backbones="tiny-sd",\n    stochastic', "backbones="),
    "a backbone of nobody": (SPEC, "    stochastic", '    backbones=("nope",),\n    stochastic', "nope"),
    "YAML that is none": (YAML, "", "name: [\n", "line 2"),
    "YAML of a list": (YAML, "", "- 1\n", "list"),
    "YAML with a wrong key": (YAML, "strength:", "strenght:", "mend"),
    "YAML with a wrong value": (YAML, "strength: 1.0", "strength: much", "mend"),
    "code with an error": (METHOD, "class ", "clas ", "SyntaxError"),
    "code that leaves": (METHOD, "import numpy as np\n", "import sys, numpy as np\nsys.exit(4)\n", "SystemExit"),
}


@pytest.mark.parametrize("case", cases(BEFORE_IT_RUNS))
def test_it_is_refused_in_one_line_and_the_others_run(broken, clips, capsys, case):
    *edit, says = BEFORE_IT_RUNS[case]
    name = broken(*edit)
    assert transfer(name) == 2
    line = last_line(capsys)
    assert name in line and says in line and "internal error" not in line
    assert main(["methods"]) == 0 and transfer("still") == 0
    assert (clips / "out.mp4").exists()


IN_A_STEP = {
    "check": (METHOD, CHECK, f"    def check(self, inputs):\n        raise KeyError('k')\n\n{CHECK}", "KeyError: 'k'"),
    "prepare": (METHOD, PREPARE, "        raise ZeroDivisionError('by nought')\n", "by nought"),
    "fit": (
        METHOD,
        CHECK,
        f"    def fit(self, inputs, made):\n        raise KeyError('k')\n\n{CHECK}",
        "KeyError: 'k'",
    ),
    "generate": (METHOD, MADE, "        raise KeyError('k')\n", "KeyError: 'k'"),
    "weights": (METHOD, CHECK, f"    def weights(self):\n        return None\n\n{CHECK}", "NoneType"),
    "start": (METHOD, CHECK, f"    def __init__(self):\n        pass\n\n{CHECK}", "argument"),
    "prepare of an input that is none": (SPEC, '("driving",), ', '("drivin",), ', "drivin"),
    "prepare by a setting that is none": (SPEC, '("threshold",)', '("treshold",)', "treshold"),
    "prepare that leaves": (METHOD, PREPARE, "        raise SystemExit(3)\n", "sys.exit"),
    "prepare of nothing": (METHOD, TABLE, "return None", "NoneType"),
    "prepare of numbers": (METHOD, TABLE, "return {'path': 3}", "int"),
    "prepare without names": (METHOD, TABLE, "return {3: torch.zeros(4, 2)}", "3"),
    "generate of an array": (METHOD, MADE, "        return torch.stack(frames).numpy()\n", "ndarray"),
    "generate of a list": (METHOD, MADE, "        return frames\n", "list"),
    "generate of a frame less": (METHOD, MADE, "        return torch.stack(frames[1:])\n", "(3, 3, 32, 32)"),
    "generate of bytes": (METHOD, MADE, "        return torch.stack(frames).byte()\n", "uint8"),
    "generate of no values": (METHOD, MADE, "        return torch.stack(frames).to('meta')\n", "meta"),
}


@pytest.mark.parametrize("case", cases(IN_A_STEP))
def test_an_error_in_a_step_names_the_step_and_the_package(broken, clips, capsys, case):
    *edit, says = IN_A_STEP[case]
    name = broken(*edit)
    assert transfer(name) == 1
    line = last_line(capsys)
    assert f"in {case.split()[0]} of {name}" in line and f"motionkit-{name} 0.1.0" in line and says in line
    assert not (clips / "out.mp4").exists()


def test_a_file_that_a_step_lacks_is_told_with_the_step(broken, clips, capsys):
    name = broken(METHOD, PREPARE, "        open('/nowhere/x.bin')\n")
    assert transfer(name) == 2
    line = last_line(capsys)
    assert "/nowhere/x.bin" in line and f"in prepare of {name}" in line


def test_infinite_values_are_no_video(broken, clips, capsys):
    name = broken(METHOD, MADE, "        return torch.stack(frames) / 0\n")
    assert transfer(name) == 2
    assert "infinite" in last_line(capsys) and not (clips / "out.mp4").exists()


@pytest.mark.slow
def test_a_row_of_a_comparison_names_the_step_too(broken, clips, capsys):
    name = broken(METHOD, MADE, "        raise KeyError('k')\n")
    words = ("reference=me.png", "driving=moves.mp4", "frames=4", "size=32", "gpu=cpu", "output=out")
    assert main(["compare", f"methods=[still,{name}]", *words]) == 1
    assert f"in generate of {name}" in capsys.readouterr().err
    assert (clips / "out" / "report.html").exists()


def test_a_typing_mistake_is_told_beside_a_broken_package(broken, clips, capsys):
    broken(CONFIG, "@dataclass\n", "@dataclass\nclass (:\n")
    assert main(["compare", "methods=[still]", "refrence=me.png", "driving=moves.mp4"]) == 2
    assert "reference" in last_line(capsys)


def test_doctor_finds_what_only_its_settings_show(broken, capsys):
    name = broken(CONFIG, "@dataclass\n", "@dataclass\nclass (:\n")
    assert main(["doctor"]) == 1
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"method {name} ")]
    assert "WRONG" in row


def test_facts_of_a_method_are_shown_though_its_settings_are_broken(broken, capsys):
    name = broken(CONFIG, "        check(self)", "        raise ValueError('odd')")
    assert main(["methods", name]) == 0
    assert "odd" in capsys.readouterr().out


@pytest.fixture
def part(tmp_path, clips, monkeypatch):
    """Puts a module with one declared part on the path: (group, entry point, text of the module)."""

    def put(group, name, text):
        module, site = f"motionkit_part{next(COUNT)}", tmp_path / "parts"
        site.mkdir(exist_ok=True)
        (site / f"{module}.py").write_text(text.replace("MODULE", module))
        info = site / f"{module}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[motionkit.{group}]\n{name} = {module}:PART\n")
        monkeypatch.syspath_prepend(str(site))
        registry.refresh()
        return module

    yield put
    monkeypatch.undo()
    registry.refresh()


METRIC = """
from motionkit.metrics import Fact, Measure
PART = Measure(Fact("dim", "Dim", "", "0 to 1", "none", "nothing", "How dim it is.", "nobody"), lambda request: {}["k"])
"""
BACKBONE = """
from dataclasses import replace
from motionkit.backbones.built_in import TINY_SD
PART = replace(TINY_SD, name="tiny-broken", loader="MODULE:load")
def load(*given, **more):
    raise KeyError("k")
"""


def test_a_metric_that_fails_is_left_out_with_a_word(part, caplog):
    from motionkit.metrics import measures
    from motionkit.testing import moving_shapes

    module = part("metrics", "dim", METRIC)
    figures = measures.measure(moving_shapes(4, 32, 32).frames)
    assert figures["dim"] is None and figures["motion_amount"] > 0
    assert f"dim of {module} 0.1.0" in caplog.text and "KeyError" in caplog.text


def test_a_backbone_that_cannot_be_loaded_is_named(part, capsys):
    module = part("backbones", "tiny-broken", BACKBONE)
    words = ("method=vidmp3", "backbone=tiny-broken", "driving=moves.mp4", "prompt=a", "source_prompt=b", "frames=4")
    assert main(["transfer", *words, "size=32", "gpu=cpu", "progress=none"]) == 1
    assert f"while tiny-broken of {module} 0.1.0 was loaded" in last_line(capsys)


def test_a_word_of_an_estimator_that_is_broken_says_so(part, capsys):
    module = part("estimators", "pose.lost", "raise RuntimeError('boom')\n")
    words = ("method=animatex", "backbone=tiny-animatex", "method.pose.backend=lost", "reference=me.png")
    assert main(["transfer", *words, "driving=moves.mp4", "gpu=cpu", "progress=none"]) == 2
    line = last_line(capsys)
    assert module in line and "boom" in line
