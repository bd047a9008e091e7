"""Checks what a composed configuration makes Hydra do: nothing that it names runs unless it is known here.

Hydra builds callbacks, loggers, launchers and sweepers from the configuration before a verb sees it, and a folder of
`--config-dir` may come from anyone. Every configuration is therefore looked at as it leaves the loader, those of a
sweep's jobs in their own processes too.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from hydra._internal import hydra as _hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer

from motionkit.cli.sweep import CALLBACK
from motionkit.errors import UserError
from motionkit.settings.config import RESOLVERS, check_interpolations

SWEEPERS = {"basic": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"}
LAUNCHERS = {
    "basic": "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "joblib": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
}
_CODE = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_", "()")
_TYPED = ("launcher.setup", "launcher.python", "launcher.srun_args", "launcher.additional_parameters", "job.env_set")
_NO_ENVIRONMENT = "environment variables are not allowed in settings"


class CheckedLoader(ConfigLoaderImpl):
    """Hydra's loader of configurations, which checks each of them."""

    def load_configuration(
        self, config_name: str | None, overrides: list[str], *given: Any, **named: Any
    ) -> DictConfig:
        """As Hydra's own.

        Raises:
            UserError: the configuration names code, or resolves what it may not.
        """
        if any(re.match(r"[+~]*hydra\.job\.env_copy\b", word) for word in overrides):  # it would be copied at once
            raise _refused("hydra.job.env_copy", _NO_ENVIRONMENT)
        with _known_resolvers():
            config = super().load_configuration(config_name, overrides, *given, **named)
        check(config, overrides)
        return config

    def _process_config_searchpath(self, config_name: str | None, parsed: list[Any], repo: Any) -> None:
        primary = repo.load_config(config_path=config_name) if config_name else None
        said = primary and OmegaConf.is_dict(primary.config) and OmegaConf.select(primary.config, "hydra.searchpath")
        if said or any(override.get_key_element() == "hydra.searchpath" for override in parsed):
            raise UserError("hydra.searchpath: give a folder of configurations by --config-dir FOLDER instead")
        super()._process_config_searchpath(config_name, parsed, repo)

    def _compose_config_from_defaults_list(self, defaults: list[Any], repo: Any) -> DictConfig:
        config = super()._compose_config_from_defaults_list(defaults, repo)
        if config.hydra.job.env_copy:  # it would be copied next
            raise _refused("hydra.job.env_copy", _NO_ENVIRONMENT)
        return config


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Within the block Hydra loads configurations by `CheckedLoader`, and composes none to look up its mode alone."""
    before = _hydra.ConfigLoaderImpl, _hydra.Hydra.get_mode

    def get_mode(self: _hydra.Hydra, config_name: str | None, overrides: list[str]) -> Any:
        typed = any(word.startswith("hydra.mode=") for word in overrides)  # nothing else may set it, see `_check_job`
        return before[1](self, config_name, overrides) if typed else None

    _hydra.ConfigLoaderImpl = CheckedLoader  # type: ignore[misc]
    _hydra.Hydra.get_mode = get_mode  # type: ignore[method-assign]
    try:
        yield
    finally:
        _hydra.ConfigLoaderImpl, _hydra.Hydra.get_mode = before  # type: ignore[misc, method-assign]


@contextlib.contextmanager
def _known_resolvers() -> Iterator[None]:
    """Within the block OmegaConf knows `RESOLVERS` alone: names in a list of defaults are resolved as it is read."""
    before = dict(BaseContainer._resolvers)
    for name in set(before) - set(RESOLVERS):
        del BaseContainer._resolvers[name]
    try:
        yield
    finally:
        BaseContainer._resolvers.update(before)


def check(config: DictConfig, overrides: Sequence[str]) -> None:
    """Refuse a composed configuration that would make Hydra run what is not known here.

    Args:
        overrides: the words that the user typed, the only ones that may set a launcher's commands.

    Raises:
        UserError: the first such key.
    """
    tree = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    assert isinstance(tree, dict)
    check_interpolations(tree)
    hydra = tree.pop("hydra")
    if code := _code(tree):
        raise _refused(code, "a configuration must not name code")
    _check_plugins(hydra)
    _check_logging(hydra)
    _check_job(hydra, overrides)


def _check_plugins(hydra: dict[str, Any]) -> None:
    for key, target in (hydra["callbacks"] or {}).items():
        if (key, target) != CALLBACK:
            raise _refused(f"hydra.callbacks.{key}", "a configuration must not name code")
    for kind, known in (("launcher", LAUNCHERS), ("sweeper", SWEEPERS)):
        chosen = dict(hydra[kind]) if isinstance(hydra[kind], dict) else {}
        if chosen.pop("_target_", None) not in known.values():
            raise _refused(f"hydra.{kind}", f"give hydra/{kind}=NAME, one of {', '.join(known)}", remove=False)
        if code := _code(chosen):
            raise _refused(f"hydra.{kind}.{code}", "a configuration must not name code")
        for key in chosen.get("params") or {}:  # of a sweeper: they become words of each job
            if str(key).lstrip("+~").startswith("hydra"):
                raise _refused(f"hydra.{kind}.params.{key}", "a sweep may only set keys of motionkit")


def _check_logging(hydra: dict[str, Any]) -> None:
    for kind in ("hydra_logging", "job_logging"):
        stock = _stock(kind)
        if hydra[kind] not in stock.values():
            raise _refused(f"hydra.{kind}", f"give hydra/{kind}=NAME, one of {', '.join(stock)}", remove=False)


def _check_job(hydra: dict[str, Any], overrides: Sequence[str]) -> None:
    if hydra["mode"] is not None and not any(word.startswith("hydra.mode=") for word in overrides):
        raise _refused("hydra.mode", "give -m for a sweep")
    if sorted([*hydra["overrides"]["hydra"], *hydra["overrides"]["task"]]) != sorted(overrides):
        raise _refused("hydra.overrides", "it must list the words of the command line")
    for place in _TYPED:
        group, _, key = place.partition(".")
        value = hydra[group].get(key) if isinstance(hydra[group], dict) else None
        if value and not _typed(f"hydra.{place}", value, overrides):
            raise _refused(f"hydra.{place}", "it can only be set on the command line")


def _typed(place: str, value: Any, overrides: Sequence[str]) -> bool:
    """Whether the words of the command line set the key, and where it is a table each of its keys."""
    words = [word.lstrip("+") for word in overrides]
    if not isinstance(value, dict):
        return any(word.startswith(f"{place}=") for word in words)
    return all(any(word.startswith(f"{place}.{key}=") for word in words) for key in value)


def _refused(key: str, why: str, remove: bool = True) -> UserError:
    return UserError(f"{key} of the configuration: {why}{': remove it' if remove else ''}")


def _code(tree: Any, above: str = "") -> str:
    """The first key, at any depth, by which Hydra or logging would build an object; "" when there is none."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        if key in _CODE:
            return f"{above}{key}"
        if deeper := _code(value, f"{above}{key}."):
            return deeper
    return ""


def _stock(kind: str) -> dict[str, Any]:
    """Hydra's own settings of a logger, by name."""
    folder = resources.files("hydra.conf") / "hydra" / kind
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return {
        file.name.removesuffix(".yaml"): OmegaConf.to_container(OmegaConf.create(file.read_text()), resolve=False)
        for file in files
    }
