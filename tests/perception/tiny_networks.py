"""Tiny random networks of the classes that perception uses, saved as their hub folders are."""

import json

import torch

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_BACKBONE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 28,
    "patch_size": 14,
}
CLASSES = {0: "person", 1: "car", 2: "sky-other-merged", 3: "teddy bear", 4: "bear"}


def dinov2(folder):
    from transformers import Dinov2Config, Dinov2Model

    return _save(Dinov2Model(Dinov2Config(**_BACKBONE)), folder, {"image_processor_type": "BitImageProcessor"})


def depth_anything(folder, kind="relative"):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    inner = Dinov2Config(**_BACKBONE, out_features=["stage1", "stage2"], reshape_hidden_states=False)
    config = DepthAnythingConfig(
        backbone_config=inner,
        patch_size=14,
        reassemble_hidden_size=16,
        reassemble_factors=[2, 1],
        neck_hidden_sizes=[8, 12],
        fusion_hidden_size=8,
        head_hidden_size=8,
        depth_estimation_type=kind,
        max_depth=1 if kind == "relative" else 20,
    )
    model = DepthAnythingForDepthEstimation(config)
    model.head.conv3.bias.data += 0.5  # a random one is often 0 everywhere behind its last ReLU
    facts = {
        "image_processor_type": "DPTImageProcessor",
        "size": {"height": 518, "width": 518},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
        "resample": 3,
    }
    return _save(model, folder, facts)


def mask2former(folder, favourite="car"):
    """One that takes every segment for its favourite class."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    swin = SwinConfig(
        image_size=32,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=32,
        dim_feedforward=32,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=6,
        id2label=CLASSES,
        label2id={name: i for i, name in CLASSES.items()},
    )
    facts = {
        "image_processor_type": "Mask2FormerImageProcessor",
        "size": {"height": 64, "width": 64},
        "size_divisor": 32,
        "do_reduce_labels": False,
        "ignore_index": 255,
    }
    model = Mask2FormerForUniversalSegmentation(config)
    model.class_predictor.bias.data[config.label2id[favourite]] += 20
    return _save(model, folder, facts)


def sam2(folder):
    from transformers import (
        Sam2HieraDetConfig,
        Sam2VideoConfig,
        Sam2VideoMaskDecoderConfig,
        Sam2VideoModel,
        Sam2VideoPromptEncoderConfig,
        Sam2VisionConfig,
    )

    hiera = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[128, 128],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 4, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[7, 7],
    )
    vision = Sam2VisionConfig(
        backbone_config=hiera,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=128,
    )
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=128, image_size=128, patch_size=16),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=128, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16
        ),
        image_size=128,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=128,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=64,
    )
    model = Sam2VideoModel(config)
    model.mask_decoder.pred_obj_score_head.proj_out.bias.data += 20  # it always sees the object
    return _save(model, folder, {"image_processor_type": "Sam2ImageProcessor"})


def _save(model, folder, facts):
    for weight in model.parameters():  # as they are drawn, small networks of this kind hardly look at the picture
        if weight.ndim > 1:
            weight.data *= 6
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(IMAGENET | facts))
    return folder


def seeded(make, folder, seed=0, **more):
    """The folder of a network with weights drawn from a seed, apart from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(folder, **more)
