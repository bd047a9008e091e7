"""Ranking by consistency: CLIP where it is, the sprite network where it is not, and never nothing."""

import json

import numpy as np
import pytest
import torch

from motionkit.errors import MissingWeights, UserError
from motionkit.perception import consistency, pocket_networks
from motionkit.perception.networks import locate

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def tiny_clip(folder, **saving):
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    text = SMALL | {"vocab_size": 40, "max_position_embeddings": 20, "eos_token_id": 39}
    config = CLIPConfig(text_config=text, vision_config=SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=24)
    CLIPModel(config).save_pretrained(folder, **saving)
    facts = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)


def video(seed, frames=3, height=40, width=40):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def test_ranking_by_clip_when_it_is_there(clip):
    drawing = video(4)[0]
    still, other = np.repeat(drawing[None], 3, 0), video(5)
    scores, seen_by = consistency.rank_by_consistency(drawing, [other, still], clip)
    assert "CLIP" in seen_by and scores[1] == pytest.approx(1, abs=1e-5) and scores[1] > scores[0]
    with pytest.raises(MissingWeights, match="method.clip"):  # a path that was given is never passed over in silence
        consistency.rank_by_consistency(drawing, [other], "/nowhere/at/all")
    with pytest.raises(ValueError, match="no frame"):
        consistency.rank_by_consistency(drawing, [other[:1]], clip)


def test_clip_agrees_with_the_model_called_by_hand(clip):
    from transformers import CLIPModel

    frames = video(2, 2, 40, 24)
    model = CLIPModel.from_pretrained(clip).eval()
    x = consistency._pictures(model, clip, frames)
    assert x.shape == (2, 3, 32, 32)
    with torch.no_grad():
        out = model(pixel_values=x, input_ids=torch.tensor([[1, 2]]))
    assert np.allclose(out.image_embeds.numpy(), consistency.clip_embedding(frames, clip), atol=1e-5)


def test_weights_of_tensors_alone_are_read_and_nothing_is_run(clip, tmp_path):
    from transformers import CLIPModel

    folder = tiny_clip(tmp_path / "old")
    state = CLIPModel.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match="lacks its weights"):
        locate(consistency.CLIP, folder)
    torch.save(state, folder / "pytorch_model.bin")
    assert np.array_equal(consistency.clip_embedding(video(1), folder), consistency.clip_embedding(video(1), clip))

    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('unpickled')",))

    bad = tiny_clip(tmp_path / "bad")
    (bad / "model.safetensors").unlink()
    torch.save({"x": Bomb()}, bad / "pytorch_model.bin")
    with pytest.raises(UserError, match="usable CLIP folder"):
        consistency.clip_embedding(video(1), bad)


def test_without_clip_the_sprite_network_ranks_and_without_both_it_is_said(no_hub, monkeypatch, tmp_path):
    from motionkit.sprites import Motion, character, render_clip

    cat, robot = (render_clip(character(s, k), Motion("walk"), 4, 128).lines() for s, k in ((1, "cat"), (2, "robot")))
    if pocket_networks.weights_path().is_file():
        scores, seen_by = consistency.rank_by_consistency(cat[0], [robot, cat])
        assert "sprite network" in seen_by and scores[1] > scores[0]
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path))
    scores, seen_by = consistency.rank_by_consistency(cat[0], [robot, cat])
    assert scores == [0.0, 0.0] and seen_by.startswith("none")


@pytest.mark.skipif(not pocket_networks.weights_path().is_file(), reason="the weights are not in this checkout")
def test_frames_of_one_character_are_closer_than_those_of_two():
    from motionkit.sprites import Motion, character, render_clip

    cat, horse = (render_clip(character(s, k), Motion("walk"), 3).frames for s, k in ((1, "cat"), (11, "horse")))
    seen, other = consistency.looks_embedding(cat), consistency.looks_embedding(horse)
    assert seen.shape == (3, 64) and np.allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    assert (seen @ seen.T).min() > (seen @ other.T).max()
    with pytest.raises(ValueError, match="uint8"):
        consistency.looks_embedding(cat.astype(np.float32))
