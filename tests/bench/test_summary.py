"""The numbers of a table: reduction over seeds and cases, ranks only where intervals part, and what is left out."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from motionkit.metrics import bootstrap_interval, facts
from motionkit.metrics.sets import SetFigure
from motionkit.table.bench import Cell, Entry, summary
from motionkit.table.bench.engine import Done, Outcome, Row
from motionkit.table.bench.summary import Figure, Line, ranked, summarise
from motionkit.table.bench.tables import as_json, cell_text, markdown

METRICS = SimpleNamespace(
    name="few",
    version=1,
    hash="ab" * 32,
    facts={name: facts()[name] for name in ("psnr", "l1", "motion_ratio_truth")},
    measures=("psnr", "l1", "motion_ratio_truth"),
    missing={},
)
RECORD = {
    "backbone": {"name": "pocket-sd", "fingerprint": "0123456789ab"},
    "seconds": 2.0,
    "cpu_seconds": 3.0,
    "rss_mb": 400.0,
    "cuda_mb": None,
    "from_cache": [],
    "inputs_used": ["reference", "prompt"],
    "size": {"height": 64, "width": 96},
    "threads": 1,
    "plan": {"device": "cpu", "dtype": "float32", "autocast": "bfloat16", "attention": "sdpa", "offload": "none"},
}


@pytest.fixture
def protocol():
    from motionkit.table.bench import read

    return read("sprites", pairs=6, seeds=[0, 1])


def table(protocol, tmp_path, **rows):
    """label -> psnr of each (case, seed), or the reason of a refusal."""
    made = []
    for label, values in rows.items():
        entry = Entry(label, "obedient")
        if isinstance(values, str):
            made.append(Row(entry, (), values))
            continue
        cells = []
        for (case, seed), value in values.items():
            cell = Cell(entry, protocol, case, seed, f"{label}{case}{seed}", tmp_path)
            bad = isinstance(value, str)
            record = RECORD | {"seconds": 2.0 + case, "rss_mb": 400.0 + case}
            cells.append(Done(cell, reason=value) if bad else Done(cell, record, {"psnr": value}))
        made.append(Row(entry, cells))
    return Outcome(protocol, made, METRICS)


def every(protocol, base, step=0.1):
    return {(case, seed): base + step * case + seed for case in range(protocol.pairs) for seed in (0, 1)}


def test_seeds_are_averaged_before_cases_are_resampled(protocol, tmp_path):
    line = summarise(table(protocol, tmp_path, one=every(protocol, 20))).lines[0]
    figure, cost = line.figures["psnr"], line.costs
    wanted = bootstrap_interval([20.5 + 0.1 * case for case in range(6)])
    assert (figure.mean, figure.low, figure.high) == wanted and figure.n == 6
    assert cost["seconds"].mean == pytest.approx(4.5) and cost["rss_mb"] == Figure(405.0, n=12)
    assert "cuda_mb" not in cost and line.size == "96 × 64" and line.inputs_used == ["reference", "prompt"]
    assert line.weights.startswith("pocket-sd: pocket") and line.weights.endswith("01234567")


def test_one_case_has_no_interval(protocol, tmp_path):
    one = {key: value for key, value in every(protocol, 30).items() if key[0] == 0}
    (line,) = summarise(table(protocol, tmp_path, a=one)).lines
    for figure in (line.figures["psnr"], line.costs["seconds"]):
        assert figure.n == 1 and figure.mean is not None and (figure.low, figure.high) == (None, None)


def test_ranks_only_where_intervals_part(protocol, tmp_path):
    rows = {"a": every(protocol, 30), "b": every(protocol, 30.05), "c": every(protocol, 10)}
    lines = summarise(table(protocol, tmp_path, **rows)).lines
    assert [line.figures["psnr"].rank for line in lines] == [1, 1, 3]
    together = summarise(table(protocol, tmp_path, a=rows["a"], b=rows["b"])).lines
    assert [line.figures["psnr"].rank for line in together] == [None, None]


def test_rows_with_failures_or_few_cases_take_no_part(protocol, tmp_path):
    holed = every(protocol, 50) | {(3, 1): "the clip is too green"}
    done = summarise(table(protocol, tmp_path, holed=holed, a=every(protocol, 30), b=every(protocol, 10)))
    assert [line.figures["psnr"].rank for line in done.lines] == [None, 1, 2]
    assert done.lines[0].failed == ["holed, case 3, seed 1: the clip is too green"]
    few = {key: value for key, value in every(protocol, 30).items() if key[0] < 4}
    lines = summarise(table(protocol, tmp_path, few=few, a=every(protocol, 10), b=every(protocol, 5))).lines
    assert [line.figures["psnr"].rank for line in lines] == [None, 1, 2]


@pytest.mark.parametrize(
    ("better", "spans", "ranks"),
    [
        ("higher", [(1, 2), (3, 4)], [2, 1]),
        ("lower", [(1, 2), (3, 4)], [1, 2]),
        ("one", [(0.2, 0.4), (0.9, 1.3), (1.7, 1.9)], [2, 1, 2]),
        ("none", [(1, 2), (3, 4)], [None, None]),
    ],
)
def test_what_is_better_depends_on_the_figure(better, spans, ranks):
    fact = SimpleNamespace(better=better)
    lines = [
        Line(str(i), "m", "", "", figures={"x": Figure((low + high) / 2, low, high, 9)})
        for i, (low, high) in enumerate(spans)
    ]
    found = ranked(lines, {"x": fact})
    assert [line.figures["x"].rank for line in found] == ranks


def test_markdown_and_json_say_everything(protocol, tmp_path):
    rows = {"a": every(protocol, 30), "b|c": every(protocol, 10) | {(0, 0): "too\ngreen"}, "no": "not on | this one"}
    sets = {"a": {"fvd": SetFigure(skipped="FVD needs weights: i3d.pt"), "fid": SetFigure(3.0, 2.0, 4.0, 6, "", "n=6")}}
    outcome = table(protocol, tmp_path, **rows)
    outcome.metrics.facts |= {"fvd": facts()["l1"], "fid": facts()["psnr"]}
    outcome.metrics.missing["psnr"] = "PSNR needs weights: psnr.pt"
    try:
        summary = summarise(outcome, sets)
        text, data = markdown(summary), as_json(summary)
    finally:
        for name in ("fvd", "fid"):
            del outcome.metrics.facts[name]
        del outcome.metrics.missing["psnr"]
    assert f"# sprites v1 ({protocol.hash[:8]}), a sub-run: pairs 24 → 6; seeds [0] → [0, 1]" in text
    assert protocol.hash in text and "ab" * 32 in text and "**a sub-run**" in text
    assert "| n | Processor, s | Memory, MB |" in text
    assert "Computed on cpu, float32, autocast bfloat16, sdpa, 1 thread." in text and "cannot be compared" not in text
    lines = [replace(summary.lines[0], computed=["cpu", "cuda"]), *summary.lines[1:]]
    assert "Times of cells that were computed differently cannot be compared" in markdown(replace(summary, lines=lines))
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("| b\\|c |")], "a bar in a label does not end the cell"
    assert "- **no** refused: not on | this one" in lines and "- skipped: FVD needs weights: i3d.pt" in lines
    assert "- skipped: PSNR needs weights: psnr.pt" in lines, "a figure of one video"
    assert any("failed: b|c, case 0, seed 0: too green" in line for line in lines)
    assert any(line.endswith(": n=6") for line in lines) and "L1" not in lines[7], "no column without a value"
    data = json.loads(json.dumps(data))
    assert data["deviations"]["pairs"] == {"published": 24, "here": 6}
    assert [cell["reason"] for cell in data["cells"]].count(None) == 23 and data["rows"][2]["refused"]
    assert data["cells"][0]["figures"] == {"psnr": 30.0} and data["cells"][0]["rss_mb"] == 400.0


def test_a_figure_as_text():
    assert cell_text(Figure(14.326, 13.68, 15.02, 24, 2)) == "② 14.3 [13.7, 15]"
    assert cell_text(Figure(1234.5)) == "1234" and cell_text(None) == "–"
    assert cell_text(Figure(skipped="no weights")) == "skipped"


def test_seeds_are_sets_of_their_own(protocol, tmp_path, monkeypatch):
    asked = []

    class Metrics:
        def sets(self, videos, truths, prompts):
            asked.append(len(videos))
            value = float(len(asked))
            return {"fid": SetFigure(value, value - 1, value + 1, len(videos), "", "small")}

    monkeypatch.setattr(summary, "video_of", lambda cell: None)
    done = replace(table(protocol, tmp_path, a=every(protocol, 30)), metrics=Metrics())
    figure = summary.set_figures(done, done.rows[0])["fid"]
    assert asked == [6, 6] and (figure["value"], figure["low"], figure["high"], figure["n"]) == (1.5, 0.5, 2.5, 6)
    assert "mean of 2 seeds" in figure["note"]
