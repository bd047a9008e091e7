"""The page in a real browser: Chromium without a window, every request to another host refused and noted."""

import io
import json
import os
import re
import time
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the web page needs gradio: pip install 'motionkit[ui]'")
sync = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright")
CHROMIUM = Path("/usr/bin/chromium")
SHOTS = os.environ.get("MOTIONKIT_SCREENSHOTS")  # a folder: the pictures of docs/screenshots are made anew there
PATIENCE = 300_000  # milliseconds: a page, a browser and a run on one core
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")]


@pytest.fixture(scope="module")
def chromium():
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def window(chromium, page):
    """(tab, foreign requests, what the console says) on the page, as a new browser."""
    address, foreign, said = page[0], [], []
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")

    def only_here(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            return route.continue_()
        foreign.append(route.request.url)
        return route.abort()

    context.route("**/*", only_here)
    tab = opened(context, address, said)
    yield tab, foreign, said
    context.close()
    assert foreign == [] and [line for line in said if "error" in line] == []


def opened(context, address, said):
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(f"error: {error}"))
    tab.goto(address)
    tab.wait_for_selector(".mk-hero .mk-run")
    tab.wait_for_selector(".mk-settings")  # the form has asked for its settings
    return tab


def shot(tab, name, whole=True):
    """Pictures for the docs of the page, or of what is in the window, narrow and wide, where those are asked for."""
    if not SHOTS:
        return
    for width, height in ((375, 780), (1440, 900)):  # the last one is what the tests go on with
        tab.set_viewport_size({"width": width, "height": height})
        tab.wait_for_timeout(700)
        if not whole:
            tab.locator(".mk-frame").scroll_into_view_if_needed()
        image = Image.open(io.BytesIO(tab.screenshot(full_page=whole)))
        image.save(Path(SHOTS) / f"{name}-{width}.webp", quality=60, method=6)


def show(tab, name):
    """Open a tab of the page, by the menu of those that have no room."""
    exactly = re.compile(f"^\\s*{name}\\s*$")
    seen = tab.locator("#mk-tabs button[role=tab]:visible", has_text=exactly)
    if not seen.count():
        tab.locator("#mk-tabs .overflow-menu > button").click()
        seen = tab.locator("#mk-tabs .overflow-dropdown button:visible", has_text=exactly)
    seen.first.click()


def choose(tab, name, path):
    tab.set_input_files(f"#mk-{name} input[type=file]", str(path))
    tab.wait_for_selector(f"#mk-{name} .mk-seen")


def run(tab):
    tab.click("#mk-form .mk-run")


SCREENS = ("Compare", "Gallery", "Batch", "Tables", "Study", "Doctor", "Transfer")


def test_each_screen_when_nothing_has_run(window):
    tab = window[0]
    for name in SCREENS:
        show(tab, name)
        tab.wait_for_timeout(800)
        if name == "Doctor":
            tab.wait_for_selector(".mk-doctor .mk-group")
        shot(tab, f"{name.lower()}-{'done' if name == 'Doctor' else 'empty'}")


def test_the_example_moves_with_one_click_and_is_cancelled(window, page):
    tab = window[0]
    began = time.monotonic()
    tab.click(".mk-hero .mk-run")
    tab.wait_for_selector("#mk-stage figure.made video")
    print(f"warp after {time.monotonic() - began:.1f} s")
    tab.wait_for_function("document.querySelector('#mk-stage figure.made video').readyState >= 2")
    before = tab.evaluate("document.querySelector('#mk-stage figure.made video').currentTime")
    tab.wait_for_function(f"document.querySelector('#mk-stage figure.made video').currentTime != {before}")
    tab.wait_for_selector("#mk-stage .mk-step progress")
    shot(tab, "transfer-running")
    tab.click("#mk-stage .mk-cancel")
    tab.wait_for_selector("#mk-stage [data-state=cancelled]")
    assert tab.locator("#mk-stage .mk-now h2").inner_text() == "Cancelled"
    assert tab.locator("#mk-stage .mk-error").count() == 0


