"""A process that imports the libraries once and starts `motionkit` in children of its own, which it lets be killed.

    python mortal.py FOLDER VERB      prints, as JSON, what each kill left and whether the next start made it whole

A child is killed in one of three ways: before its n-th write to the file system (audit events, so the same place each
time), after a share of its processor time, or, for `bench`, by its parent while a cell runs in a process of its own.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.utime")


class Count:
    """Counts what a process writes below a folder; at `most` it is killed as by the kernel."""

    def __init__(self, root, most=None):
        self.root, self.most, self.done = str(root), most, 0

    def __call__(self, event, given):
        if event == "open":
            writes = given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(given[2], int) else 0
        else:
            writes = event in EVENTS
        if writes and isinstance(given[0], str | Path) and str(given[0]).startswith(self.root):
            if self.done == self.most:
                os.kill(os.getpid(), signal.SIGKILL)
            self.done += 1


def start(words, root, own_cells=False, writes=None, seconds=None):
    """Fork a child that runs `motionkit WORDS` below `root`; its process id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(root)
        os.environ["MOTIONKIT_CACHE"] = str(root / "cache")
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(root / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
        from motionkit.cli import bench, main

        if not own_cells:
            bench._runner = lambda config, folder: Here()
        count = Count(root, writes)
        sys.addaudithook(count)
        if seconds is not None:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process without a line of Python
            signal.setitimer(signal.ITIMER_PROF, seconds)
        began = time.process_time()
        code = main(words)
        signal.setitimer(signal.ITIMER_PROF, 0)
        count.most = None
        facts = {"writes": count.done, "seconds": time.process_time() - began}
        (root / "facts.json").write_text(json.dumps(facts))
    finally:
        os._exit(code)


class Here:
    """Runs cells in this process."""

    shares = False

    def run(self, cells):
        from motionkit.table.bench.cell import perform

        for cell in cells:
            perform(cell)
            yield cell


def warm_up(words, root):
    """Run once in this process, so that its children need not import the libraries."""
    from motionkit.cli import bench, main

    before, runner = Path.cwd(), bench._runner
    os.chdir(root)
    os.environ["MOTIONKIT_CACHE"] = str(root / "cache")
    bench._runner = lambda config, folder: Here()
    with open(root / "stdout", "w") as out, contextlib.redirect_stdout(out):
        assert main(words) == 0
    bench._runner = runner
    os.chdir(before)


def end(child):
    """Its exit code, or minus the number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def points(facts, writes, shares):
    """Ways to die: evenly over the writes, the first and last included, and at shares of the time."""
    last = facts["writes"] - 1
    found = [{"writes": round(last * i / (writes - 1))} for i in range(writes)]
    return found + [{"seconds": facts["seconds"] * share} for share in shares]


def try_points(words, folder, given, made, writes, shares, own_cells=0):
    """Run once as it is, then once for each point: killed, looked at, started again. Prints the findings."""

    def place(name):
        root = folder / name
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(given, root)
        return root

    warm_up(words, place("warm"))
    whole = place("whole")
    code = end(start(words, whole))
    assert code == 0, (whole / "stderr").read_text()
    facts, wanted = json.loads((whole / "facts.json").read_text()), made(whole)
    found = []
    for number, how in enumerate(points(facts, writes, shares)):
        root = place(f"killed-{number}")
        killed = end(start(words, root, **how))
        left = made(root)
        again = end(start(words, root))
        found.append({"how": how, "killed": killed, "left": left in (None, wanted), "again": again})
        found[-1] |= {"same": made(root) == wanted, "said": (root / "stderr").read_text()[-600:]}
        shutil.rmtree(root)
    for number in range(own_cells):
        found.append(kill_with_cells(words, place(f"cells-{number}"), made, wanted))
    print(json.dumps({"facts": facts, "points": found}))


def kill_with_cells(words, root, made, wanted):
    """Kill a start while a cell of it runs in a process of its own, which must end too."""
    child, deadline = start(words, root, own_cells=True), time.monotonic() + 300
    while not (cells := list(root.glob("out/cells/*/*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    killed, left = end(child), made(root)
    while (alive := processes_in(root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    again = end(start(words, root, own_cells=True))
    said = (root / "stderr").read_text()[-600:]
    facts = {"killed": killed, "left": left is None and bool(cells) and not alive, "again": again, "said": said}
    return {"how": {"cells": len(cells)}, **facts, "same": made(root) == wanted}


def processes_in(root):
    """Processes that work in that folder."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            found += [link] if link.resolve() == root and int(link.parent.name) != os.getpid() else []
        except OSError:
            continue
    return found


def given_files(folder):
    """The inputs of all verbs."""
    from motionkit import media
    from motionkit.sprites.export import write_drawings
    from motionkit.testing import moving_shapes, picture

    folder.mkdir(parents=True)
    media.write_image(folder / "me.png", picture(64, 64).frames[0])
    media.write_video(folder / "moves.mp4", moving_shapes(4, 64, 64).frames, 8.0)
    write_drawings(folder / "clips", 3, frames=3, size=32)
    return folder


def transfer(folder, given):
    words = "transfer method=anamodiff backbone=tiny-sd method.weights=random reference=me.png driving=moves.mp4"
    words += " prompt=horse size=64 frames=3 gpu=cpu progress=none output=out.mp4 method.lora.steps=6"
    words += " method.sample.steps=2"

    def made(root):
        for manifest in root.glob("runs/transfer/*/manifest.json"):
            json.loads(manifest.read_text())  # never half of one
        file = root / "out.mp4"
        return file.read_bytes().hex() if file.exists() else None

    try_points(words.split(), folder, given, made, 7, (0.15, 0.4, 0.65))


def train(folder, given):
    words = "train method=flipsketch data=clips/ train.backbone=tiny-modelscope train.frames=2 train.batch=1"
    words += " train.targets=mid_block train.log_every=1 train.save_every=2 steps=6 size=32 gpu=cpu progress=none"

    def made(root):
        from safetensors.torch import load_file

        file = root / "out" / "lora.safetensors"
        if not file.exists():
            return None
        weights = {key: value.numpy().tobytes().hex() for key, value in load_file(file).items()}
        curve = [line.rpartition(",")[0] for line in (root / "out" / "curve.csv").read_text().splitlines()]
        return [weights, len(curve)]

    try_points([*words.split(), "output=out"], folder, given, made, 6, (0.2, 0.45, 0.7))


def bench(folder, given):
    words = "bench methods=[still,warp] bench.pairs=2 bench.frames=2 bench.size=64 gpu=cpu threads=1 output=out"

    def made(root):
        pages = list(root.glob("out/results-*/results.json"))
        if not pages:
            return None
        rows = json.loads(pages[0].read_text())["rows"]
        timed = ("seconds", "cpu_seconds", "rss_mb")
        return [[row["label"], {k: v for k, v in row["figures"].items() if k not in timed}] for row in rows]

    try_points(words.split(), folder, given, made, 6, (0.3, 0.7), own_cells=2)


if __name__ == "__main__":
    place, verb = Path(sys.argv[1]).resolve(), sys.argv[2]
    {"transfer": transfer, "train": train, "bench": bench}[verb](place, given_files(place / "given"))
