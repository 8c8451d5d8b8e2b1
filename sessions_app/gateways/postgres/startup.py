"""The StartupMessage of a client: the user, the database, and the settings.

Source: PostgreSQL's documentation, "StartupMessage" and "NegotiateProtocolVersion".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sessions_app.gateways.postgres.wire import VERSION_3, Fields, ProtocolError
from sessions_app.policy.commands.postgres.sql.passes import SETTINGS

# In bytes. PostgreSQL has the same limit.
LONGEST = 10_000
_UTF8 = frozenset(("UTF8", "UTF-8", "UNICODE", "SQL_ASCII"))
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][A-Za-z0-9_]*)=(\S*)")
_EXTENSION = "_pq_."


class StartupRefused(Exception):
    """The gateway can't serve this client with these parameters.

    The arguments are the SQLSTATE, the reason, and what to do.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code, self.message, self.hint = code, message, hint
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """A client's startup request.

    ``database`` is empty if the request names none. ``unknown`` are protocol extensions. ``newer`` means that
    the client requested a later minor version of the protocol.
    """

    user: str
    database: str
    settings: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    newer: bool = False


def read_startup(content: bytes) -> Startup:
    """Return a client's StartupMessage, from the version on. Raises ProtocolError and StartupRefused."""
    fields = Fields(content)
    version = fields.integer()
    if version >> 16 != VERSION_3 >> 16:
        raise StartupRefused("0A000", "This gateway supports only version 3 of PostgreSQL's protocol.")
    said: dict[str, str] = {}
    while name := fields.string():
        if name in said:
            raise ProtocolError("a startup parameter is given twice")
        said[name] = fields.string()
    fields.end()
    user, database = said.pop("user", ""), said.pop("database", "")
    unknown = tuple(name for name in said if name.startswith(_EXTENSION))
    for name in unknown:
        del said[name]
    return Startup(
        user=user,
        # libpq uses the user's name if no database is given.
        database="" if database == user else database,
        settings=_settings(said),
        unknown=unknown,
        newer=version > VERSION_3,
    )


def _settings(said: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in said.items():
        if name == "options":
            found |= _settings(_options(value))
        elif name == "replication":
            if value.lower() not in ("false", "off", "no", "0"):
                raise StartupRefused("0A000", "Replication is not supported by this gateway.")
        elif name.lower() == "client_encoding":
            _check_encoding(value)
        elif name.lower() in SETTINGS:
            found[name.lower()] = value
        else:
            allowed = ", ".join(sorted(SETTINGS))
            raise StartupRefused(
                "42501", f"The setting {name[:63]} can't be chosen here.", f"Allowed settings: {allowed}."
            )
    return found


def _check_encoding(value: str) -> None:
    if value.strip("'\" ").upper() not in _UTF8:
        raise StartupRefused(
            "0A000",
            f"The client encoding {value[:63]} is not supported here, only UTF8.",
            "Set PGCLIENTENCODING=UTF8.",
        )


def _options(text: str) -> dict[str, str]:
    """Return the settings in libpq's ``options``, such as ``-c lock_timeout=5s``. Raises StartupRefused."""
    found = dict(_OPTION.findall(text))
    if _OPTION.sub("", text).strip() or "options" in found:
        raise StartupRefused(
            "42501", "The startup options can't be read.", "Use only -c NAME=VALUE, without spaces."
        )
    return found
