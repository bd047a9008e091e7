"""`motionkit transfer`: one method on one reference and one driving clip."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from motionkit.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from motionkit.cli.hydra_app import Start
    from motionkit.context import Progress
    from motionkit.media import Clip
    from motionkit.running.clips import Excerpt
    from motionkit.settings.config import RequestConfig, TransferConfig
    from motionkit.transfer import Inputs, MethodSpec

HELP = """usage: motionkit transfer [key=value ...] [-m] [--cfg job]

inputs
  reference=FILE          image or video of the character (mp4, gif, png, jpg, webp, or a folder of images)
  driving=FILE            video of the motion
  prompt=TEXT             what the result shows; source_prompt= what the reference shows; negative_prompt= what to avoid
  poses= masks= depth= correspondence= keypoints=    ready-made maps in place of the estimators
how
  method=NAME             see `motionkit methods`; its settings are method.KEY=VALUE (`motionkit methods NAME`)
  backbone=NAME           see `motionkit backbones`; backbone.path=FOLDER for weights of your own
                          backbone.lora=FILE merges a LoRA into them; backbone.lora_scale=1.0
  gpu=NAME                auto, cpu, 8gb, 12gb, 24gb, 80gb; single switches are gpu.KEY=VALUE
  seed=0 frames=N size=N|WxH fps=N
  start=T end=T           the part of the driving clip: seconds (2.5, 1:05) or frames (60f); without end= the frames
                          follow each other from start= on; reference_start= reference_end= of a reference video
  cache=false             make every stage again;  progress=terminal|jsonl|none
output
  output=FILE             .mp4, .webm, .mov, .gif, .webp, .png, or a new folder for png frames; the run folder
                          runs/transfer/... is made anyway
  alpha=true              the subject alone, the rest transparent (not mp4); null: where the reference is transparent
  audio=false             without the driving clip's sound;  loop=pingpong  forwards and backwards
  output_metadata=false   leave the settings out of the mp4's comment tag

  --cfg job               print the whole configuration and stop
  -m                      sweep: seed=0,1,2 -m  (hydra/launcher=joblib or submitit_slurm runs them side by side);
                          the folder of each job holds its result, without output=
"""

CLIPS = ("reference", "driving")


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    from motionkit.cli.hydra_app import run

    return run("transfer", transfer, argv)


def transfer(config: TransferConfig, start: Start) -> None:
    """One run, from a typed configuration to files.

    Raises:
        UserError: anything that the user can mend; whatever is cheap to see is seen before torch loads.
    """
    from motionkit import registry
    from motionkit.media.output_files import Finish, check_output
    from motionkit.running.lazy_backbone import choose_backbone
    from motionkit.settings.config import check_seed, method_settings, refuse_empty
    from motionkit.transfer import MAPS

    refuse_empty(config, (*CLIPS, *MAPS, "output"))
    check_seed(config.seed)
    weights = start.weights(config.backbone)
    spec = registry.spec(config.method["name"])
    settings = method_settings(spec, config.method)
    backbone = choose_backbone(spec, config.backbone["name"])
    watch = progress(config.progress)
    output = start.resolve(config.output) if config.output else None
    Finish(config.alpha, config.loop).check(output)
    if output is not None:
        check_output(output, input_paths(config, start))
    inputs = read_inputs(spec, config, start)

    from motionkit.running.execute import execute, plan_for

    plan = plan_for(config.gpu, backbone)
    result = execute(
        spec,
        inputs,
        config=settings,
        backbone=backbone,
        backbone_path=weights,
        online=bool(config.backbone.get("online")),
        motion=start.motion(config.backbone),
        lora=start.lora(config.backbone),
        gpu=plan,
        seed=config.seed,
        frames=config.frames,
        size=config.size,
        fps=config.fps,
        folder=start.folder,
        output=output,
        output_metadata=config.output_metadata,
        progress=watch,
        use_cache=config.cache,
        alpha=config.alpha,
        loop=config.loop,
        say=say,
        announce=lambda plan: print("\n".join(plan.lines()), file=sys.stderr),
    )
    if result.manifest["plan"] != asdict(plan):
        print("\n".join(type(plan)(**result.manifest["plan"]).lines()), file=sys.stderr)
    print(output or result.folder / "result.mp4")


def input_paths(config: RequestConfig, start: Start) -> list[Path]:
    """Every file that the request names."""
    from motionkit.transfer import MAPS

    given = [getattr(config, name) for name in (*CLIPS, *MAPS)]
    return [start.resolve(path) for path in given if path]


def read_inputs(spec: MethodSpec | None, config: RequestConfig, start: Start) -> Inputs:
    """Read the clips of a request; what the method requires, if there is one, is looked at first.

    Raises:
        UserError: a required input is missing, or a file cannot be read.
    """
    from motionkit.transfer import MAPS, Inputs

    given = Inputs()
    for name in ("prompt", "source_prompt", "negative_prompt"):
        text = getattr(config, name)
        setattr(given, name, text if text.strip() else "")  # blanks alone say nothing
    for name in MAPS:
        if path := getattr(config, name):
            setattr(given, name, str(start.resolve(path)))
    if spec is not None:
        for need in spec.requires:
            if not getattr(given, need.name) and not (need.name in CLIPS and getattr(config, need.name)):
                raise spec.missing(need)
    paths = [start.resolve(path) if path else None for path in (config.reference, config.driving)]
    given.reference, given.driving = excerpt(config, spec).read(*paths)
    say_notes("reference", given.reference)
    say_notes("driving", given.driving)
    return given


def excerpt(config: RequestConfig, spec: MethodSpec | None = None) -> Excerpt:
    """Which part of its clips a request asks for."""
    from motionkit.running.clips import Excerpt

    parts = (config.start, config.end, config.reference_start, config.reference_end)
    audio = bool(getattr(config, "audio", False))
    return Excerpt(config.frames, config.fps, *parts, audio, spec.stride if spec else None)


def say_notes(name: str, clip: Clip | None) -> None:
    """What was noted of a clip as it was read (that it is cut off, say), on stderr."""
    for note in clip.notes if clip is not None else ():
        say(f"{name}: {note}")


def say(line: str) -> None:
    """One line on stderr; stdout carries the result's path alone."""
    print(line, file=sys.stderr)


def progress(name: str) -> Progress:
    """The progress display of that name, on stderr."""
    from motionkit.context import NullProgress
    from motionkit.running.progress import JsonlProgress, TerminalProgress

    kinds: dict[str, Callable[[], Progress]] = {
        "terminal": TerminalProgress,
        "jsonl": lambda: JsonlProgress(sys.stderr),
        "none": NullProgress,
    }
    if name not in kinds:
        raise unknown("value of progress", name, kinds)
    return kinds[name]()
