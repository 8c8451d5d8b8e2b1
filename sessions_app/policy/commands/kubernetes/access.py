"""Decide the queries that an API server sends to an authorization webhook.

They contain the user, the verb, the object and the namespace, but no query parameters and no body.

A webhook can't check a command's other limits, so a command with other limits allows nothing through a
webhook. Three limits that the gateway checks are ignored, so this allows more than a line sends: events of
all objects of a namespace for `describe`, following for `logs`, and any grace period for `delete`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.api_request import Sent, read_request
from sessions_app.policy.commands.kubernetes.checks import ANYTHING
from sessions_app.policy.commands.kubernetes.compiling import CompiledKubernetesCommand, CompiledSet
from sessions_app.policy.commands.kubernetes.decide import (
    DISCOVERY,
    LEFT_OUT,
    OF_ONESELF,
    discover,
    nothing_allows,
)
from sessions_app.policy.commands.kubernetes.rights import NEVER_BY_RULE, Request
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.wants import Values


def decide_access(compiled: CompiledSet, asked: Request) -> Allowed | Refused:
    """Decide whether any command sends this request.

    Every grant may query its own permissions. Never raises because of a request.
    """
    asked = asked.placed
    if asked.verb == "create" and (asked.group, asked.resource) in OF_ONESELF:
        return Allowed(DISCOVERY, "read", False, None, {}, (str(asked),))
    faults: list[Refused] = []
    for command, step, values in _sent_by(compiled.commands, asked):
        if not (unseen := _unseen(command, step)):
            rule = command.rule
            free = {name: value for name, value in values.items() if name in command.types}
            return Allowed(command.index, rule.effect, False, rule.finish_seconds, free, (str(asked),))
        reason = f"{asked} is allowed, but an authorization webhook does not see its {unseen}"
        faults.append(Refused(reason, command.text(compiled.bindings), "value"))
    if faults:
        return faults[0]
    if any(True for _ in _sent_by(compiled.left_out, asked)):
        return LEFT_OUT
    return nothing_allows(compiled, asked)


def decide_path(verb: str, path: str) -> Allowed | Refused:
    """Decide a request that is not about a resource. Every grant may discover what a cluster supports."""
    try:
        request = read_request(verb.upper(), path, "")
    except RuleRefused as error:
        return Refused(error.reason, None, "syntax")
    if request.is_resource:
        return Refused(f"{path} is a path of a resource", None, "syntax")
    return discover(request, Sent())


def _sent_by(
    commands: Iterable[CompiledKubernetesCommand], asked: Request
) -> Iterator[tuple[CompiledKubernetesCommand, Step, Values]]:
    for command in commands:
        for step in command.steps:
            if step.check is ANYTHING and asked.resource in NEVER_BY_RULE:
                continue
            values = next(step.right.matches(asked, command.types), None)
            if values is not None:
                yield command, step, values


def _unseen(command: CompiledKubernetesCommand, step: Step) -> str:
    """Return the part of a request that the gateway compares but this query doesn't contain; empty if there
    is none.
    """
    return "need for a second person's approval" if command.rule.held and step.main else step.check.limits
