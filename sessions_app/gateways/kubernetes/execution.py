"""Run a command in a container under a guard, which terminates the processes that the command
leaves behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.kubernetes.guard import CannotGuard, Guard, guarded, sweep_pod
from sessions_app.connectors.kubernetes.left_in_pods import LeftInPod
from sessions_app.connectors.kubernetes.remote import Container
from sessions_app.connectors.kubernetes.wrapper import wrapped
from sessions_app.connectors.marks import CannotWrap, run_mark
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.kubernetes.status import NotMade
from sessions_app.gateways.kubernetes.streams import Streams, stream_target
from sessions_app.gateways.kubernetes.upstream import Upstream
from sessions_app.operations.sessions.proofs.kubernetes import AtCluster

UNCONTAINED = "the command's processes were not contained, and may still run"
UNKNOWN = "the command's processes in the container may still run"
# In seconds. A guard needs at most two, but the program that it watches can stop or kill it.
_GUARD_S = 3.0


class Watch:
    """Watches one command in a container, and terminates the processes that the command leaves behind."""

    def __init__(
        self,
        upstream: Upstream,
        use: AtCluster,
        where: Container,
        *,
        program: Sequence[str],
        run_id: int,
        left: Callable[[], float],
    ) -> None:
        """``left`` returns the current number of seconds until the deadline."""
        self._upstream, self._use, self._where = upstream, use, where
        self._program, self._run_id, self._left = program, run_id, left
        self._mark = run_mark(use.mark, run_id)
        self._guard: Guard | None = None
        self._stack = contextlib.AsyncExitStack()

    async def words(self) -> list[str]:
        """Start the guard, and return the arguments that run the command under it. Raises NotMade,
        NotReached.
        """
        session, server = await self._upstream.server_of(self._use)
        try:
            self._guard = guard = await self._stack.enter_async_context(
                guarded(session, server, self._where, self._mark, seconds=self._left())
            )
            return wrapped(
                self._program,
                grant_mark=self._use.mark,
                run_id=self._run_id,
                seconds=self._left(),
                guard=guard.pid,
            )
        except CannotGuard as error:
            more = "To allow the command without a guard, set contain: none in the command set."
            raise NotMade(403, f"{error.message} {more}") from error
        except ConnectorError as error:
            raise NotMade(503, error.message) from error
        except CannotWrap as error:
            raise NotMade(403, str(error)) from error

    async def end(self) -> str:
        """Terminate the command's processes in the container, and return a note for the record; empty for
        none.
        """
        if self._guard is None:
            return ""
        try:
            return _words(await self._guard.end(_GUARD_S) or await self._swept())
        finally:
            await self._stack.aclose()

    async def _swept(self) -> LeftInPod | None:
        """Terminate the processes with a separate program in the container, whether or not the guard still
        runs.

        Return None if that program reported nothing. Uses Stint's account, because the grant's account may
        have been deleted.
        """
        try:
            session, server = await self._upstream.server_of(self._use, own=True)
            return await sweep_pod(session, server, self._where, self._mark)
        except (ConnectorError, NotReached):
            return None


class Execution(Streams):
    """One allowed exec. With ``watch``, it runs in a wrapper, alongside a guard."""

    def __init__(self, *args: Any, watch: Watch | None, **more: Any) -> None:
        super().__init__(*args, **more)
        self._watch = watch

    async def run(self) -> web.StreamResponse:
        """Start the guard and the command, and relay data until one side ends.

        Raises the errors of ``Streams.run``.
        """
        if self._watch is not None:
            self._target = stream_target(self._request, await self._watch.words())
        return await super().run()

    async def kill(self) -> str:
        """Terminate the command's processes in the container, and return a note for the record; empty for
        none.
        """
        return await killed(self._watch, started=self.sent)


async def killed(watch: Watch | None, *, started: bool) -> str:
    """Terminate a command's processes in its container, and return a note for the record; empty if there is
    none.
    """
    if watch is None:
        return UNCONTAINED if started else ""
    return await watch.end()


def _words(left: LeftInPod | None) -> str:
    if left is None:
        return UNKNOWN
    if not left.gone:
        return (
            f"{left.left} of the command's processes are left, and {left.unread + left.fleeting} could "
            "not be read"
        )
    return f"{left.found} of the command's processes were terminated" if left.found else ""
