"""The papers' figures: copied whole, shown apart from ours, and refused when a row does not fit its columns."""

import json

import pytest

from motionkit import registry
from motionkit.errors import UserError
from motionkit.metrics import published
from motionkit.metrics.sets import SETS

PAPERS = ("anamodiff", "animatex", "flipsketch", "vidmp3")


def test_every_built_in_method_with_a_paper_is_there():
    assert tuple(published.names()) == PAPERS
    for name in PAPERS:
        source, spec = published.paper(name), registry.spec(name)
        assert source.url == spec.paper_url and source.method == name
        assert source.tables or source.absent


@pytest.mark.parametrize(
    ("method", "label", "row", "column", "value"),
    [
        ("anamodiff", "Table 1", "TuneAVideo", "CLIP-Image", 9.454),
        ("flipsketch", "Table 1", "FlipSketch, λ = 1", "S2V consistency", 0.968),
        ("flipsketch", "Table 2", "T2V LoRA", "MOS", 0.53),
        ("vidmp3", "Time cost analysis (text)", "Correspondence maps", "Seconds", 64),
        ("animatex", "Table 2", "Animate-X", "FVD", 849.19),
        ("animatex", "Table 2", "FOMM", "L1", 1.47e-4),
        ("animatex", "Tables 4 and 5", "without EPI", "PSNR*", 12.63),
    ],
)
def test_figures_are_those_of_the_papers(method, label, row, column, value):
    table = next(table for table in published.paper(method).tables if table.label == label)
    at = [c.title for c in table.columns].index(column)
    assert table.rows[row][at].value == value


def test_deviations_are_kept():
    figure = published.paper("flipsketch").tables[0].rows["FlipSketch"][1]
    assert (figure.value, figure.plus_minus) == (0.172, 0.002)


def test_a_variant_names_our_metric_where_there_is_one():
    known = set(registry.METRICS.names()) | set(SETS)
    for title, variant in (("PSNR*", "psnr"), ("L1", "l1_per_hw"), ("FID-VID", "fid_vid"), ("FVD", "fvd")):
        column = next(c for c in published.paper("animatex").tables[0].columns if c.title == title)
        first = column.variant.replace(":", " ").replace(",", " ").split()[0]
        assert first == variant and first in known


def test_the_text_says_what_it_is_and_keeps_the_printed_digits():
    text = published.markdown(["animatex", "still", "flipsketch"])
    assert text.startswith(f"## {published.HEADING}") and "not comparable" in text
    assert "| Animate-X | 14.10 | 0.463 | 8.92e-05 | 0.425 | 31.58 | 33.15 | 849.19 |" in text
    assert "| SVD | 0.917 ± 0.004 | – |" in text
    assert "Not kept: Table 1" in text and "AnaMoDiff" not in text
    assert published.markdown(["still", "warp"]) == "" == published.html(["still"])


def test_the_section_of_a_page_is_whole_and_escaped(monkeypatch):
    data = {"paper": "<b>", "url": "https://x/?a&b", "method": "x", "absent": [{"label": "<i>", "why": "&"}]}
    column = {"title": "A<", "better": "lower", "variant": '"q"'}
    data["tables"] = [{"label": "T", "what": "<u>", "split": "s", "columns": [column], "rows": {"<r>": [1]}}]
    monkeypatch.setattr(published, "paper", lambda name: published.parse(data, "x.yaml"))
    page = published.html(["vidmp3"])
    assert all(bad not in page for bad in ("<b>", "<u>", "<i>", "<r>", 'title=""q'))
    assert page.count("<table>") == 1 and "<td>1</td>" in page


def test_plain_data_can_be_written_as_json():
    found = json.loads(json.dumps(published.as_json([*PAPERS, "warp"])))
    assert [entry["method"] for entry in found] == list(PAPERS)


def test_mistakes_in_the_data_are_named():
    with pytest.raises(UserError, match="did you mean 'animatex'"):
        published.paper("animatx")
    with pytest.raises(UserError, match="x.yaml: lacks url"):
        published.parse({"tables": [], "absent": [], "paper": "p"}, "x.yaml")
    column = {"title": "A", "better": "lower", "variant": ""}
    table = {"label": "T", "what": "", "split": "", "columns": [column], "rows": {"r": [1, 2]}}
    with pytest.raises(UserError, match="2 figures for 1 columns"):
        published.parse({"tables": [table], "absent": [], "paper": "p", "url": "u", "method": "m"}, "x.yaml")
