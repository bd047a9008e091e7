"""The server of the page: Gradio behind the guard, on this machine alone unless a password is given."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from motionkit.errors import UserError
from motionkit.media.limits import Limits
from motionkit.ui.files import EXAMPLE, Files
from motionkit.ui.guard import LOOPBACK, Guard
from motionkit.ui.work import Line

_SANDBOX = "sandbox allow-scripts allow-downloads allow-popups"  # a page of a run cannot ask anything of this one
_STATIC = {  # the parts of each, in their order
    "app.css": ("text/css", ("base.css", "parts.css", "tables.css")),
    "app.js": ("text/javascript", ("core.js", "clip.js", "marks.js", "form.js", "stage.js", "compare.js", "past.js")),
}


@dataclass(frozen=True)
class Wanted:
    """How the page is served.

    Attributes:
        host: of the network interface; another one than this machine's own needs a password.
        runs: the folder that results go to, and whose earlier results are shown.
        folders: whose files may be named by settings, and by tables of jobs, where others use the page too.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    runs: str | Path = "runs"
    password: str | None = None
    folders: tuple[str | Path, ...] = ()

    @property
    def alone(self) -> bool:
        """Whether nobody else is let in: no other interface, and no password, which is asked of a proxy's visitors."""
        return self.host in LOOPBACK and not self.password

    def check(self) -> None:
        """Refuse what is not safe. Raises: UserError."""
        if self.host not in LOOPBACK and not self.password:
            raise UserError(
                f"host={self.host} lets other machines in: set MOTIONKIT_PASSWORD, or give password=PASSWORD, or leave "
                "host= out for this machine alone"
            )
        if self.password is not None and len(self.password) < 8:
            raise UserError("password= is too short: give at least 8 characters")
        if not 0 < self.port < 65536:
            raise UserError(f"port={self.port}: give a number from 1 to 65535")
        for folder in self.folders:
            if not Path(folder).is_dir():
                raise UserError(f"files={folder}: there is no such folder")


def application(wanted: Wanted, health: Callable[[], list[tuple[str, str, str]]] | None = None) -> tuple[Any, Files]:
    """The page as an ASGI application, and its folders, which the caller closes; `health` is what the doctor finds.

    Raises:
        UserError: Gradio is not installed, or what is wanted is not safe.
    """
    wanted.check()
    files = Files(wanted.runs, wanted.folders, wanted.alone)
    os.environ |= {"GRADIO_TEMP_DIR": str(files.uploads), "GRADIO_ANALYTICS_ENABLED": "False"}
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio as gr
        from fastapi import FastAPI
        from fastapi.responses import Response
    except ImportError as error:
        raise UserError("the web page needs Gradio: pip install 'motionkit[ui]'") from error
    from motionkit.ui.page import build
    from motionkit.ui.parts import Desk
    from motionkit.ui.tables import page_file

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/motionkit/{name}")
    def static(name: str) -> Response:
        if name not in _STATIC:
            return Response(status_code=404)
        kind, parts = _STATIC[name]
        folder = resources.files("motionkit.ui").joinpath("static")
        text = "\n".join(folder.joinpath(part).read_text("utf-8") for part in parts)
        return Response(text, media_type=kind, headers={"cache-control": "no-cache"})

    @app.get("/motionkit/page/{name:path}")
    def read(name: str) -> Response:
        path = page_file(files, name)
        if path is None:
            return Response("there is no such page", status_code=404)
        return Response(
            path.read_bytes(), media_type="text/html; charset=utf-8", headers={"content-security-policy": _SANDBOX}
        )

    files.runs.mkdir(parents=True, exist_ok=True)
    page = build(Desk(files, Line(), health))
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=wanted.host,
        server_port=wanted.port,
        allowed_paths=[str(files.runs), str(files.own), str(EXAMPLE)],
        show_error=True,
        max_file_size=Limits().max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        pwa=False,
        mcp_server=False,
        footer_links=[],
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )
    return Guard(app, files, wanted.host, wanted.password), files


def serve(wanted: Wanted, ready: Callable[[], None] | None = None, health: Any = None) -> None:
    """Serve the page until it is stopped; `ready` is called once it answers."""
    import uvicorn

    app, files = application(wanted, health)
    config = uvicorn.Config(app, wanted.host, wanted.port, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    if ready is not None:
        threading.Thread(target=_when_up, args=(server, ready), daemon=True).start()
    try:
        server.run()
    finally:
        files.close()


def _when_up(server: Any, ready: Any) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    ready()
    _warm_up()


def _warm_up() -> None:
    """Import what the first run needs, so that it need not wait: torch above all."""
    from motionkit import registry

    for name in registry.names():
        if not registry.spec(name).backbones:
            with contextlib.suppress(UserError):  # a broken plugin says so when it is asked for
                registry.transfer_class(name)
