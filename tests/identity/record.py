"""Records what every case makes on this machine; run it only when results are meant to change, and say so.

python -m tests.identity.record            all cases
python -m tests.identity.record NAME ...   those whose names hold one of the words; the others stay as they are
python -m tests.identity.record --check    write nothing: say what differs from what was recorded here
"""

from __future__ import annotations

import sys
import time

from tests.identity import expectations
from tests.identity.cases import CASES
from tests.identity.process import Process


def main(words: list[str]) -> int:
    """Run and write, or check; returns the exit code."""
    check, words = "--check" in words, [word for word in words if word != "--check"]
    chosen = [case for case in CASES if not words or any(word in case.name for word in words)]
    outcomes, wrong = {}, 0
    with Process() as process:
        environment = expectations.key(process.facts)
        wanted = expectations.recorded().get(environment, {})
        for case in chosen:
            began = time.monotonic()
            outcomes[case.name] = made = process.run(case.name)
            print(f"{time.monotonic() - began:6.1f} s  {case.name}", flush=True)
            if check:
                off = expectations.differences(made, wanted.get(case.name, {"hashes": {}, "figures": {}}))
                wrong += bool(off)
                print("".join(f"          {line}\n" for line in off), end="", flush=True)
    if not check:
        expectations.write(environment, outcomes, whole=not words)
    print(f"{environment}: {len(chosen)} cases" + (f", {wrong} differ" if check else " recorded"))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
