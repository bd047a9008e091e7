"""`motionkit sprites` on the command line: where it writes, and that a folder of clips holds one set."""

import pytest

SMALL = ("frames=2", "size=32")


@pytest.mark.parametrize("kind", [["what=dataset"], ["lines=2"]], ids=" ".join)
def test_a_folder_holds_one_set(cli, work, kind):
    words = ("sprites", *kind, "count=2", *SMALL, "output=clips")
    assert cli(*words)[0] == 0
    before = {path: path.read_bytes() for path in (work / "clips").iterdir()}
    assert cli(*words)[0] == 0  # the very set again: what a stopped start left is made whole
    assert {path: path.read_bytes() for path in (work / "clips").iterdir()} == before
    for other in (["seed=1"], ["count=1"], ["split=val"]):
        code, out, err = cli(*words, *other)
        assert (code, out) == (2, "") and "clips holds clips of another set: choose another output=" in err
    assert {path: path.read_bytes() for path in (work / "clips").iterdir()} == before


def test_clips_of_another_origin_are_left_alone(cli, work):
    code, _, err = cli("sprites", "what=dataset", "count=1", *SMALL, "output=.")  # drive.mp4 is there
    assert code == 2 and "holds clips of another set" in err


def test_the_home_folder_is_written_as_a_tilde(cli, work, monkeypatch):
    monkeypatch.setenv("HOME", str(work / "home"))
    code, out, err = cli("sprites", *SMALL, "output=~/example")
    assert code == 0, err
    assert (work / "home" / "example" / "truth.mp4").is_file() and not (work / "~").exists()
