"""Where the weights, the example and the expectations lie that the identity test is about."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# The assets that the expectations were made with: when shipped weights are others, expectations are recorded anew.
ASSETS = ROOT / "motionkit" / "assets"

EXPECTED = HERE / "expected.json"  # environment -> case -> hashes and figures, which must be equal there
REFERENCE = HERE / "reference.npz"  # case -> small frames; with the figures, what holds on every other machine
