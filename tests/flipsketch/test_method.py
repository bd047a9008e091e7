"""The whole method on the tiny backbone: modes, presets, what is not computed twice, and one-line refusals."""

import dataclasses
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sketch_models import drawing

from motionkit import registry
from motionkit.errors import MissingWeights, UserError
from motionkit.media import from_frames
from motionkit.methods.flipsketch import method as module
from motionkit.methods.flipsketch import recording_cache
from motionkit.methods.flipsketch.compose import Recording
from motionkit.methods.flipsketch.config import PRESETS, FlipSketchConfig, InvertConfig, SampleConfig, SketchConfig
from motionkit.running.execute import execute
from motionkit.running.needs import need_of
from motionkit.settings.gpu import DeviceFacts, GpuConfig, Plan, resolve
from motionkit.settings.need import free_bytes
from motionkit.settings.presets import settings
from motionkit.testing.clips import moving_shapes
from motionkit.transfer import Inputs
from motionkit.weights import places

QUICK = {"sample": {"steps": 3}, "align": {"updates": 1}, "invert": {"copies": 2}, "binarise": "none"}
INPUTS = Inputs(reference=drawing(), prompt="a horse walking")


def go(folder, inputs=INPUTS, seed=0, frames=3, use_cache=False, **config):
    settings = {name: dict(value) if isinstance(value, dict) else value for name, value in QUICK.items()}
    for key, value in config.items():
        settings[key] = settings.get(key, {}) | value if isinstance(value, dict) else value
    return execute(
        "flipsketch",
        inputs,
        config=settings,
        backbone="tiny-modelscope",
        seed=seed,
        frames=frames,
        folder=folder,
        use_cache=use_cache,
    )


def other(**changes):
    return dataclasses.replace(INPUTS, **changes)


@pytest.fixture
def walks(monkeypatch):
    """The frames of each reference branch that was walked."""
    seen, real = [], module.walk
    monkeypatch.setattr(module, "walk", lambda *a, **k: (seen.append(a[3].frames), real(*a, **k))[1])
    return seen


def test_black_on_white_and_what_the_model_saw(tmp_path):
    result = go(tmp_path, binarise="otsu")
    assert result.frames.shape == (3, 64, 64, 3) and set(np.unique(result.frames)) <= {0, 255}
    assert result.shown["sketch"].shape == (1, 64, 64, 3) and result.shown["sketch"].min() < 60
    assert result.manifest["notes"]["sketch"]["kind"] == "lines"


@pytest.mark.parametrize(
    "settings",
    [
        {"preset": "app"},
        {"mode": "words"},
        {"pin_first_frame": True},
        {"reference_share": 0.7},
        {"motion": 0.0},
        {"motion": 1.0},
        {"compose": {"ramp": "constant"}},
        {"compose": {"layers": "all"}},
        {"compose": {"passes": "both"}},
        {"compose": {"spatial": False}},
        {"compose": {"fraction": 0.2}},
        {"invert": {"input_range": "signed"}},
        {"invert": {"sample": "mean"}},
        {"invert": {"copies": 1}},
        {"invert": {"path": "kept"}},
        {"align": {"updates": 3}},
        {"align": {"lr": 0.1}},
        {"align": {"precision": "bfloat16"}},
        {"sample": {"rescale": 0.5}},
        {"sample": {"guidance": 3.0}},
        {"sketch": {"thickness": 6.0}},
    ],
    ids=lambda s: "-".join(f"{k}={v}" for k, v in s.items())[:60],
)
def test_every_option_changes_the_video(settings, tmp_path, default):
    frames = go(tmp_path, **settings).frames
    assert frames.shape == default.shape and not np.array_equal(frames, default)


def test_how_many_reference_frames_take_part_changes_the_video(tmp_path):
    """A frame less at each step, or evenly over the composed steps: the same for three frames in three steps."""
    step, linear = (go(tmp_path / way, frames=5, compose={"first_frames": way}).frames for way in ("step", "linear"))
    assert not np.array_equal(step, linear)


@pytest.mark.parametrize("settings", [{"align": {"checkpointing": "on"}}, {"sample": {"batched": "on"}}])
def test_what_saves_memory_or_calls_changes_nothing(settings, tmp_path, default):
    difference = np.abs(go(tmp_path, **settings).frames.astype(int) - default)
    assert difference.max() <= 2 and (difference > 0).mean() < 0.01


