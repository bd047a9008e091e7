"""From a picture's own colours to sRGB: colour profiles, transparency, 16 bits."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from motionkit.errors import UserError

_LARGEST_PROFILE = 2**22  # bytes
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def has_alpha(image: Image.Image) -> bool:
    """Whether a picture can be transparent somewhere."""
    return image.mode in _ALPHA or "transparency" in image.info


def to_rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 of any Pillow mode: transparency over white, 16 bits scaled down, CMYK converted."""
    if image.mode.startswith("I"):  # 16-bit grey PNG
        return _deep(np.asarray(image), image.info.get("transparency"))
    if has_alpha(image):
        return over_white(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _deep(grey: np.ndarray, key: object) -> np.ndarray:
    """16 bits to 8; the grey value that the file names as transparent becomes white."""
    eight = np.rint(grey.astype(np.float64) / 257).clip(0, 255).astype(np.uint8)
    if isinstance(key, int):
        eight[grey == key] = 255
    return np.repeat(eight[..., None], 3, axis=-1)  # (H, W, 3)


def over_white(rgba: np.ndarray) -> np.ndarray:
    """(..., 4) uint8 with straight alpha, laid over white: (..., 3) uint8."""
    alpha = rgba[..., 3:].astype(np.uint16)
    colour = rgba[..., :3].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def over_black(rgba: np.ndarray) -> np.ndarray:
    """The same laid over black."""
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + 127) // 255).astype(np.uint8)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture with its colours brought from its ICC profile to sRGB; itself when it has none, or sRGB's own.

    Raises:
        UserError: the profile cannot be used.
    """
    if not profile or image.mode.startswith("I") or image.mode in ("1", "F"):
        return image
    try:
        if len(profile) > _LARGEST_PROFILE:
            raise ValueError("too large")
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(source).strip().lower().startswith("srgb"):
            return image
        return _converted(image, source)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError("its colour profile cannot be used") from error


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    target = ImageCms.createProfile("sRGB")
    if not has_alpha(image):
        plain = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
        return ImageCms.profileToProfile(plain, source, target, outputMode="RGB") or plain
    whole = image.convert("RGBA")
    grey = source.profile.xcolor_space.strip() == "GRAY"
    colours = ImageCms.profileToProfile(whole.convert("L" if grey else "RGB"), source, target, outputMode="RGB")
    if colours is None:
        return image
    colours.putalpha(whole.getchannel("A"))
    return colours
