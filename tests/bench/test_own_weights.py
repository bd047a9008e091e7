"""`bench` on weights of one's own: a folder, a LoRA and motion modules reach the cells, their keys and the tables."""

import json

import pytest
import torch
from safetensors.torch import save_file

from motionkit.backbones import fingerprint, load
from motionkit.backbones.lora_files import LoraOptions
from motionkit.backbones.lora_lists import layers_of
from motionkit.backbones.motion_files import MotionOptions
from motionkit.cli import main
from motionkit.running.choices import BackboneChoice
from motionkit.settings.gpu import Plan
from motionkit.table.bench import Entry, Options, entries_of, planned, protocol, tasks
from motionkit.table.bench.entry import settled
from motionkit.table.bench.planned import cells_of

SMALL = ["bench.pairs=1", "bench.frames=2", "bench.size=64", "gpu=cpu", "output=out"]
QUICK = [f"settings.anamodiff.{word}" for word in ("weights=random", "lora.steps=1", "lora.clip_frames=2")]
WORDS = ["bench", *SMALL, "methods=[still,anamodiff]", *QUICK, "settings.anamodiff.sample.steps=2"]


@pytest.fixture
def own(tmp_path):
    """tiny-sd's classes with other random weights, as a folder in the hub's layout."""
    from motionkit.backbones.tiny import components

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for name, part in components().items():
            part.save_pretrained(tmp_path / "own" / name)
    return tmp_path / "own"


@pytest.fixture
def lora(tmp_path):
    """A rank-1 LoRA for every linear layer of tiny-sd's UNet."""
    g, tensors = torch.Generator().manual_seed(0), {}
    for name, layer in layers_of(load("tiny-sd", Plan()).unet):
        if isinstance(layer, torch.nn.Linear):
            tensors[f"unet.{name}.lora_A.weight"] = torch.randn(1, layer.in_features, generator=g)
            tensors[f"unet.{name}.lora_B.weight"] = torch.randn(layer.out_features, 1, generator=g)
    save_file(tensors, tmp_path / "mine.safetensors")
    return LoraOptions(str(tmp_path / "mine.safetensors"), 0.3)


def test_a_folder_of_weights_on_the_command_line(own, here, light, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("motionkit.cli.bench._runner", lambda config, folder: here)
    words = [*WORDS, "backbones=[pocket-sd]", "backbone.path=own"]
    assert main(words) == 0, capsys.readouterr().err
    (record,) = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("cells/anamodiff-*/cell.json")]
    assert record["backbone"] == {"name": "pocket-sd", "fingerprint": fingerprint("pocket-sd", str(own))}
    (page,) = (tmp_path / "out").glob("results-*/results.json")
    line = json.loads(page.read_text())["rows"][1]
    assert line["weights"].startswith("pocket-sd: own: own, ") and str(tmp_path) not in page.read_text()
    capsys.readouterr()
    assert main(words) == 0 and "[1/" not in capsys.readouterr().err, "a second start reads its cells back"


def test_a_lora_on_the_command_line(lora, here, light, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("motionkit.cli.bench._runner", lambda config, folder: here)
    asked = ["backbones=[tiny-sd]", "backbone.lora=mine.safetensors", "backbone.lora_scale=0.3"]
    assert main([*WORDS, *asked]) == 0, capsys.readouterr().err
    (folder,) = (tmp_path / "out").glob("cells/anamodiff-*")
    record, facts = (json.loads((folder / name).read_text()) for name in ("cell.json", "manifest.json"))
    assert record["lora"] == facts["lora"] and facts["lora"]["name"] == "mine.safetensors"
    assert record["backbone"]["fingerprint"] == fingerprint("tiny-sd", lora=lora)
    (page,) = (tmp_path / "out").glob("results-*/results.md")
    assert "with LoRA mine.safetensors" in page.read_text()
    assert "backbone.lora=mine.safetensors backbone.lora_scale=0.3" in page.read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["backbones=[pocket-sd]", "backbone.path=nowhere"], "nowhere"),
        (["backbones=[pocket-sd]", "backbone.lora=nowhere.pt"], "no LoRA at"),
        (["backbones=[pocket-sd]", "backbone.motion_adapter=x"], "pocket-sd has no motion modules"),
        (["backbone.path="], "backbone.path= is empty"),
        (["backbone.lora= "], "backbone.lora= is empty"),
        (["backbone.pth=x"], "did you mean 'backbone.path'"),
    ],
)
def test_weights_that_cannot_be_are_refused_in_one_line(words, says, here, light, capsys, monkeypatch):
    monkeypatch.setattr("motionkit.cli.bench._runner", lambda config, folder: here)
    assert main(["bench", *SMALL, "methods=[anamodiff]", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert says in said and said.startswith("motionkit: error: ") and "\n" not in said


def test_rows_of_papers_have_weights_of_their_own(capsys):
    assert main(["bench", "bench=ablations", "backbone.path=own", "gpu=cpu"]) == 2
    assert "backbone.path=own: the rows of bench=ablations" in capsys.readouterr().err


def test_rows_with_a_backbone_get_the_weights_and_the_others_do_not(lora):
    motion = MotionOptions(per_frame_norm=True)
    rows = entries_of(["still", "anamodiff"], ["tiny-sd"], None, BackboneChoice("auto", "own", False, motion, lora))
    assert rows == [Entry("still", "still"), Entry("anamodiff", "anamodiff", "tiny-sd", {}, "own", motion, lora)]
    assert entries_of(["anamodiff"], ["tiny-sd"], None, BackboneChoice("auto")) == entries_of(
        ["anamodiff"], ["tiny-sd"]
    )


def test_a_key_has_nothing_more_in_it_where_no_weights_are_given(small, lora, tmp_path):
    """Finished cells stay finished: what is not asked for adds no field to the configuration that is hashed."""
    settings, fields = {"weights": "random"}, []
    for given in ({}, {"lora": lora}):
        entry = Entry("a", "anamodiff", "tiny-sd", settings, **given)
        fields.append(planned.configuration_of(small, 0, Options(), settled(entry, tasks.get("transfer"))))
    plain, changed = fields
    asked = ["motionkit", "method", "settings", "backbone", "weights", "computed in", "seed", "size"]
    assert list(plain) == list(changed) == asked and plain["backbone"] == ("tiny-sd", fingerprint("tiny-sd"))
    assert {key for key in plain if plain[key] != changed[key]} == {"backbone"}


def test_motion_modules_are_part_of_the_key(small, tmp_path):
    rows = [
        Entry("a", "anamodiff", "tiny-animatediff-sd15", {"weights": "random"}, motion=motion)
        for motion in (None, MotionOptions(schedule="base"), MotionOptions(per_frame_norm=False))
    ]
    assert len({cells_of(row, small, tmp_path)[0].key for row in rows}) == 3
    assert rows[1].typed == "weights=random backbone.motion_schedule=base"
    assert rows[2].typed == "weights=random backbone.per_frame_motion_norm=false"


def test_weights_of_one_s_own_have_a_folder_of_results_of_their_own(small, here, light, lora, tmp_path, monkeypatch):
    from motionkit.table.bench import page
    from motionkit.table.bench.engine import run

    monkeypatch.setattr(protocol, "deviations", lambda one: {})
    monkeypatch.setattr(here, "run", lambda cells: iter(cells))  # the names need no video
    names = set()
    for given in ({}, {"lora": lora}, {"lora": LoraOptions(lora.path, 1.0)}):
        row = Entry("a", "anamodiff", "tiny-sd", **given)
        names.add(page._name(run(small, [row], tmp_path / "bench", runner=here)))
    assert len(names) == 3 and "results" in names
