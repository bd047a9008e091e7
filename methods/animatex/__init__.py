"""Animate-X (arXiv 2410.10306): any character follows the poses of a driving video."""
