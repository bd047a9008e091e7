"""Holds the preflight's figures against a real GPU: speed and memory of every method's calls at full size.

    python benchmarks/gpu_report.py --minutes 6        # what is not measured yet, the most important first
    python benchmarks/gpu_report.py --cases vidmp3:sdxl --again
    python benchmarks/gpu_report.py --tiny             # the same on the CPU with tiny networks: shows that it works

A case is a method on a backbone under one plan (nothing held back, +checkpointing, +offload), or diffusers' pipeline on
that backbone; it runs in a process of its own with a time limit and is kept when it ends, so that a second start goes
on. Calls that were measured before the limit, or before one that the card is too small for, are kept too. Weights
are random and made on the device, since neither speed nor memory depends on them: nothing is downloaded. GiB held are
the allocator's peak with the backbone's weights, preflight what `motionkit fits` says of that call. Seconds are of one
call after a first one; a tuning step's call also builds what a run builds once, so that for it the time of the GPU's
kernels stands beside it.
Results: gpu_report.json and gpu_report.md in the folder of `--out`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from motionkit.errors import in_one_line

PIPELINE, AGAIN, APART = "diffusers", "+checkpointing", "+offload"
FRAMES = 16
FIRST = ("vidmp3:animatediff-sd15", "flipsketch:modelscope", "animatex:animatex", "anamodiff:sd15")
THEN = ("vidmp3:sdxl", "anamodiff:sdxl", "flipsketch:animatediff-sdxl", "vidmp3:animatediff-sdxl")
TINY = ("flipsketch:tiny-modelscope", "anamodiff:tiny-sd", "diffusers:tiny-modelscope", "diffusers:tiny-sd")
GIB = 2**30


def cases() -> list[str]:
    """Every case, the most important first: a pair of each method, the pipelines beside them, the largest, the rest."""
    from motionkit import registry
    from motionkit.backbones import catalog

    pairs = [f"{s.name}:{b}" for s in registry.METHODS.every() if s.demands for b in s.backbones]
    pairs = [pair for pair in pairs if catalog.get(pair.split(":")[1]).hub_id or pair == "animatex:animatex"]
    plain = [f"{PIPELINE}:{b}" for b in ("animatediff-sd15", "modelscope", "sd15", "sdxl", "animatediff-sdxl")]
    leading = [*FIRST, *plain[:3], *(f"{case}{AGAIN}" for case in FIRST if "animatex" not in case)]
    leading += [*THEN, *plain[3:], *(f"{case}{APART}" for case in (*FIRST, *THEN))]
    rest = [pair for pair in pairs if not pair.endswith(":sd14")]
    again = [f"{pair}{AGAIN}" for pair in rest if not pair.startswith("animatex")]
    return list(dict.fromkeys([*leading, *rest, *again, *(f"{pair}{APART}" for pair in rest)]))


def measure(case: str, device: str) -> Iterator[dict[str, Any]]:
    """A row for each kind of call of a case, as soon as it is measured."""
    from motionkit.backbones import catalog
    from motionkit.running.count import plan_on
    from motionkit.settings import gpu

    pair, *switches = case.split("+")
    method, _, backbone = pair.partition(":")
    facts, plan = catalog.get(backbone), plan_on(backbone, device, "checkpointing" in switches)
    plan = replace(plan, offload="model") if "offload" in switches else plan
    if device == "cuda" and not gpu.detect().bf16:
        plan = replace(plan, dtype="float16", autocast="float16")
    built = random_backbone(facts, plan)
    frames = 4 if device == "cpu" else FRAMES
    if method == PIPELINE:
        yield pipeline_row(built, frames, *facts.default_frame)
    else:
        yield from method_rows(method, built, frames, *facts.default_frame)


def random_backbone(facts: Any, plan: Any) -> Any:
    """A backbone of full size with random weights, drawn on the device."""
    import torch

    from motionkit.backbones.pretend.build import shape_of

    built = shape_of(facts, plan)
    for part in (value for value in vars(built).values() if isinstance(value, torch.nn.Module)):
        for module in part.modules():
            for name, weight in module.named_parameters(recurse=False):
                weight.data.normal_(std=0.02) if weight.ndim > 1 else weight.data.fill_(float(name == "weight"))
            for name, buffer in module.named_buffers(recurse=False):
                counted = torch.arange(buffer.numel(), device=buffer.device).view(buffer.shape)
                buffer.copy_(counted) if name == "position_ids" else buffer.zero_()
    return built


def method_rows(method: str, built: Any, frames: int, height: int, width: int) -> Iterator[dict[str, Any]]:
    """Each kind of call of a method: measured, and as the preflight has it."""
    from motionkit import registry
    from motionkit.context import RunContext
    from motionkit.running.choices import method_settings
    from motionkit.running.needs import demands_of, need_of
    from motionkit.settings.presets import resolved

    spec, plan = registry.spec(method), built.plan
    settings = resolved(method_settings(spec), built.spec.name)
    need = need_of(spec, settings, built.spec.name, frames, height, width)
    for demand in demands_of(spec, settings, frames):
        if demand.like or (plan.checkpointing and not demand.tunes):
            continue
        clips = 2 if demand.guided else 1
        run = RunContext(0, demand.frames, height, width, 8.0, plan, Path())
        row = {"what": demand.what, "frames": demand.frames, "clips": clips, "tunes": demand.tunes}
        if need:
            row |= said(replace(need, dtype=plan.dtype), plan, demand.what, clips)
        made = partial(registry.load_object(demand.once), built, settings, run, clips)
        yield row | within_memory(made, str(built.device), demand.tunes)


def within_memory(made: Callable[[], Callable[[], Any]], device: str, tunes: bool) -> dict[str, Any]:
    """`timed` of the call that `made` builds, or its error where the card is too small; what it took is freed."""
    import torch

    try:
        return timed(made(), device, tunes)
    except torch.OutOfMemoryError as error:
        return {"error": f"out of memory: {str(error).partition('. GPU')[0][:120]}"}
    finally:
        gc.collect()
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def said(need: Any, plan: Any, what: str, clips: int) -> dict[str, float]:
    """What the preflight has of one call: GiB with all weights, and operations."""
    work = next(work for work in need.works if work.what == what)
    row = work.again if plan.checkpointing and work.again else work.row
    size = need.resident(plan, work.part) + need.width(work.part) * row.bytes(work.frames * clips, work.places)
    return {"preflight_gib": size / GIB, "tflop": clips * row.flops(work.frames, work.places) / 1e12}


def pipeline_row(built: Any, frames: int, height: int, width: int) -> dict[str, Any]:
    """A guided step of diffusers' own pipeline with the same networks; frames of an image model are a batch."""
    import torch

    pipe, steps, clip = pipeline_of(built), 3, built.spec.makes_clips
    pipe.set_progress_bar_config(disable=True)
    text = torch.zeros(1, 77, built.unet.config.cross_attention_dim, dtype=built.dtype, device=built.device)
    given: dict[str, Any] = {"prompt_embeds": text, "negative_prompt_embeds": text}
    if hasattr(built, "text_encoder_2"):
        pooled = text.new_zeros(1, built.text_encoder_2.config.projection_dim)
        given |= {"pooled_prompt_embeds": pooled, "negative_pooled_prompt_embeds": pooled}
    given |= {"height": height, "width": width, "num_inference_steps": steps, "output_type": "latent"}
    given |= {"num_frames": frames} if clip else {"num_images_per_prompt": frames}
    found = within_memory(lambda: lambda: pipe(guidance_scale=7.5, **given), str(built.device), False)
    if "seconds" in found:
        found["seconds"] /= steps
    return {"what": "denoising step", "frames": frames, "clips": 2, "tunes": False} | found