def test_the_papers_drawing_is_taken_as_it_is(tmp_path, default):
    """Beside the negative prompt, which is not given here, that is where `best` differs from it."""
    paper = go(tmp_path / "a", preset="paper")
    ours = go(tmp_path / "b", preset="paper", sketch={"source": "auto", "clean": True})
    assert paper.shown["sketch"].shape == ours.shown["sketch"].shape
    assert not np.array_equal(paper.shown["sketch"], ours.shown["sketch"]) and np.array_equal(ours.frames, default)


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    return go(tmp_path_factory.mktemp("default")).frames


def test_a_second_prompt_or_seed_walks_no_reference_again(tmp_path, walks):
    first = go(tmp_path / "a", use_cache=True)
    prompt = go(tmp_path / "b", other(prompt="a horse jumping"), use_cache=True)
    seed = go(tmp_path / "c", seed=1, use_cache=True)
    motion = go(tmp_path / "d", motion=1.0, use_cache=True)
    assert walks == [3]
    assert [r.manifest["from_cache"] for r in (first, prompt, seed, motion)] == [[], *[["prepare"]] * 3]
    assert len({r.frames.tobytes() for r in (first, prompt, seed, motion)}) == 4
    told = [r.manifest["notes"]["settings"]["motion"] for r in (first, motion)]
    assert told == [0.5, 1.0]  # what this run used, not the one that filled the cache


def test_a_large_reference_stays_in_memory_and_is_made_again_without(tmp_path, walks, monkeypatch):
    from motionkit.methods.flipsketch import recording_cache
    from motionkit.methods.flipsketch.compose import Composer

    records, real = [], Composer.record
    monkeypatch.setattr(Composer, "record", lambda self, *given: (records.append(1), real(self, *given))[1])
    whole = go(tmp_path / "a")
    records.clear()
    large = go(tmp_path / "b", use_cache=True, store_mb=0)
    assert len(records) == 3 and np.array_equal(large.frames, whole.frames)
    again = go(tmp_path / "c", use_cache=True, store_mb=0)
    assert len(records) == 3 and np.array_equal(again.frames, whole.frames)
    recording_cache._memory.clear()
    later = go(tmp_path / "d", use_cache=True, store_mb=0)
    assert len(records) == 6 and np.array_equal(later.frames, whole.frames) and walks == [3, 3]


def test_recordings_on_the_device_are_used_as_they_are(tmp_path, monkeypatch):
    """Not as they come back from the cached stage, by way of the CPU's memory; the result is the same."""
    used, real = [], module.recorder
    monkeypatch.setattr(module, "recorder", lambda *given: (used.append(given[2]), real(*given))[1])
    made, walk = [], module.walk
    monkeypatch.setattr(module, "walk", lambda *a, **k: (made.append(walk(*a, **k)), made[-1])[1])
    plain = go(tmp_path / "0")
    monkeypatch.setattr(module.FlipSketch, "_room_mb", lambda self: 1e9)
    first = go(tmp_path / "a", use_cache=True)
    assert used[0] is not made[0] and used.pop(0) and made.pop(0)
    assert used[0] is made[0] and np.array_equal(plain.frames, first.frames)
    again = go(tmp_path / "b", use_cache=True)
    assert len(made) == 1 and used[1] is not made[0] and np.array_equal(first.frames, again.frames)


def test_recordings_take_what_the_plan_has_beyond_the_counted_need():
    """In all: what is counted, a tenth of it, and the recordings are never more than the card has."""
    settings = FlipSketchConfig()
    need = need_of(registry.spec("flipsketch"), settings, "animatediff-sd15", 16, 512, 512)
    seen = {}
    for vram in (8, 12, 24, 80):
        plan = resolve(GpuConfig("auto"), DeviceFacts(cuda=True, vram_gb=vram, bf16=True), None, need)
        room = module.FlipSketch._room_mb(SimpleNamespace(run=SimpleNamespace(device="cuda:0", plan=plan)))
        assert need.peak(plan).bytes * 1.1 + room * 1e6 <= free_bytes(vram) or room == 0
        seen[vram] = room
    assert seen[8] < seen[24] < seen[80] and seen[80] > 50_000
    for run in (SimpleNamespace(device="cuda:0", plan=Plan()), SimpleNamespace(device="cpu", plan=Plan(spare_mb=9))):
        assert module.FlipSketch._room_mb(SimpleNamespace(run=run)) == 0  # a need that is not known; no card


