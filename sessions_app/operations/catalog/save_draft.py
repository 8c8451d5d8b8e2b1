"""Save a draft of a command set."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, Forbidden, InvalidInput
from sessions_app.models import CommandSet, CommandSetVersion
from sessions_app.models.catalog import CommandSetQuerySet
from sessions_app.operations.catalog.catalog_lock import lock_catalog
from sessions_app.policy.catalog import CommandSetFile, read_command_set
from sessions_app.policy.commands.document import canonical_json, digest
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.kinds import lint
from sessions_app.policy.documents import DocumentError, Problem


class OnlyAdministratorsSetUp(Forbidden):
    """Only administrators can change what others can request."""

    code = "only_administrators"


class DraftReplaced(Conflict):
    """Someone else saved another draft in the meantime. Load that draft, and apply your changes to it."""

    code = "draft_replaced"


class CannotBeRead(InvalidInput):
    """The text is not a valid document. ``problems`` has each problem with its line."""

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"The {what} can't be read.",
            hint="\n".join(problem.said for problem in problems),
            fields={"source": [problem.said for problem in problems]},
        )
        self.problems = tuple(problems)


def keep_name(name: str | None, found: str, what: str) -> None:
    """Reject a document that replaces another one but has a different name. Raises CannotBeRead."""
    if name is not None and found != name:
        raise CannotBeRead(
            what, [Problem("name", f"must remain {name}, because a new name would create another {what}")]
        )


def save_draft(
    *, source: str, actor: Identity, now: dt.datetime, name: str | None = None, based_on: int | None = None
) -> CommandSetVersion:
    """Save YAML as the draft of the command set that the YAML names, replacing any earlier draft.

    ``name``, if given, is the name that the document must have. ``based_on``, if given, is the id of the
    draft that the author loaded; 0 if there was none. Only Stint administrators may create a command set.
    Raises OnlyAdministratorsSetUp, DraftReplaced, and CannotBeRead with the problems and their lines.
    """
    try:
        file = read_command_set(source)
    except DocumentError as error:
        raise CannotBeRead("command set", error.problems) from error
    keep_name(name, file.name, "command set")
    with transaction.atomic():
        lock_catalog()
        _check_may_set_up(actor, CommandSet.objects.filter(name=file.name))
        drafts = CommandSetVersion.objects.filter(command_set__name=file.name, published_at__isnull=True)
        if based_on is not None and based_on != (drafts.values_list("pk", flat=True).first() or 0):
            raise DraftReplaced(
                f"Someone saved or published another draft of {file.name} since you opened it. Nothing was"
                " saved.",
                hint="Copy your changes, reload, and apply them again.",
            )
        draft = write_draft(file=file, actor=actor, now=now)
        record(
            event=Event.COMMAND_SET_DRAFTED,
            actor=actor_of(actor),
            object_type="command_set",
            object_ref=file.name,
            now=now,
            data={"version": draft.number, "digest": draft.digest, "findings": len(draft.findings)},
        )
    return draft


def may_set_up(actor: Identity, command_sets: CommandSetQuerySet) -> bool:
    """Whether the actor can edit and publish these command sets.

    True for Stint administrators, and for people who administer every policy that names one of the command
    sets.
    """
    return actor.is_superuser or command_sets.administered_by(actor).exists()


def _check_may_set_up(actor: Identity, command_sets: CommandSetQuerySet) -> None:
    if not may_set_up(actor, command_sets):
        raise OnlyAdministratorsSetUp("Only administrators can edit command sets.")


def write_draft(
    *,
    file: CommandSetFile,
    actor: Identity | None,
    now: dt.datetime,
    findings: Sequence[Finding] | None = None,
) -> CommandSetVersion:
    """Store a checked file as the draft of its command set, and create the command set if needed.

    ``findings`` are the linter's findings, if available: linting is slow.
    """
    document = file.document
    command_set, _ = CommandSet.objects.get_or_create(
        name=document.name, defaults={"kind": document.kind, "created_at": now}
    )
    command_set.versions.filter(published_at__isnull=True).delete()
    newest = command_set.versions.order_by("-number").values_list("number", flat=True).first()
    return CommandSetVersion.objects.create(
        command_set=command_set,
        number=(newest or 0) + 1,
        source=file.source,
        document=json.loads(canonical_json(document)),
        digest=digest(document),
        findings=[asdict(finding) for finding in (lint(document) if findings is None else findings)],
        accepted=dict(file.accept),
        created_at=now,
        created_by=actor,
    )
