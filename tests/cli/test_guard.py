"""A configuration from elsewhere runs no code and reads no environment: it is refused before Hydra acts on it."""

import pickle

import pytest

REQUEST = ["method=still", "reference=ref.png", "gpu=cpu", "progress=none"]
SECRET = "s3cr3t-of-the-environment"


class Planted:
    """Leaves a file where it is unpickled or called."""

    def __reduce__(self):
        return (open, ("ran.txt", "w"))


@pytest.fixture
def foreign(work, monkeypatch):
    """Make a folder of configurations as somebody else may send it."""
    monkeypatch.setenv("A_SECRET", SECRET)
    (work / "plant.pkl").write_bytes(pickle.dumps(Planted()))

    def write(text, name="method/sent.yaml"):
        file = work / "theirs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return ["--config-dir", str(work / "theirs")]

    return write


def nothing_ran(work):
    return not [path for path in work.rglob("*") if path.name == "ran.txt" or SECRET in path.name]


PLANTS = {
    "callbacks": "callbacks: {x: {_target_: pandas.read_pickle, filepath_or_buffer: plant.pkl}}",
    "a callback that opens": "callbacks: {x: {_target_: io.open, file: ran.txt, mode: w}}",
    "in place of our own": "callbacks: {motionkit: {_target_: io.open, file: ran.txt, mode: w}}",
    "job_logging class": (
        "job_logging: {version: 1, handlers: {x: {class: logging.FileHandler, filename: ran.txt}}, "
        "root: {handlers: [x]}}"
    ),
    "hydra_logging factory": (
        "hydra_logging: {version: 1, handlers: {x: {(): io.open, file: ran.txt, mode: w}}, root: {handlers: [x]}}"
    ),
    "launcher": "launcher: {_target_: io.open, file: ran.txt, mode: w}",
    "sweeper": "sweeper: {_target_: io.open, file: ran.txt, mode: w}",
    "inside the sweeper": "sweeper: {x: {_target_: io.open, file: ran.txt, mode: w}}",
    "shell lines of a launcher": "launcher: {setup: [touch ran.txt]}",
    "words for each job": "sweeper: {params: {hydra.job.env_set.LD_PRELOAD: x.so}}",
    "environment": "job: {env_set: {LD_PRELOAD: x.so}}",
    "environment, copied": "job: {env_copy: [A_SECRET]}",
    "environment that is not there": "job: {env_copy: [NO_SUCH_NAME]}",
    "words that nobody typed": "overrides: {hydra: ['hydra.launcher.setup=[x]']}",
    "a folder's name": "run: {dir: 'runs/${oc.env:A_SECRET}'}",
}


@pytest.mark.parametrize(
    ("verb", "sweep"), [("transfer", []), ("transfer", ["-m"]), ("train", [])], ids=["transfer", "sweep", "train"]
)
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_what_hydra_would_run_is_refused_first(cli, work, foreign, plant, sweep, verb):
    flags = foreign(f"# @package _global_\nhydra:\n  {plant}\n", "plant/x.yaml")
    words = [*REQUEST, "seed=1,2" if sweep else "seed=1"]
    words = ["method=anamodiff", "steps=1"] if verb == "train" else words
    code, out, err = cli(verb, *words, *flags, *sweep, "+plant=x")
    assert (code, out, err.count("\n")) == (2, "", 1) and "hydra." in err, err
    assert nothing_ran(work) and SECRET not in err


@pytest.mark.parametrize("show", [["--cfg", "job"], ["--cfg", "hydra"], ["--info", "config"]])
def test_showing_a_configuration_runs_nothing_either(cli, work, foreign, show):
    flags = foreign(f"# @package _global_\nhydra:\n  {PLANTS['hydra_logging factory']}\n", "plant/x.yaml")
    code, _, err = cli("transfer", *REQUEST, *flags, *show, "+plant=x")
    assert code == 2 and "hydra.hydra_logging" in err and nothing_ran(work)


def test_typing_one_variable_lets_no_other_in(cli, work, foreign):
    flags = foreign("# @package _global_\nhydra: {job: {env_set: {LD_PRELOAD: x.so}}}\n", "plant/x.yaml")
    code, _, err = cli("transfer", *REQUEST, *flags, "+plant=x", "+hydra.job.env_set.A_NAME=1")
    assert code == 2 and "env_set" in err


def test_a_configuration_starts_no_sweep_that_nobody_asked_for(cli, work, foreign):
    flags = foreign("# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}\n", "plant/x.yaml")
    cli("transfer", *REQUEST, *flags, "+plant=x")
    assert len(list(work.rglob("manifest.json"))) <= 1


