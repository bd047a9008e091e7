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
    from motionkit.config import RequestConfig, TransferConfig
    from motionkit.media import Clip
    from motionkit.progress import Progress
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
  cache=false             make every stage again;  progress=terminal|jsonl|none
output
  output=FILE             .mp4, .gif, or a new folder for png frames; the run folder runs/transfer/... is made anyway
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
    from motionkit.config import check_seed, method_settings, refuse_empty
    from motionkit.handle import choose_backbone
    from motionkit.output import check_output
    from motionkit.transfer import MAPS

    refuse_empty(config, (*CLIPS, *MAPS, "output"))
    check_seed(config.seed)
    weights = start.weights(config.backbone)
    spec = registry.spec(config.method["name"])
    settings = method_settings(spec, config.method)
    backbone = choose_backbone(spec, config.backbone["name"])
    watch = progress(config.progress)
    output = start.resolve(config.output) if config.output else None
    if output is not None:
        check_output(output, input_paths(config, start))
    inputs = read_inputs(spec, config, start)

    from motionkit.run import execute, plan_for

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
    given.reference = read_noted("reference", config.reference, start)
    given.driving = read_noted("driving", config.driving, start)
    return given


def read_noted(name: str, path: str | None, start: Start) -> Clip | None:
    """The clip at a path, if one is given; what was noted as it was read (that it is cut off, say) goes to stderr.

    Raises:
        UserError: the file cannot be read.
    """
    if not path:
        return None
    from motionkit import media

    clip = media.read_clip(start.resolve(path))
    for note in clip.notes:
        print(f"{name}: {note}", file=sys.stderr)
    return clip


def progress(name: str) -> Progress:
    """The progress display of that name, on stderr."""
    from motionkit.progress import JsonlProgress, NullProgress, TerminalProgress

    kinds: dict[str, Callable[[], Progress]] = {
        "terminal": TerminalProgress,
        "jsonl": lambda: JsonlProgress(sys.stderr),
        "none": NullProgress,
    }
    if name not in kinds:
        raise unknown("value of progress", name, kinds)
    return kinds[name]()
