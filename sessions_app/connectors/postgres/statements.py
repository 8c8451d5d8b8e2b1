"""Statements that holders run, if the server's administrator lets Stint read them.

With pg_read_all_stats, Stint reads the last statement of each session from pg_stat_activity, and misses
statements between two reads. With EXECUTE on pg_current_logfile, pg_stat_file and pg_read_binary_file, and
``log_destination = jsonlog``, Stint reads every statement from the server's log. An administrator should
grant EXECUTE with care, because these functions can also read the server's data files. Source: PostgreSQL 18,
tables 19.4 (keys of JSON log entries) and 9.103 (generic file access functions).
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, LiteralString
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sessions_app.connectors.base import LeaseSpec, TargetSpec
from sessions_app.connectors.postgres.connection import Budget, Server, connected
from sessions_app.connectors.postgres.masked import masked
from sessions_app.connectors.postgres.names import role_names
from sessions_app.connectors.postgres.parameters import parameters_of

# How many bytes are read from the end of the log, and the maximum number of statements that are returned,
# newest first.
LOG_TAIL = 4 * 1024 * 1024
MOST = 1000
LONGEST = 10_000

_ACTIVITY: LiteralString = """
SELECT pid, datname, query_start, state, query FROM pg_stat_activity
WHERE usename = %s AND query_start >= %s AND query <> '' ORDER BY query_start LIMIT %s
"""
_MAY_READ_LOG: LiteralString = """
SELECT has_function_privilege(current_user, 'pg_catalog.pg_current_logfile(text)', 'EXECUTE')
   AND has_function_privilege(current_user, 'pg_catalog.pg_stat_file(text)', 'EXECUTE')
   AND has_function_privilege(current_user, 'pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)',
                              'EXECUTE')
"""
_LOG: LiteralString = """
SELECT pg_read_binary_file(%(path)s, greatest(0, size - %(tail)s), %(tail)s, true),
       current_setting('log_timezone')
FROM pg_stat_file(%(path)s)
"""
_STATEMENT = re.compile(r"(?:statement|execute [^:]*|fastpath function call): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatement:
    """One statement of a holder.

    ``key`` is the same at each read. ``at`` is the time by the server's clock. The log has a statement when
    it starts, and again with ``error`` if it fails.
    """

    key: str
    at: dt.datetime
    database: str
    process: int
    text: str
    state: Literal["running", "idle", "started", "failed"]
    error: str = ""


def statements(place: TargetSpec, lease: LeaseSpec, since: dt.datetime) -> list[RunStatement]:
    """Return the newest `MOST` statements that the holder of a lease ran since ``since``, oldest first.

    Empty unless the cluster's parameters enable reading. Raises ConnectorError.
    """
    if not parameters_of(place).read_statements:
        return []
    role = role_names(lease.mark).login
    with connected(place, Budget(), purpose=f"stint {lease.grant_ref}") as server:
        log = _log_file(server)
        found = _logged(server, log, role, since) if log else _active(server, role, since)
    return sorted(found, key=lambda one: one.at)[-MOST:]


def _active(server: Server, role: str, since: dt.datetime) -> list[RunStatement]:
    return [
        RunStatement(
            key=f"{pid}.{at.timestamp():.6f}",
            at=at,
            database=database or "",
            process=pid,
            text=_shown(query),
            state="running" if state == "active" else "idle",
        )
        for pid, database, at, state, query in server.rows(_ACTIVITY, (role, since, MOST))
        # Without pg_read_all_stats, PostgreSQL shows this instead of other roles' statements.
        if query != "<insufficient privilege>"
    ]


def _log_file(server: Server) -> str | None:
    """Return the path of the server's current JSON log; None if there is none or Stint can't read it."""
    if not server.value(_MAY_READ_LOG):
        return None
    path = server.value("SELECT pg_current_logfile('jsonlog')")
    return str(path) if path else None


def _logged(server: Server, path: str, role: str, since: dt.datetime) -> list[RunStatement]:
    raw, zone = server.row_by_names(_LOG, {"path": path, "tail": LOG_TAIL})
    return [one for one in _entries(raw or b"", role, _zone(zone)) if one.at >= since]


def _zone(name: str) -> dt.tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError):
        return dt.UTC


def _entries(raw: bytes, role: str, zone: dt.tzinfo) -> Iterator[RunStatement]:
    wanted = f'"{role}"'.encode()
    for line in raw.splitlines():
        if wanted not in line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the tail may start in the middle of a line, and the last line may be incomplete
        if isinstance(entry, dict) and entry.get("user") == role and (one := _entry(entry, zone)):
            yield one


def _entry(entry: Mapping[str, Any], zone: dt.tzinfo) -> RunStatement | None:
    failed = entry.get("error_severity") in {"ERROR", "FATAL", "PANIC"}
    found = _STATEMENT.match(str(entry.get("message", "")))
    text = entry.get("statement") if failed else found[1] if found else None
    if not text:
        return None
    return RunStatement(
        key=f"{entry.get('session_id')}.{entry.get('line_num')}",
        at=_moment(str(entry.get("timestamp")), zone),
        database=str(entry.get("dbname", "")),
        process=int(entry.get("pid", 0)),
        text=_shown(text),
        state="failed" if failed else "started",
        error=str(entry.get("message", "")) if failed else "",
    )


def _moment(text: str, zone: dt.tzinfo) -> dt.datetime:
    """Parse a log's timestamp, `2026-11-25 15:28:38.234 CET`.

    The abbreviation is ambiguous, so the time zone is taken from the server's setting.
    """
    return dt.datetime.fromisoformat(text.rpartition(" ")[0]).replace(tzinfo=zone).astimezone(dt.UTC)


def _shown(text: str) -> str:
    """Return the statement's text as it is stored.

    Passwords are masked, because holders can change their own.
    """
    return masked(text[:LONGEST])
