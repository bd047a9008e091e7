"""One small training with a tracker and without: `one_tracked.py NAME FOLDER`; prints "same" where they are."""

import socket
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from test_tracker import draws, trained

from motionkit.training import accelerate_tracker

real = socket.socket.connect


def near(self, address):
    if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "localhost", "::1")):
        raise OSError(f"no network in tests: {address}")
    return real(self, address)


if __name__ == "__main__":
    socket.socket.connect = near
    name, folder = sys.argv[1], Path(sys.argv[2])
    tracker = accelerate_tracker.make(name, folder / "t", "run", {"train": {"lr": 0.1}}, 3)
    plain, seen = trained(folder / "n"), trained(folder / "t", tracker, draws)
    print("same" if plain[0] == seen[0] and all(map(torch.equal, plain[1], seen[1])) else "other")
