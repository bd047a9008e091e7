"""One method that meets every rule, and many that break exactly one each.

`@breaks("rule", ...)` gives a class its own facts (keywords change them) and files it under the rule that catches it.
"""

import contextlib
import os
import socket
import tempfile
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from motionkit.errors import Cancelled
from motionkit.transfer import MethodSpec, Requirement, Stage, Transfer

GOOD = MethodSpec(
    name="good",
    title="Good",
    summary="Mixes the driving clip, the reference and seeded noise.",
    paper_url="https://example.org/good",
    citation="@misc{good, author = {A. Person}, title = {Good}, year = {2026}}",
    licence="Apache-2.0",
    transfer="broken_methods:Good",
    config="broken_config:Config",
    requires=(Requirement("reference"), Requirement("driving")),
    uses=(Requirement("prompt"),),
    stages=(Stage("prepare", ("driving",), ("steps",), seeded=False), Stage("fit", ("reference", "prompt"))),
    year=2026,
)
BROKEN: dict[str, list[type[Transfer]]] = {}


class Good(Transfer):
    spec = GOOD

    def prepare(self, inputs):
        motion = as_tensor(inputs.driving.frames)
        for i in range(self.config.steps):
            self.run.progress.tick("look", i + 1, self.config.steps)
        return {"motion": motion - motion.mean(0)}

    def fit(self, inputs, prepared):
        return {"look": as_tensor(inputs.reference.frames[:1]) + 0.01 * len(inputs.prompt)}

    def generate(self, inputs, prepared, fitted):
        noise = torch.rand(prepared["motion"].shape, generator=self.run.generator("noise"))
        video = fitted["look"] + self.config.strength * prepared["motion"] + 0.1 * noise
        for i in range(self.run.frames):
            self.run.progress.tick("draw", i + 1, self.run.frames)
        return video.clamp(0, 1)


def as_tensor(frames):
    return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float() / 255  # (F, 3, H, W)


def breaks(rule, **facts):
    def file(cls):
        spec_class = facts.pop("spec_class", None)
        spec = replace(GOOD, **{"transfer": f"broken_methods:{cls.__name__}"} | facts)
        if spec_class:
            spec = spec_class(**spec.__dict__)
        if "spec" not in vars(cls):
            cls.spec = spec
        BROKEN.setdefault(rule, []).append(cls)
        return cls

    return file


# What it leaves behind


@breaks("global_state_stays")
class SeedsTorch(Good):
    def generate(self, inputs, prepared, fitted):
        torch.manual_seed(self.run.seed)
        return (super().generate(inputs, prepared, fitted) * torch.rand(1)).clamp(0, 1)


@breaks("global_state_stays")
class DrawsFromNumpy(Good):
    def generate(self, inputs, prepared, fitted):
        return super().generate(inputs, prepared, fitted) * float(np.random.rand())


@breaks("global_state_stays")
class SetsEnvironment(Good):
    def prepare(self, inputs):
        os.environ["MOTIONKIT_TEST_LEFT_BEHIND"] = "1"
        return super().prepare(inputs)


@breaks("network_is_not_used")
class AsksTheNetwork(Good):
    def prepare(self, inputs):
        try:
            urllib.request.urlopen("http://127.0.0.1:9/weights", timeout=1)
        except OSError:
            pass
        return super().prepare(inputs)


@breaks("network_is_not_used")
class OpensASocket(Good):
    def generate(self, inputs, prepared, fitted):
        with socket.socket() as plug, contextlib.suppress(OSError):
            plug.connect(("127.0.0.1", 9))
        return super().generate(inputs, prepared, fitted)


@breaks("writes_stay_inside")
class WritesElsewhere(Good):
    left = Path(tempfile.gettempdir()) / "motionkit-test-left-behind.txt"

    def prepare(self, inputs):
        self.left.write_text("here")
        return super().prepare(inputs)


@breaks("inputs_stay_as_they_are")
class PaintsOnTheDriving(Good):
    def prepare(self, inputs):
        inputs.driving.frames[0, :4] = 0
        return super().prepare(inputs)


@breaks("settings_stay_as_they_are")
class ChangesSettings(Good):
    def generate(self, inputs, prepared, fitted):
        self.config.strength = 0.25
        return super().generate(inputs, prepared, fitted)


# What it returns


