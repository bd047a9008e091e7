"""Named protocols: what they hold, their hash, what is skipped and why, and the pocket distances on sprites."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from motionkit import metrics
from motionkit.errors import UserError
from motionkit.metrics import judges, protocols
from motionkit.metrics.sets import SETS
from motionkit.sprites import render_clip
from motionkit.sprites.sampling import stream

OFFLINE = "sprites-v1"


@pytest.fixture(autouse=True)
def nothing_else_on_this_machine(tmp_path, monkeypatch):
    """No public weights, whatever the machine holds."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)


@pytest.fixture(scope="module")
def sprites():
    """16 true clips of held-out characters, (8, 64, 64, 3) each."""
    pairs = itertools.islice(stream(1, "test"), 16)
    return [render_clip(character, motion, 8, 64).frames for character, motion in pairs]


@pytest.fixture(scope="module")
def figures(sprites):
    """Ways to spoil the clips -> the figures of the offline protocol against the true ones."""
    rng = np.random.default_rng(0)

    def noise(sigma):
        return [np.clip(v + rng.normal(0, sigma, v.shape), 0, 255).astype(np.uint8) for v in sprites]

    spoilt = {
        "same": sprites,
        "frozen": [np.repeat(v[:1], len(v), axis=0) for v in sprites],
        "shuffled": [v[rng.permutation(len(v))] for v in sprites],
        **{f"noise {sigma}": noise(sigma) for sigma in (20, 60)},
    }
    return {name: protocols.get(OFFLINE).sets(videos, sprites) for name, videos in spoilt.items()}


def test_the_written_ones_are_known():
    assert protocols.names() == ["disco-2023", "known-v1", OFFLINE, "standard", "told-v1", "vbench-like-v1"]
    for name in protocols.names():
        protocol = protocols.get(name)
        assert protocol.name == name and protocol.version >= 1 and protocol.summary
        assert list(protocol.facts) == [*protocol.measures, *protocol.set_measures]


def test_the_hash_is_of_what_decides_a_figure(tmp_path, monkeypatch):
    plain = protocols.get("standard")
    assert plain.hash == protocols.get("standard").hash and len(plain.hash) == 64
    assert len({protocols.get(name).hash for name in protocols.names()}) == len(protocols.names())
    assert protocols.get("standard", least={"fvd": 16}).hash != plain.hash
    file = tmp_path / "vgg.safetensors"
    file.write_bytes(b"one")
    named = protocols.get("standard", {"vgg16": str(file)}).hash
    file.write_bytes(b"two")
    assert len({plain.hash, named, protocols.get("standard", {"vgg16": str(file)}).hash}) == 3
    offline = protocols.get(OFFLINE).hash
    monkeypatch.setattr(judges, "weights_path", lambda name: file)
    assert protocols.get(OFFLINE).hash != offline


def test_unknown_names_are_said_in_one_line():
    for call, words in (
        (lambda: protocols.get("sprite-v1"), "did you mean 'sprites-v1'"),
        (lambda: protocols.get(OFFLINE, {"vgg61": "x"}), "did you mean 'vgg16'"),
        (lambda: protocols.get(OFFLINE, least={"fvd": 16}), "pocket_fvd"),
        (lambda: protocols.get("standard", least={"fvd": 1}), "least.fvd=1"),
        (lambda: protocols.get("standard", least={"fvd": True}), "whole number"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"video": ["psrn"]}, "did you mean 'psnr'"),
        ({"sets": {"fdv": {}}}, "did you mean 'fvd'"),
        ({"sets": {"fvd": {"lest": 3}}}, "did you mean 'least'"),
        ({"metrics": []}, "unknown key of own.yaml"),
        ({"version": None}, "lacks version"),
    ],
)
def test_a_protocol_with_a_mistake_is_refused(change, words):
    data = {"name": "own", "version": 1, "summary": "", "video": ["psnr"], "sets": {}} | change
    data = {key: value for key, value in data.items() if value is not None}
    with pytest.raises(UserError, match=words):
        protocols.parse(data, "own.yaml")
    with pytest.raises(UserError, match="mapping"):
        protocols.parse([], "own.yaml")


def test_figures_of_a_video_are_those_of_a_comparison(sprites):
    video, truth = sprites[0], sprites[1]
    found = protocols.get(OFFLINE).video(video, truth=truth, reference=truth[0], prompt="a horse walking")
    for name, value in metrics.measure(video, None, truth, truth[0], "a horse walking").items():
        assert found[name] == value, name
    assert "motion_ratio" not in found


def test_what_was_not_given_is_not_measured(sprites):
    found = protocols.get(OFFLINE).video(sprites[0], driving=sprites[1])
    assert set(found) == {"warping_error", "motion_amount", "motion_ratio"} and None not in found.values()
    assert protocols.get(OFFLINE).video(sprites[0][:1], driving=sprites[1][:1])["motion_ratio"] is None


def test_missing_weights_are_named_with_size_and_licence(sprites):
    protocol = protocols.get("standard")
    found = protocol.video(sprites[0], truth=sprites[0], reference=sprites[0][0], prompt="a cat")
    assert found["psnr"] == 100 and found["lpips_vgg"] is None and found["clip_score"] is None
    assert {name for name, value in found.items() if value is None} <= set(protocol.missing)
    for name, line in protocol.missing.items():
        assert line.startswith(protocol.facts[name].title) and "\n" not in line and "GB" in line
    assert "BSD-3-Clause" in protocol.missing["lpips_vgg"] and "hf download" in protocol.missing["lpips_vgg"]
    sets = protocol.sets(sprites[:3], sprites[:3])
    assert sets["fvd"].value is None and "I3D" in sets["fvd"].skipped and sets["fvd"].n == 3


