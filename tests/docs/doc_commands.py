"""How a documented command is tried: run on tiny weights, composed and checked, or looked up."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

from motionkit.cli import VERBS, main

ROOT = Path(__file__).parents[2]
# Words that make a method quick, its backbone first; a command that says one of these keys itself keeps its own.
QUICK = {
    "anamodiff": "backbone=tiny-sd method.weights=random method.lora.steps=2 method.lora.clip_frames=2 "
    "method.sample.steps=3 method.sample.start_t=600",
    "animatex": "backbone=tiny-animatex method.sample.steps=2 method.nobody=blank",
    "flipsketch": "backbone=tiny-modelscope method.sample.steps=3 method.align.updates=1 method.invert.copies=2",
    "vidmp3": "backbone=tiny-animatediff-sd15 method.tune.steps=2 method.steps=2 method.maps.long_side=16",
}


def words_of(line):
    """A command's words, without what stands before `motionkit` or `python`."""
    words = shlex.split(line, comments=True)
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    words[0] = words[0].removeprefix(".venv/bin/")
    return ["motionkit", *words[3:]] if words[:3] == ["python", "-m", "motionkit"] else words


def quick(words):
    """A transfer's or comparison's words with those that make it quick."""
    given = {word.partition("=")[0] for word in words}
    if "--cfg" in words or words[0] not in ("transfer", "compare"):
        return words
    if words[0] == "transfer":
        name = next(word.removeprefix("method=") for word in words if word.startswith("method="))
        more = QUICK.get(name, "").split()
    else:
        listed = next(word for word in words if word.startswith("methods=")).partition("=")[2].strip("[]").split(",")
        more = [w.replace("method.", f"settings.{n}.") for n in listed for w in QUICK.get(n, "").split()[1:]]
    return [*words, *(word for word in (*more, "frames=4") if word.partition("=")[0] not in given), "gpu=cpu"]


def run(line, as_written=False):
    """Run one command in this process; returns the exit code."""
    words = words_of(line)
    if words[0] == "motionkit":
        return main(words[1:] if as_written else quick(words[1:]))
    if words[:2] == ["python", "-m"]:
        return importlib.import_module(f"{words[2]}.__main__").main(words[3:])
    raise AssertionError(f"{line}: no command of motionkit: mark its block `shell`")


def check(line):
    """Everything about a command that can be known without running it; raises for what does not hold."""
    words = words_of(line)
    if words[0] == "make":
        assert words[1] in targets(), f"{line}: no such target"
    elif words[:2] == ["pip", "install"]:
        _check_install(words[2:])
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]), line
    else:
        assert words[0] == "motionkit" and words[1] in VERBS, f"{line}: unknown"
        _check_verb(words[1], words[2:])


def _check_verb(verb, words):
    words = [word for word in words if not word.startswith("hydra/") and word != "-m"]
    if verb in ("transfer", "train"):
        words = [re.sub(r"^(seed|frames)=.*,.*", r"\1=1", word) for word in words]
        assert main([verb, *words, "--cfg", "job"]) == 0, words
    elif verb in ("compare", "bench"):
        from motionkit.cli import hydra_app
        from motionkit.cli.bench import BenchConfig
        from motionkit.cli.compare import CompareConfig

        schema = {"compare": CompareConfig, "bench": BenchConfig}[verb]
        hydra_app.compose(verb, schema, [f"++{w}" if w.startswith(("settings.", "weights.")) else w for w in words])
    elif verb == "convert":
        from motionkit.cli.convert import converter

        assert converter(words[0])
    elif verb == "sprites":
        from motionkit.cli.sprites import DEFAULTS

        assert {word.partition("=")[0] for word in words} <= set(DEFAULTS)


def _check_install(words):
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    for word in words:
        if extras := re.search(r"\[(.+)\]$", word):
            assert set(extras[1].split(",")) <= known, word


def targets():
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
