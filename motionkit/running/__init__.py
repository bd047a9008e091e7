"""A run: one request is checked once, taken through its stages, and written whole or not at all."""
