"""Statements that holders start on a grant's page: decided, recorded and held like those of any client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.opening import open_from_page
from sessions_app.gateways.core.recording import Recording
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.attempts import Run
from sessions_app.gateways.postgres.conversation import Conversation
from sessions_app.gateways.postgres.login import Targets
from sessions_app.gateways.postgres.results import Result, write
from sessions_app.gateways.postgres.upstream import NotConnected
from sessions_app.operations.sessions.authorize_use import used_from
from sessions_app.operations.sessions.claim_order import Claimed
from sessions_app.operations.sessions.proofs.postgres import HolderStatements, StatementUse
from sessions_app.policy.commands.postgres.hiding import Hiding
from sessions_app.queries.record.recording_files import Room, Rooms


class PageClient:
    """A client that sends one statement and keeps its result."""

    def __init__(self, line: str) -> None:
        self.result = Result()
        self.gone = False
        self.on_gone: Callable[[], object] = lambda: None
        self._asks = deque([(b"Q", wire.string(line))])
        self._answered = asyncio.Event()

    # The client's messages, and those that it receives

    def buffered(self) -> tuple[bytes, bytes] | None:
        """Return the next message of the client, if there is one."""
        return self._asks.popleft() if self._asks else None

    def whole(self, end: bytes) -> bytes:
        """Return empty: the client sends no batches."""
        del end
        return b""

    def clear(self) -> None:
        """Do nothing: all data is taken message by message."""

    async def serve(self, handle: Callable[[], wire.Rest]) -> None:
        """Send the statement, then Terminate after the response."""
        while True:
            if (rest := handle()) is not None:
                await rest
            await self._answered.wait()
            self._asks.append((b"X", b""))

    def write(self, data: bytes) -> None:
        """Take messages."""
        for kind, content in wire.split(data):
            if kind == wire.READY:
                self._answered.set()
            else:
                self.result.take(kind, content)

    # The interface of a connection, in memory

    @property
    def writer(self) -> PageClient:
        """Itself."""
        return self

    @property
    def transport(self) -> PageClient:
        """Itself."""
        return self

    def get_write_buffer_size(self) -> int:
        """Return 0, because every message has been read."""
        return 0

    def is_closing(self) -> bool:
        """Return False, because this client accepts every message."""
        return False

    async def drain(self) -> None:
        """Return immediately, because every message has been read."""

    def close(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


async def run_ordered(
    shared: Shared,
    targets: Targets,
    tally: Tally,
    rooms: Rooms,
    begin: Callable[[Coroutine[Any, Any, None]], None],
    claimed: Claimed,
) -> None:
    """Try the line of an order and run it if allowed. Raises StintError if nothing could be recorded or
    decrypted.

    ``begin`` runs what may continue after the statement has ended.
    """
    if not isinstance(claimed.use, HolderStatements):
        raise AssertionError  # noqa: TRY004  # an endpoint gets only orders of its own protocol
    use: StatementUse = used_from(claimed.use, claimed.client_address)
    text = claimed.text()
    session: OpenSession[StatementUse] = await open_from_page(shared.node, shared.database, use)
    try:
        room = await shared.database.run(rooms.room_for, grant_id=use.grant_id)
        upstream = await targets.connect(use, {})
    except NotConnected as error:
        session.close(str(error))
        raise Unavailable(f"{error} Nothing was run.") from error
    except BaseException:
        session.close("it could not be opened")
        raise
    client = PageClient(text)
    talk = Conversation(shared, session, client, client, upstream, tally, begin)
    talk.attempts.order_id = claimed.order_id

    def kept(run: Run) -> Recording | None:
        talk.flush()
        return _kept(shared, use, client, run, room, talk.attempts.hiding)

    talk.attempts.kept = kept
    await talk.run()


def _kept(
    shared: Shared, use: StatementUse, client: PageClient, run: Run, room: Room, hiding: Hiding
) -> Recording | None:
    """Keep the result of a statement as its recording. Without columns, there is nothing to keep.

    Raises OSError.
    """
    if not client.result.columns or run.runs is None:
        return None
    title = f"{use.grant_ref} {use.holder} on {use.target.name}: {run.entry.line}"
    shown = partial(hiding.result, run.runs)
    return write(client.result, use.grant_ref, run.entry.run_id, title, shared.node.clock.now(), room, shown)
