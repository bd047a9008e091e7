"""What a run needs, and the switches that follow from it: pure arithmetic on figures that are made up here."""

from dataclasses import replace

import pytest

from motionkit.settings.gpu import DeviceFacts, GpuConfig, resolve
from motionkit.settings.need import GIB, Choice, Need, Row, Work, candidates, choose, free_bytes, rate_of

PLACES = 64 * 64


def row(gib, frames=16):
    """A figure of so many GiB for 16 frames of 64 x 64 latents."""
    return Row((0.0, gib * GIB / frames / PLACES), (1e9, 0.0, 0.0))


def need(tune=10.0, again=2.0, both=3.0, unet=1.6, decode=4.0):
    works = (
        Work("fit", "tuning step", 100, 16, PLACES, row(tune), row(again), smaller="frames"),
        Work("generate", "editing step", 50, 16, PLACES, row(both), guided=True, smaller="frames"),
        Work("generate", "decode", 1, 16, PLACES, row(decode), part="vae", pixels=512 * 512, tile=PLACES),
    )
    return Need("a run", works, {"unet": unet * GIB, "vae": 0.2 * GIB, "text_encoder": 0.3 * GIB})


def plan(name, need_, vram=1000.0, **fixed):
    facts = DeviceFacts(cuda=True, name="a card", vram_gb=vram, bf16=True)
    return resolve(GpuConfig(name=name, **fixed), facts, None, need_)


def test_of_eight_gib_seven_and_a_little_are_left():
    assert free_bytes(8) / GIB == pytest.approx(7.2, abs=0.05) and free_bytes(80) / GIB > 76


def test_nothing_is_held_back_where_there_is_room():
    found = plan("40gb", need())
    assert (found.checkpointing, found.offload, found.vae_slicing, found.batched) == (False, "none", False, True)


def test_a_large_card_checkpoints_when_the_run_needs_it():
    assert plan("80gb", need(tune=160.0, again=20.0)).checkpointing
    assert not plan("80gb", need(tune=60.0)).checkpointing


def test_parts_wait_before_activations_are_computed_twice():
    """Both would do: what takes seconds goes before what takes a third of the tuning."""
    assert free_bytes(12) / GIB > 1.6 + 9.4 and free_bytes(12) / GIB < 2.1 + 9.4
    found = plan("12gb", need(tune=9.4))
    assert found.offload == "model" and not found.checkpointing


def test_guidance_goes_in_two_calls_before_parts_wait():
    found = plan("8gb", need(tune=2.0, again=1.0, both=3.5))  # 2.1 + 7 in one call, 2.1 + 3.5 in two
    assert not found.batched and found.offload == "none"
    assert "two calls" in found.lines()[0]


def test_what_the_user_fixed_stays():
    found = plan("12gb", need(tune=9.4), offload="none")
    assert found.offload == "none" and found.checkpointing
    assert not plan("8gb", need(), checkpointing=False).checkpointing


def test_what_is_chosen_beside_what_the_user_fixed():
    """A switch of no use to the run, or one that is never chosen, does not keep the others from being chosen."""
    still = replace(need(), works=need(both=6.0).works[1:])
    found = plan("10gb", still, checkpointing=True)
    assert found.checkpointing and not found.batched and not found.notes
    found = plan("8gb", need(), offload="group")
    assert found.offload == "group" and found.checkpointing and not found.notes
    found = plan("8gb", need(tune=2.0, again=1.0, both=3.5, decode=0.5), vae_slicing=False)
    assert not found.vae_slicing and not found.batched and not found.notes


def test_a_run_that_no_switch_makes_fit_says_so():
    found = plan("8gb", need(again=50.0))
    assert any("too large" in note and "tuning step" in note for note in found.notes)
    assert not plan("80gb", need()).notes


def test_float32_needs_twice_as_much():
    one, two = need(), replace(need(), dtype="float32")
    assert two.peak(Choice()).bytes == pytest.approx(2 * one.peak(Choice()).bytes)
    assert two.seconds(Choice(), 10.0) == pytest.approx(2 * one.seconds(Choice(), 10.0))
    assert plan("80gb", need(tune=30.0), dtype="float32").spare_mb < plan("80gb", need(tune=30.0)).spare_mb


