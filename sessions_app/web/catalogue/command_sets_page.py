"""Command sets, as those who may see them read them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from django.db.models import Prefetch, QuerySet

from accounts.models import Identity
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    CommandSet,
    CommandSetVersion,
    Grant,
    RequestState,
)
from sessions_app.operations.catalogue.publish_command_set import key_of
from sessions_app.policy.catalogue import read_command_set
from sessions_app.policy.commands.answers import Allowed, CommandView, CompileError, Refused
from sessions_app.policy.commands.diff import Change, diff_documents
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.examples import ExampleFailure, check_examples
from sessions_app.policy.commands.kinds import compile_open, compile_set, decide, describe, lint
from sessions_app.policy.documents import DocumentError, Problem, line_of, load_yaml_with_lines
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
class Difference:
    """What a version changes against the one before: in words, and line by line."""

    against: CommandSetVersion
    changes: Sequence[Change]
    lines: Sequence[str]


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
    """Return what a document changes against a published version."""
    lines = difflib.unified_diff(before.source.splitlines(), source.splitlines(), lineterm="", n=2)
    return Difference(before, diff_documents(commands.document_of(before), document), list(lines)[2:])


@dataclass(frozen=True, slots=True)
class CheckedFinding:
    """One finding of the linter, and the reason for which it is accepted."""

    severity: str
    key: str
    where: str
    message: str
    fix: str
    line: int | None
    accepted: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a text is worth before it is saved. Without a document, ``problems`` says why."""

    problems: Sequence[Problem] = ()
    document: CommandSetDocument | None = None
    findings: Sequence[CheckedFinding] = ()
    failures: Sequence[ExampleFailure] = ()
    difference: Difference | None = None

    @property
    def examples(self) -> int:
        """How many examples the document has."""
        shown = self.document.examples if self.document else None
        return len(shown.allow) + len(shown.refuse) if shown else 0


def check_source(source: str, before: CommandSetVersion | None) -> Checked:
    """Return what the reader, the linter and the examples say to a text. Nothing is saved."""
    try:
        file = read_command_set(source)
    except DocumentError as error:
        return Checked(problems=error.problems)
    _, lines = load_yaml_with_lines(source)
    findings = [
        CheckedFinding(
            one.severity, key_of(asdict(one)), one.where, one.message, one.fix, line_of(lines, one.where),
            file.accept.get(key_of(asdict(one)), ""),
        )
        for one in lint(file.document)
    ]  # fmt: skip
    return Checked(
        document=file.document,
        findings=findings,
        failures=check_examples(file.document),
        difference=difference(before, file.document, source) if before else None,
    )


def newest_published(command_set: CommandSet) -> CommandSetVersion | None:
    """Return the version that is asked for now."""
    return command_set.versions.filter(published_at__isnull=False).order_by("-number").first()


@dataclass(frozen=True, slots=True)
class Use:
    """Who feels a new version: the policies that name the set, and the grants that keep an older one."""

    policies: Sequence[AccessPolicy]
    grants: int
    waiting: int


def use_of(command_set: CommandSet) -> Use:
    """Return where a command set is in use."""
    grants = Grant.objects.not_ended().filter(command_set_version__command_set=command_set)
    waiting = AccessRequest.objects.filter(
        state=RequestState.PENDING, command_set_version__command_set=command_set
    )
    policies = AccessPolicy.objects.live().filter(command_sets=command_set).order_by("name")
    return Use(list(policies), grants.count(), waiting.count())


def try_text(source: str, line: str, values: dict[str, str]) -> TryResult:
    """Return what the gateways would decide on a line if the text were published."""
    try:
        return _try(read_command_set(source).document, line, values)
    except DocumentError:
        return TryResult(line, False, "The document can't be read yet; mend it first.")


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
    held = " Each run waits for a second person." if answer.hold else ""
    return f"Command {answer.index + 1} of the set{f', {values}' if values else ''}.{held}"
