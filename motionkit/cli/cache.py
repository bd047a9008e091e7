"""`motionkit cache`: list the stage cache, or remove files from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

from motionkit.cli.given import given_of
from motionkit.cli.table import table
from motionkit.errors import UserError, unknown
from motionkit.running import cache_files
from motionkit.running.cache import cache_root
from motionkit.running.cache_files import Kept, in_words

HELP = """usage: motionkit cache [list]
       motionkit cache prune [age=30d] [size=5gb]

Finished steps of earlier runs, which later runs with the same inputs and settings reuse. Anything in it may
be removed at any time; it is then computed again when needed.

  list                    how much each step of each method holds, and when it was last used
  prune age=30d           remove what was not used for that long (s, m, h, d, w)
  prune size=5gb          remove the least recently used until at most that much is left (mb, gb); size=0 removes all

MOTIONKIT_CACHE=FOLDER sets another folder, MOTIONKIT_CACHE_LIMIT=50gb another limit (default 20gb; 0: none): above it,
the least recently used is removed automatically.
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    action, words = (argv[0], argv[1:]) if argv else ("list", [])
    if action == "list":
        if words:
            raise UserError(f"cache list takes no arguments (got {words[0]})")
        _list()
    elif action == "prune":
        _prune(words)
    else:
        raise unknown("action of cache", action, ("list", "prune"))
    return 0


def _list() -> None:
    root, most = cache_root(), cache_files.limit()
    files = sorted(cache_files.kept(root), key=lambda file: (file.method, file.stage))
    rows = [(*names, *_facts(list(group))) for names, group in groupby(files, lambda file: (file.method, file.stage))]
    if rows:
        print(table(("method", "step", "files", "size", "last used"), rows))
    bound = f"of at most {in_words(most)}" if most else "without limit"
    print(f"{root}: {in_words(sum(file.size for file in files))} {bound} ({cache_files.LIMIT})")


def _facts(files: Sequence[Kept]) -> tuple[str, str, str]:
    last = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(file.used for file in files)))
    return str(len(files)), in_words(sum(file.size for file in files)), last


def _prune(words: Sequence[str]) -> None:
    given = given_of("cache prune", words, ("age", "size"))
    if not given:
        raise UserError("cache prune needs age=30d or size=5gb; size=0 removes all")
    size = cache_files.size_of(given["size"], "size") if "size" in given else None
    age = cache_files.age_of(given["age"], "age") if "age" in given else None
    gone = cache_files.prune(cache_root(), size, age)
    left = sum(file.size for file in cache_files.kept(cache_root()))
    print(f"removed {len(gone)} files, {in_words(sum(file.size for file in gone))}; {in_words(left)} are left")
