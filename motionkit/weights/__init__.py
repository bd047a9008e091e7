"""Weights: one way to find, hash, read and explain how to get them.

`places` knows the folders of this machine, `finding` looks for declared weights in them, `model_files` and `hashing`
know files, `reading` and `small_nets` make networks of them. All but the last two import no torch.
"""
