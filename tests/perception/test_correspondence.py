"""Correspondence: matching on features that are known, then the networks that give features."""

from contextlib import nullcontext
from functools import lru_cache

import numpy as np
import pytest
import tiny_networks
import torch
from diffusers import DDIMScheduler

from motionkit.backbones import catalog, load, tiny_motion
from motionkit.errors import MissingWeights, UserError
from motionkit.perception import dense_features, matching
from motionkit.perception.correspondence import CorrespondenceSettings, correspond
from motionkit.settings.gpu import Plan
from motionkit.sprites import Motion, character, render_clip
from motionkit.sprites.sampling import stream


def _identity(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x / (width - 1) * 2 - 1, y / (height - 1) * 2 - 1], -1).astype(np.float32)


def _moving(shift=6):
    """A square whose every pixel has features of its own, two frames, the second moved to the right."""
    masks = np.zeros((2, 32, 48), bool)
    masks[0, 8:24, 6:22] = masks[1, 8:24, 6 + shift : 22 + shift] = True
    codes = torch.randn(64, 16, 16, generator=torch.Generator().manual_seed(0))
    features = torch.randn(2, 64, 32, 48, generator=torch.Generator().manual_seed(1))
    for f, left in enumerate((6, 6 + shift)):
        features[f, :, 8:24, left : left + 16] = codes
    return features, masks


def test_each_pixel_finds_its_own_in_the_first_frame():
    features, masks = _moving()
    points = matching.match_features([[features]], masks, side=48)
    assert np.isfinite(points).all(-1).tolist() == masks.tolist()
    here = _identity(32, 48)
    assert np.allclose(points[0][masks[0]], here[masks[0]], atol=1e-5)
    assert np.allclose(points[1][masks[1]], np.roll(here, 6, 1)[masks[1]], atol=1e-5)


def test_what_is_off_the_subject_is_never_matched():
    """The background of frame 0 holds the very features of frame 1's subject, and does not count."""
    features, masks = _moving()
    other = features.clone()
    other[0, :, 8:24, 28:44] = features[1, :, 8:24, 12:28] * 3
    points = [matching.match_features([[x]], masks, side=48)[masks] for x in (other, features)]
    assert np.allclose(*points)


def test_groups_count_the_same_whatever_their_length():
    features, masks = _moving()
    misleading = torch.randn(2, 8, 32, 48, generator=torch.Generator().manual_seed(3))
    weak = matching.match_features([[features], [misleading]], masks, side=48)
    strong = matching.match_features([[features], [misleading * 1000]], masks, side=48)
    assert np.allclose(weak[masks], strong[masks])
    joined = matching.match_features([[features, misleading * 1000]], masks, side=48)
    assert not np.allclose(joined[masks], weak[masks])


def test_a_coarse_grid_costs_its_cell_and_no_more():
    features, masks = _moving()
    exact = np.roll(_identity(32, 48), 6, 1)[masks[1]]
    rough = matching.match_features([[features]], masks, side=24)[1][masks[1]]
    assert np.abs((rough - exact) * [47 / 2, 31 / 2]).max() <= 2.0  # pixels


def test_hidden_frames_stay_empty_and_a_speck_is_matched():
    features, masks = _moving()
    features, masks = torch.cat([features, features[:1]]), np.concatenate([masks, np.zeros((1, 32, 48), bool)])
    points = matching.match_features([[features]], masks, side=12)
    assert not np.isfinite(points[2]).any()
    masks[2, 9, 7] = True  # less than half of any cell
    points = matching.match_features([[features]], masks, side=12)
    assert np.isfinite(points[2]).all(-1).sum() == 1