@breaks("video_has_its_shape")
class OneFrameTooMany(Good):
    def generate(self, inputs, prepared, fitted):
        video = super().generate(inputs, prepared, fitted)
        return torch.cat([video, video[:1]])


@breaks("video_has_its_shape")
class ReturnsBytes(Good):
    def generate(self, inputs, prepared, fitted):
        return (super().generate(inputs, prepared, fitted) * 255).to(torch.uint8)


@breaks("video_has_its_shape")
class ReturnsNumpy(Good):
    def generate(self, inputs, prepared, fitted):
        return super().generate(inputs, prepared, fitted).numpy()


@breaks("video_is_in_range")
class NotNumbers(Good):
    def generate(self, inputs, prepared, fitted):
        return super().generate(inputs, prepared, fitted).log().log()


@breaks("video_is_in_range")
class MinusOneToOne(Good):
    def generate(self, inputs, prepared, fitted):
        return super().generate(inputs, prepared, fitted) * 2 - 1


@breaks("run_ends_well")
class Crashes(Good):
    def prepare(self, inputs):
        raise RuntimeError("a bug")


# What it reads


@breaks("same_seed_same_bits")
class NeverTheSame(Good):
    def generate(self, inputs, prepared, fitted):
        return super().generate(inputs, prepared, fitted) * float(np.random.default_rng().random())


@breaks("seed_counts_as_declared", stochastic=False)
class HidesItsNoise(Good):
    pass


@breaks("seed_counts_as_declared")
class IgnoresTheSeed(Good):
    def generate(self, inputs, prepared, fitted):
        return (fitted["look"] + prepared["motion"]).clamp(0, 1)


@breaks("driving_counts_as_declared")
class IgnoresTheDriving(Good):
    def prepare(self, inputs):
        return {"motion": torch.zeros_like(super().prepare(inputs)["motion"])}


@breaks("reference_counts_as_declared")
class IgnoresTheReference(Good):
    def fit(self, inputs, prepared):
        return {"look": torch.full((1, 3, 1, 1), 0.4 + 0.01 * len(inputs.prompt))}


@breaks("prompt_counts_as_declared")
class IgnoresThePrompt(Good):
    def fit(self, inputs, prepared):
        return {"look": as_tensor(inputs.reference.frames[:1])}


@breaks("negative_prompt_counts_as_declared")
class ReadsWhatItDoesNotDeclare(Good):
    def generate(self, inputs, prepared, fitted):
        return super().generate(inputs, prepared, fitted) * (0.5 if "blurry" in inputs.negative_prompt else 1)


@breaks("optional_inputs_are_optional")
class NeedsAPrompt(Good):
    def fit(self, inputs, prepared):
        inputs.prompt.split()[0]
        return super().fit(inputs, prepared)


class NamesNothing(MethodSpec):
    def check_inputs(self, inputs):
        pass


@breaks("missing_input_is_named", spec_class=NamesNothing)
class CrashesWithoutDriving(Good):
    pass


# How it goes along


@breaks("progress_is_whole")
class GoesBack(Good):
    def generate(self, inputs, prepared, fitted):
        for i in (1, 3, 2, 4):
            self.run.progress.tick("back", i, 4)
        return super().generate(inputs, prepared, fitted)


@breaks("progress_is_whole")
class NeverArrives(Good):
    def generate(self, inputs, prepared, fitted):
        self.run.progress.tick("half", 1, 2)
        return super().generate(inputs, prepared, fitted)


@breaks("cancel_stops_it")
class SwallowsCancel(Good):
    def prepare(self, inputs):
        motion = as_tensor(inputs.driving.frames)
        for i in range(4):
            try:
                self.run.progress.tick("deaf", i + 1, 4)
            except Cancelled:
                pass
        return {"motion": motion - motion.mean(0)}


@breaks("cancel_stops_it")
class StopsWithAnotherError(Good):
    def prepare(self, inputs):
        try:
            return super().prepare(inputs)
        except Cancelled as error:
            raise RuntimeError("stopped") from error


# Its stages


@breaks("cache_gives_the_same_bits")
class RemembersBetweenSteps(Good):
    def prepare(self, inputs):
        self.kept = super().prepare(inputs)
        return self.kept

    def generate(self, inputs, prepared, fitted):
        return super().generate(inputs, self.kept, fitted)


