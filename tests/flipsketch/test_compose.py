"""Composed attention against a plain, slow statement of it, and what it must leave alone."""

import pytest
import torch
from sketch_models import clip, denoise, text, video_unet

from motionkit.methods.flipsketch.compose import Composer

LAMBDA = 0.5


def composer(**options):
    return Composer(denoise, video_unet(), **{"lambda_": LAMBDA} | options)


class Slow:
    """Attention that builds the whole matrix, told frame counts and saved tensors from outside (one video)."""

    def __init__(self, name, kept, factors):
        self.name, self.kept, self.factors = name, kept, factors

    def __call__(self, attn, x, encoder_hidden_states=None, attention_mask=None, **_):
        source = x if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (attn.head_to_batch_dim(y) for y in (attn.to_q(x), attn.to_k(source), attn.to_v(source)))
        first = self.name.endswith("attn1")
        if first and "temp_attentions" not in self.name and "transformer_in" not in self.name:
            if self.factors is None:
                self.kept[self.name] = q.unflatten(0, (-1, attn.heads)).clone()
            else:
                new = q.unflatten(0, (-1, attn.heads)).clone()
                new[: len(self.kept[self.name])] = self.kept[self.name]
                q = new.flatten(0, 1)
        logits = q @ k.transpose(1, 2) * attn.scale
        if first and ("temp_attentions" in self.name or "transformer_in" in self.name):
            if self.factors is None:
                self.kept[self.name] = k.clone()
            else:
                given = (q * self.kept[self.name][:, :1]).sum(-1) * attn.scale
                logits[..., 0] = given * self.factors
        return attn.to_out[0](attn.batch_to_head_dim(logits.softmax(-1) @ v))


@torch.no_grad()
def slowly(x, ref, prompt, null, factors):
    unet = video_unet()
    before, kept = unet.attn_processors, {}
    try:
        for latents, words, weights in ((ref, null, None), (x, prompt, factors)):
            unet.set_attn_processor({n: Slow(n.removesuffix(".processor"), kept, weights) for n in before})
            out = unet(latents, 500, words).sample
    finally:
        unet.set_attn_processor(before)
    return out


@pytest.mark.parametrize("frames", [1, 3, 4, 16], ids=lambda f: f"{f}-frames")  # 16 = the tokens of the middle block
@pytest.mark.parametrize("kept", [1, 3], ids=lambda n: f"N{n}")
@pytest.mark.parametrize("size", [(8, 8), (4, 12)], ids=["square", "wide"])
def test_it_is_what_the_paper_says(frames, kept, size):
    x, ref = clip(frames, *size), clip(min(kept, frames), *size, seed=5)
    with torch.no_grad(), composer().installed() as c:
        ours = c.composed(x, 500, text(), c.record(ref, 500, text(3))[1])
        plain = c.plain(x, 500, text())
    factors = 1 + LAMBDA * torch.arange(frames) / 50
    assert (ours - slowly(x, ref, text(), text(3), factors)).abs().max() < 1e-5
    assert (ours - plain).abs().max() > 1e-2


def test_the_papers_constant_factor():
    x, ref = clip(), clip(seed=5)
    with torch.no_grad(), composer(ramp="constant").installed() as c:
        ours = c.composed(x, 500, text(), c.record(ref, 500, text(3))[1])
    assert (ours - slowly(x, ref, text(), text(3), 1 + LAMBDA / 50)).abs().max() < 1e-5


@torch.no_grad()
def test_plain_passes_are_the_models_own():
    """With another text in each video of a batch, to the rounding of the cross-attention that is done once a video."""
    x, words = clip(3, 8, 12, batch=2), torch.cat([text(), text(4)])
    own = denoise(x, 500, words)
    with composer().installed() as c:
        assert (c.plain(x, 500, words) - own).abs().max() < 1e-5
        assert (c.record(x[:1], 500, words[:1])[0] - own[:1]).abs().max() < 1e-5
        assert (c.plain(x, torch.tensor(500), words) - own).abs().max() < 1e-5


