"""Weights: one way to find, hash, read and explain how to get them."""
