"""Readers of public data sets that the field compares on: documented folder layouts in, requests (and truths) out.

Nothing is downloaded: the user brings the folder. `motionkit.data.SETS` says which layouts are known.
"""

from motionkit.data.items import Item as Item
from motionkit.data.items import Options as Options
from motionkit.data.items import Sample as Sample
from motionkit.data.jobs import write_jobs as write_jobs
from motionkit.data.sets import SETS as SETS
from motionkit.data.sets import DataSet as DataSet
from motionkit.data.sets import open_set as open_set