def test_own_clips_run_as_the_command_line_says(window, page, clips, tmp_path, monkeypatch):
    import shlex

    from motionkit.cli import main

    tab = window[0]
    choose(tab, "reference", clips / "me.png")
    choose(tab, "driving", clips / "moves.mp4")
    tab.wait_for_selector("#mk-form .mk-ready .mk-fine:has-text('fits')")  # before the button, what the run needs
    assert "6 frames of" in tab.locator("#mk-form .mk-ready").inner_text()
    run(tab)
    tab.wait_for_selector("#mk-stage [data-state=done]")
    tab.wait_for_selector("#mk-stage figure.made video")
    shot(tab, "transfer-done")
    players_wait(tab)
    folder = tab.locator("#mk-stage .mk-facts a", has_text="manifest").get_attribute("href")
    ours = json.loads(tab.request.get(f"{page[0]}/{folder}").text())
    tab.click("text=Copy as command")
    command = tab.locator(".mk-words pre").inner_text().replace("\\\n", " ")
    monkeypatch.chdir(clips)
    monkeypatch.setenv("MOTIONKIT_CACHE", str(tmp_path / "cache"))
    assert main([*shlex.split(command)[1:], f"output={tmp_path / 'out.mp4'}", "progress=none"]) == 0
    newest = max((clips / "runs").glob("transfer/*/manifest.json"), key=lambda path: path.stat().st_mtime)
    theirs = json.loads(newest.read_text())
    for key in ("config", "inputs", "seed", "frames", "size", "fps", "plan", "versions", "method", "weights"):
        assert ours.get(key) == theirs.get(key), key


def players_wait(tab):
    """Players wait for frames that are still being decoded, else a slow machine would never show one."""
    at = "document.querySelector('#mk-stage .mk-seek').value"
    tab.evaluate(
        "Object.defineProperty(HTMLMediaElement.prototype, 'seeking', { configurable: true, get: () => true })"
    )
    tab.wait_for_timeout(400)
    before = tab.evaluate(at)
    tab.wait_for_timeout(1000)  # eight frames
    assert tab.evaluate(at) == before
    tab.evaluate("Object.defineProperty(HTMLMediaElement.prototype, 'seeking', { get: () => false })")
    tab.wait_for_function(f"{at} != {before!r}")


def test_a_bad_file_is_one_line(window, tmp_path):
    tab = window[0]
    bad = tmp_path / "notes.mp4"
    bad.write_text("this is a text")
    tab.set_input_files("#mk-driving input[type=file]", str(bad))
    line = tab.wait_for_selector("#mk-driving .mk-error").inner_text()
    assert line.startswith("notes.mp4: is a text file") and "\n" not in line
    run(tab)
    assert "reference" in tab.wait_for_selector("#mk-stage .mk-error").inner_text()
    shot(tab, "transfer-failed")


def test_a_part_is_cut_on_the_time_line_and_marks_and_maps_are_given(window, clips):
    tab = window[0]
    tab.check("input[name=mk-method][value=vidmp3]", force=True)
    tab.wait_for_selector("#mk-form .mk-settings >> nth=1")
    tab.wait_for_selector("#mk-reference .mk-clip.unread")  # what the method does not read is greyed
    choose(tab, "driving", clips / "moves.mp4")
    tab.focus("#mk-driving input[aria-label='Motion: start']")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#mk-driving .mk-time output").inner_text().startswith("0.13")
    tab.click(".mk-settings > summary:has-text('Maps')")
    tab.set_input_files(".mk-map:has-text('masks') input[type=file]", [str(clips / "me.png")])
    tab.wait_for_selector(".mk-map:has-text('masks') .mk-meta:has-text('1 picture')")
    tab.click(".mk-settings > summary:has-text('Settings')")
    tab.click(".mk-group > summary:has-text('Masks')")
    drawn(tab, "Box", lambda x, y: (x(0.25), y(0.25), x(0.75), y(0.75)))
    shot(tab, "transfer-box", whole=False)
    field = tab.locator(".mk-field:has(label:text-is('Path'))").first
    field.locator("input[type=file]").set_input_files(str(clips / "me.png"))
    assert "me.png" in field.locator(".mk-soft").inner_text()
    tab.click("text=Use this box")
    drawn(tab, "Start", lambda x, y: (x(0.3), y(0.5), x(0.7), y(0.5)))
    tab.click("text=Use this mask")
    tab.wait_for_selector(".mk-field:has(label:text-is('Start')) .mk-soft:has-text('mask.png')")
    tab.click("text=Copy as command")
    tab.wait_for_selector(".mk-words pre")
    command = tab.locator(".mk-words pre").inner_text()
    assert "start=0.125" in command and "masks=me.png" in command and "method.masks.start=mask.png" in command
    assert "method.masks.path=me.png" in command
    box = re.search(r"method.masks.box=\[([\d.,]+)]", command)
    assert box and all(
        abs(float(v) - w) < 0.03 for v, w in zip(box[1].split(","), (0.25, 0.25, 0.75, 0.75), strict=True)
    )


