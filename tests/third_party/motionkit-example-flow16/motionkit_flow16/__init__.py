"""A backbone from another package: a small transformer over clips of 16 latent channels that predicts a flow."""

from motionkit.backbones import BackboneSpec

TINY = BackboneSpec(
    "tiny-flow16",
    "flow16",
    "a small diffusion transformer over clips, 16 latent channels, flow matching, random seeded weights",
    "none: random, from a seed",
    64,
    16,
    "motionkit_flow16.load:load",
    "MIT",
    0.001,
    latent_channels=16,
    predictions=("flow_prediction",),
    sampler="flow-euler",
    sizes="motionkit_flow16.sizes:architecture",
    unet_class="Flow16Transformer",
    makes_clips=True,
    roles=("spatial_self", "cross", "temporal_self"),
    conf="pkg://motionkit_flow16.conf",
)
