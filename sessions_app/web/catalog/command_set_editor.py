"""The command set editor: parses and lints the text, runs its examples, and shows the effects of
publishing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from django.urls import reverse

from accounts.models import Identity
from sessions_app.models import (
    AccessPolicy,
    AccessRequest,
    CommandSet,
    CommandSetVersion,
    Grant,
    RequestState,
)
from sessions_app.policy.catalog import read_command_set
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.examples import ExampleFailure, check_examples
from sessions_app.policy.commands.kinds import kinds, lint
from sessions_app.policy.documents import DocumentError, Problem, line_of, load_yaml, load_yaml_with_lines
from sessions_app.policy.json_schemas import json_schema
from sessions_app.queries.catalog.widening import wider_set
from sessions_app.web.catalog.command_sets_page import Difference, Finding, Tab, difference, found
from sessions_app.web.display.states import Linked, plural

ACCEPT = "accept."
ANOTHER = "The draft may allow more than the published version, so another administrator must publish it."


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a document before saving.

    If the text is not a valid document, ``problems`` has the reasons.
    """

    problems: Sequence[Problem] = ()
    document: CommandSetDocument | None = None
    findings: Sequence[Finding] = ()
    failures: Sequence[ExampleFailure] = ()
    difference: Difference | None = None

    @property
    def examples(self) -> int:
        """The number of examples in the document."""
        shown = self.document.examples if self.document else None
        return len(shown.allow) + len(shown.refuse) if shown else 0


def check_source(source: str, before: CommandSetVersion | None) -> Checked:
    """Parse and lint a document, and run its examples. Nothing is saved."""
    try:
        file = read_command_set(source)
    except DocumentError as error:
        return Checked(problems=error.problems)
    _, lines = load_yaml_with_lines(source)
    findings = [found(asdict(one), file.accept, line_of(lines, one.where)) for one in lint(file.document)]
    return Checked(
        document=file.document,
        findings=findings,
        failures=check_examples(file.document),
        difference=difference(before, file.document, source) if before else None,
    )


def schema_of(source: str) -> Mapping[str, Any]:
    """Return the JSON schema for a document's kind. Empty if the kind can't be determined."""
    try:
        kind = load_yaml(source).get("kind")
    except DocumentError:
        return {}
    found = next((one for one in kinds() if one.name == kind), None)
    return json_schema(found.document) if found else {}


@dataclass(frozen=True, slots=True)
class Use:
    """The effects of publishing a version: policies that list the command set, grants on older versions, and
    pending requests.
    """

    policies: Sequence[AccessPolicy]
    grants: int
    waiting: int


def use_of(command_set: CommandSet) -> Use:
    """Return where a command set is used."""
    grants = Grant.objects.not_ended().filter(command_set_version__command_set=command_set)
    waiting = AccessRequest.objects.filter(
        state=RequestState.PENDING, command_set_version__command_set=command_set
    )
    policies = AccessPolicy.objects.live().filter(command_sets=command_set).order_by("name")
    return Use(list(policies), grants.count(), waiting.count())


class ToAccept(NamedTuple):
    """A warning to accept before the command set is published: its field name, its message, and the reason as
    typed.
    """

    name: str
    message: str
    reason: str


@dataclass(frozen=True, slots=True)
class Publishing:
    """The effects of publishing a draft. ``refusal`` is the reason why it can't be published yet."""

    refusal: str = ""
    button: str = ""
    warnings: Sequence[ToAccept] = ()
    policies: Sequence[Linked] = ()
    says: str = ""


def publishing(
    command_set: CommandSet,
    *,
    draft: CommandSetVersion | None,
    before: CommandSetVersion | None,
    saved: bool,
    checked: Checked,
    typed: Mapping[str, str],
    writer: Identity,
) -> Publishing:
    """Return the content of the publishing panel.

    ``saved`` means that the text equals the saved draft. ``typed`` contains the reasons for accepting
    warnings.
    """
    if draft is None:
        published = f"v{before.number} is published. " if before else ""
        return Publishing(f"There is no draft. {published}Edit the text and save it first.")
    if not saved:
        return Publishing("The text has unsaved changes. Save it first.")
    use = use_of(command_set)
    alone = writer.is_superuser or not checked.document or not wider_set(command_set.name, checked.document)
    return Publishing(
        button=f"{'Publish' if alone else 'Propose'} v{draft.number}",
        warnings=[
            ToAccept(f"{ACCEPT}{one.key}", one.message, typed.get(f"{ACCEPT}{one.key}", ""))
            for one in checked.findings
            if one.severity == "warning" and not one.accepted
        ],
        policies=[Linked(one.name, reverse("policy", args=[one.name])) for one in use.policies],
        says=" ".join([*_consequences(use, draft, before), *([] if alone else [ANOTHER])]),
    )


def _consequences(use: Use, draft: CommandSetVersion, before: CommandSetVersion | None) -> list[str]:
    said = [
        f"New requests there use v{draft.number}."
        if use.policies
        else "No policy lists the command set yet, so no one can request it."
    ]
    if before is None:
        return said
    if use.grants:
        keep = "keeps" if use.grants == 1 else "keep"
        said.append(f"{plural(use.grants, 'live grant')} {keep} the approved version.")
    else:
        said.append("No live grant uses the command set.")
    if use.waiting:
        said.append(
            f"{plural(use.waiting, 'pending request')} {'is' if use.waiting == 1 else 'are'} unchanged."
        )
    return said


def templates(chosen: str) -> list[tuple[str, Sequence[Tab]]]:
    """Return the command set templates by kind. By default, the first template is selected."""
    found = kinds()
    chosen = chosen or found[0].starters[0].key
    return [
        (kind.title, [Tab(one.title, f"?start={one.key}", one.key == chosen) for one in kind.starters])
        for kind in found
    ]
