"""How much a browser may upload, and how often it may try a password."""

from __future__ import annotations

import ipaddress
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30


@dataclass(frozen=True)
class Quota:
    """Bounds on what is uploaded while the page runs: for one browser, and for all of them together.

    Attributes:
        bytes, files: of one browser.
        all_bytes, all_files: of every browser.
    """

    bytes: int = 4 * GIB
    files: int = 500
    all_bytes: int = 16 * GIB
    all_files: int = 5000


class Uploads:
    """Counts what was uploaded and what is on its way."""

    def __init__(self, quota: Quota | None = None) -> None:
        self.quota = quota or Quota()
        self._kept: defaultdict[str, dict[Path, int]] = defaultdict(dict)
        self._coming: defaultdict[str, list[int]] = defaultdict(list)
        self._lock = threading.RLock()  # `begin` asks and takes in one

    def refusal(self, session: str, size: int) -> str:
        """Why that browser may not send so many more bytes, in one line; "" where it may."""
        with self._lock:
            own, every = self._held(session), [self._held(name) for name in {*self._kept, *self._coming}]
        whole, files = sum(held for held, _ in every), sum(count for _, count in every)
        limits = (
            (own[0] + size, self.quota.bytes, "this browser", "bytes"),
            (own[1] + 1, self.quota.files, "this browser", "files"),
            (whole + size, self.quota.all_bytes, "all browsers together", "bytes"),
            (files + 1, self.quota.all_files, "all browsers together", "files"),
        )
        for value, limit, who, what in limits:
            if value > limit:
                most = f"{limit / GIB:.3g} GiB" if what == "bytes" else f"{limit} files"
                return f"{who} may upload {most} while the page runs: start motionkit ui again to make room"
        return ""

    def _held(self, session: str) -> tuple[int, int]:
        """Bytes and files of a browser."""
        kept, coming = self._kept.get(session, {}), self._coming.get(session, [])
        return sum(kept.values()) + sum(coming), len(kept) + len(coming)

    def begin(self, session: str, size: int) -> str:
        """Take room for an upload of so many bytes; a refusal where there is none."""
        with self._lock:
            why = self.refusal(session, size)
            if not why:
                self._coming[session].append(size)
        return why

    def end(self, session: str, size: int, paths: list[str]) -> None:
        """An upload is over: give its room back, and note the files that came of it."""
        with self._lock:
            self._coming[session].remove(size)
            for path in map(Path, paths):
                self._kept[session][path] = path.stat().st_size if path.is_file() else 0


class Tries:
    """Wrong passwords by address: after a few, each further one makes that address wait, twice as long each time.

    Args:
        free: wrong passwords that cost nothing.
        longest: seconds of a wait at most.
    """

    MOST = 10_000  # addresses that are remembered

    def __init__(self, free: int = 4, longest: float = 60.0) -> None:
        self.free, self.longest = free, longest
        self._wrong: dict[str, tuple[int, float]] = {}  # address -> wrong ones, when it may try again
        self._lock = threading.Lock()

    def wait(self, address: str, now: float) -> float:
        """Seconds until that address may try again; 0 for at once."""
        with self._lock:
            return max(0.0, self._wrong.get(network_of(address), (0, 0.0))[1] - now)

    def wrong(self, address: str, now: float) -> None:
        """Note a wrong password."""
        name = network_of(address)
        with self._lock:
            count = self._wrong.pop(name, (0, 0.0))[0] + 1
            pause = min(self.longest, 2.0 ** min(count - self.free, 30)) if count >= self.free else 0.0
            self._wrong[name] = (count, now + pause)
            while len(self._wrong) > self.MOST:
                del self._wrong[next(iter(self._wrong))]

    def right(self, address: str) -> None:
        """Forget the wrong ones of that address."""
        with self._lock:
            self._wrong.pop(network_of(address), None)


def network_of(address: str) -> str:
    """What is counted as one: an address of IPv4, or a /64 of IPv6, which one person has whole."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 6:
        mapped = found.ipv4_mapped
        return str(mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
