"""A run: one request is checked once, its stages are run, and its result is written completely or not at all."""
