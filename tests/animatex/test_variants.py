"""The indicator as the paper's ablations vary it: what each variant reads, and that the published one is as it was."""

from dataclasses import replace

import pytest
import torch

from motionkit.errors import UserError
from motionkit.methods.animatex.net.config import POCKET, RELEASED, TINY, IndicatorConfig, from_dict
from motionkit.methods.animatex.net.indicator import ImplicitPoseIndicator
from motionkit.methods.animatex.net.sites import AppearanceMotion


def indicator(query):
    torch.manual_seed(0)
    made = ImplicitPoseIndicator(replace(TINY.indicator, query=query), TINY.feature_dim, TINY.context_dim).eval()
    for parameter in made.keypoints.query[2].parameters():  # new ones are zero: the keypoints would say nothing
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def tokens(query, keypoints, features):
    with torch.no_grad():
        return indicator(query)(keypoints, features)


@pytest.mark.parametrize(
    ("query", "keypoints_count", "features_count"),
    [("both", True, True), ("keypoints", True, True), ("learned", False, True), ("features", True, True)],
)
def test_what_each_query_reads(query, keypoints_count, features_count):
    g = torch.Generator().manual_seed(1)
    keypoints, features = torch.rand(2, 3, 2, 18, generator=g), torch.randn(2, 3, TINY.feature_dim, generator=g)
    base = tokens(query, keypoints, features)
    assert base.shape == (6, TINY.indicator.tokens, TINY.context_dim)
    assert (not torch.allclose(base, tokens(query, keypoints.flip(0), features))) == keypoints_count
    assert (not torch.allclose(base, tokens(query, keypoints, features.flip(0)))) == features_count


def test_without_the_learned_query_its_tokens_do_not_count():
    g = torch.Generator().manual_seed(1)
    keypoints, features = torch.rand(1, 2, 2, 18, generator=g), torch.randn(1, 2, TINY.feature_dim, generator=g)
    for query, counts in (("keypoints", False), ("both", True), ("learned", True)):
        made = indicator(query)
        with torch.no_grad():
            before = made(keypoints, features)
            made.resampler.latents.add_(torch.randn(made.resampler.latents.shape, generator=g))
            assert (not torch.allclose(before, made(keypoints, features))) == counts


def test_parallel_attention_reads_what_came_in():
    class Spy(torch.nn.Module):
        def added(self, x, kept):
            self.seen = x
            return torch.ones_like(x)

    for parallel in (False, True):
        config = replace(POCKET, parallel=parallel)
        site = AppearanceMotion(config, 48, 0)
        torch.nn.init.normal_(site.proj_out.weight)
        spy = site.motion.added = Spy().added
        x = torch.randn(2, 48, 4, 4, generator=torch.Generator().manual_seed(0))
        kept = tuple(torch.randn(1, 3, 5, 16) for _ in range(2))
        with torch.no_grad():
            out = site._frames(x, kept, kept)
            alone = site._frames(x, kept, kept) - 1  # what the appearance attention alone makes of it
        assert torch.equal(spy.__self__.seen, x) == parallel
        assert not torch.equal(out - 1, x) and torch.allclose(out - 1, alone)


def test_the_published_network_is_written_as_before():
    for config in (RELEASED, POCKET, TINY):
        written = config.as_dict()
        assert "parallel" not in written and "query" not in written["indicator"]
        assert from_dict(written) == config
    changed = replace(POCKET, parallel=True, indicator=replace(POCKET.indicator, query="learned"))
    assert from_dict(changed.as_dict()) == changed
    with pytest.raises(UserError, match="'learned'"):
        IndicatorConfig(query="learnt")


def test_a_run_without_variants_is_claimed_as_before(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from motionkit.methods.animatex import train
    from motionkit.methods.animatex.train_config import TrainOptions, VariantSettings

    claimed = []
    job = SimpleNamespace(seed=0, claim=claimed.append)
    network = SimpleNamespace(config=SimpleNamespace(temporal="transformer"))
    backbone = SimpleNamespace(fingerprint=lambda: "base", network=network)
    clips = SimpleNamespace(identity=lambda: "clips")
    for options in (TrainOptions(), TrainOptions(variant=VariantSettings(parallel=True))):
        train._same_run(job, options, backbone, clips, (128, 128))
    assert claimed[0]["temporal"] == "transformer"  # what the network has, whether it was asked for or not
    assert "variant" not in claimed[0] and claimed[1]["variant"] == {"query": "both", "parallel": True}


def test_the_weight_of_the_indicator_is_a_setting(request_):
    from motionkit.running.execute import execute

    def video(scale, keypoints=True):
        settings = {"sample": {"steps": 1}, "indicator_scale": scale, "indicator": keypoints}
        return execute("animatex", request_, config=settings, backbone="tiny-animatex", frames=2).frames

    full = video(1.0)
    assert (video(0.5) != full).any() and (video(1.0) == full).all()
    assert (video(0.0) == video(0.0, keypoints=False)).all()  # then nothing of the indicator counts
    with pytest.raises(UserError, match="method.indicator_scale=11"):
        video(11)


def test_a_variant_needs_a_new_indicator():
    from motionkit.backbones import catalog
    from motionkit.methods.animatex.train_config import TrainOptions, VariantSettings
    from motionkit.methods.animatex.train_model import start
    from motionkit.settings.gpu import Plan

    options = TrainOptions(backbone="tiny-animatex", variant=VariantSettings(query="learned"))
    with pytest.raises(UserError, match="train.variant needs"):
        start(catalog.get("tiny-animatex"), options, Plan(), 0)
