"""What stands before the page: who may ask, from which address, and for which files."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import math
import re
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import unquote

from motionkit.ui.files import SHORTEST, Files
from motionkit.ui.limits import Quota, Tries, Uploads

COOKIE = "motionkit_session"
UPLOAD = "/gradio_api/upload"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    # Gradio compiles its templates in the browser, which takes 'unsafe-eval'; nothing leads to another host.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_FILE, _PROXY = re.compile(r"/gradio_api/file[=/](.*)", re.DOTALL), re.compile(r"/(gradio_api/)?proxy=|/https?:/")
_FOREIGN = re.compile(rb'<meta\s+(property="og:|name="twitter:)[^>]*>|<link[^>]*href="https?://[^>]*>')
HEAD = b'<link rel="stylesheet" href="/motionkit/app.css"><script src="/motionkit/app.js"></script></head>'


class Guard:
    """An ASGI application before another one; refuses what is not for this browser.

    Args:
        host: that the page is served at.
        password: asked for by the browser (user name: anything); None asks for none.
        quota: of uploads.
    """

    def __init__(
        self, app: Any, files: Files, host: str = "127.0.0.1", password: str | None = None, quota: Quota | None = None
    ) -> None:
        self.app, self.files, self.password = app, files, password
        self.local = host in LOOPBACK
        self.uploads, self.tries = Uploads(quota), Tries()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await (self.app(scope, receive, send) if scope["type"] == "lifespan" else _close(send))
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        session = session_of(headers.get("cookie", ""))
        address = (scope.get("client") or ("",))[0]
        status, text = self.refusal(scope["method"], unquote(scope["path"]), headers, session, address)
        if status:
            await _answer(send, status, text)
        elif scope["path"] == UPLOAD and scope["method"] == "POST":
            await self._upload(scope, receive, send, headers, session)
        else:
            await self.app(scope, receive, _Passing(self, scope["path"], session, send))

    async def _upload(self, scope: Any, receive: Any, send: Any, headers: dict[str, str], session: str) -> None:
        """Let an upload through where there is room for it."""
        length = headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdecimal() else -1
        if not session or size < 0:
            why = "load the page first, in a browser that keeps its cookie" if size >= 0 else "say how long the file is"
            await _answer(send, 411 if size < 0 else 403, why)
        elif why := self.uploads.begin(session, size):
            await _answer(send, 413, why)
        else:
            passing = _Passing(self, UPLOAD, session, send)
            try:
                await self.app(scope, receive, passing)
            finally:
                self.uploads.end(session, size, passing.uploaded)

    def refusal(
        self, method: str, path: str, headers: dict[str, str], session: str, address: str = ""
    ) -> tuple[int, str]:
        """The status and the reason of a refusal; (0, "") for none."""
        host = headers.get("host", "")
        if self.local and _name(host) not in LOOPBACK:  # a name on the net that leads here
            return 421, "this page is served to this machine alone"
        if self.password is not None and (refused := self._asked(headers.get("authorization", ""), address)):
            return refused
        if method not in ("GET", "HEAD") and not _of_here(headers, host):
            return 403, "another page may not ask for anything here"
        found = _FILE.search(path)
        if _PROXY.match(path) or (found and not self.files.may_see(found[1], session)):
            return 403, "this file is not of this browser or of a run"
        return 0, ""

    def _asked(self, header: str, address: str) -> tuple[int, str] | None:
        """Why that answer to the question for a password lets nobody in; None where it does."""
        if not header:  # a browser that has not been asked yet
            return 401, "a password is needed"
        now = time.monotonic()
        if (left := self.tries.wait(address, now)) > 0:
            return 429, f"too many wrong passwords: try again in {math.ceil(left)} s"
        if self._knows(header):
            self.tries.right(address)
            return None
        self.tries.wrong(address, now)
        return 401, "a password is needed"

    def _knows(self, header: str) -> bool:
        kind, _, text = header.partition(" ")
        try:
            given = base64.b64decode(text, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
        return kind.lower() == "basic" and hmac.compare_digest(given.encode(), (self.password or "").encode())


class _Passing:
    """Sends an answer on: with our headers, uploads noted as this browser's, the page with our style in its head."""

    def __init__(self, guard: Guard, path: str, session: str, send: Any) -> None:
        self.guard, self.session, self.send = guard, session, send
        self.page, self.upload = path == "/", path == UPLOAD
        self.uploaded: list[str] = []
        self.start: Any = None
        self.body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            own = {key.decode("latin-1").lower() for key, _ in message["headers"]} & {"content-security-policy"}
            self._headers({key: value for key, value in HEADERS.items() if key not in own})
            if not (self.page or self.upload):
                await self.send(message)
            return
        if not (self.page or self.upload):
            await self.send(message)
            return
        self.body += message.get("body", b"")
        if not message.get("more_body"):
            body = self._whole()
            self._headers({"content-length": str(len(body))})
            await self.send(self.start)
            await self.send({"type": "http.response.body", "body": body})

    def _whole(self) -> bytes:
        if self.upload:
            if self.start["status"] == 200:
                self.uploaded = json.loads(self.body)
                for path in self.uploaded:
                    self.guard.files.belongs(path, self.session)
            return self.body
        if not self.session:
            cookie = f"{COOKIE}={secrets.token_urlsafe(24)}; Path=/; HttpOnly; SameSite=Strict"
            self.start["headers"].append((b"set-cookie", cookie.encode()))
        return _FOREIGN.sub(b"", self.body).replace(b"</head>", HEAD, 1)

    def _headers(self, more: dict[str, str]) -> None:
        kept = [(key, value) for key, value in self.start["headers"] if key.decode("latin-1").lower() not in more]
        self.start["headers"] = [*kept, *((key.encode(), value.encode()) for key, value in more.items())]


def session_of(cookies: str) -> str:
    """The secret of a browser in its Cookie header; "" where there is none."""
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found and len(found.value) >= SHORTEST else ""


def _of_here(headers: dict[str, str], host: str) -> bool:
    """Whether a request comes from this page, or from no page; a page without an origin has to say that it is this."""
    origin = headers.get("origin")
    if origin == "null":  # of a frame in a sandbox, wherever it is from
        return headers.get("sec-fetch-site") == "same-origin"
    return origin in (None, f"http://{host}", f"https://{host}")


def _name(host: str) -> str:
    """A Host header without its port."""
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0].lower()


async def _answer(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="motionkit", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def _close(send: Any) -> None:
    await send({"type": "websocket.close", "code": 1008})
