"""Measures of a result: pure functions of arrays, each with its range, and one summary for many clips.

None of them downloads anything. Keypoint estimation on sprites (`motionkit.metrics.pose`) has weights of its own.
"""

from motionkit.metrics.colour import histogram_distance as histogram_distance
from motionkit.metrics.drawing import ink_overlap as ink_overlap
from motionkit.metrics.fidelity import PSNR_CAP as PSNR_CAP
from motionkit.metrics.fidelity import l1 as l1
from motionkit.metrics.fidelity import masked_psnr as masked_psnr
from motionkit.metrics.fidelity import psnr as psnr
from motionkit.metrics.fidelity import ssim as ssim
from motionkit.metrics.fidelity import subject_mask as subject_mask
from motionkit.metrics.keypoints import keypoint_error as keypoint_error
from motionkit.metrics.keypoints import pck as pck
from motionkit.metrics.measure import Measure as Measure
from motionkit.metrics.measure import Request as Request
from motionkit.metrics.measures import columns as columns
from motionkit.metrics.measures import facts as facts
from motionkit.metrics.measures import measure as measure
from motionkit.metrics.summary import Accumulator as Accumulator
from motionkit.metrics.summary import Interval as Interval
from motionkit.metrics.summary import bootstrap_interval as bootstrap_interval
from motionkit.metrics.summary import t_interval as t_interval
from motionkit.metrics.temporal import motion_amount as motion_amount
from motionkit.metrics.temporal import motion_error as motion_error
from motionkit.metrics.temporal import motion_ratio as motion_ratio
from motionkit.metrics.temporal import warping_error as warping_error
from motionkit.settings.fact import Fact as Fact
