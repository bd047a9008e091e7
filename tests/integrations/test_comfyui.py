"""The nodes against ComfyUI's contract, with stand-ins for its modules: what it shows, checks, calls and caches."""

import inspect
import json
import sys
import types

import numpy as np
import pytest
import torch

from motionkit import registry
from motionkit.errors import Cancelled, UserError
from motionkit.integrations.comfyui import (
    NODE_CLASS_MAPPINGS,
    NODE_DISPLAY_NAME_MAPPINGS,
    host,
    nodes,
    pictures,
    widgets,
)
from motionkit.integrations.comfyui.loading import TYPE, Loaded
from motionkit.settings.schema import facts

SIMPLE = {"INT": int, "FLOAT": float, "BOOLEAN": bool, "STRING": str}


class Interrupted(Exception):
    """As ComfyUI's InterruptProcessingException."""


class Comfy:
    """What ComfyUI's modules are asked for, and what they were told."""

    def __init__(self, root):
        self.root, self.bars, self.stop, self.freed = root, [], False, 0
        for kind in ("input", "output", "temp", "loras", "checkpoints"):
            (root / kind).mkdir()

    def bar(self, total, node_id=None):
        self.bars.append({"total": total, "node": node_id, "steps": []})
        told = self.bars[-1]["steps"]
        return types.SimpleNamespace(
            update_absolute=lambda value, total=None, preview=None: told.append((value, preview))
        )

    def throw(self):
        if self.stop:
            self.stop = False
            raise Interrupted

    def free(self):
        self.freed += 1

    def path(self, kind, name):
        found = self.root / kind / name
        return str(found) if found.is_file() else None

    def modules(self):
        made = {
            name: types.ModuleType(name) for name in ("comfy", "comfy.utils", "comfy.model_management", "folder_paths")
        }
        made["comfy.utils"].ProgressBar = self.bar
        memory, folders = made["comfy.model_management"], made["folder_paths"]
        memory.processing_interrupted = lambda: self.stop
        memory.throw_exception_if_processing_interrupted = self.throw
        memory.unload_all_models, memory.soft_empty_cache = self.free, lambda: None
        folders.get_filename_list = lambda kind: sorted(p.name for p in (self.root / kind).iterdir())
        folders.get_full_path = self.path
        for kind in ("input", "output", "temp"):
            setattr(folders, f"get_{kind}_directory", lambda kind=kind: str(self.root / kind))
        return made


@pytest.fixture
def comfy(tmp_path, monkeypatch):
    found = Comfy(tmp_path)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    for name, module in found.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


def call(node, **given):
    """As ComfyUI does: every declared input checked, then the function by keywords, in inference mode."""
    made = NODE_CLASS_MAPPINGS[node]
    inputs = made.INPUT_TYPES()
    known = inputs["required"] | inputs.get("optional", {})
    shown = {name: options["default"] for name, (_, options) in known.items() if "default" in options}
    values = shown | given
    for name, value in values.items():
        kind, options = known[name]
        if isinstance(kind, list):
            assert value in kind, (name, value)
        elif kind in ("INT", "FLOAT"):
            assert options["min"] <= value <= options["max"], (name, value)
    assert not set(inputs["required"]) - set(values)
    hidden = {name: "7" for name, kind in inputs.get("hidden", {}).items() if kind == "UNIQUE_ID"}
    with torch.inference_mode():
        found = getattr(made(), made.FUNCTION)(**values, **hidden)
    assert isinstance(found, tuple) and len(found) == len(made.RETURN_TYPES)
    return found


def clip(frames=4, side=48):
    """A bright square that moves over grey, as an IMAGE made in inference mode."""
    with torch.inference_mode():
        made = torch.full((frames, side, side, 3), 0.5)
        for index in range(frames):
            made[index, 16:32, 4 + 2 * index : 20 + 2 * index] = torch.tensor([0.9, 0.3, 0.1])
    return made


