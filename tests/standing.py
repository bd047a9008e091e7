"""A person who stands, as tests of poses draw one."""

import numpy as np

JOINTS = [  # pixels of a 100 x 100 picture, OpenPose's order
    (50, 15),
    (50, 25),
    (42, 25),
    (38, 40),
    (36, 55),
    (58, 25),
    (62, 40),
    (64, 55),
    (45, 55),
    (44, 72),
    (43, 90),
    (55, 55),
    (56, 72),
    (57, 90),
    (48, 13),
    (52, 13),
    (45, 14),
    (55, 14),
]
STANDING = np.array(JOINTS, float)  # (18, 2)
