"""Animate-X at the released size: every name and shape of the authors' checkpoint, and a file of random weights."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from motionkit.methods.animatex.net.backbone import empty_network
from motionkit.methods.animatex.net.config import RELEASED
from motionkit.methods.animatex.net.convert import rename
from motionkit.methods.animatex.net.keys import BUFFERS

LIST = Path(__file__).parent / "animatex_keys.txt.gz"  # name and shape of each entry of the released state dict
TENSORS, PARAMETERS = 2099, 1_817_708_556


@pytest.fixture(scope="module")
def released():
    """Their name -> shape."""
    lines = gzip.decompress(LIST.read_bytes()).decode().splitlines()
    return {name: tuple(map(int, shape.split("x"))) for name, shape in (line.split() for line in lines)}


def test_every_weight_of_the_released_checkpoint_has_its_place(released):
    assert len(released) == TENSORS + len(BUFFERS)
    network = empty_network(RELEASED)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS and len(network.sites()) == 16
    theirs = {name: torch.empty(shape, device="meta") for name, shape in released.items()}
    renamed = rename(RELEASED, theirs)  # strict: nothing missing, nothing left over, the shapes are ours
    assert set(renamed) == set(network.state_dict()) and len(renamed) == TENSORS
    assert sum(value.numel() for value in renamed.values()) == PARAMETERS


def test_the_sizes_of_the_parts(released):
    """The sums that the released model's own list of parts gives."""
    network = empty_network(RELEASED)
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    motion = sum(p.numel() for site in network.sites() for p in site.motion.parameters())
    assert motion == 273_629_120 and sizes["unet"] - motion == 1_411_256_900
    assert sizes["indicator"] == 24_697_344 + 102_817_792 and sizes["image_tokens"] == 5_248_000
    assert (sizes["local"], sizes["pose"]) == (12_456 + 1_088,) * 2
    assert (sizes["slot_pose"], sizes["slot_latent"]) == (13_612 + 2_400, 13_900 + 2_400)


@pytest.mark.skipif("MOTIONKIT_GOLDENS" not in os.environ, reason="MOTIONKIT_GOLDENS is not set")
def test_the_list_is_the_recorded_one(released):
    file = Path(os.environ["MOTIONKIT_GOLDENS"]) / "animatex" / "full_keys.json"
    if not file.is_file():
        pytest.skip(f"no {file}")
    recorded = json.loads(file.read_text())
    assert {name: tuple(shape) for name, shape in recorded["keys"].items()} == released
    assert recorded["total_parameters"] == PARAMETERS


SCRIPT = """
import json, sys
from motionkit.cli import main
from motionkit.running.manifest import peak_rss
code = main(["convert", "animatex", *sys.argv[1:]])
print(json.dumps({"code": code, "peak_gib": peak_rss() / 2**30}))
"""


@pytest.mark.slow
def test_a_file_of_the_released_size_goes_through_the_command(released, tmp_path):
    """3.6 GB of random float16 weights: written as the authors' file, converted, and compared weight by weight."""
    source, target = tmp_path / "animate-x_ckpt.pth", tmp_path / "animatex"
    block = torch.randn(1 << 22, generator=torch.Generator().manual_seed(0)).half() * 0.02

    def drawn(number, shape):  # shifted pieces of one block: drawing 1.8 billion numbers takes a minute
        count, start = torch.Size(shape).numel(), 7919 * number % len(block)
        times = -(-(start + count) // len(block))
        return block.repeat(times)[start : start + count].reshape(shape).clone()  # a copy, or the whole would stay

    state = {name: drawn(i, shape) for i, (name, shape) in enumerate(released.items())}
    torch.save({"state_dict": state, "step": 1}, source)
    del state
    command = [sys.executable, "-c", SCRIPT, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["code"] == 0 and f"{target}: {TENSORS} weights, float16" in done.stdout
    assert report["peak_gib"] < 6  # mapped pages of the source count too; a second copy would make it 8 and more
    theirs = rename(RELEASED, torch.load(source, weights_only=True, mmap=True)["state_dict"])
    file = target / "unet" / "diffusion_pytorch_model.safetensors"
    assert file.stat().st_size > 2 * PARAMETERS
    with safe_open(file, "pt") as written:
        assert set(written.keys()) == set(theirs)
        for name, value in theirs.items():
            assert torch.equal(written.get_tensor(name), value), name
