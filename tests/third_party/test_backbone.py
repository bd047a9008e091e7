"""A kind of backbone from another package, 16 latent channels and a flow: it is shown, conforms and runs."""

import json
import re

import pytest
import torch

from motionkit import Inputs, execute, media, registry
from motionkit.backbones import catalog, load
from motionkit.cli import main
from motionkit.diffusion.guidance import text_model
from motionkit.diffusion.inversion import invert
from motionkit.diffusion.loop import denoise
from motionkit.diffusion.samplers import make_sampler
from motionkit.errors import UserError
from motionkit.running.lazy_backbone import choose_backbone
from motionkit.settings.gpu import Plan
from motionkit.testing import check_backbone

FLOW = "tiny-flow16"
CLIPS = ("reference=me.png", "driving=moves.mp4", "prompt=a red dog", "gpu=cpu")
QUICK = {"steps": 3, "tune.steps": 2, "maps.long_side": 16, "sample.guidance": 2.0}
NEED_DDIM = ("anamodiff", "flipsketch")


def test_it_is_listed_with_what_it_does_and_where_it_comes_from(command):
    listed = command("backbones", COLUMNS="200")
    assert listed.returncode == 0, listed.stderr
    first, matrix = (line for line in listed.stdout.splitlines() if line.startswith(f"{FLOW} "))
    assert "none needed" in first and "16 latent channels" in first
    assert re.fullmatch(rf"{FLOW} +no \d+\) +no \d+\) +no \d+\) +yes *", matrix)
    told = " ".join(command("backbones", FLOW).stdout.split())
    assert "motionkit-example-flow16, motionkit_flow16.load:load" in told and "flow_prediction" in told
    doctor = " ".join(command("doctor").stdout.split())
    assert f"{FLOW} ok random, from a seed" in doctor
    assert f"backbone {FLOW} ok motionkit-example-flow16 0.1.0" in doctor


def test_it_conforms(installed):
    check_backbone(catalog.get(FLOW)).raise_if_failed()
    assert list(catalog.specs())[-1] == FLOW and catalog.families()["flow16"] == (FLOW,)


@pytest.mark.parametrize("name", NEED_DDIM)
def test_a_method_that_needs_ddim_says_so_before_anything_loads(installed, clips, name, monkeypatch, capsys):
    monkeypatch.setattr("motionkit.backbones.load", lambda *a, **k: pytest.fail("weights were loaded"))
    spec = registry.spec(name)
    assert "DDIM" in spec.refusal(catalog.get(FLOW))
    assert main(["transfer", f"method={name}", f"backbone={FLOW}", *CLIPS]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("motionkit: error:")]
    assert f"does not run on {FLOW}" in line and spec.sampler_reason in line


def test_methods_ask_for_what_it_can_do(installed):
    vidmp3 = registry.spec("vidmp3")
    assert choose_backbone(vidmp3, FLOW) == FLOW and FLOW not in vidmp3.backbones
    with pytest.raises(UserError, match="Animate-X"):
        choose_backbone(registry.spec("animatex"), FLOW)


def test_a_comparison_runs_on_it_and_tunes_it(installed, clips):
    quick = [f"settings.vidmp3.{key}={value}" for key, value in QUICK.items()]
    words = [*CLIPS, "methods=[still,vidmp3,anamodiff,flipsketch]", f"backbone={FLOW}", "output=out"]
    assert main(["compare", *words, *quick]) == 1  # two of them refuse
    cells = {c["method"]: c for c in json.loads((clips / "out" / "metrics.json").read_text())["cells"]}
    assert {name for name, cell in cells.items() if cell["status"] == "complete"} == {"still", "vidmp3"}
    assert all(registry.spec(name).sampler_reason in cells[name]["reason"] for name in NEED_DDIM)
    assert cells["vidmp3"]["backbone"] == FLOW and cells["vidmp3"]["metrics"]["motion_amount"] > 0


def test_training_steps_on_it_lower_the_error_of_the_flow(installed, clips):
    losses = []
    for rate in (1e-9, 3e-3):  # the same noise in both
        config = {"steps": 2, "tune": {"steps": 40, "lr": rate, "unet_lr": rate}, "maps": {"long_side": 16}}
        inputs = Inputs(prompt="a dog", driving=media.read_clip(clips / "moves.mp4"))
        result = execute(registry.spec("vidmp3"), inputs, config=config, backbone=FLOW, frames=4, size=32)
        losses.append(result.manifest["notes"]["loss"])
    print(losses)
    assert losses[1] < 0.9 * losses[0]


def test_inversion_on_it_finds_the_way_back(installed):
    backbone = load(FLOW, Plan())
    clean = torch.randn(1, *backbone.latent_shape(3, 32, 32), generator=torch.Generator().manual_seed(0))
    sampler, model = make_sampler(backbone), text_model(backbone.denoise, backbone.encode_text(["a dog"]))
    noised = invert(model, sampler, clean, 50)
    back = denoise(model, sampler, noised, sampler.grid(50))
    assert (back - clean).abs().max() < 0.05 < (noised - clean).abs().max()


def test_its_yaml_is_found_from_the_wheel_and_a_sweep_takes_it(installed, clips, capsys):
    assert main(["transfer", "method=vidmp3", f"backbone={FLOW}", "--cfg", "job"]) == 0
    assert "lora_scale: 0.5" in capsys.readouterr().out
    words = ["transfer", "-m", "method=ghost,still", f"backbone={FLOW}", "sampler=auto,flow-euler", *CLIPS]
    assert main(words) == 0, capsys.readouterr().err
    manifests = [json.loads(file.read_text()) for file in clips.rglob("manifest.json")]
    assert sorted(m["method"]["name"] for m in manifests) == ["ghost", "ghost", "still", "still"]
    capsys.readouterr()
    quick = [f"method.{key}={value}" for key, value in QUICK.items()]
    words = ["transfer", "-m", "method=vidmp3", f"backbone={FLOW}", "sampler=ddim,flow-euler", *CLIPS, *quick]
    assert main(words) != 0
    assert "sampler=flow-euler" in capsys.readouterr().err
