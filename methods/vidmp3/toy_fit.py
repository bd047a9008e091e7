"""Eq. 1 of VIDMP3: MotionGuide and a linear layer learn one cube's path, and are tested on other clips meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionkit.weights.building import drawing

from .guide import MotionTrunk
from .maps import GuideMaps
from .options import GuideOptions
from .toy import SIDE, random_motion, toy_clips

SMALL = {"stem": (32, 64, 64), "encoding": 32, "post": 128}


class ToyNet(nn.Module):
    """The guide's trunk with a final linear layer to a path, (F, 6)."""

    def __init__(self, options: GuideOptions, seed: int = 0) -> None:
        super().__init__()
        with drawing(seed):
            self.trunk = MotionTrunk(options)
            self.final = nn.Linear(options.post, 6, bias=options.bias)

    def forward(self, maps: GuideMaps) -> Tensor:
        """Maps of a clip to its path, (F, 6)."""
        return self.final(self.trunk(maps.image, maps.mask))


@dataclass
class Course:
    """Losses during training: `steps`, and for each clip one loss per step; the mean of the path scores 1.0.

    All losses are against the path of the training clip, of the clips that follow another path too.
    """

    steps: list[int] = field(default_factory=list)
    losses: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def last(self, group: str) -> list[float]:
        """The final loss of each clip of a group."""
        return [course[-1] for course in self.losses[group].values()]

    def mean(self, group: str) -> float:
        """Mean of the final losses of a group."""
        return sum(self.last(group)) / len(self.last(group))

    def separation(self) -> float:
        """Least loss under another motion over the largest under another shape: how well the two are told apart."""
        return min(self.last("motion")) / max(self.last("shape"))


def learn(
    seed: int,
    colours: str = "faces",
    iterations: int = 100,
    lr: float = 5e-4,
    every: int = 0,
    side: int = SIDE,
    **options: object,
) -> tuple[ToyNet, Course]:
    """Train on the cube's clip with Adam and follow the losses of all others (Eq. 1 and Fig. 2).

    Args:
        seed: of the motions and of the net.
        colours: of the correspondence map (`toy.toy_maps`).
        every: note the losses every so many steps, and at the end; 0 is at the end only.
        options: of `GuideOptions`, for the ablations.

    Returns:
        The net and its course.
    """
    design = GuideOptions(**(SMALL | options))  # type: ignore[arg-type]
    clips = toy_clips(seed, colours, design.inputs, side)
    target = torch.from_numpy(random_motion(100 * seed)).float()
    target = (target - target.mean(0)) / target.std(0, unbiased=False)
    net, course = ToyNet(design, seed), Course()
    adam = torch.optim.Adam(net.parameters(), lr)
    train = clips["train"]["cube"]
    for step in range(iterations + 1):
        if step == iterations or every and step % every == 0:
            _note(course, step, net, clips, target)
        if step < iterations:
            adam.zero_grad()
            F.mse_loss(net(train), target).backward()
            adam.step()
    return net, course


@torch.no_grad()
def _note(course: Course, step: int, net: ToyNet, clips: dict[str, dict[str, GuideMaps]], target: Tensor) -> None:
    course.steps.append(step)
    for group, name, maps in _each(clips):
        loss = float(F.mse_loss(net(maps), target))
        course.losses.setdefault(group, {}).setdefault(name, []).append(loss)


def _each(clips: dict[str, dict[str, GuideMaps]]) -> Iterable[tuple[str, str, GuideMaps]]:
    return ((group, name, maps) for group, some in clips.items() for name, maps in some.items())
