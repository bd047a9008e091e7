"""`motionkit push`: what would be sent, what never is, and that such weights are found again by their hub id."""

import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from motionkit.errors import MissingWeights, UserError
from motionkit.report.model_card import model_card
from motionkit.weights.parcel import pack

MADE = {"method": "flipsketch", "backbone": "modelscope", "key": "method.lora", "files": ["lora.safetensors"]}


def trained(folder, metadata=None, **changes):
    """The folder of a finished training, with all that trainings leave in one."""
    (folder / "cache").mkdir(parents=True)
    (folder / "samples").mkdir()
    (folder / "cache" / "clip.safetensors").write_bytes(b"x")
    (folder / "last.pt").write_bytes(pickle.dumps({}))
    (folder / "run.json").write_text("{}")
    (folder / "curve.csv").write_text("step,seconds,loss\n20,1,0.5\n")
    for step in (500, 1000):
        (folder / "samples" / f"clip-{step:07d}.mp4").write_bytes(b"film")
    save_file({"w": np.zeros(2, np.float32)}, folder / "lora.safetensors", metadata or {"motionkit": '{"rank": 4}'})
    record = {
        "made": MADE | {"data": "folder", "setting": "easy"} | changes.pop("made", {}),
        "steps": 1000,
        "size": 256,
        "figures": {"error": 0.123456789, "without": 0.2, "held_out": True},
        "options": {"backbone": "modelscope", "backbone_path": None, "lr": 1e-4, "cache": "/home/me/cache"},
        "captions": ["a cat"],
    } | changes
    (folder / "record.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def hub(monkeypatch):
    """Stands for the hub: what it is asked; any other request fails the test."""
    asked = []

    class Api:
        def create_repo(self, *words, **more):
            asked.append((words, more))
            return "https://hub/owner/name"

        def create_commit(self, repository, operations, **more):
            asked.append((repository, {one.path_in_repo for one in operations}))

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    return asked


def test_a_dry_run_shows_everything_and_sends_nothing(cli, work, hub):
    trained(work / "run")
    code, out, err = cli("push", "run", "owner/name")
    assert (code, err, hub) == (0, "", [])
    assert "nothing is sent" in out and "private" in out and "1 captions" in out
    assert all(f"\n{name} " in out for name in ("README.md", "curve.csv", "lora.safetensors", "record.json"))
    assert "last.pt" not in out and "cache/" not in out and "samples" not in out and "/home/me" not in out
    assert "method.lora=owner/name" in out and "| error | 0.123457 |" in out and "held-out clips" in out


def test_it_is_sent_in_one_commit_with_a_licence_alone(cli, work, hub):
    trained(work / "run")
    assert "licence=" in cli("push", "run", "owner/name", "dry_run=false")[2] and not hub
    code, out, _ = cli("push", "run", "owner/name", "dry_run=false", "licence=cc-by-4.0", "samples=true")
    assert code == 0 and out.strip() == "https://hub/owner/name"
    assert hub[0] == (("owner/name",), {"private": True, "exist_ok": True})
    names = {"README.md", "curve.csv", "lora.safetensors", "record.json", "samples/clip-0001000.mp4"}
    assert hub[1:] == [("owner/name", names)]


def test_a_hub_that_refuses_is_told_in_one_line(cli, work, monkeypatch):
    trained(work / "run")
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda *a, **k: 1 / 0)
    code, _, err = cli("push", "run", "owner/name", "dry_run=false", "licence=mit")
    assert code == 2 and err.count("\n") == 1 and "did not take owner/name" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run"], "FOLDER OWNER/NAME"),
        (["run", "name"], "no repository"),
        (["run", "../x"], "no repository"),
        (["run", "owner/name", "dry_run=no"], "true or false"),
        (["run", "owner/name", "license=mit"], "did you mean 'licence'"),
        (["run", "owner/name", "licence=My own"], "hub's word"),
        (["absent", "owner/name"], "finished"),
    ],
)
def test_mistakes_get_one_line(cli, work, hub, words, says):
    trained(work / "run")
    code, _, err = cli("push", *words)
    assert code == 2 and says in err and err.count("\n") == 1 and not hub


