"""The PostgreSQL endpoint: its TLS listener, and the connections of its clients."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from django.conf import settings

from broker.kernel import request_id
from broker.kernel.errors import StintError
from sessions_app.gateways.core import metrics
from sessions_app.gateways.core.arrivals import LIMITS, Arrivals, Limits
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.known import Admissions
from sessions_app.gateways.core.opening import open_by_token
from sessions_app.gateways.core.options import WebOptions
from sessions_app.gateways.core.orders import Orders
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.core.tls import POSTGRESQL, Tls
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.admission import NotAdmitted
from sessions_app.gateways.postgres.arriving import Greeting, Line
from sessions_app.gateways.postgres.conversation import GOODBYE_S, LARGEST, Conversation
from sessions_app.gateways.postgres.login import Proven, Targets, authorized, prove, read_first
from sessions_app.gateways.postgres.orders import run_ordered
from sessions_app.gateways.postgres.startup import StartupRefused
from sessions_app.gateways.postgres.upstream import NotConnected
from sessions_app.gateways.postgres.wire import Closed, ProtocolError
from sessions_app.operations.sessions.proofs.postgres import StatementUse, TokenStatements
from sessions_app.queries.record.recording_files import Room, Rooms, recording_path

log = structlog.get_logger(__name__)

_LISTEN_BACKLOG = 512
# Seconds from the TLS handshake to the proof of a token.
LOGIN_S = 15.0
_KEY_BYTES = 8
# Seconds to record the counted reads at the end of the process.
COUNTED_S = 1.0


class PostgresEndpoint:
    """The PostgreSQL gateway. ``options`` are the address, and the certificate of the web gateways."""

    name = "postgres"

    def __init__(self, options: WebOptions, limits: Limits = LIMITS) -> None:
        self._options, self._limits = options, limits
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: set[Line] = set()
        # By the key with which a client can cancel a statement on its connection.
        self._conversations: dict[bytes, Conversation] = {}
        self._arrivals: Arrivals | None = None
        self._tally = Tally()
        self._listener: asyncio.Server | None = None
        self._rooms = Rooms()
        self._orders: Orders | None = None

    async def open(self, shared: Shared) -> None:
        """Start to listen. Raises GatewaySettings, OSError, and Unavailable without a database."""
        self._shared, self._targets = shared, Targets(shared.database)
        self._admissions = Admissions(shared.database)
        self._tls = await Tls.begin(self._options, shared, claims=_no_site, protocol=POSTGRESQL)
        greeting = Greeting(self._serve, self._cancel)
        self._arrivals = Arrivals(
            self._tls.context,
            self._limits,
            lambda place: Line(place, self._serve, direct=True),
            greet=greeting,
        )
        self._listener = await asyncio.get_running_loop().create_server(
            self._arrivals.protocol,
            self._options.host,
            self._options.port,
            backlog=_LISTEN_BACKLOG,
            reuse_address=True,
        )
        shared.node.keep(self._tls.keep(), "postgres-tls")
        self._orders = Orders(
            shared,
            "postgres",
            functools.partial(run_ordered, shared, self._targets, self._tally, self._rooms, self._begin),
        )
        self._orders.begin()
        await shared.node.lease.renew()
        log.info("postgres.listens", host=self._options.host, port=self._options.port)

    def drain(self) -> None:
        """Accept no new connections."""
        if self._listener is not None:
            self._listener.close()

    async def close(self) -> None:
        """Stop listening immediately, and drop every connection. The node has already cut the sessions.

        Counted reads are recorded, unless the database is unavailable.
        """
        self.drain()
        if self._arrivals is not None:
            self._arrivals.close()
        if self._orders is not None:
            await self._orders.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        for line in list(self._lines):
            line.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._arrivals is not None:
            with contextlib.suppress(TimeoutError, StintError):
                async with asyncio.timeout(COUNTED_S):
                    await self._shared.database.run(self._tally.stop)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel(self, key: bytes) -> None:
        found = self._conversations.get(key)
        if found is not None:
            found.cancel()

    async def _serve(self, line: Line) -> None:
        self._lines.add(line)
        task = asyncio.current_task()
        if task is not None:
            # Until the conversation begins.
            line.on_gone = task.cancel
        try:
            with request_id.bound(request_id.make()):
                await self._served(line)
        except (Closed, OSError):
            line.abort()
        except asyncio.CancelledError:
            line.abort()
            if not line.gone:
                raise
        except ProtocolError as error:
            _refuse(line, "08P01", f"The client broke the protocol: {error}.")
        except (NotAdmitted, StartupRefused) as error:
            metrics.CONNECTIONS_REFUSED.labels("login refused").inc()
            _refuse(line, error.code, error.message, error.hint)
        except NotConnected as error:
            _refuse(line, error.code, str(error))
        except StintError as error:
            _refuse(line, "57P03", error.message, error.hint or "")
        except Exception as error:  # one connection's failure must not affect the others
            log.exception("postgres.login_failed", error=type(error).__name__)
            _refuse(line, "XX000", "Internal error. See the gateway's log.")
        finally:
            self._lines.discard(line)

    async def _served(self, line: Line) -> None:
        # Before the first await, because the handshake used this certificate.
        binding = binding_of(self._tls.certificate)
        try:
            async with asyncio.timeout(LOGIN_S):
                code, content = await read_first(line)
                if code == wire.CANCEL_REQUEST:
                    self._cancel(content[4:])
                    return line.abort()
                if closed := self._shared.closed_because():
                    raise NotAdmitted(
                        "57P03", f"{closed.rstrip('.').capitalize()}.", "Try again in a moment."
                    )
                proven = await prove(line, content, self._admissions, binding)
                use = await authorized(proven, line.address, self._admissions)
        except TimeoutError:
            raise NotAdmitted("08006", "The login took too long.") from None
        line.place.proven(use.grant_id)
        return await self._converse(line, proven, use)

    async def _converse(self, line: Line, proven: Proven, use: TokenStatements) -> None:
        shared = self._shared
        session: OpenSession[StatementUse] = await open_by_token(
            shared.node, shared.database, use, client=line.address, good_until=use.good_until
        )
        try:
            if closed := shared.closed_because():
                # The node cut its sessions before this session was open.
                raise NotAdmitted("57P03", f"{closed.rstrip('.').capitalize()}.")
            room = await shared.database.run(self._rooms.room_for, grant_id=use.grant_id)
            upstream = await self._targets.connect(use, proven.startup.settings)
        except BaseException as error:
            session.close(
                str(error) if isinstance(error, NotConnected) else "the session could not be opened"
            )
            raise
        proven.messages.most = LARGEST
        talk = Conversation(
            shared,
            session,
            line,
            proven.messages,
            upstream,
            self._tally,
            self._begin,
            functools.partial(_recorder, use, shared.node.clock.now, room),
        )
        key = secrets.token_bytes(_KEY_BYTES)
        self._conversations[key] = talk
        hello = (
            wire.message(wire.AUTHENTICATION, bytes(4)),
            *upstream.statuses,
            wire.message(wire.KEY_DATA, key),
            wire.message(wire.READY, b"I"),
        )
        line.writer.write(b"".join(hello))
        try:
            await talk.run()
        finally:
            del self._conversations[key]


def binding_of(chain: bytes) -> bytes | None:
    """Return the hash of a PEM chain's first certificate for channel binding; None if it has none.

    Source: RFC 5929 §4.1.
    """
    leaf = x509.load_pem_x509_certificate(chain)
    used = leaf.signature_hash_algorithm
    if used is None:
        return None
    weak = isinstance(used, hashes.MD5 | hashes.SHA1)
    return leaf.fingerprint(hashes.SHA256() if weak else used)


def _refuse(line: Line, code: str, why: str, hint: str = "") -> None:
    """Show a client why its connection ends, and close it."""
    with contextlib.suppress(OSError, RuntimeError):
        line.writer.write(wire.error(code, why, severity="FATAL", hint=hint))
        line.writer.close()
    asyncio.get_running_loop().call_later(GOODBYE_S, line.abort)


def _recorder(use: StatementUse, now: Callable[[], dt.datetime], room: Room, run_id: int) -> Recorder:
    return Recorder(
        settings.RECORDINGS_DIR,
        recording_path(use.grant_ref, run_id),
        title=f"{use.grant_ref} {use.holder} on {use.target.name}",
        started=now(),
        room=room,
    )


def _no_site(host: str) -> bool:
    del host
    return False
