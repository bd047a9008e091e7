"""What a method says of clips of which a request says nothing: how many frames, and whose shape decides the size."""

from dataclasses import replace

import numpy as np
import pytest

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.media import from_frames
from motionkit.running import canvas
from motionkit.running.choices import BackboneChoice, method_settings
from motionkit.running.request import Request, check
from motionkit.transfer import Inputs


def clip(frames=100, height=32, width=32, fps=24.0):
    pixels = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    return from_frames(np.broadcast_to(pixels, (frames, height, width, 3)).copy(), fps)


@pytest.mark.parametrize(
    ("height", "width", "backbone", "wanted"),
    [
        (448, 768, "sd15", (384, 640)),
        (768, 448, "animatediff-sd15", (640, 384)),
        (512, 768, "sd15", (384, 576)),
        (700, 700, "sd15", (512, 512)),
        (720, 1280, "animatediff-sdxl", (768, 1344)),
        (100, 5000, "sd15", (64, 3200)),
    ],
)
def test_an_edited_clip_keeps_its_shape_within_the_pixels_that_the_model_has(height, width, backbone, wanted):
    spec = catalog.get(backbone)
    fitted = canvas.place_inputs(Inputs(driving=clip(3, height, width)), spec, reads=("driving",), edits=True)
    assert (fitted.height, fitted.width) == wanted
    assert fitted.height * fitted.width <= spec.default_size**2
    seen = fitted.box.height * fitted.box.width / (fitted.height * fitted.width)
    letterboxed = min(height, width) / max(height, width)
    assert seen > 0.9 and seen >= letterboxed


def test_a_size_a_small_backbone_and_a_reference_decide_as_before():
    driving = clip(3, 448, 768)
    sd, pocket = catalog.get("sd15"), catalog.get("pocket-animatediff")
    for backbone, size in ((sd, 512), (pocket, None)):
        fitted = canvas.place_inputs(Inputs(driving=driving), backbone, size=size, reads=("driving",), edits=True)
        assert fitted.height == fitted.width == backbone.default_size
    assert registry.spec("vidmp3").edits and not registry.spec("animatex").edits


@pytest.mark.parametrize(
    ("length", "asked", "held"),
    [(100, None, 9), (100, 16, 13), (100, 13, 13), (10, None, 9), (9, None, 9), (3, None, 5), (100, 2, 5), (100, 1, 1)],
)
def test_a_backbone_with_a_stride_in_time_gets_frames_that_its_latents_hold(length, asked, held):
    spec = replace(catalog.get("tiny-modelscope"), name="strided", time_stride=4)
    driving, reference = clip(length, fps=8.0), clip(7, fps=8.0)
    placed = canvas.place_inputs(Inputs(reference=reference, driving=driving), spec, asked)
    assert placed.frames == len(placed.inputs.driving) == held
    assert len(placed.inputs.reference) == min(held, 5)
    assert [spec.held_frames(n) for n in (placed.frames, len(placed.inputs.reference))] == [held, min(held, 5)]
    first = [int(frame[16, 16, 0]) for frame in placed.inputs.driving.frames[:3]]
    assert first == ([0, 1, 2] if length > 3 else [0, 0, 1])[:held] and placed.inputs.driving.fps >= 8.0
    wanted = asked or min(length, 10)
    assert any("strided" in line and f"not {wanted}" in line for line in placed.lines) == (held != wanted)
    plain = canvas.place_inputs(Inputs(driving=driving), catalog.get("tiny-modelscope"), asked)
    assert plain.frames == wanted and not any("multiple" in line for line in plain.lines)


def test_without_a_clip_the_number_of_frames_is_rounded_too():
    spec = replace(catalog.get("tiny-modelscope"), time_stride=4)
    assert [canvas.place_inputs(Inputs(prompt="a"), spec, n).frames for n in (None, 4, 8, 17)] == [9, 5, 5, 17]


def test_the_papers_number_of_frames_is_in_its_preset():
    spec = registry.spec("vidmp3")
    inputs = Inputs(driving=clip(), prompt="a cat", source_prompt="a dog")
    for preset, frames, wanted in (("paper", None, 16), ("best", None, 10), ("paper", 4, 4)):
        plan = check(Request(spec, inputs, {"preset": preset}, BackboneChoice("tiny-animatediff-sd15"), frames=frames))
        assert len(plan.on_canvas.inputs.driving) == plan.context.frames == wanted
    paper = check(Request(spec, inputs, {"preset": "paper"}, BackboneChoice("tiny-animatediff-sd15")))
    assert [int(frame[0, 0, 0]) for frame in paper.on_canvas.inputs.driving.frames] == list(range(0, 64, 4))


def test_animatex_takes_the_authors_clip_on_their_weights():
    spec = registry.spec("animatex")
    settings = method_settings(spec)
    most = {name: spec.most_frames(name, settings) for name in spec.backbones}
    assert most == dict.fromkeys(spec.backbones) | {"animatex": 32}
    fitted = canvas.place_inputs(Inputs(driving=clip()), catalog.get("animatex"), stride=spec.stride, most=32)
    assert [int(frame[380, 250, 0]) for frame in fitted.inputs.driving.frames] == list(range(0, 64, 2))
    assert fitted.fps == 12.0  # every second frame of 24 a second: as fast as it was filmed


def test_a_clip_that_is_read_gives_as_many(tmp_path):
    from motionkit.media.output_files import write_result

    path = write_result(tmp_path / "clip.mp4", clip().frames, 24.0, "")
    spec = registry.spec("vidmp3")
    request = Request(
        spec,
        Inputs(driving=str(path), prompt="a cat", source_prompt="a dog"),
        {"preset": "paper"},
        BackboneChoice("tiny-animatediff-sd15"),
    )
    assert check(request).context.frames == 16
    assert check(replace(request, config={"preset": "best"})).context.frames == 10
