"""Modules of version 0.1 are found under their old names, with a warning that names the new ones."""

import importlib
import sys

import pytest

from motionkit._moved import MOVED, NAMES, RENAMED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_old_name_is_the_new_module(old):
    sys.modules.pop(old, None)
    with pytest.warns(FutureWarning, match=MOVED[old]):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__spec__.name == MOVED[old]  # the alias leaves the module's own name alone


def test_names_that_went_elsewhere_are_found_in_the_old_module():
    for old, names in NAMES.items():
        sys.modules.pop(old, None)
        with pytest.warns(FutureWarning):
            module = importlib.import_module(old)
        for name, place in names.items():
            path, _, new = place.partition(":")
            assert getattr(module, name) is getattr(importlib.import_module(path), new or name)


@pytest.mark.parametrize("module", sorted(RENAMED))
def test_renamed_classes_are_found_under_their_old_names(module):
    place = importlib.import_module(module)
    for old, new in RENAMED[module].items():
        with pytest.warns(FutureWarning, match=new):
            assert getattr(place, old) is getattr(place, new)
    with pytest.raises(AttributeError, match="nothing"):
        place.nothing  # noqa: B018


@pytest.mark.parametrize("old", ["motionkit.backbones.animatex", "motionkit.bench"])
def test_what_lies_in_a_package_that_moved_is_loaded_once(old):
    inner = {"motionkit.backbones.animatex": "config", "motionkit.bench": "entry"}[old]
    for name in (old, f"{old}.{inner}"):
        sys.modules.pop(name, None)
    with pytest.warns(FutureWarning, match=f"{MOVED[old]}.{inner}"):
        module = importlib.import_module(f"{old}.{inner}")
    assert module is importlib.import_module(f"{MOVED[old]}.{inner}")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{old}.nowhere")


def test_unknown_name_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("motionkit.nowhere")
