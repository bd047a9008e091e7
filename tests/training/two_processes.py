"""Started twice by torchrun: trains with the toolkit's loop or a method's trainer as one of two processes."""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from motionkit.errors import Cancelled
from motionkit.training.loop import Loop, LoopSettings
from motionkit.training.workers import Workers, leave


def small(folder, accumulate=1, workers=None, stop=None):
    """The loop of a small network with batch norm, whose running means are each process's own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1))
    workers = workers or Workers()

    def loss(number):
        if stop is not None and number == 2 * stop + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(number))
        return (model(x) - x.sum(-1, keepdim=True)).square().mean(), {}

    return Loop(model, loss, LoopSettings(folder, 4, log_every=1, accumulate=accumulate), workers=workers)


def flipsketch(folder, clips, accumulate=1):
    """Trains a sketch LoRA."""
    from motionkit.methods.flipsketch.train import train
    from motionkit.methods.flipsketch.train_config import TrainOptions
    from motionkit.settings.gpu import Plan
    from motionkit.training.job import DataConfig, TrainJob

    options = TrainOptions("tiny-modelscope", frames=2, batch=1, targets="mid_block", accumulate=accumulate)
    data = DataConfig("folder", str(clips))
    return train(TrainJob(None, data, Plan(), Path(folder), options, 2, size=32))


def anamodiff(folder, joint=0.5):
    """Trains both networks on sprites."""
    from motionkit.methods.anamodiff.config import AnaMoDiffConfig
    from motionkit.methods.anamodiff.train import train
    from motionkit.methods.anamodiff.train_config import TrainOptions
    from motionkit.settings.gpu import Plan
    from motionkit.training.job import DataConfig, TrainJob

    options = TrainOptions("tiny-sd", batch=2, detector_width=4, flow_width=4, max_width=16, joint=joint)
    return train(TrainJob(AnaMoDiffConfig(), DataConfig(), Plan(), Path(folder), options, 4, size=32))


def main(what, folder, *given):
    """Runs one of them, and prints what it says; for the loop, the weights' sum and how it ended."""
    if what == "flipsketch":
        print(flipsketch(folder, *given))
    elif what == "anamodiff":
        print(anamodiff(folder, *map(float, given)))
    else:
        workers = Workers("cpu")
        loop = small(Path(folder), workers=workers, stop=int(given[0]) if given else None)
        try:
            trained = loop.to_the_end()
            torch.save(trained.state_dict(), Path(folder) / f"rank{workers.rank}.pt")
            print(f"rank {workers.rank} done")
        except Cancelled as error:
            print(f"rank {workers.rank} cancelled: {error}")
    leave(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
