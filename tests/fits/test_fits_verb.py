"""`motionkit fits` on the shipped table."""

import subprocess
import sys

import pytest

from motionkit.cli import fits
from motionkit.errors import UserError

RUN = ("method=vidmp3", "backbone=sd15")


def test_a_card_that_holds_the_run(capsys):
    assert fits.main([*RUN, "gpu=24gb"]) == 0
    out = capsys.readouterr().out
    assert "512x512 px, 16 frames" in out and "tuning step" in out and "computed, not measured" in out
    assert all(stage in out for stage in ("prepare", "fit", "generate")) and "nearest" not in out


def test_a_card_that_does_not_names_what_would_fit(capsys):
    assert fits.main([*RUN, "gpu=4gb", "frames=32"]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("nearest that fits: "))
    words = line.removeprefix("nearest that fits: ").split()
    assert fits.main([*RUN, "gpu=4gb", "frames=32", *words]) == 0


def test_a_clip_of_a_methods_own_length_is_shortened_first(capsys):
    run = ("method=anamodiff", "backbone=sd15", "method.preset=paper", "gpu=6gb", "method.lora.clip_frames=40")
    assert fits.main([*run]) == 1
    assert "nearest that fits: method.lora.clip_frames=" in capsys.readouterr().out


@pytest.mark.parametrize("gpu", ["8gb", "11gb", "16gb", "40gb", "141gb"])
def test_any_number_of_gigabytes(gpu, capsys):
    assert fits.main([*RUN, f"gpu={gpu}"]) in (0, 1)
    assert f"of {gpu[:-2]} GiB" in capsys.readouterr().out


def test_a_rate_changes_the_time_alone(capsys):
    fits.main([*RUN, "gpu=24gb", "rate=1"])
    assert "at 1 TFLOP/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("gpu=24gb",), "method=NAME"),
        ((*RUN, "gpu=24gb", "sise=512"), "did you mean 'size'"),
        ((*RUN, "gpu=24gb", "size=500"), "multiples of 64"),
        ((*RUN, "size=500"), "multiples of 64"),  # told before the card that this machine lacks
        ((*RUN, "gpu=24gb", "frames=none"), "frames"),
        ((*RUN, "gpu=cpu"), "<N>gb"),
        (("method=still", "gpu=24gb"), "declares nothing"),
        (("method=animatex", "backbone=sd15", "gpu=24gb"), "does not run on"),
        ((*RUN, "gpu=24gb", "method.tune.stps=3"), "did you mean"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(words, reason):
    with pytest.raises(UserError, match=reason) as error:
        fits.main(list(words))
    assert "\n" not in str(error.value)


def test_it_needs_no_torch():
    code = (
        "import sys; from motionkit.cli import main; "
        "assert main(['fits', 'method=vidmp3', 'backbone=sd15', 'gpu=24gb']) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
