"""What carrying out a request or an order needs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.conf import settings

from sessions_app.connectors.kubernetes.remote import Container
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.kubernetes.execution import Watch
from sessions_app.gateways.kubernetes.standing import Reader
from sessions_app.gateways.kubernetes.upstream import Upstream
from sessions_app.operations.sessions.proofs.kubernetes import AtCluster
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands.kubernetes.decide import Allowed
from sessions_app.queries.record.recording_files import Rooms, recording_path


@dataclass(frozen=True, slots=True)
class Parts:
    """What there is once for all requests and orders of a gateway."""

    shared: Shared
    upstream: Upstream
    tally: Tally
    reader: Reader
    rooms: Rooms = field(default_factory=Rooms)
    ends: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Carry something out that no client waits for."""
        task = asyncio.create_task(work)
        self.ends.add(task)
        task.add_done_callback(self.ends.discard)

    async def settle(self) -> None:
        """Wait until the ends that are under way are over."""
        if self.ends:
            await asyncio.wait(self.ends, timeout=1.0)

    async def recorder_of(self, use: AtCluster, run_id: int, line: str) -> Recorder:
        """Begin the recording of a run. Raises OSError and StintError."""
        room = await self.shared.database.run(self.rooms.room_for, grant_id=use.grant_id)
        return Recorder(
            settings.RECORDINGS_DIR,
            recording_path(use.grant_ref, run_id),
            title=f"{use.grant_ref} {use.holder} on {use.target.name}: {line}",
            started=self.shared.node.clock.now(),
            room=room,
        )

    def watch_over(self, use: AtCluster, where: Container, decision: Allowed, tried: Tried) -> Watch | None:
        """Return what watches over a program in a container; None if its command set asks for nothing."""
        if tried.deadline is None:
            raise AssertionError
        if decision.contain == "none":
            return None
        left = partial(self.shared.node.clock.until, tried.deadline)
        return Watch(self.upstream, use, where, program=decision.program, run_id=tried.run_id, left=left)
