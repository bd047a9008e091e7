"""What Hydra or Python would answer with a cryptic error: one line says what to give, and nothing is written."""

import pytest

from motionkit.cli.quoting import split
from motionkit.cli.refusals import check_words, several
from motionkit.errors import UserError

STILL = ["transfer", "method=still", "reference=ref.png", "gpu=cpu", "progress=none"]
COMPARE = ["compare", "methods=[still]", "prompt=x", "progress=none"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        # one name for many, and many for one
        ([*STILL, "method=[still,warp]"], "`motionkit compare methods=[NAME,NAME]` runs several"),
        ([*STILL, "-m", "method=[still,warp]"], "give method=still,warp"),
        ([*STILL, "method=still,warp"], "transfer takes one method: give method=NAME"),
        (["train", "method=[warp]"], "train takes one method: give method=NAME"),
        (["transfer", "~method"], "~method: transfer needs a method: give method=NAME"),
        (["transfer", "method=null"], "give method=NAME"),
        (["transfer", "method="], "give method=NAME"),
        (["transfer", "++method=still"], "give method=still, without +"),
        ([*STILL, "method.name=still"], "choose the method by method=still"),
        ([*STILL, "gpu=[cpu]"], "give one name: gpu=NAME"),
        ([*STILL, "gpu=null"], "give gpu=NAME"),
        ([*COMPARE, "methods=still"], "give methods=[still]"),
        ([*COMPARE, "methods=still,warp"], "give methods=[still,warp]"),
        (["bench", "methods=still"], "give methods=[still]"),
        (["bench", "backbones=pocket-sd"], "give backbones=[pocket-sd]"),
        (["bench", "bench.seeds=0"], "give bench.seeds=[0]"),
        ([*STILL, "method=1"], "unknown method '1'; known: anamodiff"),
        ([*STILL, "-m", "method=still,2"], "unknown method '2'"),
        ([*STILL, "method={a:1}"], "unknown method"),
        ([*STILL, "gpu=8"], "give gpu=8gb for a card of that size, or gpu.device=cuda:8"),
        ([*STILL, "gpu=16GB"], "give gpu=16gb"),
        ([*STILL, "gpu=0"], "unknown gpu '0'"),
        ([*STILL, "gpu=cuda:1"], "give gpu=auto, or gpu.device=cuda:1"),
        ([*COMPARE, "methods=[[still]]"], "give one list, methods=[NAME,NAME]"),
        ([*COMPARE, "methods=[still,null]"], "give one list, methods=[NAME,NAME]"),
        ([*COMPARE, "methods={still:1}"], "give one list, methods=[NAME,NAME]"),
        (["bench", "methods=[still]", "frames=4"], "give bench.frames=4"),
        (["bench", "methods=[still]", "size=64"], "give bench.size=64"),
        (["bench", "methods=[still]", "backbones=[tiny-sdd]"], "unknown backbone 'tiny-sdd' (did you mean 'tiny-sd'?)"),
        ([*STILL, "=4"], "'=4' is not key=value"),
        ([*STILL, "+seed=4"], "give seed=VALUE"),
        ([*STILL, "seed.x=4"], "give seed=VALUE"),
        ([*STILL, "method=anamodiff", "method.sample=4"], "method.sample=4: give one of its settings"),
        ([*STILL, "hydra.run.dir="], "leave hydra.run.dir= out"),
        ([*STILL, "--package", "x"], "--package needs --cfg job"),
        ([*STILL, "method=anamodiff", "backbone.lora_scale=2"], "give backbone.lora=FILE too"),
        ([*STILL, "method=ANAMODIFF"], "did you mean 'anamodiff'?"),
        # groups that the verb does not have
        ([*COMPARE, "metrics=[nope]"], "unknown key 'metrics'"),
        ([*COMPARE, "backbones=[tiny-sd]"], "give backbone=NAME"),
        (["train", "method=anamodiff", "trainer.steps=1"], "unknown key 'trainer.steps' (did you mean 'steps'"),
        # several values
        ([*STILL, "seed=1,2"], "seed=1,2: give one value, or add -m for a sweep"),
        ([*STILL, "size=128,64"], "give WIDTHxHEIGHT, size=128x64, or add -m for a sweep"),
        ([*COMPARE, "seed=1,2"], "seed=1,2: give one value\n"),
        ([*STILL, "size=[128,64]"], "size=[128,64]: give a side in pixels, or WIDTHxHEIGHT"),
        # values of another type
        ([*STILL, "prompt=null"], "prompt=null: give a value, or leave prompt= out"),
        ([*STILL, "cache=maybe"], "cache=maybe: give true or false"),
        ([*STILL, "seed=${foo}"], "${foo}"),
        ([*STILL, "seed=-1"], "seed=-1 is outside 0 to 2^63 - 1"),
        ([*COMPARE, "seed=-1"], "seed=-1 is outside 0 to 2^63 - 1"),
        ([*COMPARE, "settings=1"], "settings=1: give settings.NAME.KEY=VALUE"),
        ([*COMPARE, "settings.still=1"], "settings.still.KEY=VALUE"),
        # what is missing
        (["compare"], "compare needs an input: give reference=FILE"),
        (["compare", "methods=[still]", "prompt= "], "compare needs an input: give reference=FILE"),
        (["train"], "train needs a method: give method=NAME, one of anamodiff"),
        (["train", "seed=1,2", "-m"], "train needs a method: give method=NAME, one of anamodiff"),
        ([*STILL, "reference="], "reference= is empty: give a path, or leave reference= out"),
        ([*STILL, "output="], "output= is empty: give a path, or leave output= out"),
        ([*STILL, "output=out/.mp4"], "lacks a name before .mp4: give "),
        (["transfer", "method=anamodiff", "reference=ref.png", "driving=drive.mp4", "prompt=  "], "needs prompt"),
        ([*STILL, "output=out.mp4", "seed=1,2", "-m"], "the folder of each job holds its result"),
        # flags
        (["transfer", "--cfg", "nope"], "give --cfg followed by one of job, hydra, all"),
        (["transfer", "--info=nope"], "give --info followed by one of all, config"),
        (["transfer", "-m", "--cfg", "job"], "-m cannot be combined with --cfg"),
        (["transfer", "--resolve"], "--resolve needs --cfg job"),
        # verbs without Hydra
        (["sprites", "output"], "output: give output=VALUE, or leave it out"),
        (["sprites", "output="], "output=: give output=VALUE, or leave it out"),
        (["sprites", "output=http://a/b"], "only local files are read and written"),
        (["sprites", "seed=²"], "seed=² is not a whole number"),
        (["sprites", "lines=2", "split=all", "output=x"], "unknown split 'all'"),
        (["cite", "anamodiff", "--run"], "--run needs the manifest.json of a run"),
        (["cite", "--run="], "--run needs the manifest.json of a run"),
        (["cite", "--rnu", "x"], "unknown option '--rnu' (did you mean '--run'?)"),
        (["cite", "anamodiff", "--run", "absent.json"], "cannot read absent.json"),
        (["new-method", "puppet", "output="], "output= is empty"),
        (["new-method", "puppet", "outptu=x"], "outptu=x"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_says_what_to_give(cli, work, words, says):
    before = {path for path in work.rglob("*") if path.name not in ("runs", "transfer", "train")}
    code, out, err = cli(*words)
    assert (code, out) == (2, "") and err.startswith("motionkit: error: ") and err.count("\n") == 1, err
    assert says in err
    assert {path for path in work.rglob("*") if path.name not in ("runs", "transfer", "train")} == before


def test_a_list_is_offered_where_a_setting_may_take_one():
    assert str(several("transfer", "method.subjects=cat,ball", True)).endswith(
        "give one value, or method.subjects=[cat,ball] for a list, or add -m for a sweep"
    )


def test_good_words_pass():
    check_words("transfer", ["method=still", "backbone.path=a", "seed=1", "output=a.mp4", "+backbone.lora=x"])
    check_words("transfer", ["method=still,warp", "gpu=cpu,auto"], multirun=True)
    check_words("bench", ["bench=sprites", "bench.name=mine", "methods=[still]"])
    assert split(["--info", "config"])[0] == ["--info", "config"]


def test_a_sweep_of_outputs_is_refused_however_it_is_written():
    for word in ("output=a.mp4", "+output=a.mp4", "output=choice(a.mp4,b.mp4)"):
        with pytest.raises(UserError, match="leave output= out"):
            check_words("transfer", ["method=still", word], multirun=True)