@torch.no_grad()
def test_switched_off_it_is_plain_and_each_part_counts():
    x, ref = clip(), clip(seed=5)
    outs = {}
    for spatial in (True, False):
        for temporal in (True, False):
            with composer(spatial=spatial, temporal=temporal).installed() as c:
                outs[spatial, temporal] = c.composed(x, 500, text(), c.record(ref, 500, text(3))[1])
    assert (outs[False, False] - denoise(x, 500, text())).abs().max() < 1e-5
    values = list(outs.values())
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(values) for b in values[:i])


@torch.no_grad()
def test_a_video_composed_from_itself_stays_itself():
    x = clip()
    with composer(lambda_=0.0).installed() as c:
        out = c.composed(x, 500, text(), c.record(x, 500, text())[1])
    assert (out - denoise(x, 500, text())).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("ramp", ["per_frame", "constant"])
def test_a_larger_lambda_looks_more_at_the_reference(ramp):
    """The layers that look along time get nearer to the reference's frame: a stronger logit, where it is positive."""
    x, ref, changes = clip(), clip(seed=5), []
    for strength in (0.0, 0.5, 1.0):
        with composer(lambda_=strength, ramp=ramp, spatial=False).installed() as c:
            changes.append(c.composed(x, 500, text(), c.record(ref, 500, text(3))[1]))
    near, far = (changes[1] - changes[0]).abs().mean(), (changes[2] - changes[0]).abs().mean()
    assert 1.5 < far / near < 2.5


@torch.no_grad()
def test_in_a_batch_only_the_videos_from_first_on_are_composed():
    x, y, ref = clip(), clip(seed=7), clip(2, seed=5)
    with composer().installed() as c:
        recording = c.record(ref, 500, text(3))[1]
        words = torch.cat([text(4), text(), text()])
        out = c.composed(torch.cat([x, x, y]), 500, words, recording, first=1)
        assert (out[:1] - c.plain(x, 500, text(4))).abs().max() < 1e-5
        assert (out[1:2] - c.composed(x, 500, text(), recording)).abs().max() < 1e-5
        assert (out[2:] - c.composed(y, 500, text(), recording)).abs().max() < 1e-5


@torch.no_grad()
def test_all_layers_saves_the_second_temporal_attention_too():
    ref = clip(2, seed=5)
    with composer().installed() as c:
        some = c.record(ref, 500, text(3))[1]
    with composer(layers="all").installed() as c:
        more = c.record(ref, 500, text(3))[1]
    assert set(some.queries) == set(more.queries) and len(more.keys) == 2 * len(some.keys)
    assert {name.rpartition(".")[2] for name in some.keys} == {"attn1"}
    assert {name.rpartition(".")[2] for name in more.keys} == {"attn1", "attn2"}


