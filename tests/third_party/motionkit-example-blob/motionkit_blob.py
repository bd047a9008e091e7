"""A pose estimator from another package, in one file: a stick figure in the box around whatever is not background."""

from motionkit.perception.estimators import Estimator, EstimatorSpec

SPEC = EstimatorSpec(
    "pose.blob",
    "a stick figure in the box around what differs from the first pixel",
    "motionkit_blob:Blob",
    "MIT",
    "one thing on a plain background",
)
# x and y in the box, in OpenPose's order: nose, neck, right arm, left arm, right leg, left leg, eyes, ears.
FIGURE = (
    *((0.5, 0.1), (0.5, 0.2)),
    *((0.3, 0.2), (0.2, 0.4), (0.1, 0.6), (0.7, 0.2), (0.8, 0.4), (0.9, 0.6)),
    *((0.4, 0.6), (0.4, 0.8), (0.4, 1.0), (0.6, 0.6), (0.6, 0.8), (0.6, 1.0)),
    *((0.45, 0.05), (0.55, 0.05), (0.4, 0.1), (0.6, 0.1)),
)


class Blob(Estimator):
    def read(self, view, settings):
        import numpy as np

        from motionkit.perception.pose import PoseClip

        high, wide = view.frames.shape[1:3]
        joints = np.full((len(view.frames), 18, 2), np.nan)
        for i, frame in enumerate(view.frames):
            rows, columns = np.nonzero((frame != frame[0, 0]).any(-1))
            if len(rows):
                corner, far = (np.array([f(columns) / wide, f(rows) / high]) for f in (np.min, np.max))
                joints[i] = corner + np.array(FIGURE) * (far - corner)
        return PoseClip.of(joints, (high, wide), notes=(f"blob, gaps={settings.gaps}",))
