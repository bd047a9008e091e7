"""Loops and recipes that train the pocket weights: resumable, exact by step, runnable on two CPU cores."""
