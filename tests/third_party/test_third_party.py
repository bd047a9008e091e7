"""Methods from other packages: installed with pip, they appear, run, conform; a broken one is reported and isolated."""

import json
import re

import pytest
import torch

from motionkit import media, registry
from motionkit.backbones import load
from motionkit.cli import main
from motionkit.diffusion.samplers import choose_sampler, make_sampler
from motionkit.errors import UserError
from motionkit.methods.animatex.sample import sample
from motionkit.metrics import protocols
from motionkit.settings.gpu import Plan
from motionkit.testing import check_transfer, picture


def transfer(*words):
    return main(["transfer", "reference=me.png", "driving=moves.mp4", "gpu=cpu", "progress=none", *words])


def test_methods_lists_it_and_reports_the_broken_one(command):
    ran = command("methods")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert {"ghost", "still", "warp", "anamodiff"} <= {line.split(" ")[0] for line in lines}
    assert any("broken of motionkit-example-broken" in line and "libspectre.so.9" in line for line in lines)


def test_doctor_shows_where_the_broken_one_fails(command):
    ran = command("doctor")
    assert ran.returncode == 1
    assert "motionkit-example-ghost 0.3.0" in ran.stdout
    shown = " ".join(ran.stdout.split())  # a narrow terminal wraps the lines
    assert "sampler ancestral ok motionkit-example-ancestral 0.1.0" in shown
    assert "metric brightness ok motionkit-example-brightness 0.2.0" in shown
    assert re.search(r"pose\.blob ok knows one thing [^,]*, from motionkit-example-blob", shown)
    assert "motionkit_broken.py" in ran.stdout and "ImportError: libspectre.so.9 is not there" in ran.stdout


def test_plugins_can_be_left_out(command):
    ran = command("methods", MOTIONKIT_DISABLE_PLUGINS="1")
    assert ran.returncode == 0
    assert "ghost" not in ran.stdout and "broken" not in ran.stdout and "still" in ran.stdout


def test_it_runs_from_the_command_line_with_its_own_yaml(installed, clips):
    assert transfer("method=ghost", "output=out.mp4", "frames=4") == 0
    video = media.read_clip(clips / "out.mp4")
    assert video.frames.shape == (4, 48, 64, 3)
    manifest = json.loads(next(clips.glob("runs/transfer/*/manifest.json")).read_text())
    assert manifest["method"]["distribution"].startswith("motionkit-example-ghost")
    assert manifest["config"]["decay"] == 0.8
    assert manifest["inputs_used"] == ["reference", "driving"]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("method.decay=2", "method.decay=2.0 is outside 0 to 1"),
        ("method.decay=abc", "method.decay"),
        ("method.opacty=0.5", "method.opacity"),
    ],
)
def test_its_dataclass_judges_its_settings(installed, clips, capsys, setting, says):
    assert transfer("method=ghost", setting) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("motionkit: error:")]
    assert len(errors) == 1 and says in errors[0]


BLOB = ("method=animatex", "backbone=tiny-animatex", "method.sample.steps=2", "frames=4", "output=out.mp4")


def test_its_pose_estimator_drives_animatex(installed, clips):
    assert transfer(*BLOB, "method.pose.backend=blob") == 0
    manifest = json.loads(next(clips.glob("runs/transfer/*/manifest.json")).read_text())
    assert manifest["config"]["pose"]["backend"] == "blob"
    notes = manifest["notes"]["poses"]
    assert "blob, gaps=keep" in notes["notes"] and notes["reference_pose"] == "its own"
    assert media.read_clip(clips / "out.mp4").frames.std() > 0


def test_a_misspelt_estimator_gets_the_nearest_in_one_line(installed, clips, capsys):
    assert transfer(*BLOB, "method.pose.backend=blub") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("motionkit: error:")]
    assert "blob" in line and "dwpose" in line


def test_asking_for_the_broken_one_gives_its_error(installed, clips, capsys):
    assert transfer("method=broken") == 2
    assert "libspectre.so.9 is not there" in capsys.readouterr().err


def test_a_built_in_runs_beside_them(installed, clips):
    assert transfer("method=still", "output=still.gif") == 0
    assert (clips / "still.gif").exists()


def test_it_conforms(installed, tmp_path):
    check_transfer(registry.spec("ghost"), folder=tmp_path, size=32, frames=3).raise_if_failed()


def test_its_sampler_walks_any_method_that_does_not_invert(installed):
    backbone = load("tiny-animatex", Plan())
    noise = torch.randn(1, *backbone.latent_shape(2, 32, 32), generator=torch.Generator().manual_seed(0))

    def model(latents, step, half, window):
        return 0.1 * latents

    results = []
    for seed in (1, 1, 2):
        sampler = make_sampler(backbone, "ancestral", torch.Generator().manual_seed(seed))
        results.append(sample(model, noise, 4, sampler=sampler))
    assert torch.equal(results[0], results[1]) and not torch.allclose(results[0], results[2])
    assert choose_sampler(registry.spec("animatex"), backbone.spec, "ancestral") == "ancestral"
    with pytest.raises(UserError, match="vidmp3 needs sampler=ddim.* or flow-euler, not ancestral"):
        choose_sampler(registry.spec("vidmp3"), load("tiny-sd", Plan()).spec, "ancestral")


def test_its_metric_is_a_column_of_a_comparison_behind_the_built_in_ones(installed, clips):
    words = ("methods=[still]", "reference=me.png", "driving=moves.mp4", "gpu=cpu", "output=out")
    assert main(["compare", *words]) == 0
    facts = json.loads((clips / "out" / "metrics.json").read_text())
    figures = facts["cells"][0]["metrics"]
    assert figures["brightness"] == pytest.approx(picture(48, 64).frames.mean() / 255, abs=0.01)
    assert list(figures)[-1] == "brightness" and "motion_amount" in figures
    assert facts["metrics"]["brightness"]["by"] == "light meter"
    page = (clips / "out" / "report.html").read_text()
    assert "Mean of all pixels" in page and "Made by: light meter" in page
    parsed = protocols.parse({"name": "x", "version": 1, "summary": "", "video": ["brightness"], "sets": {}}, "x.yaml")
    assert parsed.video(picture(48, 64).frames) == {"brightness": picture(48, 64).frames.mean() / 255}
