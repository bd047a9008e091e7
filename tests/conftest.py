"""One thread for every test, and a garbage collector that leaves alone what stays for the whole session.

The nets are tiny, and threads that wait for each other cost more than they save. Libraries and collected tests are
millions of objects: without freezing them each full collection, of which every run makes one, walks them all again.
"""

import gc
import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish(session):
    """Freeze what importing and collecting the tests has made."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """After a file's last test, when its fixtures are gone, freeze what it has imported."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()
