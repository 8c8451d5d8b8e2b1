"""The commands of a request with their limits, grouped by the change for the requester."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from sessions_app.models import RequestState
from sessions_app.policy.commands.answers import CommandView
from sessions_app.policy.durations import say_duration
from sessions_app.web.display.states import EFFECT, UNKNOWN, Look
from sessions_app.web.requests.request_facts import CommandLine, RequestFacts

SIGNS = {"gains": "+", "has": "=", "left_out": "−"}


class Gain(NamedTuple):
    """One command: its sign, tone and limits, and the display style of its effect. ``look`` is None for an
    excluded command.
    """

    sign: str
    tone: str
    text: str
    limits: Sequence[str]
    look: Look | None


class Gains(NamedTuple):
    """A group of commands under one heading."""

    title: str
    lines: Sequence[Gain]


def gains_of(facts: RequestFacts) -> list[Gains]:
    """Return the commands of a request in this order: new ones, those that the requester can already run,
    excluded ones.
    """
    return [
        Gains(_title(group, facts), [_gain(line) for line in lines])
        for group, lines in groupby(facts.lines, key=lambda line: line.group)
    ]


def _title(group: str, facts: RequestFacts) -> str:
    if group == "left_out":
        return f"Excluded by {' and '.join(facts.left_out_by)}"
    if group == "has":
        return "Can already run"
    return {
        RequestState.PENDING: "Will be able to run",
        RequestState.APPROVED: "Able to run during the grant",
    }.get(RequestState(facts.request.state), "Would have been able to run")


def _gain(line: CommandLine) -> Gain:
    tone = "mute" if line.group != "gains" else "bad" if line.view.effect == "destructive" else "ok"
    if line.left_out:
        return Gain(SIGNS[line.group], tone, line.view.text, (), None)
    look = EFFECT.get(line.view.effect, UNKNOWN)
    return Gain(SIGNS[line.group], tone, line.view.text, list(_limits(line.view)), look)


def _limits(view: CommandView) -> Iterator[str]:
    yield from (f"{free.name} is {free.limits}" for free in view.free)
    yield from view.detail
    if view.denies:
        yield "Always refused"
    if view.as_root:
        yield "Runs as root"
    if view.hold:
        yield "Each run needs a second person's approval"
    if view.finish_seconds:
        yield f"A running command may finish, up to {say_duration(view.finish_seconds)} after the end"