def test_the_published_variants_stand_beside_the_correct_ones(sprites):
    found = protocols.get("disco-2023").video(sprites[0], truth=sprites[1])
    assert found["psnr_uint8wrap"] > found["psnr"] and found["l1_per_hw"] < found["l1"]
    assert found["ssim_gray_resized"] != found["ssim"]


@pytest.mark.parametrize("name", ["fvd", "fid", "fid_vid", "pocket_fvd", "pocket_energy"])
def test_too_few_clips_are_refused_unless_told(name, sprites):
    measure = SETS[name]
    found = measure.call(sprites[:3], sprites[:3], measure.settings, {})
    assert found.value is None and f"least.{name}=" in found.skipped and found.n == 3
    assert SETS[name].call(sprites[:2], sprites[:2], {"least": 2, "frames": 1}, {}).value is None


def test_short_clips_are_refused(sprites):
    protocol = protocols.get(OFFLINE, least={"pocket_fvd": 3})
    short = [v[:3] for v in sprites[:4]]
    assert "at least 4 frames, one has 3" in protocol.sets(short, short)["pocket_fvd"].skipped


def test_sets_that_do_not_match_are_refused(sprites):
    for videos, truths in (([], []), (sprites[:2], sprites[:3])):
        with pytest.raises(ValueError, match="true videos"):
            protocols.get(OFFLINE).sets(videos, truths)


def test_identical_sets_have_no_distance(figures):
    for name, figure in figures["same"].items():
        assert figure.value == pytest.approx(0, abs=1e-6), name
        assert figure.skipped == "" and figure.n == 16


def test_the_pocket_distances_see_what_is_wrong(figures):
    for name in ("pocket_fvd", "pocket_energy"):
        frozen, shuffled = figures["frozen"][name], figures["shuffled"][name]
        assert frozen.low > shuffled.high > shuffled.low > 0, name
        assert figures["noise 60"][name].value > figures["noise 20"][name].value > 0, name
    assert figures["noise 60"]["pocket_fid"].value > 5 * figures["noise 20"]["pocket_fid"].value > 0
    assert figures["shuffled"]["pocket_fid"].value == pytest.approx(0, abs=1e-6)  # the same frames


def test_a_figure_says_what_so_few_clips_cost(figures):
    figure = figures["frozen"]["pocket_fvd"]
    assert "16 clips" in figure.note and 0 < float(figure.note.split()[0]) < figure.low


def test_no_block_of_the_clip_features_drowns_the_others(sprites):
    from motionkit.metrics import pocket

    features = np.concatenate([pocket.clip_features(v) for v in sprites])
    assert features.shape == (16, 60)
    for start, stop in ((0, 12), (12, 24), (24, 36), (36, 50), (50, 59), (59, 60)):
        assert 0.5 < np.sqrt(features[:, start:stop].var(0).sum()) < 1.6, (start, stop)


def test_wide_clips_are_padded_and_other_things_refused(sprites):
    from motionkit.metrics import pocket

    wide = np.pad(sprites[0], ((0, 0), (0, 0), (8, 8), (0, 0)), mode="edge")
    assert np.isfinite(pocket.clip_features(wide)).all() and len(pocket.frame_features(wide)) == 8
    with pytest.raises(ValueError, match="at least 4"):
        pocket.clip_features(sprites[0][:3])
    for call in (pocket.clip_features, pocket.frame_features):
        with pytest.raises(ValueError, match="uint8"):
            call(sprites[0] / 255)


def test_a_window_is_a_vector_of_its_own_and_its_clip_is_left_out_whole(monkeypatch):
    seen = []

    def features(video, settings, weights):
        seen.append((len(video), int(video[0, 0, 0, 0])))
        return video[:1, 0, 0, :1].astype(float) + np.eye(1, 3)

    measure = replace(SETS["fvd"], features=features)
    ramp = np.arange(5, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 2, 3), np.uint8)  # (5, 2, 2, 3)
    clips = [ramp + 9 * i for i in range(3)]
    told = {"least": 3, "frames": 3, "window": 3, "stride": 2}
    figure = measure.call(clips, clips, told, {})
    assert seen == [(3, start + 9 * i) for i in range(3) for start in (0, 2)] * 2 and figure.n == 3
    seen.clear()
    measure.call(clips, clips, told | {"window": 0}, {})
    assert seen == [(5, 9 * i) for i in range(3)] * 2
    assert protocols.get("disco-2023").set_measures["fvd"]["window"] == 16


def test_the_key_tells_which_weights_were_found_and_which_were_not(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    offline, standard = protocols.get(OFFLINE), [protocols.get("standard")]
    keys = [standard[0].key]
    assert offline.key == offline.hash != standard[0].hash != keys[0]
    (tmp_path / "metrics").mkdir()
    for content in (b"one", b"another"):
        (tmp_path / "metrics" / "i3d_pretrained_400.pt").write_bytes(content)
        standard.append(protocols.get("standard"))
        keys.append(standard[-1].key)
    assert len({one.hash for one in standard}) == 1 and len(set(keys)) == 3
