"""The processors on a tiny UNetMotionModel: what changes, what must not, and who sees whom."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from vidmp3_models import SIZES, make_unet, request_of

from motionkit.errors import UserError
from motionkit.methods.vidmp3 import inject
from motionkit.methods.vidmp3.guide import MotionGuide
from motionkit.methods.vidmp3.inject import GuideContext, GuidedValuesProcessor, Subject, grid_of, guide_sites, install

SITE = "down_blocks.0.motion_modules.0.transformer_blocks.0.attn1"


@pytest.fixture(scope="module")
def nets():
    made = {}
    return lambda kind, mid=None: made.setdefault((kind, mid), make_unet(kind, mid))


@pytest.fixture
def placed(nets):
    """Install on a shared net, and clear up afterwards."""
    there = []

    def place(kind, **options):
        there.append(install(nets(kind), **options))
        return there[-1]

    yield place
    for injection in there:
        injection.remove()


@torch.no_grad()
def run(unet, call):
    return unet(**call).sample


def phi_of(sites, frames, seed=0, size=1.0):
    g = torch.Generator().manual_seed(seed)
    return {name: size * torch.randn(frames, width, generator=g) for name, width in sites.items()}


def test_a_guide_at_its_start_changes_no_bit(kind, placed):
    injection, call = placed(kind), request_of(kind)
    plain = run(injection.unet, call)
    guide = MotionGuide(injection.sites)
    image, mask = torch.rand(4, 3, 32, 48), torch.ones(4, 1, 32, 48)
    injection.guide(guide(image, mask), scale=0.1)
    assert torch.equal(run(injection.unet, call), plain)
    injection.guide(phi_of(injection.sites, 4), scale=0.1)
    assert not torch.allclose(run(injection.unet, call), plain, atol=1e-4)
    injection.guide(phi_of(injection.sites, 4), scale=0.0)
    assert torch.equal(run(injection.unet, call), plain)


def test_without_guide_and_sparse_attention_it_is_the_stock_net(kind, nets):
    unet, call = nets(kind), request_of(kind)
    stock, before = run(unet, call), dict(unet.attn_processors)
    keys = set(unet.state_dict())
    injection = install(unet, sparse_causal=False)
    torch.testing.assert_close(run(unet, call), stock, rtol=1e-5, atol=1e-6)
    assert set(unet.state_dict()) == keys  # plain objects leave no trace there
    injection.remove()
    assert unet.attn_processors == before and torch.equal(run(unet, call), stock)


@pytest.mark.parametrize(("name", "mid", "count"), [("sd15", False, 40), ("sd15", True, 42), ("sdxl", False, 30)])
def test_every_temporal_attention_is_guided_and_no_cross_attention(name, mid, count, nets):
    unet = nets(name, mid)
    injection = install(unet)
    kinds = {key: type(p).__name__ for key, p in unet.attn_processors.items()}
    injection.remove()
    guided = {key for key, p in kinds.items() if p == "GuidedValuesProcessor"}
    assert len(guided) == count and all("motion_modules" in key for key in guided)
    assert {key.rsplit(".", 2)[-2] for key in guided} == {"attn1", "attn2"}
    sparse = {key for key, p in kinds.items() if p == "SparseCausalProcessor"}
    assert sparse == {k for k in kinds if "motion_modules" not in k and ".attn1." in k}
    assert len(sparse) == (70 if name == "sdxl" else 16)


@pytest.mark.parametrize(("sites", "blocks", "count"), [("attn1", "all", 20), ("attn2", "down", 8), ("all", "up", 24)])
def test_sites_and_blocks_can_be_chosen(sites, blocks, count, nets):
    chosen = guide_sites(nets("sd15"), sites, blocks)
    assert len(chosen) == count
    assert set(chosen.values()) == {8, 16} and all(sites in ("all", name.rsplit(".", 1)[-1]) for name in chosen)


def test_values_carry_phi_in_the_papers_own_form(nets, draw):
    """Eq. 4 written out, V = W_V (z + lambda phi), against the cheaper form in the processor."""
    attn = nets("sd15").get_submodule(SITE)
    x, phi = torch.randn(6, 4, 8, generator=draw), torch.randn(4, 8, generator=draw)
    context = GuideContext(subjects=[Subject({SITE: phi})], scale=0.3)
    found = GuidedValuesProcessor(context, SITE)(attn, x)
    query, key, value = attn.to_q(x), attn.to_k(x), attn.to_v(x + 0.3 * phi)
    parts = [t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (query, key, value)]
    weights = torch.softmax(parts[0] @ parts[1].transpose(-1, -2) / 2, -1)  # heads of 4 channels
    expected = attn.to_out[0]((weights @ parts[2]).transpose(1, 2).flatten(2))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_constant_phi_shifts_all_frames_and_places_alike(nets, draw):
    attn = nets("sd15").get_submodule(SITE)
    x, phi = torch.randn(6, 4, 8, generator=draw), torch.randn(1, 8, generator=draw).expand(4, -1)
    context = GuideContext()
    process = GuidedValuesProcessor(context, SITE)
    plain = process(attn, x)
    context.subjects, context.scale = [Subject({SITE: phi})], 0.5
    shift = 0.5 * phi[0] @ attn.to_v.weight.T @ attn.to_out[0].weight.T
    torch.testing.assert_close(process(attn, x) - plain, shift.expand_as(plain), rtol=1e-4, atol=1e-5)
    context.centre = True
    torch.testing.assert_close(process(attn, x), plain, rtol=1e-5, atol=1e-6)


def test_one_frame_attends_to_itself(kind, placed):
    call = request_of(kind, frames=1)
    injection = placed(kind)
    ours = run(injection.unet, call)
    injection.remove()
    torch.testing.assert_close(ours, run(injection.unet, call), rtol=1e-5, atol=1e-6)


def test_a_frame_sees_the_first_the_one_before_and_itself_through_its_query(placed, draw):
    injection = placed("sd15")
    injection.context.frames = 5
    attn = injection.unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1")
    x = torch.randn(5, 3, 16, generator=draw)  # (F,tokens,C)
    jacobian = torch.autograd.functional.jacobian(lambda z: attn(z).sum((1, 2)), x).abs().sum((2, 3))  # (F,F)
    expected = {(f, k) for f in range(5) for k in (0, max(f - 1, 0), f)}
    assert {(f, k) for f in range(5) for k in range(5) if jacobian[f, k] > 1e-6} == expected
    # frame f itself is a query only: with the query cut off, nothing of it is left
    attn.to_q.forward, stock = lambda z: stock(z).detach(), attn.to_q.forward
    try:
        cut = torch.autograd.functional.jacobian(lambda z: attn(z).sum((1, 2)), x).abs().sum((2, 3))
    finally:
        del attn.to_q.forward
    assert all(cut[f, f] < 1e-6 for f in range(1, 5)) and cut[0, 0] > 1e-6


def test_both_halves_of_a_guided_batch_get_phi(kind, placed):
    injection = placed(kind)
    one, call = request_of(kind), request_of(kind)
    for key in ("sample", "timestep"):
        call[key] = call[key].repeat_interleave(2, 0)
    call["encoder_hidden_states"] = call["encoder_hidden_states"].repeat(2, 1, 1)
    if kind == "sdxl":
        call["added_cond_kwargs"] = {k: v.repeat(2, 1) for k, v in call["added_cond_kwargs"].items()}
    injection.guide(phi_of(injection.sites, 4), scale=0.2)
    both, single = run(injection.unet, call), run(injection.unet, one)
    for half in both:
        torch.testing.assert_close(half, single[0], rtol=1e-4, atol=1e-5)


def test_two_subjects_add_up_and_gates_place_them(placed, draw):
    injection, call = placed("sd15"), request_of("sd15", batch=1)
    first, second = phi_of(injection.sites, 4, 1), phi_of(injection.sites, 4, 2)
    injection.guide({k: first[k] + second[k] for k in first}, scale=0.1)
    together = run(injection.unet, call)
    injection.guide(first, Subject(second, gate=torch.ones(1, 8, 12)), scale=0.1)
    torch.testing.assert_close(run(injection.unet, call), together, rtol=1e-4, atol=1e-5)
    injection.guide(first, Subject(second, gate=torch.zeros(4, 8, 12)), scale=0.1)
    closed = run(injection.unet, call)
    injection.guide(first, scale=0.1)
    torch.testing.assert_close(closed, run(injection.unet, call), rtol=1e-5, atol=1e-6)


def test_a_gate_lands_on_its_own_places_and_frames(nets):
    """Rows are batch, then height, then width; the gate opens in frame 2 at one place of the half-size level."""
    attn = nets("sd15").get_submodule(SITE)
    gate = torch.zeros(4, 8, 12)
    gate[2, 4:6, 6:8] = 1
    context = GuideContext(4, batch=2, size=(8, 12), scale=1.0)
    context.subjects = [Subject({SITE: torch.ones(4, 8)}, gate)]
    added = context.values(SITE, attn, torch.zeros(2 * 4 * 6, 4, 8)).view(2, 4, 6, 4, 8)
    assert set(map(tuple, added.abs().sum(-1).nonzero().tolist())) == {(b, 2, 3, 2) for b in range(2)}
    torch.testing.assert_close(added[0, 2, 3, 2], attn.to_v.weight.sum(1))


def test_levels_of_the_unet_are_told_by_their_tokens():
    assert [grid_of(n, (56, 96)) for n in (5376, 1344, 336, 84)] == [(56, 96), (28, 48), (14, 24), (7, 12)]
    assert grid_of(2 * 3, (7, 9)) == (2, 3)
    assert grid_of(1, (1, 1)) == (1, 1)
    with pytest.raises(ValueError, match="no level"):
        grid_of(5, (8, 8))


def test_many_rows_go_in_several_calls(nets, draw, monkeypatch):
    attn, x = nets("sd15").get_submodule(SITE), torch.randn(7, 4, 8, generator=draw)
    process = GuidedValuesProcessor(GuideContext(), SITE)
    whole = process(attn, x)
    monkeypatch.setattr(inject, "_PROBLEMS", 4)
    torch.testing.assert_close(process(attn, x), whole)


def test_mistakes_are_named(placed, nets):
    injection = placed("sd15")
    with pytest.raises(ValueError, match="nowhere"):
        injection.guide({"nowhere": torch.zeros(4, 8)}, scale=0.1)
    injection.guide(phi_of(injection.sites, 3), scale=0.1)
    with pytest.raises(ValueError, match="3 frames.* 4"):
        run(injection.unet, request_of("sd15"))
    with pytest.raises(UserError, match="all in mid"):
        guide_sites(nets("sd15"), blocks="mid")
    with pytest.raises(UserError, match="choice of blocks"):
        guide_sites(nets("sd15"), blocks="middle")
    image = UNet2DConditionModel(layers_per_block=1, norm_num_groups=4, **SIZES["sd15"])
    with pytest.raises(UserError, match="no temporal attention"):
        install(image)
    odd = make_unet("sd15")
    odd.get_submodule(SITE).to_v = torch.nn.Linear(8, 8)
    with pytest.raises(UserError, match="has a bias"):
        install(odd)
    assert isinstance(odd.get_submodule(SITE), Attention)
