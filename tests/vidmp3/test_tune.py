"""Tuning: what it changes, what it leaves, the guide's ablations, resuming, LoRA packs, and gradient checkpointing."""

from dataclasses import replace

import pytest
import torch

from motionkit.backbones import load
from motionkit.context import NoCheckpoint, RunContext
from motionkit.methods.vidmp3 import tune as tuning
from motionkit.methods.vidmp3.config import VidMP3Config
from motionkit.methods.vidmp3.guided_unet import gates_of, tuned_unet
from motionkit.methods.vidmp3.maps import GuideMaps
from motionkit.methods.vidmp3.pack import changed_names
from motionkit.methods.vidmp3.trainable import trainable_names
from motionkit.methods.vidmp3.tune import timesteps_of, tune
from motionkit.settings.gpu import Plan

BACKBONES = ("tiny-animatediff-sd15", "tiny-animatediff-sdxl", "tiny-modelscope")


class Memory:
    """A checkpoint in memory that stops the run at its first save, if it is asked to."""

    def __init__(self):
        self.state, self.stop = None, False

    def load(self):
        return self.state

    def save(self, tensors):
        self.state = {k: v.detach().clone() for k, v in tensors.items()}
        if self.stop:
            raise KeyboardInterrupt


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request):
    return load(request.param, Plan())


@pytest.fixture(scope="module")
def sd15():
    return load(BACKBONES[0], Plan())


def config(**values):
    settings = VidMP3Config(steps=2).on(BACKBONES[0])
    settings = replace(settings, tune=replace(settings.tune, steps=3, lr=0.02, unet_lr=0.01, save_every=2))
    for name, value in values.items():
        settings = replace(settings, **{name: replace(getattr(settings, name), **value)})
    return settings


def material(subjects=1, channels=3):
    g = torch.Generator().manual_seed(0)
    latents = torch.randn(3, 4, 8, 8, generator=g)
    masks = torch.zeros(subjects, 3, 1, 16, 16)
    for i in range(subjects):
        masks[i, :, :, :, 8 * i : 8 * i + 8] = 1
    maps = [GuideMaps(torch.rand(3, channels, 16, 16, generator=g) * m, m) for m in masks]
    return latents, maps, gates_of(masks)


def tuned(backbone, settings, tmp_path, subjects=1, channels=3, checkpoint=None, guided=True):
    latents, maps, gates = material(subjects, channels)
    run = RunContext(0, 3, 32, 32, 8.0, backbone.plan, tmp_path, checkpoints=lambda _: checkpoint or NoCheckpoint())
    losses = []
    pack = tune(
        backbone,
        settings,
        run,
        latents,
        "a red dog",
        maps if guided else [],
        gates,
        1.0 if guided else 0.0,
        on_step=lambda _, loss: losses.append(loss),
    )
    return pack, losses


def test_exactly_the_chosen_weights_change_and_the_backbone_stays(backbone, tmp_path):
    before = {k: v.clone() for k, v in backbone.unet.state_dict().items()}
    pack, losses = tuned(backbone, config(), tmp_path)
    assert set(pack.deltas) == set(trainable_names(backbone.unet))
    assert all(change.abs().max() > 0 for change in pack.deltas.values())
    assert all(pack.guide[f"heads.{name}.weight"].abs().max() > 0 for name in pack.build_guide().heads)
    assert all(torch.equal(before[k], v) for k, v in backbone.unet.state_dict().items())
    assert len(losses) == 3 and not any(p.requires_grad for p in backbone.unet.parameters())


def test_a_tuned_unet_has_the_tuned_weights_and_shares_the_others(sd15, tmp_path):
    pack, _ = tuned(sd15, config(), tmp_path)
    _, maps, gates = material()
    scene = tuned_unet(sd15, pack, maps, gates, config().guide)
    base = dict(sd15.unet.named_parameters())
    for name, weight in scene.unet.named_parameters():
        if name in changed_names(pack):
            torch.testing.assert_close(weight, base[name] + pack.deltas[name], rtol=0, atol=1e-7)
        else:
            assert weight.data_ptr() == base[name].data_ptr()
    x, text = torch.randn(1, 4, 3, 8, 8), sd15.encode_text(["a cat"])
    with torch.no_grad():
        scene.guide()
        guided = scene.denoise(x, 500, text)
        scene.guide(0.0)
        assert (scene.denoise(x, 500, text) - guided).abs().max() > 1e-3


