"""The contract: what inputs are there, what they hash to, and what is named when it is missing."""

import pytest

from motionkit.errors import UserError
from motionkit.transfer import Inputs


def test_present_names_what_was_given(inputs):
    inputs.prompt = "a fox"
    assert inputs.present() == ("reference", "driving", "prompt")


def test_a_missing_input_is_named_with_its_note(blend, inputs):
    inputs.reference = None
    with pytest.raises(UserError, match=r"blend needs reference \(a picture\)"):
        blend.SPEC.check_inputs(inputs)


def test_used_leaves_out_what_the_method_does_not_read(blend, inputs):
    inputs.prompt, inputs.source_prompt = "a fox", "a dog"
    assert blend.SPEC.used(inputs) == ("reference", "driving", "prompt")


def test_hashes_follow_the_content(tmp_path, inputs):
    assert Inputs().hash_of("prompt") == Inputs().hash_of("reference") == "none"
    assert Inputs(prompt="a").hash_of("prompt") != Inputs(prompt="b").hash_of("prompt")
    assert inputs.hash_of("reference") == inputs.reference.sha256 != inputs.hash_of("driving")
    (tmp_path / "one").write_bytes(b"same")
    (tmp_path / "two").write_bytes(b"same")
    one, two = Inputs(poses=str(tmp_path / "one")), Inputs(poses=str(tmp_path / "two"))
    assert one.hash_of("poses") == two.hash_of("poses")
    (tmp_path / "two").write_bytes(b"other")
    assert one.hash_of("poses") != two.hash_of("poses")


def test_a_folder_of_maps_hashes_names_and_bytes(tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    (folder / "0.png").write_bytes(b"x")
    before = Inputs(depth=str(folder)).hash_of("depth")
    (folder / "0.png").rename(folder / "1.png")
    assert Inputs(depth=str(folder)).hash_of("depth") != before
    with pytest.raises(UserError, match="cannot read"):
        Inputs(depth=str(folder / "absent")).hash_of("depth")
