"""Problems of Stint itself, for monitoring and for administrators."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.conf import settings

from broker.audit.queries import checkpoint_trouble, oldest_unsigned
from broker.audit.standing import standing
from broker.kernel.postgresql.rows import ask
from sessions_app.policy.rules import SWEEPER_SILENCE
from sessions_app.queries.record.recording_files import waiting_recordings
from sessions_app.queries.requests.facts import sweeper_silence
from sessions_app.queries.status.backlog import longest_unreconciled, oldest_unmailed

# Jobs that run every minute or every second count as stopped if they are this many seconds late.
LATE_S = 300.0
# A gateway renews its lease each second. A gateway that has been gone for a day was shut down on purpose.
GATEWAY_SILENCE, GATEWAY_GONE = dt.timedelta(seconds=15), dt.timedelta(days=1)


def troubles(now: dt.datetime) -> list[str]:
    """Return the current problems, each with instructions, without paths, addresses or system errors.

    Recordings are not checked, because that would read every row.
    """
    found = (_sweepers(now), *_gateways(now), *_record(now), _mail(now), _targets(now), _store(now))
    return [text for text in found if text]


def age(since: dt.datetime | None, now: dt.datetime) -> float:
    """Return the number of seconds since a moment; 0.0 if there is no moment."""
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def _long(seconds: float) -> str:
    """Format a delay with the necessary precision."""
    for unit, size, least in (("d", 86400, 2), ("h", 3600, 2), ("min", 60, 5)):
        if seconds >= least * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _sweepers(now: dt.datetime) -> str:
    silence = sweeper_silence(now)
    if silence is not None and silence <= SWEEPER_SILENCE:
        return ""
    since = " yet" if silence is None else f" for {_long(silence)}"
    return (
        f"no process that ends access has run{since}, so no new access can start: start the worker or "
        "a gateway"
    )


_SEEN = """
SELECT max(seen_at) FILTER (WHERE host_key <> ''), max(seen_at) FILTER (WHERE tls_fingerprint <> '')
  FROM sessions_app_gatewaynode WHERE seen_at > %s
"""


def _gateways(now: dt.datetime) -> Iterator[str]:
    (found,) = ask(_SEEN, now - GATEWAY_GONE)
    says = (("SSH", "nothing can be run over SSH"), ("web", "nothing can be reached through such a gateway"))
    for last, (kind, so) in zip(found, says, strict=True):
        if last is not None and now - last > GATEWAY_SILENCE:
            yield f"no {kind} gateway has been seen for {_long(age(last, now))}, so {so}: start one"


def _record(now: dt.datetime) -> Iterator[str]:
    if standing().contradiction:
        yield (
            "the record contradicts the checkpoints stored outside the database, so nothing can be "
            "used: restore the newer database, or run `manage.py restored`"
        )
    if trouble := checkpoint_trouble():
        since = _long(age(trouble.since, now))
        yield f"checkpoints have not been written outside the database for {since}: see the Record page"
    if (unsigned := age(oldest_unsigned(), now)) > LATE_S:
        yield f"an entry of the record has not been signed for {_long(unsigned)}: start the worker"


def _mail(now: dt.datetime) -> str:
    waits = age(oldest_unmailed(), now)
    late = f"a notification has waited to be mailed for {_long(waits)}: check the worker and the mail server"
    return late if waits > LATE_S else ""


def _targets(now: dt.datetime) -> str:
    behind = age(longest_unreconciled(), now)
    late = f"the targets of a cluster have not been reconciled for {_long(behind)}: see the cluster's page"
    return late if behind > LATE_S else ""


def _store(now: dt.datetime) -> str:
    if not settings.RECORDINGS_STORE:
        return ""
    behind = age(waiting_recordings().since, now)
    late = (
        f"a recording has waited for the object store for {_long(behind)}: check the store and the gateways'"
        " logs"
    )
    return late if behind > LATE_S else ""
