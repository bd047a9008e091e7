"""Verbs as Hydra applications: typed groups from the registry, text as it was typed, errors in one line."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit import registry
from motionkit.backbones import catalog
from motionkit.cli.keys import keys
from motionkit.cli.part_options import broken_part, own_hash, own_value, register
from motionkit.cli.quoting import SHOWS, as_text, is_multirun, quote, split
from motionkit.cli.refusals import check_words, several, unknown_key
from motionkit.cli.schemas import TrainConfig, TransferConfig
from motionkit.errors import Cancelled, UserError, unknown
from motionkit.media.output_files import check_writable, local_path
from motionkit.settings.conf_folders import CONFIG
from motionkit.settings.config import chain, explain, first_line, typed, unknown_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from motionkit.backbones.lora_files import Loras
    from motionkit.backbones.motion_files import MotionOptions
    from motionkit.backbones.part_files import PartOptions

SCHEMAS: dict[str, type] = {"transfer": TransferConfig, "train": TrainConfig}


@dataclasses.dataclass(frozen=True)
class JobFolders:
    """Where a job was started: `cwd` resolves the user's paths, `folder` is the job's own."""

    cwd: Path
    folder: Path

    def resolve(self, path: str) -> Path:
        """A path of the user's, against the folder that motionkit was started in.

        Raises:
            UserError: it is an address on the network.
        """
        return self.cwd / local_path(path)

    def resolve_if_there(self, name: str | None) -> str | None:
        """The same for what may be a path or a name on the hub: only a path that exists is touched."""
        path = self.resolve(name) if name else None
        return str(path) if path and os.path.exists(path) else name

    def weights(self, backbone: Any) -> str | None:
        """The folder or hub id that the `backbone` group names, or None.

        Raises:
            UserError: it can only be a folder, and is not there.
        """
        path = self.resolve_if_there(backbone.get("path"))
        if path and not os.path.exists(path) and (path.count("/") != 1 or path[0] in "./~" or path[-1] == "/"):
            raise UserError(f"backbone.path={path[:200]}: there is no such folder (a hub id is owner/name)")
        return path

    def motion(self, backbone: Any) -> MotionOptions | None:
        """What the `backbone` group says about motion modules, or None when it says nothing."""
        from motionkit.backbones.motion_files import MotionOptions

        said = MotionOptions(
            self.resolve_if_there(backbone.get("motion_adapter")),
            backbone.get("per_frame_motion_norm"),
            backbone.get("motion_schedule") or "module",
        )
        return said if said != MotionOptions() else None

    def parts(self, backbone: Any) -> PartOptions | None:
        """The autoencoder and the taught words that the `backbone` group names, or None."""
        from motionkit.backbones.part_files import parts_of

        vae, words = backbone.get("vae"), backbone.get("embeddings") or ()
        listed = [words] if isinstance(words, str) else [str(word) for word in words]
        return parts_of(str(self.resolve(vae)) if vae else None, [str(self.resolve(word)) for word in listed])

    def lora(self, backbone: Any) -> Loras | None:
        """The LoRA, or the several, that the `backbone` group names, or None. Raises: UserError, as `loras_of`."""
        from motionkit.backbones.lora_files import loras_of

        given, scale = backbone.get("lora"), backbone.get("lora_scale")
        known = catalog.specs().get(backbone.get("name") or "")
        if given is None and known is not None and scale == own_value(known, "backbone", "lora_scale"):
            scale = None  # nobody typed it: its package says how strongly a LoRA counts, where one is given
        return loras_of(given, scale, lambda path: str(self.resolve(path)))


def compose(verb: str, schema: type, words: list[str]) -> Any:
    """The typed configuration of a verb that runs its own loop, without starting a Hydra application.

    Raises:
        UserError: anything that Hydra refuses, in one line.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module

    from motionkit.cli.guard import checked

    flags, overrides = split(words)
    if flags:
        raise UserError(f"{verb} does not take {flags[0]}")
    check_words(verb, overrides)
    settle(verb, overrides)
    register(verb, schema, overrides)
    try:
        with checked(), initialize_config_module("motionkit.conf", version_base="1.3"):
            return typed(schema, hydra_compose(verb, [quote(word) for word in overrides]))
    except Exception as error:
        raise one_line(error, verb, overrides) from error


def run(verb: str, job: Callable[[Any, JobFolders], None], words: list[str]) -> int:
    """Start a verb as a Hydra application: overrides, --cfg job, -m and launchers.

    Raises:
        UserError, Cancelled: what the job or Hydra refused.
    """
    import hydra

    from motionkit.cli import sweep
    from motionkit.cli.guard import checked

    flags, overrides = split(words)
    multirun = is_multirun(flags)
    check_words(verb, overrides, multirun)
    place = settle(verb, overrides, multirun, shows=bool(set(flags) & set(SHOWS)))
    register(verb, SCHEMAS[verb], overrides)

    def task(config: DictConfig) -> None:
        start = _start()
        try:
            job(typed(SCHEMAS[verb], config), start)
        except BaseException:
            _remove_empty(start.folder)
            raise

    app = hydra.main(version_base="1.3", config_path=CONFIG, config_name=verb)(task)
    quoted = [*(quote(word, multirun) for word in overrides), *place]
    try:
        with checked(), sweep.quiet(), sweep.tidy():
            _call(app, [f"motionkit {verb}", *flags, *quoted, *([sweep.WATCH] if multirun else [])])
    except (UserError, Cancelled):
        raise
    except Exception as error:
        if not _from_hydra(error):
            raise
        raise one_line(error, verb, overrides) from error
    return 0


