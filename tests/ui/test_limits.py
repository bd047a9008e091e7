"""How much may be uploaded, and how often a password may be tried."""

import asyncio
import base64

import pytest

from motionkit.ui.files import Files
from motionkit.ui.guard import Guard
from motionkit.ui.limits import Quota, Tries, Uploads, network_of


@pytest.fixture
def files(tmp_path):
    made = Files(tmp_path / "runs")
    yield made
    made.close()


def sent(folder, name, size):
    (folder / name).write_bytes(b"x" * size)
    return str(folder / name)


@pytest.mark.parametrize(
    ("quota", "size", "says"),
    [
        (Quota(bytes=10), 11, "this browser"),
        (Quota(files=2), 1, "2 files"),
        (Quota(all_bytes=10), 5, "all browsers"),
        (Quota(all_files=3), 1, "3 files"),
    ],
)
def test_each_bound_is_one_line(tmp_path, quota, size, says):
    uploads = Uploads(quota)
    for number, session in enumerate("aab"):
        assert uploads.begin(session, 2) == ""
        uploads.end(session, 2, [sent(tmp_path, str(number), 2)])
    why = uploads.begin("a", size)
    assert says in why and "\n" not in why


def test_what_is_on_its_way_counts_and_what_failed_does_not(tmp_path):
    uploads = Uploads(Quota(bytes=10))
    assert uploads.begin("a", 6) == "" and uploads.begin("a", 6)
    uploads.end("a", 6, [])
    assert uploads.begin("a", 10) == ""
    uploads.end("a", 10, [sent(tmp_path, "one", 3)])
    for _ in range(3):  # the same file again takes no more room
        assert uploads.begin("a", 3) == ""
        uploads.end("a", 3, [str(tmp_path / "one")])
    assert uploads.begin("a", 7) == ""


def answered(guard, size, session="s" * 24, body=b"[]", method="POST"):
    """Status and text of an upload through the guard."""
    told = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def send(message):
        told.append(message)

    headers = [(b"host", b"localhost"), (b"cookie", f"motionkit_session={session}".encode())]
    headers += [(b"content-length", str(size).encode())] if size is not None else []
    guard.app = app
    scope = {"type": "http", "method": method, "path": "/gradio_api/upload", "headers": headers, "client": ("::1", 1)}
    asyncio.run(guard(scope, None, send))
    return told[0]["status"], told[1]["body"].decode()


def test_an_upload_over_the_quota_is_refused_before_it_is_read(files):
    guard = Guard(None, files, quota=Quota(bytes=100, files=2))
    assert answered(guard, 90)[0] == 200
    status, text = answered(guard, 101)
    assert status == 413 and "this browser" in text
    assert answered(guard, None)[0] == 411 and answered(guard, 5, session="")[0] == 403
    for name in "ab":
        path = sent(files.uploads, name, 10)
        assert answered(guard, 10, body=f'["{path}"]'.encode())[0] == 200
    assert answered(guard, 1)[0] == 413 and answered(guard, 1, session="t" * 24)[0] == 200


def test_wrong_passwords_make_their_address_wait_longer_each_time():
    tries, now = Tries(free=3, longest=20.0), 100.0
    for _ in range(2):
        tries.wrong("10.0.0.1", now)
    assert tries.wait("10.0.0.1", now) == 0
    waits = []
    for _ in range(7):
        tries.wrong("10.0.0.1", now)
        waits.append(tries.wait("10.0.0.1", now))
        now += waits[-1]
        assert tries.wait("10.0.0.1", now) == 0
    assert waits == sorted(waits) and waits[0] >= 1 and waits[-1] == 20
    tries.wrong("10.0.0.1", now)
    assert tries.wait("10.0.0.2", now) == 0 < tries.wait("10.0.0.1", now)
    tries.right("10.0.0.1")
    assert tries.wait("10.0.0.1", now) == 0


def test_one_persons_addresses_are_one():
    assert network_of("2001:db8::1") == network_of("2001:db8::2:3") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:10.0.0.1") == "10.0.0.1" and network_of("odd") == "odd"


def test_a_password_cannot_be_guessed_quickly(files, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("motionkit.ui.guard.time.monotonic", lambda: now[0])
    guard = Guard(None, files, "0.0.0.0", "correct horse")

    def asked(password, address="10.0.0.1"):
        header = "Basic " + base64.b64encode(f"me:{password}".encode()).decode()
        return guard.refusal("GET", "/", {"host": "studio", "authorization": header}, "", address)

    let_in = [asked(f"guess {number}")[0] for number in range(1000)]
    assert let_in.count(401) < 10 and let_in.count(429) > 990
    assert asked("correct horse")[0] == 429 and "try again in" in asked("correct horse")[1]
    assert asked("correct horse", "10.0.0.2")[0] == 0
    now[0] += 61
    assert asked("correct horse")[0] == 0
    assert guard.refusal("GET", "/", {"host": "studio"}, "", "10.0.0.1")[0] == 401  # not asked yet: no try
