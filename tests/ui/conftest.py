"""A page that is really served, in this process, and a browser's way of asking it."""

import json
import os
import socket
import threading
import time

import pytest

from motionkit import media
from motionkit.testing import moving_shapes, picture

SECRETS = {name: name * 24 for name in "ab"}


@pytest.fixture(scope="session")
def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def page(tmp_path_factory, free_port):
    """(address, files) of a page that runs."""
    import uvicorn

    from motionkit.cli import doctor
    from motionkit.ui.server import Wanted, application

    place = tmp_path_factory.mktemp("page")
    before = dict(os.environ)
    os.environ["MOTIONKIT_CACHE"] = str(place / "cache")
    app, files = application(Wanted(port=free_port, runs=place / "runs"), doctor.findings)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", free_port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{free_port}", files
    server.should_exit = True
    thread.join(10)
    files.close()
    os.environ.clear()
    os.environ.update(before)


class Browser:
    """What a browser does, without one: it has a secret of its own."""

    def __init__(self, address, secret):
        import httpx
        from gradio_client import Client

        cookie = {"cookie": f"motionkit_session={secret}"}
        self.web = httpx.Client(base_url=address, headers=cookie, timeout=60)
        self.client = Client(address, headers=cookie, verbose=False, download_files=False, max_workers=64)

    def upload(self, path, name=None):
        """The value of a clip that was chosen."""
        sent = self.web.post("/gradio_api/upload", files={"files": (name or path.name, path.read_bytes())})
        assert sent.status_code == 200, sent.text
        return {"path": sent.json()[0], "name": name or path.name}

    def ask(self, where, *values):
        """The last answer of a function of the page."""
        return self.client.predict(*values, api_name=where)

    def file(self, url):
        return self.web.get("/" + url)

    def manifest(self, cell):
        return json.loads(self.file(cell["manifest"]).content)


@pytest.fixture(scope="session")
def browsers(page):
    return {name: Browser(page[0], secret) for name, secret in SECRETS.items()}


@pytest.fixture
def me(browsers):
    return browsers["a"]


@pytest.fixture
def other(browsers):
    return browsers["b"]


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A picture and a clip on disk."""
    folder = tmp_path_factory.mktemp("clips")
    media.write_image(folder / "me.png", picture(48, 64).frames[0])
    media.write_video(folder / "moves.mp4", moving_shapes(6, 48, 64).frames, 8.0)
    return folder
