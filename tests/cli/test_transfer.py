"""`motionkit transfer` as a user calls it: files in odd places, typed keys, sweeps, one-line refusals."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

STILL = ("transfer", "method=still", "reference=ref.png", "gpu=cpu", "progress=none")
WARP = ("transfer", "method=warp", "reference=ref.png", "driving=drive.mp4", "gpu=cpu", "progress=none")


def test_the_run_folder_holds_everything(cli, work):
    code, out, err = cli(*WARP, "frames=4", "seed=2")
    part, plan = err.splitlines()
    assert code == 0 and plan.startswith("gpu=cpu: cpu, float32") and part.startswith("driving: frames 0-0.67 s of 1 s")
    (folder,) = (work / "runs" / "transfer").iterdir()
    assert out.strip() == str(folder / "result.mp4") and re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{8}", folder.name)
    facts = json.loads((folder / "manifest.json").read_text())
    assert facts["frames"] == 4 and facts["seed"] == 2 and facts["method"]["name"] == "warp"
    assert {p.name for p in work.iterdir()} == {"ref.png", "drive.mp4", "runs"}
    assert {p.name for p in folder.iterdir()} <= {"result.mp4", "manifest.json", "shown"}


def test_names_that_shells_and_hydra_trip_over(cli, work):
    odd = work / "my, clips = (1) [été] 'x'"
    odd.mkdir()
    (work / "ref.png").rename(odd / "réf 1,2.png")
    code, out, err = cli(
        "transfer",
        "method=still",
        f"reference={odd.name}/réf 1,2.png",
        "prompt=a green, happy turtle: {it's} ${x}",
        "output=out put/a, b.mp4",
        "gpu=cpu",
    )
    assert code == 0, err
    assert out.strip() == str(work / "out put" / "a, b.mp4") and (work / "out put" / "a, b.mp4").is_file()
    (folder,) = (work / "runs" / "transfer").iterdir()
    facts = json.loads((folder / "manifest.json").read_text())
    assert facts["inputs"]["prompt"]["text"] == "a green, happy turtle: {it's} ${x}"
    assert str(work) not in json.dumps(facts["inputs"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["seed=abc"], "seed=abc: give a whole number"),
        (["sede=1"], "unknown key 'sede' (did you mean 'seed'?): give seed=1"),
        (["+sede=1"], "unknown key 'sede' (did you mean 'seed'?)"),
        (["method=wrap"], "unknown method 'wrap' (did you mean 'warp'?); known: anamodiff, "),
        (["method=warp", "method.pth=3"], "unknown key 'method.pth' (did you mean 'method.path'?)"),
        (["method=anamodiff", "method.lora.steps=abc"], "method.lora.steps=abc: give a whole number"),
        (["backbone=sd155"], "unknown backbone 'sd155' (did you mean 'sd15'?)"),
        (["gpu=cpuu"], "unknown gpu 'cpuu' (did you mean 'cpu'?); known: 12gb, 24gb, 80gb, 8gb, <N>gb, auto, cpu, mps"),
        (["gpu.dtpe=x"], "unknown key 'gpu.dtpe' (did you mean 'gpu.dtype'?)"),
        (["seed=[1,2"], "cannot read the command line: "),
        (["reference=absent.png"], "absent.png"),
        (["method=anamodiff", "driving=drive.mp4"], "anamodiff needs prompt"),
        (["method=warp"], "warp needs driving (video of the motion): give it as driving=..."),
        (["method=anamodiff", "backbone=animatex", "driving=drive.mp4", "prompt=x"], "does not run on animatex: "),
        (["progress=loud"], "unknown value of progress 'loud'"),
        (["output=ref.gif/x.mp4", "reference=drive.mp4"], "cannot write into"),
        (["output=drive.mp4", "reference=drive.mp4"], "is also an input"),
        (["seed=1,2"], "seed"),
        (["--multi"], "unknown option '--multi' (did you mean '--multirun'?)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_line_and_leave_nothing(cli, work, words, says):
    (work / "ref.gif").write_text("a file, not a folder")
    code, out, err = cli(*STILL, *words)
    *plan, line = err.splitlines()
    assert (code, out) == (2, "") and line.startswith("motionkit: error: ") and says in line
    assert all(extra.startswith("gpu=cpu: ") for extra in plan)
    assert not list(work.rglob("runs/transfer/*"))


def test_cfg_job_prints_the_configuration_and_runs_nothing(cli, work):
    from omegaconf import OmegaConf

    code, out, _ = cli("transfer", "seed=3", "--cfg", "job", "method=anamodiff", "method.lora.steps=7")
    config = OmegaConf.create(out)
    assert code == 0 and config.seed == 3 and config.method.lora.steps == 7 and config.method.name == "anamodiff"
    assert config.gpu.name == "auto" and config.backbone.name == "auto" and not (work / "runs").exists()


def test_a_sweep_makes_a_folder_per_job(cli, work):
    code, out, err = cli(*STILL, "seed=1,2", "-m")
    assert code == 0 and "HYDRA" not in out + err and re.fullmatch(r"(\S+/result\.mp4\n){2}", out)
    manifests = sorted((work / "runs" / "transfer").glob("*-sweep/*/manifest.json"))
    assert [json.loads(m.read_text())["seed"] for m in manifests] == [1, 2] and len(manifests) == 2


def test_a_job_that_fails_does_not_stop_the_sweep(cli, work):
    code, _, err = cli(*STILL, "method=warp,still", "--multirun")
    assert code == 2 and "warp needs driving" in err and "Error executing" not in err
    assert len(list((work / "runs" / "transfer").glob("*-sweep/*/manifest.json"))) == 1


@pytest.mark.parametrize("words", [["reference=absent.png", "seed=1,2"], ["method=still,nope"]], ids=" ".join)
def test_a_sweep_that_made_nothing_leaves_no_folder(cli, work, words):
    code, _, err = cli("transfer", "method=still", "gpu=cpu", *words, "-m")
    assert code == 2 and "Error executing" not in err
    assert not list((work / "runs" / "transfer").glob("*"))


def test_a_defect_is_one_line_with_nothing_before_it(cli, work, monkeypatch):
    def fail(*args, **named):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("motionkit.running.request.RunPlan.execute", fail)
    code, _, err = cli(*STILL)
    *plan, line = err.splitlines()
    assert code == 1 and line.startswith("motionkit: error: ZeroDivisionError: by zero (an internal error")
    assert all(extra.startswith("gpu=cpu: ") for extra in plan) and not list(work.glob("runs/transfer/*"))


@pytest.fixture
def cut(work):
    """A clip of ten frames that ends in the middle."""
    from motionkit import media

    frames = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3)).astype(np.uint8)
    media.write_video(work / "whole.mp4", frames, 8)
    data = (work / "whole.mp4").read_bytes()
    (work / "cut.mp4").write_bytes(data[: int(len(data) * 0.6)])
    return work / "cut.mp4"


def test_what_was_noted_of_a_clip_is_said(cli, cut):
    code, _, err = cli(*WARP, "driving=cut.mp4")
    assert code == 0 and re.search(r"^driving: the file is cut off: \d of 10 frames were read$", err, re.MULTILINE)


def test_compare_says_it_as_well_of_the_truth_too(work, cut, capsys):
    from motionkit.cli import compare
    from motionkit.cli.hydra_app import JobFolders

    compare._read(
        compare.CompareConfig(backbone={"name": "auto"}, driving="cut.mp4", truth="cut.mp4"), JobFolders(work, work)
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if "the file is cut off" in line]
    assert [line.partition(":")[0] for line in lines] == ["driving", "truth"]


def test_jsonl_progress_is_for_other_programs(cli, work):
    _, _, err = cli(*WARP, "progress=jsonl")
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert {"start", "step", "end"} == {event["event"] for event in events}


def test_another_backbone_and_own_settings_reach_the_method(cli, work):
    assert cli(*WARP, "cache=false", "size=32", "fps=3", "output_metadata=false")[0] == 0
    (folder,) = (work / "runs" / "transfer").iterdir()
    facts = json.loads((folder / "manifest.json").read_text())
    assert facts["fps"] == 3 and facts["size"] == {"height": 32, "width": 32}


def test_a_stop_while_torch_is_being_imported_imports_no_more():
    """A signal may come at any time: torch is then half there, and importing on would end in a traceback."""
    code = (
        "import sys, types\nimport motionkit.cli as cli\n"
        "for name in ('torch', 'torch.distributed'):\n    sys.modules[name] = types.ModuleType(name)\n"
        "cli.main = lambda: 130\ncli.console()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


def test_ctrl_c_leaves_a_manifest_and_exit_code_130(work, tmp_path):
    """A real signal to a real process, in the middle of a long stage."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time\n"
        "from motionkit.cli import main\n"
        "from motionkit.methods.warp.method import Warp\n"
        "def generate(self, *rest):\n"
        "    print('generating', flush=True)\n"
        "    time.sleep(60)\n"
        "Warp.generate = generate\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    run = subprocess.Popen(
        [sys.executable, str(script), *WARP],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )
    assert run.stdout.readline() == "generating\n"
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130 and "cancelled" in err and "Traceback" not in err
    (folder,) = (work / "runs" / "transfer").iterdir()
    assert [p.name for p in folder.iterdir()] == ["manifest.json"]
    assert json.loads((folder / "manifest.json").read_text())["status"] == "cancelled"


