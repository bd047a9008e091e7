"""Reference rows that show what a metric's value means: an unchanged clip, an autoencoder's copy, text-to-video alone.

They run like methods, but only as `rows` of a protocol. Given the true video (`sees: truth`), `copy` is the best
possible value and `autoencoder` the best that a backbone can reach; `text` uses no clip at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from motionkit.backbones import catalog
from motionkit.errors import unknown
from motionkit.settings.setting import setting
from motionkit.transfer import MethodSpec, Need, Requirement

NAMES = ("copy", "autoencoder", "text")
_RUNS = "motionkit.table.bench.yardstick_runs"
_READS = Need("reads_text", (True,), "it reads no prompt")


@dataclass
class PlainConfig:
    """Settings of `copy` and `autoencoder`, which have none."""

    name: str = setting("The yardstick's name.", "copy")


@dataclass
class TextConfig:
    """Settings of `text`: how the backbone makes a clip from the prompt."""

    name: str = setting("The yardstick's name.", "text")
    steps: int = setting("Steps of the sampler.", 25, low=1, high=1000)
    guidance: float = setting("Scale of classifier-free guidance.", 4.0, low=0, high=100)
    share: float = setting("Share of the initial noise's variance that all frames have in common.", 0.7, low=0, high=1)


@cache
def spec(name: str) -> MethodSpec:
    """The facts of a yardstick; the registry does not list them. Raises: UserError for another name."""
    if name not in NAMES:
        raise unknown("yardstick", name, NAMES)
    if name == "copy":
        return _spec("copy", "The driving clip, unchanged.", "PlainConfig", "driving")
    every = tuple(catalog.specs())
    if name == "autoencoder":
        what = "The driving clip, encoded and decoded by the backbone's autoencoder."
        return _spec("autoencoder", what, "PlainConfig", "driving", every)
    readers = tuple(one for one in every if catalog.get(one).reads_text)
    return _spec("text", "A clip that the backbone makes from the prompt alone.", "TextConfig", "prompt", readers)


def _spec(name: str, summary: str, config: str, needs: str, backbones: tuple[str, ...] = ()) -> MethodSpec:
    return MethodSpec(
        name=name,
        title=name.capitalize(),
        summary=summary,
        paper_url="",
        citation="",
        licence="Apache-2.0",
        transfer=f"{_RUNS}:{name.capitalize()}",
        config=f"{__name__}:{config}",
        requires=(Requirement(needs),),
        backbones=backbones,
        default_backbone="pocket-sd" if backbones else None,
        suits=(_READS,) if name == "text" else (),
        stochastic=name == "text",
    )
