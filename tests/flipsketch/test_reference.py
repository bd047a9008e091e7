"""The reference branch: which step uses what, and that it is walked once."""

import pytest
import torch
from sketch_models import clip, denoise, sampler, scheduler, text, video_unet

from motionkit.methods.flipsketch import recording_cache
from motionkit.methods.flipsketch.compose import Composer, Recording
from motionkit.methods.flipsketch.reference import Reference, Schedule, recorder, walk
from motionkit.weights.hashing import hash_tensors


@pytest.mark.parametrize(
    ("steps", "aligned", "composed"), [(25, 10, 16), (50, 20, 31), (10, 4, 7), (5, 2, 4), (1, 0, 1)]
)
def test_fractions_are_the_authors_counts_at_25_steps_and_follow_the_number(steps, aligned, composed):
    schedule = Schedule.of(steps, 10, 0.4, 0.6)
    assert (schedule.aligned, schedule.composed) == (aligned, min(composed, steps))


def test_nothing_composed_and_everything_composed():
    assert Schedule.of(25, 10, 0.0, 0.0).walked == 0
    assert Schedule.of(25, 10, 0.4, 1.0).composed == 25
    assert Schedule.of(25, 10, 0.4, 0.6, pinned=True).walked == 25


def test_the_number_of_reference_frames():
    step = Schedule(25, 10, 10, 16)
    assert [step.first(i) for i in range(16)] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1]
    linear = Schedule(25, 10, 10, 16, "linear")
    assert [linear.first(i) for i in range(16)] == [10, 9, 9, 8, 8, 7, 6, 6, 5, 5, 4, 3, 3, 2, 2, 1]
    assert Schedule(25, 24, 10, 16, "linear").first(15) == 1 and Schedule(25, 24, 10, 16).first(15) == 9
    assert Schedule(25, 1, 10, 16).first(0) == 1 and Schedule(1, 10, 0, 1, "linear").first(0) == 10


def walked(schedule, **options):
    composer = Composer(denoise, video_unet())
    with composer.installed():
        return composer, walk(composer, sampler(), clip(1, seed=5), schedule, text(3), **options)


def test_it_is_the_sketchs_own_denoising():
    """Against the loop written out: N copies together, cut at each step, a DDIM step without guidance."""
    schedule = Schedule(4, 3, 2, 3)
    _, reference = walked(schedule)
    ref = clip(1, seed=5).expand(-1, -1, 3, -1, -1)
    alphas = scheduler().alphas_cumprod
    for i, rung in enumerate(sampler().grid(4)[:3]):
        ref = ref[:, :, : 3 - i]
        assert (reference.states[i] - ref).abs().max() < 1e-4 and (reference.path[i] - ref[0, :, 0]).abs().max() < 1e-4
        with torch.no_grad():
            eps = denoise(ref, rung.t, text(3))
            alone = denoise(ref[:, :, :1], rung.t, text(3))
        if i < 2:
            assert (reference.targets[i] - alone[0, :, 0]).abs().max() < 1e-4
        a, b = alphas[rung.t], alphas[max(rung.t - 250, 0)]
        ref = b.sqrt() * (ref - (1 - a).sqrt() * eps) / a.sqrt() + (1 - b).sqrt() * eps
    assert (reference.path[3] - ref[0, :, 0]).abs().max() < 1e-4
    assert len(reference.targets) == 2 and len(reference.recordings) == 3 and len(reference.path) == 4


def test_the_inversions_own_latents_take_the_place_of_what_was_denoised():
    """Down to the sketch's own latents, and without a pass of the model at steps that leave nothing."""
    schedule = Schedule(4, 3, 1, 2, pinned=True)
    given = torch.stack([clip(1, seed=5), *(clip(1, seed=6 + i) for i in range(4))])  # (5, 1, 4, 1, h, w)
    passes = []

    def counted(*arguments):
        passes.append(arguments)
        return denoise(*arguments)

    composer = Composer(counted, video_unet())
    with composer.installed():
        kept = walk(composer, sampler(), given[0], schedule, text(3), given=given)
    assert torch.equal(kept.path, given[:, 0, :, 0]) and len(passes) == 3  # two recorded, one aligned
    assert torch.equal(kept.states[1], given[1].expand(-1, -1, 2, -1, -1))
    own = walked(schedule)[1]
    assert torch.equal(own.targets, kept.targets) and not torch.equal(own.path[1], kept.path[1])


def test_guided_only_by_a_negative_prompt():
    schedule = Schedule(3, 2, 1, 3)
    plain, same, other = (
        walked(schedule, **options)[1].path
        for options in ({}, {"negative": text(3), "guidance": 9.0}, {"negative": text(4), "guidance": 9.0})
    )
    assert (plain - same).abs().max() < 1e-4 and (plain - other).abs().max() > 1e-3


def test_kept_and_read_again_it_is_the_same():
    _, reference = walked(Schedule(4, 3, 2, 3))
    again = Reference.of(reference.tensors())
    assert hash_tensors(again.tensors()) == hash_tensors(reference.tensors())
    small = Reference.of(reference.tensors(recordings=False))
    assert not small.recordings and len(small.states) == 3
    assert reference.megabytes == pytest.approx(sum(r.megabytes for r in reference.recordings))


def test_what_was_not_kept_is_made_again_the_same():
    schedule = Schedule(4, 3, 2, 3)
    composer, reference = walked(schedule)
    bare = Reference.of(reference.tensors(recordings=False))
    with torch.no_grad(), composer.installed():
        again = recorder(composer, sampler(), bare, schedule, text(3))
        for i in range(3):
            kept, made = reference.recordings[i], again(i)
            assert all(torch.equal(kept.queries[n], made.queries[n]) for n in kept.queries)
            assert all(torch.equal(kept.keys[n], made.keys[n]) for n in kept.keys)


def test_recordings_stay_where_they_were_made_while_there_is_room(monkeypatch):
    moved, real = [], Recording.map
    monkeypatch.setattr(Recording, "map", lambda self, change: (moved.append(self.megabytes), real(self, change))[1])
    schedule = Schedule(4, 3, 2, 3)
    _, all_moved = walked(schedule)
    sizes = [recording.megabytes for recording in all_moved.recordings]
    assert moved == sizes
    for room, gone in ((1e9, 0), (sizes[0], len(sizes) - 1), (sizes[0] + sizes[1], len(sizes) - 2)):
        moved.clear()
        walked(schedule, room_mb=room)
        assert len(moved) == gone


def test_memory_keeps_one_sketch_and_a_bounded_amount(monkeypatch):
    _, reference = walked(Schedule(4, 3, 2, 3))
    asked = []

    def source(i):
        asked.append(i)
        return reference.recordings[i]

    find = recording_cache.remembering("one", source)
    assert [find(i) for i in (0, 1, 0, 1)] and asked == [0, 1]
    assert recording_cache.remembering("one", source)(0) and asked == [0, 1]
    recording_cache.remembering("two", source)(0)
    recording_cache.remembering("one", source)(0)
    assert asked == [0, 1, 0, 0]
    monkeypatch.setattr(recording_cache, "LIMIT_MB", 0.0)
    find = recording_cache.remembering("three", source)
    find(0), find(0)
    assert asked[4:] == [0, 0]


def test_a_v_prediction_model_walks_too():
    composer = Composer(denoise, video_unet())
    with composer.installed():
        v = walk(composer, sampler("v_prediction"), clip(1, seed=5), Schedule(4, 3, 2, 3), text(3))
    assert (v.path - walked(Schedule(4, 3, 2, 3))[1].path).abs().max() > 1e-2 and v.path.isfinite().all()
