"""Figures after VBench: the definitions by hand, the networks on random weights, and torchmetrics around them."""

import json
import math

import numpy as np
import pytest
import torch

from motionkit.errors import MissingWeights, UserError
from motionkit.metrics import hub_models, needs, optical_flow, picture_features, protocols, steadiness
from motionkit.metrics.torch_metric import VideoMetric

NAME = "vbench-like-v1"
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def texture(side=48, seed=0):
    """A smooth random picture (side, side, 3) uint8 that flow can follow."""
    x = torch.from_numpy(np.random.default_rng(seed).random((1, 3, side // 6, side // 6)))
    grown = torch.nn.functional.interpolate(x, (side, side), mode="bicubic").clamp(0, 1)[0]
    return (grown.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def sliding(step, frames=6, side=96):
    """A picture that moves `step` pixels to the right in each frame, (F, side, side, 3) uint8."""
    wide = texture(2 * side)[:side]
    return np.stack([wide[:, side - step * f : 2 * side - step * f] for f in range(frames)])


def constant(x, y):
    return lambda one, two: np.broadcast_to([x, y], (*one.shape[:3], 2)).astype(float)


@pytest.fixture(autouse=True)
def nothing_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    """A folder with a small random ViT in DINO's layout."""
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    ViTModel(ViTConfig(**SMALL, image_size=32, patch_size=8), add_pooling_layer=False).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    return folder


def test_a_negative_cosine_counts_as_none():
    turned = np.array([[1.0, 0.0], [-1.0, 0.0], [-2.0, 0.0]])  # against first and previous: -1, -1; then -1, 1
    assert steadiness.feature_consistency(turned) == 0.25
    assert steadiness.feature_consistency(np.ones((3, 5))) == pytest.approx(1)
    for wrong in (np.ones((1, 5)), np.zeros((3, 5)), np.ones(3)):
        with pytest.raises(ValueError, match="vectors"):
            steadiness.feature_consistency(wrong)


def test_flow_finds_the_middle_frame_of_a_slide_and_none_does_not():
    clip = sliding(4)
    found = steadiness.interpolation_smoothness(clip, optical_flow.dis_flow)
    assert found > 0.97 > steadiness.interpolation_smoothness(clip, constant(0, 0))
    late = clip[[0, 0, 2, 2, 4, 4]]  # every second frame is the one before
    assert steadiness.interpolation_smoothness(late, optical_flow.dis_flow) < found - 0.01
    with pytest.raises(ValueError, match="three"):
        steadiness.interpolation_smoothness(clip[:2], constant(0, 0))


def test_frames_that_have_no_neighbour_after_them_are_left_out():
    clip = np.zeros((4, 8, 8, 3), np.uint8)
    clip[3] = 255  # frame 3 of four cannot be interpolated
    assert steadiness.interpolation_smoothness(clip, constant(0, 0)) == 1


def test_a_quarter_of_the_frames_have_to_move():
    def moving(pairs):
        def flow(one, two):
            found = np.zeros((*one.shape[:3], 2))
            found[:pairs, :2, :, 0] = 7.0  # 7 pixels, in the upper 2 of 16 rows
            return found

        return flow

    clip = np.zeros((16, 16, 256, 3), np.uint8)  # the shorter side is 16: over 6 / 16 pixels
    assert steadiness.is_dynamic(clip, moving(4)) and not steadiness.is_dynamic(clip, moving(3))
    assert not steadiness.is_dynamic(clip, constant(0.37, 0)) and steadiness.is_dynamic(clip, constant(0.38, 0))
    assert not steadiness.is_dynamic(clip[:2], constant(0, 0))  # VBench calls every clip of two frames dynamic
    with pytest.raises(ValueError, match="two frames"):
        steadiness.is_dynamic(clip[:1], constant(0, 0))


def test_a_clip_that_drifts_away_is_not_static():
    def drift(one, two):
        return np.array([[0.0] * (len(one) - 2) + [far, far]]).T[:, None, None] * np.ones((*one.shape[:3], 2)) / 2**0.5

    clip = np.zeros((16, 256, 256, 3), np.uint8)
    far = 11.9  # of 2 x 3 x 2 pixels
    assert steadiness.is_static(clip, drift)
    far = 12.1
    assert not steadiness.is_static(clip, drift)
    assert not steadiness.is_static(clip, constant(3.1, 0)) and steadiness.is_static(clip, constant(2.9, 0))


def test_what_slides_is_dynamic_and_what_stands_is_static():
    fast, still = sliding(8), sliding(0)
    assert steadiness.is_dynamic(fast, optical_flow.dis_flow) and not steadiness.is_static(fast, optical_flow.dis_flow)
    assert steadiness.is_static(still, optical_flow.dis_flow) and not steadiness.is_dynamic(
        still, optical_flow.dis_flow
    )


@pytest.mark.parametrize("size", [(8, 8), (20, 120), (120, 20)])
def test_small_and_flat_frames_have_flow_of_their_own_size(size):
    clip = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    assert optical_flow.dis_flow(clip[:2], clip[1:]).shape == (2, *size, 2)


def test_dino_sees_frames_as_the_model_called_by_hand(dino):
    from transformers import ViTModel

    clip = np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)
    x = torch.from_numpy(clip).permute(0, 3, 1, 2) / 255
    x = torch.nn.functional.interpolate(x, (32, 48), mode="bilinear", align_corners=False)  # shorter side 32
    with torch.no_grad():
        model = ViTModel.from_pretrained(dino, add_pooling_layer=False).eval()
        expected = model(pixel_values=(x - 0.5) / 0.25, interpolate_pos_encoding=True).last_hidden_state[:, 0].numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = picture_features.dino_embedding(clip, dino)
    assert np.allclose(found, expected, atol=1e-5)
    mean = (expected[1:] @ expected[0]).mean()
    assert picture_features.dino_consistency(clip, clip[0], dino) == pytest.approx(mean, abs=1e-5)
    with pytest.raises(ValueError, match="no frame"):
        picture_features.dino_consistency(clip[:1], clip[0], dino)


def test_another_model_is_not_dino(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(UserError, match="not DINO"):
        hub_models.locate("dino", tmp_path)


@pytest.fixture
def raft(tmp_path, monkeypatch):
    """torchvision's RAFT replaced by a network that returns its inputs' shapes, and its file."""
    import sys
    import types

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.zeros(()))

        def forward(self, one, two, num_flow_updates):
            assert one.min() >= -1 and one.max() <= 1 and num_flow_updates == 20
            assert min(one.shape[-2:]) >= 128 and not any(side % 8 for side in one.shape[-2:])
            shift = torch.stack([one[:, 0], two[:, 0]], 1)  # x: of the frame, y: of its target
            return [torch.zeros_like(shift), self.scale * shift]

    module = types.ModuleType("torchvision.models.optical_flow")
    module.raft_large = lambda weights: Net()
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", module)
    monkeypatch.setattr(needs, "_installed", lambda module: True)
    file = tmp_path / "raft_large_C_T_V1-22a6c225.pth"
    torch.save({"scale": torch.tensor(2.0)}, file)
    return file


def test_raft_is_fed_as_it_expects_and_its_last_flow_is_taken(raft):
    clip = np.zeros((6, 100, 140, 3), np.uint8)
    clip[1:] = 255
    found = optical_flow.raft_flow(clip[:-1], clip[1:], raft)
    assert found.shape == (5, 100, 140, 2) and np.allclose(found[0], [-2, 2]) and np.allclose(found[1:], 2)
    figures = protocols.get(NAME, {"raft": str(raft)}).video(clip)
    assert figures["dynamic_degree"] == 1 and figures["temporal_flicker"] is None  # 8 ** 0.5 is over 6 * 100 / 256


def test_another_file_is_not_raft(raft, tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, other)
    with pytest.raises(UserError, match="RAFT"):
        optical_flow.raft_flow(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8), other)


def test_torchvisions_raft_reads_a_file_of_its_own(tmp_path):
    flows = pytest.importorskip("torchvision.models.optical_flow")
    torch.manual_seed(0)
    net = flows.raft_large(weights=None).eval()
    torch.save(net.state_dict(), tmp_path / "raft.pth")
    clip = np.stack([texture(128, seed) for seed in range(2)])
    found = optical_flow.raft_flow(clip[:1], clip[1:], tmp_path / "raft.pth")
    x = torch.from_numpy(clip).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        expected = net(x[:1], x[1:], num_flow_updates=20)[-1]
    assert np.allclose(found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-4)


def test_offline_the_stand_ins_have_values_and_the_networks_their_reasons():
    protocol, clip = protocols.get(NAME), sliding(8)
    found = protocol.video(clip)
    by_network = {
        name for name, fact in protocol.facts.items() if fact.by in [need.title for need in needs.NEEDS.values()]
    }
    assert by_network == {n for n, v in found.items() if v is None} - {"dis_temporal_flicker"} == set(protocol.missing)
    assert found["dis_dynamic_degree"] == 1 and found["dis_temporal_flicker"] is None  # it moves
    still = protocol.video(sliding(0))
    assert still["dis_dynamic_degree"] == 0 and still["dis_temporal_flicker"] == 1
    assert still["dis_motion_smoothness"] == still["pocket_subject_consistency"] == pytest.approx(1)
    assert 0 <= found["pocket_background_consistency"] < 1
    assert set(protocol.video(clip[:1]).values()) == {None}


def test_dino_stands_in_the_standard_protocol(dino):
    clip = sliding(2)
    assert "hf download facebook/dino-vitb16" in protocols.get("standard").missing["dino_consistency"]
    found = protocols.get("standard", {"dino": str(dino)}).video(clip, reference=clip[0])["dino_consistency"]
    assert found == pytest.approx(picture_features.dino_consistency(clip, clip[0], dino))
    own = protocols.get(NAME, {"dino": str(dino)}).video(clip)["subject_consistency"]
    assert own == pytest.approx(steadiness.feature_consistency(picture_features.dino_embedding(clip, dino)))


def test_a_torchmetric_is_the_mean_over_the_clips_that_have_a_value():
    metric = VideoMetric("dis_temporal_flicker")
    assert metric.higher_is_better
    with pytest.warns(UserWarning, match="before"):
        assert math.isnan(metric.compute())
    metric.reset()
    blink = sliding(0)
    blink[1] //= 2
    for clip in (sliding(0), torch.from_numpy(sliding(8))):  # the second moves and has none
        metric.update(clip)
    assert metric.compute() == 1 and metric.clips == 1
    once = float(metric(sliding(0)))
    metric.reset()
    assert once == 1 and metric.clips == 0
    both = VideoMetric("psnr")
    both.update(blink, truth=blink)
    assert both.compute() == 100
    with pytest.raises(ValueError, match="truth="):
        both.update(blink)
    with pytest.raises(MissingWeights, match="dino"):
        VideoMetric("subject_consistency")
    with pytest.raises(UserError, match="did you mean"):
        VideoMetric("subject_consistencies")


def test_a_torchmetric_uses_the_weights_that_it_is_given(dino):
    metric = VideoMetric("subject_consistency", {"dino": str(dino)})
    metric.update(sliding(4))
    assert 0 < metric.compute() <= 1 and metric.fact.by == "DINO ViT-B/16"
