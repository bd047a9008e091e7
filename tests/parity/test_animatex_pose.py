"""Animate-X's poses and schedule as the authors' code computes them: assembly, drawing, alignment, steps, windows."""

import json

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from motionkit.methods.animatex import sample
from motionkit.perception.pose import PoseClip, align, draw
from motionkit.perception.pose.align import measure_compat
from motionkit.perception.pose.clip import HANDS
from motionkit.perception.pose.draw import canvas
from motionkit.perception.pose.skeleton import assemble, crop_of, decode_simcc

METHOD = "animatex"
EXACT = 1e-9
SAME_CV = cv2.__version__.startswith("5.0.0")  # the version that drew the goldens


@pytest.fixture(scope="module")
def recorded(golden):
    path = golden.folder / "pose_align.npz"
    if not path.is_file():
        pytest.skip(f"{golden.folder.name} has no pose_align.npz")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def clip(recorded, who):
    points, scores = recorded[f"{who}.wholebody_xy_px"], recorded[f"{who}.wholebody_score"]
    if points.ndim == 2:
        points, scores = points[None], scores[None]
    size = tuple(int(v) for v in recorded[f"{who}.size_hw"])
    return PoseClip(*assemble(points, scores, size), size)


def same(recorded, name, poses, frame):
    xy = poses.xy[frame]
    assert np.abs(xy[:20] - recorded[f"{name}.candidate"]).max() < EXACT
    assert np.abs(xy[HANDS].reshape(2, 21, 2) - recorded[f"{name}.hands"]).max() < EXACT
    assert np.abs(xy[62:] - recorded[f"{name}.faces"][0]).max() < EXACT
    assert np.array_equal(np.where(poses.seen[frame, :20], np.arange(20), -1), recorded[f"{name}.subset"][0])


def test_wholebody_points_become_the_authors_skeleton(recorded):
    driving = clip(recorded, "driving")
    for f in range(len(driving)):
        same(recorded, f"driving.{f}", driving, f)
    same(recorded, "reference", clip(recorded, "reference"), 0)


def test_compat_alignment_is_the_authors(recorded):
    driving, reference = clip(recorded, "driving"), clip(recorded, "reference")
    fit = measure_compat(driving, reference)
    ours = {f"{name}_ratio": value for name, value in fit.ratios.items()}
    ours |= {"x_ratio": fit.scale[0], "y_ratio": fit.scale[1], "offset": fit.offset}
    known = {name.removeprefix("ratio.") for name in recorded if name.startswith("ratio.")}
    assert set(ours) == known
    for name, value in ours.items():
        assert np.abs(value - recorded[f"ratio.{name}"]).max() < EXACT, name
    aligned, _ = align(driving, reference, "compat")
    for f in range(len(driving)):
        same(recorded, f"aligned.{f}", aligned, f)


def pictures(recorded):
    driving, reference = clip(recorded, "driving"), clip(recorded, "reference")
    clips = {"driving": driving, "aligned": align(driving, reference, "compat")[0], "reference": reference}
    for key in (k for k in recorded if k.startswith("draw")):
        size, who, *at, faces = key.removeprefix("draw").split(".")
        height, width = map(int, size.split("x"))
        frame = -1 if at == ["last"] else int(at[0]) if at else 0
        yield key, canvas(clips[who], frame, height, width, faces == "with_face"), recorded[key]


def test_drawn_skeletons_are_the_authors(recorded):
    drawn = list(pictures(recorded))
    assert len(drawn) >= 9
    for key, ours, theirs in drawn:
        wrong = (ours != theirs).any(-1).mean()
        assert wrong <= (0.0 if SAME_CV else 0.01), f"{key}: {wrong:.2%} of the pixels differ"


def test_the_network_sees_red_and_blue_exchanged(recorded):
    reference = clip(recorded, "reference")
    theirs = recorded["draw192x128.reference.no_face"]
    assert np.array_equal(draw(reference, 192, 128, at=(192, 128))[0], canvas(reference, 0, 192, 128)[..., ::-1])
    assert not np.array_equal(theirs, theirs[..., ::-1])


def test_simcc_heads_are_decoded_as_dwpose_does(recorded):
    x, y = (recorded[f"simcc.{axis}"].astype(np.float32) for axis in "xy")
    centre, extent = crop_of(recorded["simcc.bbox_xyxy"], x.shape[-1] // 2, y.shape[-1] // 2)
    assert np.abs(centre - recorded["simcc.center"]).max() < EXACT
    assert np.abs(extent - recorded["simcc.scale_fixed"]).max() < EXACT
    points, scores = decode_simcc(x, y, centre, extent)
    assert np.abs(points - recorded["simcc.keypoints"]).max() < 1e-6
    assert np.abs(scores - recorded["simcc.scores"]).max() < 1e-6


def test_the_noise_has_the_authors_offset(golden):
    given = golden.tensors("inputs.safetensors")
    noise = sample.with_offset(given["noise_base"].float(), given["noise_offset"].float())
    assert (noise - given["noise_init"]).abs().max() < 1e-6


@pytest.fixture(scope="module")
def schedule(golden):
    folder = golden.folder.parent
    if not (folder / "schedule.json").is_file():
        pytest.skip(f"{folder} has no schedule.json")
    return json.loads((folder / "schedule.json").read_text()), load_file(folder / "schedule.safetensors")


def test_the_same_timesteps_are_visited(schedule):
    for steps, facts in schedule[0]["ddim_timesteps"].items():
        times = sample.visited(int(steps))
        assert len(times) == facts["count"] and times[:3] == facts["first"] and times[-3:] == facts["last"], steps
        assert facts["list"] is None or times == facts["list"], steps


def test_the_same_windows_are_taken(schedule):
    for case, expected in schedule[0]["windows"]["cases"].items():
        spans = sample.windows(*map(int, case.split(",")))
        assert [[first, stop - 1] for first, stop in spans] == expected, case


def test_the_noise_schedule_and_the_sampler_are_the_authors(schedule):
    tensors = schedule[1]
    assert (sample.scheduler().alphas_cumprod.double() - tensors["alphas_cumprod"]).abs().max() < 1e-6

    def toy(x, t, c):
        return 0.3 * x * torch.cos(x) - 0.1 * t / 1000 + c

    for name in (n for n in tensors if n.startswith("toy.final.n")):
        final = sample.sample(
            lambda x, step, half, _: toy(x, step.t, 0.05 if half == "cond" else 0.2),
            tensors["toy.noise"],
            int(name.rpartition("n")[2]),
        )
        assert (final - tensors[name]).abs().max() < 2e-5, name
