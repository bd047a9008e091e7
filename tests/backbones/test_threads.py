"""Threads that build networks at once get what one alone gets, and leave torch as it was for everyone else."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import motionkit
from motionkit import backbones, media
from motionkit.settings.gpu import Plan
from motionkit.weights.building import drawing, on_meta
from motionkit.weights.hashing import hash_tensors

THREADS = 8


def at_once(work):
    """What `work(index)` gave in each of the threads, begun together."""
    begin = threading.Barrier(THREADS)

    def one(index):
        begin.wait()
        return work(index)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(THREADS)))


def test_a_module_of_another_thread_has_weights_meanwhile_and_afterwards():
    inside, made = threading.Event(), threading.Event()

    def elsewhere():
        with on_meta():
            inside.set()
            assert made.wait(60)
            return torch.nn.Linear(2, 2).weight.device.type

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(elsewhere)
        assert inside.wait(60)
        device = torch.nn.Linear(2, 2).weight.device.type
        made.set()
        assert (device, other.result()) == ("cpu", "meta")
    assert torch.nn.Linear(2, 2).weight.device.type == "cpu"


def test_only_weights_are_left_out_and_nothing_is_drawn():
    before = torch.random.get_rng_state()
    with on_meta():
        net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        net[0].weight.requires_grad_(False)
    assert {p.device.type for p in net.parameters()} == {"meta"}
    assert {b.device.type for b in net.buffers()} == {"cpu"}
    assert not net[0].weight.requires_grad and net[0].bias.requires_grad
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_module_that_draws_its_weights_itself_leaves_the_generator_alone():
    class Places(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.places = torch.nn.Parameter(torch.randn(3))

    before = torch.random.get_rng_state()
    with on_meta():
        assert Places().places.is_meta
    assert torch.equal(before, torch.random.get_rng_state())


def test_draws_from_one_seed_do_not_mix():
    def work(index):
        with drawing(index % 2):
            return tuple(torch.rand(1).item() for _ in range(50))

    assert len(set(at_once(work))) == 2


def test_backbones_that_load_at_once_are_whole(sound_folder):
    plan = Plan("cpu")
    names = ["tiny-sd", "tiny-animatediff-sd15"]

    def work(index):
        made = backbones.load(names[index % 2], plan, seed=3)
        read = backbones.load("pocket-sd", plan, path=str(sound_folder))
        copy = read.fresh_unet()
        return [hash_tensors(unet.state_dict()) for unet in (made.unet, read.unet, copy)]

    alone = [work(0), work(1)]
    assert at_once(work) == alone * (THREADS // 2)
    assert torch.nn.Linear(2, 2).weight.device.type == "cpu"


@pytest.mark.parametrize("shared", [True, False], ids=["one object", "eight objects"])
@pytest.mark.parametrize("name", ["still", pytest.param("flipsketch", marks=pytest.mark.slow)])
def test_a_method_called_from_threads_is_right(name, shared, tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path))
    frames = np.full((4, 32, 32, 3), 200, np.uint8)
    frames[:, 8:16, 8:24] = 30
    clip = media.from_frames(frames, 6.0, "drive")
    settings = {"backbone": "tiny-modelscope", "sample": {"steps": 2}} if name == "flipsketch" else {}

    def load():
        return motionkit.load(name, gpu="cpu", **settings)

    one = load()

    def work(index, use_cache=False):
        method = one if shared else load()
        made = method(clip, clip, "a box", seed=index % 2, frames=4, size=64, use_cache=use_cache)
        return made.frames.tobytes()

    alone = [work(0), work(1)]
    assert at_once(work) == alone * (THREADS // 2)
    assert at_once(lambda index: work(index, use_cache=True)) == alone * (THREADS // 2)
