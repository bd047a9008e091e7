"""Samplers as declared parts: the protocol, the facts about each of them, and which one a run gets; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from motionkit.errors import UserError
from motionkit.registry import SAMPLERS, load_object

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from motionkit.backbones.base import VideoBackbone
    from motionkit.backbones.catalog import BackboneSpec
    from motionkit.diffusion.schedule import Step
    from motionkit.transfer import MethodSpec


class Sampler(Protocol):
    """Steps from noise to clean latents over one model's noise schedule; made anew for each loop, so it may keep state.

    Latents are always in the model's own scale, signal x0 + noise eps. A class is called with the backbone's
    `scheduler` and a CPU generator (or None), which only a sampler that draws noise reads.

    Attributes:
        initial_scale: standard deviation of the noise that a whole grid begins with.
    """

    initial_scale: float

    def grid(self, steps: int, start_t: float | None = None) -> list[Step]:
        """`steps` steps, noise first, without those above timestep `start_t`.

        Raises: UserError for a number of steps that the schedule does not have, or when no step is left.
        """

    def step(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents (float32, any shape) at the step's noise level, and the raw prediction there, to the level below."""


class Invertible(Sampler, Protocol):
    """A sampler whose steps can also be taken upwards, from the clean latents to the noise."""

    def back(self, prediction: Tensor, step: Step, latents: Tensor) -> Tensor:
        """Latents at the level below the step, and a raw prediction, to the step's own level."""


@dataclass(frozen=True)
class SamplerSpec:
    """The facts about a sampler.

    Attributes:
        sampler: "package.module:Class" of a `Sampler`, imported on use.
        predictions: what the models that it supports predict: "epsilon", "v_prediction", "flow_prediction".
        paper_url: where it is described.
    """

    name: str
    summary: str
    sampler: str
    predictions: tuple[str, ...]
    paper_url: str = ""


DDIM = SamplerSpec(
    "ddim",
    "deterministic DDIM (eta 0), which can be inverted: the sampler that the four methods were published with",
    "motionkit.diffusion.ddim:DDIM",
    ("epsilon", "v_prediction"),
    "https://arxiv.org/abs/2010.02502",
)
FLOW_EULER = SamplerSpec(
    "flow-euler",
    "Euler steps for flow-matching models, with the schedule's own shift",
    "motionkit.diffusion.flow_euler:FlowEuler",
    ("flow_prediction",),
    "https://arxiv.org/abs/2210.02747",
)


def choose_sampler(method: MethodSpec, backbone: BackboneSpec | None, name: str | None) -> str | None:
    """The sampler's name for a method on a backbone: the one asked for, the backbone's own, or None without a backbone.

    Raises:
        UserError: no such sampler, or the method or the backbone cannot use it, with the reason.
    """
    if backbone is None:
        return None
    chosen = SAMPLERS.get(backbone.sampler if name in (None, "", "auto") else str(name))
    if method.samplers and chosen.name not in method.samplers:
        why = f": {method.sampler_reason}" if method.sampler_reason else ""
        raise UserError(f"{method.name} needs sampler={' or '.join(method.samplers)}, not {chosen.name}{why}")
    if not set(chosen.predictions) & set(backbone.predictions):
        raise UserError(
            f"sampler={chosen.name} works with models that predict {' or '.join(chosen.predictions)}; {backbone.name} "
            f"predicts {' or '.join(backbone.predictions)}: use sampler={backbone.sampler}"
        )
    return chosen.name


def make_sampler(backbone: VideoBackbone, name: str = "auto", generator: torch.Generator | None = None) -> Any:
    """The sampler of that name over a backbone's noise schedule; "auto" is the backbone's own.

    Raises:
        UserError: no such sampler, or one that does not support what the backbone predicts.
    """
    spec = SAMPLERS.get(backbone.spec.sampler if name == "auto" else name)
    if backbone.prediction_type not in spec.predictions:
        raise UserError(
            f"sampler={spec.name} works with models that predict {' or '.join(spec.predictions)}; this "
            f"{backbone.spec.name} predicts {backbone.prediction_type}"
        )
    return load_object(spec.sampler)(backbone.scheduler, generator)
