"""The recipe of pocket-animatediff: it starts as the image model, trains motion modules only, and its export loads."""

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from motionkit.backbones import load
from motionkit.backbones.motion_files import MotionOptions
from motionkit.settings.gpu import Plan
from motionkit.training.recipes.colour_decoder import ASSETS
from motionkit.training.recipes.pocket_animatediff import Words, build, export, make_loss, verbs
from motionkit.training.recipes.pocket_sd import read_text, read_unet
from motionkit.training.recipes.verb_critic import VerbCritic
from motionkit.training.recipes.video_batches import VideoBatches

BASE = ASSETS / "pocket-sd"


@pytest.fixture(scope="module")
def image():
    return read_unet(BASE / "unet").eval()


@pytest.fixture
def built(image):
    torch.manual_seed(0)
    return build(image)


def loss_of(unet):
    vae = AutoencoderKL.from_pretrained(BASE / "vae").float().eval().requires_grad_(False)
    text = read_text(BASE / "text_encoder").eval().requires_grad_(False)
    tokenizer = CLIPTokenizer.from_pretrained(BASE / "tokenizer")
    words = Words(text, verbs(tokenizer))
    torch.manual_seed(0)
    batches = VideoBatches("pocket-animatediff", vae, tokenizer, 2, 0, "cpu")
    return make_loss(unet, text, batches, lambda step: 2, VerbCritic().eval().requires_grad_(False)), words


def test_it_starts_as_the_image_model(image, built):
    unet, _ = built
    clip, text = torch.randn(1, 4, 2, 16, 16), torch.randn(1, 16, 128)
    with torch.no_grad():
        whole = unet(clip, torch.tensor([400]), text.repeat_interleave(2, 0)).sample
        for f in range(2):
            torch.testing.assert_close(whole[:, :, f], image(clip[:, :, f], 400, text).sample, rtol=1e-4, atol=1e-4)


def test_only_motion_modules_learn_and_a_step_is_the_same_twice(built):
    unet, adapter = built
    loss, words = loss_of(unet)
    value, logs = loss(3)
    again, _ = loss(3)
    other, _ = loss(4)
    assert value.item() == again.item() != other.item() and logs["frames"] == 2
    before = {k: v.clone() for k, v in unet.state_dict().items()}
    trained = [*adapter.parameters(), *words.parameters()]
    for _ in range(2):  # with proj_out at zero, the layers below it get their first gradient in the second step
        adapter.zero_grad()
        loss(3)[0].backward()
        assert all(p.grad is not None for p in trained)
        with torch.no_grad():
            for p in trained:
                p.sub_(p.grad.sign() * 1e-3)
    changed = {k for k, v in unet.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all("motion_modules" in k for k in changed)
    assert changed == {k for k in before if "motion_modules" in k and not k.endswith(".pe")}
    assert all(p.grad is None for n, p in unet.named_parameters() if "motion_modules" not in n)


def test_an_export_loads_as_the_backbone(built, tmp_path):
    unet, adapter = built
    with torch.no_grad():
        for p in adapter.parameters():
            p.add_(0.01)
    text = read_text(BASE / "text_encoder")
    tokenizer = CLIPTokenizer.from_pretrained(BASE / "tokenizer")
    words, before = Words(text, verbs(tokenizer)), text.get_input_embeddings().weight.clone()
    with torch.no_grad():
        words.change.add_(0.5)
    ids = tokenizer(["a red cat walking"], return_tensors="pt").input_ids
    learning = text(ids).last_hidden_state
    merged = words.merge(read_text(BASE / "text_encoder"))
    torch.testing.assert_close(merged(ids).last_hidden_state, learning)
    changed = (merged.get_input_embeddings().weight != before).any(1)
    assert changed.sum() == 11 and changed[verbs(tokenizer)].all()
    export(adapter, merged, tmp_path)
    size = (tmp_path / "motion_adapter/diffusion_pytorch_model.safetensors").stat().st_size
    assert size < 6.6e6
    assert [f.name for f in (tmp_path / "text_encoder").iterdir()] == ["model.safetensors"]  # the table of words alone
    found = load("pocket-animatediff", Plan(), path=str(BASE), motion=MotionOptions(str(tmp_path), schedule="base"))
    for key, value in unet.state_dict().items():
        torch.testing.assert_close(found.unet.state_dict()[key], value.half().float() if "motion" in key else value)
    assert found.positions == 32 and found.prediction_type == "v_prediction"


def test_the_shipped_modules_know_more_than_the_image_model():
    """On clips of characters that no training step showed, at late timesteps, with noise of its own in each frame."""
    from motionkit.training.recipes.sprite_batches import clips

    video, image = load("pocket-animatediff", Plan()), load("pocket-sd", Plan())
    data = clips("weights test", 9, 0, 6, frames=16, split="test", kinds=["horse", "bird", "robot"], motions=["walk"])
    z = torch.stack([video.encode(torch.from_numpy(c.frames).permute(0, 3, 1, 2) / 255) for c in data]).transpose(1, 2)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
    t = torch.full((len(z),), 900)
    a = video.scheduler.alphas_cumprod[900]
    text = video.encode_text([c.caption for c in data])
    target = video.training_target(z, noise, t)
    error = {
        b.spec.name: (b.denoise(a.sqrt() * z + (1 - a).sqrt() * noise, t, text) - target).square().mean().item()
        for b in (video, image)
    }
    assert error["pocket-animatediff"] < 0.7 * error["pocket-sd"]


def test_muon_trains_the_modules_and_adamw_the_words(built, tmp_path):
    from torch import nn

    from motionkit.training.loop import Loop
    from motionkit.training.recipes.pocket_animatediff import optimiser

    text = read_text(BASE / "text_encoder")
    model = nn.ModuleDict({"adapter": built[1], "words": Words(text, [5, 7])})
    loop = Loop(model, lambda step: (torch.zeros(()), {}), optimiser(tmp_path, 10, 1e-3, True, None))
    taken = {id(p) for group in loop.muon.param_groups for p in group["params"]}
    assert id(model["words"].change) not in taken
    assert taken == {id(p) for p in model["adapter"].parameters() if p.ndim >= 2 and p.requires_grad}
    assert Loop(model, lambda step: (torch.zeros(()), {}), optimiser(tmp_path, 10, 1e-3, False, None)).muon is None
