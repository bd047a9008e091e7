"""The cases and their process are imported as tests.identity, by pytest as by `python -m tests.identity.record`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
