"""CLIP and X-CLIP on tiny random models of the same classes and files; what is said when there are none."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import motionkit
from motionkit.errors import MissingWeights, UserError
from motionkit.metrics import hub_models, text_image

TOKENIZER = Path(motionkit.__file__).parent / "assets" / "pocket-sd" / "tokenizer"
SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def save(folder, kind):
    """A model of that class in the hub's layout, with the files that the real one has."""
    from transformers import CLIPConfig, CLIPModel, XCLIPConfig, XCLIPModel

    torch.manual_seed(0)
    words = len(json.loads((TOKENIZER / "vocab.json").read_text()))
    text = SMALL | {"vocab_size": words, "max_position_embeddings": 20, "eos_token_id": words - 1}
    vision = SMALL | {"image_size": 32, "patch_size": 8}
    if kind == "clip":
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    else:
        vision |= {
            "num_frames": 4,
            "mit_hidden_size": 32,
            "mit_intermediate_size": 48,
            "mit_num_hidden_layers": 1,
            "mit_num_attention_heads": 2,
        }
        model = XCLIPModel(
            XCLIPConfig(
                text_config=text, vision_config=vision, projection_dim=32, prompt_layers=1, prompt_num_attention_heads=2
            )
        )
    model.save_pretrained(folder)
    for file in TOKENIZER.iterdir():
        shutil.copy(file, folder)
    facts = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (folder / "preprocessor_config.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: save(tmp_path_factory.mktemp(kind), kind) for kind in ("clip", "xclip")}


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    """An empty hub cache, and a network that must not be asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("huggingface_hub.file_download.get_hf_file_metadata", refuse)


def video(seed=0, frames=5, height=40, width=40):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def test_clip_consistency_is_the_mean_cosine_of_the_later_frames(folders):
    clip = video()
    who = text_image.clip_embedding(clip, folders["clip"])
    assert who.shape == (5, 24) and np.allclose(np.linalg.norm(who, axis=1), 1, atol=1e-5)
    expected = float(np.mean([who[i] @ who[0] for i in range(1, 5)]))
    assert text_image.clip_consistency(clip, clip[0], folders["clip"]) == pytest.approx(expected, abs=1e-5)
    still = np.repeat(clip[:1], 3, 0)
    assert text_image.clip_consistency(still, clip[0], folders["clip"]) == pytest.approx(1, abs=1e-5)
    assert text_image.clip_consistency(video(1, 3, 40, 24), clip[0], folders["clip"]) < 1
    with pytest.raises(ValueError, match="no frame"):
        text_image.clip_consistency(clip[:1], clip[0], folders["clip"])


def test_pictures_are_prepared_as_the_models_files_say(folders):
    model = hub_models.load("clip", folders["clip"])
    white = np.full((1, 16, 40, 3), 255, np.uint8)
    x = text_image._pictures(model, folders["clip"], white)
    assert x.shape == (1, 3, 32, 32) and torch.allclose(x, torch.full_like(x, 2.0), atol=1e-5)  # (1 - 0.5) / 0.25


def test_clip_agrees_with_the_model_called_by_hand(folders):
    from transformers import CLIPModel

    clip = video(2, 2)
    model = CLIPModel.from_pretrained(folders["clip"]).eval()
    x = text_image._pictures(model, folders["clip"], clip)
    with torch.no_grad():
        out = model(pixel_values=x, input_ids=torch.tensor([[1, 2]]))
    assert np.allclose(out.image_embeds.numpy(), text_image.clip_embedding(clip, folders["clip"]), atol=1e-5)


def test_xclip_is_a_cosine_that_depends_on_the_words_and_the_order(folders):
    clip = video(3, 9)
    walks = text_image.xclip_agreement(clip, "a horse walking", folders["xclip"])
    assert -1 <= walks <= 1 and walks == text_image.xclip_agreement(clip, "a horse walking", folders["xclip"])
    assert walks != text_image.xclip_agreement(clip, "a blue robot", folders["xclip"])
    assert walks != text_image.xclip_agreement(clip[::-1].copy(), "a horse walking", folders["xclip"])
    assert -1 <= text_image.xclip_agreement(clip[:2], "horse " * 50, folders["xclip"]) <= 1  # short clip, long text
    with pytest.raises(ValueError, match="text"):
        text_image.xclip_agreement(clip, "  ", folders["xclip"])


def test_one_line_when_there_are_no_weights(no_hub, tmp_path):
    for kind, name in (("clip", "openai/clip-vit-base-patch32"), ("xclip", "microsoft/xclip-base-patch32")):
        assert not hub_models.available(kind)
        with pytest.raises(MissingWeights, match=f"hf download {name}") as caught:
            hub_models.locate(kind)
        assert "\n" not in str(caught.value) and "MOTIONKIT_ONLINE=1" in str(caught.value)
    with pytest.raises(MissingWeights, match="no folder"):
        hub_models.locate("clip", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingWeights, match="config.json"):
        hub_models.locate("clip", tmp_path / "empty")


def test_another_model_and_damaged_files_are_refused(folders, tmp_path):
    with pytest.raises(UserError, match="'xclip', not CLIP"):
        hub_models.locate("clip", folders["xclip"])
    broken = shutil.copytree(folders["clip"], tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(UserError, match="usable CLIP folder") as caught:
        text_image.clip_embedding(video(), broken)
    assert "\n" not in str(caught.value)
    (broken / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match="lacks its weights"):
        hub_models.locate("clip", broken)


def test_clip_score_is_the_cosine_of_frames_and_words(folders, no_hub):
    from transformers import AutoTokenizer, CLIPModel

    folder, clip = folders["clip"], video()
    model = CLIPModel.from_pretrained(folder).eval()
    words = AutoTokenizer.from_pretrained(folder)(["a horse walking"], return_tensors="pt")
    with torch.no_grad():
        said = model.get_text_features(**words)
    said = torch.nn.functional.normalize(getattr(said, "pooler_output", said), dim=-1)[0].numpy()
    expected = 100 * np.maximum(text_image.clip_embedding(clip, folder) @ said, 0).mean()
    found = text_image.clip_score(clip, "a horse walking", folder)
    assert found == pytest.approx(expected, rel=1e-5) and 0 <= found <= 100
    assert text_image.clip_score(clip[::-1].copy(), "a horse walking", folder) == pytest.approx(found, rel=1e-5)


def test_steadiness_is_one_for_a_frozen_clip(folders, no_hub):
    frozen = np.repeat(video()[:1], 4, axis=0)
    assert text_image.clip_steadiness(frozen, folders["clip"]) == pytest.approx(1, abs=1e-5)
    assert text_image.clip_steadiness(video(), folders["clip"]) < 1