def pipeline_of(built: Any) -> Any:
    """Diffusers' pipeline around the networks of a backbone."""
    import diffusers

    clip, xl = built.spec.makes_clips, hasattr(built, "text_encoder_2")
    parts = {name: getattr(built, name) for name in ("vae", "unet", "scheduler", "text_encoder")} | {"tokenizer": None}
    parts |= {"text_encoder_2": built.text_encoder_2, "tokenizer_2": None} if xl else {}
    if built.spec.family == "modelscope":
        return diffusers.TextToVideoSDPipeline(**parts)
    if clip:
        kind = diffusers.AnimateDiffSDXLPipeline if xl else diffusers.AnimateDiffPipeline
        return kind(motion_adapter=None, **parts)
    if xl:
        return diffusers.StableDiffusionXLPipeline(**parts)
    none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return diffusers.StableDiffusionPipeline(**parts, **none)


def timed(call: Callable[[], Any], device: str, tunes: bool) -> dict[str, float]:
    """Seconds of a call, the second of two, and on a GPU the allocator's peak and for tuning the kernels' own time."""
    import torch
    from torch.autograd import DeviceType

    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    call()
    wait()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    call()
    wait()
    found = {"seconds": time.perf_counter() - began}
    if device.startswith("cuda"):
        found |= {"held_gib": torch.cuda.max_memory_allocated() / GIB}
        found |= {"reserved_gib": torch.cuda.max_memory_reserved() / GIB}
    if tunes and device.startswith("cuda"):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
            call()
            wait()
        kernels = [e for e in seen.key_averages() if e.device_type != DeviceType.CPU and not e.is_user_annotation]
        taken = sum(event.self_device_time_total for event in kernels) / 1e6
        found |= {"kernel_seconds": taken} if taken else {}  # not every driver lets itself be asked
    return found


