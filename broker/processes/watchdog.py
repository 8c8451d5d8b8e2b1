"""Notifications to systemd that this process is ready, and that it is still responsive.

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

# The URL at which a server is checked.
HEALTH_URL = "STINT_HEALTH_URL"
_READY, _ALIVE = b"READY=1", b"WATCHDOG=1"
# Seconds between checks during the start, and whenever the unit has no WatchdogSec=.
_WHILE_STARTING, _UNWATCHED = 0.1, 3600.0
_PATIENCE_S = 5.0


def report(serves: Callable[[], bool]) -> None:
    """Send READY=1 as soon as `serves` returns true, then WATCHDOG=1 three times per WatchdogSec= as long
    as it returns true.

    `serves` runs in a thread; an exception counts as a failure. Does nothing in a process that systemd
    doesn't watch.
    """
    if address := os.environ.get("NOTIFY_SOCKET"):
        every = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6 / 3 or _UNWATCHED
        threading.Thread(target=_report, args=(serves, address, every), name="watchdog", daemon=True).start()


def report_server(environment: Mapping[str, str] = os.environ) -> None:
    """Report the state of a server, which is checked by requests to STINT_HEALTH_URL, so that hanging threads
    are detected.
    """
    if url := environment.get(HEALTH_URL):
        report(lambda: _answers(url))


def _answers(url: str) -> bool:
    """Whether a server responds at all. If it responds with "not ready", a restart would not help."""
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
            # A message that is sent while systemd restarts is lost; the next one replaces it.
            with contextlib.suppress(OSError):
                if _is_true(serves):
                    systemd.sendto(said, where)
                    said, wait = _ALIVE, every
            time.sleep(wait)


def _is_true(serves: Callable[[], bool]) -> bool:
    try:
        return serves()
    except Exception:  # noqa: BLE001  # whatever the error is, the process does not serve
        return False
