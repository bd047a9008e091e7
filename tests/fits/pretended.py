"""Run by the slow tests in a process of its own: every call of a method on a backbone of full size, on a card that is
not there. Prints one JSON line. Arguments: METHOD BACKBONE TYPE FRAMES WIDTHxHEIGHT."""

from motionkit.backbones.pretend import early

early.ready()

import json  # noqa: E402
import sys  # noqa: E402
from dataclasses import replace  # noqa: E402

from motionkit import registry  # noqa: E402
from motionkit.running.choices import method_settings  # noqa: E402
from motionkit.running.count import Counter, plan_on  # noqa: E402
from motionkit.running.needs import demands_of  # noqa: E402
from motionkit.settings.presets import resolved  # noqa: E402

method, backbone, dtype, frames, size = sys.argv[1:6]
width, height = map(int, size.split("x"))
spec = registry.spec(method)
settings = resolved(method_settings(spec), backbone)
found = []
for checkpointing in (False, True):
    plan = replace(plan_on(backbone, checkpointing=checkpointing), dtype=dtype, autocast=dtype)
    with Counter(backbone, plan) as counter:
        for demand in demands_of(spec, settings, int(frames)):
            if demand.like or (checkpointing and not demand.tunes):
                continue
            for clips in (1, 2) if demand.guided else (1,):
                made = counter.figure(demand, settings, height, width, demand.frames, clips)
                kept = {"what": demand.what, "checkpointing": checkpointing, "clips": clips, "frames": demand.frames}
                found.append(kept | {"extra": made.extra, "flops": made.flops, "weights": made.weights})
print(json.dumps(found))
