"""Command sets, as those who may see them read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet

from accounts.models import Identity
from sessions_app.models import AccessPolicy, CommandSet, CommandSetVersion
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.examples import check_examples
from sessions_app.policy.commands.ssh import (
    Allowed,
    CommandView,
    CompileError,
    Refused,
    compile_open,
    compile_set,
    decide,
    describe,
)
from sessions_app.queries import commands


def command_sets(identity: Identity) -> QuerySet[CommandSet]:
    """Return the live command sets that the identity may see, with their versions."""
    return (
        CommandSet.objects.live()
        .visible_to(identity)
        .prefetch_related(Prefetch("versions", CommandSetVersion.objects.defer("source").order_by("-number")))
        .order_by("name")
    )


@dataclass(frozen=True, slots=True)
class CommandSetPage:
    """One version of a command set. ``document`` is None when the row can't be read."""

    command_set: CommandSet
    version: CommandSetVersion
    versions: Sequence[CommandSetVersion]
    document: CommandSetDocument
    views: Sequence[CommandView]
    example_count: int
    failures: int
    policies: Sequence[AccessPolicy]


def command_set_page(command_set: CommandSet, version: CommandSetVersion, reader: Identity) -> CommandSetPage:
    """Return one version with its commands, parameters, examples, and the policies that use it."""
    document = commands.document_of(version)
    policies = AccessPolicy.objects.live().visible_to(reader).filter(command_sets=command_set).distinct()
    return CommandSetPage(
        command_set=command_set,
        version=version,
        versions=list(command_set.versions.order_by("-number")),
        document=document,
        views=describe(compile_open(document)),
        example_count=len(document.examples.allow) + len(document.examples.refuse),
        failures=len(check_examples(document)),
        policies=list(policies.order_by("name")),
    )


@dataclass(frozen=True, slots=True)
class TryResult:
    """What the gateway would say to one line."""

    line: str
    allowed: bool
    message: str
    effect: str = ""
    hold: bool = False


def try_line(version: CommandSetVersion, line: str, values: dict[str, str]) -> TryResult:
    """Return what the gateways would decide on a line; parameters without a value are open inside their types."""
    document = commands.document_of(version)
    try:
        given = {name: value for name, value in values.items() if value}
        compiled = (
            compile_set(document, given) if len(given) == len(document.parameters) else compile_open(document)
        )
    except CompileError as error:
        return TryResult(line, False, str(error))
    answer = decide(compiled, line)
    if isinstance(answer, Refused):
        nearest = f" Nearest: {answer.nearest}" if answer.nearest else ""
        return TryResult(line, False, f"{answer.reason[:1].upper()}{answer.reason[1:]}.{nearest}")
    return TryResult(line, True, _said(answer), answer.effect, answer.hold)


def _said(answer: Allowed) -> str:
    values = ", ".join(f"{name} is {value}" for name, value in answer.matched.items())
    held = " Each run waits for a second person." if answer.hold else ""
    return f"Command {answer.index + 1} of the set{f', {values}' if values else ''}.{held}"
