"""The table of cells: all run, failures stay apart, finished cells are read back, an interrupt loses nothing."""

import json
from dataclasses import asdict, replace
from html import escape

import compare_fakes as fakes
import numpy as np
import pytest

from motionkit import media
from motionkit.errors import Cancelled, UserError
from motionkit.running.execute import execute
from motionkit.table.compare import compare

SIZE = "40x32"


def run(inputs, methods=(fakes.SHIFT, fakes.ECHO), settings=None, truth=None, **more):
    return compare(list(methods), inputs, settings, "out", truth, size=SIZE, **more)


def rows(folder):
    return {row["method"]: row for row in json.loads((folder / "metrics.json").read_text())["cells"]}


def test_it_leaves_a_page_a_grid_figures_and_cells(inputs, clips):
    done = run(inputs, truth=clips["truth"])
    assert not done.failed and [entry.name for entry in done.entries] == ["shift", "echo"]
    assert sorted(path.name for path in done.folder.iterdir()) == [
        "cells",
        "grid.mp4",
        "inputs",
        "metrics.json",
        "report.html",
    ]
    shift = rows(done.folder)["shift"]["metrics"]
    assert shift["psnr"] == 100 and shift["ssim"] == pytest.approx(1) and shift["motion_ratio_truth"] == 1
    assert rows(done.folder)["echo"]["metrics"]["psnr"] > 20  # the driving square walks the same way here
    grid = media.read_clip(done.folder / "grid.mp4")
    assert len(grid) == 6 and grid.fps == 6
    cells = sorted(path.name.partition("-")[0] for path in (done.folder / "cells").iterdir())
    assert cells == ["echo", "shift"]
    page = done.report.read_text()
    assert (
        page.count("<video") == 4 and "@misc{shift" in page
    )  # driving, shift, echo, truth; the reference is a picture


def test_without_truth_only_what_needs_none_is_measured(inputs):
    facts = json.loads((run(inputs).folder / "metrics.json").read_text())
    assert facts["truth"] is False and {"warping_error", "motion_ratio"} <= facts["cells"][0]["metrics"].keys()
    assert facts["metrics"].keys() == facts["cells"][0]["metrics"].keys()
    assert not [name for name, fact in facts["metrics"].items() if fact["needs"] == "truth"]


def test_a_failed_cell_is_reported_and_stops_nothing(inputs):
    said = []
    done = run(inputs, (fakes.MENDABLE, fakes.BROKEN, fakes.NEEDY, fakes.SHIFT), say=said.append)
    assert done.failed["mendable"] == "mendable needs a bigger reference"
    assert done.failed["broken"].startswith("ZeroDivisionError: oh no, in generate of broken (an internal error")
    assert done.failed["needy"].startswith("needy needs masks (a folder of masks)")
    assert [entry.name for entry in done.entries if entry.frames is not None] == ["shift"]
    page = done.report.read_text()
    assert all(word in page for word in ("bigger reference", "oh no", "a folder of masks"))
    assert rows(done.folder)["broken"]["status"] == "failed" and rows(done.folder)["broken"]["metrics"] == {}
    error = next((done.folder / "cells").glob("broken-*/error.txt")).read_text()
    assert "Traceback" in error and "compare_fakes" in error
    assert "[1/4] mendable" in said and "[4/4] shift" in said and all("\n" not in line for line in said)


def test_a_page_even_when_everything_failed(inputs):
    done = run(inputs, (fakes.BROKEN,))
    assert done.failed.keys() == {"broken"} and "oh no" in done.report.read_text()


def test_with_nothing_to_show_the_reasons_are_still_written(inputs):
    from motionkit.transfer import Inputs

    old = run(inputs)
    assert old.still.shape == media.read_clip(old.folder / "grid.mp4").frames.shape[1:]
    done = run(Inputs(prompt="a <b>square</b>"))  # in the same folder, whose grid is no longer true
    assert done.failed.keys() == {"shift", "echo"} and done.still is None
    assert sorted(path.name for path in done.folder.iterdir()) == ["cells", "metrics.json", "report.html"]
    assert {row["reason"] for row in rows(done.folder).values()} == set(done.failed.values())
    page = done.report.read_text()
    assert all(escape(reason) in page for reason in done.failed.values()) and "a &lt;b&gt;square" in page
    assert "<script" not in page and "<img" not in page and 'id="play"' not in page