def test_recordings_on_the_device_are_never_copied(tmp_path, monkeypatch):
    whole = go(tmp_path / "a")
    recording_cache._memory.clear()
    moved = []
    monkeypatch.setattr(module.FlipSketch, "_room_mb", lambda self: 1e9)
    monkeypatch.setattr(Recording, "device", "cuda")
    monkeypatch.setattr(Recording, "map", lambda self, change: moved.append(self.megabytes))
    large = go(tmp_path / "b", store_mb=0)
    assert not moved and not any(recording_cache._memory.values()) and np.array_equal(large.frames, whole.frames)


def test_recordings_of_one_clip_at_a_time_are_held(tmp_path, monkeypatch):
    held, alive, real = [], [], module.walk

    def walk(*given, **options):
        alive.append([reference() is not None for reference in held])
        made = real(*given, **options)
        held.append(weakref.ref(made))
        return made

    monkeypatch.setattr(module, "walk", walk)
    monkeypatch.setattr(module.FlipSketch, "_room_mb", lambda self: 1e9)
    monkeypatch.setattr(module.FlipSketch, "_again", lambda self, frame: self._drawing.image)
    go(tmp_path, frames=5, mode="extrapolate", next_prompts=["it lies down", "it sleeps"])
    assert alive == [[], [False], [False, False]]


def test_several_seeds_are_ranked_and_none_is_lost(tmp_path, monkeypatch):
    from motionkit.methods.flipsketch import rank

    alone = [go(tmp_path / str(s), seed=s).frames.astype(int) for s in range(3)]
    monkeypatch.setattr(rank, "rank_by_consistency", lambda drawing, videos, clip: ([0.2, 0.8, 0.1], "a test"))
    result = go(tmp_path / "ranked", seeds=3)
    names = ["ranked-1-seed-1", "ranked-2-seed-0", "ranked-3-seed-2"]
    assert set(result.shown) == {"sketch", *names}
    assert {p.stem for p in (tmp_path / "ranked" / "scratch").glob("*.gif")} == set(names)
    for name, frames in zip(names, (alone[1], alone[0], alone[2]), strict=True):
        assert np.abs(result.shown[name].astype(int) - frames).max() <= 2  # a video of the batch is the seed's own
    assert np.array_equal(result.frames, result.shown[names[0]])
    ranking = result.manifest["notes"]["ranking"]
    assert ranking["by"] == "a test" and [place["seed"] for place in ranking["order"]] == [1, 0, 2]
    assert not any(place["kept"] for place in ranking["order"])


def test_without_any_ruler_there_is_still_a_result(tmp_path, monkeypatch):
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    result = go(tmp_path, seeds=2, frames=2)
    assert len(result.frames) == 2 and result.manifest["notes"]["ranking"]["by"].startswith("none")


def test_sentences_follow_each_other(tmp_path, walks, monkeypatch):
    """Each clip starts from the last frame of the one before, which is there once."""
    drawings, real = [], module.FlipSketch._refer
    monkeypatch.setattr(
        module.FlipSketch,
        "_refer",
        lambda self, picture, frames, negative: (drawings.append(picture), real(self, picture, frames, negative))[1],
    )
    result = go(tmp_path, frames=6, mode="extrapolate", next_prompts=["it lies down"], binarise="otsu")
    assert result.frames.shape[0] == 6 and walks == [4, 3] and len(drawings) == 2
    assert np.array_equal(drawings[1], result.frames[3])
    single = go(tmp_path / "single", frames=4, binarise="otsu")
    assert np.array_equal(result.frames[:4], single.frames)


def test_nothing_goes_on_from_an_empty_frame(tmp_path, monkeypatch):
    empty = np.full((4, 64, 64, 3), 255, np.uint8)
    monkeypatch.setattr(module.FlipSketch, "_best", lambda *a: empty)
    with pytest.raises(UserError, match="empty frame"):
        go(tmp_path, frames=6, mode="extrapolate", next_prompts=["it lies down"])


