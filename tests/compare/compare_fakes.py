"""Three small methods for the table of cells: one that answers, one that fails, one that the user interrupts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from motionkit.errors import UserError
from motionkit.transfer import MethodSpec, Requirement, Transfer

CALLS: list[str] = []
INTERRUPT: set[str] = set()


@dataclass
class ShiftConfig:
    by: int = 3
    weights: str = ""


SHIFT = MethodSpec(
    name="shift",
    title="Shift",
    summary="Rolls the reference sideways.",
    paper_url="https://example.org/shift",
    citation="@misc{shift, title={Shift}}",
    licence="Apache-2.0",
    transfer="compare_fakes:Shift",
    config="compare_fakes:ShiftConfig",
    requires=(Requirement("reference", "a picture"),),
    uses=(Requirement("driving"),),
)
ECHO = replace(
    SHIFT, name="echo", title="Echo", transfer="compare_fakes:Echo", requires=(Requirement("driving"),), uses=()
)
MENDABLE = replace(SHIFT, name="mendable", transfer="compare_fakes:Mendable")
BROKEN = replace(SHIFT, name="broken", transfer="compare_fakes:Broken")
NEEDY = replace(SHIFT, name="needy", requires=(Requirement("masks", "a folder of masks"),))


class Shift(Transfer):
    """The reference, moved by `config.by` pixels per frame."""

    spec = SHIFT

    def weights(self):
        return {"main": Path(self.config.weights)} if self.config.weights else {}

    def prepare(self, inputs):
        return {}

    def generate(self, inputs, prepared, fitted):
        import torch

        CALLS.append(self.spec.name)
        if self.spec.name in INTERRUPT:
            raise KeyboardInterrupt
        self.run.show("reference", inputs.reference.frames[:1])
        picture = torch.from_numpy(inputs.reference.frames[0]).permute(2, 0, 1) / 255
        return torch.stack([picture.roll(self.config.by * i, -1) for i in range(self.run.frames)])


class Echo(Shift):
    """The driving clip itself."""

    spec = ECHO

    def generate(self, inputs, prepared, fitted):
        import torch

        CALLS.append("echo")
        if "echo" in INTERRUPT:
            raise KeyboardInterrupt
        return torch.from_numpy(inputs.driving.frames).permute(0, 3, 1, 2) / 255


class Mendable(Shift):
    spec = MENDABLE

    def check(self, inputs):
        raise UserError("mendable needs a\nbigger reference")


class Broken(Shift):
    spec = BROKEN

    def generate(self, inputs, prepared, fitted):
        raise ZeroDivisionError("oh no")
