"""The benchmark: methods on one task with a known truth, as a table of cells that resumes."""

from motionkit.table.bench.entry import Entry as Entry
from motionkit.table.bench.entry import Options as Options
from motionkit.table.bench.entry import entries_of as entries_of
from motionkit.table.bench.planned import Cell as Cell
from motionkit.table.bench.protocol import Protocol as Protocol
from motionkit.table.bench.protocol import read as read
from motionkit.table.bench.tasks import Case as Case
from motionkit.table.bench.tasks import make_case as make_case
