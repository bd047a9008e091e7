"""Hydra configuration that flow16 adds: the group option `backbone=tiny-flow16`."""
