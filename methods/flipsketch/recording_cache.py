"""Where a reference's queries and keys are kept: with the cached stage when they are small, else in this process."""

from __future__ import annotations

from .compose import Recording
from .reference import Recorder

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
