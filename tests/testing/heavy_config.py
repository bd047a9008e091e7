"""Settings in a module that imports torch, which it must not."""

import torch  # noqa: F401
from broken_config import Config  # noqa: F401
