"""Write a draft of a command set."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict

from django.db import transaction

from accounts.models import Identity
from broker.kernel.errors import Forbidden, InvalidInput
from sessions_app.models import CommandSet, CommandSetVersion
from sessions_app.operations.catalogue_lock import lock_catalogue
from sessions_app.policy.catalogue import CommandSetFile, read_command_set
from sessions_app.policy.commands.document import canonical_json, digest
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.lint import lint
from sessions_app.policy.documents import DocumentError


class OnlyAdministratorsSetUp(Forbidden):
    """Only administrators set up command sets."""

    code = "only_administrators"


def save_draft(*, source: str, actor: Identity, now: dt.datetime) -> CommandSetVersion:
    """Save YAML as the draft of the command set that it names, replacing an earlier draft.

    Raises OnlyAdministratorsSetUp, and InvalidInput with the problems at their lines.
    """
    if not actor.is_superuser:
        raise OnlyAdministratorsSetUp("Only administrators set up command sets.")
    try:
        file = read_command_set(source)
    except DocumentError as error:
        raise InvalidInput(
            "The command set can't be read.",
            hint=str(error),
            fields={"source": [str(problem) for problem in error.problems]},
        ) from error
    with transaction.atomic():
        lock_catalogue()
        return write_draft(file=file, actor=actor, now=now)


def write_draft(
    *,
    file: CommandSetFile,
    actor: Identity | None,
    now: dt.datetime,
    findings: Sequence[Finding] | None = None,
) -> CommandSetVersion:
    """Write a checked file as the one draft of its command set, which is made where it is missing.

    ``findings`` are the linter's, when it was asked before; it takes time.
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