@pytest.mark.parametrize("name", sorted(NODE_CLASS_MAPPINGS))
def test_a_node_keeps_the_contract(name, comfy):
    made = NODE_CLASS_MAPPINGS[name]
    assert (
        made.CATEGORY == "motionkit" and made.DESCRIPTION and NODE_DISPLAY_NAME_MAPPINGS[name].startswith("motionkit: ")
    )
    assert len(made.RETURN_NAMES) == len(made.RETURN_TYPES)
    inputs = made.INPUT_TYPES()
    assert set(inputs) <= {"required", "optional", "hidden"}
    json.dumps(inputs)  # as ComfyUI sends it to the browser
    function = inspect.signature(getattr(made, made.FUNCTION))
    takes_more = any(p.kind is p.VAR_KEYWORD for p in function.parameters.values())
    for key, (kind, options) in (inputs["required"] | inputs["optional"]).items():
        assert takes_more or key in function.parameters
        assert key.isidentifier() and options.get("tooltip", "x")
        if isinstance(kind, list):
            assert options["default"] in kind and all(isinstance(word, str) for word in kind)
        elif kind in SIMPLE:
            assert type(options["default"]) is SIMPLE[kind]
            if kind in ("INT", "FLOAT"):
                assert options["min"] <= options["default"] <= options["max"]
        else:
            assert kind in ("IMAGE", "MASK", TYPE)


@pytest.mark.parametrize("name", registry.names())
def test_every_declared_setting_is_an_input_and_left_alone_it_is_no_wish(name, comfy):
    spec = registry.spec(name)
    config, backbone = registry.load_object(spec.config), spec.default_backbone
    inputs = NODE_CLASS_MAPPINGS[f"motionkit_load_{name}"].INPUT_TYPES()["optional"]
    wanted = {fact.name.replace(".", "__") for fact in facts(config, backbone) if fact.name != "name"}
    assert wanted <= set(inputs)
    shown = {key: options["default"] for key, (_, options) in inputs.items()}
    assert widgets.given(config, backbone, shown) == {}
    (loaded,) = call(f"motionkit_load_{name}")
    assert loaded == Loaded(name) and loaded.method().settings.name == name


def test_what_was_changed_reaches_the_method(comfy):
    (comfy.root / "loras" / "look.safetensors").write_bytes(b"x")
    (loaded,) = call(
        "motionkit_load_animatex",
        backbone="tiny-animatex",
        sample__steps=7,
        sample__guidance_interval="[1e-1,0.7]",
        gpu="cpu",
    )
    assert loaded.settings == {"sample.steps": 7, "sample.guidance_interval": [0.1, 0.7]}
    settings = loaded.method().settings
    assert settings.sample.steps == 7 and list(settings.sample.guidance_interval) == [0.1, 0.7]
    (tuned,) = call(
        "motionkit_load_anamodiff",
        backbone_lora="look.safetensors",
        backbone_lora_scale=0.5,
        sample__inversion_prompt="a cat",
    )
    assert tuned.lora == (str(comfy.root / "loras" / "look.safetensors"), 0.5)
    assert tuned.settings == {"sample.inversion_prompt": "a cat"}
    with pytest.raises(UserError, match="loras"):
        host.chosen("loras", "gone.safetensors")


@pytest.mark.parametrize("text", ["[0.1", "many"])
def test_text_that_is_no_value_is_refused_in_one_line(text, comfy):
    with pytest.raises(UserError) as caught:
        call("motionkit_load_animatex", backbone="tiny-animatex", sample__guidance_interval=text)
    assert "guidance_interval" in str(caught.value) and "\n" not in str(caught.value)


def test_pictures_survive_the_way_there_and_back():
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)
    image = pictures.image_of(frames)
    assert image.shape == (3, 5, 7, 3) and image.dtype == torch.float32 and image.max() <= 1
    back = pictures.clip_of(image, 12.0, "driving")
    assert np.array_equal(back.frames, frames) and back.fps == 12 and not back.is_image
    clear = torch.cat([image, torch.zeros(3, 5, 7, 1)], -1)
    assert (pictures.clip_of(clear, 8.0, "reference").frames == 255).all()  # transparent everywhere: white
    assert pictures.clip_of(image[:1] * 1.001, 8.0, "reference").is_image  # a little over 1 is 1
    with pytest.raises(UserError, match="IMAGE"):
        pictures.clip_of(image[0], 8.0, "reference")


