"""The switch of the shipped weights: refused when the set is not whole, else in place; what has no latents stays."""

import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from motionkit.errors import UserError
from motionkit.training.recipes import switch
from motionkit.training.recipes.assembled import assemble, shrink
from motionkit.training.recipes.stages import STAGES
from motionkit.weights.eight_bit import unpack_all


def _write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".safetensors" if not path.suffix else path.suffix).write_text(text)


OLD_LATENTS = tuple(
    f"{name}.safetensors" for name in ("pocket-sd/gone", "pocket-none/unet", "flipsketch/lora", "anamodiff/lofnet")
)


@pytest.fixture
def both(tmp_path):
    """A package, a set and the set assembled."""
    package, chosen = tmp_path / "package", tmp_path / "set"
    _write(package, judges__pose="old", perception__maps="old", perception__looks="old")
    _write(package, new_method__template="old", anamodiff__keypoints="old")
    _write(
        package,
        **{"clip__merges.txt": "old", "costs.json": "old", "pocket-none__unet": "old", "flipsketch__lora": "old"},
    )
    _write(package, anamodiff__lofnet="old", **{"pocket-sd__unet": "old", "pocket-sd__gone": "old"})
    _write(chosen, perception__maps="new", anamodiff__keypoints="new", **{"pocket-sd__unet": "new"})
    for stage in STAGES:
        (chosen / "records").mkdir(exist_ok=True)
        (chosen / "records" / f"{stage.name}.json").touch()
    return package, chosen, assemble(chosen, tmp_path / "made", package)


def test_a_set_that_is_not_whole_is_refused(both):
    package, chosen, made = both
    with pytest.raises(UserError, match="pocket-sd/gone.safetensors"):
        switch.check(chosen, made, package)
    assert switch.lacking(made, package) == sorted(OLD_LATENTS)
    switch.check(chosen, made, package, OLD_LATENTS)
    (chosen / "records" / "pocket-sd.json").unlink()
    with pytest.raises(UserError, match="not finished: pocket-sd"):
        switch.check(chosen, made, package, OLD_LATENTS)


def test_what_costs_nothing_is_shipped_in_eight_bits_and_the_set_stays_as_it_is(tmp_path):
    chosen, state = tmp_path / "set", {"weight": torch.randn(64, 80), "count": torch.tensor(7)}
    for name in ("perception/maps", "anamodiff/lofnet", "pocket-sd/text_encoder/model", "pocket-sd/vae/model"):
        file = chosen / f"{name}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, file, {"config": "{}"})
    (tmp_path / "package").mkdir()
    before = {p: p.read_bytes() for p in chosen.rglob("*.safetensors")}
    made = assemble(chosen, tmp_path / "made", tmp_path / "package")
    saved = shrink(made)
    assert saved == switch.size_of(chosen) - switch.size_of(made) > 3 * 64 * 80 * 2.5
    assert shrink(made) == 0
    assert {p: p.read_bytes() for p in chosen.rglob("*.safetensors")} == before
    assert (made / "pocket-sd" / "vae" / "model.safetensors").read_bytes() == before[
        chosen / "pocket-sd" / "vae" / "model.safetensors"
    ]
    with safe_open(made / "perception" / "maps.safetensors", "pt") as file:
        assert file.metadata() == {"config": "{}"}
        back = unpack_all({k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118 (not a mapping)
    assert back["count"] == 7 and back["count"].dtype == torch.int64
    torch.testing.assert_close(back["weight"], state["weight"], rtol=0, atol=0.02)


def test_a_set_without_latents_of_its_own_goes_on_from_the_shipped_weights(both, tmp_path):
    package, chosen, _ = both
    shutil.rmtree(chosen / "pocket-sd")
    made = assemble(chosen, tmp_path / "more", package)
    assert switch.lacking(made, package) == []
    assert (made / "pocket-sd" / "unet.safetensors").read_text() == "old"
    assert (made / "perception" / "maps.safetensors").read_text() == "new"


def test_a_set_that_is_too_large_is_refused(both, monkeypatch):
    package, chosen, made = both
    monkeypatch.setattr(switch, "LIMIT", 5.0)
    with pytest.raises(UserError, match="MB"):
        switch.check(chosen, made, package, OLD_LATENTS)


def test_the_new_weights_take_the_place_of_the_old(both):
    package, _, made = both
    switch.replace(made, package, "2")
    found = {str(p.relative_to(package)): p.read_text().strip() for p in package.rglob("*") if p.is_file()}
    assert found == {
        "clip/merges.txt": "old",
        "costs.json": "old",
        "judges/pose.safetensors": "old",
        "perception/maps.safetensors": "new",
        "perception/looks.safetensors": "old",
        "new_method/template.safetensors": "old",
        "anamodiff/keypoints.safetensors": "new",
        "pocket-sd/unet.safetensors": "new",
        "VERSION": "2",
    }
