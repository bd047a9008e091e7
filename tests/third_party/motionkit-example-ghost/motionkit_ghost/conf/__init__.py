"""Hydra configuration that ghost adds: the group option `method=ghost`."""
