"""What every method needs on every backbone: counts the shipped table, and writes docs/card-sizes.md from it.

    .venv/bin/python benchmarks/card_sizes.py              # the page alone, from the shipped table: seconds
    .venv/bin/python benchmarks/card_sizes.py --count      # counts what the table lacks
    .venv/bin/python benchmarks/card_sizes.py --count --again vidmp3:sdxl ...   # and these anew

Networks have their real sizes and no weights: nothing is downloaded, no GPU is needed. A row takes up to a
minute of one core; the table is written after each, so that a stopped count goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from motionkit.backbones.pretend import early
from motionkit.errors import in_one_line

PAGE = Path(__file__).parents[1] / "docs" / "card-sizes.md"
FULL = ("sd15", "sdxl", "animatex", "animatediff-sdxl", "animatediff-sd15", "modelscope")


def count(again: list[str], only: list[str]) -> None:
    early.ready()
    from motionkit import registry
    from motionkit.backbones import catalog
    from motionkit.backbones.pretend.build import weights_of
    from motionkit.running import count as counting
    from motionkit.running import needs
    from motionkit.weights import places

    file = places.PACKAGE / needs.TABLE
    table = json.loads(file.read_text())

    def keep() -> None:
        table["rows"] = dict(sorted(table["rows"].items()))
        file.write_text(json.dumps(table, indent=1) + "\n")

    for backbone in FULL:
        facts = catalog.get(backbone)
        for spec in [s for s in map(registry.spec, registry.names()) if s.demands and backbone in s.backbones]:
            from motionkit.running.choices import method_settings
            from motionkit.settings.presets import resolved

            settings = resolved(method_settings(spec), backbone)
            # every kind of call that any preset makes
            made = [d for preset in type(settings).presets for d in _demands(needs, spec, preset, backbone)]
            wanted = {d.what: d for d in made if not d.like}
            keys = {what: needs.key_of(spec.name, backbone, what) for what in wanted}
            pair = f"{spec.name}:{backbone}"
            anew = pair in again
            if only and pair not in only:
                continue
            for checkpointing, name in ((False, "plain"), (True, "again")):
                chosen = {w: d for w, d in wanted.items() if d.tunes or not checkpointing}
                chosen = {w: d for w, d in chosen.items() if anew or name not in table["rows"].get(keys[w], {})}
                if not chosen:
                    continue
                began = time.process_time()
                with counting.Counter(backbone, counting.plan_on(backbone, checkpointing=checkpointing)) as counter:
                    table["factor"][backbone] = counter.backbone.factor
                    table["weights"][backbone] = weights_of(facts)
                    for what, demand in chosen.items():
                        known = {} if anew and not checkpointing else table["rows"].get(keys[what], {})
                        known[name] = counting.row(counter, demand, settings, known.get("plain"))
                        table["rows"][keys[what]] = known
                        print(keys[what], name, known[name], f"{time.process_time() - began:.0f} s", flush=True)
                        keep()


def _demands(needs: object, spec: object, preset: str, backbone: str) -> list:
    from motionkit.running.choices import method_settings
    from motionkit.settings.presets import resolved

    settings = resolved(method_settings(spec, {"preset": preset}), backbone)
    return needs.demands_of(spec, settings, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true", help="count what the table lacks")
    parser.add_argument("--again", nargs="*", default=[], metavar="METHOD:BACKBONE", help="count these anew")
    parser.add_argument("--only", nargs="*", default=[], metavar="METHOD:BACKBONE", help="count no others")
    args = parser.parse_args()
    if args.count or args.again:
        count(args.again, args.only)
    from motionkit.running.card_sizes import page

    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    in_one_line(main)
