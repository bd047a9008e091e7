"""Maps and poses whose headers and numbers lie: one line each, and no more memory than the file has bytes for."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from motionkit.errors import UserError
from motionkit.media import write_frames
from motionkit.media.arrays import read_arrays
from motionkit.perception import files
from motionkit.perception.pose import files as pose_files

MOST = 2**24


def npy(shape, values=b"", dtype="<f4"):
    """The bytes of a .npy whose header says that shape, as text."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values


def npz(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


HEADERS = {
    "many rows": npy("(1000000000000, 4, 4)"),
    "a few too many": npy("(3, 4, 4)", bytes(4 * 47)),
    "more than any number of bytes": npy(f"({10**400},)"),
    "minus one": npy("(-1, 4, 4)", bytes(64)),
    "minus one of the rest": npy("(3, -1)", bytes(64)),
    "half": npy("(1.5, 4)", bytes(64)),
    "a text": npy("('3',)", bytes(64)),
    "many axes": npy(f"({'1, ' * 40})", bytes(4)),
    "deep": npy("(" * 3000 + ")" * 3000),
    "objects": npy("(3,)", bytes(64), "|O"),
    "texts": npy("(3,)", bytes(64), "<U1"),
    "long": b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"{",
    "no header": b"\x93NUMPY\x01\x00",
    "nothing": b"\x93NUM",
}


@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS)
def test_a_header_that_lies_is_refused_without_memory(data, tmp_path):
    (tmp_path / "m.npy").write_bytes(data)
    npz(tmp_path / "m.npz", masks=data, points=data)
    tracemalloc.start()
    for name in ("m.npy", "m.npz"):
        with pytest.raises(ValueError) as error:
            read_arrays(tmp_path / name, MOST)
        assert "\n" not in str(error.value)
        with pytest.raises(UserError):
            files.read_masks(str(tmp_path / name), 3, 8, 8)
    with pytest.raises(UserError):
        pose_files.load(tmp_path / "m.npz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_bomb_is_refused_without_unpacking_it(tmp_path):
    size = 2**26
    npz(tmp_path / "b.npz", points=npy(f"({size // 288}, 18, 2)", bytes(size), "<f8"))
    assert (tmp_path / "b.npz").stat().st_size < 2**18
    tracemalloc.start()
    with pytest.raises(ValueError, match="limit"):
        read_arrays(tmp_path / "b.npz", MOST)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_arrays_together_stay_within_the_limit(tmp_path):
    one = npy("(1000, 1000)", bytes(4 * 10**6))
    npz(tmp_path / "many.npz", **{f"a{i}": one for i in range(9)})
    with pytest.raises(ValueError, match="limit"):
        read_arrays(tmp_path / "many.npz", MOST)


def test_sound_arrays_of_each_kind_are_read(tmp_path, rng):
    kept = {
        "a": rng.normal(size=(3, 4, 5)),
        "turned": np.asfortranarray(rng.normal(size=(3, 4)).astype(">f4")),
        "flags": rng.random((7,)) > 0.5,
        "none": np.zeros((0, 4), np.int16),
        "one": np.array(5, np.uint8),
    }
    np.savez(tmp_path / "plain.npz", **kept)
    np.savez_compressed(tmp_path / "small.npz", **kept)
    for name in ("plain.npz", "small.npz"):
        found = read_arrays(tmp_path / name, MOST)
        assert list(found) == list(kept)
        for key, value in kept.items():
            assert found[key].dtype == value.dtype and np.array_equal(found[key], value)
    np.save(tmp_path / "a.npy", kept["turned"])
    assert np.array_equal(read_arrays(tmp_path / "a.npy", MOST)[""], kept["turned"])


def test_an_encrypted_or_damaged_archive_is_one_line(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, masks=np.arange(4000))
    held = bytearray(buffer.getvalue())
    for at in range(0, len(held), 37):
        spoilt = held.copy()
        spoilt[at] ^= 0xFF
        (tmp_path / "d.npz").write_bytes(spoilt)
        try:
            read_arrays(tmp_path / "d.npz", MOST)
        except ValueError:
            pass


BODY = [[0.5, 0.5]] * 18
POSES = {
    "an endless size": '{"points": [%s], "size": [1e999, 5]}',
    "a size of no number": '{"points": [%s], "size": [NaN, 5]}',
    "a size below one": '{"points": [%s], "size": [-1, 5]}',
    "a size of 400 digits": '{"points": [%s], "size": [1' + "0" * 400 + ", 5]}",
    "a size of one side": '{"points": [%s], "size": [5]}',
    "endless frames a second": '{"points": [%s], "fps": 1e999}',
    "frames a second below none": '{"points": [%s], "fps": -1}',
    "a place of 400 digits": '{"points": [[[1' + "0" * 400 + ', 1]]], "x": [%s]}',
    "an endless place": '{"points": [[[1e999, 1]]], "x": [%s]}',
    "deep": "[" * 100_000,
    "deep places": '{"points": ' + "[" * 900 + "]" * 900 + "}",
    "an endless canvas": '[{"people": [], "canvas_width": 1e999, "canvas_height": 5}]',
    "a canvas below none": '[{"people": [], "canvas_width": -4, "canvas_height": 5}]',
    "an endless joint": '[{"people": [{"pose_keypoints_2d": [' + "1e999, 5, 1, " * 17 + "5, 5, 1]}]}]",
    "a joint of 400 digits": '[{"people": [{"pose_keypoints_2d": [1' + "0" * 400 + ", 5, 1]}]}]",
}


@pytest.mark.parametrize("text", POSES.values(), ids=POSES)
def test_poses_of_impossible_numbers_are_one_line(text, tmp_path):
    file = tmp_path / "p.json"
    file.write_text(text.replace("%s", json.dumps(BODY)))
    with pytest.raises(UserError) as error:
        pose_files.load(file, (64, 64))
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 2], np.uint8),
        np.array([0, 2.0]),
        np.array([0, 100], np.uint8),
        np.array([0, 300], np.uint16),
        np.array([0, 0.4]),
        np.array([np.nan, 1]),
        np.array([np.inf, 1]),
        np.array([-1, 1], np.int8),
        np.array([-255.0, 255]),
        np.array([0, 10**9]),
    ],
    ids=lambda values: f"{values.dtype}-{values[0]}-{values[1]}",
)
def test_masks_without_a_white_are_refused(values, tmp_path):
    masks = np.zeros((2, 8, 8), values.dtype)
    masks[:], masks[:, 2:6, 2:6] = values[0], values[1]
    np.save(tmp_path / "m.npy", masks)
    with pytest.raises(UserError, match="masks"):
        files.read_masks(str(tmp_path / "m.npy"), 2, 8, 8)


@pytest.mark.parametrize("white", [1, 200, 255, 65535])
@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.int64])
def test_masks_of_any_white_are_read(white, kind, tmp_path):
    masks = np.zeros((2, 8, 8), kind)
    masks[:, 2:6, 2:6] = white
    np.save(tmp_path / "m.npy", masks)
    assert (files.read_masks(str(tmp_path / "m.npy"), 2, 8, 8) == (masks > 0)).all()
    np.save(tmp_path / "none.npy", masks * 0)
    assert not files.read_masks(str(tmp_path / "none.npy"), 2, 8, 8).any()


def test_pictures_of_ones_and_of_twos(tmp_path):
    for value in (1, 2):
        frames = np.zeros((2, 8, 8, 3), np.uint8)
        frames[:, 2:6, 2:6] = value
        write_frames(tmp_path / str(value), frames)
    assert files.read_masks(str(tmp_path / "1"), 2, 8, 8).sum() == 32
    with pytest.raises(UserError, match="white: give 0 and 1"):
        files.read_masks(str(tmp_path / "2"), 2, 8, 8)
