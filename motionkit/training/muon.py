"""Muon: momentum whose update of every matrix is made nearly orthogonal.

Jordan et al. 2024, kellerjordan.github.io/posts/muon. Weights of more than two dimensions, as those of convolutions,
count as matrices (out, in * kernel).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_A, _B, _C = 3.4445, -4.7750, 2.0315  # of the quintic iteration, as published


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Matrices (..., O, I) with all singular values near 1 (.7 to 1.2), by Newton-Schulz steps in bfloat16."""
    x = matrix.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x  # (..., short, long)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    plus = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(steps):
        gram = x @ x.mT  # (..., short, short)
        x = plus(x, plus(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x  # the matrix's own shape (..., O, I)


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised, scaled by sqrt(max(1, rows / columns)); decoupled weight decay.

    Same arithmetic as `torch.optim.Muon`, which takes matrices only. Its momentum is in `state_dict`.

    Raises:
        ValueError: a parameter of fewer than two dimensions.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    raise ValueError(f"Muon is for weights of two or more dimensions, not {tuple(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[Any, list[Tensor]] = {}
            for place, parameter in enumerate(group["params"]):
                if parameter.grad is not None:
                    # On a GPU, matrices of one shape are updated together, which saves kernel launches.
                    key = parameter.flatten(1).shape if parameter.is_cuda else place
                    alike.setdefault(key, []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, group["lr"], group["momentum"], group["weight_decay"])
        return loss

    def _update(self, parameters: list[Tensor], lr: float, momentum: float, decay: float) -> None:
        steps = [self._blend(p, momentum).flatten(1) for p in parameters]  # (O, I) each
        found = orthogonalise(steps[0])[None] if len(steps) == 1 else orthogonalise(torch.stack(steps))  # (N, O, I)
        scale = max(1.0, found.shape[1] / found.shape[2]) ** 0.5
        for parameter, step in zip(parameters, found, strict=True):
            parameter.mul_(1 - lr * decay).add_(step.to(parameter.dtype).view_as(parameter), alpha=-lr * scale)

    def _blend(self, parameter: Tensor, momentum: float) -> Tensor:
        """The gradient mixed with its momentum, after the momentum is updated with the gradient."""
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)
