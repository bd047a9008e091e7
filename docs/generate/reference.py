"""Pages that look things up: every verb's help, the memory plans, the keys of a request."""

from __future__ import annotations

import dataclasses
import importlib
import typing

from docs.generate.text import HEAD, code, paragraphs, table
from motionkit.cli import VERBS
from motionkit.cli.methods import shown
from motionkit.cli.schemas import RequestConfig, TrainConfig, TransferConfig
from motionkit.settings.gpu import GpuConfig
from motionkit.settings.setting import declared


def pages() -> dict[str, str]:
    """The command line and the memory plans."""
    return {"reference/command-line.md": command_line(), "reference/gpu.md": gpu()}


def command_line() -> str:
    """Every verb with the text of its --help, and the keys of a request."""
    verbs = [(f"[`{name}`](#{name})", verb.what) for name, verb in VERBS.items()]
    helps = []
    for name, verb in VERBS.items():
        text = importlib.import_module(verb.module).HELP.rstrip()
        helps += [f"## {name}", f"```text\n{text}\n```"]
    return paragraphs(
        "# Command line",
        HEAD,
        "`motionkit VERB key=value ...`. stdout carries the result's path alone; everything else goes to stderr. "
        "Exit codes: 0 done, 1 something failed, 2 a mistake that you can mend (one line says how), 130 cancelled.",
        table(("verb", "what it does"), verbs),
        *helps,
        "## Keys of a request {#keys}",
        "`transfer` takes all of these, `compare` most of them.",
        keys(TransferConfig, RequestConfig),
        "## Keys of a training {#training-keys}",
        keys(TrainConfig),
    )


def keys(*schemas: type) -> str:
    """The declared settings of dataclasses as a table, each once."""
    rows = {}
    for schema in schemas:
        defaults = {item.name: item.default for item in dataclasses.fields(schema)}
        for name, known in declared(schema).items():
            words = "".join(f"<br>`{word}`" + (f": {what}" if what else "") for word, what in known.choices.items())
            rows[name] = (code(name), code(shown(typing.cast(object, defaults.get(name)))), known.help + words)
    return table(("key", "default", "what it does"), rows.values())


def gpu() -> str:
    """The plans that `gpu=` names and their single switches."""
    return paragraphs(
        "# Memory plans",
        HEAD,
        "`gpu=auto|cpu|mps|8gb|12gb|24gb|80gb` is resolved to a plan, which is printed as it takes effect; a "
        "switch that the network would ignore is refused. `gpu=mps` is Apple's GPU, untested on hardware: it has "
        "to be asked for, in float32 or with `gpu.dtype=float16`.",
        "Each switch can be set by itself, as `gpu.KEY=VALUE`:",
        keys(GpuConfig),
    )
