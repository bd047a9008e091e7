"""VIDMP3's benchmark at small size: what it asks for, what it measures, what it keeps, what it concludes."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from motionkit import registry
from motionkit.errors import UserError
from motionkit.metrics import bootstrap_interval, clipscorer, pose
from motionkit.sprites import BIPEDS, HELD_OUT_MOTIONS, QUADRUPEDS, TRAIN_KINDS, Motion, render_clip
from motionkit.sprites.sampling import split_of

shipped = pytest.mark.skipif(
    not (clipscorer.available() and pose.available()), reason="the judges' weights are not in this checkout"
)


@pytest.fixture(scope="module")
def bench(script):
    module = script("quality_vidmp3")
    module.bootstrap_interval = partial(bootstrap_interval, resamples=100)
    return module


def test_edits_are_held_out_clips_and_another_subject_under_their_motion(bench):
    edits = [bench.make_edit(i, 0, 2) for i in range(24)]
    assert len({e.source.character.key for e in edits}) == 24
    for e in edits:
        a, b = e.source.character, e.target.character
        assert split_of(a.key) == split_of(b.key) == "test" and {a.kind, b.kind} <= set(TRAIN_KINDS)
        assert a.kind != b.kind and a.colour != b.colour and (a.kind in QUADRUPEDS) == (b.kind in QUADRUPEDS)
        assert e.source.motion == e.target.motion and e.unseen == (e.source.motion.name in HELD_OUT_MOTIONS)
        assert a.kind in e.source_prompt and b.kind in e.prompt and b.colour in e.prompt
        assert clipscorer.motion_in(e.prompt) == clipscorer.motion_in(e.source_prompt) == e.source.motion.name
    assert {e.source.character.kind in BIPEDS for e in edits if e.unseen} == {True, False}
    assert sum(e.unseen for e in edits) == 6
    assert np.array_equal(bench.make_edit(5, 0, 2).source.frames, edits[5].source.frames)
    assert not np.array_equal(bench.make_edit(5, 1, 2).source.frames, edits[5].source.frames)


def test_motion_figures_know_the_motion_whatever_the_body_and_the_place(bench):
    edit = bench.make_edit(0, 0, 16)
    truth = edit.source.keypoints
    assert bench.motion_figures(truth, truth) == pytest.approx((1.0, 0.0))
    match, error = bench.motion_figures(truth * 0.5 + [7.0, -3.0], truth)  # half as large, elsewhere
    assert match == pytest.approx(1.0) and error > 0.5
    assert bench.motion_figures(truth[:1].repeat(16, 0), truth)[0] == 0.0
    backwards = 2 * truth.mean(0) - truth
    assert bench.motion_figures(backwards, truth)[0] == pytest.approx(-1.0)
    other = render_clip(edit.source.character, Motion("sit" if edit.source.motion.name != "sit" else "run"), 16)
    transfer = bench.motion_figures(edit.target.keypoints, truth)
    wrong = bench.motion_figures(other.keypoints, truth)
    assert transfer[0] > wrong[0] + 0.2 and transfer[1] < wrong[1]


def test_a_distance_of_paths_by_hand(bench):
    truth = np.zeros((2, 12, 2))
    truth[1, :, 0] = 6.0  # every joint goes 6 pixels to the right: 3 either side of its mean
    joints = np.zeros((2, 12, 2))
    joints[1, :, 0] = 2.0
    match, error = bench.motion_figures(joints, truth)
    assert match == pytest.approx(1.0) and error == pytest.approx(2.0)


def test_variants_are_checked_and_settings_merge(bench):
    assert bench.variants_of("depth,vidmp3,text") == (["vidmp3", "text"], ["depth"])
    with pytest.raises(UserError, match="no variant 'best'"):
        bench.variants_of("best")
    edit = bench.make_edit(0, 0, 2)
    args = bench.arguments().parse_args(["--config", '{"guide": {"lr": 0.1}, "tune": {"steps": 3}}'])
    made = bench.settings_of("concat", edit, args)
    assert made["guide"] == {"lr": 0.1} | bench.ABLATIONS["concat"]["guide"] and made["tune"] == {"steps": 3}
    assert made["subject"] == edit.source.character.kind


def test_directions_are_read_off_paired_differences(bench, capsys):
    high, low = ({i: {"motion_match": base + i / 10} for i in range(6)} for base in (0.4, 0.3))
    rows = {"vidmp3": high, "off": low}
    seen = bench.direction(rows, "motion_match", "vidmp3", "off", bench.HIGHER, "it carries motion")
    assert seen["verdict"] == "seen" and seen["n"] == 6 and seen["difference"][0] == pytest.approx(0.1)
    against = bench.direction(rows, "motion_match", "vidmp3", "off", bench.LOWER, "it does not")
    assert against["verdict"] == "not seen"
    few = {name: dict(list(cells.items())[:2]) for name, cells in rows.items()}
    assert bench.direction(few, "motion_match", "vidmp3", "off", bench.HIGHER, "?")["verdict"] == "too few"
    assert bench.direction(rows, "motion_match", "vidmp3", "depth", bench.HIGHER, "?") is None


@shipped
def test_a_table_is_made_once_and_then_read_back(bench, tmp_path, monkeypatch, capsys):
    """The bounds bound: the method is played by the truth, and its ablations by the truth with a mistake."""
    asked = []

    class Played:
        def __init__(self, name, backbone, gpu, **settings):
            self.settings = settings
            assert name == "vidmp3" and backbone == "tiny-animatediff-sd15"

        def __call__(self, driving, prompt, source_prompt, **options):
            asked.append((self.settings, prompt))
            edit = next(e for e in (bench.make_edit(i, 0, 12) for i in range(2)) if e.prompt == prompt)
            assert np.array_equal(driving.frames, edit.source.frames) and source_prompt == edit.source_prompt
            assert self.settings["subject"] == edit.source.character.kind
            frames = edit.target.frames
            depth = bench.ABLATIONS["depth"]
            return SimpleNamespace(frames=frames[::-1] if depth.items() <= self.settings.items() else frames)

    monkeypatch.setattr(bench.motionkit, "load", Played)
    monkeypatch.setattr(bench.registry, "spec", lambda name: SimpleNamespace(version="1"))
    argv = [
        "--clips",
        "2",
        "--ablations",
        "1",
        "--frames",
        "12",
        "--folder",
        str(tmp_path),
        "--backbone",
        "tiny-animatediff-sd15",
        "--variants",
        "vidmp3,depth",
        "--sheet",
        str(tmp_path / "s.png"),
    ]
    first = bench.main(argv)
    assert len(asked) == 3 and (tmp_path / "s.png").is_file()
    match, kind = first["motion_match"], first["kind_right"]
    assert match["source"][0] > 0.9 and abs(match["still"][0]) < 1e-3 and first["consistency"]["still"][0] > 0.999
    assert match["vidmp3"] == match["truth"] and match["truth"][0] > 0.5 > match["depth"][0]
    assert kind["truth"][0] == 1 and kind["source"][0] == 0 and first["kind_source"]["source"][0] > 0.8
    assert first["motion_error"]["still"][0] > first["motion_error"]["truth"][0] > first["motion_error"]["source"][0]
    assert first["path_over_source"]["still"][0] == 0 and first["pose_error_on_truth_px"]["n"] > 50
    again = bench.main(argv)
    assert len(asked) == 3 and again == first  # nothing was run again
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n"] == 2


@shipped
def test_plain_text_to_video_is_a_row(bench, tmp_path, capsys):
    argv = [
        "--clips",
        "1",
        "--frames",
        "4",
        "--variants",
        "text",
        "--backbone",
        "tiny-animatediff-sd15",
        "--text-steps",
        "1",
        "--folder",
        str(tmp_path),
    ]
    out = bench.main(argv)
    assert {"source", "truth", "still", "text"} == set(out["motion_match"])
    assert bench.main(argv) == out


@pytest.mark.slow
@shipped
def test_vidmp3_itself_at_small_size(bench, script, tmp_path):
    if "vidmp3" not in registry.names():
        pytest.skip("vidmp3 is not installed")
    small = ["--frames", "4", "--backbone", "tiny-animatediff-sd15", "--config", '{"steps": 2, "tune": {"steps": 1}}']
    out = bench.main(["--clips", "1", "--ablations", "1", "--folder", str(tmp_path), *small])
    assert {*bench.BOUNDS, *bench.MAIN, bench.TEXT, *bench.ABLATIONS} == set(out["motion_match"])
    speed = script("speed_vidmp3").main([*small, "--threads", "1"])
    assert 0 < speed["second_edit_s"] < speed["first_edit_s"] and speed["peak_mb"] > 100
