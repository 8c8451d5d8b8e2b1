"""What systemd is told of this process: that it serves, and again and again that it still does.

Sources: sd_notify(3), sd_watchdog_enabled(3), systemd.service(5) (Type=notify, WatchdogSec=).
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import urllib.error
from collections.abc import Callable, Mapping

from broker.direct import direct

# Names the URL at which a server is asked whether it still answers.
HEALTH_URL = "STINT_HEALTH_URL"
_READY, _ALIVE = b"READY=1", b"WATCHDOG=1"
# Seconds between looks while it starts, and when systemd sets no watchdog.
_WHILE_STARTING, _UNWATCHED = 0.1, 3600.0
_PATIENCE_S = 5.0


def report(serves: Callable[[], bool]) -> None:
    """Report READY=1 as soon as `serves` returns true, then WATCHDOG=1 at every third of WatchdogSec= for as long as it does.

    `serves` runs in a thread, and has failed if it raises. Does nothing in a process that systemd doesn't watch.
    """
    if address := os.environ.get("NOTIFY_SOCKET"):
        every = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 3 or _UNWATCHED
        threading.Thread(target=_report, args=(serves, address, every), name="watchdog", daemon=True).start()


def report_server(environment: Mapping[str, str] = os.environ) -> None:
    """Do the same for a server: ask the URL that STINT_HEALTH_URL names, as a client does, so that one whose threads all hang
    does not serve.
    """
    if url := environment.get(HEALTH_URL):
        report(lambda: _answers(url))


def _answers(url: str) -> bool:
    """Whether a server answers at all: one that says that it can't do its work now is no better after a restart."""
    try:
        direct.open(url, timeout=_PATIENCE_S).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _report(serves: Callable[[], bool], address: str, every: float) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        # A leading @ is an address in the abstract namespace, unix(7).
        where = f"\0{address[1:]}" if address.startswith("@") else address
        said, wait = _READY, _WHILE_STARTING
        while True:
            # While systemd itself is restarted, nobody hears; the next message makes up for it.
            with contextlib.suppress(OSError):
                if _is_true(serves):
                    systemd.sendto(said, where)
                    said, wait = _ALIVE, every
            time.sleep(wait)


def _is_true(serves: Callable[[], bool]) -> bool:
    try:
        return serves()
    except Exception:  # noqa: BLE001  # whatever it is, the process does not serve
        return False
