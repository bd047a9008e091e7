"""The pose estimators: DWPose's road from pixels to joints, controlnet-aux's results, the shipped one for drawings."""

import importlib.util
import types

import numpy as np
import pytest
import torch

from motionkit.errors import MissingWeights, UserError
from motionkit.perception.pose import PoseSettings, body_net, dwpose, openpose, read_poses
from motionkit.perception.pose.estimate import check, weight_files

MARK = 200  # brightness of the square that stands for a person


def fake_detector(*people):
    """A YOLOX head that reports boxes (x0, y0, x1, y1, score) given in pixels of its 640 input."""

    def run(batch):
        assert batch.shape == (1, 3, 640, 640) and batch.dtype == np.float32
        corner, stride = dwpose._grid()
        out = np.full((1, len(corner), 85), 0.0, np.float32)
        for i, (x0, y0, x1, y1, score) in enumerate(people):
            row = 100 * i + 7
            centre, sides = np.array([x0 + x1, y0 + y1]) / 2, np.array([x1 - x0, y1 - y0])
            out[0, row, :2] = centre / stride[row] - corner[row]
            out[0, row, 2:4] = np.log(sides / stride[row])
            out[0, row, 4:6] = 1.0, score
        return [out]

    return run


def fake_poser(seen=None):
    """Says that joint k lies at (k / 133, 1 - k / 133) of the crop, as a simcc head would."""

    def run(batch):
        assert batch.shape == (1, 3, 384, 288) and batch.dtype == np.float32
        if seen is not None:
            seen.append(batch[0])
        x, y = np.zeros((1, 133, 576), np.float32), np.zeros((1, 133, 768), np.float32)
        at = np.arange(133)
        x[0, at, at * 576 // 133] = 0.9
        y[0, at, 767 - at * 768 // 133] = 0.8
        return [x, y]

    return run


def test_boxes_come_back_in_pixels_of_the_picture():
    picture = np.zeros((320, 160, 3), np.uint8)  # enlarged twice
    boxes = dwpose.detect(picture, fake_detector((20, 40, 120, 600, 0.9), (200, 40, 300, 500, 0.2)))
    assert np.allclose(boxes, [[10, 20, 60, 300]], atol=1e-3)


def test_the_detector_gets_a_letterbox():
    got = []

    def detector(batch):
        got.append(batch[0])
        return fake_detector()(batch)

    picture = np.full((100, 200, 3), 7, np.uint8)
    assert dwpose.detect(picture, detector).shape == (0, 4)
    assert (got[0][:, :320] == 7).all() and (got[0][:, 320:] == 114).all()


def test_the_same_person_found_twice_is_one():
    boxes = np.array([[0, 0, 100, 200], [4, 2, 102, 205], [300, 0, 400, 200.0]])
    assert dwpose.suppress(boxes, np.array([0.5, 0.9, 0.6])) == [1, 2]


def test_joints_come_back_through_the_crop_to_the_picture():
    box = np.array([100, 50, 196, 178.0])  # 96 x 128: already the network's shape
    points, scores = dwpose.joints(np.zeros((400, 400, 3), np.uint8), box, fake_poser())
    assert np.allclose(scores, 0.8)
    low, extent = np.array([148, 114]) - np.array([120, 160]) / 2, np.array([120, 160])
    k = 60
    expected = low + extent * [k * 576 // 133 / 576, (767 - k * 768 // 133) / 768]
    assert np.allclose(points[0, k], expected, atol=1e-3)


def test_the_crop_shows_the_box_as_bgr():
    frame = np.zeros((400, 400, 3), np.uint8)
    frame[50:178, 100:196] = (MARK, 10, 30)  # RGB
    got = []
    dwpose.find(frame[None], fake_detector((160, 80, 313.6, 284.8, 0.9)), fake_poser(got), "tracked")
    middle = got[0][:, 192, 144] * dwpose.STD + dwpose.MEAN
    assert np.allclose(middle, (30, 10, MARK), atol=1e-3)
    inside = np.abs(got[0][2] * dwpose.STD[2] + dwpose.MEAN[2] - MARK) < 1
    assert 0.6 < inside.mean() < 0.68  # 1 / 1.25 squared


def test_without_a_detection_the_whole_frame_is_looked_at():
    clip = dwpose.find(np.zeros((1, 384, 288, 3), np.uint8), fake_detector(), fake_poser(), "tracked")
    assert clip.seen.all() and clip.size == (384, 288)


def test_one_of_several_people_is_taken_and_named():
    frames = np.zeros((2, 640, 640, 3), np.uint8)
    two = fake_detector((0, 0, 90, 120, 0.95), (300, 100, 600, 500, 0.8))
    tracked = dwpose.find(frames, two, fake_poser(), "tracked")
    first = dwpose.find(frames, two, fake_poser(), "first")
    assert tracked.points[0, :, 0].mean() > 0.4 and first.points[0, :, 0].mean() < 0.1
    assert "up to 2 people" in tracked.notes[0]


def test_other_networks_are_refused():
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="not YOLOX's"):
        dwpose.detect(picture, lambda batch: [np.zeros((1, 10, 85), np.float32)])
    with pytest.raises(UserError, match="another network"):
        dwpose.joints(picture, np.array([0, 0, 8, 8]), lambda batch: [np.zeros((1, 17, 576)), np.zeros((1, 17, 768))])


def write_onnx(path, shapes, outputs):
    """A model with constant outputs that still reads its input."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    made = [numpy_helper.from_array(value, f"c{i}") for i, value in enumerate(outputs)]
    nodes = [helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0), helper.make_node("Sub", ["m", "m"], ["zero"])]
    nodes += [helper.make_node("Add", [f"c{i}", "zero"], [f"o{i}"]) for i in range(len(outputs))]
    infos = [helper.make_tensor_value_info(f"o{i}", TensorProto.FLOAT, o.shape) for i, o in enumerate(outputs)]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shapes)]
    model = helper.make_model(helper.make_graph(nodes, "g", given, infos, made), ir_version=9)
    model.opset_import[0].version = 17
    onnx.save(model, str(path))


@pytest.mark.skipif(
    not (importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx")), reason="needs onnxruntime, onnx"
)
def test_onnx_files_are_run_by_onnxruntime(tmp_path):
    head = fake_detector((160, 80, 313.6, 284.8, 0.9))(np.zeros((1, 3, 640, 640), np.float32))
    write_onnx(tmp_path / dwpose.FILES[0], (1, 3, 640, 640), head)
    write_onnx(tmp_path / dwpose.FILES[1], (1, 3, 384, 288), fake_poser()(np.zeros((1, 3, 384, 288), np.float32)))
    frames = np.full((2, 400, 400, 3), 90, np.uint8)
    clip = read_poses(frames, PoseSettings("dwpose", weights=str(tmp_path)))
    expected = dwpose.find(frames, fake_detector((160, 80, 313.6, 284.8, 0.9)), fake_poser(), "tracked")
    assert clip.seen.all() and np.allclose(clip.xy, expected.xy)
    (tmp_path / dwpose.FILES[0]).write_bytes(b"no model")
    with pytest.raises(UserError, match="not an ONNX model"):
        read_poses(frames, PoseSettings("dwpose", weights=str(tmp_path)))


@pytest.fixture
def doubled_runtime(monkeypatch, tmp_path):
    """onnxruntime and the two files, stood for by functions of the file's name."""
    for name in dwpose.FILES:
        (tmp_path / name).write_bytes(b"-")
    made = {dwpose.FILES[0]: fake_detector((160, 80, 313.6, 284.8, 0.9)), dwpose.FILES[1]: fake_poser()}
    asked = []

    class Session:
        def __init__(self, path, providers):
            asked.append(providers)
            self.network = made[path.rpartition("/")[2]]

        def get_inputs(self):
            return [types.SimpleNamespace(name="input")]

        def run(self, wanted, feed):
            assert wanted is None
            return self.network(feed["input"])

    module = types.ModuleType("onnxruntime")
    module.__spec__ = importlib.util.spec_from_loader("onnxruntime", loader=None)
    module.InferenceSession = Session
    module.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", module)
    return tmp_path, asked


def test_the_whole_road_of_dwpose(doubled_runtime):
    folder, asked = doubled_runtime
    settings = PoseSettings("dwpose", weights=str(folder))
    check(settings)
    clip = read_poses(np.zeros((2, 400, 400, 3), np.uint8), settings, fps=12.0, device="cuda")
    assert len(clip) == 2 and clip.seen.all() and clip.fps == 12.0
    assert asked[0] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    read_poses(np.zeros((1, 400, 400, 3), np.uint8), settings)
    assert asked[-1] == ["CPUExecutionProvider"]


def test_without_onnxruntime_one_line_says_so(tmp_path, monkeypatch):
    for name in dwpose.FILES:
        (tmp_path / name).write_bytes(b"-")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    with pytest.raises(MissingWeights, match="motionkit\\[pose\\]"):
        check(PoseSettings("dwpose", weights=str(tmp_path)))


# ---- controlnet-aux


def point(x, y):
    return types.SimpleNamespace(x=x, y=y)


def person(at, size, hand=True):
    body = [point(at + size * j / 18, 0.1 + size * j / 18) for j in range(18)]
    body[4] = None
    peaks = [point(-1 / 64, 0.5)] + [point(at, 0.5)] * 20
    shape = types.SimpleNamespace(keypoints=body)
    hands = {"left_hand": peaks if hand else None, "right_hand": None}
    return types.SimpleNamespace(body=shape, face=[point(at, 0.2)] * 70, **hands)


class Detector:
    def __init__(self, *frames):
        self.frames, self.asked = list(frames), []

    def detect_poses(self, picture, include_hand, include_face):
        assert picture.dtype == np.uint8 and include_hand and include_face
        return self.frames.pop(0)


def test_controlnet_aux_people_become_poses():
    frames = np.zeros((3, 64, 64, 3), np.uint8)
    detector = Detector([person(0.7, 0.1), person(0.1, 0.5)], [], [person(0.15, 0.5, False)])
    clip = openpose.find(frames, detector, "tracked")
    assert clip.points[0, 0] == pytest.approx([0.1, 0.1]) and np.isnan(clip.points[0, 4]).all()
    assert np.isnan(clip.hands[0, 0, 0]).all() and clip.hands[0, 0, 1] == pytest.approx([0.1, 0.5])
    assert np.isnan(clip.hands[0, 1]).all() and np.isnan(clip.hands[2]).all() and clip.faces.shape == (3, 68, 2)
    assert list(clip.empty) == [False, True, False] and np.isnan(clip.feet).all()


def test_openpose_weights_are_never_unpickled(tmp_path, monkeypatch):
    ran = []

    class Bomb:
        def __reduce__(self):
            return (ran.append, (1,))

    for name in openpose.FILES:
        torch.save({"a": Bomb()}, tmp_path / name)
    module = types.ModuleType("controlnet_aux")
    module.__spec__ = importlib.util.spec_from_loader("controlnet_aux", loader=None)
    trusting = types.SimpleNamespace(from_pretrained=lambda folder: pytest.fail("the files were trusted"))
    module.OpenposeDetector = trusting
    monkeypatch.setitem(__import__("sys").modules, "controlnet_aux", module)
    with pytest.raises(UserError, match="weights of OpenPose"):
        read_poses(np.zeros((1, 8, 8, 3), np.uint8), PoseSettings("openpose", weights=str(tmp_path)))
    assert not ran


# ---- sprites


shipped = pytest.mark.skipif(not body_net.weights_path().is_file(), reason="the network is not in this checkout")


@pytest.fixture(scope="module")
def sprite():
    from motionkit.sprites import Motion, character, render_clip

    return [render_clip(character(seed, kind), Motion("walk"), 6) for seed, kind in ((11, "horse"), (12, "person"))]


@shipped
def test_the_pocket_estimator_finds_a_sprites_openpose_joints(sprite):
    for clip in sprite:
        poses = read_poses(clip.frames, PoseSettings(), pocket=True)
        error = np.linalg.norm(poses.points * clip.size - clip.openpose, axis=-1)
        assert poses.seen[:, :18].all() and error.mean() < 5, clip.character.kind
        still = np.linalg.norm(np.roll(clip.openpose, 3, 0) - clip.openpose, axis=-1).mean()
        assert error.mean() < 0.8 * still  # it sees the motion, not only the body


@shipped
@pytest.mark.parametrize("setting", ["wild", "foreign"])
def test_bodies_of_other_styles_are_found(setting):
    """`foreign` is a style that no training saw."""
    from motionkit.sprites import Motion, character, render_clip

    for seed, kind, motion in ((1, "cat", "walk"), (2, "person", "wave"), (3, "horse", "run"), (5, "bear", "bow")):
        clip = render_clip(character(seed, kind, setting), Motion(motion), 3)
        poses = read_poses(clip.frames, PoseSettings(), pocket=True)
        error = np.linalg.norm(poses.points * clip.size - clip.openpose, axis=-1)
        assert poses.seen[:, :18].all() and np.median(error) < 6, (kind, np.median(error))


@shipped
@pytest.mark.parametrize("before", [(0, 64), (48, 0)])
def test_sprites_in_wide_and_tall_frames_are_found_where_they_are(sprite, before):
    clip, (y, x) = sprite[0], before
    larger = np.pad(clip.frames[:2], ((0, 0), (y, y), (x, x), (0, 0)), mode="edge")
    found = read_poses(larger, PoseSettings("pocket"))
    assert found.size == larger.shape[1:3] == (128 + 2 * y, 128 + 2 * x)
    shifted = found.points * [128 + 2 * x, 128 + 2 * y] - [x, y]
    assert np.abs(shifted - clip.openpose[:2]).mean() < 3


@shipped
def test_letters_are_nobody():
    from motionkit.sprites import LETTERS, Motion, character, render_clip

    for seed, kind in enumerate(LETTERS[:4]):
        clip = render_clip(character(seed, kind), Motion("flutter"), 2)
        assert read_poses(clip.frames, PoseSettings("pocket"), required=False).empty.all(), kind


@shipped
@pytest.mark.parametrize("size", [64, 200])
def test_shapes_and_noise_are_nobody(size):
    """The network says that there is a body in both, but is sure of none of its points."""
    from motionkit.testing import sample_inputs

    noise = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    for frames in (sample_inputs(3, size).driving.frames, noise):
        assert read_poses(frames, PoseSettings("pocket"), required=False).empty.all()


@shipped
def test_empty_pictures_hold_nobody(sprite):
    frames = sprite[0].frames.copy()
    frames[2] = 255
    poses = read_poses(frames, PoseSettings("pocket"))
    assert list(np.flatnonzero(poses.empty)) == [2] and "1 of 6 frames" in poses.notes[0]
    with pytest.raises(
        UserError, match="nobody was found.*knows drawn characters.*one whole body.*backend=dwpose or openp"
    ):
        read_poses(np.full_like(frames, 255), PoseSettings("pocket"))
    half = np.full_like(frames, 255)
    half[:, -40:] = sprite[0].frames[:, 20:60]  # the head and shoulders, at the lower edge
    with pytest.raises(UserError, match="nobody was found.*pocket.*whole body"):
        read_poses(half, PoseSettings("pocket"))
    with pytest.raises(UserError, match="own weights"):
        check(PoseSettings("pocket", weights="x"))


@shipped
def test_the_pocket_estimator_has_one_file_that_states_its_own_error(tmp_path, monkeypatch):
    assert weight_files(PoseSettings("pocket")) == {"pose": body_net.weights_path()}
    _, figures = body_net.load()
    assert figures["easy_px"] < 3 and figures["foreign_found"] == 1
    monkeypatch.setenv("MOTIONKIT_ASSETS", str(tmp_path))
    with pytest.raises(MissingWeights, match="make train-pocket-pose"):
        check(PoseSettings("pocket"))
