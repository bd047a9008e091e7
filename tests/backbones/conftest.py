"""Model folders in the hub's layout, tiny ones, made once and copied for each test that damages them."""

import shutil

import pytest
import torch

from motionkit.backbones import tiny, tiny_sizes


def save(parts, folder):
    for name, part in parts.items():
        part.save_pretrained(folder / name)


@pytest.fixture(scope="session")
def sound_folder(tmp_path_factory):
    """tiny-sd as files; never written to by tests."""
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(7)
        save(tiny.components(), folder)
    return folder


@pytest.fixture(scope="session")
def sound_video_folder(tmp_path_factory):
    """tiny-modelscope as files; never written to by tests."""
    folder = tmp_path_factory.mktemp("hub") / "tiny-video"
    with torch.random.fork_rng():
        torch.manual_seed(9)
        save(tiny.components(family="modelscope"), folder)
    return folder


@pytest.fixture
def folder(sound_folder, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(sound_folder, tmp_path / "model")


@pytest.fixture(scope="session")
def sound_xl_folder(tmp_path_factory):
    """A tiny model of SD XL's layout as files; never written to by tests."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    folder = tmp_path_factory.mktemp("hub") / "tiny-xl"
    with torch.random.fork_rng():
        torch.manual_seed(8)
        parts = tiny.components()
        text = CLIPTextConfig.from_dict(
            parts["text_encoder"].config.to_dict() | {"hidden_size": 24, "projection_dim": 20}
        )
        shape = tiny_sizes.ARCHITECTURE["unet"] | {
            "cross_attention_dim": 16 + 24,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 20 + 6 * 8,
        }
        parts["unet"] = UNet2DConditionModel(**shape)
        parts |= {"text_encoder_2": CLIPTextModelWithProjection(text), "tokenizer_2": parts["tokenizer"]}
        save(parts, folder)
    return folder