def test_a_transfer_gives_frames_with_progress_under_its_node(comfy):
    (loaded,) = call("motionkit_load_warp", gpu="auto")
    given = {"method": loaded, "reference": clip(1), "driving": clip(), "fps": 6.0, "size": "64"}
    frames, fps, folder = call("motionkit_transfer", **given)
    assert frames.shape == (4, 64, 64, 3) and frames.dtype == torch.float32 and 0 <= frames.min() and frames.max() <= 1
    assert fps == 6 and str(comfy.root / "temp") in folder and comfy.freed == 1
    assert comfy.bars and {bar["node"] for bar in comfy.bars} == {"7"}
    assert all(bar["steps"][-1][0] == bar["total"] for bar in comfy.bars)


def test_a_picture_of_the_clip_goes_to_the_browser(comfy):
    watcher = host.Watcher("7")
    watcher.start("generate", 2)
    watcher.step("generate", 1, np.zeros((4, 6, 3), np.uint8))
    ((done, (kind, image, side)),) = comfy.bars[0]["steps"]
    assert (done, kind, image.size, side) == (1, "JPEG", (6, 4), 512) and watcher.previews > 0


def test_the_cancel_button_ends_a_run_as_comfyui_expects(comfy):
    (loaded,) = call("motionkit_load_warp", gpu="cpu")
    comfy.stop = True
    with pytest.raises(Interrupted):
        call("motionkit_transfer", method=loaded, reference=clip(1), driving=clip())
    assert not comfy.stop and comfy.freed == 0  # the button is up again; on a CPU its models stay


def test_what_a_method_lacks_is_said_in_one_line(comfy):
    (loaded,) = call("motionkit_load_warp")
    with pytest.raises(UserError, match="needs driving"):
        call("motionkit_transfer", method=loaded, reference=clip(1))


def test_methods_may_tune_where_comfyui_forbids_gradients():
    with torch.inference_mode(), host.running("cpu"):
        weight = torch.ones(2, requires_grad=True)
        (weight * 3).sum().backward()
        assert weight.grad.tolist() == [3, 3]


@pytest.mark.slow
def test_a_method_that_tunes_runs_as_a_node(comfy):
    given = {"backbone": "tiny-sd", "gpu": "cpu", "lora__steps": 2, "sample__steps": 2}
    (loaded,) = call("motionkit_load_anamodiff", **given)
    words = {"prompt": "an orange cat running", "source_prompt": "a purple cat", "frames": 4, "seed": 1}
    frames, _, _ = call("motionkit_transfer", method=loaded, reference=clip(1, 64), driving=clip(4, 64), **words)
    assert frames.shape[0] == 4 and frames.isfinite().all()
    assert any(picture for bar in comfy.bars for _, picture in bar["steps"])


def test_without_comfyui_nothing_is_shown_or_cancelled():
    assert host.listed("loras") == [host.NONE]
    watcher = host.Watcher()
    watcher.start("generate", 3)
    watcher.step("generate", 1)
    assert not watcher.cancelled()
    with pytest.raises(Cancelled), host.running():
        raise Cancelled("cancelled")


def test_a_comfyui_that_lacks_something_says_so_itself(monkeypatch, tmp_path):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy" / "__init__.py").touch()
    (tmp_path / "comfy" / "utils.py").write_text("import not_installed_here")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="not_installed_here"):
        host.Watcher()


def test_maps_lie_in_the_input_folder(comfy):
    (comfy.root / "input" / "poses.npz").write_bytes(b"one")
    (comfy.root / "secret.npz").write_bytes(b"x")
    assert host.in_input("poses", "poses.npz") == str(comfy.root / "input" / "poses.npz")
    for text in ("../secret.npz", str(comfy.root / "secret.npz"), "gone.npz"):
        with pytest.raises(UserError, match="input folder"):
            host.in_input("poses", text)
    before = nodes.Transfer.IS_CHANGED(poses="poses.npz", method=None, seed=1)
    assert before == nodes.Transfer.IS_CHANGED(poses="poses.npz", seed=2)  # other inputs are ComfyUI's own business
    (comfy.root / "input" / "poses.npz").write_bytes(b"two")
    assert before != nodes.Transfer.IS_CHANGED(poses="poses.npz")


