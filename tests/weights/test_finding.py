"""One way to find weights: every kind of place, in its order, and one line that says how to get what is missing."""

import shutil
from pathlib import Path

import pytest

from motionkit import backbones
from motionkit.errors import MissingWeights, UserError
from motionkit.metrics import judges
from motionkit.perception import pocket_maps, pocket_networks
from motionkit.weights import places
from motionkit.weights.finding import Wanted, available, find, shipped

FILES = ("one.safetensors", "two.safetensors")


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty hub cache, and a hub that must not be asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
    monkeypatch.setattr(
        "huggingface_hub.file_download.get_hf_file_metadata", lambda *a, **k: pytest.fail("the network was asked")
    )
    return tmp_path / "hub"


def put(folder, names=FILES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


def cached(hub, hub_id, names=FILES):
    home = hub / f"models--{hub_id.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    return put(home / "snapshots" / ("0" * 40), names)


def declared(**changes):
    said = {"hub_id": "owner/name", "size": "2 GB", "setting": "a.weights", "instead": "do without"}
    return Wanted("toys", FILES, **said | changes)


def test_the_users_folder_comes_first_then_the_package_then_the_cache_then_the_hub(tmp_path, hub):
    mine, package, beside = (put(tmp_path / name) for name in ("mine", "package", "beside"))
    snapshot = cached(hub, "owner/name")
    everything = declared(shipped=package, beside=(beside,))
    assert find(everything, mine) == mine and find(everything) == package
    assert find(declared(beside=(tmp_path / "none", beside))) == beside
    assert find(declared()) == snapshot and find(declared(hub_id=None), "owner/name") == snapshot


def test_what_is_missing_comes_with_every_way_to_get_it(hub, tmp_path):
    with pytest.raises(MissingWeights) as caught:
        find(declared(also=("three.json",)))
    line = str(caught.value)
    assert "\n" not in line and str(hub) in line and "hf download owner/name one.safetensors two.safetensors" in line
    for way in ("three.json", "2 GB", "MOTIONKIT_ONLINE=1", "a.weights=FOLDER", "do without"):
        assert way in line
    cached(hub, "owner/name", FILES[:1])  # a download that was broken off
    with pytest.raises(MissingWeights, match="hf download owner/name two.safetensors "):
        find(declared())
    with pytest.raises(MissingWeights, match="mended by hand"):
        find(declared(hub_id=None, made="mended by hand"))
    assert not available(declared()) and available(declared(shipped=put(tmp_path / "here")))


def test_a_word_that_names_no_place_is_refused(tmp_path):
    for word in ("/nowhere/x", "./x", "name", "owner/name/more", "owner/", str(tmp_path / "x")):
        with pytest.raises(MissingWeights, match="a.weights is a folder or a hub id"):
            find(declared(), word)
    with pytest.raises(MissingWeights, match="someone/else is not a folder"):
        find(declared(), "someone/else")
    with pytest.raises(MissingWeights, match="lacks two.safetensors"):
        find(declared(), put(tmp_path / "half", FILES[:1]))


def test_downloads_are_asked_for_and_fetch_only_what_is_missing(hub, monkeypatch):
    snapshot = cached(hub, "owner/name", FILES[:1])
    asked = []

    def fetch(hub_id, patterns, title):
        asked.append((hub_id, list(patterns)))
        return put(snapshot)

    monkeypatch.setattr(places, "download", fetch)
    with pytest.raises(MissingWeights):
        find(declared())
    monkeypatch.setenv("MOTIONKIT_ONLINE", "1")
    with pytest.raises(MissingWeights):
        find(declared(), online=False)
    assert asked == [] and find(declared()) == snapshot
    assert asked == [("owner/name", ["two.safetensors"])]


def test_another_assets_folder_takes_the_packages_place(tmp_path, monkeypatch):
    """A frozen copy of the shipped weights, from which everything is read, and nothing from the package."""
    frozen = tmp_path / "frozen"
    shutil.copytree(places.PACKAGE / "pocket-sd", frozen / "pocket-sd")
    before = backbones.fingerprint("pocket-sd")
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(frozen))
    assert backbones.fingerprint("pocket-sd") == before
    (frozen / "pocket-sd" / "unet" / "config.json").write_text("{}")
    assert backbones.fingerprint("pocket-sd") != before
    for path in (judges.weights_path("pose"), pocket_networks.weights_path(), pocket_maps.weights_path()):
        assert path.is_relative_to(frozen)
    with pytest.raises(MissingWeights, match="lacks .*MOTIONKIT_ASSETS"):
        backbones.fingerprint("pocket-modelscope")
    with pytest.raises(MissingWeights, match="judges/pose"):
        judges.load_judge("pose")
    with pytest.raises(MissingWeights, match="MOTIONKIT_ASSETS"):
        shipped("judges", "pose.safetensors")


def test_another_kind_of_model_is_the_declarers_word(tmp_path):
    def refuse(place: Path) -> Path:
        raise UserError(f"{place.name} is another kind")

    with pytest.raises(UserError, match="another kind"):
        find(declared(checked=refuse), put(tmp_path / "mine"))


def test_the_set_of_small_weights_is_named_in_catalogue_and_results(tmp_path, monkeypatch):
    from motionkit.cli.backbones import detail
    from motionkit.running import manifest
    from motionkit.weights import places

    monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path))
    assert places.weights_version() == manifest.versions()["pocket-weights"] == "1"
    (tmp_path / places.VERSION).write_text("7\n")
    assert places.weights_version() == manifest.versions()["pocket-weights"] == "7"
    assert "shipped with motionkit, pocket weights 7" in detail("pocket-sd")
    assert "pocket weights" not in detail("sd15")


def test_a_line_that_may_be_passed_on_names_no_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.from_home(tmp_path / ".cache" / "hub") == "~/.cache/hub"
    assert places.from_home(Path("/elsewhere/hub")) == "/elsewhere/hub"
    with pytest.raises(MissingWeights, match="not in the hub cache ~/hub: ") as told:
        find(declared())
    assert str(tmp_path) not in str(told.value)
