"""DWPose: a person detector and a whole-body pose network as ONNX files, run by onnxruntime (extra `pose`).

Yang et al. 2023, arXiv 2307.15880, Apache-2.0; the files are yolox_l.onnx (Ge et al. 2021, arXiv 2107.08430) and
dw-ll_ucoco_384.onnx of the hub id yzd-v/DWPose. Pictures go in as BGR, as the authors of Animate-X feed them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from einops import rearrange

from motionkit.errors import MissingWeights, UserError
from motionkit.perception.built_in import DWPOSE_WEIGHTS as WANTED
from motionkit.perception.estimators import Estimator, View
from motionkit.perception.pose.clip import POINTS, UNSEEN, PoseClip
from motionkit.perception.pose.estimate import PoseSettings
from motionkit.perception.pose.people import choose
from motionkit.perception.pose.skeleton import WHOLEBODY, assemble, crop_of, decode_simcc
from motionkit.weights import finding

FILES = WANTED.files
SIDE, PAD = 640, 114  # the detector's square input
WIDTH, HEIGHT = 288, 384  # the pose network's input
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
MIN_DETECTION, OVERLAP = 0.3, 0.45
Network = Callable[[np.ndarray], list[np.ndarray]]  # one float32 batch in, the outputs in order


def check(settings: PoseSettings) -> None:
    """onnxruntime and both files are here. Raises: MissingWeights."""
    locate(settings.weights)
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingWeights(
            "DWPose needs onnxruntime: pip install 'motionkit[pose]', or give the poses as a file (.npz or .json)"
        )


def read(frames: np.ndarray, settings: PoseSettings, *, device: str = "cpu") -> PoseClip:
    """One person's poses in frames (F, H, W, 3) uint8 RGB.

    Raises:
        MissingWeights: onnxruntime or a file is missing.
        UserError: a file is another network.
    """
    check(settings)
    detector, poser = (open_network(path, device) for path in locate(settings.weights))
    return find(frames, detector, poser, settings.person)


def locate(weights: str = "") -> list[Path]:
    """Both ONNX files, in a folder or the hub cache. Raises: as `weights.finding.find`."""
    return [finding.find(WANTED, weights or None) / name for name in FILES]


def open_network(path: Path, device: str = "cpu") -> Network:
    """An ONNX file as a function. Raises: UserError when it is none."""
    import onnxruntime

    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [p for p in wanted if p in onnxruntime.get_available_providers()] + ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=providers)
    except Exception as error:  # its errors have no common class
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"{path} is not an ONNX model that onnxruntime can read ({reason}): get it again") from error
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})


def find(frames: np.ndarray, detector: Network, poser: Network, person: str) -> PoseClip:
    """Detects people in each frame, chooses one, and finds its joints; without any box the whole frame is the box."""
    height, width = frames.shape[1:3]
    boxes = [detect(frame[..., ::-1], detector) for frame in frames]
    chosen = choose(boxes, person)
    xy = np.full((len(frames), POINTS, 2), UNSEEN)
    seen = np.zeros(xy.shape[:2], bool)
    for f, (frame, found, at) in enumerate(zip(frames, boxes, chosen, strict=True)):
        if len(found) and at is None:
            continue  # others are visible, the chosen one is not
        box = found[at] if at is not None else np.array([0, 0, width, height])
        points, scores = joints(frame[..., ::-1], box, poser)
        one, flags = assemble(points, scores, (height, width))
        xy[f], seen[f] = one[0], flags[0]
    most = max((len(found) for found in boxes), default=0)
    notes = (f"up to {most} people in a frame: one of them is used (person={person})",) if most > 1 else ()
    return PoseClip(xy, seen, (height, width), notes=notes)


def detect(picture: np.ndarray, detector: Network) -> np.ndarray:
    """Boxes (n, 4) of people in a BGR picture (H, W, 3) uint8, pixels, the most certain first.

    Raises:
        UserError: the network's output is not YOLOX's.
    """
    scale = min(SIDE / picture.shape[0], SIDE / picture.shape[1])
    high, wide = max(1, int(picture.shape[0] * scale)), max(1, int(picture.shape[1] * scale))
    padded = np.full((SIDE, SIDE, 3), PAD, np.uint8)
    padded[:high, :wide] = cv2.resize(np.ascontiguousarray(picture), (wide, high), interpolation=cv2.INTER_LINEAR)
    batch = rearrange(padded, "h w c -> 1 c h w")  # (1, 3, SIDE, SIDE)
    out = detector(np.ascontiguousarray(batch, np.float32))[0][0]  # (A, 85)
    corner, stride = _grid()
    if out.ndim != 2 or len(out) != len(corner) or out.shape[1] < 6:
        raise UserError(f"{FILES[0]} returns {out.shape}, not YOLOX's ({len(corner)}, 85): it is another network")
    centre, sides = (out[:, :2] + corner) * stride, np.exp(out[:, 2:4]) * stride
    scores = out[:, 4] * out[:, 5]  # of class 0, a person
    sure = scores > MIN_DETECTION
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2], 1)[sure] / scale
    return boxes[suppress(boxes, scores[sure])]


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Cell (A, 2) and stride (A, 1) of each of YOLOX's anchors."""
    cells, strides = [], []
    for stride in (8, 16, 32):
        count = SIDE // stride
        ys, xs = np.divmod(np.arange(count * count), count)
        cells.append(np.stack([xs, ys], -1))
        strides.append(np.full((count * count, 1), stride))
    return np.concatenate(cells), np.concatenate(strides)


