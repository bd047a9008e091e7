"""Same inputs through several methods: a table of cells that resumes, figures for each, and a page to look at."""

from motionkit.data.job_list import read_jobs as read_jobs
from motionkit.data.job_rows import Job as Job
from motionkit.table.compare.batch import Batch as Batch
from motionkit.table.compare.batch import compare_jobs as compare_jobs
from motionkit.table.compare.cell import Cell as Cell
from motionkit.table.compare.cell import Shared as Shared
from motionkit.table.compare.engine import Comparison as Comparison
from motionkit.table.compare.engine import compare as compare
