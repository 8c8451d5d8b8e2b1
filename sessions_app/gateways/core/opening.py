"""Opens sessions before their first command, so that no grant can end unnoticed in between."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from typing import TypeVar

from broker.kernel import clock
from sessions_app.gateways.core.database import Database
from sessions_app.gateways.core.node import Node
from sessions_app.gateways.core.orders import PROOF
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.operations.sessions.authorize_use import AnyUse
from sessions_app.operations.sessions.open_session import open_session

U = TypeVar("U", bound=AnyUse)


async def open_by_token(
    node: Node, database: Database, use: U, *, client: str, good_until: dt.datetime
) -> OpenSession[U]:
    """Register the use of a token from a client's address, and return its session.

    ``good_until`` is when the token expires. Ends reach the session even before its row exists. Raises
    StintError.
    """
    proof = f"token {use.credential_id}"
    runs_out = good_until if good_until < use.expires_at else None
    session = OpenSession(node.registry, use, client_address=client, proof=proof, good_until=runs_out)
    return await _registered(node, database, session)


async def open_from_page(node: Node, database: Database, use: U) -> OpenSession[U]:
    """Register the use of a grant by a holder who is signed in to the pages, and return its session.

    Raises StintError.
    """
    session = OpenSession(node.registry, use, client_address=use.client, proof=PROOF)
    return await _registered(node, database, session)


async def _registered(node: Node, database: Database, session: OpenSession[U]) -> OpenSession[U]:
    opening = asyncio.ensure_future(
        database.run(
            _open,
            use=session.use,
            gateway_id=node.id,
            client=session.client_address,
            proof=session.proof,
        )
    )
    session.registering(opening)
    opening.add_done_callback(functools.partial(_opened, session))
    try:
        await asyncio.shield(opening)
    except BaseException:
        session.close("the session could not be opened")
        raise
    return session


def _opened(session: OpenSession[U], opening: asyncio.Future[int]) -> None:
    """Handle the result, even if the caller no longer waits for it."""
    session.registered(opening)
    if not opening.cancelled() and opening.exception() is None:
        session.opened(opening.result())


def _open(*, use: AnyUse, gateway_id: int, client: str, proof: str) -> int:
    return open_session(use=use, gateway_id=gateway_id, client_address=client, proof=proof, now=clock.now())
