"""The training loop and what goes with it: resumable, exact by step, runnable on two CPU cores; recipes/ uses it."""
