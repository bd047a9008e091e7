"""Keypoint and flow weights on disk: safetensors with their constructor arguments, bound to the VAE they learned on."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from motionkit.errors import MissingWeights, UserError
from motionkit.weights import eight_bit, places
from motionkit.weights.building import drawing
from motionkit.weights.finding import Wanted, find

from .keypoints import KPDetector
from .lofnet import LOFNet

FORMAT = "motionkit-anamodiff-1"
KINDS: dict[str, type[nn.Module]] = {"keypoints": KPDetector, "lofnet": LOFNet}


def pocket_folder() -> Path:
    """Where the shipped weights lie."""
    return places.assets() / "anamodiff"


def vae_signature(vae: nn.Module, count: int = 8) -> list[float]:
    """Numbers that tell one VAE from another and survive a change of dtype.

    Each is the projection of a weight on a fixed wave, in units in which unrelated weights give N(0, 1): of `count`
    weights of the encoder, then of `quant_conv`, where it is, which may scale the latents of one and the same encoder.
    """
    numbers = []
    state = sorted(vae.state_dict().items())
    weights = [w for name, w in state if name.startswith("encoder") and w.ndim == 4][:count]
    weights += [w for name, w in state if name == "quant_conv.weight"]
    for weight in weights:
        flat = weight.detach().float().cpu().flatten()  # (n,)
        wave = torch.cos(torch.arange(len(flat), dtype=torch.float64) * 1.7).float()
        scale = flat.square().mean().sqrt() * wave.norm()
        numbers.append(round(float(flat @ wave / scale.clamp_min(1e-12)), 4))
    return numbers


def same_vae(ours: list[float], theirs: list[float]) -> bool:
    """Whether two signatures belong to the same weights, up to rounding; files may hold the encoder's numbers alone."""
    shared = min(len(ours), len(theirs))
    close = all(math.isclose(a, b, abs_tol=0.05) for a, b in zip(ours, theirs, strict=False))
    return close and shared > 0 and abs(len(ours) - len(theirs)) <= 1


def save_network(path: Path, kind: str, config: dict[str, Any], state: dict[str, Tensor], **facts: Any) -> None:
    """Write one network with its constructor arguments, atomically.

    Args:
        kind: "keypoints" or "lofnet".
        config: constructor arguments.
        state: state dict; stored as given (cast it to half to ship it).
        facts: JSON-able notes; for a lofnet on latents `vae` = `vae_signature(...)` and `backbone` = its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    facts_text = json.dumps(facts, sort_keys=True)
    metadata = {"format": FORMAT, "kind": kind, "config": json.dumps(config, sort_keys=True), "facts": facts_text}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({k: v.contiguous() for k, v in state.items()}, temporary, metadata)
    os.chmod(temporary, 0o644)  # safetensors writes files that only their owner can read
    os.replace(temporary, path)


def load_network(path: Path, kind: str) -> tuple[nn.Module, dict[str, Any]]:
    """Read a network written by `save_network`, in eval mode and float32, with its facts.

    Raises:
        MissingWeights: no such file.
        UserError: not a safetensors file of this kind, or weights that do not fit their own arguments.
    """
    if not path.is_file():
        raise MissingWeights(f"no {kind} weights at {path}: train them with `motionkit train method=anamodiff`")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if metadata.get("format") != FORMAT or metadata.get("kind") != kind:
            raise ValueError(f"it holds {metadata.get('kind', 'something else')}")
        with drawing():  # new layers draw from the global generator
            network = KINDS[kind](**json.loads(metadata["config"]))
        _fill(network, state)
        facts = json.loads(metadata.get("facts", "{}"))
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a usable {kind} file of AnaMoDiff: {line}") from error
    return network.eval(), facts


def _fill(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load strictly, but for the counters that batch norm keeps and that no result depends on."""
    state = eight_bit.unpack_all(state)
    missing, unexpected = network.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"{len(missing)} weights missing, {len(unexpected)} unknown ({(missing + unexpected)[0]})")


def random_networks(channels: int, side: int, seed: int = 0) -> tuple[KPDetector, LOFNet]:
    """Small untrained networks for tests and tiny backbones.

    Args:
        channels: latent channels.
        side: the shorter side of the latent in pixels; the hourglass gets as many levels as fit.
    """
    levels = max(1, min(3, int(math.log2(side)) - 1))
    with drawing(seed):
        detector = KPDetector(num_kp=5, block_expansion=8, max_features=32, num_blocks=2, pad=3)
        flow = LOFNet(num_kp=5, num_channels=channels, block_expansion=8, max_features=32, num_blocks=levels)
    return detector.eval(), flow.eval()


def weight_files(weights: str, backbone: str) -> dict[str, Path]:
    """The files that a setting of `method.weights` means for a backbone; none for random ones.

    Args:
        weights: auto (by backbone), pocket, random, a folder, or a repository of the hub.

    Raises:
        MissingWeights: nothing was trained for this backbone, or a file is not there; says how to get it.
    """
    if weights == "auto":
        weights = "random" if backbone.startswith("tiny") else "pocket" if backbone.startswith("pocket") else ""
    if weights == "random":
        return {}
    if not weights:
        raise MissingWeights(f"no keypoint and flow weights ship for {backbone}: {_how(backbone)}")
    folder = pocket_folder() if weights == "pocket" else Path(weights).expanduser()
    if not folder.exists() and places.is_hub_id(weights):
        folder = find(Wanted("AnaMoDiff", tuple(f"{k}.safetensors" for k in KINDS), setting="method.weights"), weights)
    files = {kind: folder / f"{kind}.safetensors" for kind in KINDS}
    for path in files.values():
        if not path.is_file():
            raise MissingWeights(f"no such weights: {path}: {_how(backbone)}")
    return files


def _how(backbone: str) -> str:
    return (
        f"run `motionkit train method=anamodiff train.backbone={backbone} data=<folder of clips> output=<folder>` "
        "and pass method.weights=<folder>"
    )


def load_networks(files: dict[str, Path], backbone: str, vae: AutoencoderKL, side: int) -> tuple[KPDetector, LOFNet]:
    """The two networks for a backbone.

    Args:
        files: from `weight_files`; none gives small random networks.
        backbone: its name.
        vae: its VAE, whose latents the flow network must know.
        side: the shorter side of the latent.

    Raises:
        UserError: the flow network was trained on another VAE, or the two do not belong together.
    """
    if not files:
        return random_networks(vae.config.latent_channels, side)
    detector, seen = load_network(files["keypoints"], "keypoints")
    flow, facts = load_network(files["lofnet"], "lofnet")
    assert isinstance(detector, KPDetector) and isinstance(flow, LOFNet)
    if not same_vae(facts.get("vae", []), vae_signature(vae)):
        trained = facts.get("backbone", "another backbone")
        raise UserError(
            f"{files['lofnet']} was trained on the latents of another autoencoder ({trained}) than this {backbone}'s: "
            f"{_how(backbone)}"
        )
    if detector.num_kp != flow.num_kp:
        raise UserError(f"{files['keypoints']} finds {detector.num_kp} points, its lofnet expects {flow.num_kp}")
    if side < 2**flow.hourglass.num_blocks:
        least = 2**flow.hourglass.num_blocks
        raise UserError(f"the flow network needs latents of at least {least}, this size gives {side}: raise size=")
    detector.frame_size = seen.get("size")
    return detector, flow
