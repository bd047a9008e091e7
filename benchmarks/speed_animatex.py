"""What keeping the step-independent parts of Animate-X saves: a guided step with and without, in one run.

`python benchmarks/speed_animatex.py` (one thread; the last line is JSON). The network has the released depth and levels
at a fifth of its width (64 channels, heads of 16, D = 256) with random weights, on clips of 192 x 128 pixels; times do
not depend on weights. A guided step is two passes, with and without the conditions.

cached: the package's network; what does not depend on the step was prepared before (indicator, branches, keys and
values of text, image and motion tokens).  plain: the same weights, everything computed anew in each pass, all frames of
the reference's branch at once, diffusers' own transformers and three-dimensional convolutions. Both give the same v.

cached_over_plain_time: median CPU seconds of a guided step, 32 frames, the variants taking turns.
cached_over_plain_rounds: the least and the greatest of that ratio in a round, of one step of each.
cached_over_plain_memory: peak memory of a process that makes one guided step, above what it held once loaded.
clip_over_plain_time: a whole clip of 31 steps, the preparation included.
seconds_by_frames, prepare_by_frames: CPU seconds of cached guided steps, and of the preparation, by frames.
Times are CPU seconds of this process, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor, nn

from motionkit.backbones.flatconv import flatten_convolutions
from motionkit.diffusion.guidance import guide
from motionkit.errors import in_one_line
from motionkit.methods.animatex.net import AnimateXConfig, AnimateXNetwork, Conditions, IndicatorConfig

CONFIG = AnimateXConfig(
    channels=(64, 128, 256, 256),
    head_dim=16,
    context_dim=256,
    feature_dim=256,
    indicator=IndicatorConfig(width=256, feedforward=256, head_dim=16),
)
HEIGHT, WIDTH, TOKENS, T, GUIDANCE, STEPS = 192, 128, 77, 500, 2.5, 31
FRAMES = (8, 16, 32, 64, 128, 256)


class PlainSite(nn.Module):
    """Both transformers of a site as diffusers computes them, from the tokens themselves."""

    def __init__(self, site: nn.Module) -> None:
        super().__init__()
        self.appearance, self.motion, self.scale = site, site.motion, site.motion_scale

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor, cross_attention_kwargs: dict, **_) -> tuple:
        x = Transformer2DModel.forward(self.appearance, hidden_states, encoder_hidden_states, return_dict=False)[0]
        motion = cross_attention_kwargs["motion"]
        y = self.motion(x, motion, return_dict=False)[0]
        return (x + self.scale * (y - x),) if self.scale != 1 else (y,)


class PlainTime(nn.Module):
    """A temporal transformer as diffusers computes it."""

    def __init__(self, module: TransformerTemporalModel) -> None:
        super().__init__()
        self.module = module

    def forward(self, hidden_states: Tensor, num_frames: int, **_) -> tuple:
        return TransformerTemporalModel.forward(self.module, hidden_states, num_frames=num_frames, return_dict=False)


def clip(frames: int) -> tuple[Tensor, Conditions]:
    """Noise and conditions of one clip."""
    g, slots, width = torch.Generator().manual_seed(0), frames + 1, CONFIG.context_dim
    given = Conditions(
        torch.randn(1, TOKENS, width, generator=g),
        frames,
        torch.rand(1, 3, HEIGHT, WIDTH, generator=g),
        None,
        torch.rand(1, 3, slots, HEIGHT, WIDTH, generator=g),
        torch.rand(1, slots, 2, 18, generator=g),
        torch.randn(1, 1, width, generator=g),
        torch.randn(1, slots, width, generator=g),
    )
    return torch.randn(1, 4, frames, HEIGHT // 8, WIDTH // 8, generator=g), given


def network() -> AnimateXNetwork:
    """Random weights; layers that begin as the identity add something, so that the variants can be compared."""
    torch.manual_seed(0)
    model = AnimateXNetwork(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return model


class Cached:
    """The package's way: prepared once, on a CPU with flat temporal convolutions as every backbone has them."""

    def __init__(self) -> None:
        self.network = network()
        flatten_convolutions(self.network.unet)

    def prepare(self, given: Conditions) -> None:
        self.cond, self.uncond = self.network.prepare(given), self.network.prepare(given.empty())

    def step(self, x: Tensor) -> Tensor:
        return guide(self.network(x, T, self.uncond), self.network(x, T, self.cond), GUIDANCE)


