"""Who may ask, and what the page says of itself: no other host, no other page, a password where others come in."""

import asyncio
import base64
import re
from pathlib import Path

import pytest

from motionkit.cli import main
from motionkit.errors import UserError
from motionkit.ui import asking, comparisons, gallery
from motionkit.ui.files import Files
from motionkit.ui.guard import Guard, session_of
from motionkit.ui.server import Wanted
from motionkit.ui.tables import page_file


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path / "runs")
    yield made
    made.close()


def refused(guard, method="GET", path="/", **headers):
    return guard.refusal(
        method, path, {"host": "127.0.0.1:7860"} | {k.replace("_", "-"): v for k, v in headers.items()}, ""
    )


def test_a_name_on_the_net_that_leads_here_is_refused(files):
    guard = Guard(None, files)
    assert refused(guard) == (0, "")
    assert refused(guard, host="localhost:7860")[0] == refused(guard, host="[::1]:7860")[0] == 0
    assert refused(guard, host="evil.example:7860")[0] == refused(guard, host="")[0] == 421


def test_another_page_may_not_ask(files):
    guard = Guard(None, files)
    assert refused(guard, "POST", origin="https://evil.example")[0] == 403
    assert refused(guard, "POST", origin="http://127.0.0.1:7860")[0] == 0
    assert refused(guard, "POST", origin="null")[0] == 403  # of a frame in a sandbox, on any page
    assert refused(guard, "POST", origin="null", sec_fetch_site="cross-site")[0] == 403
    assert refused(guard, "POST", origin="null", sec_fetch_site="same-origin")[0] == 0


def test_a_password_is_asked_for_on_every_path(files):
    guard = Guard(None, files, "0.0.0.0", "correct horse")

    def header(text):
        return "Basic " + base64.b64encode(text.encode()).decode()

    for path in ("/", "/gradio_api/upload", "/motionkit/app.js"):
        assert refused(guard, path=path)[0] == 401
        assert refused(guard, path=path, authorization=header("me:wrong horse"))[0] == 401
        assert refused(guard, path=path, authorization="Basic ***")[0] == 401
        assert refused(guard, path=path, host="studio.example", authorization=header("me:correct horse"))[0] == 0


def test_other_interfaces_need_a_password():
    for host in ("0.0.0.0", "192.168.0.7", "::"):
        with pytest.raises(UserError, match="password"):
            Wanted(host).check()
        Wanted(host, password="correct horse").check()
    with pytest.raises(UserError, match="8 characters"):
        Wanted("0.0.0.0", password="short").check()


def test_the_verb_refuses_what_it_does_not_know(capsys):
    assert main(["ui", "share=true"]) == 2 and "unknown key" in capsys.readouterr().err
    assert main(["ui", "host=0.0.0.0"]) == 2 and "password" in capsys.readouterr().err
    for word in ("port=web", "port=²", "runs=", "runs", "password=", "files=/no/such/folder"):
        assert main(["ui", word]) == 2 and word.partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("way", ["file=", "file/"])
def test_both_ways_to_a_file_are_watched(files, tmp_path, way):
    theirs = files.uploads / "x" / "clip.mp4"
    files.belongs(theirs, "t" * 24)
    guard, mine = Guard(None, files), files.made("s" * 24) / "a.mp4"
    for path, session, status in ((theirs, "s", 403), (theirs, "t", 0), (mine, "s", 0), (mine, "t", 403)):
        found = guard.refusal("GET", f"/gradio_api/{way}{path}", {"host": "localhost"}, session * 24)
        assert found[0] == status


def test_a_websocket_is_closed(files):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(None, files)({"type": "websocket", "headers": []}, None, send))
    assert sent[0]["type"] == "websocket.close"


def test_a_secret_that_is_too_short_is_none():
    assert session_of("motionkit_session=abc") == "" == session_of("other=1")
    assert session_of(f"a=b; motionkit_session={'s' * 24}") == "s" * 24


