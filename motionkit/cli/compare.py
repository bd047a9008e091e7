"""`motionkit compare`: the same inputs through several methods, side by side; or a list of such jobs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motionkit.cli.key_help import told
from motionkit.cli.schemas import RequestConfig
from motionkit.cli.transfer import progress, say
from motionkit.errors import UserError
from motionkit.settings.config import refuse_empty
from motionkit.settings.setting import setting

if TYPE_CHECKING:
    from motionkit.cli.hydra_app import JobFolders
    from motionkit.media import Clip
    from motionkit.running.request import Request
    from motionkit.table.compare import Comparison
    from motionkit.transfer import Inputs


@dataclass
class CompareConfig(RequestConfig):
    """The primary configuration of `motionkit compare`."""

    methods: list[str] = setting("Methods to compare, such as [still,warp]; see `motionkit methods`.", factory=list)
    settings: dict[str, Any] = setting("A setting of one method (`motionkit methods NAME`).", factory=dict)
    truth: str | None = setting("The true video, when it is known: metrics are then computed against it.", None)
    jobs: str | None = setting(
        "Many comparisons. FOLDER: a sub-folder for each job, with reference.*, driving.*, truth.*, prompt.txt, "
        "masks.* ...; a CSV file: a row for each job, columns named as the keys, and name; paths start from its "
        "folder. What a job does not give is taken from the command line.",
        None,
    )
    output: str | None = setting(
        "Folder of report.html, grid.mp4, metrics.json, and cells/ with a folder for each method; null is "
        "runs/compare/HASH, the same for the same inputs. With jobs=: index.html, summary.json (n, mean, interval "
        "over all jobs), and jobs/NAME/.",
        None,
    )


HELP = f"""usage: motionkit compare methods=[NAME,NAME,...] [key=value ...]

inputs: every method gets the same, and the report says which of them each one used; results have the reference's shape
{told(CompareConfig, "reference=FILE driving=FILE prompt=TEXT source_prompt=TEXT negative_prompt=TEXT")}
{told(CompareConfig, "start=T end=T reference_start=T reference_end=T truth=FILE jobs=FOLDER|FILE.csv")}
how
{told(CompareConfig, "methods=[NAME,NAME] settings.NAME.KEY=VALUE backbone=NAME gpu=NAME sampler=NAME")}
{told(CompareConfig, "seed=0 frames=N size=N|WxH fps=N cache=true progress=NAME")}
output
{told(CompareConfig, "output=FOLDER")}

A second start reads finished cells back and resumes. A method or job that fails is reported, the others run; the
exit code is then 1.
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code: 1 when a method failed."""
    from motionkit.cli import hydra_app

    for word in argv:
        if word.startswith(("method=", "method.")):
            raise UserError(f"{word}: compare takes methods=[still,warp], and settings.NAME.KEY=VALUE for one of them")
    # `settings` is open here, hence ++; each method's own schema checks its part afterwards.
    words = [f"++{word}" if word.startswith("settings.") else word for word in argv]
    config = hydra_app.compose("compare", CompareConfig, words)
    refuse_empty(config, ("truth", "jobs", "output"))
    start = hydra_app.JobFolders(Path.cwd(), Path.cwd())
    from motionkit.cli.words import shared_request
    from motionkit.running.request import check_values
    from motionkit.table.compare.engine import choose_methods

    request = shared_request(config, start)
    check_values(request)
    choose_methods(config.methods, config.settings)  # before any file is read, which may take long
    if config.jobs is not None:
        return _run_jobs(config, start)
    given = request.inputs
    if not (given.reference or given.driving or given.prompt):
        raise UserError("compare needs an input: give reference=FILE, driving=FILE and prompt=TEXT, or jobs=FOLDER")
    request, truth = _read(config, start)
    done = _compare(config, request, truth, _folder(config, request.inputs, start))
    print(done.report)
    return 1 if done.failed else 0


def _run_jobs(config: CompareConfig, start: JobFolders) -> int:
    """Every job of the list, each a comparison; what holds for all of them is checked before the first."""
    from motionkit.data.job_list import read_jobs
    from motionkit.weights.hashing import hash_json

    jobs = read_jobs(start.resolve(str(config.jobs)))
    names = hash_json([{"name": job.name, "values": job.values} for job in jobs])
    folder = start.resolve(_checked(config.output)) if config.output else Path("runs/compare") / names[:8]

    from motionkit.running.request import plan_for
    from motionkit.table.compare import Job, compare_jobs

    plan_for(config.gpu, None)

    def run(job: Job, own: Path) -> Comparison:
        one = replace(config, **job.values)
        return _compare(one, *_read(one, start), own)

    done = compare_jobs(jobs, run, folder, say)
    print(done.index)
    return 1 if done.failed else 0


def _compare(config: CompareConfig, request: Request, truth: Clip | None, folder: Path) -> Comparison:
    """One comparison as it is configured."""
    from motionkit.table.compare.engine import compare_request

    return compare_request(config.methods, request, config.settings, folder, truth, progress(config.progress), say)


def _read(config: CompareConfig, start: JobFolders) -> tuple[Request, Clip | None]:
    """The request with its clips read, and the true video when it is given."""
    from motionkit.cli.words import shared_request
    from motionkit.running.clips import excerpt, read, say_notes

    request = shared_request(config, start, audio=False)
    whole = read(request, say=say)
    truth = excerpt(request).truth(start.resolve(config.truth)) if config.truth else None
    say_notes("truth", truth, say)
    return whole, truth


def _folder(config: CompareConfig, inputs: Inputs, start: JobFolders) -> Path:
    """The comparison's folder: without `output`, one folder for the same inputs, so that it resumes."""
    from motionkit.weights.hashing import hash_json

    if config.output is None:
        key = hash_json({name: inputs.hash_of(name) for name in inputs.present()})
        return Path("runs") / "compare" / key[:8]
    return start.resolve(_checked(config.output))


def _checked(output: str) -> str:
    """The output's name, unless it is that of a file."""
    suffix = Path(output).suffix
    if suffix.lower() in (".mp4", ".gif", ".html", ".json"):
        raise UserError(f"output={output}: compare writes a folder; give a name without {suffix}")
    return output
