"""What a low-rank adapter of each kind adds to a layer's weight, and whether it fits that weight.

LoRA (Hu et al., arXiv 2106.09685), with a core in the middle for convolutions (LoCon in Tucker form), LoHa (Hyeon-Woo
et al., FedPara, arXiv 2108.06098) and LoKr (Edalati et al., KronA, arXiv 2212.10650), as LyCORIS (Yeh et al., arXiv
2309.14859) stores them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from motionkit.backbones.lora_lists import misfit

REFUSED = {  # what a name holds, | being its end
    "lora_magnitude": "DoRA",
    "dora_scale": "DoRA",
    "boft": "BOFT",
    "oft_": "OFT",
    ".on_input": "(IA)3",
    ".diff|": "full-difference",
    ".diff_b|": "full-difference",
    ".w_norm": "norm",
    ".b_norm": "norm",
    "bundle_emb": "bundled embedding",
    ".a1.weight": "GLoRA",
    ".b1.weight": "GLoRA",
}
_TUCKER = "i j k l, j r, i p -> p r k l"  # core, input factor, output factor


@dataclass
class Change:
    """One layer's factors: up (O, r, 1...) and down (r, I, k...), and alpha (the change counts alpha / r times).

    `more` holds the factors of other kinds by LyCORIS's names: hada_w1_a, ..., lokr_w1, ..., lora_mid.
    """

    up: Tensor | None = None
    down: Tensor | None = None
    alpha: float | None = None
    root: bool = False  # alpha / sqrt(r) in place of alpha / r (rank-stabilised LoRA, arXiv 2312.03732)
    more: dict[str, Tensor] = field(default_factory=dict)

    @property
    def rank(self) -> int | None:
        """r; None for a LoKr whose factors are both whole, which counts once whatever its alpha."""
        if "hada_w1_b" in self.more:
            return self.more["hada_w1_b"].shape[0]
        if any(key.startswith("lokr_") for key in self.more):
            low = [self.more[key] for key in ("lokr_w2_b", "lokr_w1_b") if key in self.more]
            return low[0].shape[0] if low else None
        return None if self.down is None else self.down.shape[0]

    def factor(self) -> float:
        """How many times `matrix` counts."""
        rank = self.rank
        if self.alpha is None or rank is None:
            return 1.0
        return self.alpha / (rank**0.5 if self.root else rank)

    def matrix(self, device: torch.device | str) -> Tensor:
        """What is added to the weight, float32 (O, I k...). Raises: KeyError, RuntimeError for odd factors."""
        more = {key: value.to(device, torch.float32) for key, value in self.more.items()}
        if any(key.startswith("hada_") for key in more):
            return _hadamard(more, 1) * _hadamard(more, 2)
        if any(key.startswith("lokr_") for key in more):
            return torch.kron(_kronecker(more, 1).contiguous(), _kronecker(more, 2).contiguous())
        assert self.up is not None and self.down is not None
        up, down = (x.to(device, torch.float32).flatten(1) for x in (self.up, self.down))  # (O, r), (r, I k...)
        if "lora_mid" not in more:
            return up @ down
        whole = torch.einsum("p i, i j k l, j r -> p r k l", up, more["lora_mid"], down)  # (O, I, k, k)
        return whole.flatten(1)  # (O, I k k)

    def why_not(self, weight: Tensor) -> str:
        """Why it cannot change that weight, in a few words; "" when it can. No value is computed."""
        if not self.more:
            return misfit(self.up, self.down, weight)
        wanted = [weight.shape[0], weight[0].numel()]
        up, down = (x if x is None else x.to("meta") for x in (self.up, self.down))
        empty = Change(up, down)
        empty.more = {key: value.to("meta") for key, value in self.more.items()}
        try:
            made = list(empty.matrix("meta").shape)
        except KeyError as error:
            return f"has no factor {error.args[0]}"
        except (RuntimeError, AssertionError, IndexError):
            shapes = ", ".join(f"{key} {list(value.shape)}" for key, value in sorted(self.more.items()))
            return f"has factors whose shapes do not match: {shapes}"
        return "" if made == wanted else f"is for weights of shape {made}, here they are {wanted}"


def _hadamard(more: dict[str, Tensor], side: int) -> Tensor:
    """One of LoHa's two low-rank matrices (O, I k...)."""
    out, low, core = more[f"hada_w{side}_a"], more[f"hada_w{side}_b"], more.get(f"hada_t{side}")
    if core is None:
        return out @ low.flatten(1)  # (O, I k...)
    return torch.einsum(_TUCKER, core, low, out).flatten(1)  # (O, I k k)


def _kronecker(more: dict[str, Tensor], side: int) -> Tensor:
    """One of LoKr's two factors as a matrix: (o, i) on the left, (O / o, (I / i) k...) on the right."""
    if (whole := more.get(f"lokr_w{side}")) is not None:
        return whole.flatten(1)  # (O, I k...)
    out, low, core = more[f"lokr_w{side}_a"], more[f"lokr_w{side}_b"], more.get(f"lokr_t{side}")
    if core is None:
        return out @ low.flatten(1)  # (O, I k...)
    return torch.einsum(_TUCKER, core, low, out).flatten(1)  # (O, I k k)
