"""Body joints in frames: estimators behind one call, one record of a clip's poses, drawing, alignment to a character.

Numpy and OpenCV only at import; what an estimator needs is loaded when it is used.
"""

from motionkit.perception.pose.align import MODES as ALIGN_MODES
from motionkit.perception.pose.align import align as align
from motionkit.perception.pose.clip import PoseClip as PoseClip
from motionkit.perception.pose.draw import draw as draw
from motionkit.perception.pose.estimate import PoseSettings as PoseSettings
from motionkit.perception.pose.estimate import read_poses as read_poses

__all__ = ["ALIGN_MODES", "PoseClip", "PoseSettings", "align", "draw", "read_poses"]
