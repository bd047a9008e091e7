"""Before the button: refusals, fits and seconds; ready-made maps and marks on the first frame, as declared."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from motionkit.media.part import Part
from motionkit.ui import ahead, asking, facts, maps
from motionkit.ui.files import EXAMPLE, Files

ME = "s" * 24
CLIPS = {
    name: {"path": str(EXAMPLE / file)} for name, file in (("reference", "source.png"), ("driving", "driving.mp4"))
}


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path / "runs")
    made.runs.mkdir()
    yield made
    made.close()


def told(files, form, clips=CLIPS):
    return ahead.ahead(form, clips, files, ME)


def upload(files, name, content):
    place = files.uploads / str(len(list(files.uploads.iterdir())))
    place.mkdir()
    (place / name).write_bytes(content)
    files.belongs(place / name, ME)
    return {"path": str(place / name), "name": name}


def test_it_says_what_the_run_would_be_and_what_it_would_be_refused_for(files):
    said = told(files, {"method": "warp", "frames": "4", "size": "64"})
    assert (said["wrong"], said["shape"], said["fits"]) == ("", "4 frames of 64 × 64", True)
    for form in ({"size": "65x"}, {"frames": "0"}, {"settings": {"path": "sideways"}}, {"settings": {"no_such": 1}}):
        said = told(files, {"method": "warp", **form})
        assert said["wrong"] and "\n" not in said["wrong"], form
    said = told(files, {"method": "warp"}, CLIPS | {"driving": {"path": "/etc/hostname"}})
    assert "upload" in said["wrong"]


def test_remarks_are_in_the_pages_words():
    part = Part(start=0.0, fps=8.0, count=10, whole=2.0)
    said = asking.told(f"driving: {part.line}")
    assert said.startswith("motion: frames 0-1.25 s of 2 s") and "time line" in said and "start=" not in said
    assert asking.told("reference: it is small") == "character: it is small"
    assert asking.told("the driving: as it is") == "the driving: as it is"


def test_what_is_missing_is_no_refusal_yet(files):
    said = told(files, {"method": "warp"}, {"reference": CLIPS["reference"]})
    assert said["wrong"] == "" and said["shape"]


@pytest.mark.parametrize(("free", "fits"), [(2**36, True), (2**31, False)])
def test_memory_of_full_size_weights_against_what_is_free(files, monkeypatch, free, fits):
    monkeypatch.setattr(ahead, "free_memory", lambda: float(free))
    form = {"method": "vidmp3", "backbone": "animatediff-sd15", "prompt": "a horse", "source_prompt": "a cat"}
    said = told(files, form)
    assert said["fits"] is fits and said["seconds"] > 1 and said["by"]
    cards = dict(said["cards"])
    assert list(cards.values()) == sorted(cards.values()) and cards[80]


def test_a_card_that_is_too_small_gets_the_nearest_setting_that_fits(files, monkeypatch):
    from motionkit.settings.gpu import DeviceFacts

    small = DeviceFacts(cuda=True, name="small", vram_gb=8.0, bf16=True)
    for place in ("motionkit.settings.gpu.detect", "motionkit.settings.device.detect"):
        monkeypatch.setattr(place, lambda device=None: small)
    form = {"method": "vidmp3", "backbone": "animatediff-sdxl", "size": "1024", "frames": "16", "prompt": "a horse"}
    said = told(files, form, {})
    assert said["fits"] is False and said["nearest"] and "GiB of the card" in said["memory"]
    assert not dict(said["cards"])[8]
    assert told(files, form | {"backbone": "sd15", "method": "flipsketch", "size": "", "frames": "4"}, {})["wrong"]


def kept(files, name, **more):
    """A past run as its manifest says."""
    folder = files.runs / "transfer" / name
    folder.mkdir(parents=True)
    size = {"width": 64, "height": 64}
    whole = {"status": "complete", "frames": 4, "size": size, "plan": {"device": "cpu"}, "config": {}} | more
    (folder / "manifest.json").write_text(json.dumps(whole))


def test_time_is_told_from_the_last_run_stage_by_stage(files):
    form = {"method": "warp", "frames": "8", "size": "64"}
    assert told(files, form)["seconds"] is None
    one = {"method": {"name": "warp"}, "stages": {"prepare": {"seconds": 3.0}, "generate": {"seconds": 1.0}}}
    kept(files, "a", **one)
    assert told(files, form)["seconds"] == pytest.approx(8.0)  # twice the frames
    kept(files, "b", **one | {"stages": {"prepare": {"seconds": 0.1, "cached": True}, "generate": {"seconds": 2.0}}})
    os.utime(files.runs / "transfer/b/manifest.json", (4e9, 4e9))
    assert told(files, form)["seconds"] == pytest.approx(2 * (3.0 + 2.0))


def test_a_rate_is_what_the_computed_stages_took():
    from motionkit import registry
    from motionkit.running.choices import method_settings
    from motionkit.running.needs import need_of
    from motionkit.settings.need import Choice

    spec = registry.spec("flipsketch")
    need = need_of(spec, method_settings(spec, {}), "modelscope", 4, 256, 256)
    work = need.tflop(Choice(), "generate")
    run = {"status": "complete", "method": {"name": "flipsketch"}, "backbone": {"name": "modelscope"}, "frames": 4}
    run |= {"size": {"width": 256, "height": 256}, "plan": {"device": "cpu"}, "config": {}, "from_cache": ["prepare"]}
    run["stages"] = {"prepare": {"seconds": 0.01, "cached": True}, "generate": {"seconds": 50.0}}
    assert ahead.rate_of_run(run, "cpu") == pytest.approx(work / 50)
    assert ahead.rate_of_run(run, "cuda") == 0 and ahead.rate_of_run(run | {"status": "failed"}, "cpu") == 0
    assert ahead.processor_rate() > 0


def test_maps_of_one_file_or_of_several(files):
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 12), 255, np.uint8)).save(buffer, "PNG")
    sent = [upload(files, f"{i}.png", buffer.getvalue()) for i in range(3)]
    one = maps.gathered({"name": "masks", "files": sent[:1]}, files, ME)
    assert one["about"].endswith("12 × 8") and one["path"] == sent[0]["path"]
    folder = maps.gathered({"name": "masks", "files": sent}, files, ME)
    assert folder["about"] == "3 frames of 12 × 8" and files.may_see(folder["path"], ME)
    assert not files.may_see(folder["path"], "t" * 24)
    array = io.BytesIO()
    np.save(array, np.zeros((4, 8, 12)))
    assert maps.gathered({"name": "depth", "files": [upload(files, "d.npy", array.getvalue())]}, files, ME)["about"]
    poses = upload(files, "p.json", b'{"people": []}')
    assert "JSON" in maps.gathered({"name": "poses", "files": [poses]}, files, ME)["about"]
    form = {"method": "vidmp3", "maps": {"masks": folder}}
    assert asking.request_of(form, {}, files, ME).inputs.masks == folder["path"]
    assert "masks=masks" in asking.as_words(form, {})["command"]


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("masks", "m.png", b"no picture"),
        ("depth", "d.npy", b"\x93NUMPY no array"),
        ("poses", "p.json", b"{"),
        ("nothing", "p.json", b"{}"),
    ],
)
def test_a_bad_map_is_one_line_by_its_own_name(files, name, file, content):
    said = maps.gathered({"name": name, "files": [upload(files, file, content)]}, files, ME)["error"]
    assert "\n" not in said and str(files.own) not in said
    assert file in said or name == "nothing"
    for wrong in (None, {"name": name, "files": []}, {"name": "masks", "files": [{"path": "/etc/passwd"}]}):
        assert "error" in maps.gathered(wrong, files, ME)


def test_the_run_that_is_looked_at_has_its_maps(files):
    form = {"method": "vidmp3", "prompt": "a horse", "source_prompt": "a cat", "settings": {"subject": "cat"}}
    assert told(files, form)["wrong"] == ""
    absent = upload(files, "masks.npy", b"")
    os.unlink(absent["path"])
    said = told(files, form | {"maps": {"masks": absent}})["wrong"]
    assert "masks.npy" in said and str(files.own) not in said


def test_the_first_frame_is_of_the_part_and_size_that_the_method_sees(files):
    form = {"method": "vidmp3", "size": "64"}
    got = maps.first_frame(form, {"driving": CLIPS["driving"]}, files, ME)
    assert (got["width"], got["height"]) == (64, 64) and got["picture"].startswith("data:image")
    later = maps.first_frame(form, {"driving": CLIPS["driving"] | {"start": 0.5}}, files, ME)
    assert later["picture"] != got["picture"]
    assert "motion" in maps.first_frame(form, {}, files, ME)["error"]


def test_what_may_be_drawn_is_declared_and_a_drawn_mask_is_a_file_of_this_browser(files):
    fields = facts.form("vidmp3")["schema"]["properties"]["masks"]["properties"]
    assert {name: fields[name]["x-drawn"] for name in fields if "x-drawn" in fields[name]} == {
        "box": "box",
        "point": "point",
        "start": "mask",
    }
    mask = upload(files, "mask.png", b"x")
    form = {"method": "vidmp3", "settings": {"masks.start": mask, "masks.box": [0, 0, 1, 1]}}
    config = asking.request_of(form, {}, files, ME).config
    assert config["masks"] == {"start": mask["path"], "box": [0, 0, 1, 1]}
    assert "method.masks.start=mask.png" in asking.as_words(form, {})["command"]
    form["settings"]["masks.start"] = {"path": "/etc/passwd", "name": "mask.png"}
    assert "upload" in told(files, form)["wrong"]


def test_free_memory_is_a_number_of_bytes():
    assert ahead.free_memory() > 2**20