def test_the_components_are_those_of_the_subject_alone(rng):
    """Directions in which only the background varies are dropped, and distances on the subject stay."""
    masks = np.zeros((2, 8, 8), bool)
    masks[:, 2:6, 2:6] = True
    features = torch.zeros(2, 6, 8, 8)
    features[:, :2] = torch.from_numpy(rng.normal(size=(2, 2, 8, 8))).float()
    features[:, 2:] = torch.from_numpy(50 * rng.normal(size=(2, 4, 8, 8)) * ~masks[:, None]).float()
    small = matching.reduce(features, masks, 2)
    assert small.shape == (2, 2, 8, 8)
    rows, kept = (x.movedim(1, -1)[torch.from_numpy(masks)] for x in (features, small))
    assert torch.allclose(torch.cdist(rows, rows), torch.cdist(kept, kept), atol=1e-3)
    assert matching.reduce(features, masks, 256).shape[1] == 6
    assert torch.equal(matching.reduce(features, masks, 2), small)


def test_the_median_takes_a_lone_error_out_and_keeps_edges():
    points = _identity(9, 9)
    points[:, 5:] += 3.0  # an edge
    wrong = points.copy()
    wrong[4, 2] = (0.9, -0.9)
    mended = matching.median(wrong)
    assert np.abs(mended[4, 2] - points[4, 2]).max() < 0.3
    assert np.abs(matching.median(points) - points).max() < 0.3  # within a cell: nothing is mixed across the edge
    lone = np.full((3, 3, 2), np.nan, np.float32)
    lone[1, 1] = 0.5
    assert np.array_equal(matching.median(lone), lone, equal_nan=True)


def test_matches_that_do_not_find_back_are_replaced():
    features, masks = _moving()
    broken = features.clone()
    broken[1, :, 14:16, 16:18] = features[0, :, 8, 6][:, None, None]  # like a far corner
    plain = matching.match_features([[broken]], masks, side=48)
    mutual = matching.match_features([[broken]], masks, side=48, mutual=True)
    exact = np.roll(_identity(32, 48), 6, 1)
    error = [np.abs((p[1] - exact) * [47 / 2, 31 / 2])[14:16, 16:18].max() for p in (plain, mutual)]
    assert error[0] > 6 and error[1] < 3


# the networks


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    return str(tiny_networks.seeded(tiny_networks.dinov2, tmp_path_factory.mktemp("nets") / "dino"))


@pytest.fixture(scope="module")
def scene():
    """A clip (3, 48, 64) with a textured square that moves, and its masks."""
    rng = np.random.default_rng(4)
    frames = np.full((3, 48, 64, 3), 200, np.uint8)
    masks = np.zeros((3, 48, 64), bool)
    square = rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)
    for f in range(3):
        frames[f, 14:34, 8 + 10 * f : 28 + 10 * f] = square
        masks[f, 14:34, 8 + 10 * f : 28 + 10 * f] = True
    return frames, masks


def test_dino_gives_a_grid_of_tokens(dino, scene):
    from transformers import Dinov2Model

    frames, _ = scene
    features = dense_features.dino_features(frames, dino, side=112)
    assert features.shape == (3, 16, 6, 8)  # 84 x 112 pixels in patches of 14
    model = Dinov2Model.from_pretrained(dino).eval()
    x = dense_features.to_pixels(
        frames[1:2],
        84,
        112,
        *dense_features.normalisation(dense_features.load(dense_features.NETWORKS["dinov2"], dino)[1]),
    )
    with torch.no_grad():
        tokens = model(x).last_hidden_state[0]  # (1 + 48, 16)
    assert torch.allclose(features[1, :, 2, 5], tokens[1 + 2 * 8 + 5], atol=1e-4)


def test_dino_alone_matches_a_clip(dino, scene):
    frames, masks = scene
    found = correspond(frames, masks, CorrespondenceSettings("dino", weights=dino, dino_side=112))
    assert found.colours is None and (np.isfinite(found.points).all(-1) == masks).all()
    low, high = found.points[0][masks[0]].min(0), found.points[0][masks[0]].max(0)
    there = found.points[1:][masks[1:]]
    assert (there >= low - 1e-6).all() and (there <= high + 1e-6).all()  # points of the subject in frame 0


@pytest.fixture(scope="module")
def tiny_backbone():
    return lru_cache(lambda name: load(name, Plan()))


SMALL = {"sd_side": 64, "dino_side": 56, "grid": 32}


