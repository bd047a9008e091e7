"""Compare, Gallery, Batch, Tables, Study and Doctor through what the page asks."""

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

from motionkit.errors import UserError
from motionkit.table import study
from motionkit.ui import facts, gallery, tables

pytest.importorskip("gradio", reason="the web page needs gradio: pip install 'motionkit[ui]'")


@pytest.fixture(scope="module")
def compared(browsers, clips):
    me = browsers["a"]
    reference, driving = me.upload(clips / "me.png"), me.upload(clips / "moves.mp4")
    form = {"method": "warp", "settings": {"path": "chain"}, "frames": "4"}
    return me.ask("/compare", {"methods": ["still", "warp"]}, form, reference, driving)


def test_methods_side_by_side_with_the_reports_figures(compared, me, other):
    assert (compared["state"], compared["line"]) == ("done", "")
    assert [cell["method"] for cell in compared["cells"]] == ["still", "warp"]
    assert compared["cells"][1]["config"]["path"] == "chain"
    names = {column["name"] for column in compared["columns"]}
    assert names and all(names & set(cell["metrics"]) for cell in compared["cells"])
    assert all(me.file(cell["video"]).status_code == 200 for cell in compared["cells"])
    report = other.file(compared["report"])
    assert (
        report.headers["content-type"].startswith("text/html")
        and "sandbox" in report.headers["content-security-policy"]
    )


def test_nothing_ticked_is_said(me):
    state = me.ask("/compare", {"methods": []}, {"method": "warp"}, None, None)
    assert state["state"] == "failed" and "tick" in state["line"]


def test_a_page_is_only_read_below_the_runs(me, page):
    (page[1].runs / "notes.txt").write_text("x")
    for name in ("../page.html", "notes.txt", "/etc/passwd", "%2e%2e/x.html"):
        assert me.file(f"motionkit/page/{name}").status_code == 404


def test_past_runs_are_listed_opened_asked_for_again_and_deleted(me, clips, page):
    files = page[1]
    reference, driving = me.upload(clips / "me.png"), me.upload(clips / "moves.mp4")
    form = {"method": "warp", "settings": {"path": "chain"}, "seed": "5", "frames": "4"}
    assert me.ask("/transfer", form, reference, driving)["state"] == "done"
    newest = gallery.runs(files)[0]
    assert (newest["method"], newest["status"], newest["removable"]) == ("warp", "complete", True)
    again = gallery.form_of(files, newest["name"])
    assert (again["method"], again["settings"], again["seed"], again["frames"]) == ("warp", {"path": "chain"}, "5", "4")
    assert again["clips"] == ["me", "moves"]
    assert gallery.opened(files, newest["name"])["cells"][0]["video"]
    gallery.delete(files, newest["name"])
    assert newest["name"] not in [run["name"] for run in gallery.runs(files)]
    for name in (newest["name"], "..", "", "../../etc", None):
        with pytest.raises(UserError):
            gallery.delete(files, name)


def test_a_run_that_vanishes_is_one_line(page):
    files, name = page[1], "transfer/vanishing"
    folder = files.runs / name
    folder.mkdir(parents=True)
    for text in ("{}", '{"method": {}}', "[", '{"method": "warp"}'):
        (folder / "manifest.json").write_text(text)
        assert name not in [run["name"] for run in gallery.runs(files)]
        for ask in (gallery.opened, gallery.form_of):
            with pytest.raises(UserError, match="no such run"):
                ask(files, name)
    gone = folder / "manifest.json"
    gone.unlink()
    assert gallery.newest([gone, files.runs]) == [files.runs]
    with pytest.raises(UserError, match="no such run"):
        gallery.opened(files, name)


def test_a_part_of_a_comparison_is_not_deleted_by_itself(compared, page):
    cell = next(run for run in gallery.runs(page[1]) if run["name"].startswith("compare/"))
    assert not cell["removable"]
    with pytest.raises(UserError, match="comparison"):
        gallery.delete(page[1], cell["name"])


