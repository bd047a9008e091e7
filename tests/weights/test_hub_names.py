"""Repositories of the hub under all of their names, and with whichever files of weights they have."""

import pytest

from motionkit.errors import MissingWeights
from motionkit.weights import places
from motionkit.weights.finding import Wanted, find

OLD, NEW = "runwayml/stable-diffusion-v1-5", "stable-diffusion-v1-5/stable-diffusion-v1-5"
SAFE, HALF = "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
    return tmp_path


def cached(cache, hub_id, *names):
    home = cache / f"models--{hub_id.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs/main").write_text("a" * 40)
    folder = home / "snapshots" / ("a" * 40)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


@pytest.mark.parametrize(("asked", "there"), [(NEW, OLD), (OLD, NEW)])
def test_a_repository_that_moved_is_found_under_its_other_name(cache, asked, there):
    folder = cached(cache, there, "config.json")
    assert find(Wanted("x", files=("config.json",), hub_id=asked)) == folder
    with pytest.raises(MissingWeights, match="more.json"):
        find(Wanted("x", files=("config.json", "more.json"), hub_id=asked))
    assert find(Wanted("x", files=("config.json",), hub_id="owner/other"), asked) == folder


def test_both_moved_repositories_are_known():
    assert places.other_names("ali-vilab/text-to-video-ms-1.7b") == ["damo-vilab/text-to-video-ms-1.7b"]
    assert places.other_names("owner/name") == []


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([SAFE, HALF], [SAFE]),
        ([HALF], [HALF]),
        (["unet/diffusion_pytorch_model.bin"], ["unet/diffusion_pytorch_model.bin"]),
        (["unet/diffusion_pytorch_model.fp16.bin"], ["unet/diffusion_pytorch_model.fp16.bin"]),
        ([], [SAFE]),
        (
            [f"{SAFE}.index.json", *(f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2))],
            [f"{SAFE}.index.json", *(f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2))],
        ),
    ],
)
def test_a_community_repository_is_asked_for_what_it_has(held, expected, cache, monkeypatch):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda hub_id: [*held, "model_index.json"])
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *a, **k: asked.append(k["allow_patterns"]) or cache
    )
    wanted = Wanted("x", files=(SAFE,), hub_id="owner/default", checked=lambda folder: folder)
    find(wanted, "someone/dream", online=True)
    assert asked == [expected]
    find(wanted, None, online=True)
    assert asked[1] == [SAFE], "the default's own names are known"


def test_text_encoders_have_another_pickle(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda hub_id: ["text_encoder/pytorch_model.bin"])
    names = ["text_encoder/model.safetensors", "vae/config.json"]
    assert places.published_names("a/b", names) == ["text_encoder/pytorch_model.bin", "vae/config.json"]


def test_another_repository_is_not_asked_for_the_defaults_halves(cache):
    from motionkit.backbones import folders, get

    with pytest.raises(MissingWeights) as error:
        folders.locate(get("sd15"), "Lykon/dreamshaper-8")
    line = str(error.value)
    assert "hf download Lykon/dreamshaper-8" in line and f" {SAFE} " in line and HALF not in line
    with pytest.raises(MissingWeights, match="fp16.safetensors"):
        folders.locate(get("sd15"))
