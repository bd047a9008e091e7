"""Typed configuration: checks values against dataclasses, and refuses a wrong one in one line with its key.

Each group of the command line has a dataclass in its room; YAML in conf/ only fills them in. Nothing in a configuration
names code: `method.name` is looked up in the registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from motionkit.errors import UserError, unknown
from motionkit.settings.setting import UNSET, nested, nullable

_KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}
_FORMS = {"size": "a side in pixels, or WIDTHxHEIGHT"}  # of texts that are more than text
_TABLES = {"settings": "settings.NAME.KEY=VALUE", "weights": "weights.NAME=FILE", "least": "least.NAME=N"}
_SEED_LIMIT = 2**63
RESOLVERS = ("now", "hydra", "motionkit.hash")  # what ${NAME:...} may be in a configuration


def check_seed(seed: int) -> None:
    """Refuse a seed that torch would not take. Raises: UserError."""
    if not 0 <= seed < _SEED_LIMIT:
        raise UserError(f"seed={seed} is outside 0 to 2^63 - 1")


def refuse_empty(config: Any, names: Iterable[str]) -> None:
    """Refuse an empty path: it is usually an unset shell variable, and must not mean the current folder.

    Raises:
        UserError: one of the named fields is there and holds nothing.
    """
    for name in names:
        value = getattr(config, name)
        if isinstance(value, str) and not value.strip():
            raise UserError(f"{name}= is empty: give a path, or leave {name}= out")


def typed(schema: type, given: Any = None, prefix: str = "") -> Any:
    """An instance of the dataclass `schema` with the values of `given`: nothing, a mapping, or a finished instance.

    Raises:
        UserError: an unknown key (with the nearest one) or a value of the wrong type; `prefix` stands before the key.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(given, schema):
        return given
    try:
        if OmegaConf.is_config(given):
            check_interpolations(OmegaConf.to_container(given, resolve=False), prefix)
            given = OmegaConf.to_container(given, resolve=True)
        if not isinstance(given or {}, Mapping):
            raise UserError(f"{given} is not a mapping of settings: give them as {prefix}KEY=VALUE")
        known = {field.name for field in fields(schema)}
        values = {str(key): value for key, value in (given or {}).items() if key in known or key != "name"}
        seen = nullable(schema)
        merged = OmegaConf.merge(OmegaConf.structured(seen), literal(values))
        if seen is schema:
            return OmegaConf.to_object(merged)
        return _built(schema, OmegaConf.to_container(merged, resolve=True))
    except OmegaConfBaseException as error:
        raise explain(error, prefix) from error


def _built(schema: Any, values: Any) -> Any:
    """An instance of a dataclass from plain values; a null in place of a value that is still to come is left out."""
    given: dict[str, Any] = {}
    for item in fields(schema):
        value, inner = values[item.name], nested(schema, item)
        if value is not None or item.default != UNSET:
            given[item.name] = _built(inner, value) if inner is not None and isinstance(value, Mapping) else value
    return schema(**given)


def check_interpolations(value: Any, place: str = "") -> None:
    """Refuse, without resolving anything, an interpolation that is neither another key nor one of `RESOLVERS`.

    Manifests keep every setting, so none may hold what an environment variable does: a token, say.

    Args:
        value: a configuration as plain tables, lists and values, interpolations as they are written.
        place: the key above it, with a dot at its end.

    Raises:
        UserError: naming the first such key.
    """
    if isinstance(value, str) and "${" in value:
        for resolver in _resolvers(value, place):
            if resolver not in RESOLVERS:
                raise forbidden(resolver, f"{place.rstrip('.')}={value}")
    for key, item in value.items() if isinstance(value, Mapping) else ():
        check_interpolations(item, f"{place}{key}.")
    for item in value if isinstance(value, list) else ():
        check_interpolations(item, place)


def _resolvers(value: str, place: str) -> list[str]:
    """The resolvers that a text names, at any depth; one whose name is itself an interpolation counts as written."""
    from omegaconf.errors import OmegaConfBaseException
    from omegaconf.grammar_parser import OmegaConfGrammarParser, parse

    try:
        nodes = [parse(value)]
    except OmegaConfBaseException as error:
        where = f"{place.rstrip('.')}={value}"
        raise UserError(f"{where}: the interpolation ${{...}} cannot be parsed: {first_line(error)}") from error
    found = []
    for node in nodes:  # grows while it is walked
        if isinstance(node, OmegaConfGrammarParser.InterpolationResolverContext):
            found.append(node.resolverName().getText())
        nodes += getattr(node, "children", None) or []
    return found