def drawn(tab, label, places):
    """Drag on the first frame, from the first of two places to the second, which are shares of it."""
    tab.locator(f".mk-field:has(label:text-is('{label}')) button:has-text('Draw')").click()
    canvas = tab.wait_for_selector(".mk-frame canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    from_x, from_y, to_x, to_y = places(
        lambda share: box["x"] + share * box["width"], lambda share: box["y"] + share * box["height"]
    )
    tab.mouse.move(from_x, from_y)
    tab.mouse.down()
    tab.mouse.move((from_x + to_x) / 2, (from_y + to_y) / 2)
    tab.mouse.move(to_x, to_y)
    tab.mouse.up()


def test_jobs_of_a_csv_file(window, clips, tmp_path):
    tab = window[0]
    show(tab, "Batch")
    tab.click("#mk-batch .mk-run")
    assert "CSV" in tab.wait_for_selector("#mk-batched .mk-error").inner_text()
    shot(tab, "batch-failed")
    (tmp_path / "jobs.csv").write_text(
        "name,reference,driving,frames\none,me.png,moves.mp4,4\ntwo,gone.png,moves.mp4,4\n"
    )
    sent = [tmp_path / "jobs.csv", clips / "me.png", clips / "moves.mp4"]
    tab.set_input_files("#mk-batch input[type=file]", [str(path) for path in sent])
    tab.wait_for_selector("#mk-batch .mk-files li >> nth=2")
    tab.click("#mk-batch .mk-run")
    tab.wait_for_selector("#mk-batched td.is-running, #mk-batched td.is-done")
    shot(tab, "batch-running")
    tab.wait_for_selector("#mk-batched[data-state=done], #mk-batched [data-state=done]")
    assert tab.locator("#mk-batched td.is-failed").count() == tab.locator("#mk-batched td.is-done").count() == 1
    shot(tab, "batch-done")


def test_a_drawing_is_made_on_the_pad(window):
    tab = window[0]
    tab.click("#mk-reference button:has-text('Draw')")
    box = tab.locator("#mk-reference canvas").bounding_box()
    tab.mouse.move(box["x"] + 40, box["y"] + 40)
    tab.mouse.down()
    for step in range(1, 9):
        tab.mouse.move(box["x"] + 40 + 18 * step, box["y"] + 40 + (18 * step if step % 2 else 90))
    tab.mouse.up()
    shot(tab, "transfer-draw")
    tab.click("text=Use this drawing")
    tab.wait_for_selector("#mk-reference .mk-seen")
    assert "drawing.png" in tab.locator("#mk-reference .mk-meta").inner_text()


def test_two_tabs_wait_for_each_other(window, page, clips):
    tab, _, said = window
    other = opened(tab.context, page[0], said)
    for one in (tab, other):
        choose(one, "reference", clips / "me.png")
        choose(one, "driving", clips / "moves.mp4")
    for one in (tab, other):
        run(one)
    for one in (tab, other):
        one.wait_for_selector("#mk-stage [data-state=done]")
    made = [one.locator("#mk-stage .mk-facts a", has_text="mp4").get_attribute("href") for one in (tab, other)]
    assert made[0] != made[1]


