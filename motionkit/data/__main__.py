"""`python -m motionkit.data NAME ROOT JOBS [key=value ...]`: the same as `motionkit data`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from motionkit.data.command import KEYS, listing, make
from motionkit.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Write the jobs; without words, say which data sets are known. Returns the exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        keys = " ".join(f"[{key}=...]" for key in KEYS)
        print(f"usage: python -m motionkit.data NAME ROOT JOBS {keys}\n\n{listing()}")
        return 0
    try:
        print(make(arguments, print))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
