"""Same inputs through several methods: a table of cells that resumes, figures for each, and a page to look at."""

from motionkit.compare.cell import Cell as Cell
from motionkit.compare.cell import Shared as Shared
from motionkit.compare.engine import Comparison as Comparison
from motionkit.compare.engine import compare as compare