def test_the_keyboard_alone_is_enough(window, clips):
    tab = window[0]
    choose(tab, "reference", clips / "me.png")  # a file dialogue is the system's
    tab.focus("input[name=mk-method]:checked")
    tab.keyboard.press("ArrowUp")
    tab.wait_for_selector(".mk-card.on:has-text('Still')")
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.classList.contains('mk-run')"):
            break
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#mk-stage [data-state=done]")
    tab.focus(".mk-wall")
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".mk-play").inner_text() == "Play"


@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_is_wider_than_the_window(window, width):
    tab = window[0]
    tab.set_viewport_size({"width": width, "height": 800})
    for name in SCREENS:
        show(tab, name)
        tab.wait_for_timeout(800)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, name


def test_methods_are_compared_and_judged_blind(window, clips):
    tab = window[0]
    choose(tab, "reference", clips / "me.png")
    choose(tab, "driving", clips / "moves.mp4")
    show(tab, "Compare")
    for name in ("still", "warp"):
        tab.uncheck(f".mk-choose .mk-ticks input[value={name}]")
    tab.click(".mk-choose .mk-run")
    assert "tick" in tab.wait_for_selector("#mk-compared .mk-error").inner_text()
    shot(tab, "compare-failed")
    for name in ("still", "warp"):
        tab.check(f".mk-choose .mk-ticks input[value={name}]")
    tab.click(".mk-choose .mk-run")
    tab.wait_for_selector("#mk-compared [data-state=running], #mk-compared [data-state=done]")
    shot(tab, "compare-running")
    tab.wait_for_selector("#mk-compared [data-state=done]")
    tab.wait_for_selector(".mk-figures table")
    tab.click("#mk-compared button:has-text('Wipe')")
    tab.wait_for_selector(".mk-wipe:visible")
    shot(tab, "compare-done")
    show(tab, "Study")
    tab.click(".mk-study .mk-run")
    assert "tick" in tab.wait_for_selector(".mk-study .mk-error").inner_text()
    shot(tab, "study-failed")
    tab.check(".mk-study .mk-ticks input >> nth=0")
    tab.click(".mk-study .mk-run")
    tab.wait_for_selector(".mk-pair video")
    shot(tab, "study-running")
    assert "warp" not in tab.locator(".mk-study").inner_html()
    tab.click(".mk-pair .mk-run >> nth=0")
    tab.wait_for_selector(".mk-study .mk-num:has-text('2 of')")
    tab.click("text=Stop, and show the rates")
    tab.wait_for_selector(".mk-rate")
    shot(tab, "study-done")


def test_lists_that_the_server_does_not_give_are_not_shown_as_empty(window):
    tab, _, said = window
    tab.route("**/component_server**", lambda route: route.abort())
    for name in ("Gallery", "Tables", "Study", "Doctor"):
        show(tab, name)
        line = tab.wait_for_selector(f".mk-{name.lower()} .mk-error").inner_text()
        assert "cannot be read" in line and "\n" not in line
        if name != "Study":
            shot(tab, f"{name.lower()}-failed")
    tab.unroute("**/component_server**")
    tab.click(".mk-doctor button:has-text('Look again')")
    tab.wait_for_selector(".mk-doctor .mk-group")
    said[:] = [line for line in said if "ERR_FAILED" not in line]


def test_what_has_run_is_in_the_gallery(window, page):
    results = Path(__file__).parents[2] / "benchmarks" / "head_to_head" / "results.json"
    (page[1].runs / "bench" / "sprites").mkdir(parents=True, exist_ok=True)
    (page[1].runs / "bench" / "sprites" / "results.json").write_text(results.read_text())
    tab = window[0]
    show(tab, "Gallery")
    tab.wait_for_selector(".mk-run-card")
    shot(tab, "gallery-done")
    tab.locator(".mk-run-card.is-complete button:has-text('Open')").first.click()
    tab.wait_for_selector(".mk-opened video")
    shot(tab, "gallery-opened")
    show(tab, "Tables")
    tab.wait_for_selector(".mk-tables table")
    shot(tab, "tables-done")
