"""A cache that cannot be read or written costs time and nothing else; one that grows is kept within its limit."""

import json
import os
import time

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.running import cache, cache_files
from motionkit.running.cache import StageCache, StageOutput, cache_root
from motionkit.running.execute import execute
from motionkit.weights import hashing as files


def run(blend, inputs, tmp_path, **given):
    return execute(blend.SPEC, inputs, folder=tmp_path / "out", **given)


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch):
    monkeypatch.setattr(cache, "_noted", set())


def full_disk(tensors, path, metadata):
    path.write_bytes(b"half")
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_a_full_disk_does_not_end_a_run(blend, inputs, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
    made = run(blend, inputs, tmp_path)
    assert made.manifest["status"] == "complete" and "No space left" in json.dumps(made.manifest["stages"])
    assert caplog.text.count("No space left") == 1
    assert not [path for path in cache_root().rglob("*") if path.is_file()]


@pytest.mark.parametrize("place", ["a file", "below a file", "no home"])
def test_a_place_that_cannot_hold_a_cache_does_not_end_a_run(place, blend, inputs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    where = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "cache"}
    if place == "no home":
        monkeypatch.delenv("MOTIONKIT_CACHE")
        monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    else:
        monkeypatch.setenv("MOTIONKIT_CACHE", str(where[place]))
    assert run(blend, inputs, tmp_path).manifest["status"] == "complete"
    assert (tmp_path / "file").read_text() == "mine"


def refuse(monkeypatch, code):
    """Every write below the cache folder is answered with this error, as on a read-only disk."""
    real = os.replace, os.unlink, os.mkdir
    inside = str(cache_root().parent)

    def guard(function):
        def call(path, *given, **named):
            if str(path).startswith(inside):
                raise OSError(code, os.strerror(code))
            return function(path, *given, **named)

        return call

    for name, function in zip(("replace", "unlink", "mkdir"), real, strict=True):
        monkeypatch.setattr(os, name, guard(function))


def test_a_read_only_cache_does_not_end_a_run(blend, inputs, tmp_path, monkeypatch):
    refuse(monkeypatch, 30)
    assert run(blend, inputs, tmp_path).manifest["status"] == "complete"


@pytest.mark.parametrize("held", ["[1]", "{ broken", "{}"])
def test_hashes_of_large_files_need_no_memory_of_them(held, tmp_path, monkeypatch):
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(1 << 20))
    memory = cache_root().parent / "file-hashes.json"
    memory.parent.mkdir(parents=True)
    memory.write_text(held)
    wanted = files.hash_files({"a": large})
    refuse(monkeypatch, 30)
    large.touch()
    assert files.hash_files({"a": large}) == wanted
    monkeypatch.setenv("MOTIONKIT_CACHE", str(large))
    assert files.hash_files({"a": large}) == wanted


def fill(*facts):
    """Files of a method's cache: (name, bytes, days since it was used)."""
    folder = cache_root() / "blend"
    folder.mkdir(parents=True, exist_ok=True)
    for name, size, days in facts:
        (folder / name).write_bytes(bytes(size))
        os.utime(folder / name, (time.time() - 86400 * days,) * 2)


def held():
    return sorted(file.path.name for file in cache_files.kept(cache_root()))


def test_above_its_limit_the_cache_loses_what_was_not_used_for_longest(monkeypatch):
    fill(("fit-old.safetensors", 500, 3), ("fit-used.safetensors", 500, 5), ("fit-new.safetensors", 500, 1))
    monkeypatch.setenv(cache_files.LIMIT, "1kb")
    store = StageCache("blend")
    os.utime(store.path("fit", "used"))  # as a hit does
    store.save("prepare", "k", StageOutput({"a": torch.ones(4)}))
    assert held() == ["fit-used.safetensors", "prepare-k.safetensors"]


def test_a_hit_counts_as_a_use(tmp_path):
    store = StageCache("blend")
    tensors = {"a": torch.ones(4)}
    store.save("fit", "k", StageOutput(tensors, content=cache.content_hash(tensors)))
    os.utime(store.path("fit", "k"), (0, 0))
    assert store.load("fit", "k") is not None
    assert time.time() - store.path("fit", "k").stat().st_mtime < 60


def test_a_wrong_limit_is_refused_before_any_work(blend, inputs, tmp_path, monkeypatch):
    monkeypatch.setenv(cache_files.LIMIT, "much")
    with pytest.raises(UserError, match="give a size"):
        run(blend, inputs, tmp_path)
    assert not (tmp_path / "out").exists() and run(blend, inputs, tmp_path, use_cache=False)


def test_the_verb_lists_and_prunes(capsys):
    fill(("fit-a.safetensors", 1500, 40), ("fit-b.safetensors", 1500, 3), ("prepare-c.safetensors", 700, 1))
    assert main(["cache"]) == 0
    listed = capsys.readouterr().out
    assert "blend" in listed and "3.0 KB" in listed and "20.0 GB" in listed
    assert main(["cache", "prune", "age=30d"]) == 0 and held() == ["fit-b.safetensors", "prepare-c.safetensors"]
    assert main(["cache", "prune", "size=1kb"]) == 0 and held() == ["prepare-c.safetensors"]
    assert main(["cache", "prune", "size=0"]) == 0 and held() == []
    assert main(["cache"]) == 0 and "0 B" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["prune"], ["prune", "size=big"], ["prune", "age=30y"], ["prune", "sise=1"], ["empty"], ["list", "x"]]
)
def test_wrong_words_remove_nothing(words, capsys):
    fill(("fit-a.safetensors", 10, 40))
    assert main(["cache", *words]) == 2 and held() == ["fit-a.safetensors"]
    assert capsys.readouterr().err.count("\n") == 1
