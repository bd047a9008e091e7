"""The page is whole in one file, says everything, and lets no text of the user's become markup."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from motionkit.media import read_clip
from motionkit.metrics import facts
from motionkit.report import MethodResult, Panel, Report, write_report

EVIL = '</pre><script>alert(1)</script><img src=x onerror="alert(2)">'


def clip(value, frames=5):
    return np.full((frames, 48, 64, 3), value, np.uint8)


def manifest(name, **more):
    return {
        "method": {
            "title": name.title(),
            "paper_url": "https://example.org/p",
            "licence": "MIT",
            "citation": f"@misc{{{name}}}",
        },
        "backbone": {"name": "tiny-sd"},
        "seconds": 165.2,
        "stages": {"prepare": {"seconds": 1.0, "cached": True}, "generate": {"seconds": 3.0}},
        "size": {"height": 48, "width": 64},
        "frames": 5,
        "inputs": {"reference": {}, "driving": {}, "prompt": {}},
        "inputs_used": ["reference", "driving"],
        "config": {"steps": 7},
        "peak_memory": {"rss_mb": 512.3},
        "versions": {"torch": "2.10"},
    } | more


def report(**changes):
    entries = [
        MethodResult("still", manifest("still"), clip(10), {"psnr": 20.0, "l1": 0.5, "warping_error": 0.0}),
        MethodResult(
            "warp", manifest("warp"), clip(20), {"psnr": 25.5, "l1": None, "warping_error": 0.1}, {"flow": b"\x89PNG"}
        ),
        MethodResult("broken", {}, reason="broken needs masks: give it as masks=..."),
    ]
    values = {
        "title": "A comparison",
        "request": {"prompt": "a green turtle", "seed": "3"},
        "before": [Panel("driving", clip(30)), Panel("reference", clip(40, 1))],
        "entries": entries,
        "fps": 8.0,
        "after": [Panel("truth", clip(50))],
        "notes": ["a remark"],
        "facts": list(facts().values()),
    }
    return Report(**values | changes)


def page(tmp_path, **changes):
    path = tmp_path / "report.html"
    write_report(path, report(**changes))
    return path.read_text("utf-8")


class Tags(HTMLParser):
    """Every start tag with its attributes, and whether all tags that must be closed are."""

    VOID = {"meta", "input", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_is_well_formed_and_fetches_nothing(tmp_path):
    tags = Tags(page(tmp_path))
    assert tags.open == []
    sources = [attrs["src"] for _, attrs in tags.found if "src" in attrs]
    assert len(sources) >= 5 and all(source.startswith("data:") for source in sources)
    assert not any(tag in ("link", "iframe", "object") for tag, _ in tags.found)
    assert {attrs["href"] for _, attrs in tags.found if "href" in attrs} == {"https://example.org/p"}  # only followed
    policy = next(attrs["content"] for tag, attrs in tags.found if tag == "meta" and "http-equiv" in attrs)
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_players_hold_the_videos_in_order_and_of_one_length(tmp_path):
    text = page(tmp_path)
    captions = re.findall(r"<figcaption>([^<]*)", text)
    assert captions == ["driving", "reference", "still", "warp", "truth"]
    videos = re.findall(r'<video src="data:video/mp4;base64,([^"]*)"', text)
    assert len(videos) == 4 and text.count("<figure><img") == 1  # the reference is one picture
    for index, (video, level) in enumerate(zip(videos, (30, 10, 20, 50), strict=True)):
        (tmp_path / f"{index}.mp4").write_bytes(base64.b64decode(video))
        read = read_clip(tmp_path / f"{index}.mp4")
        assert len(read) == 5 and read.fps == 8 and abs(int(read.frames[0, 20, 20, 0]) - level) <= 3
    assert 'data-frames="5" data-fps="8.0"' in text


def test_it_says_everything(tmp_path):
    text = page(tmp_path)
    for word in (
        "a green turtle",
        "a remark",
        "25.50",
        "PSNR ↑",
        "L1 ↓",
        "2 min 45 s",
        "512 MB",
        "tiny-sd",
        "@misc{warp}",
    ):
        assert word in text, word
    assert text.count("broken needs masks: give it as masks=...") == 2  # at the top and in the table
    assert "prepare 1.0 s (cached)" in text and "&quot;steps&quot;: 7" in text
    assert re.search(r'class="chip off" title="not used">prompt', text)
    assert "What the model saw" in text and base64.b64encode(b"\x89PNG").decode() in text
    assert re.search(r'<td class="best">25.50', text) and not re.search(r'class="best">0.000', text)


def test_one_method_alone_is_never_marked_best(tmp_path):
    text = page(tmp_path, entries=report().entries[:1])
    assert 'class="best"' not in text


def test_no_text_becomes_markup(tmp_path):
    entry = MethodResult(
        EVIL,
        manifest(
            "x",
            method={"title": EVIL, "paper_url": "javascript:alert(3)", "licence": EVIL, "citation": EVIL},
            config={EVIL: EVIL},
            notes={"n": EVIL},
            inputs={EVIL: 1},
            stages={EVIL: {}},
            versions={EVIL: EVIL},
        ),
        clip(1),
        {"psnr": 1.0},
        {EVIL: b"x"},
    )
    failed = MethodResult(EVIL, {}, reason=EVIL)
    text = page(
        tmp_path, title=EVIL, request={EVIL: EVIL}, notes=[EVIL], entries=[entry, failed], before=[Panel(EVIL, clip(3))]
    )
    tags = Tags(text)
    assert [tag for tag, _ in tags.found].count("script") == 1
    assert not any(name.startswith("on") for _, attrs in tags.found for name in attrs)
    assert "javascript:" not in "".join(str(attrs.get("href")) for _, attrs in tags.found)


def test_nothing_that_worked_still_gives_a_page(tmp_path):
    text = page(tmp_path, entries=[MethodResult("broken", {}, reason="why not")], after=())
    assert "why not" in text and Tags(text).open == []


def test_lengths_that_do_not_go_together_are_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(ValueError):
        page(tmp_path, after=[Panel("truth", clip(1, 9))])
    assert list(tmp_path.iterdir()) == []
