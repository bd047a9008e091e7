"""Same inputs through several methods: a table of cells that resumes, figures for each, and a page to look at."""

from motionkit.compare.batch import Batch as Batch
from motionkit.compare.batch import compare_jobs as compare_jobs
from motionkit.compare.cell import Cell as Cell
from motionkit.compare.cell import Shared as Shared
from motionkit.compare.engine import Comparison as Comparison
from motionkit.compare.engine import compare as compare
from motionkit.jobs import Job as Job
from motionkit.jobs import read_jobs as read_jobs
