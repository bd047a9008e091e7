"""Wrong words are answered with the right ones; a shell completes from the same declarations."""

import subprocess
import sys

import pytest

from motionkit import registry
from motionkit.cli import VERBS, completion, keys
from motionkit.errors import unknown

REQUEST = ["transfer", "reference=ref.png", "driving=drive.mp4", "prompt=x", "gpu=cpu", "progress=none"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["transfer", "--metod", "still"], "give method=still"),
        (["transfer", "--metod=still"], "give method=still"),
        ([*REQUEST, "--reference", "x"], "give reference=x"),
        ([*REQUEST, "--output=x.mp4"], "give output=x.mp4"),
        ([*REQUEST, "--num-frames", "8"], "give frames=8"),
        ([*REQUEST, "--shell-completion"], "motionkit completion bash"),
        ([*REQUEST, "--multirum"], "--multirun"),
        (["transfer", "method=../still"], "give method=still"),
        ([*REQUEST, "backbone=./models/sd15"], "backbone.path=FOLDER"),
        ([*REQUEST, "method=anamodiff", "steps=20"], "give method.sample.steps=20"),
        ([*REQUEST, "method=flipsketch", "guidance_scale=7.5"], "give method.sample.guidance=7.5"),
        ([*REQUEST, "method=flipsketch", "num_inference_steps=20"], "give method.sample.steps=20"),
        ([*REQUEST, "height=64"], "give size=64"),
        ([*REQUEST, "torch_dtype=float16"], "give gpu.dtype=float16"),
        ([*REQUEST, "refrence=a.png"], "give reference=a.png"),
        ([*REQUEST, "method=anamodiff", "method.steps=3"], "give method.sample.steps=3"),
        (["train", "method=flipsketch", "learning_rate=1e-4"], "give train.lr=1e-4"),
        (["compare", "methods=[still]", "prompt=x", "steps=3"], "settings.anamodiff.sample.steps"),
        ([*REQUEST, "method=anamodiff", "backbone.path=/nope"], "backbone.path=/nope: there is no such folder"),
        (["transfer", "backbone.path=/nope"], "backbone.path=/nope: there is no such folder"),
        (["compare", "methods=[anamodiff]", "backbone.path=./nope"], "no such folder"),
        (["sprites", "count=2", "output=z"], "what=dataset or what=drawings"),
        (["sprites", "what=dataset", "lines=2", "output=z"], "what=drawings"),
        (["sprites", "what=drawings", "motion=walk", "output=z"], "what=example"),
        (["completion"], "bash, zsh, fish"),
        (["completion", "csh"], "unknown shell 'csh'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_right_word_is_said(cli, work, words, says):
    code, out, err = cli(*words)
    assert (code, out) == (2, "") and err.count("\n") == 1 and says in err, err
    assert not (work / "z").exists()


def test_a_long_list_is_cut(cli, work):
    code, _, err = cli("bench", "bench=ablations", "ablations=[nope]")
    assert code == 2 and "ablation 'nope'" in err and len(err) < 500 and "in all" in err
    assert str(unknown("row", "x", [f"row-{i:03d}" for i in range(9)])).endswith("row-008")


def test_bench_says_where_it_writes():
    from motionkit.cli.bench import HELP

    assert "results-HASH" in HELP and "ledger" in HELP


def test_training_on_sprites_says_that_it_draws_them(tmp_path):
    from motionkit.sprites.export import write_dataset, write_drawings

    for write in (write_dataset, write_drawings):
        done = []
        write(tmp_path / write.__name__, 2, "train", frames=2, size=32, tick=done.append)
        assert done == [1, 2]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["tr"], {"transfer", "train"}),
        ([""], set(VERBS)),
        (["transfer", "refe"], {"reference=", "reference_start=", "reference_end="}),
        (["transfer", "method="], {f"method={name}" for name in registry.names()}),
        (["transfer", "method=flipsketch", "method.preset="], {f"method.preset={n}" for n in ("best", "paper", "app")}),
        (["transfer", "method=flipsketch", "method.sample.st"], {"method.sample.steps="}),
        (["transfer", "cache="], {"cache=true", "cache=false"}),
        (["transfer", "gpu=8"], {"gpu=8gb", "gpu=80gb"}),
        (["compare", "methods=[still,wa"], {"methods=[still,warp"}),
        (["compare", "settings.still.p"], set()),
        (["transfer", "reference="], set()),
        (["transfer", "method=nobodys", "ref"], set()),
        (["nothing", "x"], set()),
        (["cite", "vid"], {"vidmp3"}),
        (["completion", "z"], {"zsh"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_word_may_become(words, found):
    assert set(completion.candidates(words)) == found


def test_every_key_that_completes_is_taken(cli, work):
    from motionkit.cli.hydra_app import compose, register
    from motionkit.cli.schemas import TransferConfig

    register("transfer", TransferConfig)
    config = compose("transfer", TransferConfig, ["method=anamodiff"])
    for key in keys.keys("transfer", ["method=anamodiff"]):
        value = config
        for part in key.split("."):
            value = value[part] if isinstance(value, dict) else getattr(value, part)


def test_bash_completes(tmp_path):
    script = """
eval "$(python -m motionkit completion bash)"
command() { shift; python -m motionkit "$@"; }
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; compopt() { echo "option $1 $2"; }
_motionkit; printf '%s\\n' "${COMPREPLY[@]}"
""".replace("python", sys.executable)

    def complete(line):
        done = subprocess.run(["bash", "-c", script, "bash", line], capture_output=True, text=True, check=True)
        return done.stdout.split("\n")[:-1]

    assert complete("motionkit tran") == ["transfer"]
    assert complete("motionkit transfer method=fl") == ["flipsketch"]  # after =, where bash begins a word
    assert complete("motionkit transfer driv") == ["option -o nospace", "driving="]
    assert complete("motionkit transfer reference=re")[0] == "option -o default"
