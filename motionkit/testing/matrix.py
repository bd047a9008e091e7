"""Rules on the backbones that a method declares: where it says that it runs it runs, elsewhere it refuses at once."""

from __future__ import annotations

from motionkit.backbones import catalog
from motionkit.errors import UserError
from motionkit.testing.report import NotApplicable, expect, rule
from motionkit.testing.subject import Outcome, Subject


@rule("class_fits", "settings_have_defaults", "backbones_exist")
def other_backbones_are_refused(subject: Subject) -> None:
    """Where it is not declared and does not suit, the run ends in one line with the reason before weights load."""
    if not subject.spec.backbones:
        raise NotApplicable("runs without a backbone")
    for name, backbone in catalog.specs().items():
        if not subject.spec.runs_on(backbone):
            out = subject.run(f"on-{name}", backbone=name)
            expect(isinstance(out.error, UserError), f"on {name}: {out.problem or 'it ran, but does not declare it'}")
            line, reason = str(out.error), subject.spec.refusal(backbone)
            refused = f"does not run on {name}" in line  # and was not stopped by weights that happen to be missing
            expect(refused and reason in line and "\n" not in line, f"on {name} not one line with why: {line}")
            expect(not out.entered and not out.loads, f"on {name}, work began before it was refused")


@rule("run_ends_well", "backbones_exist")
def declared_backbones_work(subject: Subject) -> None:
    """On each declared backbone of tiny random weights the same request gives a video of the same shape."""
    tiny = [name for name in subject.spec.backbones if name.startswith("tiny-") and name != subject.backbone]
    if not tiny:
        raise NotApplicable("declares no other tiny backbone")
    for name in tiny:
        out = subject.run(f"on-{name}", backbone=name)
        expect(out.result is not None, f"on {name}: {out.problem}")
        expect(_shape(out) == (subject.frames, 3, subject.size, subject.size), f"on {name} a video of {_shape(out)}")


def _shape(out: Outcome) -> tuple[int, ...]:
    return tuple(out.video.shape) if out.video is not None else ()