def test_a_mask_is_a_ready_made_map(comfy):
    from motionkit.perception.files import read_masks

    mask = torch.zeros(3, 8, 8)
    mask[:, 2:5] = 1
    words = nodes._words({"masks": mask, "prompt": "a cat"})
    assert set(words) == {"masks", "prompt"}
    assert np.array_equal(read_masks(words["masks"], 3, 8, 8), mask.numpy() > 0)
    with pytest.raises(UserError, match="black"):
        nodes._words({"masks": mask * 0})


def test_a_comparison_gives_a_grid_a_report_and_figures(comfy):
    still, warp = (call(f"motionkit_load_{name}", gpu="cpu")[0] for name in ("still", "warp"))
    given = {
        "method_1": still,
        "method_3": warp,
        "reference": clip(1),
        "driving": clip(),
        "truth": clip(),
        "size": "64",
    }
    grid, fps, report, figures = call("motionkit_compare", **given, method_2=None)
    assert grid.shape[0] == 4 and grid.shape[-1] == 3 and fps > 0
    assert report.startswith(str(comfy.root / "output")) and report.endswith("report.html")
    rows = {row["method"]: row["metrics"]["psnr"] for row in json.loads(figures)["cells"]}
    assert set(rows) == {"still", "warp"} and comfy.bars


def test_a_comparison_has_one_backbone_and_no_lora(comfy):
    one, two = Loaded("anamodiff", "tiny-sd"), Loaded("vidmp3", "sd15")
    assert nodes._shared([one, Loaded("still")])["backbone"] == "tiny-sd"
    assert nodes._shared([Loaded("still")]) == {"backbone": None, "backbone_path": None, "gpu": "auto"}
    with pytest.raises(UserError, match="one backbone"):
        nodes._shared([one, two])
    with pytest.raises(UserError, match="LoRA"):
        nodes._shared([one, Loaded("still", lora=("a", 1.0))])


def test_a_new_method_is_a_node_with_no_further_line(monkeypatch, tmp_path):
    from pathlib import Path

    info = tmp_path / "ghost-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ghost\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[motionkit.methods]\nghost = motionkit_ghost:SPEC\n")
    third_party = Path(__file__).parents[1] / "third_party" / "motionkit-example-ghost"
    for path in (third_party, tmp_path):
        monkeypatch.syspath_prepend(str(path))
    registry.refresh()
    try:
        made, titles = nodes._mappings()
        assert made["motionkit_load_ghost"].INPUT_TYPES()["optional"] and "motionkit_load_ghost" in titles
    finally:
        monkeypatch.undo()
        registry.refresh()


def test_settings_name_no_file_of_a_machine_that_others_reach(comfy, tmp_path, monkeypatch):
    node = NODE_CLASS_MAPPINGS["motionkit_load_vidmp3"]()
    elsewhere = str(tmp_path / "elsewhere")
    assert node.load(masks__path=elsewhere)[0].settings == {"masks.path": elsewhere}
    arguments = types.ModuleType("comfy.cli_args")
    arguments.args = types.SimpleNamespace(listen="127.0.0.1,0.0.0.0")
    monkeypatch.setitem(sys.modules, "comfy.cli_args", arguments)
    for name in ("masks__path", "pack", "save_pack"):
        with pytest.raises(UserError, match="MOTIONKIT_FILES"):
            node.load(**{name: elsewhere})
    below = str(tmp_path / "input" / "masks.npy")
    assert node.load(masks__path=below, save_pack=str(tmp_path / "output" / "pack"))
    with pytest.raises(UserError):
        node.load(save_pack=below)
    monkeypatch.setenv("MOTIONKIT_FILES", str(tmp_path))
    assert node.load(masks__path=elsewhere)
    arguments.args.listen = "127.0.0.1"
    monkeypatch.delenv("MOTIONKIT_FILES")
    assert node.load(masks__path=elsewhere)
