"""Lines out of any picture: outlines by OpenCV, or the line drawing network of controlnet-aux (extra `annotators`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from motionkit.errors import MissingWeights, UserError
from motionkit.perception.built_in import LINEART_WEIGHTS as WANTED
from motionkit.perception.estimators import Estimator, Lines, View
from motionkit.perception.ink import find_ink
from motionkit.perception.page import LONGEST, shrink
from motionkit.weights.finding import find

FILES = WANTED.files

if TYPE_CHECKING:
    from motionkit.perception.sketch import SketchSettings

_SHORTEST = 0.03  # outlines shorter than this share of the longer side are texture
_CARTOON = 0.75  # from this share of edges beside drawn lines on, a picture has drawn outlines
_DRAWN = 0.04  # dark lines up to this wide, of the longer side, are outlines that someone drew


class Detector(Protocol):
    """The part of controlnet-aux's annotators that is used here."""

    def __call__(self, input_image: np.ndarray, **settings: object) -> object:
        """The picture's lines, dark on white, as a PIL image."""


def edges(frame: np.ndarray, finest: int = 256) -> np.ndarray:
    """Outlines of the regions of a picture, cleaned of texture.

    Args:
        frame: (H, W, 3) uint8 RGB.
        finest: longer side at which they will be drawn.

    Returns:
        (H', W') bool of the frame's aspect, True on outlines; their width means nothing.
    """
    longest = max(256, min(768, 2 * finest))
    frame = _at(frame, longest)
    smooth = cv2.bilateralFilter(cv2.medianBlur(frame, 5), 9, 40, 5)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB)
    dx, dy, strength = _gradient(lab)
    low, high = _levels(strength)
    found = cv2.Canny(dx, dy, low, high, L2gradient=True) > 0
    return _long(_single(found, _drawn_lines(smooth, longest), longest), _SHORTEST * longest)


def _single(found: np.ndarray, drawn: np.ndarray, longest: int) -> np.ndarray:
    """Edges with a cartoon's drawn outlines as one line each, where most edges are the two sides of such lines."""
    reach = 2 * round(0.008 * longest) + 1
    beside = found & cv2.dilate(drawn.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    if beside.sum() < _CARTOON * found.sum():  # a few narrow dark places should not break up their outlines
        return found
    return drawn | (found & ~beside)


def _drawn_lines(smooth: np.ndarray, longest: int) -> np.ndarray:
    """(H, W) bool: narrow lines clearly darker than both of their sides, as in cartoons."""
    grey = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    wide = round(1.6 * _DRAWN * longest) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    deeper = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    dark = (deeper > 48).astype(np.uint8)
    inside = cv2.distanceTransform(dark, cv2.DIST_L2, 5)
    core = (inside > 0.5 * _DRAWN * longest).astype(np.uint8)  # limbs and spots, not lines
    grown = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide)))
    return _long((dark > 0) & (grown == 0), 2 * _SHORTEST * longest)


