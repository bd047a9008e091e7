"""Small methods that do real work, for the tests of the road; importable in subprocesses too."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from motionkit.transfer import MethodSpec, Requirement, Stage, Transfer


@dataclass
class FitSettings:
    steps: int = 4
    pause: float = 0.0


@dataclass
class BlendConfig:
    strength: float = 0.5
    nan_in: str = ""
    fit: FitSettings = field(default_factory=FitSettings)


SPEC = MethodSpec(
    name="blend",
    title="Blend",
    summary="Blends the reference into the driving clip.",
    paper_url="https://example.org/blend",
    citation="@misc{blend}",
    licence="Apache-2.0",
    transfer="fake_methods:Blend",
    config="fake_methods:BlendConfig",
    requires=(Requirement("reference", "a picture"), Requirement("driving")),
    uses=(Requirement("prompt"),),
    stages=(
        Stage("prepare", ("reference", "driving"), ("strength",), seeded=False),
        Stage("fit", ("reference",), ("fit.steps",)),
    ),
)
ON_TINY = replace(SPEC, name="blend-tiny", backbones=("tiny-sd",), default_backbone="tiny-sd")


class Blend(Transfer):
    """Averages the two clips, then shifts by a fitted number and noise that depends on the prompt."""

    spec = SPEC
    calls: list[str] = []

    def prepare(self, inputs):
        import torch

        self.calls.append("prepare")
        clips = (inputs.reference.frames[:1], inputs.driving.frames)
        reference, driving = (torch.from_numpy(c).permute(0, 3, 1, 2) / 255 for c in clips)
        self.run.show("driving", inputs.driving.frames)
        self.run.note("mean", float(driving.mean()))
        mixed = self.config.strength * reference + (1 - self.config.strength) * driving
        mixed = mixed * float("nan") if self.config.nan_in == "prepare" else mixed
        return {"mixed": mixed}

    def fit(self, inputs, prepared):
        import torch

        self.calls.append("fit")
        checkpoint = self.run.checkpoint("fit")
        state = checkpoint.load() or {"step": torch.zeros((), dtype=torch.int64), "value": torch.zeros(3)}
        generator = self.run.generator("fit")
        noise = torch.randn(self.config.fit.steps, 3, generator=generator)
        for step in range(int(state["step"]), self.config.fit.steps):
            state = {"step": torch.tensor(step + 1), "value": state["value"] + 0.01 * noise[step]}
            checkpoint.save(state)
            self._log(f"step {step}")
            self.run.progress.tick("tuning", step + 1, self.config.fit.steps)
            time.sleep(self.config.fit.pause)
        return {"value": state["value"]}

    def generate(self, inputs, prepared, fitted):
        import torch

        self.calls.append("generate")
        text = torch.randn(3, generator=self.run.generator(f"prompt {inputs.prompt}"))
        video = prepared["mixed"] + (fitted["value"] + 0.01 * text)[:, None, None]
        if self.config.nan_in == "generate":
            video[1, 0, 0, 0] = float("nan")
        return video.clamp(0, 1)

    @staticmethod
    def _log(line):
        if path := os.environ.get("BLEND_LOG"):
            with Path(path).open("a") as log:
                log.write(line + "\n")


class BlendOnBackbone(Blend):
    """The same through a backbone's autoencoder, in its first step only."""

    spec = ON_TINY

    def prepare(self, inputs):
        prepared = super().prepare(inputs)
        return {"mixed": self.backbone.decode(self.backbone.encode(prepared["mixed"])).cpu()}


ON_TINY = replace(ON_TINY, transfer="fake_methods:BlendOnBackbone")
BlendOnBackbone.spec = ON_TINY