def test_a_file_whose_name_is_no_text_is_shown_as_far_as_it_is(inputs):
    reference = replace(inputs.reference, name="caf\udce9", notes=("a remark",))  # é of another system
    done = run(replace(inputs, reference=reference), (fakes.SHIFT,))
    page = done.report.read_text(encoding="utf-8")
    assert not done.failed and "caf? (picture)" in page and "caf?: a remark" in page


def test_what_a_run_wrote_itself_is_read_back_however_much_it_is(tmp_path):
    from motionkit.table import store

    media.write_frames(tmp_path / store.FRAMES, np.zeros((2001, 1, 1, 3), np.uint8))  # foreign folders: at most 2000
    assert len(store.CellFolder(tmp_path).frames()) == 2001
    bounds = asdict(store.UNBOUNDED)
    assert all(
        bounds[name] > 1000 * value
        for name, value in asdict(media.Limits()).items()
        if name[:4] == "max_" and name != "max_pixels"
    )


def test_a_second_start_reads_finished_cells_back(inputs):
    first = run(inputs, (fakes.SHIFT, fakes.BROKEN))
    assert fakes.CALLS == ["shift"]
    second = run(inputs, (fakes.SHIFT, fakes.ECHO, fakes.BROKEN))
    assert fakes.CALLS == ["shift", "echo"]
    assert (second.entries[0].frames == first.entries[0].frames).all()
    assert second.entries[0].shown == first.entries[0].shown != {}
    assert rows(second.folder)["shift"]["seconds"] == first.entries[0].manifest["seconds"]


@pytest.mark.parametrize(
    "change, again",
    [
        ({"settings": {"shift": {"by": 5}}}, ["shift"]),
        ({"seed": 1}, ["shift", "echo"]),
        ({"fps": 12.0}, ["shift", "echo"]),
        ({}, []),
    ],
)
def test_only_what_changed_runs_again(inputs, change, again):
    run(inputs)
    fakes.CALLS.clear()
    run(inputs, **change)
    assert fakes.CALLS == again


def test_an_input_that_a_method_does_not_read_is_no_part_of_its_cell(inputs):
    run(inputs)
    fakes.CALLS.clear()
    run(replace(inputs, prompt="something else"))
    assert fakes.CALLS == []
    run(replace(inputs, reference=media.from_frames(inputs.reference.frames[0][:, ::-1], is_image=True)))
    assert fakes.CALLS == ["shift"]


def test_other_weights_are_another_cell(inputs, tmp_path):
    weights = tmp_path / "w.safetensors"
    for content, calls in ((b"one", 1), (b"one", 1), (b"two", 2)):
        weights.write_bytes(content)
        run(inputs, (fakes.SHIFT,), {"shift": {"weights": str(weights)}})
        assert len(fakes.CALLS) == calls


def test_a_cell_that_lost_a_frame_runs_again(inputs):
    done = run(inputs)
    next(done.folder.glob("cells/shift-*/frames/00003.png")).unlink()
    assert len(run(inputs).entries[0].frames) == 6
    assert fakes.CALLS == ["shift", "echo", "shift"]


def test_a_cell_whose_frame_was_damaged_runs_again(inputs):
    done = run(inputs)
    next(done.folder.glob("cells/shift-*/frames/00003.png")).write_bytes(b"")
    again = run(inputs)
    assert not again.failed and len(again.entries[0].frames) == 6 and fakes.CALLS == ["shift", "echo", "shift"]


def test_an_interrupt_keeps_finished_cells_and_the_next_start_goes_on(inputs, tmp_path):
    fakes.INTERRUPT.add("echo")
    with pytest.raises(Cancelled, match="finished cells are kept"):
        run(inputs)
    assert not (tmp_path / "out" / "report.html").exists()
    fakes.INTERRUPT.clear()
    assert not run(inputs).failed
    assert fakes.CALLS == ["shift", "echo", "echo"]


def test_frames_are_kept_without_loss(inputs):
    done = run(inputs, (fakes.ECHO,))
    assert (run(inputs, (fakes.ECHO,)).entries[0].frames == inputs.driving.frames).all()
    assert fakes.CALLS == ["echo"] and done.entries[0].frames.shape == (6, 32, 40, 3)


