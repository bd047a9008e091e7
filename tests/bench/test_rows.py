"""Rows that a protocol has of itself: methods, ablations, yardsticks, and what is held against what."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.metrics import clipscorer, pose
from motionkit.metrics.protocols import get as metrics_named
from motionkit.table.bench import Entry, contrasts, protocol, tasks, yardsticks
from motionkit.table.bench.cell import video_of
from motionkit.table.bench.engine import run
from motionkit.table.bench.page import write_results
from motionkit.table.bench.planned import cells_of
from motionkit.table.bench.protocol import Contrast, NamedRow
from motionkit.table.bench.rows import entries_of_rows
from motionkit.table.bench.summary import summarise
from motionkit.table.bench.tables import markdown

shipped = pytest.mark.skipif(
    not (clipscorer.available() and pose.available()), reason="the judges' weights are not in this checkout"
)
OWN = [name for name in protocol.known() if protocol.read(name).rows]


@pytest.mark.parametrize("name", OWN)
def test_rows_and_contrasts_of_every_protocol_mean_something(name, tmp_path):
    asked = protocol.read(name)
    for row in asked.rows:
        if row.model:
            (tmp_path / row.model / "model").mkdir(parents=True)
    entries = entries_of_rows(replace(asked, variants=str(tmp_path)))
    assert [entry.label for entry in entries] == [row.label for row in asked.rows]
    task, figures = tasks.get(asked.task), metrics_named(asked.metrics).facts
    from motionkit.table.bench.entry import settled

    for entry in entries:
        settled(entry, task)
    assert {one.figure for one in asked.contrasts} <= set(figures)
    assert replace(asked, rows=[], contrasts=[]).hash == asked.hash


def made(small, here, entry, tmp_path, **changed):
    done = run(replace(small, pairs=1, **changed), [entry], tmp_path / "b", runner=here)
    assert not done.failed and done.rows[0].cells, (done.rows[0].refused, done.failed)
    return done.rows[0].cells[0]


def test_yardsticks_show_the_truth_the_driving_clip_and_what_an_autoencoder_leaves(small, here, light, tmp_path):
    from motionkit.backbones import load
    from motionkit.settings.gpu import Plan

    case = tasks.make_case("transfer", 0, frames=2, size=64)
    truth = made(small, here, Entry("truth", "copy", yardstick=True, sees="truth"), tmp_path)
    copied = made(small, here, Entry("copy", "copy", yardstick=True), tmp_path)
    assert np.array_equal(video_of(truth.cell), case.truth) and truth.figures["psnr"] == 100
    assert np.array_equal(video_of(copied.cell), case.inputs.driving.frames) and truth.cell.key != copied.cell.key
    assert truth.record["inputs_used"] == ["truth"] and copied.record["inputs_used"] == ["driving"]
    bound = made(small, here, Entry("b", "autoencoder", "tiny-sd", yardstick=True, sees="truth"), tmp_path)
    backbone = load("tiny-sd", Plan())
    with torch.no_grad():
        x = torch.from_numpy(case.truth).permute(0, 3, 1, 2).float() / 255
        back = backbone.decode(backbone.encode(x)).permute(0, 2, 3, 1)
    assert np.array_equal(video_of(bound.cell), (back.clamp(0, 1) * 255).round().byte().numpy())
    still = made(small, here, Entry("still", "still", sees="truth"), tmp_path)
    assert np.array_equal(video_of(still.cell), np.repeat(case.truth[:1], 2, 0))


def test_plain_text_is_drawn_from_the_prompt_with_noise_of_its_own_for_each_case(small, here, light, tmp_path):
    from motionkit.backbones import load
    from motionkit.diffusion.ddim import DDIM
    from motionkit.diffusion.guidance import Guidance, text_model
    from motionkit.diffusion.loop import denoise
    from motionkit.settings.gpu import Plan

    entry = Entry("text", "text", "tiny-modelscope", {"steps": 2, "guidance": 3.0}, yardstick=True)
    done = run(replace(small, task="caption", seeds=[2]), [entry], tmp_path / "b", runner=here)
    backbone, noise = load("tiny-modelscope", Plan()), []
    for index in range(2):
        generator = torch.Generator().manual_seed(2000 + index)
        side = 64 // backbone.factor
        shared, own = (torch.randn(4, n, side, side, generator=generator) for n in (1, 2))
        noise.append(0.7**0.5 * shared + 0.3**0.5 * own)
    for index, one in enumerate(done.rows[0].cells):
        prompt = tasks.make_case("caption", index, frames=2, size=64).inputs.prompt
        with torch.no_grad():
            words, nothing = backbone.encode_text([prompt]), backbone.encode_text([""])
            sampler = DDIM(backbone.scheduler)
            model, guidance = text_model(backbone.denoise, words, nothing), Guidance(3.0, batched=True)
            latents = denoise(model, sampler, noise[index][None], sampler.grid(2), guidance)
            frames = backbone.decode(latents.transpose(1, 2).flatten(0, 1)).permute(0, 2, 3, 1)
        assert np.array_equal(video_of(one.cell), (frames.clamp(0, 1) * 255).round().byte().numpy())


def test_a_yardstick_that_has_no_meaning_there_is_refused(small, here, light, tmp_path):
    with pytest.raises(UserError, match="unknown yardstick 'coppy'"):
        yardsticks.spec("coppy")
    rows = [Entry("a", "text", "tiny-animatex", yardstick=True), Entry("b", "copy", yardstick=True)]
    done = run(replace(small, task="caption"), rows, tmp_path / "b", runner=here)
    assert "reads no prompt" in done.rows[0].refused and "copy needs driving" in done.rows[1].refused


def test_settings_may_name_a_fact_of_the_case_and_a_row_fewer_cases(small, here, light, tmp_path):
    entry = Entry("one", "obedient", settings={"log": "{kind}", "roll": 1}, pairs=1)
    case = tasks.make_case("transfer", 0, frames=2, size=64)
    assert entry.settings_for(case) == {"log": case.facts["kind"], "roll": 1}
    assert (
        len(cells_of(entry, small, tmp_path)) == 1 and len(cells_of(replace(entry, pairs=None), small, tmp_path)) == 2
    )
    assert cells_of(entry, small, tmp_path)[0].key == cells_of(replace(entry, pairs=9), small, tmp_path)[0].key


@pytest.fixture
def own(small):
    """A protocol with rows of its own."""
    rows = [
        NamedRow("truth", yardstick="copy", sees="truth"),
        NamedRow("far", "obedient", settings={"roll": 20}),
        NamedRow("near", "obedient"),
        NamedRow("few", "obedient", settings={"roll": 2}, pairs=3),
    ]
    held = [Contrast("psnr", "near", "far", "lower", "it is worse"), Contrast("psnr", "few", "near", "higher", "few")]
    return replace(small, pairs=6, rows=rows, contrasts=held)


def test_rows_are_held_against_each_other_and_yardsticks_take_no_part_in_ranks(own, here, light, tmp_path):
    done = run(own, entries_of_rows(own), tmp_path / "b", runner=here)
    found = contrasts.held(done)
    near, far = (done.rows[i].values("psnr") for i in (2, 1))
    assert found[0].verdict.mean == pytest.approx(np.mean([near[key] - far[key] for key in near]))
    assert [one.verdict.n for one in found] == [6, 3] and found[1].word == "within noise"
    summary = summarise(done)
    ranks = {line.label: line.figures["psnr"].rank for line in summary.lines}
    assert ranks["truth"] is None and ranks["few"] is None
    text = markdown(summary)
    assert "it is worse" in text and "near − far" in text
    data = json.loads((write_results(tmp_path / "b", done).parent / "results.json").read_text())
    assert data["contrasts"][0]["verdict"]["n"] == 6 and "rows" not in data["protocol"]
    assert (
        data["cells"][0]["facts"]["kind"] and "it is worse" in next((tmp_path / "b").glob("*/results.html")).read_text()
    )


def test_the_command_takes_the_protocols_rows_unless_methods_are_named(here, light, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("motionkit.cli.bench._runner", lambda config, folder: here)
    words = ["bench", "bench=captions", "bench.pairs=1", "bench.frames=2", "bench.size=64", "gpu=cpu", "output=out"]
    assert main([*words, "backbones=[tiny-modelscope]", "settings.text.steps=1"]) == 0
    assert "truth, case 0" in (said := capsys.readouterr().err) and "text, case 0" in said
    assert main([*words, "methods=[obedient]"]) == 2 and "no row can run" in capsys.readouterr().err
    assert main([*words, "settings.still.x=1"]) == 2 and "unknown method in settings 'still'" in capsys.readouterr().err


def test_a_protocols_own_rows_as_they_are_are_published(here, light, monkeypatch, tmp_path):
    asked = replace(protocol.read("captions"), pairs=1, frames=2, size=64)
    monkeypatch.setattr(protocol, "deviations", lambda _: {})
    small_rows = entries_of_rows(asked, ["tiny-modelscope"], {"text": {"steps": 1}})
    done = run(asked, small_rows, tmp_path / "b", runner=here)
    assert write_results(tmp_path / "b", done, 0).parent.name.startswith("results-")
    monkeypatch.setattr("motionkit.table.bench.page.published_entries", lambda _: small_rows)
    light()
    from motionkit.table.bench.page import _name

    assert _name(done) == "results"


def test_trained_variants_need_their_folder():
    with pytest.raises(UserError, match="bench.variants=FOLDER"):
        entries_of_rows(protocol.read("animatex-variants-self"))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"rows": [{"label": "a", "method": "still"}, {"label": "a", "method": "warp"}]}, "a label of its own"),
        ({"rows": [{"label": "a"}]}, "a method or a yardstick"),
        ({"rows": [{"label": "a", "method": "still", "sees": "all"}]}, "sees must be truth"),
        ({"contrasts": [{"figure": "psnr", "row": "a", "against": "b"}]}, "labels of two rows"),
    ],
)
def test_rows_that_cannot_be_are_one_line(changed, says):
    with pytest.raises(UserError, match=says):
        protocol.read("sprites", **changed)


@shipped
def test_figures_of_captions_say_what_is_seen(here, tmp_path):
    asked = replace(protocol.read("captions"), pairs=3)
    done = run(asked, [entries_of_rows(asked)[0]], tmp_path / "b", runner=here)
    truth = [one.figures for one in done.rows[0].cells]
    for name in ("kind_right", "motion_right", "both_right"):
        assert [figures[name] for figures in truth].count(1.0) >= 2, name
    assert all(f["motion_ratio_truth"] == 1 and f["path_over_truth"] == 1 for f in truth)
    assert all(f["first_frame_identity"] > 0.8 and f["steady_identity"] > 0.8 and f["joint_path"] > 0 for f in truth)
    assert not {"motion_match", "reference_consistency", "source_kind_agreement"} & set(truth[0])
