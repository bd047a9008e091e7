"""Samplers as declared parts: the protocol, the facts about each of them, and which one a run gets; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from motionkit.errors import UserError
from motionkit.registry import BACKBONES, SAMPLERS, load_object

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
        made_for: the weights and the number of steps that it is meant for; empty for any.
    """

    name: str
    summary: str
    sampler: str
    predictions: tuple[str, ...]
    paper_url: str = ""
    made_for: str = ""


_DIFFUSION = ("epsilon", "v_prediction")
DDIM = SamplerSpec(
    "ddim",
    "deterministic DDIM (eta 0), which can be inverted: the sampler that the four methods were published with",
    "motionkit.diffusion.ddim:DDIM",
    _DIFFUSION,
    "https://arxiv.org/abs/2010.02502",
)
DDIM_LEADING = SamplerSpec(
    "ddim-leading",
    "DDIM with leading timestep spacing, whatever the backbone's own spacing is",
    "motionkit.diffusion.ddim:LeadingDDIM",
    _DIFFUSION,
    "https://arxiv.org/abs/2305.08891",
)
DDIM_TRAILING = SamplerSpec(
    "ddim-trailing",
    "DDIM with trailing timestep spacing, which starts at the last timestep, from pure noise",
    "motionkit.diffusion.ddim:TrailingDDIM",
    _DIFFUSION,
    "https://arxiv.org/abs/2305.08891",
    "few steps; Hyper-SD LoRAs of 2, 4 or 8 steps at guidance 1",
)
DPMPP_2M = SamplerSpec(
    "dpmpp-2m",
    "DPM-Solver++ 2M: second order; half of the steps of DDIM for the same error, but for the last one",
    "motionkit.diffusion.solvers:DPMSolver",
    _DIFFUSION,
    "https://arxiv.org/abs/2211.01095",
    "10 to 25 steps",
)
DPMPP_2M_LU = SamplerSpec(
    "dpmpp-2m-lu",
    "DPM-Solver++ 2M with steps even in log signal over noise, many of them near the clean end and near pure noise",
    "motionkit.diffusion.solvers:EvenDPMSolver",
    _DIFFUSION,
    "https://arxiv.org/abs/2206.00927",
    "10 to 20 steps",
)
EULER = SamplerSpec(
    "euler",
    "Euler's method over noise / signal, down to clean latents",
    "motionkit.diffusion.euler:Euler",
    _DIFFUSION,
    "https://arxiv.org/abs/2206.00364",
)
EULER_TRAILING = SamplerSpec(
    "euler-trailing",
    "Euler's method with trailing timestep spacing, which starts at the last timestep",
    "motionkit.diffusion.euler:TrailingEuler",
    _DIFFUSION,
    "https://arxiv.org/abs/2402.13929",
    "SDXL-Lightning and AnimateDiff-Lightning of 2, 4 or 8 steps at guidance 1",
)
UNIPC = SamplerSpec(
    "unipc",
    "UniPC of order 2: each step corrects the previous one without another call of the model",
    "motionkit.diffusion.solvers:UniPC",
    _DIFFUSION,
    "https://arxiv.org/abs/2302.04867",
    "8 to 20 steps",
)
LCM = SamplerSpec(
    "lcm",
    "consistency sampling: each step predicts clean latents and adds fresh noise",
    "motionkit.diffusion.solvers:LCM",
    _DIFFUSION,
    "https://arxiv.org/abs/2310.04378",
    "LCM LoRAs and AnimateLCM of 4 to 8 steps at guidance 1 to 2; at most 50 steps",
)
TCD = SamplerSpec(
    "tcd",
    "trajectory consistency sampling with gamma 0.3: each step adds fresh noise",
    "motionkit.diffusion.solvers:TCD",
    _DIFFUSION,
    "https://arxiv.org/abs/2402.19159",
    "TCD LoRAs and Hyper-SD's one LoRA for any number of steps, 2 to 8 at guidance 1; at most 50 steps",
)
FLOW_EULER = SamplerSpec(
    "flow-euler",
    "Euler's method for flow-matching models, with the schedule's own shift",
    "motionkit.diffusion.flow_euler:FlowEuler",
    ("flow_prediction",),
    "https://arxiv.org/abs/2210.02747",
)


def refusal(method: MethodSpec, sampler: SamplerSpec) -> str:
    """Why a method does not run with a sampler, in one line that may name settings with which it does; "" where it
    runs with any."""
    if not method.samplers or sampler.name in method.samplers:
        return ""
    why = method.sampler_reason or "its mathematics does not allow it"
    free = " or ".join(f"method.{key}={value}" for key, value in method.any_sampler.items())
    return why + (f"; with {free} it runs" if free else "")


def walks(method: MethodSpec, sampler: SamplerSpec) -> bool:
    """Whether one of the backbones that a method names predicts what the sampler works with."""
    there = set(BACKBONES.names())  # a package may name a backbone of another one, which is not installed
    named = [BACKBONES.get(name) for name in method.backbones if name in there]
    return any(set(sampler.predictions) & set(backbone.predictions) for backbone in named)


def choose_sampler(
    method: MethodSpec, backbone: BackboneSpec | None, name: str | None, settings: Mapping[str, Any] | None = None
) -> str | None:
    """The sampler's name for a method on a backbone: the one asked for, the backbone's own, or None without a backbone.

    Args:
        settings: of the method as it will run, by dotted name; some free it to run with any sampler.

    Raises:
        UserError: no such sampler, or the method or the backbone cannot use it, with the reason.
    """
    if backbone is None:
        if name not in (None, "", "auto"):
            SAMPLERS.get(str(name))  # refuses a word that is no sampler
        return None
    chosen = SAMPLERS.get(backbone.sampler if name in (None, "", "auto") else str(name))
    free = any((settings or {}).get(key) == value for key, value in method.any_sampler.items())
    if not free and (why := refusal(method, chosen)):
        raise UserError(f"{method.name} needs sampler={listed(method.samplers)}, not {chosen.name}: {why}")
    if not set(chosen.predictions) & set(backbone.predictions):
        raise UserError(
            f"sampler={chosen.name} works with models that predict {' or '.join(chosen.predictions)}; {backbone.name} "
            f"predicts {' or '.join(backbone.predictions)}: use sampler={backbone.sampler}"
        )
    return chosen.name


def listed(names: Sequence[str]) -> str:
    """Names as a choice.

    >>> listed(["a", "b", "c"])
    'a, b or c'
    """
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


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
