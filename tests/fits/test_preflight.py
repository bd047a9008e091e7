"""The line before a run on a GPU, on machines that are only described, and the nearest setting that fits."""

import pytest

from motionkit import registry
from motionkit.errors import UserError
from motionkit.running import preflight
from motionkit.running.choices import BackboneChoice, Chosen, choose, method_settings
from motionkit.running.needs import demands_of, key_of, need_of, table
from motionkit.running.request import Request, plan_for
from motionkit.settings import gpu
from motionkit.settings.gpu import DeviceFacts
from motionkit.settings.need import GIB, Choice, free_bytes


@pytest.fixture
def card(monkeypatch):
    """This machine has a card of so many GiB."""

    def say(vram):
        facts = DeviceFacts(cuda=True, name="a card", vram_gb=vram, bf16=True)
        monkeypatch.setattr(gpu, "detect", lambda device=None: facts)

    return say


def need(method="vidmp3", backbone="sd15", frames=16, side=512):
    spec = registry.spec(method)
    return need_of(spec, method_settings(spec), backbone, frames, side, side)


def test_a_plan_follows_from_the_run_and_not_from_the_card(card):
    card(24)
    short, long = need(frames=4), need(frames=64)
    assert not plan_for("auto", "sd15", short).checkpointing and plan_for("auto", "sd15", long).checkpointing
    assert plan_for("auto", "sd15").checkpointing  # nothing is known of the run: the tier's


def test_the_line_of_a_run(card):
    card(24)
    found = preflight.run_line(need(), plan_for("auto", "sd15", need()), "auto")
    assert "\n" not in found and all(word in found for word in ("computed, not measured", "GiB", "TFLOP", "TFLOP/s"))
    assert preflight.run_line(None, plan_for("auto", "sd15"), "auto") is None
    assert preflight.run_line(need(), plan_for("cpu", "sd15"), "cpu") is None


def test_the_line_counts_with_the_card_that_the_plan_counts_with(card):
    """gpu=auto takes all of a card between two tiers; a name takes as much as it says."""
    card(16)
    for asked, size in (("auto", 16), ({"name": "auto"}, 16), ("12gb", 12), ({"name": "80gb"}, 16)):
        found = preflight.run_line(need(), plan_for(asked, "sd15", need()), asked)
        assert f"of {free_bytes(size) / GIB:.1f} GiB" in found


@pytest.mark.parametrize(("method", "backbone"), [("vidmp3", "sd15"), ("animatex", "animatex")])
def test_a_method_that_fixes_the_halves_of_guidance_says_so(method, backbone):
    spec, guided = registry.spec(method), {}
    for halves in ("auto", "on", "off"):
        settings = method_settings(spec, {"sample": {"batched": halves, "guidance": "2.0"}})
        works = need_of(spec, settings, backbone, 16, 512, 512).works
        guided[halves] = next(work for work in works if work.guided)
    apart = Choice(batched=False)
    assert guided["on"].bytes(apart) == guided["auto"].bytes(Choice()) > guided["auto"].bytes(apart)
    assert guided["off"].bytes(Choice()) == guided["auto"].bytes(apart)


@pytest.mark.parametrize(("interval", "guided"), [([0.0, 1.0], 4), ([0.2, 0.6], 2), ([0.6, 0.7], 0)])
def test_steps_outside_the_interval_of_guidance_count_once(interval, guided):
    """Of the timesteps 1, 251, 501, 751 those within."""
    spec = registry.spec("animatex")
    settings = method_settings(spec, {"sample": {"steps": 4, "guidance": 2.0, "guidance_interval": interval}})
    works = [w for w in need_of(spec, settings, "animatex", 16, 512, 512).works if w.part == "unet"]
    once = works[0].row.flops(16, works[0].places)
    assert sum(w.flops(Choice()) for w in works) == pytest.approx((4 + guided) * once)
    assert sum(w.passes(Choice(batched=False)) for w in works) == 4 + guided


def test_a_very_long_clip_is_answered_at_once():
    asked = []

    def make(frames, height, width, own):
        asked.append(frames)
        return need(frames=frames)

    long = preflight.Asked(make, 100_000, 512, 512, 64, {})
    assert preflight.nearest(long, 8) and len(asked) < 200
    assert max(n for n in asked if n < 100_000) > 95_000


def test_a_key_below_a_value_is_refused():
    tree = {}
    preflight.put(tree, "a.b", "1")
    preflight.put(tree, "c", "2")
    with pytest.raises(UserError, match="c"):
        preflight.put(tree, "c.d", "3")
    assert tree == {"a": {"b": "1"}, "c": "2"}


def test_a_table_says_a_line_for_each_row_that_is_known(card):
    rows = []
    for method, backbone in (("vidmp3", "sd15"), ("anamodiff", "sd15"), ("still", None)):
        spec = registry.spec(method)
        rows.append((method, Chosen(spec, method_settings(spec), BackboneChoice(backbone)), 16, 512, 512))
    card(12)
    found = preflight.before(rows, "auto")
    assert [line.split(":")[0].strip() for line in found] == ["vidmp3", "anamodiff"]
    assert preflight.before(rows, "cpu") == []


def test_every_demand_of_every_preset_is_in_the_table_or_none_is():
    for spec in (s for s in registry.METHODS.every() if s.demands):
        for backbone in spec.backbones:
            kinds = registry.load_object(spec.config).presets
            for preset in kinds:
                settings = choose(Request(spec, config={"preset": preset}, backbone=BackboneChoice(backbone))).settings
                found = demands_of(spec, settings.on(backbone), 16)
                keys = [key_of(spec.name, backbone, d.counted) for d in found]
                own = [key in table()["rows"] for key in keys if key.startswith(spec.name)]
                assert all(own) or not any(own), (spec.name, backbone, preset)
                assert {d.stage for d in found} <= {"prepare", "fit", "generate"}


def test_what_is_tuned_has_a_figure_with_checkpointing_that_is_smaller():
    for key, rows in table()["rows"].items():
        if "again" in rows:
            assert rows["again"]["size"][1] < rows["plain"]["size"][1], key
            assert sum(rows["again"]["work"]) > sum(rows["plain"]["work"]), key


def test_the_nearest_setting_that_fits_is_the_least_change():
    spec = registry.spec("vidmp3")
    _, asked = preflight.asked_for(spec, "sd15", 32, (512, 512))
    key, _, value = preflight.nearest(asked, 8.0).partition("=")
    lean = Choice(True, True, "model", True, False)
    assert key == "frames" and need(frames=int(value)).peak(lean).bytes <= free_bytes(8)
    assert need(frames=int(value) + 1).peak(lean).bytes > free_bytes(8)
    assert preflight.nearest(asked, 4.0, {"offload": "none"}).startswith(("frames=", "size=", "gpu="))


@pytest.mark.parametrize(("seconds", "said"), [(3, "3 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_as_people_say_them(seconds, said):
    assert preflight.in_time(seconds) == said
