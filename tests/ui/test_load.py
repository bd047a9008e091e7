"""Many requests at a time: the page itself answers while fifty wait in the line."""

import threading
import time

import numpy as np
import pytest

from motionkit.ui import transfers
from motionkit.ui.files import EXAMPLE

pytest.importorskip("gradio", reason="the web page needs gradio: pip install 'motionkit[ui]'")
QUEUED = 50
pytestmark = pytest.mark.slow


def test_with_fifty_queued_requests_the_page_answers(page, me, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(transfers, "run_one", lambda *given: go.wait(600))
    clips = [{"path": str(EXAMPLE / name)} for name in ("source.png", "driving.mp4")]
    jobs = [me.client.submit({"method": "warp"}, *clips, api_name="/transfer") for _ in range(QUEUED)]
    try:
        states = wait_for(jobs, lambda found: max(found, default=0) >= QUEUED - 1)
        assert states == QUEUED, states
        asked = [timed(me, where) for _ in range(40) for where in ("/", "/motionkit/app.js", "/motionkit/app.css")]
    finally:
        go.set()
    p95 = float(np.quantile(asked, 0.95))
    print(f"p50 {np.median(asked):.3f} s, p95 {p95:.3f} s, longest {max(asked):.3f} s of {len(asked)}")
    assert p95 < 0.5
    assert {job.result(timeout=300)["state"] for job in jobs} == {"done"}


def wait_for(jobs, enough, patience=300):
    """How many requests have told their place in the line."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        told = [job.outputs()[-1] for job in jobs if job.outputs()]
        if len(told) == len(jobs) and enough([state["ahead"] for state in told]):
            return len(told)
        time.sleep(0.5)
    return len(told)


def timed(browser, where):
    began = time.perf_counter()
    assert browser.web.get(where).status_code == 200
    return time.perf_counter() - began
