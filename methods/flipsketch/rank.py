"""Several videos of one drawing, ranked by their similarity to it; all are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from motionkit.media import write_gif
from motionkit.perception.consistency import rank_by_consistency

if TYPE_CHECKING:
    from motionkit.context import RunContext

    from .config import FlipSketchConfig


def rank(
    videos: list[np.ndarray], drawing: np.ndarray, config: FlipSketchConfig, run: RunContext, segment: int = 0
) -> np.ndarray:
    """The best of several videos (M, H, W, 3) uint8; all are shown, and kept as gifs in the run's scratch folder.

    The authors' app drops videos below a CLIP cosine of 0.9 and may return none; here the best is always returned,
    and those below are marked.
    """
    measurable = len(videos[0]) > 1
    scores, ruler = rank_by_consistency(drawing, videos, config.clip) if measurable else ([0.0] * len(videos), "none")
    order = sorted(range(len(videos)), key=lambda i: -scores[i])
    name = f"-{segment + 1}" if segment else ""
    for place, i in enumerate(order, 1):
        run.show(f"ranked{name}-{place}-seed-{run.seed + i}", videos[i])
        write_gif(run.scratch() / f"ranked{name}-{place}-seed-{run.seed + i}.gif", videos[i], run.fps)
    run.note(
        f"ranking{name}",
        {
            "by": ruler,
            "order": [
                {"seed": run.seed + i, "score": round(float(scores[i]), 4), "kept": scores[i] > config.threshold}
                for i in order
            ],
        },
    )
    return videos[order[0]]