@breaks("stages_declare_what_they_read", stages=(Stage("prepare", ("driving",)), Stage("fit", ("reference",))))
class FitReadsThePromptSilently(Good):
    pass


@breaks("stages_declare_what_they_read", stages=(Stage("prepare", ("driving",), seeded=False),))
class PrepareReadsTheSeedSilently(Good):
    def prepare(self, inputs):
        noise = torch.rand((), generator=self.run.generator("prepare"))
        return {"motion": super().prepare(inputs)["motion"] * noise}


# Sizes


@breaks("one_frame_works")
class NeedsTwoFrames(Good):
    def prepare(self, inputs):
        1 / (self.run.frames - 1)
        return super().prepare(inputs)


@breaks("two_frames_work")
class DislikesPairs(Good):
    def prepare(self, inputs):
        1 / (self.run.frames - 2)
        return super().prepare(inputs)


@breaks("frame_need_not_be_square")
class MixesUpHeightAndWidth(Good):
    def generate(self, inputs, prepared, fitted):
        return super().generate(inputs, prepared, fitted).transpose(2, 3)


# What it costs to start


def with_tiny(cls):
    tiny = {"backbones": ("tiny-sd",), "default_backbone": "tiny-sd"}
    cls.spec = replace(GOOD, transfer=f"broken_methods:{cls.__name__}", **tiny)
    return cls


@with_tiny
class GoodOnTiny(Good):
    def generate(self, inputs, prepared, fitted):
        video = super().generate(inputs, prepared, fitted)
        return (0.5 * video + 0.5 * self.backbone.decode(self.backbone.encode(video))).clamp(0, 1)


@breaks("starts_without_weights")
@with_tiny
class LoadsAtOnce(GoodOnTiny):
    def check(self, inputs):
        self.width = self.backbone.unet.config.block_out_channels[0]


@breaks("declared_backbones_work", backbones=("tiny-sd", "tiny-modelscope"), default_backbone="tiny-sd")
class FailsOnAnother(GoodOnTiny):
    def generate(self, inputs, prepared, fitted):
        if self.backbone.spec.family == "modelscope":
            raise AttributeError("no such layer")
        return super().generate(inputs, prepared, fitted)


# What it declares


@breaks("facts_are_stated", name="Two Words")
class BadName(Good):
    pass


@breaks("facts_are_stated", summary="")
class NoSummary(Good):
    pass


@breaks("facts_are_stated", paper_url="arxiv 2026")
class NoAddress(Good):
    pass


@breaks("citation_is_bibtex", citation="@misc{good, author = {A. Person}, title = {Never closed, year = {2026}}")
class BadCitation(Good):
    pass


@breaks("citation_is_bibtex", citation="@misc{good, author = {A. Person}, title = {No year}}")
class NoYear(Good):
    pass


@breaks("inputs_exist", uses=(Requirement("prompt"), Requirement("sketch")))
class UnknownInput(Good):
    pass


@breaks("facts_need_no_torch", config="heavy_config:Config")
class HeavyConfig(Good):
    pass


@breaks("settings_have_defaults", config="broken_config:NeedsArgument")
class ConfigNeedsArgument(Good):
    pass


@breaks("yaml_says_the_same", conf=str(Path(__file__).parent / "other_values"))
class YamlSaysAnother(Good):
    pass


@breaks("stages_are_valid", stages=(Stage("prepare", ("driving",)), Stage("fit", ("reference", "prompt", "depth"))))
class StageReadsUndeclared(Good):
    pass


@breaks("backbones_exist", no_backbones={"sd99": "no such thing"})
class UnknownBackbone(Good):
    pass


@breaks("backbones_exist", backbones=("tiny-sd",), default_backbone="tiny-sd", refuses={"sdx": "two text encoders"})
class UnknownFamily(Good):
    pass


@breaks("backbones_exist", backbones=("tiny-sd",), default_backbone="tiny-sd", refuses={"sd": "single pictures"})
class RunsWhereItRefuses(Good):
    pass


@breaks("trainer_exists", trainer="broken_methods:no_such_function")
class NoTrainer(Good):
    pass


@breaks("trainer_exists", train_config="broken_config:Config")
class TrainsNothing(Good):
    pass


@breaks("class_fits")
class NotItsOwnFacts(Good):
    spec = replace(GOOD, transfer="broken_methods:Good")