@pytest.mark.parametrize("lost", ["method", "backbone", "key", "setting"])
def test_a_record_that_lacks_a_word_gets_one_line(cli, work, hub, lost):
    trained(work / "run", made={"data": "sprites", lost: None})
    code, _, err = cli("push", "run", "owner/name")
    assert code == 2 and "record.json" in err and err.count("\n") == 1


def test_odd_parts_of_a_record_are_left_out_of_the_card(cli, work, hub):
    trained(work / "run", options=[1], figures=[1], recipe="x")
    code, out, err = cli("push", "run", "owner/name")
    assert (code, err) == (0, "") and "| steps | 1000 |" in out


class TestParcel:
    def test_a_link_out_of_the_folder_is_refused(self, tmp_path):
        folder = trained(tmp_path / "run", made={"files": ["model"]})
        (folder / "model").mkdir()
        (tmp_path / "own.txt").write_text("notes")
        (folder / "model" / "notes.txt").symlink_to(tmp_path / "own.txt")
        with pytest.raises(UserError, match="link"):
            pack(folder)

    def test_no_file_takes_the_place_of_another(self, tmp_path):
        folder = trained(tmp_path / "run", made={"files": ["a", "b"]})
        for name in "ab":
            (folder / name).mkdir()
            (folder / name / "model.json").write_text("{}")
        with pytest.raises(UserError, match="two files"):
            pack(folder)

    def test_a_header_nested_too_deep_is_refused(self, tmp_path):
        folder = trained(tmp_path / "run")
        (folder / "lora.safetensors").write_bytes((200000).to_bytes(8, "little") + b"[" * 200000)
        with pytest.raises(UserError, match="safetensors"):
            pack(folder)
        (folder / "record.json").write_text("[" * 200000)
        with pytest.raises(UserError, match="record"):
            pack(folder)

    def test_the_record_keeps_no_path(self, tmp_path):
        parcel = pack(trained(tmp_path / "run"))
        sent = json.loads(parcel.files["record.json"])
        assert sent["options"]["cache"] == "cache" and sent["steps"] == 1000 and parcel.record == sent

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (pickle.dumps({}), "pickle"),
            (b"PK\x03\x04...", "archive"),
            (b'{"token": "hf_' + b"a" * 30 + b'"}', "secret"),
            (b'{"key": "-----BEGIN RSA PRIVATE KEY-----"}', "secret"),
            (b'{"base": "/home/me/models/x"}', "path of this machine"),
            (b'{"base": "C:\\\\Users\\\\me\\\\x"}', "path of this machine"),
        ],
    )
    def test_what_must_not_go_out_is_refused(self, tmp_path, content, says):
        folder = trained(tmp_path / "run", made={"files": ["model"]})
        (folder / "model" / "unet").mkdir(parents=True)
        (folder / "lora.safetensors").rename(folder / "model" / "unet" / "net.safetensors")
        assert "unet/net.safetensors" in pack(folder).files  # the folder's files begin at the root
        (folder / "model" / "config.json").write_bytes(content)
        with pytest.raises(UserError, match=says) as error:
            pack(folder)
        assert "a" * 30 not in str(error.value)

    def test_addresses_and_words_with_slashes_are_no_paths(self, tmp_path):
        folder = trained(tmp_path / "run", made={"files": ["lora.safetensors", "config.json"]})
        words = {
            "url": "https://x.org/data/a",
            "end": "a</w>",
            "base": "owner/name",
            "both": "and/or /data",
            "n": "3/4",
        }
        (folder / "config.json").write_text(json.dumps(words))
        assert "config.json" in pack(folder).files

    @pytest.mark.parametrize("name", ["net.pt", "net.bin", "notes.html", ".env"])
    def test_other_kinds_of_files_among_the_weights_are_refused(self, tmp_path, name):
        folder = trained(tmp_path / "run", made={"files": ["lora.safetensors", name]})
        (folder / name).write_text("x")
        with pytest.raises(UserError, match="not sent|no kind of file"):
            pack(folder)

    def test_words_in_a_weights_file_count_too(self, tmp_path):
        folder = trained(tmp_path / "run", {"motionkit": json.dumps({"base": "/srv/models/x"})})
        with pytest.raises(UserError, match="lora.safetensors holds a path"):
            pack(folder)
        (folder / "lora.safetensors").write_bytes(b"\xff" * 40)
        with pytest.raises(UserError, match="no safetensors"):
            pack(folder)

    def test_a_record_names_files_of_its_folder_alone(self, tmp_path):
        (tmp_path / "secret.json").write_text("{}")
        with pytest.raises(UserError, match="not in"):
            pack(trained(tmp_path / "run", made={"files": ["../secret.json"]}))

    def test_a_record_of_before_says_how_to_write_it_anew(self, tmp_path):
        folder = trained(tmp_path / "run")
        (folder / "record.json").write_text('{"steps": 3}')
        with pytest.raises(UserError, match="writes it anew"):
            pack(folder)