def _at(frame: np.ndarray, longest: int) -> np.ndarray:
    scale = longest / max(frame.shape[:2])
    height, width = (max(8, round(side * scale)) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _gradient(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dx, dy, strength) int16, int16, float32 (H, W): at each pixel that of the channel that changes most."""
    soft = cv2.GaussianBlur(lab, (0, 0), 1.2)
    dx = np.stack([cv2.Sobel(soft[..., c], cv2.CV_16S, 1, 0) for c in range(3)], -1)  # (H, W, 3)
    dy = np.stack([cv2.Sobel(soft[..., c], cv2.CV_16S, 0, 1) for c in range(3)], -1)
    power = dx.astype(np.float32) ** 2 + dy.astype(np.float32) ** 2
    best = power.argmax(-1)[..., None]
    picked = [np.ascontiguousarray(np.take_along_axis(d, best, -1)[..., 0]) for d in (dx, dy)]
    return picked[0], picked[1], np.sqrt(np.take_along_axis(power, best, -1)[..., 0])


def _levels(strength: np.ndarray) -> tuple[float, float]:
    """Canny's two levels from the picture's own strongest edges; below a fixed floor nothing is an edge."""
    top = float(np.percentile(strength, 98))
    high = max(24.0, 0.35 * top)
    return 0.4 * high, high


def _long(found: np.ndarray, shortest: float) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    span = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    keep = (span >= shortest) | (stats[:, cv2.CC_STAT_AREA] >= 2 * shortest)
    keep[0] = False
    return keep[labels]


def detect(frame: np.ndarray, weights: str, coarse: bool = False, finest: int = 256) -> np.ndarray:
    """Lines by controlnet-aux's LineartDetector, as a mask.

    Args:
        frame: (H, W, 3) uint8 RGB.
        weights: a folder with sk_model.pth and sk_model2.pth, or a hub id that is in the local cache.
        coarse: draw fewer lines.
        finest: longer side at which they will be drawn.

    Returns:
        (H', W') bool of the frame's aspect.

    Raises:
        MissingWeights: controlnet-aux cannot be imported, or the weights are not on this machine.
        UserError: the weights are not those of the line drawing network.
    """
    detector = load_detector(weights)
    frame = shrink(frame)
    side = max(64, min(frame.shape[:2]) // 64 * 64)
    resolution = min(512, side)
    drawn = np.asarray(detector(frame, coarse=coarse, detect_resolution=resolution, image_resolution=resolution))
    if drawn.ndim == 2:
        drawn = np.repeat(drawn[..., None], 3, axis=-1)
    # The detector rounds sides to multiples of 64; the aspect is put right here.
    height, width = (max(1, round(s * min(1.0, LONGEST / max(frame.shape[:2])))) for s in frame.shape[:2])
    drawn = cv2.resize(np.ascontiguousarray(drawn[..., :3]), (width, height), interpolation=cv2.INTER_LINEAR)
    return find_ink(drawn, finest).mask


def load_detector(weights: str) -> Detector:
    """The line drawing network with weights from a folder or the hub cache.

    Nothing is downloaded unless MOTIONKIT_ONLINE=1.

    Raises:
        MissingWeights: controlnet-aux cannot be imported, or a file is not there.
        UserError: a file holds something else than this network's weights.
    """
    folder = find(WANTED, weights)
    try:
        from controlnet_aux import LineartDetector
    except Exception as error:  # it imports a dozen annotators, any of which may fail with any error
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise MissingWeights(
            f"source=lineart needs controlnet-aux, which cannot be imported ({reason}): "
            "pip install 'motionkit[annotators]', or use source=edges"
        ) from error
    import torch

    try:
        for name in FILES:  # read here first: the library itself leaves it to torch's default not to unpickle code
            torch.load(folder / name, map_location="cpu", weights_only=True)
        return LineartDetector.from_pretrained(str(folder))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        raise UserError(f"{folder}: no weights of the line drawing network ({reason}); get them again") from error


def weight_files(weights: str) -> list[Path]:
    """The network's two files, in a folder or the hub cache. Raises: MissingWeights when one is not there."""
    return [find(WANTED, weights) / name for name in FILES]


class Edges(Estimator):
    """Outlines by `edges`."""

    def read(self, view: View, settings: SketchSettings) -> Lines:
        """Lines that have no width of their own."""
        return Lines(edges(view.frames[0], view.side), False)


class Lineart(Estimator):
    """Lines by `detect`."""

    def weights(self, settings: SketchSettings) -> dict[str, Path]:
        """The network's two files by name. Raises: MissingWeights."""
        return {file.name: file for file in weight_files(settings.weights)}

    def read(self, view: View, settings: SketchSettings) -> Lines:
        """Lines as the network draws them."""
        return Lines(detect(view.frames[0], settings.weights, settings.coarse, view.side), True)
