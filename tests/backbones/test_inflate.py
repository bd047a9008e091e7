"""The inflated UNet: equal to the image net where it must be, and fit for tuning."""

import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig

from motionkit.backbones.inflate import FrameContext, VideoUNet, inflate

CONFIG = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


@pytest.fixture
def plain():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DConditionModel(**CONFIG).eval()


def inputs(frames, batch=1):
    g = torch.Generator().manual_seed(frames)
    return torch.randn(batch, 4, frames, 8, 8, generator=g), torch.randn(batch, 5, 12, generator=g)


def wake(video, scale=0.3):
    """Give the temporal out-projections weights, as if they had been tuned."""
    g = torch.Generator().manual_seed(1)
    for module in video.modules():
        if hasattr(module, "attn_temp"):
            weight = module.attn_temp.to_out[0].weight
            weight.data = scale * torch.randn(weight.shape, generator=g)
    return video


@pytest.mark.parametrize("init", ["attn1", "random"])
@torch.no_grad()
def test_one_frame_is_the_image_net(plain, init):
    video = inflate(copy.deepcopy(plain), temporal_init=init, generator=torch.Generator().manual_seed(0))
    sample, text = inputs(1)
    expected = plain(sample[:, :, 0], 500, encoder_hidden_states=text).sample
    torch.testing.assert_close(video(sample, 500, text)[:, :, 0], expected, atol=3e-6, rtol=0)


@torch.no_grad()
def test_without_joint_norms_equal_frames_give_the_image_net(plain):
    """Attention to copies of oneself changes nothing, and the new layers begin at zero."""
    video = inflate(copy.deepcopy(plain), joint_groupnorm=False)
    sample, text = inputs(1)
    expected = plain(sample[:, :, 0], 500, encoder_hidden_states=text).sample
    out = video(sample.expand(-1, -1, 4, -1, -1), 500, text)
    for frame in range(4):
        torch.testing.assert_close(out[:, :, frame], expected, atol=3e-6, rtol=0)


@torch.no_grad()
def test_joint_norms_mix_the_statistics_of_frames(plain):
    sample, text = inputs(3)
    sample[:, :, 2] *= 4
    joint = inflate(copy.deepcopy(plain))(sample, 500, text)
    apart = inflate(copy.deepcopy(plain), joint_groupnorm=False)(sample, 500, text)
    assert (joint - apart).abs().max() > 0.05


@torch.no_grad()
def test_clips_of_a_batch_do_not_mix(plain):
    video = wake(inflate(copy.deepcopy(plain)))
    sample, text = inputs(3, batch=2)
    times = torch.tensor([100, 700])
    both = video(sample, times, text)
    for i in range(2):
        alone = video(sample[i : i + 1], times[i : i + 1], text[i : i + 1])
        torch.testing.assert_close(both[i : i + 1], alone, atol=1e-5, rtol=0)


def test_neighbours_lead_to_the_anchor():
    assert FrameContext(5, 0).neighbours().tolist() == [0, 0, 1, 2, 3]
    assert FrameContext(5, 2).neighbours().tolist() == [1, 2, 2, 2, 3]
    assert FrameContext(5, 4).neighbours().tolist() == [1, 2, 3, 4, 4]


@torch.no_grad()
def test_only_anchor_and_neighbour_are_seen(plain):
    """Per-frame norms and silent temporal layers: frame 3 depends on 1 (anchor), 2 (neighbour) and itself alone."""
    video = inflate(copy.deepcopy(plain), joint_groupnorm=False)
    # One block deep: with several, a frame hears of others through its neighbours.
    layer = video.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    video.context.frames, video.context.anchor = 5, 1
    x = torch.randn(5, 4, 8, generator=torch.Generator().manual_seed(0))
    before = layer(x)[3]
    for frame, heard in ((0, False), (1, True), (2, True), (3, True), (4, False)):
        changed = x.clone()
        changed[frame] += 1
        assert bool((layer(changed)[3] - before).abs().max() > 1e-4) is heard


@torch.no_grad()
def test_temporal_layers_pass_information_between_frames(plain):
    video = wake(inflate(copy.deepcopy(plain), joint_groupnorm=False))
    sample, text = inputs(4)
    changed = sample.clone()
    changed[:, :, 3] += 1
    difference = (video(changed, 500, text) - video(sample, 500, text)).abs().amax((0, 1, 3, 4))
    assert difference[1] > 1e-5  # frame 1 has neither 3 nor its neighbour as anchor: only time connects them


def gradients(video, sample, text):
    video.zero_grad()
    video(sample, 300, text).square().mean().backward()
    return {n: p.grad.clone() for n, p in video.named_parameters() if p.grad is not None}


def test_gradient_checkpointing_gives_the_same_gradients(plain):
    video = wake(inflate(copy.deepcopy(plain)))
    sample, text = inputs(3)
    plainly = gradients(video, sample, text)
    video.unet.enable_gradient_checkpointing()
    again = gradients(video, sample, text)
    assert plainly.keys() == again.keys() and len(plainly) > 50
    for name, gradient in plainly.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-7, rtol=1e-5)


def test_adapters_attach_to_all_attention_and_begin_as_nothing(plain):
    video = inflate(copy.deepcopy(plain))
    sample, text = inputs(3)
    with torch.no_grad():
        before = video(sample, 300, text)
    video.unet.add_adapter(LoraConfig(r=2, target_modules=r".*\.(attn1|attn2|attn_temp)\.(to_q|to_k|to_v|to_out\.0)"))
    names = [n for n, _ in video.unet.named_parameters() if "lora_A" in n]
    blocks = sum(hasattr(m, "attn_temp") for m in video.unet.modules())
    assert len(names) == blocks * 3 * 4
    torch.testing.assert_close(video(sample, 300, text), before)
    video(sample, 300, text).square().mean().backward()
    assert all(p.grad is not None for n, p in video.unet.named_parameters() if "attn1" in n and "lora_B" in n)


def test_names_are_the_image_nets_and_the_new_layers(plain):
    video = inflate(copy.deepcopy(plain))
    new = set(video.unet.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(video.unet.state_dict())
    assert new and all(".attn_temp." in n or ".norm_temp." in n for n in new)
    assert isinstance(copy.deepcopy(video), VideoUNet)


def test_the_global_generator_is_left_alone(plain):
    before = torch.random.get_rng_state()
    inflate(copy.deepcopy(plain), temporal_init="random", generator=torch.Generator().manual_seed(3))
    assert torch.equal(before, torch.random.get_rng_state())


def test_wrong_arguments_are_named(plain):
    with pytest.raises(ValueError, match="temporal_init"):
        inflate(copy.deepcopy(plain), temporal_init="zero")
    with pytest.raises(ValueError, match="anchor 3"):
        inflate(copy.deepcopy(plain))(*inputs(3)[:1], 5, inputs(3)[1], anchor=3)