@pytest.mark.parametrize("name", ["tiny-sd", "tiny-animatediff-sd15"])
def test_the_unets_features_join_dinos(name, dino, scene, tiny_backbone):
    frames, masks = scene
    backbone = tiny_backbone(name)
    settings = CorrespondenceSettings(weights=dino, **SMALL)
    assert settings.on(backbone=backbone.spec) == "sd_dino"
    both = correspond(frames, masks, settings, subject="square", backbone=backbone)
    assert (np.isfinite(both.points).all(-1) == masks).all()
    again = correspond(frames, masks, settings, subject="square", backbone=backbone)
    assert np.array_equal(both.points, again.points, equal_nan=True)
    alone = correspond(frames, masks, CorrespondenceSettings("dino", weights=dino, **SMALL))
    assert not np.array_equal(both.points, alone.points, equal_nan=True)


def test_motion_modules_mix_no_frames_and_leave_no_trace(scene, tiny_backbone, monkeypatch):
    """The image model's own features, whichever frames stand beside a frame; the UNet works as before afterwards."""
    frames, _ = scene
    video = tiny_backbone("tiny-animatediff-sd15")
    settings = CorrespondenceSettings(**SMALL)
    image_betas = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    monkeypatch.setattr(video, "image_scheduler", image_betas)  # the motion modules' are linear
    latents = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = video.denoise(latents, 100, video.encode_text([""]))
    layers = dense_features.sd_features(video, frames, "square", settings)
    alone = dense_features.sd_features(video, frames[1:2], "square", settings)
    assert all(torch.allclose(layer[1], one[0], atol=1e-5) for layer, one in zip(layers, alone, strict=True))
    assert torch.equal(before, video.denoise(latents, 100, video.encode_text([""])))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        image = tiny_motion.parts_of("animatediff")["unet"].eval()  # before its motion modules join
    pictures = dense_features.to_pixels(frames, *dense_features.long_side(48, 64, 64, 16), (0,) * 3, (1,) * 3)
    noise = None
    for f in range(3):
        clean = video.encode(pictures[f : f + 1])
        noise = noise if noise is not None else torch.randn(clean.shape, generator=torch.Generator().manual_seed(42))
        alpha = image_betas.alphas_cumprod[100]
        points = dense_features.decoder_points(image)
        with torch.no_grad(), dense_features.listening(points) as heard:
            image(alpha.sqrt() * clean + (1 - alpha).sqrt() * noise, 100, video.encode_text(["a photo of a square"]))
        for layer, point in zip(layers, points, strict=True):
            assert torch.allclose(layer[f], heard[point][0], atol=1e-4)
    monkeypatch.setattr(dense_features, "passed_by", nullcontext)
    mixed = dense_features.sd_features(video, frames[:1], "square", settings)
    assert (mixed[-1] - layers[-1][:1]).abs().max() > 1e-2  # the modules of this model do something


def test_the_three_points_are_sd_15s():
    from accelerate import init_empty_weights
    from diffusers import UNet2DConditionModel

    with init_empty_weights():
        unet = UNet2DConditionModel(cross_attention_dim=768)  # diffusers' defaults are SD 1.5's plan
    names = {id(module): name for name, module in unet.named_modules()}
    assert [names[id(point)] for point in dense_features.decoder_points(unet)] == [
        "up_blocks.0.resnets.1",
        "up_blocks.1.attentions.1",
        "up_blocks.2.attentions.1",
    ]


def test_the_subject_in_the_prompt_and_the_noise_matter(scene, tiny_backbone):
    frames, _ = scene
    backbone = tiny_backbone("tiny-sd")
    base = dense_features.sd_features(backbone, frames[:1], "cat", CorrespondenceSettings(**SMALL))
    word = dense_features.sd_features(backbone, frames[:1], "dog", CorrespondenceSettings(**SMALL))
    seed = dense_features.sd_features(backbone, frames[:1], "cat", CorrespondenceSettings(seed=1, **SMALL))
    step = dense_features.sd_features(backbone, frames[:1], "cat", CorrespondenceSettings(timestep=400, **SMALL))
    assert all((base[-1] - other[-1]).abs().max() > 1e-4 for other in (word, seed, step))


