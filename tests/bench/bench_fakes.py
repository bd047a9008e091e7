"""A method that does as its settings say, for the tests of the benchmark; importable in the cells' own processes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from motionkit.errors import UserError
from motionkit.transfer import MethodSpec, Requirement, Transfer


@dataclass
class ObedientConfig:
    how: str = ""  # "", "raise", "refuse", "die", "stop"
    until: str = ""  # a file: once it is there, the method works
    log: str = ""  # a file that gets a line for each video made
    megabytes: int = 0
    roll: int = 1
    seconds: float = 0.0  # that it takes


SPEC = MethodSpec(
    name="obedient",
    title="Obedient",
    summary="Rolls the driving clip sideways.",
    paper_url="https://example.org/obedient",
    citation="@misc{obedient, title={Obedient}}",
    licence="Apache-2.0",
    transfer="bench_fakes:Obedient",
    config="bench_fakes:ObedientConfig",
    requires=(Requirement("driving", "a video"),),
    uses=(Requirement("prompt"),),
    version="7",
)


class Obedient(Transfer):
    """The driving clip, moved; or what its settings ask for."""

    spec = SPEC

    def prepare(self, inputs):
        return {}

    def generate(self, inputs, prepared, fitted):
        import torch

        settings = self.config
        if settings.how and not (settings.until and Path(settings.until).exists()):
            self._misbehave(settings.how)
        if settings.megabytes:
            torch.ones(settings.megabytes * 250_000).sum()
        time.sleep(settings.seconds)
        if settings.log:
            with Path(settings.log).open("a") as log:
                log.write(f"made for {os.getppid()}\n" if settings.seconds else "made\n")
        frames = torch.from_numpy(inputs.driving.frames).permute(0, 3, 1, 2) / 255
        return frames.roll(settings.roll, -1)

    @staticmethod
    def _misbehave(how):
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "stop":
            raise KeyboardInterrupt
        raise UserError("the clip\nis too green") if how == "refuse" else RuntimeError("a <b>bold</b> defect")
