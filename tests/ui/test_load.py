"""The page itself answers while fifty requests wait in the line."""

import threading
import time

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the web page needs gradio: pip install 'motionkit[ui]'")
pytestmark = pytest.mark.slow
WAITING = 50


def test_the_page_answers_while_fifty_wait(me, clips, page, monkeypatch):
    import httpx

    from motionkit.ui import transfers

    go, begun = threading.Event(), threading.Event()

    def slow(job, *_):
        begun.set()
        while not go.wait(0.01) and not job.watch.cancelled():
            sum(range(2000))  # a run holds the interpreter now and then

    monkeypatch.setattr(transfers, "run_one", slow)
    clip = me.upload(clips / "me.png")
    jobs = [me.client.submit({"method": "still"}, clip, None, api_name="/transfer") for _ in range(WAITING)]
    assert begun.wait(60)
    for _ in range(600):
        waits = [job.outputs() for job in jobs]
        if sum(bool(seen) for seen in waits) == WAITING:
            break
        time.sleep(0.1)
    assert {seen[-1]["state"] for seen in waits} == {"running", "waiting"}
    took = []
    for _ in range(40):
        began = time.perf_counter()
        assert httpx.get(page[0]).status_code == 200
        took.append(time.perf_counter() - began)
    go.set()
    assert {job.result(timeout=120)["state"] for job in jobs} == {"done"}
    p95 = float(np.quantile(took, 0.95))
    print(f"p95 {p95:.3f} s, median {np.median(took):.3f} s")
    assert p95 < 0.5