def test_settings_that_cannot_be(scene, dino, tmp_path, monkeypatch, tiny_backbone):
    frames, masks = scene
    with pytest.raises(UserError, match="no subject"):
        correspond(frames, masks & np.array([False, True, True])[:, None, None], CorrespondenceSettings("dino"))
    with pytest.raises(UserError, match="loaded backbone"):
        correspond(frames, masks, CorrespondenceSettings("sd_dino", weights=dino))
    with pytest.raises(UserError, match="not that of animatediff-sdxl"):
        CorrespondenceSettings("sd_dino").check(backbone=catalog.get("animatediff-sdxl"))
    assert CorrespondenceSettings().on(backbone=catalog.get("animatediff-sdxl")) == "dino"
    for bad, told in (
        ({"backend": "sift"}, "unknown correspondence backend"),
        ({"grid": 2}, "outside 8 to 256"),
        ({"backend": "files"}, "give correspondence="),
    ):
        with pytest.raises(UserError, match=told):
            correspond(frames, masks, CorrespondenceSettings(**bad))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights, match="hf download facebook/dinov2-base"):
        correspond(frames, masks, CorrespondenceSettings(), backbone=tiny_backbone("tiny-sd"))
    assert CorrespondenceSettings("dino", weights=dino).facts()["dinov2"]["weights"] == "dino"


def test_files_on_exactly_the_subject(scene, tmp_path):
    frames, masks = scene
    points = np.repeat(_identity(48, 64)[None], 3, 0)
    points[:, :20] = np.nan  # gaps take the nearest pixel's
    np.save(tmp_path / "p.npy", points)
    found = correspond(frames, masks, CorrespondenceSettings(path=str(tmp_path / "p.npy"))).points
    assert (np.isfinite(found).all(-1) == masks).all()
    assert np.allclose(found[1, 25, 30], points[1, 25, 30]) and np.allclose(found[1, 15, 30], points[1, 20, 30])
    points[1] = np.nan
    np.save(tmp_path / "p.npy", points)
    with pytest.raises(UserError, match="frame 1 .*no correspondence"):
        correspond(frames, masks, CorrespondenceSettings(path=str(tmp_path / "p.npy")))


def test_the_sprite_network_follows_the_parts():
    character, motion = next(stream(5, "test"))
    clip = render_clip(character, motion, frames=3, size=128)
    found = correspond(clip.frames, clip.mask, CorrespondenceSettings(), pocket=True).points
    assert (np.isfinite(found).all(-1) == clip.mask).all()
    pixels = (found[0] + 1) / 2 * 127
    y, x = np.mgrid[:128, :128]
    off = np.hypot(pixels[..., 0] - x, pixels[..., 1] - y)[clip.mask[0]]
    assert np.median(off) < 2.0  # frame 0 is found in itself


def test_a_trained_unet_finds_the_keypoints_again(tiny_backbone):
    """The sprite UNet's features alone, against the true keypoints of a jump: far nearer than where they were."""
    clip = render_clip(character(7, "monkey"), Motion("jump"), frames=3, size=128)
    layers = dense_features.sd_features(
        tiny_backbone("pocket-sd"), clip.frames, "monkey", CorrespondenceSettings(sd_side=128)
    )
    reduced = [matching.reduce(layer, clip.mask, 256) for layer in layers]
    pixels = (matching.match_features([reduced], clip.mask, 96) + 1) / 2 * 127
    found, stayed = [], []
    for f in (1, 2):
        for bone, place in enumerate(clip.keypoints[f]):
            x, y = place.round().astype(int).clip(0, 127)
            if clip.parts[f][y, x] == bone:  # in sight
                found.append(np.linalg.norm(pixels[f, y, x] - clip.keypoints[0][bone]))
                stayed.append(np.linalg.norm(place - clip.keypoints[0][bone]))
    print(f"median error {np.median(found):.1f} px, staying {np.median(stayed):.1f} px, {len(found)} points")
    assert len(found) > 8 and np.median(found) < 0.6 * np.median(stayed)
