"""Fails at import."""

raise ImportError("libspectre.so.9 is not there")
