"""Held commands that wait for the caller, decisions on several of them, and what was read before each."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from broker.kernel import clock
from broker.kernel.errors import NotFound
from sessions_app.api import reads
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.hold_bodies import HoldDecision, HoldDecisions
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.grants import RunShape
from sessions_app.api.shapes.holds import EarlierResultsShape, HoldOutcomesShape, HoldShape
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.decide_holds import HoldOutcome, ReadHold, decide_holds
from sessions_app.queries.grants.read_before import read_before
from sessions_app.queries.requests.alike import together
from sessions_app.queries.requests.deciders import holds_for

MOST = 500


class Holds(Endpoint):
    """The held commands that wait for the caller."""

    alike: dict[int, list[int]]

    @described(paged(HoldShape))
    def get(self, request: Request) -> Response:
        """List the held commands that wait for your decision, soonest to expire first, at most 500. `alike`
        has those that you can decide together.
        """
        waiting = holds_for(self.identity, clock.now())
        found = list(
            reads.runs(self.identity)
            .filter(pk__in=waiting.values("pk"))
            .order_by("hold_lapses_at", "pk")[:MOST]
        )
        groups = [[run.pk for run in group] for group in together(found)]
        self.alike = {one: [pk for pk in group if pk != one] for group in groups for one in group}
        return self.rows(found, HoldShape, None)


class HoldsDecision(Endpoint):
    """Decides on several held commands."""

    scope: ClassVar[str] = Scope.DECIDE

    @described(HoldOutcomesShape, body=HoldDecisions)
    @once
    def post(self, request: Request) -> Response:
        """Allow or deny several held commands, each exactly as you read it. One that can't be decided does
        not affect the others: see its outcome.
        """
        sent = self.body(HoldDecisions)
        holds = [ReadHold(one["run"], one["digest"]) for one in sent.pop("holds")]
        outcomes = decide_holds(holds=holds, actor=self.identity, now=clock.now(), **sent)
        decided = "allowed" if sent["allow"] else "denied"
        answer = {
            "decided": sum(one.error is None for one in outcomes),
            "results": [_outcome(one, decided) for one in outcomes],
        }
        return self.answer(HoldOutcomesShape, answer)


def _outcome(one: HoldOutcome, decided: str) -> dict[str, object]:
    return {
        "run": one.run_id,
        "outcome": "not_decided" if one.error else decided,
        "code": one.error.code if one.error else "",
        "message": str(one.error or ""),
    }


class RunDecision(Endpoint):
    """Decides on a held command."""

    scope: ClassVar[str] = Scope.DECIDE

    @described(RunShape, body=HoldDecision)
    @once
    def post(self, request: Request, run_id: int) -> Response:
        """Allow a held command exactly as typed, once, several times or for the whole grant, or deny it."""
        sent = self.body(HoldDecision)
        run = reads.run_of(self.identity, run_id)
        decide_hold(run_id=run.pk, actor=self.identity, now=clock.now(), **sent)
        return self.answer(RunShape, reads.run_of(self.identity, run_id))


class RunEarlier(Endpoint):
    """What was read before a command."""

    @described(EarlierResultsShape)
    def get(self, request: Request, run_id: int) -> Response:
        """List the latest results that were returned under the grant before a run over MCP, HTTP or
        PostgreSQL, without their contents.
        """
        run = reads.run_of(self.identity, run_id)
        before = read_before([run]).get(run.pk)
        if before is None:
            raise NotFound("Stint keeps no results of commands on this kind of cluster.")
        answer = {"run": run.pk, "results": before.results, "more": before.more}
        return self.answer(EarlierResultsShape, answer)
