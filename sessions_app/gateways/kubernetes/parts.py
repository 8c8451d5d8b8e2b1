"""The shared services for carrying out requests and orders."""

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
from sessions_app.gateways.core.stops import Stop
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
    """The services that all requests and orders of a gateway share."""

    shared: Shared
    upstream: Upstream
    tally: Tally
    reader: Reader
    rooms: Rooms = field(default_factory=Rooms)
    ends: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that no client waits for."""
        task = asyncio.create_task(work)
        self.ends.add(task)
        task.add_done_callback(self.ends.discard)

    async def settle(self) -> None:
        """Wait up to a second until these coroutines have finished."""
        if self.ends:
            await asyncio.wait(self.ends, timeout=1.0)

    async def recorder_of(self, use: AtCluster, run_id: int, line: str, *, stop: Stop) -> Recorder:
        """Start the recording of a run, so that people can watch the run, and end it by ``stop``.
        Raises OSError or StintError.
        """
        room = await self.shared.database.run(self.rooms.room_for, grant_id=use.grant_id)
        recorder = Recorder(
            settings.RECORDINGS_DIR,
            recording_path(use.grant_ref, run_id),
            title=f"{use.grant_ref} {use.holder} on {use.target.name}: {line}",
            started=self.shared.node.clock.now(),
            room=room,
        )
        self.shared.node.broadcasts.add(run_id, recorder)
        self.shared.node.stops.add(run_id, recorder, stop)
        return recorder

    def watch_over(self, use: AtCluster, where: Container, decision: Allowed, tried: Tried) -> Watch | None:
        """Return the watch for a program in a container; None if its command set says ``contain: none``."""
        if tried.deadline is None:
            raise AssertionError
        if decision.contain == "none":
            return None
        left = partial(self.shared.node.clock.until, tried.deadline)
        return Watch(self.upstream, use, where, program=decision.program, run_id=tried.run_id, left=left)