def test_files_by_links_and_short_secrets(files, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    files.runs.mkdir()
    (files.runs / "link").symlink_to(outside)
    assert not files.may_see(files.runs / "link", "s" * 24)
    files.belongs(outside, "")
    assert not files.may_see(outside, "")
    files.belongs(outside, "s" * 24)
    assert files.may_see(outside, "s" * 24) and not files.may_see(outside, "t" * 24)
    for name in ("../outside.txt", "a\0b", "", "link"):
        with pytest.raises(UserError):
            files.run(name)
        assert page_file(files, name) is None


def asked_for(files, session="s" * 24, **settings):
    form = {"method": "vidmp3", "prompt": "a horse", "source_prompt": "a cat", "settings": settings}
    return asking.request_of(form, {}, files, session).config


@pytest.fixture
def shared(tmp_path):
    """The files of a page that others use, and where the folders lie that it was started with, and was not."""
    for name in ("mine", "given", "runs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "masks.npy").write_text("x")
    made = Files(tmp_path / "runs", [tmp_path / "given"], alone=False)
    yield made, tmp_path
    made.close()


def test_settings_of_a_shared_page_name_only_what_its_visitors_may_have(shared, monkeypatch):
    files, place = shared
    (place / "given" / "out").symlink_to(place / "mine")
    monkeypatch.chdir(place)
    upload = files.uploads / "m.npy"
    upload.write_text("x")
    files.belongs(upload, "s" * 24)
    for good in (place / "given/masks.npy", place / "runs/masks.npy", upload, "owner/name"):
        assert asked_for(files, **{"masks.path": str(good)})["masks"]["path"] == str(good)
    bad = [
        place / "mine/masks.npy",
        place / "given/../mine",
        place / "given/out/masks.npy",
        "mine",
        "~",
        "/etc/no-such",
    ]
    for path in (*bad, place / "runs/.hidden", files.made("t" * 24)):
        for name in ("masks.path", "masks.weights", "depth.path", "pack", "save_pack"):
            with pytest.raises(UserError, match=f"{name}=.*files=") as said:
                asked_for(files, **{name: str(path)})
            assert "no such" not in str(said.value).replace(str(path), "")
    with pytest.raises(UserError):
        asked_for(files, session="t" * 24, **{"masks.path": str(upload)})
    with pytest.raises(UserError):
        asked_for(files, masks={"path": str(place / "mine/masks.npy"), "name": "m"})
    with pytest.raises(UserError):
        asked_for(files, save_pack=str(place / "given/pack"))  # only read
    assert asked_for(files, save_pack=str(place / "runs/pack"))["save_pack"]
    with pytest.raises(UserError):
        comparisons.settings_of(
            {"method": "vidmp3", "settings": {"pack": str(place / "mine")}}, ["vidmp3"], files, "s" * 24
        )
    alone = Files(place / "runs")
    assert asked_for(alone, **{"masks.path": str(bad[0])})  # who started the page has all files of the machine anyway
    alone.close()


def test_jobs_of_a_shared_page_name_clips_of_its_folders_alone(shared, monkeypatch):
    files, place = shared
    monkeypatch.chdir(place / "mine")
    assert files.found(Path("masks.npy"), "s" * 24) == place / "given/masks.npy"
    assert files.found(place / "mine/masks.npy", "s" * 24) is None
    assert files.found(place / "runs/masks.npy", "s" * 24)
    (place / "given/masks.npy").unlink()
    assert files.found(Path("masks.npy"), "s" * 24) is None is files.found(Path("a\0b"), "s" * 24)
    alone = Files(place / "runs")
    assert alone.found(Path("masks.npy"), "") == place / "mine/masks.npy"
    assert alone.found(place / "given", "") is None
    alone.close()


def test_who_is_alone_and_which_folders_there_are(tmp_path):
    assert Wanted().alone and not Wanted(password="correct horse").alone
    assert not Wanted("0.0.0.0", password="correct horse").alone
    with pytest.raises(UserError, match="files="):
        Wanted(folders=(tmp_path / "no",)).check()


def test_a_run_is_deleted_and_nothing_around_it(files):
    for folder in ("transfer", "transfer/one", "compare/x/cells/warp"):
        (files.runs / folder).mkdir(parents=True, exist_ok=True)
        (files.runs / folder / "manifest.json").write_text("{}")
    for name in ("transfer", "transfer/one/..", "compare/x/cells/warp"):
        with pytest.raises(UserError):
            gallery.delete(files, name)
    gallery.delete(files, "transfer/one")
    assert not (files.runs / "transfer/one").exists() and (files.runs / "transfer").is_dir()


def test_the_page_names_no_other_host(page):
    gradio = pytest.importorskip("gradio", reason="the web page needs gradio: pip install 'motionkit[ui]'")
    import httpx

    answer = httpx.get(page[0])
    assert gradio and answer.status_code == 200
    assert re.fullmatch(
        r"motionkit_session=[\w-]{24,}; Path=/; HttpOnly; SameSite=Strict", answer.headers["set-cookie"]
    )
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    loaded = re.findall(r'<(?:link|script|img|meta)[^>]*(?:href|src|content)="(https?://[^"]*)', answer.text)
    assert [found for found in loaded if not found.startswith(page[0])] == []
    assert '"analytics_enabled": true' not in answer.text and "/motionkit/app.js" in answer.text
    for name in ("app.js", "app.css"):
        text = httpx.get(f"{page[0]}/motionkit/{name}").text
        assert "//" in text or "/*" in text
        assert "http://" not in text and "https://" not in text
    assert httpx.get(f"{page[0]}/motionkit/server.py").status_code == 404
