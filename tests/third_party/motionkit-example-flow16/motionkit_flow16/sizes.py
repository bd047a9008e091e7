"""The sizes of tiny-flow16, which decide together with a seed what it computes; no torch."""

from motionkit.backbones import tiny_sizes

VAE = {
    "block_out_channels": (8, 8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 16,
    "scaling_factor": 0.36,
    "shift_factor": 0.12,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
NETWORK = {"channels": 16, "width": 24, "heads": 2, "depth": 3, "text_width": 16}
SCHEDULER = {"num_train_timesteps": 1000, "shift": 3.0}


def architecture(family):
    """The sizes of every part."""
    text = tiny_sizes.architecture("sd")["text_encoder"]
    return {"vae": VAE, "unet": NETWORK, "text_encoder": text, "scheduler": SCHEDULER}