@pytest.mark.parametrize(
    "more, words",
    [
        ({"methods": ["shfit"]}, "unknown method"),
        ({"methods": ()}, "no method"),
        ({"methods": (fakes.SHIFT, fakes.SHIFT)}, "twice"),
        ({"settings": {"warp": {}}}, "unknown method in settings 'warp'"),
        ({"settings": {"shift": {"bye": 1}}}, "settings.shift.by"),
        ({"settings": {"shift": {"by": "far"}}}, "settings.shift.by"),
        ({"frames": 0}, "frames=0"),
        ({"gpu": "7gb"}, "7gb"),
    ],
)
def test_a_request_that_cannot_work_is_refused_before_anything_runs(inputs, tmp_path, more, words):
    with pytest.raises(UserError) as caught:
        run(inputs, **more)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert fakes.CALLS == [] and not (tmp_path / "out").exists()


def test_all_results_have_one_shape_whatever_each_method_reads(inputs, clips):
    """A method that reads the driving clip alone has that clip's shape by itself, in a comparison the reference's."""
    tall = media.from_frames(np.repeat(inputs.reference.frames, 2, axis=1), is_image=True)
    truth = media.from_frames(np.repeat(clips["truth"].frames, 2, axis=1), 6.0)
    alone = execute(fakes.ECHO, replace(inputs, reference=tall), size=SIZE)
    done = run(replace(inputs, reference=tall), truth=truth)
    shapes = [entry.frames.shape for entry in done.entries]
    assert not done.failed and shapes[0] == shapes[1] != alone.frames.shape
    assert rows(done.folder)["echo"]["metrics"]["psnr"] is not None


def test_weights_are_asked_for_as_the_request_needs_them(inputs, monkeypatch):
    """A ready-made map takes the place of an estimator, whose weights need not be here."""
    look = lambda self, inputs: setattr(self, "seen", inputs.present())  # noqa: E731
    monkeypatch.setattr(fakes.Shift, "seen", None, raising=False)
    monkeypatch.setattr(fakes.Shift, "check", look)
    monkeypatch.setattr(fakes.Shift, "weights", lambda self: {} if self.seen else pytest.fail("not checked yet"))
    assert not run(inputs, (fakes.SHIFT,)).failed


def test_truth_of_another_shape_is_refused_and_of_another_size_is_fitted(inputs, clips, tmp_path):
    wide = media.from_frames(clips["truth"].frames[:, :16])
    with pytest.raises(UserError, match="40 x 16"):
        run(inputs, truth=wide)
    assert fakes.CALLS == [] and not (tmp_path / "out").exists()
    double = (
        clips["truth"].frames.repeat(2, axis=1).repeat(2, axis=2).repeat(3, axis=0)
    )  # larger and three times as long
    done = run(inputs, (fakes.SHIFT,), truth=media.from_frames(double, 18.0))
    assert done.entries[0].metrics["psnr"] == 100


def test_a_picture_is_no_truth_of_a_video(inputs, clips, tmp_path):
    picture = media.from_frames(clips["truth"].frames[0], is_image=True)
    with pytest.raises(UserError, match="single picture.* 6 frames"):
        run(inputs, truth=picture)
    assert fakes.CALLS == [] and not (tmp_path / "out").exists()
    assert run(inputs, (fakes.SHIFT,), truth=picture, frames=1).entries[0].metrics["psnr"] == 100


def test_cells_share_one_size(inputs, monkeypatch):
    from motionkit.backbones import catalog

    small = replace(fakes.SHIFT, name="small", backbones=("tiny-sd",), default_backbone="tiny-sd")
    large = replace(fakes.SHIFT, name="large", backbones=("sd15",), default_backbone="sd15")
    with pytest.raises(UserError, match="sd15 512.*tiny-sd"):
        compare([small, large], inputs, folder="out")
    done = compare([small, fakes.SHIFT], inputs, folder="out")
    side = catalog.get("tiny-sd").default_size
    assert [max(entry.frames.shape[1:3]) for entry in done.entries] == [side, side]


def test_the_truth_is_cut_as_the_driving_clip_is(inputs, clips):
    from motionkit import media

    noise = np.random.default_rng(0).integers(0, 255, (90, 32, 40, 3), np.uint8)
    long = media.from_frames(noise, 30.0, "long")
    said = []
    done = run(replace(inputs, driving=long), (fakes.ECHO,), truth=long, frames=6, say=said.append)
    assert done.entries[0].metrics["psnr"] == 100 and any("0-0.75 s of 3 s at 8 fps" in line for line in said)
    done = run(replace(inputs, driving=clips["driving"]), (fakes.ECHO,), truth=clips["driving"])
    assert done.entries[0].metrics["psnr"] == 100
