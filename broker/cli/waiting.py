"""Wait for a decision or a grant, and show the progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from .errors import NoGrant
from .screen import Progress, ago, clock_time, plain, progress, span, spoken, word
from .shell import Shell
from .wire import patiently
from .wording import missing

# Seconds between two polls. The first intervals are short, because waits without an approval are usually
# short.
_SOON, _LATER, _SOON_FOR = 0.5, 2.0, 10.0
# Seconds without a response from Stint after which the wait fails.
_OUTAGE = 300.0
_OVER = {"denied": "was denied", "withdrawn": "was withdrawn", "lapsed": "expired"}

Row = Mapping[str, Any]
Look = Callable[[Row], None]


class Patience:
    """Polls for up to ``seconds``, or without limit if that is None."""

    def __init__(self, shell: Shell, line: Progress, seconds: float | None) -> None:
        self._shell, self._line = shell, line
        self._began = time.monotonic()
        self._most = seconds

    def look(self, path: str) -> Any:
        """Return the resource at a path, with retries during an outage."""
        return patiently(lambda: self._shell.wire.get(path), for_seconds=_OUTAGE, tell=self._line.show)

    def pause(self, ref: str) -> None:
        """Wait until the next poll. Raises NoGrant when the time is up."""
        waited = time.monotonic() - self._began
        if self._most is not None and waited >= self._most:
            raise NoGrant(
                f"{ref} is still pending after {span(self._most)}.",
                f"Run `stint status {ref} --watch` to keep waiting, or `stint withdraw {ref}`.",
                code="still_waiting",
            )
        left = self._most - waited if self._most is not None else _LATER
        time.sleep(max(min(_SOON if waited < _SOON_FOR else _LATER, left), 0.05))


def wait_for_grant(shell: Shell, request: Row, *, seconds: float | None, seen: Look | None = None) -> Row:
    """Return the grant of a request once it is usable. ``seen`` is called with each new state. Raises
    NoGrant.
    """
    with progress(quiet=shell.json) as line:
        patience = Patience(shell, line, seconds)
        row = _until_decided(patience, line, request, seen)
        return _until_usable(patience, line, str(row["grant"]), seen)


def wait_for_verdict(shell: Shell, request: Row, *, seconds: float | None, seen: Look | None = None) -> Row:
    """Return a request once it is approved. Raises NoGrant."""
    with progress(quiet=shell.json) as line:
        return _until_decided(Patience(shell, line, seconds), line, request, seen)


def wait_until_usable(shell: Shell, ref: str, *, seconds: float | None, seen: Look | None = None) -> Row:
    """Return a grant once it is usable. Raises NoGrant."""
    with progress(quiet=shell.json) as line:
        return _until_usable(Patience(shell, line, seconds), line, ref, seen)


def wait_for_end(shell: Shell, ref: str, *, seconds: float | None, seen: Look | None = None) -> Row:
    """Return a grant once it has ended, or after ``seconds``, whichever comes first."""
    with progress(quiet=shell.json) as line:
        patience = Patience(shell, line, seconds)
        changed = _Changes(seen)
        while True:
            row: Row = patience.look(f"/grants/{ref}")
            changed(row)
            if row["state"] == "ended":
                return row
            line.show(_of_grant(row), counted=ago(row["expires_at"]) if row["state"] == "active" else "")
            try:
                patience.pause(ref)
            except NoGrant:
                return row


class _Changes:
    """Calls a function at each change of state."""

    def __init__(self, seen: Look | None) -> None:
        self._seen, self._last = seen, ("", "")

    def __call__(self, row: Row) -> None:
        state = (str(row["ref"]), str(row["state"]))
        if state != self._last and self._seen is not None:
            self._seen(row)
        self._last = state


def _until_decided(patience: Patience, line: Progress, row: Row, seen: Look | None) -> Row:
    ref, changed = str(row["ref"]), _Changes(seen)
    while True:
        changed(row)
        if row["state"] == "approved":
            return row
        if row["state"] != "pending":
            raise NoGrant(f"{ref} {over(row)}.", _comments(row), code=str(row["state"]))
        needs = missing(row.get("needed", ())) or "a decision"
        line.show(f"{ref} is waiting for {needs}, until {clock_time(row['lapses_at'])}.")
        patience.pause(ref)
        row = patience.look(f"/requests/{ref}")


def over(request: Row) -> str:
    """Return the outcome of a request that is no longer pending, as a phrase: `was denied`."""
    return _OVER.get(request["state"], f"is {spoken(request['state'])}")


def _comments(row: Row) -> str:
    said = [one for one in row.get("approvals", ()) if one["comment"] and one["verdict"] == "deny"]
    return " ".join(plain(f"{one['approver']}: {one['comment']}") for one in said)


def _until_usable(patience: Patience, line: Progress, ref: str, seen: Look | None) -> Row:
    changed = _Changes(seen)
    while True:
        row: Row = patience.look(f"/grants/{ref}")
        changed(row)
        if row["state"] == "active":
            return row
        if row["state"] not in ("scheduled", "provisioning"):
            why = spoken(row["end_reason"] or row["state"])
            raise NoGrant(f"{ref} has ended: {why}.", plain(row["last_error"] or row["end_note"]))
        line.show(_of_grant(row))
        patience.pause(ref)


def _of_grant(row: Row) -> str:
    trouble = f": {plain(row['last_error'])}" if row["last_error"] else ""
    says = {
        "scheduled": f"{row['ref']} starts at {clock_time(row['starts_at'])}.",
        "provisioning": f"{row['ref']} is starting{trouble}.",
        "active": f"{row['ref']} is active.",
        "revoking": f"{row['ref']} is ending: access is closed, and targets have yet to confirm{trouble}.",
    }
    return says.get(row["state"], f"{row['ref']} is {word(row['state'])}.")
