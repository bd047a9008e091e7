"""A sampler from another package: DDIM's steps with fresh noise in each (eta 1)."""

from motionkit.diffusion.samplers import SamplerSpec

SPEC = SamplerSpec(
    "ancestral",
    "DDIM's steps with fresh noise in each (eta 1): another seed gives another video",
    "motionkit_ancestral.sampler:Ancestral",
    ("epsilon", "v_prediction"),
    "https://arxiv.org/abs/2010.02502",
)
