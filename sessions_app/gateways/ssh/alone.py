"""What a gateway does that is cut off from its database: at the end of a grant it asks the targets itself.

A command dies with its connection. What it left running in the background is killed by whoever undoes the grant, which takes
the database; a gateway that has lost it may be the only one that knows of the grant, and goes by the deadline.
"""

from __future__ import annotations

import asyncio

import structlog

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.ssh.connection import Dialer
from sessions_app.connectors.ssh.connector import sweep_target
from sessions_app.connectors.ssh.wrapper import GRANT_MARK, Mark
from sessions_app.gateways.ssh.clock import LoopClock
from sessions_app.gateways.ssh.registry import Registry
from sessions_app.operations.authorize_use import Use
from sessions_app.operations.deprovision_grant import UNSEEN

log = structlog.get_logger(__name__)

# Seconds.
EVERY, AGAIN = 0.25, 1.0
# With the database there, others have undone a grant long before.
FORGOTTEN = 30.0
PLACES = 8

Key = tuple[int, int]


class Alone:
    """Remembers where grants were used through this gateway, until they are over."""

    def __init__(self, registry: Registry, dialer: Dialer, clock: LoopClock) -> None:
        self._registry, self._dialer, self._clock = registry, dialer, clock
        self._used: dict[Key, Use] = {}
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._renewed = self._loop.time()

    def used(self, use: Use) -> None:
        """Note that something is about to run on a target."""
        self._used[use.grant_id, use.target.id] = use

    def renewed(self) -> None:
        """Note that the database has just answered."""
        self._renewed = self._loop.time()

    async def keep(self) -> None:
        """Look for what is over, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            cut_off = self._loop.time() - self._renewed >= UNSEEN.total_seconds()
            for key, use in list(self._used.items()):
                since = -self._left(use)
                if cut_off and since >= 0:
                    self._ask(key, use)
                elif since >= FORGOTTEN:
                    del self._used[key]

    def _left(self, use: Use) -> float:
        """Return for how many seconds something of the grant may still run."""
        grant = self._registry.grants.get(use.grant_id)
        expires_at = max(use.expires_at, grant.expires_at) if grant else use.expires_at
        return self._clock.until(expires_at) + use.finish_seconds

    def _ask(self, key: Key, use: Use) -> None:
        if key not in self._asking and len(self._asking) < PLACES:
            task = self._asking[key] = self._loop.create_task(self._kill(key, use))
            task.add_done_callback(lambda _: self._asking.pop(key, None))

    async def _kill(self, key: Key, use: Use) -> None:
        """Kill what is left of a grant on a target; what that proves is asked for once more when the database is back."""
        try:
            mark = Mark(GRANT_MARK, use.token)
            found = await sweep_target(self._dialer, use.place, f"{use.grant_ref} alone", mark)
        except ConnectorError as error:
            log.warning("alone.not_swept", grant=use.grant_ref, target=use.target.name, error=error.message)
        else:
            if found.gone:
                self._used.pop(key, None)
                return
        await asyncio.sleep(AGAIN)
