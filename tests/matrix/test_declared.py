"""The backbone matrix as it is declared: every cell runs or is refused with a reason, and the command line says so."""

from dataclasses import replace

import pytest

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError
from motionkit.running.execute import execute
from motionkit.running.lazy_backbone import choose_backbone
from motionkit.testing.clips import sample_inputs

BUILT_IN = [name for name in registry.names() if registry.registered(name).dist == registry.OWN]
ON_BACKBONES = [name for name in BUILT_IN if registry.spec(name).backbones]
# What the toolkit is for: the cells that must not be lost.
WANTED = {
    "anamodiff": {"sd", "sdxl", "animatediff", "animatediff-xl", "modelscope"},
    "flipsketch": {"modelscope", "animatediff", "animatediff-xl"},
    "vidmp3": {"animatediff", "animatediff-xl", "modelscope", "sd", "sdxl"},
    "animatex": {"animatex"},
}


@pytest.fixture
def cli(capsys, monkeypatch):
    """Run `motionkit WORDS`: what it prints."""
    from motionkit.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def call(*words):
        assert main(list(words)) == 0
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", ON_BACKBONES)
def test_every_method_decides_on_every_backbone(name):
    spec = registry.spec(name)
    for family, names in catalog.families().items():
        running = {n for n in names if n in spec.backbones}
        assert running in (set(), set(names) - set(spec.no_backbones)), f"{name} runs on a part of {family}"
        assert all(bool(spec.refusal(catalog.get(n))) != (n in running) for n in names)
        assert not running or any(n.startswith("tiny-") for n in running), f"no test can run {name} on {family}"
    assert {catalog.get(n).family for n in spec.backbones} == WANTED[name]


@pytest.mark.parametrize("name", ON_BACKBONES)
def test_a_refused_cell_ends_in_its_line_before_anything_loads(name, tmp_path, monkeypatch):
    spec = registry.spec(name)
    monkeypatch.setattr("motionkit.backbones.load", lambda *a, **k: pytest.fail("weights were loaded"))
    for family, reason in spec.refuses.items():
        backbone = catalog.families()[family][0]
        with pytest.raises(UserError, match=f"{name} does not run on {backbone}: ") as caught:
            execute(spec, sample_inputs(), backbone=backbone, folder=tmp_path / family)
        line = str(caught.value)
        assert reason in line and "it runs on " in line and "\n" not in line and not (tmp_path / family).exists()


def test_families_hold_the_whole_catalogue():
    families = catalog.families()
    assert sorted(n for names in families.values() for n in names) == sorted(catalog.specs())
    assert families["modelscope"] == ("tiny-modelscope", "pocket-modelscope", "modelscope")


def test_a_refusal_of_one_backbone_stands_before_its_familys():
    spec = replace(
        registry.spec("anamodiff"),
        backbones=("tiny-sd",),
        default_backbone="tiny-sd",
        refuses={"sdxl": "two text encoders", "animatex": "no prompt"},
        no_backbones={"sd15": "too large"},
        suits=(),
    )
    reasons = {name: spec.refusal(catalog.get(name)) for name in ("tiny-sd", "sd15", "sd14", "sdxl")}
    assert reasons == {"tiny-sd": "", "sd15": "too large", "sd14": "", "sdxl": "two text encoders"}
    with pytest.raises(UserError, match="does not run on sd14; it runs on tiny-sd"):
        choose_backbone(spec, "sd14")
    assert replace(spec, backbones=(), default_backbone=None).refusal(catalog.get("sdxl")) == ""


def test_what_a_method_asks_decides_on_backbones_that_it_does_not_name():
    video = replace(catalog.get("tiny-modelscope"), name="theirs", family="theirs")
    changed = {
        "theirs": {},
        "no prompt": {"reads_text": False},
        "no time": {"roles": ("spatial_self", "cross"), "makes_clips": False},
        "a flow": {"predictions": ("flow_prediction",), "sampler": "flow-euler"},
        "another network": {"unet_class": "Theirs"},
        "sd 1": {"roles": ("spatial_self",), "makes_clips": False, "sd1_unet": True},
    }
    runs = {
        what: {n for n in ON_BACKBONES if registry.spec(n).runs_on(replace(video, **facts))}
        for what, facts in changed.items()
    }
    assert runs == {
        "theirs": {"anamodiff", "flipsketch", "vidmp3"},
        "no prompt": set(),
        "no time": set(),
        "a flow": {"vidmp3"},
        "another network": {"vidmp3"},
        "sd 1": {"anamodiff", "vidmp3"},
    }
    assert all(registry.spec(n).refusal(replace(video, reads_text=False)) for n in ON_BACKBONES)


def test_the_matrix_is_printed(cli):
    out = cli("backbones")
    head, *lines = out[out.index("runs on ") :].splitlines()
    columns = head.split()[2:]
    assert columns == ON_BACKBONES
    for name in catalog.specs():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        cells = line.replace("no ", "no").split()[1:]
        for method, cell in zip(columns, cells, strict=True):
            spec = registry.spec(method)
            wanted = "default" if name == spec.default_backbone else "yes" if name in spec.backbones else "no"
            assert cell.startswith(wanted)
            if wanted == "no":
                note = next(line for line in lines if line.startswith(cell[2:]))
                assert f"{method}: {spec.refusal(catalog.get(name))}" in note
    assert "still, warp: need no backbone" in out and "?  the method" not in out


def test_a_method_that_says_nothing_gets_a_question_mark(cli, monkeypatch):
    silent = replace(
        registry.spec("flipsketch"),
        name="silent",
        backbones=("tiny-sd",),
        default_backbone="tiny-sd",
        refuses={},
        suits=(),
    )
    monkeypatch.setattr(registry, "names", lambda: ["silent"])
    monkeypatch.setattr(registry, "spec", lambda name: silent)
    out = cli("backbones")
    rows = out[out.index("runs on ") :].splitlines()[1:]
    cells = {row.split()[0]: row.split()[-1] for row in rows if row}
    assert cells["tiny-sd"] == "default" and cells["sdxl"] == cells["animatex"] == "?"
    assert "?  the method does not declare this backbone" in out
    assert "not silent  it does not declare this backbone" in cli("backbones", "sdxl")


def test_one_method_and_one_backbone_say_it_too(cli):
    detail = cli("backbones", "pocket-animatediff")
    assert "anamodiff, flipsketch, vidmp3" in detail and "not animatex" in detail
    shown = " ".join(cli("methods", "flipsketch").split())
    assert "not sd " in shown and "tiny-sd, pocket-sd, sd14, sd15" in shown and "not animatex" in shown
