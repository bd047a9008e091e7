"""The viewer: what outputs are by their shapes, what a run tells a watcher, and a recording that rerun reads back."""

import numpy as np
import pytest
import torch

from motionkit.context import NullProgress, Reporter
from motionkit.errors import UserError
from motionkit.running import viewer
from motionkit.running.execute import execute
from motionkit.running.progress import Several
from motionkit.testing.clips import sample_inputs


class Watcher(NullProgress):
    """Remembers what the steps of a run make."""

    def __init__(self):
        self.seen, self.walked = [], []

    def on_output(self, stage, tensors, shown):
        self.seen.append((stage, set(tensors), set(shown)))

    def on_latents(self, stage, done, latents, timestep):
        self.walked.append((stage, done))
        return latents


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((4, 9, 7, 3), "pictures"),
        ((1, 9, 7, 3), "pictures"),
        ((4, 17, 2), "points"),
        ((4, 8, 8, 2), "flow"),
        ((4, 4, 8, 8), "latents"),
        ((1, 16, 4, 8, 8), "latents"),
        ((4, 32, 24), "maps"),
        ((4, 1, 32, 24), "maps"),
        ((320, 4, 3, 3), ""),
        ((320, 768), ""),
        ((4,), ""),
        ((4, 0, 2), ""),
    ],
)
def test_what_an_output_is_follows_from_its_shape(shape, kind):
    values = np.full(shape, 2, np.uint8 if kind == "pictures" else np.float32)
    assert viewer.kind_of(values, 4) == kind
    if kind == "maps":
        assert viewer.kind_of(values - 1, 4) == "masks"


def test_pictures_of_latents_maps_and_flow():
    latents = np.random.default_rng(0).normal(size=(2, 4, 8, 6))
    pictures = viewer.latent_pictures(latents)
    assert pictures.shape == (2, 8, 6, 3) and pictures.dtype == np.uint8
    assert np.array_equal(viewer.latent_pictures(latents.transpose(1, 0, 2, 3)[None]), pictures)
    maps = viewer.map_pictures(np.linspace(0, 1, 2 * 8 * 6).reshape(2, 1, 8, 6))
    assert maps[0, 0, 0].tolist() == [0, 0, 0] and maps[-1, -1, -1].tolist() == [255, 255, 255]
    moved = np.zeros((2, 8, 6, 2))
    moved[1, :, :, 0] = 0.5
    here = np.stack(np.meshgrid(np.linspace(-1, 1, 6), np.linspace(-1, 1, 8)), -1)
    drawn = viewer.flow_pictures(moved)
    assert not drawn[0].any() and drawn[1].any() and np.array_equal(viewer.flow_pictures(moved + here), drawn)


def test_a_run_tells_what_it_is_given_sees_and_makes_and_stays_the_same(tmp_path):
    more = {"config": {"lora": {"steps": 0}, "sample": {"steps": 2}}, "backbone": "tiny-sd", "use_cache": False}
    plain = execute("anamodiff", sample_inputs(), folder=tmp_path / "a", **more)
    one, other = Watcher(), Watcher()
    seen = execute("anamodiff", sample_inputs(), folder=tmp_path / "b", progress=Several(one, other), **more)
    assert np.array_equal(plain.frames, seen.frames) and one.seen == other.seen and one.walked == other.walked
    stages = [stage for stage, _, _ in one.seen]
    assert stages == ["inputs", "prepare", "fit", "generate", "result"] and ("denoise", 1) in one.walked
    assert one.seen[0][2] == {"reference", "driving"} and {"flow", "source"} <= one.seen[1][1]
    assert "keypoints-driving" in one.seen[1][2] and one.seen[-1][2] == {"video"}


def test_a_watcher_without_interest_is_left_alone():
    report = Reporter(Several(NullProgress()))
    report.output("prepare", {"a": torch.zeros(1)}, {})
    assert report.progress.on_latents("denoise", 1, "x", 0.0) == "x" and report.previews is None


def test_a_missing_package_and_an_unknown_viewer_get_one_line(monkeypatch):
    with pytest.raises(UserError, match="viewer=reru"):
        viewer.check("reru")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'motionkit\[viewer\]'"):
        viewer.check("rerun")
    viewer.check("none")


@pytest.mark.slow
def test_rerun_reads_the_recording_back(tmp_path, capsys, monkeypatch):
    pytest.importorskip("rerun")
    from rerun.chunk import RrdReader

    from motionkit import media
    from motionkit.cli import main

    inputs = sample_inputs()
    media.write_image(tmp_path / "a.png", inputs.reference.frames[0])
    media.write_video(tmp_path / "b.mp4", inputs.driving.frames, 8)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    words = "method=anamodiff backbone=tiny-sd reference=a.png driving=b.mp4 prompt=x method.sample.steps=2"
    words += " method.lora.steps=1 gpu=cpu viewer=rerun progress=none output=c.mp4"
    assert main(["transfer", *words.split()]) == 0, capsys.readouterr().err
    (file,) = tmp_path.rglob("viewer.rrd")
    chunks = list(RrdReader(file).stream().to_chunks())
    found = {(chunk.entity_path, *chunk.timeline_names) for chunk in chunks}
    entities = {name for name, *lines in found if "frame" in lines}
    assert {"/inputs/driving", "/prepare/flow", "/prepare/source", "/prepare/adapted", "/result/video"} <= entities
    assert any(name == "/denoise/latents" and "step" in lines for name, *lines in found)
    rows = sum(chunk.num_rows for chunk in chunks if chunk.entity_path == "/inputs/driving")
    assert rows == len(inputs.driving)


@pytest.mark.slow
def test_a_window_is_opened_only_when_asked(tmp_path, monkeypatch):
    rr = pytest.importorskip("rerun")
    opened = []
    monkeypatch.setattr(rr, "spawn", lambda **more: opened.append(more))
    monkeypatch.setattr(rr.sinks, "GrpcSink", lambda: rr.sinks.FileSink(str(tmp_path / "window.rrd")))
    clip = np.zeros((2, 8, 8, 3), np.uint8)
    for live in (False, True):
        shows = viewer.RerunViewer(tmp_path, live)
        shows.on_output("inputs", {}, {"driving": clip})
        shows.close()
        assert opened == [{"connect": False}] * live and (tmp_path / "viewer.rrd").stat().st_size > 500
    assert (tmp_path / "window.rrd").is_file()
