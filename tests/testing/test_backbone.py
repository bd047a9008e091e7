"""What is asked of any backbone: motionkit's own meet it, and one that is not what it declares is found out."""

from dataclasses import replace

import pytest

from motionkit import backbones
from motionkit.testing import check_backbone
from motionkit.testing.__main__ import main

TINY = [name for name, spec in backbones.specs().items() if spec.made_up]


@pytest.mark.parametrize("name", TINY)
def test_every_tiny_backbone_is_what_it_declares(name):
    report = check_backbone(backbones.get(name)).raise_if_failed()
    assert len(report.checks) == 7 and all(check.passed for check in report.checks)


@pytest.mark.parametrize(
    ("wrong", "breaks"),
    [
        ({"latent_channels": 16}, "latents_are_as_declared"),
        ({"makes_clips": True}, "denoises_as_declared"),
        ({"predictions": ("v_prediction",)}, "denoises_as_declared"),
        ({"roles": ("spatial_self", "cross", "temporal_self")}, "attention_is_as_declared"),
        ({"roles": ("sideways",)}, "facts_are_stated"),
        ({"sampler": "flow-euler"}, "facts_are_stated"),
        ({"licence": ""}, "facts_are_stated"),
    ],
)
def test_a_wrong_declaration_is_found(wrong, breaks):
    report = check_backbone(replace(backbones.get("tiny-sd"), **wrong))
    assert breaks in report.failed
    with pytest.raises(AssertionError, match=breaks):
        report.raise_if_failed()


def test_the_command_judges_a_backbone(capsys):
    assert main(["tiny-sd"]) == 0
    assert "ok   denoises_as_declared" in capsys.readouterr().out
