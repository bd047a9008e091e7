"""Progress: order kept, cancellation heard, and what the displays write."""

import io
import json

import pytest

from motionkit.context import NullProgress, Reporter
from motionkit.errors import Cancelled
from motionkit.running.progress import JsonlProgress, TerminalProgress


class Record(NullProgress):
    def __init__(self):
        self.events, self.stop = [], False

    def start(self, stage, total):
        self.events.append(("start", stage, total))

    def step(self, stage, done, preview=None):
        self.events.append(("step", stage, done))

    def end(self, stage):
        self.events.append(("end", stage))

    def cancelled(self):
        return self.stop


def test_ticks_open_report_and_close_a_stage():
    record = Record()
    reporter = Reporter(record)
    for done in (1, 2, 3):
        reporter.tick("loop", done, 3)
    assert record.events == [
        ("start", "loop", 3),
        ("step", "loop", 1),
        ("step", "loop", 2),
        ("step", "loop", 3),
        ("end", "loop"),
    ]


def test_a_number_that_falls_is_left_out_and_open_stages_are_closed():
    record = Record()
    reporter = Reporter(record)
    reporter.tick("loop", 2, 9)
    reporter.tick("loop", 1, 9)
    reporter.close()
    assert [event[0] for event in record.events] == ["start", "step", "end"]
    reporter.tick("loop", 0, 9)  # a second loop of the same name starts anew
    assert record.events[-2:] == [("start", "loop", 9), ("step", "loop", 0)]


def test_a_tick_cancels():
    record = Record()
    record.stop = True
    with pytest.raises(Cancelled):
        Reporter(record).tick("loop", 1, 2)
    assert record.events == []


def test_jsonl_is_one_object_per_line():
    stream = io.StringIO()
    reporter = Reporter(JsonlProgress(stream))
    reporter.tick("loop", 1, 1)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(e["event"], e["stage"]) for e in events] == [("start", "loop"), ("step", "loop"), ("end", "loop")]
    assert events[0]["total"] == 1 and events[1]["done"] == 1


def test_the_terminal_shows_what_is_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    now = iter(range(100))
    monkeypatch.setattr("motionkit.running.progress.time.monotonic", lambda: float(next(now)))
    live, quiet = Terminal(), io.StringIO()
    for stream in (live, quiet):
        display = TerminalProgress(stream)
        display.start("loop", 40)
        display.step("loop", 1)
        display.end("loop")
    assert "loop 1/40  0:39 left" in live.getvalue()
    assert quiet.getvalue() == "  loop  2.0 s\n"
