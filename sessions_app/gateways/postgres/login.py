"""The login of a client: its startup, the proof of its token, and the connection to its target.

Source: PostgreSQL's documentation, "Start-up" and "SASL Authentication".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.kernel.crypto import derived_token
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.postgres.connector import set_password
from sessions_app.connectors.postgres.names import role_names
from sessions_app.connectors.postgres.parameters import parameters_of
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.postgres import scram, wire
from sessions_app.gateways.postgres.admission import Login, NotAdmitted, admit, login_of
from sessions_app.gateways.postgres.arriving import Line
from sessions_app.gateways.postgres.startup import LONGEST, Startup, StartupRefused, read_startup
from sessions_app.gateways.postgres.upstream import NotConnected, Upstream, connect
from sessions_app.gateways.postgres.wire import Closed, Fields, Messages, ProtocolError
from sessions_app.operations.sessions.proofs.postgres import StatementUse, TokenStatements

# Bytes of one message before login.
LONGEST_PROOF = 8192
_SASL, _CONTINUE, _FINAL, _OK = 10, 11, 12, 0
# SQLSTATEs of a server that does not accept the role's password, or no longer accepts it.
_WRONG_PASSWORD = ("28P01", "28000")
_APPLICATION_BYTES = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A client that has proven a token. ``messages`` reads the client's next messages."""

    startup: Startup
    login: Login
    messages: Messages


async def read_first(line: Line) -> tuple[int, bytes]:
    """Return the code and the content of the first message after TLS. Raises ProtocolError and Closed."""
    try:
        length = int.from_bytes(await line.messages.readexactly(4), "big")
        if not 8 <= length <= LONGEST:
            raise ProtocolError("the first message is too long")
        content = await line.messages.readexactly(length - 4)
    except asyncio.IncompleteReadError as error:
        raise Closed from error
    return int.from_bytes(content[:4], "big"), content


async def prove(line: Line, content: bytes, admissions: Admissions, binding: bytes | None) -> Proven:
    """Authenticate a client by SCRAM. ``binding`` is the hash of the gateway's certificate; None without
    channel binding. Raises StartupRefused, NotAdmitted, Unavailable, ProtocolError and Closed.
    """
    startup = read_startup(content)
    _negotiate(line, startup)
    offered = [*([scram.PLUS] if binding else []), scram.PLAIN]
    _ask(line, _SASL, b"".join(wire.string(name) for name in offered) + b"\0")
    messages = Messages(line.messages, most=LONGEST_PROOF)
    fields = Fields(await _proof(messages))
    mechanism = fields.string()
    said = fields.value() or b""
    fields.end()
    if mechanism not in offered:
        raise ProtocolError("the client chose a mechanism that was not offered")
    login = await admissions.queue(line.address, login_of, user=startup.user)
    server = scram.Server(mechanism, binding=binding)
    try:
        _ask(line, _CONTINUE, server.first(said, login.verifier))
        answer = server.final(await _proof(messages))
        if not login.digest:
            raise scram.ScramError("there is no such token")
    except scram.ScramError as error:
        raise NotAdmitted(
            "28P01",
            f'password authentication failed for user "{startup.user[:63]}"',
            "The user is a grant, such as GR-7F3K, and the password is its token.",
        ) from error
    _ask(line, _FINAL, answer)
    return Proven(startup=startup, login=login, messages=messages)


def _ask(line: Line, code: int, data: bytes = b"") -> None:
    line.writer.write(wire.message(wire.AUTHENTICATION, code.to_bytes(4, "big"), data))


async def _proof(messages: Messages) -> bytes:
    kind, content = await messages.next()
    if kind != b"p":
        raise ProtocolError("the client did not authenticate")
    return content


def _negotiate(line: Line, startup: Startup) -> None:
    """Notify a client that requested a newer version or extensions that this server supports only version
    3.0, without extensions.
    """
    if startup.newer or startup.unknown:
        names = b"".join(map(wire.string, startup.unknown))
        numbers = wire.VERSION_3.to_bytes(4, "big") + len(startup.unknown).to_bytes(4, "big")
        line.writer.write(wire.message(b"v", numbers, names))


async def authorized(proven: Proven, address: str, admissions: Admissions) -> TokenStatements:
    """Return what a proven token authorizes now. Raises NotAdmitted, StartupRefused and Unavailable."""
    use = await admissions.ask(proven.login.digest, address, admit, login=proven.login, client=address)
    database = parameters_of(use.place).database
    if proven.startup.database not in ("", database):
        raise StartupRefused(
            "3D000", f"{use.grant_ref} is for the database {database}.", f"Connect with dbname={database}."
        )
    return use


@dataclass(slots=True)
class Targets:
    """Logs in to targets as the roles of grants."""

    database: Database
    # Roles whose password this process has set, with the grant's end at that time.
    _set: dict[tuple[str, int], object] = field(default_factory=dict)
    # Passwords that are being set now, which logins at the same moment share.
    _setting: dict[tuple[str, int, object], asyncio.Task[None]] = field(default_factory=dict)

    async def connect(self, use: StatementUse, chosen: Mapping[str, str]) -> Upstream:
        """Log in as the role of a grant, with the settings that its holder chose. Raises NotConnected."""
        user, password = role_names(use.mark).login, derived_token("role", use.mark)
        settings, key = _settings(use, chosen), (use.mark, use.target.id)
        if key not in self._set:
            await self._give_password(use, password)
        try:
            return await connect(use.place, user, password, settings)
        except NotConnected as error:
            if error.code not in _WRONG_PASSWORD:
                raise
        # The password was changed, or the grant was extended since.
        await self._give_password(use, password)
        return await connect(use.place, user, password, settings)

    async def _give_password(self, use: StatementUse, password: str) -> None:
        key = (use.mark, use.target.id, use.expires_at)
        if key not in self._setting:
            self._setting[key] = task = asyncio.create_task(self._set_password(use, password))
            task.add_done_callback(lambda done: self._is_set(key, done))
        # One client that gives up does not stop the others' login.
        await asyncio.shield(self._setting[key])

    def _is_set(self, key: tuple[str, int, object], task: asyncio.Task[None]) -> None:
        del self._setting[key]
        if not task.cancelled():
            # If every login has given up, no one else reads the error, and asyncio would log it.
            task.exception()

    async def _set_password(self, use: StatementUse, password: str) -> None:
        try:
            await asyncio.to_thread(
                set_password, use.place, use.grant_ref, use.mark, password, expires_at=use.expires_at
            )
        except ConnectorError as error:
            raise NotConnected("08001", error.message) from error
        self._set[use.mark, use.target.id] = use.expires_at


def _settings(use: StatementUse, chosen: Mapping[str, str]) -> dict[str, str]:
    name = f"stint {use.grant_ref} {chosen.get('application_name', '')}".strip()
    short = name.encode()[:_APPLICATION_BYTES].decode(errors="ignore")
    # Statements have complete names, but functions of the application may expect its schema in the search
    # path. The system's own objects must come first.
    schema = f'"{use.compiled.schema}", ' if use.compiled.schema else ""
    return {**chosen, "application_name": short, "search_path": f"pg_catalog, {schema}pg_temp"}
