"""Sends messages to both sides of one connection, and waits for approvals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.core.tally import Tally
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.answers import NOT_RUN, Answers, Expected
from sessions_app.gateways.postgres.attempts import Attempts
from sessions_app.operations.sessions.proofs.postgres import StatementUse

T = TypeVar("T")
# Fails on every server, in every state of a transaction. Takes the place of a refused statement.
FAILING, FAILING_NAME = "stint: a statement was refused", "stint_refused"
CANCELED = "57014"
CANCELED_BY_CLIENT = "canceled by its client"


class Canceled(Exception):
    """The client canceled a statement while it waited for approval. ``answer`` is its error."""

    answer = wire.error(CANCELED, "canceling statement due to user request")


class Sending:
    """The two sides of one connection."""

    def __init__(
        self,
        shared: Shared,
        session: OpenSession[StatementUse],
        tally: Tally,
        *,
        to_client: Callable[[bytes], None],
        to_target: Callable[[bytes], None],
    ) -> None:
        self.to_client, self.to_target = to_client, to_target
        self.attempts = Attempts(shared, session, tally)
        self.answers = Answers(self.attempts, to_client, self._is_ready)
        self._waiting: asyncio.Future[Any] | None = None

    def _is_ready(self, state: bytes) -> None:
        raise NotImplementedError

    def send(self, data: bytes, expected: Expected | None = None) -> None:
        """Send a message to the target, unless it ignores everything until Sync after a failure."""
        if expected is None:
            self.to_target(data)
        elif self.answers.skips:
            self.answers.drop(expected, NOT_RUN)
        else:
            self.answers.add(expected)
            if expected.run is not None:
                expected.run.send()
            self.to_target(data)

    async def answer(self, message: bytes, expected: Expected) -> bytes | None:
        """Send a message, and return the content of its last answer; None if it failed."""
        expected.wanted = asyncio.get_running_loop().create_future()
        self.send(message, expected)
        self.to_target(wire.FLUSH)
        return await expected.wanted

    def refuse(self, answer: bytes) -> None:
        """Make the target fail, and send the client this error instead of the target's."""
        self.send(wire.parse(FAILING_NAME, FAILING), Expected("refusal", refusal=answer))
        self.answers.skips = True

    def say(self, text: str) -> None:
        """Show a notice to the client."""
        self.to_client(wire.notice(text))

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for an approval. Raises Canceled if the client cancels it."""
        self._waiting = waiting = asyncio.ensure_future(work)
        try:
            return await waiting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise Canceled from None
        finally:
            self._waiting = None

    def stop_waiting(self) -> bool:
        """Stop waiting for an approval. Return whether an approval was pending."""
        if self._waiting is None:
            return False
        self._waiting.cancel()
        return True
