"""Mamba along time: the chunked scan against its definition, one direction against transformers, the drop-in's call."""

import types

import pytest
import torch
from diffusers import UNet3DConditionModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel

from motionkit.backbones import selective_scan as scans
from motionkit.backbones.mamba import BiMamba, MambaTemporal

DOUBLE = {"dtype": torch.float64}


def arguments(n=2, t=7, e=3, s=4, seed=0, **kind):
    make = torch.Generator().manual_seed(seed)
    u, delta = (torch.randn(n, t, e, generator=make, **kind) for _ in range(2))
    b, c = (torch.randn(n, t, s, generator=make, **kind) for _ in range(2))
    a = -torch.rand(e, s, generator=make, **kind) * 3
    return [u, torch.nn.functional.softplus(delta), a, b, c]


def trained(module, seed=0):
    """The module with every parameter moved away from its start, so that nothing is zero or symmetric."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return module


@pytest.mark.parametrize("steps", [1, 2, 31, 32, 33, 100])
def test_the_chunked_scan_is_the_sequential_one(steps):
    given = arguments(t=steps, **DOUBLE)
    torch.testing.assert_close(scans.chunked_scan(*given), scans.sequential_scan(*given), rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 2, 5, 8, 16, 17, 40])
def test_chunks_beside_each_other_change_nothing(chunk):
    torch.manual_seed(0)
    decay, x = torch.rand(2, 17, 3, **DOUBLE), torch.randn(2, 17, 3, **DOUBLE)
    expected = x.clone()
    for t in range(1, 17):
        expected[:, t] += decay[:, t] * expected[:, t - 1]
    torch.testing.assert_close(scans.scan_(decay, x.clone(), chunk), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("enough", [1, 2**20], ids=["in order", "in chunks"])
def test_gradients_equal_those_of_the_sequential_scan(monkeypatch, enough):
    monkeypatch.setattr(scans, "_ENOUGH", enough)
    monkeypatch.setitem(scans._SEGMENT, "cpu", 16)
    monkeypatch.setitem(scans._BLOCK, "cpu", 16 * 12)  # one row at a time, three segments of time
    given = [x.requires_grad_() for x in arguments(n=3, t=37, **DOUBLE)]
    weight = torch.randn(3, 37, 3, **DOUBLE)
    ours = torch.autograd.grad((scans.chunked_scan(*given) * weight).sum(), given)
    theirs = torch.autograd.grad((scans.sequential_scan(*given) * weight).sum(), given)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)


def test_gradients_pass_the_finite_difference_check():
    assert torch.autograd.gradcheck(scans.chunked_scan, [x.requires_grad_() for x in arguments(t=5, **DOUBLE)])


def test_strong_decay_over_a_long_time_stays_finite():
    u, delta, a, b, c = arguments(t=600)
    y = scans.chunked_scan(u, delta * 50, a * 50, b, c)
    assert torch.isfinite(y).all()
    torch.testing.assert_close(y, scans.sequential_scan(u, delta * 50, a * 50, b, c), rtol=1e-4, atol=1e-3)


def test_half_precision_is_scanned_in_float32():
    given = arguments(t=40)
    rounded = [x.bfloat16() for x in given]
    y = scans.chunked_scan(*rounded)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, scans.sequential_scan(*(x.float() for x in rounded)), rtol=1e-4, atol=1e-4)


def test_autocast_leaves_the_scan_alone():
    given = arguments(t=9)
    with torch.autocast("cpu", torch.bfloat16):
        inside = scans.chunked_scan(*given)
    assert inside.dtype == torch.float32 and torch.equal(inside, scans.chunked_scan(*given))


def test_the_kernels_get_their_own_layout_and_give_ours(monkeypatch):
    def kernel(u, delta, a, b, c):  # as mamba-ssm's: time last
        assert u.shape == delta.shape == (2, 3, 7) and b.shape == c.shape == (2, 4, 7) and a.shape == (3, 4)
        assert all(x.is_contiguous() and x.dtype == torch.float32 for x in (u, delta, a, b, c))
        return scans.sequential_scan(*(x.transpose(1, 2) for x in (u, delta)), a, b.mT, c.mT).transpose(1, 2)

    given = arguments()
    torch.testing.assert_close(scans.through_kernel(kernel, *given), scans.chunked_scan(*given))
    scans._kernel.cache_clear()
    monkeypatch.setitem(
        __import__("sys").modules,
        "mamba_ssm.ops.selective_scan_interface",
        types.SimpleNamespace(selective_scan_fn=kernel),
    )
    monkeypatch.setitem(__import__("sys").modules, "mamba_ssm", types.ModuleType("mamba_ssm"))
    monkeypatch.setitem(__import__("sys").modules, "mamba_ssm.ops", types.ModuleType("mamba_ssm.ops"))
    assert scans._kernel() is kernel
    scans._kernel.cache_clear()


def test_one_direction_is_transformers_mixer_at_equal_weights():
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    config = MambaConfig(hidden_size=24, state_size=8, conv_kernel=4, expand=2, num_hidden_layers=1)
    theirs = trained(MambaMixer(config, layer_idx=0)).eval()
    ours = BiMamba(24, d_state=8, bidirectional=False)
    outer = ("in_proj", "out_proj")
    state = {k if k.startswith(outer) else f"ahead.{k}": v for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state, strict=True)
    x = torch.randn(3, 21, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=2e-5)


def test_a_block_sees_both_ways_and_one_direction_only_the_past():
    x = torch.randn(1, 12, 8)
    later = x.clone()
    later[:, 7] += 1
    for both in (True, False):
        block = trained(BiMamba(8, d_state=4, bidirectional=both))
        change = (block(later) - block(x)).abs().amax((0, 2))
        assert bool((change[:7] > 1e-6).all()) == both
        assert change[7] > 1e-4 and (change[8:] > 1e-7).all()


def test_the_backward_direction_is_the_forward_one_on_the_flipped_clip():
    block = trained(BiMamba(8, d_state=4))
    block.back.load_state_dict(block.ahead.state_dict())
    x = torch.randn(2, 9, 8)
    torch.testing.assert_close(block(x.flip(1)), block(x).flip(1), rtol=1e-4, atol=1e-5)


def test_the_drop_in_starts_as_the_identity_and_still_learns():
    module = MambaTemporal(16, d_state=4, norm_groups=8)
    x = torch.randn(2 * 5, 16, 3, 2)
    assert torch.equal(module(x, num_frames=5).sample, x)
    (module(x, num_frames=5, return_dict=False)[0] * torch.randn_like(x)).sum().backward()
    assert module.proj_out.weight.grad.abs().max() > 0


def test_clips_and_pixels_do_not_mix_except_in_the_norm():
    module = trained(MambaTemporal(16, d_state=4, norm_groups=8))
    x = torch.randn(2 * 5, 16, 3, 2)
    both = module(x, num_frames=5).sample
    alone = torch.cat([module(part, num_frames=5).sample for part in x.split(5)])
    torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-5)
    pixels = (module.norm(x.unflatten(0, (2, 5)).transpose(1, 2)))[..., 1, 0]  # (B, C, T)
    expected = x[:, :, 1, 0] + module.mix(pixels.transpose(1, 2)).flatten(0, 1)
    torch.testing.assert_close(both[:, :, 1, 0], expected, rtol=1e-4, atol=1e-5)


def test_pixels_in_turns_give_the_same_result():
    module = trained(MambaTemporal(16, d_state=4, norm_groups=8, layers=2))
    x = torch.randn(5, 16, 4, 4)
    with torch.no_grad():
        whole = module(x, num_frames=5).sample
        module.max_tokens = 15
        torch.testing.assert_close(module(x, num_frames=5).sample, whole, rtol=1e-5, atol=1e-6)


def test_it_stands_in_for_each_temporal_transformer_of_the_video_unet():
    torch.manual_seed(0)
    unet = UNet3DConditionModel(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=8,
        cross_attention_dim=16,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
    )
    sites = [(n, m) for n, m in unet.named_modules() if isinstance(m, TransformerTemporalModel)]
    for name, old in sites:
        parent, _, child = name.rpartition(".")
        setattr(unet.get_submodule(parent), child, trained(MambaTemporal(old.in_channels, d_state=4, norm_groups=4)))
    assert len(sites) >= 4 and not any(isinstance(m, TransformerTemporalModel) for m in unet.modules())
    x, text = torch.randn(1, 4, 6, 8, 8), torch.randn(1, 3, 16)
    out = unet(x, 10, text).sample
    out.square().mean().backward()
    assert out.shape == x.shape
    grads = [p.grad for m in unet.modules() if isinstance(m, MambaTemporal) for p in m.parameters()]
    assert all(g is not None and torch.isfinite(g).all() and g.abs().max() > 0 for g in grads)


def test_what_cannot_be_built_or_called_says_so():
    with pytest.raises(ValueError, match="at least 1"):
        BiMamba(8, d_state=0)
    with pytest.raises(ValueError, match="do not divide into clips"):
        MambaTemporal(8, norm_groups=4)(torch.randn(5, 8, 2, 2), num_frames=2)


def test_the_benchmark_measures_both_modules(capsys):
    import importlib.util
    import json
    from pathlib import Path

    path = Path(__file__).parents[2] / "benchmarks" / "mamba_scaling.py"
    spec = importlib.util.spec_from_file_location("benchmark_mamba_scaling", path)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    bench.main(["--frames", "8", "4", "--channels", "32", "--side", "1", "--rounds", "1"])
    out = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert out["frames"] == [4, 8] and out["weights"]["mamba"] == sum(p.numel() for p in MambaTemporal(32).parameters())
    for kind in ("", "train_"):
        for name in bench.MODULES:
            assert len(out[f"{kind}seconds_{name}"]) == 2 and min(out[f"{kind}seconds_{name}"]) > 0
            assert min(out[f"{kind}memory_mb_{name}"]) >= 0
    assert bench.faster_from([4, 8, 16], [9, 3, 2], [1, 4, 8]) == 8
    assert bench.faster_from([4, 8], [1, 9], [2, 3]) is None