def test_the_part_of_the_clips_that_is_asked_for(cli, work):
    from motionkit import media

    media.write_video(
        work / "long.mp4", np.random.default_rng(0).integers(0, 256, (90, 32, 32, 3)).astype(np.uint8), 30
    )
    code, out, err = cli(*WARP, "driving=long.mp4", "reference=long.mp4", "start=0:01", "reference_start=45f")
    assert code == 0 and "driving: frames 1-2.25 s of 3 s at 8 fps; " in err
    assert "reference: frames 1.5-2.75 s of 3 s" in err
    facts = json.loads((work / out.strip()).with_name("manifest.json").read_text())
    assert facts["frames"] == 10 and facts["fps"] == 8 and "1-2.25 s" in facts["inputs"]["driving"]["notes"][0]
    code, out, err = cli(*WARP, "frames=12", "size=32x48", "progress=none")
    assert code == 0 and "made of 6" in err and "size=32x48 has another shape" in err and "32x24" in err
    assert any(
        "made of 6" in line
        for line in json.loads((work / out.strip()).with_name("manifest.json").read_text())["remarks"]
    )
    for words, says in ((["start=9"], "start=9 is beyond"), (["start=ten"], "start=ten: give seconds")):
        code, out, err = cli(*WARP, *words)
        assert (code, out) == (2, "") and says in err
    assert "needs driving" in cli("transfer", "method=still", "reference=ref.png", "start=2")[2]