class Plain:
    """A straightforward port: each pass begins with the conditions."""

    def __init__(self) -> None:
        self.network = network()
        unet = self.network.unet
        unet.transformer_in = PlainTime(unet.transformer_in)
        for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
            for i, site in enumerate(getattr(block, "attentions", ())):
                block.attentions[i] = PlainSite(site)
                block.temp_attentions[i] = PlainTime(block.temp_attentions[i])

    def prepare(self, given: Conditions) -> None:
        self.given = given

    def step(self, x: Tensor) -> Tensor:
        return guide(self.predict(x, self.given.empty()), self.predict(x, self.given), GUIDANCE)

    def predict(self, x: Tensor, given: Conditions) -> Tensor:
        model, frames = self.network, given.frames
        concat = x.new_zeros(len(x), CONFIG.concat_channels, *x.shape[2:])
        if given.reference is not None:
            repeated = given.reference[:, :, None].expand(-1, -1, frames, -1, -1)
            concat = concat + self.branch(model.local, repeated)
            concat = concat + self.branch(model.pose, given.pose_images[:, :, 1:])
        text = torch.cat([given.text, model.reference_tokens(given)], dim=1)
        sample = torch.cat([x.new_zeros(len(x), 12, 1, *x.shape[3:]), torch.cat([x, concat], dim=1)], dim=2)
        words = {"motion": model.motion_tokens(given)}
        return model.unet(sample, T, text, cross_attention_kwargs=words, return_dict=False)[0][:, :, 1:]

    def branch(self, branch: nn.Module, frames: Tensor) -> Tensor:
        return branch.mixed(branch.conv(frames.transpose(1, 2).flatten(0, 1)), len(frames))


VARIANTS = {"cached": Cached, "plain": Plain}


def seconds(work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def status(name: str) -> float:
    """A figure of this process in MiB: VmRSS held now, VmHWM the most so far."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))


def memory(name: str, frames: int) -> None:
    """In a process of its own: what a guided step needs above the loaded model; prints MiB."""
    variant, (x, given) = VARIANTS[name](), clip(frames)
    held = status("VmRSS")
    with torch.no_grad():
        variant.prepare(given)
        variant.step(x)
    print(json.dumps({"above": status("VmHWM") - held, "all": status("VmHWM")}))


def measured_memory(name: str, frames: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--memory", name, "--frames", str(frames)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compare(frames: int, rounds: int) -> dict[str, float]:
    """Median seconds of both, one of each in turn, and of the preparation; they have to agree. The ratio's extremes."""
    variants, (x, given) = {name: make() for name, make in VARIANTS.items()}, clip(frames)
    taken: dict[str, list[float]] = {"cached": [], "plain": [], "prepare": []}
    taken["prepare"].append(seconds(lambda: variants["cached"].prepare(given)))
    variants["plain"].prepare(given)
    ours, theirs = (variants[name].step(x) for name in VARIANTS)
    assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max(), (ours - theirs).abs().max()
    for _ in range(rounds):
        for name in VARIANTS:
            taken[name].append(seconds(lambda name=name: variants[name].step(x)))
    ratios = np.divide(taken["cached"], taken["plain"])  # (rounds,)
    spread = {"least": float(ratios.min()), "most": float(ratios.max())}
    return {name: float(np.median(values)) for name, values in taken.items()} | spread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=32, help="of the comparison")
    parser.add_argument("--most", type=int, default=256, help="frames of the longest clip")
    parser.add_argument("--memory", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        return memory(options.memory, options.frames)
    with torch.no_grad():
        times = compare(options.frames, options.rounds)
        print(
            f"{options.frames} frames of {WIDTH}x{HEIGHT}, one thread, torch {torch.__version__}; CPU seconds of a "
            f"guided step, median of {options.rounds}"
        )
        held = {name: measured_memory(name, options.frames) for name in VARIANTS}
        for name in VARIANTS:
            print(
                f"{name:8s} {times[name]:7.2f} s   peak {held[name]['above']:6.0f} MiB above the loaded model, "
                f"{held[name]['all']:6.0f} in all"
            )
        print(f"prepare  {times['prepare']:7.2f} s, once per clip")
        by_frames, prepares, cached = {}, {}, Cached()
        for frames in (f for f in FRAMES if f <= options.most):
            x, given = clip(frames)
            prepares[frames] = round(seconds(lambda given=given: cached.prepare(given)), 2)
            taken = by_frames[frames] = round(seconds(lambda x=x: cached.step(x)), 2)
            print(f"{frames:4d} frames {taken:8.2f} s a step, {1000 * taken / frames:6.1f} ms a frame")
    whole = (times["prepare"] + STEPS * times["cached"]) / (STEPS * times["plain"])
    print(
        json.dumps(
            {
                "cached_over_plain_time": round(times["cached"] / times["plain"], 3),
                "cached_over_plain_rounds": [round(times[end], 3) for end in ("least", "most")],
                "cached_over_plain_memory": round(held["cached"]["above"] / held["plain"]["above"], 3),
                "clip_over_plain_time": round(whole, 3),
                "frames": options.frames,
                "seconds_by_frames": by_frames,
                "prepare_by_frames": prepares,
            }
        )
    )


if __name__ == "__main__":
    in_one_line(main)
