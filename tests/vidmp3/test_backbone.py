"""Guide, injection, tuning and pack together, through a backbone of the catalogue."""

import pytest
import torch

from motionkit.backbones import load
from motionkit.methods.vidmp3.guide import MotionGuide
from motionkit.methods.vidmp3.inject import install
from motionkit.methods.vidmp3.pack import (
    Pack,
    PackFacts,
    add_pack,
    check_pack,
    guide_facts,
    load_pack,
    save_pack,
    schedule_of,
)
from motionkit.methods.vidmp3.trainable import deltas, make_trainable
from motionkit.settings.gpu import Plan


@pytest.mark.parametrize("name", ["tiny-animatediff-sd15", "tiny-animatediff-sdxl"])
def test_tune_pack_and_edit_on_a_backbone(name, tmp_path, draw):
    backbone = load(name, Plan(checkpointing=True))
    unet, text = backbone.fresh_unet(), backbone.encode_text(["a red cat"])
    before = {n: p.detach().clone() for n, p in unet.named_parameters()}
    weights, injection = make_trainable(unet), install(unet)
    guide = MotionGuide(injection.sites)
    image, mask = torch.rand(4, 3, 32, 32, generator=draw), torch.ones(4, 1, 32, 32)
    clean, noise = torch.randn(2, 1, 4, 4, 8, 8, generator=draw)
    adam, losses = torch.optim.Adam([*guide.parameters(), *weights.values()], 5e-4), []
    for _ in range(4):
        injection.guide(guide(image, mask), scale=0.1)
        found = backbone.denoise(0.6 * clean + 0.8 * noise, 500, text, unet=unet)
        loss = torch.nn.functional.mse_loss(found, backbone.training_target(clean, noise, 500))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]

    facts = PackFacts(
        name, backbone.fingerprint(), schedule_of(backbone.scheduler), 0.1, **guide_facts(guide), frames=4
    )
    save_pack(tmp_path, Pack(facts, guide.state_dict(), deltas(before, weights)), torch.float32)
    pack, again = load_pack(tmp_path), backbone.fresh_unet()
    shapes = {n: tuple(p.shape) for n, p in again.named_parameters()}
    assert not check_pack(pack, shapes, name, backbone.fingerprint(), schedule_of(backbone.scheduler))
    add_pack(again, pack)
    other = install(again)
    with torch.no_grad():
        injection.guide(guide(image, mask), scale=0.1)
        other.guide(pack.build_guide()(image, mask), scale=0.1)
        results = [backbone.denoise(noise, 500, text, unet=net) for net in (unet, again)]
        plain = backbone.denoise(noise, 500, text)
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(results[0], plain, atol=1e-3)