def test_jobs_of_a_csv_run_and_come_as_a_zip(me, clips, tmp_path):
    table = tmp_path / "jobs.csv"
    table.write_text(
        "name,reference,driving,frames\none,me.png,moves.mp4,3\ntwo,absent.png,moves.mp4,3\nthree,/etc/passwd,moves.mp4,3\n"
    )
    sent = [me.upload(path) for path in (table, clips / "me.png", clips / "moves.mp4")]
    state = me.ask("/batch", {"files": sent, "methods": ["still"]})
    assert state["state"] == "done", state["line"]
    assert [row["state"] for row in state["rows"]] == ["done", "failed", "failed"]
    assert "absent.png" in state["rows"][1]["line"] and "passwd" in state["rows"][2]["line"]
    names = zipfile.ZipFile(io.BytesIO(me.file(state["zip"]).content)).namelist()
    assert "jobs/one/report.html" in names and "index.html" in names and not [n for n in names if "/frames/" in n]
    state = me.ask("/batch", {"files": sent[1:], "methods": ["still"]})
    assert state["state"] == "failed" and "CSV" in state["line"]


def test_tables_are_found(page):
    made = json.loads((Path(__file__).parents[2] / "benchmarks/head_to_head/results.json").read_text())
    place = page[1].runs / "bench" / "sprites" / "results"
    place.mkdir(parents=True)
    (place / "results.json").write_text(json.dumps(made))
    (place.parent / "results-x.json").write_text("[]")
    found = tables.benches(page[1])
    assert len(found) == 1 and len(found[0]["rows"]) == len(made["rows"]) and found[0]["columns"]


def test_a_study_is_blind_and_counts(compared, me, page):
    names = [item["name"] for item in tables.comparisons(page[1])]
    begun = me.ask("/study", {"names": names[:1]})
    assert len(begun["pairs"]) == 2 * len({pair["id"] for pair in begun["pairs"]})
    assert "warp" not in json.dumps(begun) and "still" not in json.dumps(begun)
    pair = begun["pairs"][0]
    assert me.file(pair["a"]).status_code == me.file(pair["inputs"]["driving"]).status_code == 200
    vote = {"study": begun["study"], "pair": pair["id"], "question": pair["question"], "choice": "a", "voter": "v"}
    counted = tables.vote(page[1], vote)["rates"]
    assert [(rate["rate"], rate["n"]) for rate in counted] == [(1.0, 1), (0.0, 1)]
    kept = page[1].runs / "study" / begun["study"]
    assert list(csv.DictReader((kept / study.VOTES).open())) == [vote]
    for wrong in ({"choice": "c"}, {"pair": "x"}, {"study": "../x"}, {"question": "which"}, {"voter": "=1+1"}):
        with pytest.raises(UserError):
            tables.vote(page[1], vote | wrong)
    assert "error" in me.ask("/study", {"names": ["../.."]})


def test_a_method_of_another_package_has_a_card_and_a_form(tmp_path, monkeypatch):
    from motionkit import registry

    ghost = Path(__file__).parents[1] / "third_party" / "motionkit-example-ghost"
    info = tmp_path / "motionkit_example_ghost-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: motionkit-example-ghost\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[motionkit.methods]\nghost = motionkit_ghost:SPEC\n")
    for path in (ghost, tmp_path):
        monkeypatch.syspath_prepend(str(path))
    registry.refresh()
    try:
        card = next(card for card in facts.everything()["methods"] if card["name"] == "ghost")
        assert card["from"] == "motionkit-example-ghost" and card["needs"]
        assert facts.form("ghost")["schema"]["properties"]
    finally:
        monkeypatch.undo()
        registry.refresh()


def test_forms_come_from_the_declared_settings_per_backbone():
    made = facts.form("vidmp3", "tiny-sd")
    assert made["schema"]["properties"]["preset"]["enum"] and made["backbone"] == "tiny-sd"
    assert facts.form("flipsketch", "sd15")["wrong"] and facts.form("warp", None, "paper")["wrong"]
