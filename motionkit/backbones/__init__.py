"""What methods stand on: image and video diffusion models behind one small interface (import stays torch-free)."""

from motionkit.backbones.catalog import BackboneSpec, get, specs

__all__ = ["BackboneSpec", "get", "specs"]