@torch.no_grad()
def test_what_is_kept_is_spatial_queries_and_keys_of_one_frame():
    """No full-size copies: N frames of queries, one frame of keys, and nothing behind them in memory."""
    frames, height, width = 3, 8, 12
    with composer().installed() as c:
        recording = c.record(clip(frames, height, width), 500, text(3))[1]
    spatial = {n: q.shape for n, q in recording.queries.items()}
    assert set(spatial.values()) == {(frames, height * width, 8), (frames, height * width // 4, 16)}
    for name, keys in recording.keys.items():
        inner = video_unet().get_submodule(name).inner_dim
        assert keys.shape in ((height * width, inner), (height * width // 4, inner))
    everything = [*recording.queries.values(), *recording.keys.values()]
    assert all(t.untyped_storage().nbytes() == t.numel() * 4 for t in everything)
    assert recording.megabytes == pytest.approx(sum(t.numel() * 4 for t in everything) / 1e6)


def test_the_models_own_attention_comes_back():
    unet = video_unet()
    before = {name: id(processor) for name, processor in unet.attn_processors.items()}
    with pytest.raises(KeyError), composer().installed():
        raise KeyError
    assert {name: id(processor) for name, processor in unet.attn_processors.items()} == before


def test_attention_that_it_does_not_know_is_refused():
    site = video_unet().get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1")
    site.norm_q = torch.nn.Identity()
    try:
        with pytest.raises(ValueError, match="attn1: composed attention does not know norm_q"):
            composer()
    finally:
        site.norm_q = None


def test_one_reference_at_a_time():
    with composer().installed() as c, pytest.raises(ValueError, match="one reference"):
        c.record(clip(batch=2), 500, text(3, 2))


def test_more_rows_than_a_kernel_takes_are_split_and_give_the_same(monkeypatch):
    """65,536 places and more of a large clip: attention along time goes in several calls, with the bias of each."""
    from motionkit.methods.flipsketch import compose

    latents, seen = clip(3, seed=3, batch=2), []
    plain = compose.functional.scaled_dot_product_attention

    def counted(q, *arguments, **named):
        seen.append(q.shape[0] * q.shape[1])
        return plain(q, *arguments, **named)

    def run():
        made = composer()
        with torch.no_grad(), made.installed():
            _, recording = made.record(clip(3, seed=4), 300, text())
            return made.composed(latents, 300, text().expand(2, -1, -1), recording, first=1)

    monkeypatch.setattr(compose.functional, "scaled_dot_product_attention", counted)
    whole, most = run(), max(seen)
    seen.clear()
    monkeypatch.setattr(compose, "_PROBLEMS", 100)
    torch.testing.assert_close(run(), whole, rtol=1e-4, atol=1e-5)
    assert most > 100 >= max(seen)


@torch.no_grad()
@pytest.mark.parametrize("ramp", ["per_frame", "constant"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_channel_more_gives_what_the_mask_gives(monkeypatch, ramp, first):
    """Where kernels are faster without a mask; the CPU keeps the mask."""
    from motionkit.methods.flipsketch import compose

    masks, plain = [], compose.functional.scaled_dot_product_attention

    def watched(*given, attn_mask=None, **named):
        masks.append(attn_mask is not None)
        return plain(*given, attn_mask=attn_mask, **named)

    monkeypatch.setattr(compose.functional, "scaled_dot_product_attention", watched)
    x, ref, words, outs, masked = clip(5, batch=2), clip(3, seed=5), text(batch=2), {}, {}
    for mask in (None, True, False):
        with composer(ramp=ramp, mask=mask, lambda_=25.0).installed() as c:
            recording = c.record(ref, 500, text(3))[1]
            masks.clear()
            outs[mask], masked[mask] = c.composed(x, 500, words, recording, first), sum(masks)
    assert torch.equal(outs[None], outs[True]) and masked[None] == masked[True] > 0 == masked[False]
    torch.testing.assert_close(outs[False], outs[True], rtol=1e-4, atol=1e-5)
    with composer(lambda_=0.0).installed() as c:  # the change is far above the tolerance
        assert (c.composed(x, 500, words, recording, first) - outs[True]).abs().max() > 1e-3


def test_threads_that_overlap_leave_the_compiler_on():
    from torch._dynamo.testing import CompileCounter

    from motionkit.methods.flipsketch.eager import eager

    first, second, graphs = eager(), eager(), CompileCounter()
    double = torch.compile(lambda x: x * 2, backend=graphs)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    double(torch.ones(2))
    assert graphs.frame_count == 0
    second.__exit__(None, None, None)
    double(torch.ones(2))
    assert graphs.frame_count == 1


@pytest.mark.parametrize("mask", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_layers_compile_into_one_graph(mask):
    """`fullgraph` refuses any break; the recording, whose frames change at each step, is not compiled at all."""
    from torch._dynamo.testing import CompileCounter

    graphs, unet = CompileCounter(), video_unet()
    torch._dynamo.reset()
    compiled = torch.compile(unet, backend=graphs, fullgraph=True)
    made = Composer(lambda x, t, words: compiled(x, t, words).sample, unet, lambda_=LAMBDA, mask=mask)
    with torch.no_grad(), made.installed() as c:
        recording = c.record(clip(2, seed=5), torch.tensor(500), text(3))[1]
        assert graphs.frame_count == 0
        found = c.composed(clip(), torch.tensor(500), text(), recording)
        assert graphs.frame_count == 1
        c.composed(clip(seed=3), torch.tensor(300), text(4), c.record(clip(2), torch.tensor(300), text(3))[1])
        assert graphs.frame_count == 1
    with torch.no_grad(), composer(mask=mask).installed() as c:
        torch.testing.assert_close(
            found, c.composed(clip(), torch.tensor(500), text(), recording), rtol=1e-5, atol=1e-5
        )
    torch._dynamo.reset()
