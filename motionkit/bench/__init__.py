"""The benchmark: methods on one task with a known truth, as a table of cells that resumes."""

from motionkit.bench.entry import Cell as Cell
from motionkit.bench.entry import Entry as Entry
from motionkit.bench.entry import Options as Options
from motionkit.bench.entry import entries_of as entries_of
from motionkit.bench.protocol import Protocol as Protocol
from motionkit.bench.protocol import read as read
from motionkit.bench.tasks import Case as Case
from motionkit.bench.tasks import make_case as make_case
