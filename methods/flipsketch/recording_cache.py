"""Where a reference's queries and keys are kept: with the cached stage when they are small, else in this process."""

from __future__ import annotations

from motionkit.weights.hashing import hash_tensors

from .compose import Recording
from .reference import Recorder, Reference

LIMIT_MB = 4096.0
_memory: dict[str, dict[int, Recording]] = {}


def remembering(key: str, recordings: Recorder) -> Recorder:
    """The same recordings; each is kept in memory under `key` when it is first asked for, up to 4 GB.

    Args:
        key: says which sketch, model and settings they are of; another key lets go of those before.
    """
    if key not in _memory:
        _memory.clear()
        _memory[key] = {}
    kept = _memory[key]

    def find(i: int) -> Recording:
        if i in kept:
            return kept[i]
        made = recordings(i)
        if sum(recording.megabytes for recording in kept.values()) + made.megabytes <= LIMIT_MB:
            kept[i] = made.map(lambda tensor: tensor.cpu())
        return made

    return find


def remember_near(key: str, reference: Reference) -> None:
    """Keep under `key` the recordings that lie in the CPU's memory anyway: of those on the device none is copied."""
    find = remembering(key, lambda i: reference.recordings[i])
    for i, recording in enumerate(reference.recordings):
        if recording.device == "cpu":
            find(i)


def key_of(reference: Reference, layers: str | None) -> str:
    """Identifies the sketch, model and settings of recordings: the hash of the reference's path, and the layers."""
    path = hash_tensors({name: t.cpu() for name, t in reference.tensors(recordings=False).items()})
    return f"{path} {layers}"
