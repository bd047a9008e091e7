"""Settings that come with the sampler."""
