"""What a reader of a table needs to know about one figure: its title, range, which way is better, and what made it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """One column of a table.

    Attributes:
        unit: "" for none; span: the range in words.
        better: "higher", "lower", "one" when 1 is best, or "none" when no value is best by itself.
        needs: "nothing", "driving", "truth", "reference", "prompt", "source_prompt", or what only a renderer knows
            ("mask", "keypoints", "driving_keypoints"), beside the video.
        meaning: one or two sentences.
        by: the extractor that the figure is made by: "pixels", "sprite pose judge", "CLIP ViT-B/32", ...
    """

    name: str
    title: str
    unit: str
    span: str
    better: str
    needs: str
    meaning: str
    by: str

    @property
    def legend(self) -> str:
        """The meaning with the extractor and the range, as it stands below a table."""
        return f"{self.meaning} Made by: {self.by}. Range: {self.span}{' ' + self.unit if self.unit else ''}."
