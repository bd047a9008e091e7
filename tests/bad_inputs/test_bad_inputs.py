"""Every bad input ends in one clear line: no traceback, nothing under the final name, a code that is not 0."""

import errno
import json

import pytest
from bad_files import cut, nothing_made, one_line, transfer
from cases import AS_ROOT, CASES, TINY

from motionkit import media


@pytest.mark.parametrize("case", CASES, ids=[f"{i:02d}-{case.name}" for i, case in enumerate(CASES, 1)])
def test_one_clear_line(case, here, capsys):
    if case.name in AS_ROOT:
        pytest.skip("permissions do not bind root")
    words = case.words(here)
    before = {path: path.stat().st_mtime_ns for path in here.iterdir() if path.is_file()}
    assert transfer(words) == 2
    line = one_line(capsys)
    assert [text for text in case.says if text not in line] == [], line
    assert len(line) < 1000, "too long to read"
    nothing_made(here)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "a file of the user's was touched"


def test_the_list_is_long_enough_and_its_good_words_are_good(here, capsys):
    assert len(CASES) >= 25
    assert transfer([]) == 0
    assert (here / "out.mp4").exists()


SMALL = ["frames=2", "method.lora.steps=1", "method.sample.steps=2"]


def with_weights(folder):
    return [*TINY, *SMALL, "backbone=pocket-sd", f"backbone.path={folder}", "size=64"]


@pytest.fixture
def model(model_folder, tmp_path):
    import shutil

    return shutil.copytree(model_folder, tmp_path / "weights")


def test_the_good_weights_are_good(here, model, capsys):
    assert transfer(with_weights(model)) == 0, capsys.readouterr().err


def test_truncated_weights(here, model, capsys):
    cut(model / "unet" / "diffusion_pytorch_model.safetensors")
    assert transfer(with_weights(model)) == 2
    assert "diffusion_pytorch_model.safetensors" in one_line(capsys)
    nothing_made(here)


def test_pickled_weights_in_the_folder(here, model, capsys):
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    assert transfer(with_weights(model)) == 2
    assert "pickle" in one_line(capsys)
    nothing_made(here)


def test_weights_that_are_not_numbers(here, model, capsys):
    from safetensors.torch import load_file, save_file

    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_in.weight"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    assert transfer(with_weights(model)) == 2
    assert "conv_in.weight" in one_line(capsys)
    nothing_made(here)


def test_weights_of_another_model(here, model, capsys):
    assert transfer([*with_weights(model), "backbone=sd15"]) == 2
    assert "cross_attention_dim 16, sd15 has 768" in one_line(capsys)
    nothing_made(here)


def test_a_config_that_does_not_fit_its_weights(here, model, capsys):
    config = model / "unet" / "config.json"
    facts = json.loads(config.read_text())
    config.write_text(json.dumps(facts | {"block_out_channels": [8, 32]}))
    assert transfer(with_weights(model)) == 2
    assert "unet" in one_line(capsys).lower()
    nothing_made(here)


def test_a_gpu_that_is_not_there(here, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert transfer(["gpu=24gb"]) == 2
    line = one_line(capsys)
    assert "24gb" in line and "gpu=cpu" in line
    nothing_made(here)


def test_a_folder_without_permission(here, capsys, monkeypatch):
    """The same as read_only_folder, for root: the system is asked, and says no."""
    (here / "locked").mkdir()
    monkeypatch.setattr("motionkit.media.output_files.os.access", lambda path, mode: "locked" not in str(path))
    assert transfer(["output=locked/out.mp4"]) == 2
    line = one_line(capsys)
    assert "locked" in line and "permission denied" in line
    nothing_made(here)


@pytest.mark.parametrize("name", ["write_video", "write_image"])
def test_a_full_disk(here, capsys, monkeypatch, name):
    def full(path, *rest, **named):
        path.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    if name == "write_image":
        from motionkit.methods.warp.method import Warp

        prepare = Warp.prepare

        def showing(self, inputs):
            self.run.show("driving", inputs.driving.frames)
            return prepare(self, inputs)

        monkeypatch.setattr(Warp, "prepare", showing)
    monkeypatch.setattr(media, name, full)
    assert transfer([]) == 2
    assert "no space left" in one_line(capsys).lower()
    assert not (here / "out.mp4").exists()
    manifest = json.loads(next(here.glob("runs/transfer/*/manifest.json")).read_text())
    assert manifest["status"] == "failed"


@pytest.mark.parametrize("step", ["prepare", "generate"])
def test_control_c(here, capsys, monkeypatch, step):
    from motionkit.methods.warp.method import Warp

    def stop(self, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Warp, step, stop)
    assert transfer([]) == 130
    assert "cancelled" in one_line(capsys, "motionkit: ")
    nothing_made(here)
    manifest = json.loads(next(here.glob("runs/transfer/*/manifest.json")).read_text())
    assert manifest["status"] == "cancelled"


def test_control_c_while_an_input_is_read(here, capsys, monkeypatch):
    def stop(path, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(media, "read_clip", stop)
    assert transfer([]) == 130
    assert "cancelled" in one_line(capsys, "motionkit: ")
    nothing_made(here)
    assert not list(here.glob("runs/transfer/*"))


@pytest.mark.parametrize("damage", ["cut", "emptied", "scribbled", "replaced by a folder"])
def test_a_corrupt_cache_entry_is_made_again(here, damage):
    assert transfer(["output=first.mp4"]) == 0
    (entry,) = (here / "cache").rglob("*.safetensors")
    if damage == "cut":
        cut(entry)
    elif damage == "emptied":
        entry.write_bytes(b"")
    elif damage == "scribbled":
        entry.write_bytes(b"\xff" * entry.stat().st_size)
    else:
        entry.unlink()
        entry.mkdir()
    assert transfer(["output=second.mp4"]) == 0
    assert (here / "second.mp4").read_bytes() == (here / "first.mp4").read_bytes()
    newest = max(here.glob("runs/transfer/*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads(newest.read_text())["from_cache"] == []
