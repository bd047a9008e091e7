"""`results/`: three files, whole, escaped, self-contained; sub-runs never take the published table's place."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from motionkit.report import contact_sheet
from motionkit.table.bench import Entry, page, protocol
from motionkit.table.bench.engine import run
from motionkit.table.bench.page import write_results
from motionkit.table.bench.summary import summarise


@pytest.fixture
def outcome(small, here, light, tmp_path):
    rows = [
        Entry("good <b>row</b>", "obedient"),
        Entry("bad", "obedient", settings={"how": "raise"}),
        Entry("refused", "anamodiff", "animatex"),
    ]
    return run(small, rows, tmp_path / "bench", runner=here)


def test_the_page_holds_everything_and_fetches_nothing(outcome, tmp_path):
    path = write_results(tmp_path / "bench", outcome, shown=1)
    text = path.read_text()
    assert "good &lt;b&gt;row&lt;/b&gt;" in text and "good <b>row</b>" not in text
    assert "a &lt;b&gt;bold&lt;/b&gt; defect" in text and "<b>bold</b>" not in text
    assert (
        outcome.protocol.hash in text and outcome.metrics.hash in text and "anamodiff does not run on animatex" in text
    )
    assert text.count("data:video/mp4;base64,") == 1 and text.count("data:image/png;base64,") == 1
    assert not re.search(r'src="(?!data:)', text) and "<script" not in text and str(tmp_path) not in text
    assert text.index("anamodiff does not run") < text.index('class="published"'), "papers apart, below our own"
    assert text.count("<tr>") == text.count("</tr>") and text.count("<section") == text.count("</section>")


def test_three_files_and_a_folder_of_its_own_for_a_sub_run(outcome, tmp_path, monkeypatch):
    path = write_results(tmp_path / "bench", outcome, shown=0)
    assert path.parent.name.startswith("results-")
    assert sorted(p.name for p in path.parent.iterdir()) == ["results.html", "results.json", "results.md"]
    data = json.loads((path.parent / "results.json").read_text())
    assert [row["label"] for row in data["rows"]] == ["good <b>row</b>", "bad", "refused"]
    assert [paper["method"] for paper in data["published"]] == ["anamodiff"]
    assert (path.parent / "results.md").read_text().count("these are not comparable with ours") == 1
    plain = replace(outcome, rows=[outcome.rows[0], outcome.rows[2]])
    assert write_results(tmp_path / "bench", plain, shown=0).parent.name == f"results-{outcome.protocol.hash[:8]}"
    monkeypatch.setattr(protocol, "deviations", lambda one: {})
    assert write_results(tmp_path / "bench", plain, shown=0).parent.name == "results"


def test_the_picture_shows_each_row_of_two_cases(outcome, tmp_path):
    folder = write_results(tmp_path / "bench", outcome, shown=2).parent
    sheet = np.asarray(Image.open(folder / "results.png"))
    _, panels = page._panels(summarise(outcome), 0)
    labels = [panel.label for panel in panels]
    assert labels[0] == "driving" and labels[-1] == "truth" and "good <b>row</b>" in labels and "refused" not in labels
    one = contact_sheet(panels, page.FRAMES)
    assert np.array_equal(sheet[:, : one.shape[1]], one) and sheet.shape[1] > 1.5 * one.shape[1]


def test_a_row_that_failed_on_one_of_the_pictured_cases(small, here, light, tmp_path):
    fine, holed = Entry("fine", "obedient"), Entry("holed", "obedient", settings={"roll": 2})
    made = run(small, [fine, holed], tmp_path / "bench", runner=here)
    first = made.rows[1].cells[0]
    lost = replace(made.rows[1], cells=[replace(first, record={}, figures={}, reason="lost"), *made.rows[1].cells[1:]])
    folder = write_results(tmp_path / "bench", replace(made, rows=[made.rows[0], lost]), shown=2).parent
    whole = np.asarray(Image.open(write_results(tmp_path / "bench", made, shown=2).parent / "results.png"))
    assert np.asarray(Image.open(folder / "results.png")).shape == whole.shape


def test_changed_settings_are_shown_and_have_a_folder_of_their_own(small, here, light, tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "deviations", lambda one: {})
    folders = []
    for settings in ({}, {"roll": 30}):
        made = run(small, [Entry("row", "obedient", settings=settings)], tmp_path / "bench", runner=here)
        folders.append(write_results(tmp_path / "bench", made, shown=0).parent)
    assert folders[0].name == "results" and folders[1].name.startswith("results-")
    for name in ("results.md", "results.html", "results.json"):
        assert "roll=30" in (folders[1] / name).read_text() and "roll=30" not in (folders[0] / name).read_text()
    assert "Computed on cpu, float32" in (folders[0] / "results.md").read_text()


def test_figures_over_a_row_s_videos_are_taken_once(small, here, light, tmp_path):
    from motionkit.metrics import protocols
    from motionkit.metrics.sets import SetFigure

    metrics, asked = light(), []

    class Counting:
        def __getattr__(self, name):
            return getattr(metrics, name)

        def sets(self, videos, truths, prompts):
            asked.append((len(videos), videos[0].shape == truths[0].shape, bool(prompts[0])))
            return {"l1": SetFigure(0.25, 0.2, 0.3, len(videos), "", "small sets run high")}

    made = replace(run(small, [Entry("row", "obedient")], tmp_path / "b", runner=here), metrics=Counting())
    for _ in range(2):
        page = write_results(tmp_path / "b", made, shown=0)
    assert asked == [(2, True, True)]
    assert "0.25 [0.2, 0.3]" in page.read_text() and "small sets run high" in page.read_text()
    assert protocols.get("x") is metrics
