"""Gives Hydra the options of its groups out of what is registered; a broken package is left out, and told why."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import secrets
from collections.abc import Sequence
from typing import Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.errors import UserError, told
from motionkit.running.choices import method_settings
from motionkit.settings.conf_folders import CONFIG, folder_of, said_of
from motionkit.settings.config import typed
from motionkit.settings.setting import nullable
from motionkit.training.job import DataConfig
from motionkit.transfer import MethodSpec
from motionkit.weights.hashing import hash_json


def register(verb: str, schema: type, words: Sequence[str] = ()) -> None:
    """Give Hydra the schemas of a verb, of every method, and of the groups, and the search paths of third parties.

    Args:
        words: as they were typed: gpu=16gb names a size of a card that no file is written for.
    """
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    from motionkit.settings.gpu import TIERS, GpuConfig

    store = ConfigStore.instance()
    for group in ("schema", "method", "backbone", "gpu"):
        store.repo.pop(group, None)  # of an earlier call in this process
    store.store(group="schema", name=verb, node=schema)
    store.store(group="schema/backbone", name="any", node=catalog.BackboneConfig)
    store.store(group="schema/gpu", name="any", node=GpuConfig)
    store.store(group="schema/data", name="any", node=DataConfig)
    sizes = [size for word in words if word.startswith("gpu=") for size in re.findall(r"\b\d{1,4}gb\b", word)]
    groups = {"backbone": ("auto", "pocket", "tiny"), "gpu": ("auto", *TIERS, *sizes)}
    for group, names in groups.items():
        for name in names:
            _register_option(store, group, name)
    for name, spec in catalog.specs().items():
        with contextlib.suppress(UserError):  # said in full when this backbone is asked for
            _register_option(store, "backbone", name, spec.conf)
    for name in registry.names():
        _register_method(store, name)
    OmegaConf.register_new_resolver("motionkit.hash", own_hash, use_cache=True, replace=True)
    _search_paths()


def own_hash(words: Any) -> str:
    """A hash for this start alone: the same words twice in a second get a folder each."""
    return hash_json([*words, secrets.token_hex(8)])[:8]


def _register_option(store: Any, group: str, name: str, conf: str | None = None) -> None:
    """An option without a YAML file is its name and the defaults of its schema.

    Raises:
        UserError: the package that adds it has no such configuration.
    """
    for path in filter(None, (CONFIG, conf)):
        if (folder_of(path, group, name) / group / f"{name}.yaml").is_file():
            return
    store.store(group=group, name=name, node={"name": name})


def own_value(spec: MethodSpec | catalog.BackboneSpec, group: str, key: str) -> Any:
    """What the YAML of a part of another package says of a key, whatever was typed; None where it says nothing."""
    return said_of(spec.conf, group, spec.name).get(key)


def _register_method(store: Any, name: str) -> None:
    """Give Hydra a method; one whose package is broken is left out, and says so in full when it is asked for."""
    spec = registry.spec(name)
    try:
        _register_option(store, "method", name, spec.conf)
        schema = registry.settings_class(spec)
        trainer = registry.load_object(spec.train_config) if spec.train_config else None
        if "name" not in {field.name for field in dataclasses.fields(schema)}:
            schema = dataclasses.make_dataclass(f"Named{schema.__name__}", [("name", str, name)], bases=(schema,))
        nodes: dict[str, Any] = {"method": nullable(schema), "trainer": nullable(trainer) if trainer else {}}
        for group, node in nodes.items():
            store.store(group=f"schema/{group}", name=name, node=node)
    except Exception as error:
        if registry.registered(name).dist == registry.OWN and not isinstance(error, UserError):
            raise


def _search_paths() -> None:
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class PartSearchPath(SearchPathPlugin):
        """Adds the configuration folders that third-party methods and backbones declare."""

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            """Append each of them once."""
            declared = {f"method-{name}": registry.spec(name).conf for name in registry.names()}
            declared |= {f"backbone-{name}": spec.conf for name, spec in catalog.specs().items()}
            for name, conf in declared.items():
                if conf:
                    search_path.append(name, conf)

    known = Plugins.instance().discover(SearchPathPlugin)
    if not any(plugin.__name__ == PartSearchPath.__name__ for plugin in known):
        Plugins.instance().register(PartSearchPath)


def broken_part(group: str, name: str) -> UserError:
    """Why a method or a backbone that is registered has no configuration."""
    try:
        spec = registry.spec(name) if group == "method" else catalog.get(name)
        if spec.conf:
            folder_of(spec.conf, group, name)
        if isinstance(spec, MethodSpec):
            method_settings(spec)
            if spec.train_config:
                typed(registry.load_object(spec.train_config), None, "train.")
    except UserError as error:
        return error if name in str(error) else UserError(f"{group} {name!r}: {error}")
    except Exception as error:
        return UserError(f"{group} {name!r}: its settings cannot be used: {told(error)}")
    return UserError(f"{group} {name!r} has no configuration that can be read, which its package has to mend")
