"""The ablation ledger: its rows are whole and say what the papers say; verdicts follow from paired differences."""

import json
import statistics
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from motionkit import registry
from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.running.choices import method_settings
from motionkit.settings.config import typed
from motionkit.table.bench import ablations, ledger, ledger_page, protocol
from motionkit.table.bench.ablations import Ablation, Claim
from motionkit.table.bench.cell import perform
from motionkit.table.bench.ledger import AGREES, DISAGREES, NOISE, NOT_RUN, OPEN, judge

ROWS = {name: ablations.read(name) for name in ablations.known()}
# Every ablation row of the papers: figures 7 and 8; tables 1 and 2; figure 6; tables 4 to 6 and figure 13.
PAPERS = {
    "anamodiff": {"fig7": 3, "fig8": 1},
    "flipsketch": {"table1": 5, "table2": 2},
    "vidmp3": {"fig6": 4},
    "animatex": {"table5": 13, "table6": 8, "fig13": 4, "control": 2},  # table 4 is a part of 5, with its numbers
}
SAME_WAY = {"psnr", "ssim", "l1", "reference_consistency", "motion_agreement", "subject_psnr"}  # up as the paper's is


class Here:
    """A runner in this process."""

    def run(self, cells):
        for cell in cells:
            perform(cell)
            yield cell


def test_every_row_of_the_papers_is_there():
    found = {method: Counter() for method in PAPERS}
    for name, row in ROWS.items():
        method, where = name.split("-")[:2]
        assert (row.name, row.method) == (name, method)
        found[method][where] += 1
    assert found == PAPERS
    four = [row for row in ROWS.values() if "4" in row.where]
    assert sorted(row.model for row in four) == ["no-dq", "no-epi", "no-ipi", "no-lq", "no-realign", "no-rescale"]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_the_paper_says(name):
    row = ROWS[name]
    facts = protocol.read(row.bench).metrics
    from motionkit.metrics import protocols

    for claim in row.claims:
        assert claim.figure in protocols.get(facts).facts
        if claim.paper in row.numbers and claim.figure in SAME_WAY:
            full, ablated = row.numbers[claim.paper]
            assert claim.sign == ("lower" if ablated < full else "higher"), claim
        assert claim.paper, "a number's name or the paper's words"


@pytest.mark.parametrize("name", ROWS)
def test_a_row_changes_something(name):
    row = ROWS[name]
    spec = registry.spec(row.method)
    base, changed = (asdict(method_settings(spec, settings)) for settings in (row.base, row.changed))
    assert row.not_run or row.train or row.train_seed or row.base_bench or base != changed
    if row.train:
        schema = registry.load_object(spec.train_config)
        assert asdict(typed(schema, row.train, "train.")) != asdict(schema())


def values(*numbers, seed=0):
    return {(case, seed): float(value) for case, value in enumerate(numbers)}


@pytest.mark.parametrize(
    ("sign", "change", "word"),
    [
        ("lower", [-1, -2, -1, -2, -1, -2], AGREES),
        ("higher", [-1, -2, -1, -2, -1, -2], DISAGREES),
        ("higher", [1, 2, 1, 2, 1, 2], AGREES),
        ("lower", [1, 2, 1, 2, 1, 2], DISAGREES),
        ("lower", [-1, 1, -1, 1, -1, 1], NOISE),
        ("higher", [0] * 6, NOISE),
        ("open", [-1, -2, -1, -2, -1, -2], OPEN),
    ],
)
def test_the_verdict_follows_the_paired_difference(sign, change, word):
    full = values(10, 20, 30, 40, 50, 60)  # cases differ far more than rows: only pairing sees the difference
    ablated = {(case, 0): full[case, 0] + d for case, d in enumerate(change)}
    found = judge(Claim("psnr", sign), full, ablated)
    assert (found.word, found.n, found.full) == (word, 6, 35.0)
    reach = 2.57058 * statistics.stdev(change) / 6**0.5  # Student's t of 5 degrees of freedom
    wanted = [sum(change) / 6 + side * reach for side in (-1, 0, 1)]
    assert (found.low, found.mean, found.high) == pytest.approx(wanted, abs=1e-3)
    assert found.ablated == pytest.approx(found.full + found.mean)


def test_few_cases_tell_nothing_and_none_is_not_run():
    four = values(1, 2, 3, 4)
    found = judge(Claim("psnr", "lower"), four, {key: value - 1 for key, value in four.items()})
    assert found.word == NOISE and found.high < 0 and "too few cases to tell: 4" in found.why
    assert judge(Claim("psnr", "lower"), four, values(1, seed=7)).word == NOT_RUN