def run(case: str, device: str, limit: float) -> dict[str, Any]:
    """A case in a process of its own; what went wrong is kept as its error, beside the rows that there were."""
    words = [sys.executable, __file__, "--case", case, "--device", device]
    began, error = time.monotonic(), ""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False)
        said = done.stdout
        if done.returncode:
            error = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:300]
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode(errors="replace") if not isinstance(late.stdout, str) else late.stdout
        error = f"not done after {limit:.0f} s"
    rows = [json.loads(line) for line in said.splitlines() if line.startswith('{"what"') and line.endswith("}")]
    found: dict[str, Any] = {"wall_s": round(time.monotonic() - began, 1)}
    return found | ({"rows": rows} if rows else {}) | ({"error": error} if error else {})


def page(kept: dict[str, Any]) -> str:
    """The results as a markdown table, each denoising step over that of diffusers' pipeline on its backbone."""
    plain = {c.split(":")[1]: found["rows"][0].get("seconds") for c, found in _with_rows(kept) if _is_plain(c)}
    columns = ("case", "call", "frames x clips", "GiB held", "preflight", "held over it", "s", "kernels, s", "TFLOP/s")
    columns += ("over diffusers",)
    lines = [f"{kept['device']}, torch {kept['torch']}; random weights, full size.\n", f"| {' | '.join(columns)} |"]
    lines.append("|---" * len(columns) + "|")
    for case, found in kept["cases"].items():
        for row in found.get("rows", ()):
            base = plain.get(case.split(":")[1]) if row["clips"] == 2 and not _is_plain(case) else None
            lines.append(_line(case, row, base))
        if "error" in found:
            lines.append(f"| {case} | {found['error'].replace('|', ' ')} |" + " |" * (len(columns) - 2))
    return "\n".join(lines) + "\n"


def _with_rows(kept: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(case, found) for case, found in kept["cases"].items() if found.get("rows")]


def _is_plain(case: str) -> bool:
    return case.startswith(f"{PIPELINE}:")


def _line(case: str, row: dict[str, Any], base: float | None) -> str:
    held, asked, seconds = row.get("held_gib"), row.get("preflight_gib"), row.get("seconds")
    rate = row["tflop"] / row.get("kernel_seconds", seconds) if "tflop" in row and seconds else None
    ratios = (held / asked if held and asked else None, seconds / base if seconds and base else None)
    values = (held, asked, ratios[0], seconds, row.get("kernel_seconds"), rate, ratios[1])
    shown = ["" if value is None else f"{value:.3g}" for value in values]
    what = f"{row['what']}: {row['error'].replace('|', ' ')}" if "error" in row else row["what"]
    return f"| {case} | {what} | {row['frames']} x {row['clips']} | " + " | ".join(shown) + " |"


def report(wanted: list[str], device: str, out: Path, minutes: float, each: float, again: bool) -> dict[str, Any]:
    """Measure what is wanted and not kept yet, within the time; both files are written after each case."""
    import torch

    file = out / "gpu_report.json"
    name = torch.cuda.get_device_name() if device == "cuda" else "the CPU, tiny networks"
    kept = json.loads(file.read_text()) if file.is_file() else {"cases": {}}
    if kept["cases"] and kept["device"] != name:
        raise SystemExit(f"{file} is of {kept['device']}, this is {name}: give another --out")
    kept |= {"device": name, "torch": torch.__version__}
    end, done = time.monotonic() + 60 * minutes, 0
    for case in wanted:
        left = end - time.monotonic()
        if left > 0 and (again or case not in kept["cases"]):
            found = run(case, device, min(each, left))
            if "error" in found and left < each and done:  # the whole time cut it short: the next start tries it again
                break
            kept["cases"][case] = found
            done += 1
            print(case, found.get("error", "done"), flush=True)
            out.mkdir(parents=True, exist_ok=True)
            _write(file, json.dumps(kept, indent=1) + "\n")
            _write(out / "gpu_report.md", page(kept))
    return kept


def _write(file: Path, text: str) -> None:
    """Under a temporary name first: whoever limits this command's time may end it here."""
    part = file.with_suffix(f"{file.suffix}.part")
    part.write_text(text)
    os.replace(part, file)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6, help="of this start in all")
    parser.add_argument("--each", type=float, default=90, help="seconds for one case")
    parser.add_argument("--cases", nargs="*", metavar="METHOD:BACKBONE", help="these alone, in this order")
    parser.add_argument("--again", action="store_true", help="measure what is kept once more")
    parser.add_argument("--tiny", action="store_true", help="tiny networks on the CPU")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_report"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    asked = parser.parse_args(argv)
    if asked.case:
        for row in measure(asked.case, asked.device):
            print(json.dumps(row), flush=True)
        return None
    import torch

    if not asked.tiny and not torch.cuda.is_available():
        return print("no GPU that torch can use is here, so nothing was measured: --tiny shows the report on the CPU")
    wanted = asked.cases or (list(TINY) if asked.tiny else cases())
    report(wanted, "cpu" if asked.tiny else "cuda", asked.out, asked.minutes, asked.each, asked.again)
    print(asked.out / "gpu_report.md")


if __name__ == "__main__":
    in_one_line(main)
