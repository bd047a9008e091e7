"""`motionkit ui`: the web page, on this machine alone unless a password is given."""

from __future__ import annotations

import os
import sys

from motionkit.cli.given import given_of
from motionkit.errors import UserError

HELP = """usage: motionkit ui [key=value ...]

Methods, forms, comparisons, past runs, batches, tables and a blind study in the browser; needs
pip install 'motionkit[ui]'.

  port=7860               the page is http://127.0.0.1:PORT
  runs=runs               folder that results go to; what lies there is shown in the gallery
  files=FOLDER[,FOLDER]   whose files settings and tables of jobs may name where others use the page (host=, password=);
                          else those are their own uploads, the runs and the shipped files
  open=true               whether a browser is opened
  host=127.0.0.1          another interface (0.0.0.0 for all) lets other machines in, and needs a password
  password=TEXT           asked for by the browser, with any user name; better as MOTIONKIT_PASSWORD, which no list of
                          processes shows. It travels unencrypted: put a proxy with TLS before it elsewhere than at home

Nothing is sent to any other host, and nothing is shared.
"""
_KEYS = ("port", "runs", "files", "open", "host", "password")


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    given = given_of("ui", argv, _KEYS)
    if not given.get("port", "7860").isdecimal():
        raise UserError(f"port={given['port']}: give a whole number")
    if given.get("open", "true") not in ("true", "false"):
        raise UserError(f"open={given['open']}: give true or false")
    from motionkit.cli import doctor
    from motionkit.ui.server import Wanted, serve

    password = given.get("password") or os.environ.get("MOTIONKIT_PASSWORD") or None
    host, port = given.get("host", "127.0.0.1"), int(given.get("port", 7860))
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}"

    def ready() -> None:
        print(f"the page is at {address} (Ctrl-C stops it)", file=sys.stderr, flush=True)
        if given.get("open", "true") == "true":
            import webbrowser

            webbrowser.open(address)

    folders = tuple(filter(None, given.get("files", "").split(",")))
    wanted = Wanted(host, port, given.get("runs", "runs"), password, folders)
    wanted.check()
    print("starting the page ...", file=sys.stderr, flush=True)
    serve(wanted, ready, doctor.findings)
    return 0