def test_a_video_gives_its_first_frame(tmp_path):
    clip = moving_shapes(5)
    video = go(tmp_path / "a", other(reference=clip))
    still = go(tmp_path / "b", other(reference=from_frames(clip.frames[:1], is_image=True)))
    assert np.array_equal(video.frames, still.frames)
    assert video.manifest["notes"]["reference"] == "the first of 3 frames"


@pytest.mark.parametrize("frames", [1, 2, 16])
def test_any_number_of_frames(frames, tmp_path):
    assert go(tmp_path, frames=frames, sample={"steps": 2}).frames.shape[0] == frames


def test_a_wide_drawing_stays_wide(tmp_path):
    wide = drawing(128, 256, ((20, 20, 230, 90), (60, 110, 180, 30), (200, 20, 150, 110)))
    settings = {"sample": {"steps": 2}, "align": {"updates": 1}, "invert": {"copies": 2}}
    result = execute(
        "flipsketch",
        other(reference=wide),
        config=settings,
        backbone="tiny-modelscope",
        frames=2,
        size=(32, 64),
        folder=tmp_path,
        use_cache=False,
    )
    assert result.frames.shape == (2, 32, 64, 3) and result.shown["sketch"].shape == (1, 32, 64, 3)


@pytest.mark.parametrize("backbone", ["tiny-animatediff-sd15", "tiny-animatediff-sdxl"])
def test_animatediff_has_layers_along_time_too(backbone, tmp_path):
    frames = {}
    for composed in (True, False):
        config = QUICK | {"compose": {"spatial": composed, "temporal": composed}}
        frames[composed] = execute(
            "flipsketch", INPUTS, config=config, backbone=backbone, frames=3, folder=tmp_path, use_cache=False
        ).frames
    assert frames[True].shape[0] == 3 and not np.array_equal(frames[True], frames[False])


class TestRefusals:
    def refused(self, folder, match, inputs=INPUTS, error=UserError, **config):
        with pytest.raises(error, match=match) as caught:
            go(folder, inputs, **config)
        assert "\n" not in str(caught.value).strip()

    @pytest.mark.parametrize(
        ("picture", "says"),
        [
            (np.full((64, 64, 3), 255, np.uint8), "the drawing is empty"),
            (np.zeros((64, 64, 3), np.uint8), "entirely black"),
            (np.full((64, 64, 3), 120, np.uint8), "one single colour"),
        ],
        ids=["empty", "black", "grey"],
    )
    def test_no_drawing(self, picture, says, tmp_path, monkeypatch):
        monkeypatch.setattr(module.FlipSketch, "prepare", lambda *a: pytest.fail("began to work"))
        self.refused(tmp_path, says, other(reference=from_frames(picture, is_image=True)))

    def test_no_prompt_and_no_reference(self, tmp_path):
        self.refused(tmp_path, "flipsketch needs prompt", other(prompt=""))
        self.refused(tmp_path, "flipsketch needs reference", other(reference=None))

    def test_a_lora_that_is_not_there_or_of_another_model(self, tmp_path):
        self.refused(
            tmp_path / "a",
            "method.lora=nothing.safetensors: no such file",
            error=MissingWeights,
            lora="nothing.safetensors",
        )
        name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora"
        factors = {f"{name}_A.weight": torch.zeros(4, 320), f"{name}_B.weight": torch.zeros(320, 4)}
        save_file(factors, tmp_path / "other.safetensors")
        self.refused(tmp_path / "b", "other.safetensors", lora=str(tmp_path / "other.safetensors"))

    def test_pocket_goes_without_the_shipped_lora_only_when_told(self, tmp_path, monkeypatch):
        for name in ("pocket-modelscope", "pocket-sd"):
            (tmp_path / name).symlink_to(places.PACKAGE / name)
        monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path))
        with pytest.raises(MissingWeights, match="no weights at .*lora.safetensors: .* method.lora=none"):
            execute("flipsketch", INPUTS, backbone="pocket-modelscope", folder=tmp_path / "run", use_cache=False)

    def test_image_models(self, tmp_path):
        with pytest.raises(UserError, match="sd15: .*single pictures"):
            execute("flipsketch", INPUTS, backbone="sd15", folder=tmp_path)

    def test_too_few_frames_for_the_sentences(self, tmp_path):
        self.refused(tmp_path, "at least 4 frames .*frames=28", mode="extrapolate", next_prompts=["a", "b"])

    def test_clip_weights_that_are_not_there(self, tmp_path):
        self.refused(tmp_path, "CLIP", error=MissingWeights, clip=str(tmp_path / "nothing"), seeds=2)


