"""Pictures that are no drawings become outlines: by OpenCV, and by a network of controlnet-aux's interface."""

import sys
import types

import cv2
import numpy as np
import perception_makers as make
import pytest
import torch

from motionkit.errors import MissingWeights, UserError
from motionkit.perception import lineart
from motionkit.perception.sketch import SketchSettings, read_drawing


def borders(parts):
    """Where neighbouring pixels show different parts of a sprite (H, W) bool."""
    out = np.zeros(parts.shape, bool)
    out[:, 1:] |= parts[:, 1:] != parts[:, :-1]
    out[1:] |= parts[1:] != parts[:-1]
    return out


def near(mask, reach):
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)).astype(bool)


def test_edges_follow_the_true_outlines_of_sprites():
    true_share, found_share = [], []
    for seed in range(8):
        clip = make.sprite(seed, 256)
        drawing = read_drawing(clip.frames[0])
        assert drawing.kind == "photo" and drawing.notes["source"] == "edges"
        assert "outlines are used" in drawing.notes["said"]
        ink = drawing.image[..., 0] < 128
        outline = borders(clip.mask[0])
        found_share.append((outline & near(ink, 2)).sum() / outline.sum())
        # Eyes and patches of colour are drawn too, so what was drawn must lie on the character, at least.
        true_share.append((ink & near(clip.mask[0], 3)).sum() / ink.sum())
    assert np.mean(found_share) > 0.95 and min(found_share) > 0.85
    assert np.mean(true_share) > 0.98


@pytest.mark.parametrize("side", [128, 256])
def test_edges_are_one_clean_line_wide(side):
    page = np.full((200, 300, 3), (220, 215, 200), np.uint8)
    cv2.circle(page, (150, 100), 60, (180, 60, 40), -1, cv2.LINE_AA)
    image = read_drawing(page, size=(side * 2 // 3, side)).image
    ink = image[..., 0] < 128
    count, _ = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    assert count == 2  # the ground and one ring
    length = 2 * np.pi * 60 * side / 300
    assert 1.2 < (255.0 - image[..., 0]).sum() / 255 / length < 2.8
    inside, _ = cv2.connectedComponents((~ink).astype(np.uint8), connectivity=4)
    assert inside == 3  # the ring is closed


def test_a_drawn_outline_is_one_line_and_not_two():
    page = np.full((256, 256, 3), 255, np.uint8)
    cv2.circle(page, (128, 128), 70, (250, 200, 90), -1, cv2.LINE_AA)
    cv2.circle(page, (128, 128), 70, (20, 20, 20), 4, cv2.LINE_AA)
    drawing = read_drawing(page)
    assert drawing.kind == "photo"
    grounds, _ = cv2.connectedComponents((drawing.image[..., 0] >= 128).astype(np.uint8), connectivity=4)
    assert grounds == 3  # ink, inside, outside: nothing between two edges
    y, x = np.nonzero(drawing.image[..., 0] < 128)
    assert np.abs(np.hypot(x - 128, y - 128) - 70).max() < 3.5


def test_texture_is_left_out(rng):
    page = make.jpeg((200 + rng.normal(0, 6, (256, 256, 3))).clip(0, 255).astype(np.uint8), 70)
    page[80:180, 60:200] = (40, 60, 150)
    mask = lineart.edges(page)
    scale = mask.shape[0] / 256
    box = np.zeros(mask.shape, bool)
    box[round(80 * scale) : round(180 * scale), round(60 * scale) : round(200 * scale)] = True
    assert (mask & near(borders(box), 4)).sum() / mask.sum() > 0.99


class Double:
    """Draws as LineartDetector does: dark lines on white, a PIL image, sides in multiples of 64, its own settings."""

    asked = None

    @classmethod
    def from_pretrained(cls, folder):
        made = cls()
        made.folder = folder
        return made

    def __call__(self, input_image, coarse=False, detect_resolution=512, image_resolution=512, output_type="pil"):
        from PIL import Image

        Double.asked = (self.folder, coarse, detect_resolution)
        height, width = input_image.shape[:2]
        scale = detect_resolution / min(height, width)
        size = [int(np.round(side * scale / 64)) * 64 for side in (width, height)]
        small = cv2.resize(input_image, size, interpolation=cv2.INTER_AREA)
        drawn = np.full((size[1], size[0]), 255, np.uint8)
        drawn[borders(small[..., 0] // 64)] = 60
        return Image.fromarray(drawn)


def install(monkeypatch, detector):
    module = types.ModuleType("controlnet_aux")
    module.LineartDetector = detector
    monkeypatch.setitem(sys.modules, "controlnet_aux", module)


@pytest.fixture
def weights(tmp_path):
    for name in lineart.FILES:
        torch.save({"model0.1.weight": torch.zeros(1)}, tmp_path / name)
    return tmp_path


def test_lineart_through_the_network(monkeypatch, weights):
    install(monkeypatch, Double)
    page = np.full((200, 330, 3), 240, np.uint8)
    page[50:150, 100:230] = 20
    settings = SketchSettings(source="lineart", weights=str(weights), coarse=True)
    drawing = read_drawing(page, settings)
    assert Double.asked == (str(weights), True, 192)
    assert drawing.notes["source"] == "lineart" and drawing.image.shape == (200, 330, 3)
    ink = drawing.image[..., 0] < 128
    box = np.zeros((200, 330), bool)
    box[50:150, 100:230] = True
    assert (ink & near(borders(box), 4)).sum() / ink.sum() > 0.99 and (borders(box) & near(ink, 4)).mean() > 0.006


def refusal(error, settings):
    with pytest.raises(error) as caught:
        read_drawing(make.sprite(0).frames[0], settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_controlnet_aux(monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "controlnet_aux", None)  # an import of it fails
    text = refusal(MissingWeights, SketchSettings(source="lineart", weights=str(weights)))
    assert "motionkit[annotators]" in text and "source=edges" in text


def test_a_library_that_breaks_while_it_is_imported(monkeypatch, tmp_path, weights):
    (tmp_path / "site" / "controlnet_aux").mkdir(parents=True)
    (tmp_path / "site" / "controlnet_aux" / "__init__.py").write_text("raise RuntimeError('operator nms\\nis missing')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "controlnet_aux", raising=False)
    text = refusal(MissingWeights, SketchSettings(source="lineart", weights=str(weights)))
    assert "operator nms" in text and "motionkit[annotators]" in text


def test_without_weights(monkeypatch, tmp_path):
    install(monkeypatch, Double)
    monkeypatch.delenv("MOTIONKIT_ONLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert "hf download lllyasviel/Annotators sk_model.pth" in refusal(MissingWeights, SketchSettings(source="lineart"))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / lineart.FILES[0]).write_bytes(b"x")
    assert "sk_model2.pth" in refusal(MissingWeights, SketchSettings(source="lineart", weights=str(tmp_path / "half")))
    assert "no folder" in refusal(MissingWeights, SketchSettings(source="lineart", weights="./none"))


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_weights_that_are_none_are_refused_and_never_unpickled(monkeypatch, weights):
    install(monkeypatch, Double)
    torch.save(Evil(), weights / lineart.FILES[1])
    assert "no weights of the line drawing network" in refusal(
        UserError, SketchSettings(source="lineart", weights=str(weights))
    )
