"""Sampling and inversion along the noise schedule, guidance, warping, and noise that moves with its content."""
