"""What answers at once: --help and the light verbs import neither torch nor hydra, within half a second of CPU."""

import os
import re
import resource
import subprocess
import sys

import pytest

from motionkit.cli import VERBS

HEAVY = "('torch', 'diffusers', 'transformers', 'hydra', 'omegaconf')"
CODE = f"""
import sys
from motionkit.cli import main
code = main(sys.argv[1:])
print("HEAVY", [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""
CALLS = [
    [],
    ["--help"],
    ["--version"],
    *([verb, "--help"] for verb in VERBS),
    ["methods"],
    ["methods", "anamodiff"],
    ["backbones"],
    ["backbones", "sd15"],
    ["doctor"],
    ["cite", "anamodiff"],
]


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_light_calls_are_light(words):
    best, environment = 9.0, os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for _ in range(3):  # CPU time, the best of three: the machine may be busy with other things
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run.returncode in ((0, 1) if words == ["doctor"] else (0,)), run.stderr
        assert "HEAVY []" in run.stderr
        assert len(run.stdout) > 15
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if best < 0.5:
            break
    assert best < 0.5


def test_the_overview_names_every_verb(cli):
    code, out, _ = cli()
    assert code == 0 and all(f"\n  {verb} " in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_of_its_own(cli, verb):
    code, out, _ = cli(verb, "--help")
    assert code == 0 and out.startswith(f"usage: motionkit {verb}")


def test_an_unknown_verb_gets_the_nearest_one(cli):
    code, out, err = cli("tranfer", "method=still")
    assert (code, out) == (2, "") and err.startswith(
        "motionkit: error: unknown verb 'tranfer' (did you mean 'transfer'?)"
    )
    assert err.count("\n") == 1


def test_methods_lists_facts_and_broken_plugins(cli, monkeypatch):
    from motionkit import registry

    broken = registry.Failure("shaky", "shakykit", "RuntimeError: on fire", "Traceback ...")
    monkeypatch.setattr(registry, "failures", lambda: [broken])
    code, out, _ = cli("methods")
    assert code == 0 and "shaky of shakykit: RuntimeError: on fire" in out
    (line,) = [line for line in out.splitlines() if line.startswith("warp")]
    assert "reference, driving" in line and "none needed" in line and "working" in line


def test_the_detail_of_a_method(cli):
    out = cli("methods", "anamodiff")[1]
    for fact in (
        "arxiv.org",
        "pocket-sd (default)",
        "not animatex",
        "method.lora.steps",
        "motionkit train method=anamodiff",
    ):
        assert fact in out
    assert cli("methods", "nope")[0] == 2


def test_backbones_say_what_is_missing_and_how_to_get_it(cli, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    code, out, _ = cli("backbones")
    assert code == 0 and all(name in out for name in ("tiny-sd", "pocket-sd", "sd14", "sd15", "sdxl"))
    detail = " ".join(cli("backbones", "sd14")[1].split())
    assert "missing: sd14: not in the hub cache" in detail and "hf download CompVis/stable-diffusion-v1-4" in detail
    assert "none needed" in cli("backbones", "tiny-sd")[1]


def test_doctor_counts_what_is_wrong(cli, monkeypatch, work):
    from motionkit import registry
    from motionkit.cli import doctor

    monkeypatch.setattr(doctor, "weights", lambda: [("pocket-sd", "ok", "here")])
    code, out, _ = cli("doctor")
    assert code == 0 and "no problems" in out and "torch " in out and "method warp" in out
    broken = registry.Failure("shaky", "shakykit", "RuntimeError: on fire", "Traceback: line 3")
    monkeypatch.setattr(registry.Group, "failures", lambda self: [broken] if self is registry.METHODS else [])
    code, out, _ = cli("doctor")
    assert code == 1 and "1 problem" in out and "Traceback: line 3" in out
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda name: ["torch>=99", "absentpackage>=1", "x; extra == 'y'"]
    )
    out = cli("doctor")[1]
    assert "3 problem" in out and "needs >=99" in out and "not installed" in out


def test_cite_prints_bibtex_of_methods_and_of_runs(cli, work):
    code, out, _ = cli("cite", "anamodiff")
    assert code == 0 and out.startswith("@article{tanveer2024anamodiff") and "@software{motionkit" in out
    (work / "manifest.json").write_text('{"method": {"citation": "@misc{mine}"}}')
    assert cli("cite", "--run", "manifest.json")[1].startswith("@misc{mine}")
    assert cli("cite", f"--run={work}")[1].startswith("@misc{mine}")
    (work / "manifest.json").write_text("[]")
    for words in (["cite"], ["cite", "--run"], ["cite", "--run", "manifest.json"], ["cite", "--run=absent.json"]):
        code, _, err = cli(*words)
        assert code == 2 and err.startswith("motionkit: error: ") and err.count("\n") == 1


@pytest.mark.parametrize("citation", ["null", "3", "[]", "{}"])
def test_a_manifest_with_another_citation_is_refused(cli, work, citation):
    (work / "m.json").write_text(f'{{"method": {{"citation": {citation}}}}}')
    code, _, err = cli("cite", "--run", "m.json")
    assert code == 2 and "m.json is not the manifest of a run" in err and err.count("\n") == 1


def test_cite_takes_methods_and_several_runs(cli, work):
    for name in "ab":
        (work / f"{name}.json").write_text(f'{{"method": {{"citation": "@misc{{{name}, title={{{name}}}}}"}}}}')
    for words in (["warp", "--run", "a.json", "b.json"], ["warp", "--run=a.json", "b.json"]):
        code, out, _ = cli("cite", *words)
        keys = re.findall(r"^@\w+\{(\w+)", out, re.MULTILINE)
        assert code == 0 and keys == ["kroeger2016fast", "a", "b", "motionkit"]


def test_no_entry_is_printed_twice(cli):
    assert cli("cite", "still")[1].count("@software{motionkit,") == 1


def test_the_words_that_a_setting_takes_are_listed(cli):
    out = cli("methods", "anamodiff", "flipsketch", "still")[1]
    for line in (r"method.preset=best\n(.+\n)+ +paper  ", r"method.align.loss=mse\n(.+\n)+ +norm  "):
        assert re.search(line, out)


def test_a_defect_is_one_line_unless_debugging(cli, monkeypatch):
    from motionkit.cli import methods

    def fail(argv):
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(methods, "main", fail)
    code, _, err = cli("methods")
    assert code == 1 and err.count("\n") == 1 and "ZeroDivisionError: by zero (an internal error" in err
    code, _, err = cli("methods", "--debug")
    assert code == 1 and "Traceback" in err


def test_a_reader_that_leaves_early_is_no_error():
    code = f"{sys.executable} -m motionkit methods anamodiff | head -n 1"
    run = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert run.stdout == "anamodiff\n" and run.stderr == ""


def test_the_table_wraps_its_last_column(monkeypatch):
    from motionkit.cli.table import table

    monkeypatch.setenv("COLUMNS", "40")
    assert table(("a", "b"), [("one", "word " * 12)]).splitlines()[1:3] == [
        "one  word word word word word word word",
        "     word word word word word",
    ]
