"""Data for the pages of command sets."""

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
from sessions_app.policy.commands.answers import Allowed, CommandView, CompileError, Refused
from sessions_app.policy.commands.diff import Change, diff_documents
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.examples import check_examples
from sessions_app.policy.commands.kinds import compile_open, compile_set, decide, describe
from sessions_app.policy.documents import DocumentError
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.web.display.states import Look, plural


def command_sets(identity: Identity) -> QuerySet[CommandSet]:
    """Return the live command sets that the identity may see, with their versions."""
    return (
        CommandSet.objects.live()
        .visible_to(identity)
        .prefetch_related(Prefetch("versions", CommandSetVersion.objects.defer("source").order_by("-number")))
        .order_by("name")
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes since the previous version, as sentences and line by line."""

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
    """A finding of the linter, the reason for accepting it, and its line in the text that is being edited."""

    key: str
    severity: str
    message: str
    fix: str
    where: str
    accepted: str
    line: int | None = None

    @property
    def tone(self) -> str:
        """The tone of the note."""
        if self.severity == "error":
            return "bad"
        return "ok" if self.accepted else "warn"


def found(one: Mapping[str, str], accepted: Mapping[str, str], line: int | None = None) -> Finding:
    """Return a finding as pages show it. ``accepted`` maps the keys of findings to reasons."""
    key = key_of(one)
    return Finding(
        key, one["severity"], one["message"], one["fix"], one["where"], accepted.get(key, ""), line
    )


# The maximum number of versions with a tab.
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
        """The tabs of the newest versions."""
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
        """The number of commands."""
        return plural(len(self.views), "command")

    @property
    def edit_label(self) -> str:
        """The label of the button that edits it."""
        return "Edit" if self.version.published_at else "Edit or publish"

    @property
    def findings(self) -> Sequence[Finding]:
        """The linter's findings from when the version was saved."""
        return [found(one, self.version.accepted) for one in self.version.findings]

    @property
    def parameters(self) -> str:
        """The parameters that a request chooses: `unit is nginx or haproxy; lines is a number from 1 to
        1000`.
        """
        return "; ".join(f"{name} is {type_.limits}" for name, type_ in self.document.parameters.items())

    @property
    def examples(self) -> str:
        """The results of its examples."""
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
    """Whether the reader may write and publish drafts of the set."""
    return CommandSet.objects.administered_by(reader).filter(pk=command_set.pk).exists()


def difference(before: CommandSetVersion, document: CommandSetDocument, source: str) -> Difference:
    """Return the changes of a document since a published version, as sentences and as lines of a diff."""
    lines = difflib.unified_diff(before.source.splitlines(), source.splitlines(), lineterm="", n=2)
    return Difference(before, diff_documents(commands.document_of(before), document), list(lines)[2:])


def newest_published(command_set: CommandSet) -> CommandSetVersion | None:
    """Return the version that new requests use."""
    return command_set.versions.filter(published_at__isnull=False).order_by("-number").first()


def try_text(source: str, line: str, values: dict[str, str]) -> TryResult:
    """Return how the gateways would decide on a line if the text were published."""
    try:
        return _try(read_command_set(source).document, line, values)
    except DocumentError:
        return TryResult(line, False, "The text can't be parsed yet. Fix the errors first.")


@dataclass(frozen=True, slots=True)
class TriedParameter:
    """A parameter in the form that tries a command: the value as typed, and the values to choose from, if
    any.
    """

    name: str
    value: str
    choices: Sequence[str]


def tried_parameters(document: CommandSetDocument | None, values: Mapping[str, str]) -> list[TriedParameter]:
    """Return the parameters of a document for the form that tries a command."""
    parameters = document.parameters if document else {}
    return [
        TriedParameter(name, values.get(name, ""), list(getattr(type_, "choices", ())))
        for name, type_ in parameters.items()
    ]


@dataclass(frozen=True, slots=True)
class TryResult:
    """The gateway's decision on one line."""

    line: str
    allowed: bool
    message: str
    effect: str = ""
    hold: bool = False

    @property
    def look(self) -> Look:
        """The outcome: a tone, an icon and a word."""
        if not self.allowed:
            return Look("bad", "x", "refused")
        return Look("ok", "check", "held" if self.hold else "allowed")


def try_line(version: CommandSetVersion, line: str, values: dict[str, str]) -> TryResult:
    """Return how the gateways would decide on a line. Unless every parameter has a value, parameters match
    anything that their types allow.
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
    return TryResult(line, True, _said(answer), answer.effect, answer.hold)


def _said(answer: Allowed) -> str:
    values = ", ".join(f"{name} is {value}" for name, value in answer.matched.items())
    held = " Each run needs a second person's approval." if answer.hold else ""
    notes = "".join(f" {note[:1].upper()}{note[1:]}." for note in answer.notes)
    return f"Command {answer.index + 1} of the set{f', {values}' if values else ''}.{held}{notes}"
