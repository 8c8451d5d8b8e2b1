"""Data for the command set pages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Prefetch, QuerySet

from accounts.models import Identity
from sessions_app.models import AccessPolicy, CommandSet, CommandSetVersion
from sessions_app.operations.catalog.publish_command_set import key_of
from sessions_app.policy.catalog import read_command_set
from sessions_app.policy.commands.answers import Allowed, CommandView, CompiledSet, CompileError, Refused
from sessions_app.policy.commands.budgets import say_budgets
from sessions_app.policy.commands.diff import Change, diff_documents
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.examples import check_examples
from sessions_app.policy.commands.kinds import compile_open, compile_set, decide, describe
from sessions_app.policy.documents import DocumentError
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.web.display.states import Look, plural


def command_sets(identity: Identity) -> QuerySet[CommandSet]:
    """Return the live command sets that the identity can see, with their versions."""
    return (
        CommandSet.objects.live()
        .visible_to(identity)
        .prefetch_related(Prefetch("versions", CommandSetVersion.objects.defer("source").order_by("-number")))
        .order_by("name")
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes since the previous version, as sentences and as diff lines."""

    against: CommandSetVersion
    changes: Sequence[Change]
    lines: Sequence[str]


class Tab(NamedTuple):
    """A tab that selects a version."""

    label: str
    query: str
    current: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A linter finding, the reason for accepting it, and its line in the edited text."""

    key: str
    severity: str
    message: str
    fix: str
    where: str
    accepted: str
    line: int | None = None

    @property
    def tone(self) -> str:
        """The tone of the note that shows the finding."""
        if self.severity == "error":
            return "bad"
        return "ok" if self.accepted else "warn"


def found(one: Mapping[str, str], accepted: Mapping[str, str], line: int | None = None) -> Finding:
    """Convert a linter finding for display. ``accepted`` maps the keys of findings to reasons."""
    key = key_of(one)
    return Finding(
        key, one["severity"], one["message"], one["fix"], one["where"], accepted.get(key, ""), line
    )


# The maximum number of versions that are shown as tabs.
TABS = 6


@dataclass(frozen=True, slots=True)
class CommandSetPage:
    """One version of a command set for one reader."""

    command_set: CommandSet
    version: CommandSetVersion
    versions: Sequence[CommandSetVersion]
    document: CommandSetDocument
    views: Sequence[CommandView]
    example_count: int
    failures: int
    policies: Sequence[AccessPolicy]
    may_set_up: bool
    difference: Difference | None

    @property
    def tabs(self) -> Sequence[Tab]:
        """The tabs for the newest versions."""
        return [
            Tab(
                f"v{one.number}{'' if one.published_at else ' draft'}",
                f"?version={one.number}",
                one == self.version,
            )
            for one in self.versions[:TABS]
        ]

    @property
    def heading(self) -> str:
        """The number of commands, as a heading."""
        return plural(len(self.views), "command")

    @property
    def edit_label(self) -> str:
        """The label of the button that opens the editor."""
        return "Edit" if self.version.published_at else "Edit or publish"

    @property
    def findings(self) -> Sequence[Finding]:
        """The linter's findings at the time the version was saved."""
        return [found(one, self.version.accepted) for one in self.version.findings]

    @property
    def parameters(self) -> str:
        """The parameters that a requester chooses: `unit is nginx or haproxy; lines is a number from 1 to
        1000`.
        """
        return "; ".join(f"{name} is {type_.limits}" for name, type_ in self.document.parameters.items())

    @property
    def examples(self) -> str:
        """The results of the version's examples."""
        if not self.example_count:
            return "No examples."
        if self.failures:
            return f"{self.failures} of {plural(self.example_count, 'example')} failed."
        return f"{plural(self.example_count, 'example')} passed."


def command_set_page(command_set: CommandSet, version: CommandSetVersion, reader: Identity) -> CommandSetPage:
    """Return one version with its commands, parameters, examples, and the policies that use it."""
    document = commands.document_of(version)
    policies = AccessPolicy.objects.live().visible_to(reader).filter(command_sets=command_set).distinct()
    may_set_up = may_write(command_set, reader)
    versions = [
        one
        for one in command_set.versions.defer("document").order_by("-number")
        if may_set_up or one.published_at
    ]
    before = next((one for one in versions if one.published_at and one.number < version.number), None)
    return CommandSetPage(
        command_set=command_set,
        version=version,
        versions=versions,
        document=document,
        views=describe(compile_open(document)),
        example_count=len(document.examples.allow) + len(document.examples.refuse),
        failures=len(check_examples(document)),
        policies=list(policies.order_by("name")),
        may_set_up=may_set_up,
        difference=difference(before, document, version.source) if before else None,
    )


def may_write(command_set: CommandSet, reader: Identity) -> bool:
    """Whether the reader can edit and publish drafts of the command set."""
    return CommandSet.objects.administered_by(reader).filter(pk=command_set.pk).exists()


def difference(before: CommandSetVersion, document: CommandSetDocument, source: str) -> Difference:
    """Return the changes between a published version and a document, as sentences and as diff lines."""
    lines = difflib.unified_diff(before.source.splitlines(), source.splitlines(), lineterm="", n=2)
    return Difference(before, diff_documents(commands.document_of(before), document), list(lines)[2:])


def newest_published(command_set: CommandSet) -> CommandSetVersion | None:
    """Return the version that new requests use."""
    return command_set.versions.filter(published_at__isnull=False).order_by("-number").first()


def try_text(source: str, line: str, values: dict[str, str]) -> TryResult:
    """Return how the gateways would decide on a command line if the text were published."""
    try:
        return _try(read_command_set(source).document, line, values)
    except DocumentError:
        return TryResult(line, False, "The text can't be parsed yet. Fix the errors first.")


@dataclass(frozen=True, slots=True)
class TriedParameter:
    """A parameter in the "Try a command" form: the value as typed, and the possible values, if they are
    limited.
    """

    name: str
    value: str
    choices: Sequence[str]


def tried_parameters(document: CommandSetDocument | None, values: Mapping[str, str]) -> list[TriedParameter]:
    """Return a document's parameters for the "Try a command" form."""
    parameters = document.parameters if document else {}
    return [
        TriedParameter(name, values.get(name, ""), list(getattr(type_, "choices", ())))
        for name, type_ in parameters.items()
    ]


@dataclass(frozen=True, slots=True)
class TryResult:
    """The gateway's decision on one command line."""

    line: str
    allowed: bool
    message: str
    effect: str = ""
    hold: bool = False

    @property
    def look(self) -> Look:
        """The outcome as a tone, an icon and a word."""
        if not self.allowed:
            return Look("bad", "x", "refused")
        return Look("ok", "check", "held" if self.hold else "allowed")


def try_line(version: CommandSetVersion, line: str, values: dict[str, str]) -> TryResult:
    """Return how the gateways would decide on a command line. If a parameter has no value, all parameters
    match any value of their types.
    """
    return _try(commands.document_of(version), line, values)


def _try(document: CommandSetDocument, line: str, values: dict[str, str]) -> TryResult:
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
    return TryResult(line, True, _said(answer, compiled), answer.effect, answer.hold)


def _said(answer: Allowed, compiled: CompiledSet) -> str:
    values = ", ".join(f"{name} is {value}" for name, value in answer.matched.items())
    held = " Each run needs a second person's approval." if answer.hold else ""
    notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in answer.notes)
    counted = say_budgets(budget for _, budget in compiled.budgets_of(answer.index))
    notes += "".join(f" Budget: {text}." for text in counted)
    return f"Command {answer.index + 1} of the set{f', {values}' if values else ''}.{held}{notes}"