def test_a_part_that_overflows_needs_twice_as_much_in_float16_alone():
    """XL's autoencoder: its weights, its activations and its time, and no other part's."""
    found = replace(need(tune=2.0, both=1.0, decode=4.0), upcast=("vae",))
    half, narrow = found.peaks(Choice()), replace(found, dtype="float16").peaks(Choice())
    assert narrow[1].what == "decode" and narrow[1].bytes == pytest.approx(half[1].bytes + (0.2 + 2.0) * GIB)
    assert narrow[0].bytes == pytest.approx(half[0].bytes + 0.2 * GIB)  # the tuning: the weights alone
    old = DeviceFacts(cuda=True, name="a card", vram_gb=6, bf16=False)
    new = replace(old, bf16=True)
    works = replace(found, works=found.works[1:])
    assert not resolve(GpuConfig(), new, None, works).vae_slicing
    assert resolve(GpuConfig(), old, None, works).vae_slicing  # 2.3 + 4 of the 5.3 GiB, where it was 2.1 + 2


def test_what_a_card_has_left_is_spare():
    found = need(tune=5.0)
    free, peak = free_bytes(24), found.peak(Choice()).bytes
    assert plan("24gb", found).spare_mb == pytest.approx((free - 1.1 * peak) / 1e6, abs=1)
    assert plan("8gb", need(tune=90.0, again=50.0)).spare_mb == 0
    assert resolve(GpuConfig("24gb"), DeviceFacts(cuda=True, vram_gb=24, bf16=True)).spare_mb == 0


def test_slices_and_tiles_bound_the_autoencoder():
    work = need().works[2]
    whole, sliced = work.bytes(Choice()), work.bytes(Choice(vae_slicing=True))
    assert whole == pytest.approx(8 * sliced)  # 8 frames of 512 x 512 at once, or one
    wide = replace(work, places=4 * PLACES, pixels=4 * 512 * 512)
    assert wide.bytes(Choice(vae_slicing=True)) == pytest.approx(4 * sliced)
    assert wide.bytes(Choice(vae_slicing=True, vae_tiling=True)) == pytest.approx(sliced)


def test_settings_that_fix_the_halves_of_guidance_count_so_under_every_plan():
    both = need().works[1]
    one, two = both.bytes(Choice(batched=False)), both.bytes(Choice())
    assert two == pytest.approx(2 * one)
    for halves, size in (("on", two), ("off", one)):
        fixed = replace(both, halves=halves)
        assert fixed.bytes(Choice()) == fixed.bytes(Choice(batched=False)) == size


def test_layers_that_come_and_go_are_for_runs_without_gradients():
    assert all(choice.offload != "group" for choice in candidates(need(), {}))
    still = replace(need(), works=need().works[1:])
    assert any(choice.offload == "group" for choice in candidates(still, {}))
    assert all(not choice.checkpointing for choice in candidates(still, {}))


def test_operations_and_time():
    found = need()
    assert found.tflop(Choice(), "fit") == pytest.approx(100 * 16 * PLACES * 1e9 / 1e12)
    both = found.tflop(Choice(), "generate") - 16 * PLACES * 1e9 / 1e12
    assert both == pytest.approx(2 * 50 * 16 * PLACES * 1e9 / 1e12)  # both halves of guidance
    assert found.seconds(Choice(), 10.0) == pytest.approx(found.tflop(Choice()) / 10)
    assert found.seconds(Choice(offload="model"), 10.0) > found.seconds(Choice(), 10.0)
    still = replace(found, works=found.works[1:])
    together, apart = (still.seconds(Choice(offload="group", batched=b), 10.0) for b in (True, False))
    assert apart - together == pytest.approx(50 * 1.6 / 10)  # the UNet comes once more in each of 50 steps
    assert rate_of(8) < rate_of(24) < rate_of(80)


def test_choose_gives_the_leanest_where_nothing_fits():
    choice, fits = choose(need(tune=90.0, again=50.0), 8, {})
    assert not fits and choice.offload == "model" and choice.checkpointing


def test_where_nothing_fits_nothing_is_held_back_in_vain():
    """Of choices as lean to the mebibyte the quickest: what saves a kilobyte is not worth a third of the tuning."""
    again = replace(row(50.0), size=(-1024.0, row(50.0).size[1]))
    works = (replace(need().works[0], row=row(50.0), again=again),)
    choice, fits = choose(replace(need(), works=works), 8, {})
    assert not fits and choice == Choice(offload="model")
