"""Pictures of the clip as it is denoised: shown to who asks for them, and never a change of the result."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import motionkit
from motionkit.backbones import catalog, load, quick_decoder
from motionkit.context import NullProgress
from motionkit.diffusion import preview
from motionkit.settings.gpu import Plan
from motionkit.testing import moving_shapes, picture


class Watcher(NullProgress):
    previews = 0.0

    def __init__(self):
        self.seen = []

    def step(self, stage, done, preview=None):
        if preview is not None:
            self.seen.append((stage, preview))


@pytest.mark.parametrize("method", ["anamodiff", "vidmp3"])
def test_the_result_is_the_same_with_pictures_and_without(method, tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    steps = {"vidmp3": {"tune": {"steps": 1}, "steps": 2}, "anamodiff": {"lora": {"steps": 1}, "sample": {"steps": 2}}}
    made = motionkit.load(method, backbone="tiny", gpu="cpu", **steps[method])
    given = {"reference": picture(64, 64), "driving": moving_shapes(4, 64, 64), "prompt": "a cat", "frames": 4}
    watcher = Watcher()
    plain = made(**given, use_cache=False, folder=tmp_path / "a")
    watched = made(**given, use_cache=False, folder=tmp_path / "b", progress=watcher)
    assert np.array_equal(plain.frames, watched.frames)
    assert watcher.seen
    stage, seen = watcher.seen[-1]
    assert seen.dtype == np.uint8 and seen.ndim == 3 and seen.shape[2] == 3 and seen.shape[1] == 4 * seen.shape[0]


def test_nobody_is_told_outside_the_block():
    calls = []
    with preview.watched(lambda clean: calls.append(clean)):
        assert preview._WATCHER.get() is not None
    assert preview._WATCHER.get() is None


def test_colours_that_are_linear_in_the_latents_are_found_again():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 4, 16, 16, generator=generator) / 4
    truth = torch.rand(4, 3, generator=generator) / 4
    frames = (torch.einsum("fchw,cd->fdhw", latents, truth) + 0.5).repeat_interleave(8, 2).repeat_interleave(8, 3)
    seen = preview.picture(latents.movedim(0, 1), preview.colours(latents, frames))
    wanted = torch.cat(list(frames[:, :, ::8, ::8].movedim(1, -1)), 1).numpy() * 255
    assert np.abs(seen - wanted.clip(0, 255)).max() < 8


@pytest.fixture(scope="module")
def taesd():
    """diffusers' AutoencoderTiny at the published sizes, as its own defaults are."""
    from diffusers import AutoencoderTiny

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderTiny().eval()


def in_cache(model, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("MOTIONKIT_ONLINE", "1")  # not even then is anything fetched for a look
    home = tmp_path / "models--madebyollin--taesd"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("a" * 40)
    model.save_pretrained(home / "snapshots" / ("a" * 40))
    return home / "snapshots" / ("a" * 40) / "diffusion_pytorch_model.safetensors"


def test_a_small_decoder_is_read_from_the_hubs_cache_whole(taesd, tmp_path, monkeypatch, caplog):
    file = in_cache(taesd, tmp_path, monkeypatch)
    read = quick_decoder.read("madebyollin/taesd", torch.device("cpu"), torch.float32)
    latents = torch.randn(2, 4, 4, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = (taesd.decode(latents).sample / 2 + 0.5).clamp(0, 1)
    assert torch.equal(read(latents), expected) and expected.shape == (2, 3, 32, 48)
    assert quick_decoder.read("madebyollin/taesdxl", torch.device("cpu"), torch.float32) is None
    file.write_bytes(file.read_bytes()[:-8])
    assert quick_decoder.read("madebyollin/taesd", torch.device("cpu"), torch.float32) is None
    assert "damaged" in caplog.text


def test_who_has_one_and_where_it_is_used(monkeypatch):
    monkeypatch.setattr(quick_decoder, "read", lambda hub_id, device, dtype: (hub_id, device.type))
    names = ("sd15", "modelscope", "animatediff-sdxl", "animatex", "pocket-sd", "tiny-sdxl")
    for name, hub_id in zip(names, ["taesd", "taesd", "taesdxl", "taesd", None, None], strict=True):
        on = {kind: SimpleNamespace(spec=catalog.get(name), device=torch.device(kind), dtype=0) for kind in _KINDS}
        assert quick_decoder.quick_decoder(on["cuda"]) == (hub_id and (f"madebyollin/{hub_id}", "cuda"))
        assert quick_decoder.quick_decoder(on["cpu"]) is None


_KINDS = ("cpu", "cuda")


def test_a_decoder_makes_the_pictures_until_the_card_is_full():
    backbone, seen, full = load("tiny-sd", Plan()), [], []
    frames = moving_shapes(2, 64, 64).frames

    def decode(latents):
        if full:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return latents[:, :3].sigmoid().repeat_interleave(8, 2).repeat_interleave(8, 3)

    watch = preview.watcher_of(backbone, frames, seen.append, 0.0, lambda _: decode)
    clean = torch.randn(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    watch(lambda: clean)
    full.append(True)
    watch(lambda: clean)
    small = seen[1].shape[0]
    assert seen[0].shape == (64, 3 * 64, 3) and seen[0].dtype == np.uint8 and small < 64
    wanted = (clean[0, :3, 1].sigmoid() * 255).round().movedim(0, -1).numpy()
    assert np.abs(seen[0][::8, 64:128:8] - wanted).max() <= 1