def test_a_folder_of_pictures_at_its_rate(cli, work):
    from motionkit import media

    media.write_frames(work / "shots", np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3)).astype(np.uint8))
    code, out, err = cli(*WARP, "driving=shots", "fps=24")
    facts = json.loads((work / out.strip()).with_name("manifest.json").read_text())
    assert (facts["frames"], facts["fps"]) == (24, 24) and "driving" not in err


def test_sound_transparency_and_loops(cli, work):
    import av
    from PIL import Image

    from motionkit import media

    frames = media.read_clip(work / "drive.mp4").frames
    tone = media.Sound(np.full((16000, 1), 0.2, np.float32), 16000)
    media.write_video(work / "loud.mp4", frames, 6, sound=tone)
    still = media.read_clip(work / "ref.png").frames[0]
    clear = np.concatenate([still, np.where((still == still[0, 0]).all(-1), 0, 255)[..., None]], -1)
    Image.fromarray(clear.astype(np.uint8)).save(work / "clear.png")
    for words, streams in (([], 1), (["audio=false"], 0)):
        assert cli(*WARP, "driving=loud.mp4", "reference=clear.png", "output=out.webm", *words)[0] == 0
        with av.open(str(work / "out.webm")) as file:
            assert len(file.streams.audio) == streams
    assert media.read_clip(work / "out.webm").transparent
    assert cli(*WARP, "reference=clear.png", "alpha=false", "loop=pingpong", "output=out.gif")[0] == 0
    clip = media.read_clip(work / "out.gif")
    assert len(clip) == 10 and not clip.transparent
    code, out, err = cli(*WARP, "alpha=true", "output=out.mp4")
    assert (code, out) == (2, "") and "no transparency" in err
    code, out, err = cli(*WARP, "loop=round")
    assert (code, out) == (2, "") and "unknown loop" in err and "pingpong" in err


def test_warnings_are_plain_lines_on_stderr_and_come_once(cli, work, monkeypatch):
    import logging
    import warnings

    from motionkit.methods.warp.method import Warp

    generate = Warp.generate

    def warns(self, *rest):
        for _ in range(3):
            logging.getLogger("motionkit.somewhere").warning("the prompt is %s", "cut")
            warnings.warn("a library says\n so", UserWarning, stacklevel=1)
        return generate(self, *rest)

    monkeypatch.setattr(Warp, "generate", warns)
    code, out, err = cli(*WARP)
    lines = err.splitlines()
    assert code == 0 and re.fullmatch(r"\S+/result\.mp4\n", out)
    assert lines.count("the prompt is cut") == 1 and lines.count("a library says so") == 1
    assert "HYDRA" not in err and "UserWarning" not in err