def _call(app: Callable[[], Any], argv: list[str]) -> None:
    before = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = argv, "1"  # the error itself, for us to explain
    try:
        app()
    finally:
        sys.argv = before[0]
        if before[1] is None:
            del os.environ["HYDRA_FULL_ERROR"]


def _start() -> JobFolders:
    from hydra.core.hydra_config import HydraConfig

    runtime = HydraConfig.get().runtime
    return JobFolders(Path(runtime.cwd), Path(runtime.output_dir))


def settle(verb: str, overrides: list[str], multirun: bool = False, shows: bool = False) -> list[str]:
    """Further words for Hydra where no run folder can be made in the current folder: it is then made beside the output.

    Args:
        shows: nothing runs, and nothing is written.

    Raises:
        UserError: nothing says where else to write.
    """
    try:
        check_writable(Path.cwd() / "runs")
        return []
    except FileNotFoundError:
        lost, why = True, "the current folder no longer exists"
    except UserError as error:
        lost, why = False, str(error).removesuffix("; choose another folder")
    if lost and shows:
        os.chdir("/")
    if shows:
        return []
    given = dict(word.lstrip("+").partition("=")[::2] for word in overrides)
    if not lost and ("hydra.sweep.dir" if multirun else "hydra.run.dir") in given:
        return []
    output = local_path(given.get("output", "").strip("'\""))
    if multirun or output == Path() or (lost and not output.is_absolute()):
        other = "" if multirun else ", or give output= with a full path"
        raise UserError(f"{why}: change to another folder{other}")
    if lost:
        os.chdir("/")  # Hydra asks where it is; relative paths cannot be resolved any more
    base = output.absolute().parent
    check_writable(base)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{own_hash(overrides)}"
    return [f"hydra.run.dir={as_text(str(base / 'runs' / verb / name))}"]


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # it is not empty, so it is kept


def _from_hydra(error: BaseException) -> bool:
    return any(type(link).__module__.startswith(("hydra.", "omegaconf.", "antlr4.", "yaml.")) for link in chain(error))


def one_line(error: Exception, verb: str = "", words: Sequence[str] = ()) -> UserError:
    """Hydra's error as one line, with the nearest name when one is unknown."""
    text = str(error)
    if unclear := re.match(r"Ambiguous value for argument '(?P<word>.*)'$", first_line(error)):
        return several(verb, unclear["word"], verb in SCHEMAS)
    if missing := re.search(r"Could not find '(?P<group>.+)/(?P<name>[^/']*)'", text):
        group, name = missing["group"], missing["name"]
        if group in ("schema/method", "schema/trainer"):
            return broken_part("method", name)
        return _unknown_option(group, name, text)
    if wrong := _in_yaml(error):
        return wrong
    if type(error).__name__ == "OverrideParseException":
        return UserError(f"cannot read the command line: {first_line(error)} (quote the value: key=\"'...'\")")
    if no_group := re.match(r"Could not override '(?P<key>[^']+)'\.\s+No match", str(error)):
        key, known = no_group["key"], keys(verb, words)
        listed = known if "." in key else [name for name in known if "." not in name]
        return unknown_key(verb, key, words) or unknown("key", key, listed)
    if there := re.match(r"Could not append to config\. An item is already at '(?P<key>[^']+)'", text):
        return UserError(f"{there['key']} is there without +: give {there['key']}=VALUE")
    if (key := unknown_of(error)) and (near := unknown_key(verb, key, words)):
        return near
    explained = " ".join(str(explain(error)).split())
    return UserError(explained)


def _in_yaml(error: Exception) -> UserError | None:
    """The error for a file of a group that cannot be used, as one of another package may be; None for any other."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        what = getattr(error, "problem", None) or first_line(error)
        return UserError(f"{mark.name}, line {mark.line + 1}: {what}: that file has to be mended")
    if inside := re.match(r"In '(?P<file>\w+/[^']+)': \w+ raised while composing config:", str(error)):
        said = " ".join(str(explain(error)).split())
        if said.startswith("In '"):  # no key is at fault, but the file as a whole
            said = next(iter(str(error).splitlines()[1:]), said)
        return UserError(f"{inside['file']}.yaml, which its package has to mend: {said}")
    return None


def _unknown_option(group: str, name: str, text: str) -> UserError:
    if group == "method":
        for failure in registry.failures():
            if failure.name == name:
                return UserError(f"method {name!r} of {failure.dist} cannot be loaded: {failure.error}")
    if group in ("method", "backbone") and name in (registry.names() if group == "method" else catalog.specs()):
        return broken_part(group, name)
    listed = text.partition("Available options in")[2].partition("Config search path")[0]
    found = re.findall(r"^\t([^_\s]\S*)", listed, re.MULTILINE)
    return unknown(group, name, [*found, "<N>gb"] if group == "gpu" else found)
