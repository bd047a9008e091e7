"""Diffusion maths that every method shares: inversion, sampling, warping, noise on moving content."""
