"""The first command of a session. Session and command are recorded in one transaction, so that the grant
can't end unnoticed between them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import TypeVar

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.open_session import Opening
from sessions_app.operations.sessions.try_command import Tried, try_command
from sessions_app.policy.commands.answers import Allowed, Refused

# The database counts as unavailable after this many seconds. Nothing has run by then.
DATABASE_TIMEOUT = 8.0
U = TypeVar("U", bound=AnyUse)


async def try_first(
    database: Database,
    session: OpenSession[U],
    *,
    gateway_id: int,
    line: str,
    decision: Allowed | Refused,
    order_id: int | None = None,
    shown: str | None = None,
    now: dt.datetime,
    too_late: Callable[[Tried], None],
) -> Tried:
    """Try a command in a session, and register the session if it is new. Nothing may be sent before this
    function returns `allowed`.

    ``shown`` is what approvers see of an upload. ``too_late`` is called with an attempt that is recorded
    after this function has stopped waiting. Raises StintError.
    """
    async with session.lock:
        session.check()
        work = asyncio.ensure_future(
            database.run(
                try_command,
                use=session.use,
                session=session.id or _opening(session, gateway_id),
                line=line,
                decision=decision,
                order_id=order_id,
                shown=shown,
                now=now,
            )
        )
        session.registering(work)
        try:
            await asyncio.wait([work], timeout=DATABASE_TIMEOUT)
            if not work.done():
                raise Unavailable(
                    "Stint's database did not respond.", hint="Nothing was run. Try again in a moment."
                )
            tried = work.result()
            session.opened(tried.session_id)
            return tried
        finally:
            if work.done():
                session.registered(work)
            else:
                work.add_done_callback(lambda done: _late(session, done, too_late))


def _late(session: OpenSession[U], work: asyncio.Future[Tried], too_late: Callable[[Tried], None]) -> None:
    session.registered(work)
    if work.cancelled() or work.exception() is not None:
        return
    tried = work.result()
    too_late(tried)
    session.opened(tried.session_id)


def _opening(session: OpenSession[U], gateway_id: int) -> Opening:
    return Opening(gateway_id=gateway_id, client_address=session.client_address, proof=session.proof)
