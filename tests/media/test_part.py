"""Which part of a clip is read, from files of every kind and from memory alike."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from motionkit.errors import UserError
from motionkit.media import Limits, Wanted, from_frames, read_clip, take
from motionkit.media.part import choose, moment


def counted(count, height=32, width=48):
    """Frames that say their number: the left half in steps of 8, the right half the rest; survives compression."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[:, : width // 2] = 8 * (index // 16) + 4
        frame[:, width // 2 :] = 16 * (index % 16) + 8
    return frames


def numbers(clip):
    left = clip.frames[:, 16, 8].mean(-1)
    right = clip.frames[:, 16, 40].mean(-1)
    return (np.rint((left - 4) / 8) * 16 + np.rint((right - 8) / 16)).astype(int).tolist()


@pytest.fixture(scope="module")
def long_clips(make, tmp_path_factory):
    """8 s at 30 fps in several containers; a key frame every 40."""
    folder = tmp_path_factory.mktemp("long")
    frames = counted(240)
    options = {"g": "40", "crf": "4"}
    make(folder / "a.mp4", frames, rate=30, options=options)
    make(folder / "a.mkv", frames, rate=30, options=options)
    make(folder / "a.webm", frames, "libvpx-vp9", rate=30, options={"crf": "4", "b": "4M"})
    make(folder / "a.avi", frames, "mpeg4", rate=30, options={"g": "40", "qscale": "1"})
    return folder


def test_eight_seconds_at_thirty_without_options(long_clips):
    clip = read_clip(long_clips / "a.mp4", wanted=Wanted())
    assert numbers(clip) == [0, 3, 7, 11, 15, 18, 22, 26, 30, 33] and clip.fps == 8 and clip.times is None
    assert len(clip.notes) == 1 and clip.notes[0].startswith("frames 0-1.25 s of 8 s at 8 fps; ")
    from_memory = take(read_clip(long_clips / "a.mp4"), Wanted())
    assert numbers(from_memory) == numbers(clip) and from_memory.notes == clip.notes and from_memory.fps == 8
    assert from_memory.sha256 == clip.sha256


@pytest.mark.parametrize(
    "wanted, picked, fps",
    [
        (Wanted(start=2), [60, 63, 67, 71, 75, 78, 82, 86, 90, 93], 8),
        (Wanted(start="0:05", frames=3), [150, 153, 157], 8),
        (Wanted(start="100f", frames=4, fps=30), [100, 101, 102, 103], 30),
        (Wanted(start="6s", end=8, frames=4), [180, 195, 210, 225], 2),
        (Wanted(start=1, end="31f"), [30], 30),
        (Wanted(start="7.8", frames=10), [234, 235, 236, 237, 238, 239], 30),  # never a frame twice
        (Wanted(fps=1), [0, 30, 60, 90, 120, 150, 180, 210], 1),
        (Wanted(frames=5, stride=4), [0, 4, 8, 12, 16], 7.5),
        (Wanted(frames=5, fps=15), [0, 2, 4, 6, 8], 15),
        (Wanted(end=8, frames=3), [0, 80, 160], 0.375),
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi"])
def test_parts(long_clips, suffix, wanted, picked, fps):
    clip = read_clip(long_clips / f"a.{suffix}", wanted=wanted)
    assert numbers(clip) == picked and clip.fps == pytest.approx(fps)


def test_a_clip_of_just_the_frames_that_are_wanted_stays_as_it_is(tmp_path, make):
    path = make(tmp_path / "a.mp4", counted(10), rate=30)
    whole = read_clip(path)
    for wanted in (Wanted(), Wanted(frames=10), Wanted(frames=10, fps=8), Wanted(frames=16), Wanted(most=12)):
        clip = read_clip(path, wanted=wanted)
        assert clip.sha256 == whole.sha256 and not clip.notes
    assert take(whole, Wanted()) is whole
    slow = make(tmp_path / "slow.mp4", counted(14), rate=10)  # up to 16 fps nothing is left out
    assert numbers(read_clip(slow, wanted=Wanted())) == list(range(10))
    short = make(tmp_path / "short.mp4", counted(12), rate=30)  # too short for 8 fps
    assert read_clip(short, wanted=Wanted()).fps == pytest.approx(25)


def test_seeking_gives_what_decoding_from_the_start_gives(long_clips, monkeypatch):
    import av

    sought = []
    seek = av.container.InputContainer.seek
    picked = numbers(read_clip(long_clips / "a.mp4", wanted=Wanted(start=5, frames=6)))

    class Watched:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def __enter__(self):
            return self

        def __exit__(self, *rest):
            self.inner.close()

        def seek(self, *args, **named):
            sought.append(args)
            return seek(self.inner, *args, **named)

    opened = av.open
    monkeypatch.setattr("motionkit.media.video.av.open", lambda *a, **k: Watched(opened(*a, **k)))
    assert numbers(read_clip(long_clips / "a.mp4", wanted=Wanted(start=5, frames=6))) == picked
    assert len(sought) == 1
    monkeypatch.setattr("motionkit.media.video._SEEKABLE", ())
    assert numbers(read_clip(long_clips / "a.mp4", wanted=Wanted(start=5, frames=6))) == picked
    assert len(sought) == 1


@pytest.mark.parametrize(
    "wanted, word",
    [
        (Wanted(start=9), "start=9 is beyond"),
        (Wanted(start=3, end=2), "end=2 "),
        (Wanted(end=9), "end=9 is beyond"),
        (Wanted(start="x", key="reference_"), "reference_start=x: give seconds"),
        (Wanted(end=-1), "end=-1: give seconds"),
        (Wanted(start=True), "start=True: give seconds"),
    ],
    ids=str,
)
def test_bounds_that_cannot_be(long_clips, wanted, word):
    with pytest.raises(UserError, match=word):
        read_clip(long_clips / "a.mp4", wanted=wanted)


def test_moments():
    assert moment("1:02:03.5") == (3723.5, "s") and moment("75f") == (75, "f") and moment(2) == (2.0, "s")


def test_uneven_clips_are_taken_by_what_is_on_screen():
    times = np.array([0, 0.1, 0.2, 2.0, 2.1, 2.2])
    part = choose(Wanted(start=0.1, end=2.15, frames=2), 2.4, 6 / 2.4, times)
    assert part.instants == pytest.approx([0.1, 1.125], abs=1e-5)
    clip = from_frames(counted(6), 6 / 2.4, times=times)
    assert numbers(take(clip, Wanted(start="3f", frames=1))) == [3]


def test_more_frames_than_there_are_is_said():
    clip = take(from_frames(counted(10), 8.0), Wanted(frames=40))
    assert len(clip) == 40 and clip.fps == 32 and "made of 10" in clip.notes[0]


def test_a_folder_plays_at_the_rate_that_is_said(tmp_path):
    for index, frame in enumerate(counted(24)):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    clip = read_clip(tmp_path, wanted=Wanted(fps=24), fps=24)
    assert len(clip) == 24 and clip.duration == 1.0 and not clip.notes
    assert read_clip(tmp_path).fps == 8
    (tmp_path / "20.png").write_bytes(b"not looked at")
    assert numbers(read_clip(tmp_path, wanted=Wanted(start=1, frames=5))) == [8, 9, 10, 11, 12]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations_in_part(tmp_path, suffix):
    pictures = [Image.fromarray(f) for f in counted(30)]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"a.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, loop=0, **options)
    clip = read_clip(path, wanted=Wanted(start=0.4, frames=4))
    assert numbers(clip) == [10, 13, 16, 19] and clip.fps == 8 and "of 1.2 s" in clip.notes[0]
    clip = read_clip(path, Limits(max_frames=20), Wanted(frames=20, fps=25))
    assert numbers(clip) == list(range(20))


def test_a_long_video_is_sampled_though_all_of_it_would_be_too_much(tmp_path, make):
    frames = np.zeros((1350, 16, 16, 3), np.uint8)
    path = make(tmp_path / "a.mp4", frames, rate=30, options={"preset": "ultrafast"})
    small = Limits(max_memory=1000 * 16 * 16 * 3, max_frames=1000, max_seconds=30)
    with pytest.raises(UserError, match="1350 frames"):
        read_clip(path, small)
    clip = read_clip(path, small, Wanted(frames=16))
    assert len(clip) == 16 and clip.fps == 8 and "of 45 s" in clip.notes[0]
    assert len(read_clip(path, small, Wanted(start=40, frames=16))) == 16
    with pytest.raises(UserError, match="MiB"):
        read_clip(path, Limits(max_memory=10_000), Wanted(frames=16))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_what_is_kept_is_held_once(tmp_path, make):
    noise = np.random.default_rng(0).integers(0, 255, (8, 256, 256, 3), np.uint8)
    code = (
        "import sys; from motionkit.media import read_clip; from motionkit.running.manifest import peak_rss\n"
        "read_clip(sys.argv[1]); print(peak_rss())"
    )
    peaks = []
    for count in (20, 220):
        path = make(tmp_path / f"{count}.mkv", [noise[i % 8] for i in range(count)], "ffv1", "bgr0")
        run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        peaks.append(float(run.stdout))
    assert (peaks[1] - peaks[0]) / (
        200 * noise[0].nbytes
    ) < 1.3  # 2 and more when frames pile up before they are stacked