def suppress(boxes: np.ndarray, scores: np.ndarray) -> list[int]:
    """Non-maximum suppression at 0.45 over boxes whose corner pixels count as inside; indices, the surest first."""
    order, kept = list(scores.argsort()[::-1]), []
    while order:
        best = order.pop(0)
        kept.append(int(best))
        rest = boxes[order]
        low, high = np.maximum(boxes[best, :2], rest[:, :2]), np.minimum(boxes[best, 2:], rest[:, 2:])
        shared = (high - low + 1).clip(0).prod(-1)
        area = (boxes[best, 2:] - boxes[best, :2] + 1).prod() + (rest[:, 2:] - rest[:, :2] + 1).prod(-1)
        order = [i for i, over in zip(order, shared / (area - shared), strict=True) if over <= OVERLAP]
    return kept


def joints(picture: np.ndarray, box: np.ndarray, poser: Network) -> tuple[np.ndarray, np.ndarray]:
    """Points (1, 133, 2) in pixels and scores (1, 133) of the person in a box of a BGR picture.

    Raises:
        UserError: the network's output is not a whole-body simcc head.
    """
    centre, extent = crop_of(box, WIDTH, HEIGHT)
    scale = WIDTH / max(extent[0], 1e-6)
    shift = np.array([WIDTH, HEIGHT]) / 2 - scale * centre
    warp = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    crop = cv2.warpAffine(np.ascontiguousarray(picture), warp, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    x = (crop.astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    out = poser(np.ascontiguousarray(rearrange(x, "h w c -> 1 c h w")))  # of (1, 3, HEIGHT, WIDTH)
    wanted = ((1, WHOLEBODY, 2 * WIDTH), (1, WHOLEBODY, 2 * HEIGHT))
    if tuple(o.shape for o in out[:2]) != wanted:
        raise UserError(f"{FILES[1]} returns {[o.shape for o in out[:2]]}, not {list(wanted)}: it is another network")
    return decode_simcc(out[0], out[1], centre, extent)


class DWPose(Estimator):
    """Poses by `read`."""

    def check(self, settings: PoseSettings) -> None:
        """onnxruntime and both files are here. Raises: MissingWeights."""
        check(settings)

    def weights(self, settings: PoseSettings) -> dict[str, Path]:
        """Both ONNX files by name. Raises: MissingWeights."""
        return dict(zip(FILES, locate(settings.weights), strict=True))

    def read(self, view: View, settings: PoseSettings) -> PoseClip:
        """One person's poses."""
        return read(view.frames, settings, device=str(view.device))
