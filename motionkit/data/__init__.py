"""Readers of public data sets that the field compares on: documented folder layouts in, requests (and truths) out.

Nothing is downloaded: the user brings the folder. `motionkit.data.SETS` says which layouts are known.
"""

from motionkit._moved import renamed
from motionkit.data.items import Item as Item
from motionkit.data.items import ReadOptions as ReadOptions
from motionkit.data.items import Sample as Sample
from motionkit.data.jobs import write_jobs as write_jobs
from motionkit.data.sets import SETS as SETS
from motionkit.data.sets import DataSet as DataSet
from motionkit.data.sets import open_set as open_set

__getattr__ = renamed(__name__)
