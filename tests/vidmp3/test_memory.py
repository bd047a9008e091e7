"""Checkpointing: the same gradients, less kept, the motion modules included."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from vidmp3_models import make_unet, request_of

from motionkit.backbones import checkpointing
from motionkit.methods.vidmp3.guide import MotionGuide
from motionkit.methods.vidmp3.inject import install
from motionkit.methods.vidmp3.trainable import make_trainable


def step(unet, seed=0):
    """Gradients of guide and weights in one step, and the bytes that the forward pass keeps."""
    weights, call = make_trainable(unet), request_of("sd15")
    injection = install(unet)
    guide = MotionGuide(injection.sites)
    for i, head in enumerate(guide.heads.values()):
        torch.nn.init.normal_(head.weight, std=0.1, generator=torch.Generator().manual_seed(i))
    kept = {}

    def keep(x):
        kept[x.data_ptr()] = x.numel() * x.element_size()
        return x

    for parameter in (*guide.parameters(), *weights.values()):
        parameter.grad = None
    image = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    injection.guide(guide(image, torch.ones(4, 1, 32, 48)), scale=0.1)
    with saved_tensors_hooks(keep, lambda x: x):
        out = unet(**call).sample
    weighing = {p.data_ptr() for p in unet.parameters()}
    out.square().mean().backward()
    injection.remove()
    found = {n: p.grad.clone() for n, p in (*guide.named_parameters(), *weights.items())}
    return found, sum(size for place, size in kept.items() if place not in weighing)


@pytest.mark.parametrize("mid", [False, True])
def test_gradients_are_the_same_and_motion_modules_keep_nothing(mid):
    unet = make_unet("sd15", mid)
    plain, most = step(unet)
    unet.enable_gradient_checkpointing()
    _, some = step(unet)
    unet.disable_gradient_checkpointing()
    checkpointing.enable(unet)
    checkpointing.enable(unet)  # a second call does nothing
    assert checkpointing.is_enabled(unet)
    saved, least = step(unet)
    assert plain.keys() == saved.keys()
    assert max(float((plain[n] - saved[n]).abs().max()) for n in plain) == 0.0
    assert most > some > 2 * least  # diffusers' own switch leaves the motion modules' activations
    checkpointing.disable(unet)
    assert not checkpointing.is_enabled(unet)
    again, bytes_again = step(unet)
    assert bytes_again == pytest.approx(most, rel=0.01)
    assert not [m for m in unet.modules() if "forward" in m.__dict__]


def test_inference_is_not_slowed_down():
    unet = make_unet("sd15")
    checkpointing.enable(unet)
    calls = []
    module = unet.down_blocks[0].motion_modules[0]
    module.norm.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        unet(**request_of("sd15"))
    assert calls == [1]