def test_seeds_of_a_case_are_one_value_and_only_shared_ones_count():
    full = values(0, 0, 0, 0, 0) | values(2, 2, 2, 2, 2, seed=1)
    ablated = values(1, 1, 1, 1, 1) | values(5, 5, 5, 5, 5, seed=1) | values(*[99] * 5, seed=2)
    found = judge(Claim("psnr", "higher"), full, ablated)
    assert (found.n, found.full, found.ablated, found.mean, found.low) == (5, 1.0, 3.0, 2.0, 2.0)


FLOW = Ablation(
    "flow",
    "another flow",
    "Figure 0",
    "warp",
    None,
    "sprites",
    {},
    {"flow": "farneback"},
    claims=[Claim("psnr", "lower", "worse")],
    numbers={"PSNR": [2.0, 1.0]},
    note="It is as good here.",
)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder to run in, with a stage cache of its own."""
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(rows, folder, **more):
    said = []
    return ledger.run_ledger(rows, folder, runner=Here(), say=said.append, frames=2, size=48, **more), said


def test_rows_are_run_against_their_base_and_written_down(small):
    never = replace(FLOW, name="never", not_run="there is no such network")
    trained = replace(FLOW, name="trained", settings={}, train={"epi": {"groups": ["a", "b"]}}, model="no-x")
    refused = replace(FLOW, name="refused", bench="drawing")  # a drawing has no driving clip
    rows = [FLOW, never, trained, refused, replace(FLOW, name="again", row="the same")]
    done, said = run(rows, small / "out", pairs=2)
    flow, unknown_, untrained, undriven, again = (finding.verdicts[0] for finding in done.findings)
    assert flow.n == 2 and flow.word == NOISE and 5 < flow.full < 60 and flow.full != flow.ablated
    assert replace(again, why="") == replace(flow, why="") and len([line for line in said if "/4]" in line]) == 4
    assert (unknown_.word, unknown_.why) == (NOT_RUN, "there is no such network")
    assert "motionkit train method=warp train.epi.groups=[a,b] output=VARIANTS/no-x" in untrained.why
    assert undriven.word == NOT_RUN and "warp needs driving" in undriven.why
    path = ledger_page.write_ledger(small / "out", done)
    page = path.read_text()
    assert path.parent.name.startswith("ledger-"), "some rows never take the whole ledger's place"
    assert "Of 2 such intervals about 0" in page and "Student's t" in page and "the base, and" not in page
    assert "PSNR" in page and "**within noise**" in page and "there is no such network" in page
    assert "sub-run" in page and "may be because (not tested): It is as good here." in page
    assert "because (measured)" not in page and "one training each" in page
    known = replace(done.findings[0], ablation=replace(FLOW, reason="The flows are alike."))
    told = ledger_page.markdown(replace(done, findings=[known]), ledger_page._facts(done))
    assert "because (measured): The flows are alike." in told
    data = json.loads((path.parent / "ledger.json").read_text())
    assert [row["name"] for row in data["rows"]] == ["flow", "never", "trained", "refused", "again"]
    assert data["rows"][0]["verdicts"][0]["n"] == 2 and data["rows"][0]["numbers"] == {"PSNR": [2.0, 1.0]}


def test_another_request_is_paired_by_its_cases(small):
    still = replace(FLOW, name="still", bench="transfer-still", base_bench="sprites", settings={}, numbers={})
    done, _ = run([still], small / "out", pairs=1)
    verdict = done.findings[0].verdicts[0]
    assert verdict.n == 1 and verdict.mean == 0 and set(done.protocols) == {"sprites", "transfer-still"}
    assert (verdict.low, verdict.word, verdict.why) == (None, NOISE, "one case has no interval")
    assert "Infinity" not in (ledger_page.write_ledger(small / "out", done).parent / "ledger.json").read_text()


def test_a_trained_variant_counts_beyond_the_control_alone():
    """A difference of .002 between one training of each means nothing where the full model alone moves by .005."""
    variant, control = ROWS["animatex-table5-no-al"], ROWS["animatex-control-unaligned"]
    change = {"psnr": -2.0, "ssim": -0.002}
    claims = [(claim, change[claim.figure]) for claim in variant.claims if claim.figure in change]
    seen = [ledger.Verdict(claim, AGREES, 16, 1.0, 1 + d, d, 1.5 * d, 0.5 * d) for claim, d in claims]
    again = [ledger.Verdict(claim, "open", 16, 1.0, 1.0, 0.001, -0.003, 0.005) for claim in control.claims]
    found = ledger.beside_controls([ledger.Finding(variant, seen), ledger.Finding(control, again)])
    words = {verdict.claim.figure: (verdict.word, verdict.why) for verdict in found[0].verdicts}
    assert words["psnr"] == (AGREES, "")
    assert words["ssim"] == (NOISE, "the full model trained again (control) may differ by 0.005 in ssim")
    assert [verdict.word for verdict in found[1].verdicts] == ["open"] * 3
    assert ledger.beside_controls([ledger.Finding(variant, seen)])[0].verdicts == seen, "without a control it stays"
    elsewhere = replace(control, bench="pose-self-64")
    assert ledger.beside_controls([ledger.Finding(variant, seen), ledger.Finding(elsewhere, again)])[0].verdicts == seen


def test_only_a_whole_ledger_is_called_the_ledger(monkeypatch):
    claim = FLOW.claims[0]
    ran, not_run = (ledger.Finding(FLOW, [ledger.Verdict(claim, word)]) for word in (NOISE, NOT_RUN))
    title, few = (protocol.title(protocol.read("sprites", pairs=pairs)) for pairs in (24, 2))
    monkeypatch.setattr(ledger_page.ablations, "known", lambda: ["flow"])
    whole = ledger.Ledger([ran], {"sprites": title})
    assert ledger_page._name(whole) == "ledger"
    lacking = [replace(whole, findings=[not_run]), replace(whole, protocols={"sprites": few})]
    assert len({ledger_page._name(one) for one in (whole, *lacking)}) == 3


def test_settings_as_they_are_typed():
    given = {"a": {"b": True, "c": None}, "d": "/Models/A", "e": [1, 2]}
    typed = [("a.b", "true"), ("a.c", "null"), ("d", "/Models/A"), ("e", "[1,2]")]
    assert protocol.dotted(given) == typed


def test_pairs_by_protocol(small):
    rows = [FLOW, replace(FLOW, name="posed", bench="pose-cross")]
    done, _ = run(rows, small / "out", pairs={"sprites": 1, "pose-cross": 2})
    assert [finding.verdicts[0].n for finding in done.findings] == [1, 2]
    with pytest.raises(UserError, match="did you mean 'sprites'"):
        run(rows, small / "out", pairs={"sprits": 1})


def test_trained_variants_stand_against_the_full_one(small):
    row = replace(ROWS["animatex-table5-no-epi"])
    for name in ("full", "no-epi"):
        (small / name / "model").mkdir(parents=True)
    (one,) = ledger.plan([row], small)
    assert one.ablated.backbone_path == str(small / "no-epi" / "model")
    assert one.full.backbone_path == str(small / "full" / "model")
    (small / "full" / "model").rmdir()
    (one,) = ledger.plan([row], small)
    assert one.ablated is None and "train.epi.probability=0 output=VARIANTS/no-epi" in one.why


def test_from_the_command_line(small, capsys):
    words = ["bench", "bench=ablations", "ablations=[animatex-table5-no-?q]", "bench.pairs={drawing:2}", "output=out"]
    assert main(words) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    assert "`animatex-table5-no-dq`, `animatex-table5-no-lq`: the base, and the row too, have `align=none`" in page
    assert page.count("pose-cross-64") == 0 and "not run: 6" in page and "train.variant.query=learned" in page
    assert main([*words[:2], "ablations=[flipsketch-tabel1-no-align]"]) == 2
    assert "did you mean 'flipsketch-table1-no-align'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bench=ablations", "methods=[warp]"], "ablations=[NAME]"),
        (["bench=ablations", "settings.warp.flow=dis"], "ablations=[NAME]"),
        (["bench=ablations", "bench.pairs=0"], "bench.pairs=0 is outside 1"),
        (["bench=ablations", "bench.seeds=[]"], "bench.seeds=[]"),
        (["bench=ablations", "bench.variants=5"], "bench.variants=5: no such folder"),
        (["ablations=[flipsketch-*]"], "rows of bench=ablations"),
        (["bench.name=null"], "give a protocol's name"),
    ],
)
def test_what_would_be_ignored_is_refused(words, says, small, capsys):
    assert main(["bench", *words, "output=out"]) == 2
    assert says in capsys.readouterr().err and not (small / "out").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "warpp"}, "did you mean 'warp'"),
        ({"bench": "spirtes"}, "did you mean 'sprites'"),
        ({"settings": {"flwo": "dis"}}, "method.flow"),
        ({"claims": []}, "no claim"),
        ({"claims": [Claim("psnr", "down")]}, "unknown sign 'down'"),
        ({"numbers": {"PSNR": [1.0]}}, "numbers of PSNR"),
        ({"model": "no-x"}, "train and model go together"),
    ],
)
def test_a_row_that_cannot_be_is_refused_in_one_line(change, says):
    with pytest.raises(UserError) as caught:
        replace(FLOW, **change).check()
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_to_run_is_said(small):
    with pytest.raises(UserError, match="no ablation"):
        ledger.run_ledger([], small / "out")


def test_make_trains_every_variant_as_its_row_says():
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    for row in ROWS.values():
        if row.model and not row.model.startswith("lambda-"):  # those are a loop there
            words = [f"train.{key}={value}" for key, value in protocol.dotted(row.train)]
            words += [] if row.train_seed is None else [f"seed={row.train_seed}"]
            assert f"output=$(ABLATE)/{row.model} {' '.join(words)}\n" in makefile, row.name