def test_a_plant_in_one_job_of_a_sweep_is_refused(cli, work, foreign):
    flags = foreign(f"# @package _global_\nhydra:\n  {PLANTS['a callback that opens']}\n", "plant/x.yaml")
    foreign("# @package _global_\n", "plant/nothing.yaml")
    code, _, err = cli("transfer", *REQUEST, *flags, "-m", "+plant=nothing,x")
    assert code == 2 and "hydra.callbacks.x" in err and nothing_ran(work)


def test_a_foreign_primary_configuration_is_checked_too(cli, work, foreign):
    (work / "theirs").mkdir()
    flags = foreign("defaults: [transfer]\nhydra: {searchpath: [pkg://antigravity]}\n", "mine.yaml")
    code, _, err = cli("transfer", *REQUEST, *flags, "-cn", "mine")
    assert code == 2 and "hydra.searchpath" in err
    code, _, err = cli("transfer", *REQUEST, "hydra.searchpath=[pkg://antigravity]")
    assert code == 2 and "hydra.searchpath" in err


LEAKS = [
    "${oc.env:A_SECRET}",
    "${oc.decode:'${oc.env:A_SECRET}'}",
    "${oc.decode:'$''{oc.env:A_SECRET}'}",
    "${oc.create:'{a: 1}'}",
    "${${a}:A_SECRET}",
    "${oc.select:nothing,${oc.env:A_SECRET}}",
    "${now:${oc.env:A_SECRET}}",
    "${hydra:${oc.env:A_SECRET}}",
]


@pytest.mark.parametrize("leak", LEAKS)
def test_no_interpolation_reads_the_environment(cli, work, foreign, leak):
    flags = foreign(f'# @package _global_\nprompt: "{leak}"\n', "plant/x.yaml")
    code, out, err = cli("transfer", *REQUEST, *flags, "+plant=x")
    assert (code, out) == (2, "") and "prompt" in err and SECRET not in err, err
    assert not list(work.rglob("manifest.json"))


def test_a_choice_in_a_list_of_defaults_reads_no_environment(cli, work, foreign):
    flags = foreign("defaults: [{/backbone: '${oc.env:A_SECRET}'}]\n", "plant/x.yaml")
    code, _, err = cli("transfer", *REQUEST, *flags, "+plant=x")
    assert code == 2 and SECRET not in err and "oc.env" in err


@pytest.mark.parametrize("verb", ["compare", "bench"])
def test_tables_are_checked_like_the_rest(cli, work, foreign, verb):
    words = ["methods=[still]", "settings.still.x=${oc.decode:1}"]
    code, _, err = cli(verb, *words)
    assert code == 2 and "oc.decode" in err
    code, _, err = cli(verb, "methods=[still]", "+hydra.callbacks.x._target_=os.getcwd")
    assert code == 2 and "hydra.callbacks.x" in err
    code, _, err = cli(verb, *foreign("name: x"))
    assert code == 2 and "does not take --config-dir" in err


def test_what_is_ours_and_known_passes(cli, work, foreign):
    flags = foreign("name: still\n")
    foreign("# @package _global_\nprompt: '${now:%Y} ${seed}'\nhydra: {sweep: {dir: here}}\n", "plant/x.yaml")
    words = ["+plant=x", "hydra/launcher=basic", "hydra.verbose=false", "hydra.sweep.subdir=job-${hydra.job.num}"]
    code, _, err = cli("transfer", *REQUEST, *flags, *words, "seed=1,2", "-m", "+hydra.job.env_set.A_NAME=1")
    assert code == 0, err
    assert (work / "here" / "job-1" / "result.mp4").is_file()


def test_the_table_of_resolvers_is_whole_again_afterwards(cli, work, monkeypatch):
    from omegaconf import OmegaConf

    monkeypatch.setenv("A_SECRET", SECRET)
    cli("transfer", *REQUEST, "--cfg", "job")
    assert OmegaConf.create({"a": "${oc.env:A_SECRET}"}).a == SECRET


def test_a_start_composes_its_configuration_once(cli, work, monkeypatch):
    from motionkit.cli.guard import CheckedLoader

    composed, load = [], CheckedLoader.load_configuration
    monkeypatch.setattr(CheckedLoader, "load_configuration", lambda *a, **k: (composed.append(k), load(*a, **k))[1])
    assert cli("transfer", *REQUEST)[0] == 0 and len(composed) == 1
