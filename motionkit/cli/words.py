"""A typed configuration as a `Request`: paths start from the user's folder; its check refuses the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from motionkit.errors import UserError
from motionkit.running.choices import BackboneChoice
from motionkit.running.clips import CLIPS, PART
from motionkit.running.request import TEXTS, Request
from motionkit.transfer import MAPS, Inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from motionkit.cli.hydra_app import JobFolders
    from motionkit.cli.schemas import RequestConfig, TransferConfig
    from motionkit.transfer import MethodSpec

_FILES = ("path", "motion_adapter", "lora", "vae", "embeddings")  # of the backbone group


def request_of(config: TransferConfig, start: JobFolders) -> Request:
    """The whole request of `transfer`, its clips not yet read.

    Raises:
        UserError: a path that is an address on the network, or an empty one among the backbone's weights.
    """
    more = {name: getattr(config, name) for name in ("output_metadata", "audio", "alpha", "loop")}
    more |= {"config": config.method, "folder": start.folder, "output": path_of(config.output, start)}
    return shared_request(config, start, config.method["name"], **more)


def shared_request(words: RequestConfig, start: JobFolders, method: MethodSpec | str = "", **more: Any) -> Request:
    """The part of a request that is the same for every method; raises as `request_of`."""
    texts = {name: getattr(words, name) for name in TEXTS}
    given: dict[str, Any] = {name: text if text.strip() else "" for name, text in texts.items()}  # no blanks alone
    more |= {name: getattr(words, name) for name in PART}
    given |= {name: path_of(getattr(words, name), start) for name in (*CLIPS, *MAPS)}
    return Request(
        method,
        Inputs(**given),
        backbone=choice_of(words.backbone, start),
        gpu=words.gpu,
        sampler=words.sampler,
        seed=words.seed,
        frames=words.frames,
        size=words.size,
        fps=words.fps,
        use_cache=words.cache,
        **more,
    )


def choice_of(group: Mapping[str, Any], start: JobFolders) -> BackboneChoice:
    """The `backbone` group: which one, and with which weights. Raises: UserError for an empty path."""
    for key in _FILES:
        value = group.get(key)
        each = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        if any(isinstance(one, str) and not one.strip() for one in each):
            raise UserError(f"backbone.{key}= is empty: give a path, or leave backbone.{key}= out")
    more = (bool(group.get("online")), start.motion(group), start.lora(group), start.parts(group))
    return BackboneChoice(group["name"], start.weights(group), *more)


def path_of(value: str | None, start: JobFolders) -> Any:
    """A user's path, resolved against the folder of the start; None and blanks (refused later) stay as they are."""
    return str(start.resolve(value)) if value and value.strip() else value
