"""Walking the noise schedule: DDIM inversion and sampling, guidance, warping, and noise that moves with its content."""
