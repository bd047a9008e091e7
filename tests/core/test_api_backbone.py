"""What may stand for a backbone in Python."""

import json

import pytest

import motionkit
from motionkit.errors import UserError


def folder(path, kind, dim, *more):
    (path / "unet").mkdir(parents=True)
    (path / "unet" / "config.json").write_text(json.dumps({"_class_name": kind, "cross_attention_dim": dim}))
    for name in more:
        (path / name).mkdir()
    return path


@pytest.mark.parametrize(
    ("method", "kind", "dim", "more", "name"),
    [
        ("anamodiff", "UNet2DConditionModel", 768, (), "sd15"),
        ("flipsketch", "UNet3DConditionModel", 1024, (), "modelscope"),
        ("vidmp3", "UNet2DConditionModel", 768, (), "sd15"),
        ("anamodiff", "UNet2DConditionModel", 2048, (), "sdxl"),
        ("vidmp3", "UNet2DConditionModel", 768, ("motion_adapter",), "animatediff-sd15"),
    ],
)
def test_a_folder_is_told_by_its_unet(tmp_path, method, kind, dim, more, name):
    place = folder(tmp_path / "model", kind, dim, *more)
    for given in (place, str(place)):
        choice = motionkit.load(method, backbone=given).request.backbone
        assert (choice.name, choice.path) == (name, str(place))


def test_a_hub_id_of_the_list_is_its_backbone():
    for place in ("stable-diffusion-v1-5/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"):  # before it moved
        choice = motionkit.load("anamodiff", backbone=place).request.backbone
        assert (choice.name, choice.path) == ("sd15", None)


def test_another_hub_id_goes_beside_the_name_of_its_kind():
    with pytest.raises(UserError, match='backbone="sd15", backbone_path="someone/dreams"'):
        motionkit.load("anamodiff", backbone="someone/dreams")
    with pytest.raises(UserError, match='backbone="sdxl", backbone_path="someone/dreams-XL"'):
        motionkit.load("anamodiff", backbone="someone/dreams-XL")
    choice = motionkit.load("anamodiff", backbone="sd15", backbone_path="someone/dreams").request.backbone
    assert (choice.name, choice.path) == ("sd15", "someone/dreams")


def test_what_cannot_be_told_says_how(tmp_path):
    (tmp_path / "empty").mkdir()
    wrong = folder(tmp_path / "wrong", "UNet2DConditionModel", 1024)
    for place in (tmp_path / "empty", wrong):
        with pytest.raises(UserError, match="backbone_path="):
            motionkit.load("anamodiff", backbone=place)
    with pytest.raises(UserError, match="backbone_path="):
        motionkit.load("anamodiff", backbone=wrong, backbone_path="someone/dreams")


def test_a_loaded_pipeline_says_how_to_give_its_weights():
    class StableDiffusionPipeline:
        components = {}

    with pytest.raises(UserError, match="StableDiffusionPipeline.*save_pretrained"):
        motionkit.load("anamodiff", backbone=StableDiffusionPipeline())


def test_model_is_another_word_for_it():
    assert motionkit.load("anamodiff", model="tiny-sd").request.backbone.name == "tiny-sd"