def forbidden(resolver: str, where: str) -> UserError:
    """The error for an interpolation `${resolver:...}` that is not one of `RESOLVERS`."""
    if resolver.startswith("oc.env"):
        return UserError(
            f"{where}: environment variables are not allowed in settings, since the manifest stores settings: "
            "write the value itself"
        )
    return UserError(
        f"{where}: ${{{resolver}:...}} is not resolved, only ${{KEY}} and {', '.join(RESOLVERS)} are: "
        "write the value itself"
    )


def literal(value: Any) -> Any:
    """The same value with every "${" in its strings escaped, so that OmegaConf takes them as text."""
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    return [literal(item) for item in value] if isinstance(value, list | tuple) else value


def explain(error: Exception, prefix: str = "") -> UserError:
    """OmegaConf's error as one line with the key, and the nearest key when it is unknown."""
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    for link in chain(error):
        if isinstance(link, UserError):
            return link
        key = getattr(link, "full_key", None)
        if not isinstance(link, OmegaConfBaseException) or not key:
            continue
        if isinstance(link, ConfigAttributeError | ConfigKeyError):
            above = str(key).rpartition(".")[0]
            return unknown("key", f"{prefix}{key}", [f"{prefix}{above and above + '.'}{k}" for k in _keys(link)])
        reason = first_line(link)
        if unsupported := re.search(r"Unsupported interpolation type (?P<name>\S+)", reason):
            return forbidden(unsupported["name"], f"${{{unsupported['name']}:...}}")
        if reason.startswith("Recursive interpolation"):
            return UserError("a value ${KEY} leads back to its own key: write the value itself")
        if missing := re.match(r"Interpolation key '(?P<name>.*)' not found", reason):
            return UserError(f"${{{missing['name']}}} refers to no key: write the value itself")
        return UserError(_mend(f"{prefix}{key}", link.value, reason) or f"{prefix}{key}: {reason}")
    if group := re.search(r"Merge error: \w+ is not a subclass of \w+. value: (?P<value>.*)", first_line(error)):
        return UserError(f"{prefix}NAME={group['value']}: NAME has settings of its own: give {prefix}NAME.KEY=VALUE")
    return UserError(f"{prefix.rstrip('.')}: {first_line(error)}".lstrip(": "))


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind when it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def unknown_of(error: Exception) -> str:
    """The key that OmegaConf does not know, or "" for another kind of error."""
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError

    for link in chain(error):
        if isinstance(link, UserError):
            return ""
        if isinstance(link, ConfigAttributeError | ConfigKeyError) and getattr(link, "full_key", None):
            return str(link.full_key)
    return ""


def _mend(key: str, value: Any, reason: str) -> str:
    """What to give in place of a value of the wrong type; "" for a reason of another kind."""
    if isinstance(value, Mapping) and ("could not be converted" in reason or "is not a valid" in reason):
        return f"{key} has no keys of its own, such as {key}.NAME: give {key}=VALUE"
    if re.match(r"Invalid type assigned: \w+ is not a subclass of", reason):
        return f"{key}={value}: give one of its settings, as {key}.KEY=VALUE"
    if wrong := re.match(r"Value '(?P<value>.*)' of type .* could not be converted to (?P<kind>\w+)", reason):
        return f"{key}={wrong['value']}: give {_KINDS.get(wrong['kind'], wrong['kind'])}"
    if wrong := re.match(r"Value '(?P<value>.*)' is not a valid (?P<kind>\w+)", reason):
        return f"{key}={wrong['value']}: give {_KINDS.get(wrong['kind'], wrong['kind'])}"
    if "is not Optional" in reason or reason.startswith("Incompatible value 'None'"):
        return f"{key}=null: give {_FORMS.get(key, 'a value')}, or leave {key}= out"
    if "is not a ListConfig" in reason:
        return f"{key}={value}: a list needs brackets: give {key}=[{value}]"
    if reason.startswith("Cannot convert"):
        form = _FORMS.get(key, "one text")
        if isinstance(value, Mapping):
            return f"{key} has no keys of its own, such as {key}.NAME: give {form} as {key}=VALUE"
        return f"{key}={_typed_list(value)}: give {form}"
    if re.match(r"Cannot assign \w+ to Dict", reason):
        return f"{key}={value}: give {_TABLES.get(key, f'{key}.NAME=VALUE')}"
    return ""


def _typed_list(value: Any) -> str:
    """A value as it is typed on the command line."""
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return f"[{','.join(map(str, value))}]" if listed else str(value)


def chain(error: BaseException | None) -> list[BaseException]:
    """An error, what caused it, and so on."""
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _keys(error: Any) -> list[str]:
    from omegaconf import OmegaConf

    parent = error.parent_node
    return [str(key) for key in parent if key != "hydra"] if OmegaConf.is_dict(parent) else []