class TestCard:
    def card(self, tmp_path, **changes):
        return model_card(pack(trained(tmp_path / "run", **changes)).record, "owner/name", "mit")

    def test_it_says_base_licence_recipe_and_figures(self, tmp_path):
        import yaml

        text = self.card(tmp_path)
        front = yaml.safe_load(text.split("---")[1])
        assert front["license"] == "mit" and front["base_model"].count("/") == 1 and "flipsketch" in front["tags"]
        assert "| lr | 0.0001 |" in text and "@" in text and "sprite world" not in text.lower()

    @pytest.mark.parametrize("made", [{"data": "sprites"}, {"backbone": "pocket-modelscope"}])
    def test_weights_of_the_sprite_world_carry_its_warning(self, tmp_path, made):
        text = self.card(tmp_path, made=made)
        assert "Made in the sprite world" in text and "base_model" not in text

    def test_nothing_in_it_breaks_out_of_a_table(self, tmp_path):
        text = self.card(tmp_path, options={"backbone": "modelscope", "note": "a|b <script>\nx"})
        assert "<script" not in text and "a\\|b" in text


class TestHubId:
    """Weights that were pushed, in the hub's cache of another machine."""

    @pytest.fixture
    def cache(self, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
        home = tmp_path / "hub" / "models--owner--name"
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text("abc")
        (home / "snapshots" / "abc").mkdir(parents=True)
        return home / "snapshots" / "abc"

    def test_anamodiff(self, cache):
        from motionkit.methods.anamodiff.weights import weight_files

        with pytest.raises(MissingWeights, match="hf download owner/name"):
            weight_files("owner/name", "sd15")
        for name in ("keypoints", "lofnet"):
            (cache / f"{name}.safetensors").write_bytes(b"")
        assert weight_files("owner/name", "sd15")["lofnet"] == cache / "lofnet.safetensors"

    def test_flipsketch(self, cache, tmp_path, monkeypatch):
        from motionkit.methods.flipsketch.config import FlipSketchConfig
        from motionkit.methods.flipsketch.method import FlipSketch

        class Asked(FlipSketch):
            def __init__(self, lora):
                self.config = FlipSketchConfig(lora=lora)

        with pytest.raises(MissingWeights, match="hf download owner/name"):
            Asked("owner/name").weights()
        (cache / "lora.safetensors").write_bytes(b"")
        assert Asked("owner/name").weights()["lora"] == cache / "lora.safetensors"
        monkeypatch.chdir(tmp_path)
        (tmp_path / "owner" / "name").mkdir(parents=True)  # a folder of that name comes first
        assert Asked("owner/name")._lora().resolve() == tmp_path / "owner" / "name"