class TestLora:
    def test_its_layers_are_merged_once_and_count(self, tmp_path, default):
        from motionkit import backbones
        from motionkit.settings.gpu import Plan

        unet = backbones.load("tiny-modelscope", Plan()).unet
        name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
        width = unet.get_submodule(name).weight.shape[0]
        draw = torch.Generator().manual_seed(0)
        factors = {
            f"unet.{name}.lora_{x}.weight": torch.randn(s, generator=draw)
            for x, s in (("A", (2, width)), ("B", (width, 2)))
        }
        save_file(factors, tmp_path / "lora.safetensors")
        result = go(tmp_path / "run", lora=str(tmp_path / "lora.safetensors"))
        assert result.manifest["notes"]["lora_layers"] == 1 and "lora" in result.manifest["weights"]
        assert not np.array_equal(result.frames, default)

    def test_what_lies_beside_a_lora_and_decides_its_strength_is_part_of_the_hash(self, tmp_path):
        for name in ("adapter_model.safetensors", "adapter_config.json", "a_unet.pt", "a_text_encoder.pt", "b.pt"):
            (tmp_path / name).write_bytes(b"x")
        for name, files in (
            ("adapter_model.safetensors", ["adapter_model.safetensors", "adapter_config.json"]),
            ("a_unet.pt", ["a_unet.pt", "a_text_encoder.pt"]),
            ("b.pt", ["b.pt"]),
        ):
            method = SimpleNamespace(
                _lora=lambda name=name: tmp_path / name, config=FlipSketchConfig(preset="paper").on("")
            )
            assert [path.name for path in module.FlipSketch.weights(method).values()] == files


class TestConfig:
    def test_presets_fill_what_is_not_set(self):
        app = FlipSketchConfig(preset="app")
        assert app.align.enabled is False and app.lambda_ == 0.5 and app.sample.guidance == 9.0
        assert FlipSketchConfig(preset="app", motion=0.2).lambda_ == pytest.approx(0.8)
        assert set(PRESETS) == {"best", "paper", "app"} and len({frozenset(p) for p in PRESETS.values()}) == 1
        assert (app.sketch.source, app.sketch.clean) == ("drawing", False), "the authors feed the drawing as it is"
        ours = FlipSketchConfig()
        assert (ours.sketch.source, ours.sketch.clean) == ("auto", True)

    @pytest.mark.parametrize(
        ("values", "line"),
        [
            ({"preset": "fast"}, "method.preset=fast is unknown: choose paper, app, best"),
            ({"motion": 2.0}, "method.motion=2 is outside 0 to 1"),
            ({"mode": "extrapolate"}, "method.next_prompts="),
            ({"next_prompts": ["x"]}, "needs method.mode=extrapolate"),
            ({"mode": "extrapolate", "next_prompts": [" "]}, "holds an empty sentence"),
            ({"phrase": "a drawing"}, "must contain"),
            ({"seeds": 0}, "method.seeds=0 is outside 1 to 64"),
            ({"sketch": SketchConfig(source="none"), "seeds": 2}, "no drawing to rank videos by"),
        ],
    )
    def test_what_cannot_be_is_one_line(self, values, line):
        with pytest.raises(UserError, match=line):
            FlipSketchConfig(**values)


class TestBestOnABackbone:
    def test_pocket_takes_what_was_measured_there_unless_it_was_set(self):
        config = FlipSketchConfig(sample=SampleConfig(guidance=9.0))
        on = config.on("pocket-modelscope")
        assert (on.reference_share, on.invert.input_range, on.pin_first_frame) == (0.9, "signed", True)
        assert on.sample.guidance == 9.0
        assert (config.on("modelscope").reference_share, config.on("modelscope").invert.input_range) == (0.0, "unit")

    def test_paper_is_the_same_everywhere(self):
        config = FlipSketchConfig(preset="paper")
        assert settings(config.on("pocket-modelscope")) == settings(config)

    def test_a_set_value_is_told_from_one_left_open_in_the_cache_key(self):
        set_one = FlipSketchConfig(invert=InvertConfig(input_range="unit"))
        assert settings(set_one) != settings(FlipSketchConfig())


