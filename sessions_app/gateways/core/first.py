"""The first command of a session: both are registered in one transaction, and no end can pass in between."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import TypeVar

from django.db import transaction

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.note_deviation import lock_watched
from sessions_app.operations.sessions.open_session import open_session
from sessions_app.operations.sessions.try_command import Tried, decided, try_command
from sessions_app.policy.commands.answers import Allowed, Refused

# Seconds after which the database counts as unavailable. Nothing has run by then.
DATABASE_TIMEOUT = 8.0
U = TypeVar("U", bound=AnyUse)


async def try_first(
    database: Database, session: OpenSession[U], *, gateway_id: int, line: str, order_id: int | None = None,
    decision: Allowed | Refused | None = None, now: dt.datetime, too_late: Callable[[Tried], None],
) -> Tried:  # fmt: skip
    """Register a session, unless it is, with a command tried in it. Nothing may be sent before this has returned
    `allowed`.

    ``too_late`` is called with an attempt that was recorded when nobody waited for it anymore. Raises StintError.
    """
    async with session.lock:
        session.check()
        work = asyncio.ensure_future(
            database.run(
                _try, session=session, gateway_id=gateway_id, line=line, order_id=order_id, decision=decision, now=now
            )
        )  # fmt: skip
        session.registering(work)
        try:
            await asyncio.wait([work], timeout=DATABASE_TIMEOUT)
            if not work.done():
                raise Unavailable(
                    "Stint's database did not respond.", hint="Nothing was run. Try again in a moment."
                )
            session_id, tried = work.result()
            session.opened(session_id)
            return tried
        finally:
            if work.done():
                session.registered(work)
            else:
                work.add_done_callback(lambda done: _late(session, done, too_late))


def _late(
    session: OpenSession[U], work: asyncio.Future[tuple[int, Tried]], too_late: Callable[[Tried], None]
) -> None:
    session.registered(work)
    if work.cancelled() or work.exception() is not None:
        return
    session_id, tried = work.result()
    too_late(tried)
    session.opened(session_id)


def _try(
    *, session: OpenSession[AnyUse], gateway_id: int, line: str, order_id: int | None,
    decision: Allowed | Refused | None, now: dt.datetime,
) -> tuple[int, Tried]:  # fmt: skip
    decision = decided(session.use, line, order_id=order_id, decision=decision)
    with transaction.atomic():
        if isinstance(decision, Refused):
            # Before the session, which locks its grant: a refusal locks the grants above it first.
            lock_watched(grant_id=session.use.grant_id)
        session_id = session.id or open_session(
            use=session.use,
            gateway_id=gateway_id,
            client_address=session.client_address,
            proof=session.proof,
            now=now,
        )
        return session_id, try_command(
            use=session.use, session_id=session_id, line=line, order_id=order_id, decision=decision, now=now
        )
