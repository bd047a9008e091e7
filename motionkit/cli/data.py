"""`motionkit data`: public data sets as folders of jobs for `motionkit compare`."""

from __future__ import annotations

import sys

HELP = """usage: motionkit data
       motionkit data NAME ROOT JOBS [key=value ...]

Without words: the data sets that are known, where each comes from, its licence, and how its folder is laid out.
With words: reads the set NAME in the folder ROOT, as it is distributed, and writes the folder JOBS, with a sub-folder
for each job, for motionkit compare methods=[...] jobs=JOBS. Nothing is downloaded; a second start resumes.

  task=self|cross|edit    self: each clip drives its own first frame, and is the truth; cross: another clip's; edit: a
                          clip and two prompts (default: what the set is for)
  split=test              of a set that has a train and a test folder
  ids=FILE.txt            only these clips, a name a line, in that order
  pairs=FILE.csv          for task=cross: columns source and driving; without it clips are paired at random
  seed=0                  of that pairing
  frames=N                that many instants, evenly over each clip (default: all frames)

A folder with a metadata.jsonl or metadata.csv, as the Hub's image and video folders have one, needs no conversion:
motionkit compare jobs=FOLDER reads it as it is.
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    from motionkit.data.command import listing, make

    print(make(argv, lambda line: print(line, file=sys.stderr)) if argv else listing())
    return 0