def test_layers_that_are_composed_too_are_recorded_anew(tmp_path):
    """Recordings that stay in memory are of the layers that were asked for."""
    before = [go(tmp_path / "a", compose={"layers": layers}, store_mb=0) for layers in ("attn1", "all")]
    recording_cache._memory.clear()
    fresh = go(tmp_path / "b", compose={"layers": "all"}, store_mb=0)
    assert np.array_equal(before[1].frames, fresh.frames) and not np.array_equal(before[0].frames, fresh.frames)


def test_alignment_is_refused_where_the_unet_is_in_pieces(tmp_path):
    with pytest.raises(UserError, match="gpu.offload=model.*method.align.enabled=false"):
        execute("flipsketch", INPUTS, backbone="tiny-modelscope", gpu=Plan(offload="group"), folder=tmp_path)


def test_a_prompt_that_speaks_of_no_drawing_is_phrased(tmp_path, monkeypatch):
    read, text = [], module.FlipSketch._text
    monkeypatch.setattr(module.FlipSketch, "_text", lambda self, prompt: (read.append(prompt), text(self, prompt))[1])
    ours = go(tmp_path / "a", phrase="a drawing of {prompt}")
    assert read[-2:] == ["a drawing of a horse walking", ""]
    assert ours.manifest["notes"]["phrased"] == ["a drawing of a horse walking"]
    said = go(tmp_path / "b", other(prompt="A Drawing of a horse walking"), phrase="a drawing of {prompt}")
    assert read[-2:] == ["A Drawing of a horse walking", ""] and "phrased" not in said.manifest["notes"]
    go(tmp_path / "c")
    assert read[-2:] == ["a horse walking", ""]
    assert FlipSketchConfig().on("pocket-modelscope").phrase == "a drawing of {prompt}"


def test_without_the_drawing_the_sentence_alone_makes_the_clip(tmp_path, default, walks):
    alone = {"sketch": {"source": "none"}}
    ours = go(tmp_path / "a", **alone)
    square = other(reference=from_frames(np.full((1, 64, 64, 3), 255, np.uint8), 8.0, "empty", is_image=True))
    assert np.array_equal(ours.frames, go(tmp_path / "b", square, **alone).frames) and not walks
    assert not np.array_equal(ours.frames, default) and "not used" in ours.manifest["notes"]["sketch"]["said"]
    shared = go(tmp_path / "c", reference_share=1.0, **alone).frames.astype(int)
    spread = [np.abs(np.diff(frames.astype(int), axis=0)).mean() for frames in (ours.frames, shared)]
    assert spread[1] < spread[0]  # all frames begin with one noise, which no drawing gave
    words = other(prompt="a cat sitting")
    assert not np.array_equal(ours.frames, go(tmp_path / "d", words, **alone).frames)
    longer = go(tmp_path / "e", frames=5, mode="extrapolate", next_prompts=["it lies down"], **alone)
    assert longer.frames.shape[0] == 5 and walks == [3]


def test_a_transparent_drawing_gives_ink_on_nothing(tmp_path):
    clear = dataclasses.replace(INPUTS.reference, transparent=True)
    result = go(tmp_path, other(reference=clear), binarise="otsu")
    assert ((result.alpha == 255) == (result.frames[..., 0] == 0)).all() and set(np.unique(result.alpha)) <= {0, 255}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"preset": "app"}, True),
        ({"preset": "app", "pin_first_frame": True}, False),
        ({"preset": "paper"}, False),
        ({"preset": "paper", "align": {"enabled": False}}, True),
    ],
)
def test_it_says_that_the_first_frame_is_not_held_to_the_drawing(settings, said):
    from motionkit.running.choices import BackboneChoice
    from motionkit.running.request import Request, check
    from motionkit.testing.clips import sample_inputs

    told = []
    check(Request("flipsketch", sample_inputs(), settings, BackboneChoice("tiny-modelscope")), say=told.append)
    assert any("pin_first_frame=true" in line for line in told) == said