def test_without_the_guide_only_the_unet_is_tuned(sd15, tmp_path):
    off, _ = tuned(sd15, config(), tmp_path, guided=False)
    assert off.facts.scale == 0
    assert all(off.guide[name].abs().max() == 0 for name in off.guide if name.startswith("heads."))
    on, _ = tuned(sd15, config(), tmp_path)
    assert any(not torch.equal(off.deltas[name], on.deltas[name]) for name in on.deltas)


@pytest.mark.parametrize(("inputs", "channels"), [("concat", 4), ("correspondence", 3), ("depth", 1)])
def test_the_guides_inputs_can_be_taken_apart(sd15, inputs, channels, tmp_path):
    pack, _ = tuned(sd15, config(guide={"inputs": inputs}, tune={"steps": 1}), tmp_path, channels=channels)
    assert pack.build_guide().trunk.stem[0].weight.shape[1] == channels and pack.facts.guide["inputs"] == inputs


def test_a_killed_tuning_goes_on_exactly(sd15, tmp_path):
    whole, _ = tuned(sd15, config(), tmp_path)
    memory = Memory()
    memory.stop = True
    with pytest.raises(KeyboardInterrupt):
        tuned(sd15, config(), tmp_path, checkpoint=memory)
    memory.stop = False
    again, losses = tuned(sd15, config(), tmp_path, checkpoint=memory)
    assert len(losses) == 1  # two steps were kept
    assert all(torch.equal(whole.deltas[k], again.deltas[k]) for k in whole.deltas)
    assert all(torch.equal(whole.guide[k], again.guide[k]) for k in whole.guide)


def test_a_scaled_loss_tunes_the_same(sd15, tmp_path, monkeypatch):
    plain, _ = tuned(sd15, config(), tmp_path)
    monkeypatch.setattr(tuning, "loss_scale", lambda backbone: 1024.0)
    scaled, _ = tuned(sd15, config(), tmp_path)
    assert all(torch.equal(plain.deltas[name], scaled.deltas[name]) for name in plain.deltas)
    assert all(torch.equal(plain.guide[name], scaled.guide[name]) for name in plain.guide)


def test_checkpointing_changes_memory_and_nothing_else(sd15, tmp_path):
    plain, _ = tuned(sd15, config(tune={"checkpointing": "off"}), tmp_path)
    saving, _ = tuned(sd15, config(tune={"checkpointing": "on"}), tmp_path)
    for name in plain.deltas:
        torch.testing.assert_close(saving.deltas[name], plain.deltas[name], rtol=1e-4, atol=1e-6)


def test_a_lora_is_small_and_stands_in_for_the_weights(sd15, tmp_path):
    small, _ = tuned(sd15, config(tune={"rank": 1}), tmp_path)
    large, _ = tuned(sd15, config(), tmp_path)
    assert changed_names(small) == changed_names(large)
    assert sum(v.numel() for v in small.deltas.values()) < 0.5 * sum(v.numel() for v in large.deltas.values())
    _, maps, gates = material()
    scene = tuned_unet(sd15, small, maps, gates, config().guide)
    name = next(iter(sorted(changed_names(small))))
    weights = dict(scene.unet.named_parameters())
    assert not torch.equal(weights[name], dict(sd15.unet.named_parameters())[name])
    assert torch.linalg.matrix_rank(weights[name] - dict(sd15.unet.named_parameters())[name], rtol=1e-3) == 1


def test_several_subjects_get_a_guide_each(sd15, tmp_path):
    settings = replace(config(), subjects=["disc", "bar"])
    pack, _ = tuned(sd15, settings, tmp_path, subjects=2)
    first, second = pack.build_guides()
    assert pack.facts.subjects == ("disc", "bar")
    for guide in (first, second):
        assert all(head.weight.abs().max() > 0 for head in guide.heads.values())
    assert not torch.equal(first.trunk.post.weight, second.trunk.post.weight)


def test_subjects_share_the_picture_by_nearness():
    _, _, gates = material(2)
    left, right = gates
    assert torch.allclose(left + right, torch.ones_like(left))
    assert left[:, :, :6].min() > 0.95 and right[:, :, -6:].min() > 0.95
    assert gates_of(torch.ones(1, 3, 1, 8, 8)) == [None]


def test_only_the_timesteps_of_the_edit_are_tuned():
    assert timesteps_of(config(), 1000) == range(1000)
    late = replace(config(tune={"least_t": 0.2}), start_t=500)
    assert timesteps_of(late, 1000) == range(200, 500)
