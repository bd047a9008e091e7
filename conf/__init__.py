"""The Hydra configuration of the command line: one primary config per verb, and its groups."""
