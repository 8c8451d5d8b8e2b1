"""End grants on targets while the gateway has no database.

A command ends with its connection. Revoking the grant kills its background processes, but that needs the
database. A gateway that has lost the database may be the only process that knows the grant, so it enforces
the deadline on its own. Commands that may finish after the deadline, through this gateway or another,
keep running up to their limit. All other processes of the grant are killed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.marks import GRANT_MARK, Mark, run_mark
from sessions_app.connectors.ssh.connection import Dialer
from sessions_app.connectors.ssh.connector import sweep_target
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.registry import Registry
from sessions_app.operations.grants.deprovision_grant import UNSEEN
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.answers import Allowed

log = structlog.get_logger(__name__)

# Seconds.
EVERY, AGAIN = 0.25, 1.0
# In seconds. With the database available, other processes revoke a grant long before this.
FORGOTTEN = 30.0
PLACES = 8
# How many runs of a grant one sweep can name. Older runs are killed with everything else once no
# command may still finish.
RUNS = 500

Key = tuple[int, int]


@dataclass(slots=True)
class _Used:
    """A grant on a target, and its newest runs of those that are cut at the grant's end."""

    use: Use
    cut: deque[int] = field(default_factory=lambda: deque(maxlen=RUNS))

    def marks(self, since: float) -> Sequence[Mark]:
        """Return the marks of processes that may no longer run ``since`` seconds after the grant's end."""
        if since >= self.use.finish_seconds:
            return [Mark(GRANT_MARK, self.use.mark)]
        return [run_mark(self.use.mark, run_id) for run_id in self.cut] if since >= 0 else []


class Alone:
    """Tracks the targets on which grants were used through this gateway, until the grants have ended
    there.
    """

    def __init__(self, registry: Registry, dialer: Dialer, clock: LoopClock) -> None:
        self._registry, self._dialer, self._clock = registry, dialer, clock
        self._used: dict[Key, _Used] = {}
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._renewed = self._loop.time()

    def used(self, use: Use, tried: Tried) -> None:
        """Record that a command is about to run on a target."""
        noted = self._used.setdefault((use.grant_id, use.target.id), _Used(use))
        noted.use = use
        if not (isinstance(tried.decision, Allowed) and tried.decision.finish_seconds):
            noted.cut.append(tried.run_id)

    def renewed(self) -> None:
        """Record that the database has just answered."""
        self._renewed = self._loop.time()

    async def keep(self) -> None:
        """Check for ended grants, forever."""
        while True:
            await asyncio.sleep(EVERY)
            cut_off = self._loop.time() - self._renewed >= UNSEEN.total_seconds()
            for key, used in list(self._used.items()):
                since = self._since_end(used.use)
                if cut_off and (marks := used.marks(since)):
                    self._ask(key, used, marks)
                elif since >= used.use.finish_seconds + FORGOTTEN:
                    del self._used[key]

    def _since_end(self, use: Use) -> float:
        """Return the seconds since the grant ended; negative while it is active."""
        grant = self._registry.grants.get(use.grant_id)
        expires_at = max(use.expires_at, grant.expires_at) if grant else use.expires_at
        return -self._clock.until(expires_at)

    def _ask(self, key: Key, used: _Used, marks: Sequence[Mark]) -> None:
        if key not in self._asking and len(self._asking) < PLACES:
            task = self._asking[key] = self._loop.create_task(self._kill(key, used, marks))
            task.add_done_callback(lambda _: self._asking.pop(key, None))

    async def _kill(self, key: Key, used: _Used, marks: Sequence[Mark]) -> None:
        """Kill the grant's processes on a target. Revocation confirms this again once the database
        is back.
        """
        use = used.use
        try:
            found = await sweep_target(self._dialer, use.place, f"{use.grant_ref} alone", *marks)
        except ConnectorError as error:
            log.warning("alone.not_swept", grant=use.grant_ref, target=use.target.name, error=error.message)
        else:
            if found.gone:
                used.cut.clear()
                if marks[0].name == GRANT_MARK:
                    self._used.pop(key, None)
                return
        await asyncio.sleep(AGAIN)
