"""Figures for one run at its own size, counted in a process of their own and kept by configuration.

`python -m motionkit.running.exact` reads a request as JSON on its standard input and writes rows on its output.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from typing import Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.backbones.pretend import early
from motionkit.errors import UserError
from motionkit.media.output_files import write_json
from motionkit.running.needs import demands_of, made, work_of
from motionkit.settings.need import Need
from motionkit.settings.presets import resolved
from motionkit.transfer import MethodSpec
from motionkit.weights import places
from motionkit.weights.hashing import hash_json


def exact_need(spec: MethodSpec, settings: Any, backbone: str, frames: int, height: int, width: int) -> Need:
    """What a run needs, counted at its own size; the first time takes minutes.

    Raises:
        UserError: nothing is declared that could be counted, or this machine cannot pretend to have a GPU.
    """
    if not spec.demands:
        raise UserError(f"{spec.name} declares nothing that could be counted, so nothing is known of what it needs")
    from dataclasses import asdict

    asked: dict[str, Any] = {
        "method": spec.name,
        "settings": asdict(resolved(settings, backbone)),
        "backbone": backbone,
    }
    asked |= {"frames": frames, "height": height, "width": width}
    facts = catalog.get(backbone)
    found = _counted(asked, [registry.dist_of(spec), registry.BACKBONES.dist_of(facts)])
    works = [
        work_of(demand, found["rows"][demand.counted], facts, found["factor"], height, width)
        for demand in demands_of(spec, resolved(settings, backbone), frames)
    ]
    return made(spec, facts, works, found["weights"], (frames, height, width))


def _counted(asked: dict[str, Any], plugins: list[str]) -> dict[str, Any]:
    """The rows of a request, from the cache or from a new process.

    Args:
        plugins: the packages that the method and the backbone come from, with their versions.
    """
    versions: dict[str, Any] = {name: importlib.metadata.version(name) for name in ("motionkit", "torch", "diffusers")}
    versions |= {"plugins": plugins}
    file = places.user_cache() / "fits" / f"{hash_json(asked | versions)[:24]}.json"
    if file.is_file():
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    if not early.can_be():
        raise UserError(
            "a count at full size needs a C++ compiler, or a build of torch for CUDA: install g++, or leave exact out"
        )
    words = [sys.executable, "-m", "motionkit.running.exact"]
    for _ in range(2):  # fake tensors have been seen to end a process by a signal (in c10, once in some twenty counts)
        done = subprocess.run(words, input=json.dumps(asked), capture_output=True, text=True, check=False)
        if done.returncode >= 0:
            break
    if done.returncode:
        raise UserError(f"the count failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:300]}")
    found = json.loads(done.stdout.splitlines()[-1])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, found)
    return found


def _count(asked: dict[str, Any]) -> dict[str, Any]:
    from motionkit.backbones.pretend.build import weights_of
    from motionkit.running.choices import method_settings
    from motionkit.running.count import Counter, plan_on, row

    spec, backbone = registry.spec(asked["method"]), asked["backbone"]
    settings, size = method_settings(spec, asked["settings"]), (asked["height"], asked["width"])
    demands = demands_of(spec, settings, asked["frames"])
    rows: dict[str, dict[str, Any]] = {}
    for name, checkpointing in (("plain", False), ("again", True)):
        with Counter(backbone, plan_on(backbone, checkpointing=checkpointing)) as counter:
            for demand in demands:
                known = rows.setdefault(demand.counted, {})
                if (demand.tunes or not checkpointing) and name not in known and not demand.like:
                    frames = (max(1, demand.frames // 2), max(2, demand.frames))
                    known[name] = row(counter, demand, settings, known.get("plain"), frames, (size, size))
            factor = counter.backbone.factor
    return {"rows": rows, "factor": factor, "weights": weights_of(catalog.get(backbone))}


if __name__ == "__main__":
    early.ready()
    print(json.dumps(_count(json.load(sys.stdin))))
