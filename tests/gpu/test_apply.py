"""A plan in effect on a loaded backbone: read back, and without changing what it computes."""

import shutil

import pytest
import torch
from torch import nn

from motionkit.backbones import load, placement
from motionkit.settings import gpu
from motionkit.settings.gpu import Plan


def randn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def outputs(backbone):
    text = backbone.encode_text(["a red cat"])
    frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    latents = backbone.encode(frames)
    return latents, backbone.denoise(randn(1, 4, 2, 16, 16), 300, text), backbone.decode(latents)


@pytest.fixture(scope="module")
def plain():
    return outputs(load("tiny-sd", Plan()))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(channels_last=True),
        Plan(vae_slicing=False),
        Plan(vae_tiling=True),
        Plan(offload="model"),
        Plan(offload="group"),
        Plan(checkpointing=True),
    ],
    ids=["channels_last", "no slicing", "tiling", "model offload", "group offload", "checkpointing"],
)
def test_switches_do_not_change_the_result(plan, plain):
    for found, expected in zip(outputs(load("tiny-sd", plan)), plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_switches_are_really_set():
    backbone = load("tiny-sd", Plan(channels_last=True, vae_tiling=True, checkpointing=True))
    assert backbone.vae.use_tiling and backbone.unet.is_gradient_checkpointing
    assert backbone.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert backbone.plan.notes == ("vae_tiling: above 64 px a side",)
    assert backbone.fresh_unet().is_gradient_checkpointing


def test_the_attention_is_read_back_from_the_processors():
    assert load("tiny-sd", Plan()).plan.attention == "sdpa"
    backbone = load("tiny-sd", Plan(attention="xformers"))
    assert backbone.plan.attention == "xformers"
    kinds = {type(p).__name__ for p in backbone.unet.attn_processors.values()}
    assert kinds == {"XFormersAttnProcessor"}
    backbone.unet.set_attention_backend("native")  # diffusers' own switch: accepted, and nothing happens
    assert {type(p).__name__ for p in backbone.unet.attn_processors.values()} == kinds


def test_diffusers_caches_do_not_exist_on_this_unet():
    """The reason for which gpu.cache is refused."""
    assert not hasattr(load("tiny-sd", Plan()).unet, "enable_cache")


def test_model_offload_keeps_one_part_on_the_device(monkeypatch):
    backbone = load("tiny-sd", Plan(offload="model"))
    backbone.device = torch.device("cuda")
    where = {}

    def watched(name, part):
        def to(device):
            where[name] = torch.device(device).type
            return part

        monkeypatch.setattr(part, "to", to)
        return part

    vae, unet, text = (watched(n, p) for n, p in zip(("vae", "unet", "text"), backbone.parts(), strict=True))
    tuned = watched("tuned", nn.Linear(1, 1))
    backbone._use(text)
    assert where == {"text": "cuda"}
    backbone._use(vae)
    backbone._use(vae)
    assert where == {"text": "cpu", "vae": "cuda"}
    backbone._use(tuned)
    backbone._use(unet)
    assert where == {"text": "cpu", "vae": "cpu", "tuned": "cpu", "unet": "cuda"}


def test_group_offload_hooks_a_tuned_unet_as_it_is_when_first_used():
    backbone = load("tiny-sd", Plan(offload="group"))
    unet = backbone.fresh_unet()
    unet.conv_out = nn.Conv2d(8, 4, 1).requires_grad_(False)  # a method rebuilds it before it is used
    text = backbone.encode_text(["a cat"])
    out = backbone.denoise(randn(1, 4, 1, 16, 16), 300, text, unet=unet)
    assert unet._motionkit_offloaded and out.shape == (1, 4, 1, 16, 16)


class Far:
    """Weights that are away hold NaN: what computes with them without asking for them shows."""

    def __init__(self, monkeypatch):
        from diffusers.hooks.group_offloading import ModuleGroup

        self.real = {}
        monkeypatch.setattr(ModuleGroup, "onload_", lambda group: self.fetch(self.of(group)))
        monkeypatch.setattr(ModuleGroup, "offload_", lambda group: self.send(self.of(group)))
        monkeypatch.setattr(
            placement, "move", lambda module, device: self.turn([*module.parameters(), *module.buffers()])
        )

    def of(self, group):
        held = [t for m in group.modules for t in (*m.parameters(), *m.buffers())]
        return held + [*(group.parameters or ()), *(group.buffers or ())]

    def send(self, tensors):
        for tensor in tensors:
            if tensor.is_floating_point() and id(tensor) not in self.real:
                self.real[id(tensor)] = tensor.data
                tensor.data = torch.full_like(tensor.data, float("nan"))

    def turn(self, tensors):
        (self.fetch if any(id(tensor) in self.real for tensor in tensors) else self.send)(tensors)

    def fetch(self, tensors):
        for tensor in tensors:
            if id(tensor) in self.real:
                tensor.data = self.real.pop(id(tensor))


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-modelscope", "tiny-animatex", "tiny-animatex-mamba"])
def test_group_offload_fetches_every_weight_that_is_used(name, monkeypatch):
    from motionkit.methods.animatex.net import Conditions

    def made(backbone):
        text, x = backbone.encode_text(["a cat"]), randn(1, 4, 2, 16, 16)
        if "animatex" not in name:
            return backbone.denoise(x, 300, text)
        return backbone.denoise(x, 300, prepared=backbone.prepare(Conditions(text, 2)))

    plain, backbone = made(load(name, Plan())), load(name, Plan())
    far = Far(monkeypatch)
    for part in backbone.parts():
        placement.group_offload(part, "cpu")  # the hooks are diffusers' and ours, the places are not real
    assert len(far.real) > 50
    assert torch.equal(made(backbone), plain), "and no NaN"
    assert len(far.real) > 50, "all are away again"


def test_bfloat16_autocast_keeps_float32_weights_and_results(plain):
    backbone = load("tiny-sd", Plan(autocast="bfloat16"))
    assert {p.dtype for part in backbone.parts() for p in part.parameters()} == {torch.float32}
    seen = []
    backbone.unet.conv_out.register_forward_hook(lambda module, x, y: seen.append(y.dtype))
    found = outputs(backbone)
    assert seen == [torch.bfloat16] and all(x.dtype == torch.float32 for x in found)
    for x, expected in zip(found, plain, strict=True):
        assert 0 < float((x - expected).abs().max()) < 0.1 * float(expected.abs().max())


def test_a_float32_layer_can_be_trained_inside_a_half_precision_unet():
    backbone = load("tiny-sd", Plan(dtype="bfloat16", autocast="bfloat16"))
    unet = backbone.fresh_unet()
    layer = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    nn.Module.to(layer, torch.float32).requires_grad_(True)
    backbone.denoise(randn(1, 4, 2, 16, 16), 300, backbone.encode_text(["a cat"]), unet=unet).mean().backward()
    assert layer.weight.grad.dtype == torch.float32 and layer.weight.grad.abs().sum() > 0


def test_checkpointing_gives_the_same_gradients():
    grads = []
    for plan in (Plan(), Plan(checkpointing=True)):
        backbone = load("tiny-sd", plan)
        unet = backbone.fresh_unet().requires_grad_(True)
        x = randn(1, 4, 2, 16, 16)
        backbone.denoise(x, 300, backbone.encode_text(["a cat"]), unet=unet).pow(2).mean().backward()
        grads.append(unet.conv_in.weight.grad)
    torch.testing.assert_close(*grads)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compile_is_effective_and_exact(plain):
    backbone = load("tiny-sd", Plan(compile=True))
    assert backbone.plan.compile and backbone.unet._compiled_call_impl is not None
    torch.testing.assert_close(outputs(backbone)[1], plain[1], rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("tier", [t for t in gpu.TIERS if t not in ("cpu", "mps")])
def test_the_tiers_on_a_real_card(tier, plain):
    backbone = load("tiny-sd", gpu.resolve(gpu.GpuConfig(tier), gpu.detect()))
    for found, expected in zip(outputs(backbone), plain, strict=True):
        assert float((found.cpu() - expected).abs().max()) < 0.1 * float(expected.abs().max())
