"""A picture that a small world cannot draw is told; one of that world never is."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest

from motionkit import media
from motionkit.backbones import catalog, load
from motionkit.running.execute import execute
from motionkit.running.familiar import unfamiliar
from motionkit.settings.gpu import Plan
from motionkit.sprites import render_clip
from motionkit.sprites.sampling import stream
from motionkit.transfer import Inputs

POCKET = [name for name, spec in catalog.specs().items() if spec.familiar_db]


def sprites(count):
    """Frames (128, 128, 3) uint8 of held-out characters."""
    return [render_clip(who, how, 2, 128).frames[0] for who, how in itertools.islice(stream(11, "test"), count)]


def photograph(seed, size=128):
    """A picture with detail at every scale, whose spectrum falls as a photograph's does."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.normal(size=(n, n, 3)), (size, size), interpolation=cv2.INTER_CUBIC) for n in (4, 16, 64)]
    noise = sum(layers) / np.sqrt(3)
    return (128 + 50 * noise).clip(0, 255).astype(np.uint8)


def test_every_shipped_backbone_says_what_it_knows():
    assert sorted(POCKET) == sorted(name for name, spec in catalog.specs().items() if spec.asset)


@pytest.mark.parametrize("name", ["pocket-sd", "pocket-modelscope"])
def test_sprites_are_familiar_and_photographs_are_not(name):
    backbone = load(name, Plan())
    assert not [line for frame in sprites(16) if (line := unfamiliar(backbone, frame))]
    told = [unfamiliar(backbone, photograph(seed)) for seed in range(4)]
    assert all(name in line and "real weights" in line for line in told)
    assert not unfamiliar(backbone, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pocket-sd", "pocket-modelscope"])
def test_the_rate_of_false_alarms_that_is_stated(name, capsys):
    backbone = load(name, Plan())
    alarms = sum(bool(unfamiliar(backbone, frame)) for frame in sprites(150))
    told = sum(bool(unfamiliar(backbone, photograph(seed))) for seed in range(60))
    with capsys.disabled():
        print(f"\n{name}: {alarms} of 150 held-out sprites called unlike, {told} of 60 photographs")
    assert alarms <= 3 and told == 60


def test_real_weights_are_not_asked():
    backbone = load("tiny-sd", Plan())
    assert not unfamiliar(backbone, photograph(0))


@pytest.mark.parametrize(("picture", "count"), [(photograph(0), 1), (sprites(1)[0], 0)])
def test_a_run_says_it_in_its_manifest(blend, tmp_path, picture, count):
    spec = replace(blend.SPEC, name="blend-pocket", backbones=("pocket-sd",), default_backbone="pocket-sd")
    given = Inputs(media.from_frames(picture, is_image=True), media.from_frames(np.stack([picture] * 3), 6.0))
    lines = []
    facts = execute(spec, given, size=128, folder=tmp_path / "run", say=lines.append).manifest
    assert len([line for line in facts["remarks"] if "unlike the sprites" in line]) == count
    assert len([line for line in lines if "unlike the sprites" in line]) == count
